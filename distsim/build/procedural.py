"""Projections whose synapses are not stored: what a rank has to know to draw their rows again.

Of each source the synapses on this rank are counted once, by the kernels that would count them before storing them. So
rows, routing and the exchange interval are those of the stored network, and a spike goes only where it has synapses.
What stays is a projection's description on the device, 8 bytes a row for its source, for fixed_total_number 8 bytes a
source for its share of the total, and for rules of space the local targets in their cells (see spatial.py).

A row says by its `set` which projections draw more synapses for it. Other kinds of rows that are made at arrival
can have sets of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend, Module
from distsim.build.chunks import plan_chunks
from distsim.build.partition import Layout
from distsim.build.projections import LocalProjection
from distsim.build.rows import RowBuilder, Rows
from distsim.build.spatial import array_of, is_placed
from distsim.elements import Projection
from distsim.kernels import connect, procedural
from distsim.kernels.sources import regrowing_source
from distsim.network import Network
from distsim.rules import AllToAll, OneToOne, is_spatial

ALL_ROWS = 2**62


def is_procedural(projection: Projection) -> bool:
    """Whether the projection's synapses are drawn again for each spike."""
    return projection.storage == "procedural"


def regrowing(projections: Sequence[Projection]) -> str:
    """The source of what the loop needs for these projections."""
    mine = [p for p in projections if is_procedural(p)]
    return regrowing_source(any(map(is_placed, mine)), any(is_spatial(p.rule) for p in mine)) if mine else ""


@dataclass(frozen=True)
class Regrown:
    """Procedural projections of one rank.

    Attributes
    ----------
    structure
        The kernels' view.
    local
        The projections, population by population of their targets.
    gids, counts
        int64[n]: sources with synapses here, ascending, and how many they have.
    """

    structure: Any
    local: tuple[LocalProjection, ...]
    gids: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    keep: list[Any]

    @property
    def bytes(self) -> int:
        """What sources and the kernels' view take."""
        tables = sum(int(k.nbytes) for k in self.keep if hasattr(k, "nbytes"))
        return tables + self.gids.nbytes + self.counts.nbytes

    def locate(self, rows: Rows, backend: Backend) -> None:
        """Say whose each row is; once rows have the numbers that they keep."""
        source = np.zeros(max(1, len(rows.table)), np.uint64)
        source[slice(rows.gids.size) if rows.number is None else rows.number] = rows.gids
        self.keep.append(backend.to_device(source))
        self.structure.source = backend.pointer(self.keep[-1])


def add_regrown(
    network: Network, layout: Layout, projections: Sequence[LocalProjection], rows: Rows, backend: Backend,
    kernels: Module, cell_budget: int, scaled: Sequence[Sequence[int]],
) -> Regrown | None:  # fmt: skip
    """Make room in `rows` for the sources of procedural projections; None where no projection is.

    Parameters
    ----------
    scaled
        By group and plane: which numbers that spikes carry multiply its weights.
    """
    if not projections:
        return None
    found = list(_count(network, projections, backend, kernels, cell_budget))
    empty = np.empty(0, np.int64)
    gids, counts, first = (np.concatenate([empty, *(f[k] for f in found)]) for k in range(3))
    # Sources in the order of their global ids: chunks come by population.
    set_of = {}
    begin, members = [0], []
    for population in network.populations:
        mine = [k for k, p in enumerate(projections) if any(s.name == population.name for s in p.described.sources)]
        if mine:
            set_of[population.name] = len(begin)
            members += mine
            begin.append(len(members))
    _extend(rows, gids, first.astype(np.uint16), _sets(network, gids, set_of), backend)
    rows.max_delay = max(rows.max_delay, *(p.delays.last for p in projections))
    keep: list[Any] = []

    def pointer(array: npt.NDArray[Any] | Array) -> int:
        on_device = backend.to_device(array) if isinstance(array, np.ndarray) else array
        keep.append(on_device)
        return backend.pointer(on_device)

    made = []
    for p in projections:
        arguments, kept = p.arguments(backend, 0, 16)
        keep.append(kept)
        arguments.n_rows = ALL_ROWS
        group = layout.group_of(p.part.population_id).index
        at = {plane: rows.plane_begin[group] + plane * rows.plane_stride[group] for plane in (-1, *p.planes)}
        is_scaled = {plane: scaled[group][plane] if plane >= 0 else 0 for plane in at}
        made.append(
            procedural.Regrown(
                connect=array_of([arguments], pointer), kind=_kind(p),
                positive_base=max(0, at.get(p.positive_plane, 0)), negative_base=max(0, at.get(p.negative_plane, 0)),
                positive_scaled=is_scaled.get(p.positive_plane, 0), negative_scaled=is_scaled.get(p.negative_plane, 0),
            )
        )  # fmt: skip
    listed = array_of([made[k] for k in members], pointer) if members else 0
    structure = procedural.Procedural(list=listed, begin=pointer(np.array(begin, np.uint32)))
    rows.n_regrown = int(counts.sum())
    tables = [t for p in projections for t in (p.shares, *(p.placed.keep if p.placed else ())) if t is not None]
    held = {id(t): int(t.nbytes) for t in tables}  # those onto several populations have some in common
    rows.procedural_bytes = 8 * rows.gids.size + sum(held.values())
    return Regrown(structure, tuple(projections), gids, counts, keep)


def _kind(projection: LocalProjection) -> int:
    rule = projection.described.rule
    if is_spatial(rule):
        return procedural.REGROW_SPATIAL
    if isinstance(rule, AllToAll):
        return procedural.REGROW_ALL
    return procedural.REGROW_ONE if isinstance(rule, OneToOne) else procedural.REGROW_SCATTERED


def _count(
    network: Network, projections: Sequence[LocalProjection], backend: Backend, kernels: Module, cell_budget: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Sources with synapses here, their number, the smallest delay; a counter for each delay of a source."""
    for population in network.populations:
        mine = [p for p in projections if any(s.name == population.name for s in p.described.sources)]
        if not mine:
            continue
        first = min(p.delays.first for p in mine)
        n_delays = max(p.delays.last for p in mine) - first + 1
        step, end = max(1, cell_budget // (4 * n_delays)), population.first_gid + population.size
        for low in range(population.first_gid, end, step):
            n_rows = min(step, end - low)
            cells = backend.zeros(n_rows * n_delays, np.uint32)
            for p in mine:
                c, keep = p.arguments(backend, low, 31)  # all targets in one block, all planes in one column
                c.first_delay, c.n_delays, c.n_columns = first, n_delays, 1
                c.n_rows, c.cells = n_rows, backend.pointer(cells)
                kernels.launch(f"count_{p.kernel}", c, p.n_items(n_rows))
                del keep
            totals = [backend.empty(n_rows, np.uint64) for _ in range(2)]
            shortest = backend.empty(n_rows, np.uint16)
            rows = connect.Rows(
                n_rows=n_rows, cells_per_row=n_delays, n_columns=1, first_delay=first, cells=backend.pointer(cells),
                runs_before=backend.pointer(totals[0]), synapses_before=backend.pointer(totals[1]),
                shortest=backend.pointer(shortest),
            )  # fmt: skip
            kernels.launch("row_totals", rows, n_rows)
            kernels.launch("row_shortest", rows, n_rows)
            count = backend.to_host(totals[1]).astype(np.int64)
            there = np.flatnonzero(count)
            yield low + there, count[there], backend.to_host(shortest)[there].astype(np.int64)


def _sets(network: Network, gids: npt.NDArray[np.int64], set_of: dict[str, int]) -> npt.NDArray[np.uint64]:
    """By source: 1 + the number of its population's set."""
    first = np.array([p.first_gid for p in network.populations], np.int64)
    numbers = np.array([set_of.get(p.name, 0) for p in network.populations], np.uint64)
    return numbers[np.searchsorted(first, gids, side="right") - 1]


def _extend(
    rows: Rows, gids: npt.NDArray[np.int64], first: npt.NDArray[np.uint16], sets: npt.NDArray[np.uint64],
    backend: Backend,
) -> None:  # fmt: skip
    """Rows for these sources: those that are there are marked, others follow, without runs."""
    table = backend.to_host(rows.table).copy()
    order = np.argsort(rows.gids, kind="stable")
    at = np.searchsorted(rows.gids[order], gids)
    known = np.zeros(gids.size, bool)
    if rows.gids.size:
        known = rows.gids[order][np.minimum(at, rows.gids.size - 1)] == gids
    mine = order[at[known]]
    table[mine, 2] |= sets[known] << np.uint64(32)
    rows.first_delay[mine] = np.minimum(rows.first_delay[mine], first[known])
    more = np.zeros((int((~known).sum()), 3), np.uint64)
    more[:, 2] = sets[~known] << np.uint64(32)
    rows.table = backend.to_device(np.concatenate([table, more]))
    rows.gids = np.concatenate([rows.gids, gids[~known]])
    rows.first_delay = np.concatenate([rows.first_delay, first[~known]])


def rows_again(
    network: Network, projections: Sequence[LocalProjection], builder: RowBuilder, cell_budget: int, like: Rows,
    gids: tuple[int, int],
) -> Rows:  # fmt: skip
    """Stored rows of the sources gids[0] … gids[1] - 1 alone, in the columns of a built network's rows."""
    for chunk in plan_chunks(network.populations, projections, builder.columns_of, cell_budget):
        low, high = max(chunk.low, gids[0]), min(chunk.high, gids[1])
        if low < high:
            builder.build_chunk(chunk.cut(low - chunk.low, high - chunk.low))
    return dataclasses.replace(
        like, gids=builder.gids, table=builder.backend.to_device(builder.table), n_synapses=builder.n_synapses,
        n_runs=builder.n_runs, segments=builder.segments, chunk_rows=builder.chunk_rows, number=None, n_empty=0,
    )  # fmt: skip
