"""Synapse rows of one rank, built from the description without communication.

For each chunk of sources: count the synapses of every cell (source, delay, plane, block), turn counts into
rows and runs by prefix sums, draw again and write every synapse to its place. No sort, no copy; cells are
the only scratch memory. Where most cells would be empty, synapses are sorted instead: see `chunks` and
kernels/sparse.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend, Module
from distsim.build.chunks import CELL_BUDGET, Chunk, bucket_bits, plan_chunks
from distsim.build.partition import Layout
from distsim.build.projections import LocalProjection
from distsim.errors import BuildError
from distsim.kernels import connect as structs
from distsim.network import Network

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
        uint16[n_rows]: the smallest delay of the row, in steps.
    table
        Row[n_rows] on the device, in the order of `gids`, or where `number` says.
    column_base
        uint32[n_columns] on the device: where each (plane, block) begins in the input array.
    input_size
        Elements of the input array.
    plane_begin, plane_stride
        By group: where its planes begin in the input array, and how long each is.
    """

    gids: npt.NDArray[np.int64]
    first_delay: npt.NDArray[np.uint16]
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
    number: npt.NDArray[np.uint32] | None = None  # of each row, where `place` has put them in another order
    n_empty: int = 0  # rows of sources without synapses here
    n_regrown: int = 0  # synapses that are not stored: see build/procedural.py
    procedural_bytes: int = 0  # tables of theirs

    @property
    def synapses(self) -> int:
        """Stored or not."""
        return self.n_synapses + self.n_regrown

    def bytes(self, precision: str) -> int:
        rows = (self.gids.size + self.n_empty) * ROW_BYTES + self.procedural_bytes
        return self.n_synapses * SYNAPSE_BYTES[precision] + self.n_runs * RUN_BYTES + rows

    def place(self, number: npt.NDArray[np.uint32], n_rows: int, backend: Backend) -> None:
        """Give each row another number, of `n_rows`; what lies between stays empty."""
        table = np.zeros((n_rows, 3), np.uint64)
        table[number] = backend.to_host(self.table)
        self.table = backend.to_device(table)
        self.number, self.n_empty = number, n_rows - number.size

    def entries(self, begin: int, end: int, backend: Backend) -> npt.NDArray[np.uint64]:
        """The entries of `gids[begin:end]` in the table, on the host."""
        if self.number is None:
            return backend.to_host(self.table[begin:end])
        return backend.to_host(self.table[backend.to_device(self.number[begin:end].astype(np.int64))])


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
    sizes = [n * s for n, s in zip(planes_per_group, stride, strict=True)]
    begin = tuple(int(x) for x in np.concatenate(([0], np.cumsum(sizes)[:-1]))) if sizes else ()
    work = RowBuilder.of(layout, planes_per_group, backend, kernels, precision, block_bits)
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
    return Rows(
        gids=work.gids,
        first_delay=work.first_delay,
        table=backend.to_device(work.table),
        column_base=backend.to_device(np.array(bases or [0], np.uint32)),
        input_size=int(sum(sizes)),
        plane_begin=begin,
        plane_stride=stride,
        max_delay=max((p.delays.last for p in projections), default=1),
        runs_per_slot=max(work.runs_per_slot, 1),
        n_synapses=work.n_synapses,
        n_runs=work.n_runs,
        segments=work.segments,
        chunk_rows=work.chunk_rows,
    )


@dataclass(frozen=True)
class _Grid:
    """Cells of a source: its delays by its columns (planes and blocks)."""

    columns: list[int]
    first_delay: int
    n_delays: int


class RowBuilder:
    """Chunk after chunk; collects what the chunks leave behind."""

    def __init__(
        self, layout: Layout, backend: Backend, kernels: Module, precision: str, block_bits: int,
        blocks: Sequence[int], first_column: Sequence[int],
    ) -> None:  # fmt: skip
        self.layout, self.backend, self.kernels, self.precision = layout, backend, kernels, precision
        self.block_bits, self.blocks, self.first_column = block_bits, blocks, first_column
        self.table = np.empty((0, 3), np.uint64)
        self.gids, self.first_delay = np.empty(0, np.int64), np.empty(0, np.uint16)
        self.chunk_rows: list[int] = []
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

    def build_chunk(self, chunk: Chunk) -> None:
        if chunk.expected is not None:
            self._sort_chunk(chunk)
            return
        backend, grid = self.backend, self._grid(chunk)
        n_rows, cells_per_row = chunk.high - chunk.low, grid.n_delays * len(grid.columns)
        cells = backend.zeros(n_rows * cells_per_row, np.uint32)
        launches = self._launches(chunk, grid, cells)
        for p, arguments, _ in launches:
            self.kernels.launch(f"count_{p.kernel}", arguments, p.n_items(n_rows))
        runs_before = backend.empty(n_rows, np.uint64)
        synapses_before = backend.empty(n_rows, np.uint64)
        device_columns = backend.to_device(np.array(grid.columns, np.uint16))
        rows = structs.Rows(
            n_rows=n_rows, cells_per_row=cells_per_row, n_columns=len(grid.columns), first_delay=grid.first_delay,
            cells=backend.pointer(cells), runs_before=backend.pointer(runs_before),
            synapses_before=backend.pointer(synapses_before), column=backend.pointer(device_columns),
        )  # fmt: skip
        self.kernels.launch("row_totals", rows, n_rows)
        n_runs = backend.exclusive_sum(runs_before)
        n_synapses = backend.exclusive_sum(synapses_before)
        if n_synapses > SYNAPSES_OF_A_CHUNK:
            before = backend.to_host(synapses_before)
            del cells, runs_before, synapses_before, launches
            for low, high in _cut(before, n_synapses):
                self.build_chunk(chunk.cut(low, high))
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

    def _grid(self, chunk: Chunk) -> _Grid:
        first = min(p.delays.first for p in chunk.projections)
        last = max(p.delays.last for p in chunk.projections)
        return _Grid(sorted(set().union(*(self.columns_of(p) for p in chunk.projections))), first, last - first + 1)

    def _launches(self, chunk: Chunk, grid: _Grid, cells: Array) -> list[tuple[LocalProjection, Any, list[Any]]]:
        """Each projection, its kernels' arguments, and what has to outlive these."""
        launches = []
        for p in chunk.projections:
            group = self.layout.group_of(p.part.population_id).index
            arguments, keep = p.arguments(self.backend, chunk.low, self.block_bits)
            compact = {
                plane: grid.columns.index(self.first_column[group] + plane * self.blocks[group]) for plane in p.planes
            }
            arguments.positive_column = compact.get(p.positive_plane, 0)
            arguments.negative_column = compact.get(p.negative_plane, 0)
            arguments.first_delay, arguments.n_delays = grid.first_delay, grid.n_delays
            arguments.n_columns = len(grid.columns)
            arguments.n_rows, arguments.cells = chunk.high - chunk.low, self.backend.pointer(cells)
            launches.append((p, arguments, keep))
        return launches

    def _sort_chunk(self, chunk: Chunk) -> None:
        """Rows of sources that have few synapses here: see kernels/sparse.cpp."""
        backend, grid, launch = self.backend, self._grid(chunk), self.kernels.launch
        n_rows, cells_per_row = chunk.high - chunk.low, grid.n_delays * len(grid.columns)
        bits = bucket_bits(chunk, cells_per_row)
        n_buckets = ((n_rows - 1) >> bits) + 1
        counters, most = backend.zeros(n_buckets, np.uint32), backend.zeros(1, np.uint32)
        launches = self._launches(chunk, grid, counters)
        for p, arguments, _ in launches:
            arguments.sparse, arguments.bucket_bits = 1, bits
            launch(f"count_{p.kernel}", arguments, p.n_items(n_rows))
        before, runs_before = backend.empty(n_buckets, np.uint64), backend.empty(n_buckets, np.uint64)
        columns = backend.to_device(np.array(grid.columns, np.uint16))
        rows = structs.SparseRows(
            n_buckets=n_buckets, bucket_bits=bits, cells_per_row=cells_per_row, n_columns=len(grid.columns),
            first_delay=grid.first_delay, counters=backend.pointer(counters), synapses_before=backend.pointer(before),
            rows_before=backend.pointer(before), runs_before=backend.pointer(runs_before),
            column=backend.pointer(columns), most_of_a_delay=backend.pointer(most),
        )  # fmt: skip
        launch("bucket_totals", rows, n_buckets)
        n_synapses = backend.exclusive_sum(before)
        if n_synapses > SYNAPSES_OF_A_CHUNK:
            bounds = _cut(backend.to_host(before), n_synapses)
            del counters, before, runs_before, launches
            for low, high in bounds:
                self.build_chunk(chunk.cut(low << bits, high << bits))
            return
        if not n_synapses:
            return
        launch("open_buckets", rows, n_buckets)
        keys = backend.empty(n_synapses, np.uint32)
        synapses = backend.empty(n_synapses, np.int32 if self.precision == "single" else np.int64)
        rows.keys, rows.synapses = backend.pointer(keys), backend.pointer(synapses)
        for p, arguments, _ in launches:
            arguments.keys, arguments.synapses = rows.keys, rows.synapses
            launch(f"fill_{p.kernel}", arguments, p.n_items(n_rows))
        launch("sort_buckets", rows, n_buckets)  # from here on `before` counts rows
        n_there, n_runs = backend.exclusive_sum(before), backend.exclusive_sum(runs_before)
        runs, table = backend.empty(n_runs * 3, np.uint32), backend.empty((n_there, 3), np.uint64)
        source, shortest = backend.empty(n_there, np.int64), backend.empty(n_there, np.uint16)
        rows.runs, rows.table = backend.pointer(runs), backend.pointer(table)
        rows.source, rows.shortest = backend.pointer(source), backend.pointer(shortest)
        launch("write_sparse_rows", rows, n_buckets)
        del launches, arguments, keys, counters, before, runs_before
        gids = backend.to_host(source)
        gids += chunk.low
        made = [backend.to_host(table), gids, backend.to_host(shortest)]
        del table, source, shortest, gids
        self._count(made, runs, synapses, n_runs, n_synapses)
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
        gids = chunk.low + there.astype(np.int64)
        made: list[npt.NDArray[Any]] = [table, gids, self.backend.to_host(shortest)[there]]
        del table, gids
        self._count(made, runs, synapses, n_runs, n_synapses)

    def _count(self, made: list[npt.NDArray[Any]], runs: Array, synapses: Array, n_runs: int, n_synapses: int) -> None:
        """Take over the table, the sources and the shortest delays that were `made`, one after the other."""
        self.chunk_rows.append(len(made[0]))
        self.table = _grown(self.table, made.pop(0))
        self.gids = _grown(self.gids, made.pop(0))
        self.first_delay = _grown(self.first_delay, made.pop(0))
        self.segments += [runs, synapses]
        self.n_synapses += n_synapses
        self.n_runs += n_runs


def _grown(whole: npt.NDArray[Any], part: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`whole` with `part` behind it, in the memory that `whole` has, so that it is not held twice."""
    if not len(whole):
        return np.require(part, requirements=["OWNDATA", "WRITEABLE"])
    n = len(whole)
    whole.resize((n + len(part), *whole.shape[1:]), refcheck=False)  # only its builder knows it so far
    whole[n:] = part
    return whole


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
