"""Lists of connections in files, block by block: comma-separated, NumPy's .npz, HDF5. No rank ever holds a whole file.

Columns are source, target (positions on either side, from 0), weight, delay (ms) and perhaps receptor (names of ports).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distsim.checks import MAX_DELAY_STEPS
from distsim.config.files import FileStore, told_of
from distsim.config.spike_files import HDF5_MAGIC
from distsim.config.tables import EDGE_COLUMNS, MAX_ID, Table, edge_columns
from distsim.edges import BLOCK_EDGES, EdgeList, Places, Tally
from distsim.errors import ConfigError, nearest, wrong
from distsim.grid import rounded_to_steps
from distsim.rules import Explicit
from distsim.selection import Selection

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_BYTES = 2**23  # of a table
LONGEST_LINE = 2**20
ZIP_MAGIC = b"PK\x03\x04"


@dataclass(frozen=True)
class Block:
    """Some connections of a file; `place` says where the k-th of them stands."""

    edges: EdgeList
    place: Callable[[int, str], str]


def listed_in_file(
    name: str, at: str, sources: Sequence[Selection], targets: Sequence[Selection], receptor: str | int | None,
    dt: float, files: FileStore,
) -> Explicit:  # fmt: skip
    """The rule with the connections of the file `name`, which the key `at` refers to; errors say where they stand.

    Raises
    ------
    ConfigError
        The file cannot be read, or lists connections that cannot be.
    """
    path = files.hashed(name, at)
    sizes = sum(s.size for s in sources), sum(t.size for t in targets)
    tally = Tally(sizes[1])
    with told_of(at):
        for block in read_blocks(path):
            _check(block, sizes, targets, receptor, dt, path)
            tally.add(block.edges)

    def blocks(wanted: Places | None) -> Iterator[EdgeList]:
        files.check_unchanged(path, at)
        with told_of(at):
            for block in read_blocks(path):
                yield block.edges.onto(wanted)

    return Explicit.from_blocks(blocks, tally.summary())


def read_blocks(path: str) -> Iterator[Block]:
    """All connections of a file, by what its first bytes say it is.

    Raises
    ------
    ConfigError, ResultError
        It is malformed.
    """
    with open(path, "rb") as file:
        begin = file.read(8)
    if begin == HDF5_MAGIC:
        from distsim.config.edge_arrays import hdf5_blocks

        return hdf5_blocks(path)
    if begin[:4] == ZIP_MAGIC:
        from distsim.config.edge_arrays import npz_blocks

        return npz_blocks(path)
    if begin.startswith(b"\x93NUMPY"):
        raise ConfigError(f"{path}: found one array (.npy); allowed: an .npz with {', '.join(EDGE_COLUMNS)}")
    return table_blocks(path)


def table_blocks(path: str, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Of a comma-separated table with a header line."""
    with open(path, "rb") as file:
        header = file.readline(LONGEST_LINE)
        first_line, rest = 2, b""
        table = Table(header, path)
        wanted = edge_columns(table)
        while data := file.read(block_bytes):
            lines, newline, rest_of = (rest + data).rpartition(b"\n")
            rest = rest_of
            if len(rest) > LONGEST_LINE:
                line = first_line + (lines + newline).count(b"\n")
                raise ConfigError(f"{path}:{line}: found a line of more than {LONGEST_LINE} bytes")
            if newline:
                yield _parsed(table.after(lines + newline, first_line), wanted)
                first_line += lines.count(b"\n") + 1
        if rest or first_line == 2:
            yield _parsed(table.after(rest, first_line), wanted)


def _parsed(table: Table, wanted: Any) -> Block:
    columns = table.columns(wanted)

    def place(row: int, column: str) -> str:
        return f"{table.origin}:{table.line_of(row)}: {column}"

    ports = columns.get("receptor", [])
    return Block(_list(columns, ports), place)


def _list(columns: Mapping[str, Any], ports: Any) -> EdgeList:
    return EdgeList.of(columns["source"], columns["target"], columns["weight"], columns["delay"], ports)


def array_block(path: str, columns: dict[str, NDArray[Any]], first: int) -> Block:
    """Of the entries `first` … of arrays: ids within the range of ids, numbers finite."""
    import numpy as np

    def place(row: int, column: str) -> str:
        return f"{path}: {column}[{first + row}]"

    for name, kind in EDGE_COLUMNS.items():
        values = columns[name]
        bad = ~((values >= 0) & (values < MAX_ID)) if kind == "id" else ~np.isfinite(values)
        allowed = f"whole numbers from 0 to {MAX_ID - 1}" if kind == "id" else "finite numbers"
        _refuse(Block(EdgeList.of((), (), (), ()), place), name, values, bad, allowed)
    ports = columns.get("receptor", np.empty(0, np.str_))
    return Block(_list(columns, ports), place)


def _check(
    block: Block, sizes: tuple[int, int], targets: Sequence[Selection], receptor: str | int | None, dt: float, path: str
) -> None:
    import numpy as np

    edges = block.edges
    for side, ids, size in (("source", edges.source, sizes[0]), ("target", edges.target, sizes[1])):
        _refuse(block, side, ids, ids >= size, f"ids from 0 to {size - 1}")
    steps = rounded_to_steps(edges.delay, dt)
    _refuse(block, "delay", edges.delay, steps < 1, f"delays of at least dt = {dt} ms")
    most = f"delays of at most {MAX_DELAY_STEPS} steps of dt = {dt} ms"
    _refuse(block, "delay", edges.delay, steps > MAX_DELAY_STEPS, most)
    if not edges.receptor.size:
        return
    if receptor is not None:
        raise ConfigError(f"{path}:1: column 'receptor' beside the key receptor; give one of them")
    for port in np.unique(edges.receptor).tolist():
        for target in targets:
            ports = [p.name for p in target.model.receptors]
            if port not in ports:
                where = block.place(int((edges.receptor == port).argmax()), "receptor").removesuffix(": receptor")
                raise ConfigError(f"{where}: unknown receptor {port!r} of {target.model.name}; {nearest(port, ports)}")


def _refuse(block: Block, name: str, values: NDArray[Any], bad: NDArray[Any], allowed: str) -> None:
    """ConfigError with the place of the first entry that is `bad`."""
    if bad.any():
        row = int(bad.argmax())
        raise wrong(block.place(row, name), values[row].item(), allowed)


__all__ = ["BLOCK_EDGES", "Block", "array_block", "listed_in_file", "read_blocks", "table_blocks"]
