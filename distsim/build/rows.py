"""Synapse rows of one rank, built from the description without communication.

For each chunk of sources: count the synapses of every cell (source, delay, plane, block), turn counts into
rows and runs by prefix sums, draw again and write every synapse to its place. No sort, no copy; cells are
the only scratch memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend, Module
from distsim.build.partition import Layout
from distsim.build.projections import LocalProjection
from distsim.errors import BuildError
from distsim.kernels import connect as structs
from distsim.network import Network, Population

CELL_BUDGET = 256 * 2**20  # bytes of counters of one chunk
SYNAPSES_OF_A_CHUNK = 2**32 - 1  # cells count, and point to, them with 32 bits
SYNAPSE_BYTES = {"single": 4, "double": 8}
RUN_BYTES = 12
ROW_BYTES = 24


@dataclass
class Rows:
    """All rows of a rank.

    Attributes
    ----------
    gids
        int64[n_rows], ascending within a chunk: the source of each row.
    first_delay
        int64[n_rows]: the smallest delay of the row, in steps.
    table
        Row[n_rows] on the device.
    column_base
        uint32[n_columns] on the device: where each (plane, block) begins in the input array.
    input_size
        Elements of the input array.
    plane_begin, plane_stride
        By group: where its planes begin in the input array, and how long each is.
    """

    gids: npt.NDArray[np.int64]
    first_delay: npt.NDArray[np.int64]
    table: Array
    column_base: Array
    input_size: int
    plane_begin: tuple[int, ...]
    plane_stride: tuple[int, ...]
    max_delay: int
    runs_per_slot: int
    n_synapses: int
    n_runs: int
    segments: list[Array]  # runs and synapses of each chunk that has any
    chunk_rows: list[int]  # rows of each of these chunks
    n_regrown: int = 0  # synapses that are not stored: see build/procedural.py
    procedural_bytes: int = 0  # tables of theirs

    @property
    def synapses(self) -> int:
        """Stored or not."""
        return self.n_synapses + self.n_regrown

    def bytes(self, precision: str) -> int:
        return (
            self.n_synapses * SYNAPSE_BYTES[precision]
            + self.n_runs * RUN_BYTES
            + self.gids.size * ROW_BYTES
            + (self.procedural_bytes)
        )


@dataclass(frozen=True)
class Chunk:
    """Sources with global ids low … high - 1, and the projections that may start there."""

    low: int
    high: int
    projections: tuple[LocalProjection, ...]


def build_rows(
    network: Network,
    layout: Layout,
    planes_per_group: Sequence[int],
    projections: Sequence[LocalProjection],
    backend: Backend,
    kernels: Module,
    precision: str,
    block_bits: int,
    cell_budget: int = CELL_BUDGET,
    progress: Callable[[float], None] | None = None,
) -> Rows:
    """Build this rank's rows; see the module's docstring."""
    stride = tuple(-(-g.size // 64) * 64 for g in layout.groups)
    work = RowBuilder.of(layout, planes_per_group, backend, kernels, precision, block_bits)
    sizes = [n * s for n, s in zip(planes_per_group, stride, strict=True)]
    begin = tuple(int(x) for x in np.concatenate(([0], np.cumsum(sizes)[:-1]))) if sizes else ()
    bases = [
        begin[g] + plane * stride[g] + (block << block_bits)
        for g in range(len(layout.groups))
        for plane in range(planes_per_group[g])
        for block in range(work.blocks[g])
    ]
    chunks = plan_chunks(network.populations, projections, work.columns_of, cell_budget)
    for i, chunk in enumerate(chunks):
        work.build_chunk(chunk)
        if progress:
            progress((i + 1) / len(chunks))
    table = np.concatenate(work.tables) if work.tables else np.zeros((0, 3), np.uint64)
    return Rows(
        gids=np.concatenate(work.gids) if work.gids else np.empty(0, np.int64),
        first_delay=np.concatenate(work.first_delays) if work.first_delays else np.empty(0, np.int64),
        table=backend.to_device(table),
        column_base=backend.to_device(np.array(bases or [0], np.uint32)),
        input_size=int(sum(sizes)),
        plane_begin=begin,
        plane_stride=stride,
        max_delay=max((p.delays.last for p in projections), default=1),
        runs_per_slot=max(work.runs_per_slot, 1),
        n_synapses=work.n_synapses,
        n_runs=work.n_runs,
        segments=work.segments,
        chunk_rows=[g.size for g in work.gids],
    )


def rows_again(
    network: Network, projections: Sequence[LocalProjection], builder: RowBuilder, cell_budget: int, like: Rows,
    gids: tuple[int, int],
) -> Rows:  # fmt: skip
    """Rows of the sources gids[0] … gids[1] - 1 alone, beside those of a built network, in columns `like` its own."""
    for chunk in plan_chunks(network.populations, projections, builder.columns_of, cell_budget):
        low, high = max(chunk.low, gids[0]), min(chunk.high, gids[1])
        if low < high:
            builder.build_chunk(Chunk(low, high, chunk.projections))
    empty = np.empty(0, np.int64)
    tables = [np.zeros((0, 3), np.uint64), *builder.tables]
    return dataclasses.replace(
        like, gids=np.concatenate([empty, *builder.gids]), table=builder.backend.to_device(np.concatenate(tables)),
        n_synapses=builder.n_synapses, n_runs=builder.n_runs, segments=builder.segments,
        chunk_rows=[g.size for g in builder.gids],
    )  # fmt: skip


def plan_chunks(
    populations: Sequence[Population],
    projections: Sequence[LocalProjection],
    columns_of: Callable[[LocalProjection], set[int]],
    budget: int,
) -> list[Chunk]:
    """Cut the sources into chunks whose cells fit the budget.

    Populations that stand next to each other and share a projection go together where they fit: a chunk
    draws each of its projections once.
    """
    by_source: dict[str, list[LocalProjection]] = {}
    for projection in projections:
        for source in projection.described.sources:
            by_source.setdefault(source.name, []).append(projection)
    chunks: list[Chunk] = []
    for population in populations:
        mine = by_source.get(population.name)
        if not mine:
            continue
        joined = [*chunks[-1].projections] if chunks else []
        together = joined + [p for p in mine if p not in joined]
        adjacent = bool(chunks) and chunks[-1].high == population.first_gid
        shared = any(p in joined for p in mine)
        low = chunks[-1].low if chunks else 0
        high = population.first_gid + population.size
        if adjacent and shared and (high - low) * _cells_per_row(together, columns_of) * 4 <= budget:
            chunks[-1] = Chunk(low, high, tuple(together))
            continue
        step = max(1, budget // (4 * _cells_per_row(mine, columns_of)))
        for start in range(population.first_gid, high, step):
            chunks.append(Chunk(start, min(start + step, high), tuple(mine)))
    return chunks


def _cells_per_row(projections: Sequence[LocalProjection], columns_of: Callable[[LocalProjection], set[int]]) -> int:
    n_delays = max(p.delays.last for p in projections) - min(p.delays.first for p in projections) + 1
    return n_delays * max(1, len(set().union(*(columns_of(p) for p in projections))))


class RowBuilder:
    """Chunk after chunk; collects what the chunks leave behind."""

    def __init__(
        self, layout: Layout, backend: Backend, kernels: Module, precision: str, block_bits: int,
        blocks: Sequence[int], first_column: Sequence[int],
    ) -> None:  # fmt: skip
        self.layout, self.backend, self.kernels, self.precision = layout, backend, kernels, precision
        self.block_bits, self.blocks, self.first_column = block_bits, blocks, first_column
        self.tables: list[npt.NDArray[np.uint64]] = []
        self.gids: list[npt.NDArray[np.int64]] = []
        self.first_delays: list[npt.NDArray[np.int64]] = []
        self.segments: list[Array] = []
        self.n_synapses = self.n_runs = 0
        self.runs_per_slot = 1

    @classmethod
    def of(
        cls, layout: Layout, planes_per_group: Sequence[int], backend: Backend, kernels: Module, precision: str,
        block_bits: int,
    ) -> RowBuilder:  # fmt: skip
        """Nothing is built yet; columns are numbered group by group, plane by plane, block by block."""
        blocks = [max(1, -(-g.size // 2**block_bits)) for g in layout.groups]
        ends = np.cumsum([n * b for n, b in zip(planes_per_group, blocks, strict=True)]).tolist()
        first_column = [0, *ends]
        if first_column[-1] > 2**16:
            raise BuildError(f"planes and blocks of one rank: found {first_column[-1]}; allowed: 65536; use more ranks")
        return cls(layout, backend, kernels, precision, block_bits, blocks, first_column)

    def columns_of(self, projection: LocalProjection) -> set[int]:
        """Global columns (plane and block) that a projection's synapses fall into."""
        group = self.layout.group_of(projection.part.population_id).index
        blocks = self.blocks[group]
        return {
            self.first_column[group] + plane * blocks + block for plane in projection.planes for block in range(blocks)
        }

    def count_chunk(self, chunk: Chunk) -> Counted:
        """Count the synapses of every cell and, of every row, runs and synapses."""
        backend = self.backend
        columns = sorted(set().union(*(self.columns_of(p) for p in chunk.projections)))
        first_delay = min(p.delays.first for p in chunk.projections)
        n_delays = max(p.delays.last for p in chunk.projections) - first_delay + 1
        n_rows = chunk.high - chunk.low
        cells_per_row = n_delays * len(columns)
        cells = backend.zeros(n_rows * cells_per_row, np.uint32)
        launches: list[tuple[LocalProjection, Any, list[Any]]] = []
        for p in chunk.projections:
            group = self.layout.group_of(p.part.population_id).index
            arguments, keep = p.arguments(backend, chunk.low, self.block_bits)
            compact = {
                plane: columns.index(self.first_column[group] + plane * self.blocks[group]) for plane in p.planes
            }
            arguments.positive_column = compact.get(p.positive_plane, 0)
            arguments.negative_column = compact.get(p.negative_plane, 0)
            arguments.first_delay, arguments.n_delays, arguments.n_columns = first_delay, n_delays, len(columns)
            arguments.n_rows, arguments.cells = n_rows, backend.pointer(cells)
            launches.append((p, arguments, keep))
        for p, arguments, _ in launches:
            self.kernels.launch(f"count_{p.kernel}", arguments, p.n_items(n_rows))
        runs_before = backend.empty(n_rows, np.uint64)
        synapses_before = backend.empty(n_rows, np.uint64)
        device_columns = backend.to_device(np.array(columns, np.uint16))
        rows = structs.Rows(
            n_rows=n_rows, cells_per_row=cells_per_row, n_columns=len(columns), first_delay=first_delay,
            cells=backend.pointer(cells), runs_before=backend.pointer(runs_before),
            synapses_before=backend.pointer(synapses_before), column=backend.pointer(device_columns),
        )  # fmt: skip
        self.kernels.launch("row_totals", rows, n_rows)
        return Counted(rows, runs_before, synapses_before, launches, (cells, device_columns))

    def build_chunk(self, chunk: Chunk) -> None:
        backend, n_rows = self.backend, chunk.high - chunk.low
        counted = self.count_chunk(chunk)
        rows, launches = counted.rows, counted.launches
        runs_before, synapses_before = counted.runs, counted.synapses
        n_runs = backend.exclusive_sum(runs_before)
        n_synapses = backend.exclusive_sum(synapses_before)
        if n_synapses > SYNAPSES_OF_A_CHUNK:
            before = backend.to_host(synapses_before)
            del counted, rows, launches, runs_before, synapses_before
            for low, high in _cut(before, n_synapses):
                self.build_chunk(Chunk(chunk.low + low, chunk.low + high, chunk.projections))
            return
        if not n_synapses:
            return
        runs = backend.empty(n_runs * 3, np.uint32)
        synapses = backend.empty(n_synapses, np.int32 if self.precision == "single" else np.int64)
        shortest = backend.empty(n_rows, np.uint16)
        rows.runs, rows.shortest = backend.pointer(runs), backend.pointer(shortest)
        most = backend.zeros(1, np.uint32)
        rows.most_of_a_delay = backend.pointer(most)
        self.kernels.launch("write_runs", rows, n_rows)
        for p, arguments, _ in launches:
            arguments.synapses = backend.pointer(synapses)
            self.kernels.launch(f"fill_{p.kernel}", arguments, p.n_items(n_rows))
        self._keep(chunk, n_runs, n_synapses, runs, synapses, runs_before, synapses_before, shortest)
        self.runs_per_slot = max(self.runs_per_slot, int(backend.to_host(most)[0]))

    def _keep(
        self, chunk: Chunk, n_runs: int, n_synapses: int, runs: Array, synapses: Array,
        runs_before: Array, synapses_before: Array, shortest: Array,
    ) -> None:  # fmt: skip
        first_run = self.backend.to_host(runs_before)
        count = np.diff(first_run, append=np.uint64(n_runs))
        there = np.flatnonzero(count)
        first_run = first_run[there]
        first_synapse = self.backend.to_host(synapses_before)[there]
        table = np.empty((there.size, 3), np.uint64)
        size = np.uint64(SYNAPSE_BYTES[self.precision])
        table[:, 0] = np.uint64(self.backend.pointer(synapses)) + first_synapse * size
        table[:, 1] = np.uint64(self.backend.pointer(runs)) + first_run * np.uint64(RUN_BYTES)
        table[:, 2] = count[there]
        self.tables.append(table)
        self.gids.append(chunk.low + there.astype(np.int64))
        self.first_delays.append(self.backend.to_host(shortest)[there].astype(np.int64))
        self.segments += [runs, synapses]
        self.n_synapses += n_synapses
        self.n_runs += n_runs


@dataclass(frozen=True)
class Counted:
    """A chunk whose synapses are counted: the kernels' structure, and by row the numbers of runs and synapses."""

    rows: Any
    runs: Array
    synapses: Array
    launches: list[tuple[LocalProjection, Any, list[Any]]]
    keep: tuple[Array, ...]


def _cut(before: npt.NDArray[np.uint64], n_synapses: int) -> list[tuple[int, int]]:
    """Ranges of rows with at most SYNAPSES_OF_A_CHUNK synapses each, from the synapses before each row.

    Raises
    ------
    BuildError
        One row has more by itself.
    """
    ends = np.append(before[1:], np.uint64(n_synapses))
    ranges, low = [], 0
    while low < before.size:
        most = np.uint64(int(before[low]) + SYNAPSES_OF_A_CHUNK)
        high = int(np.searchsorted(ends, most, side="right"))
        if high == low:
            found = int(ends[low] - before[low])
            raise BuildError(f"one source: found {found} synapses on one rank; allowed: 2^32 - 1; use more ranks")
        ranges.append((low, high))
        low = high
    return ranges
