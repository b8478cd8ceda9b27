"""Connectivity of a built network, read back from its rows: what was built, not what was described."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.build.procedural import Regrown, rows_again
from distsim.build.rows import Rows
from distsim.engine.simulation import Simulation
from distsim.models.weighing import row_scale

RUN = np.dtype([("offset", "u4"), ("count", "u4"), ("delay", "u2"), ("column", "u2")])

WINDOW = 2**22  # synapses
Columns = tuple[npt.NDArray[Any], ...]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Connections:
    """Connections from one population to another; one entry a synapse, by target, then source.

    Attributes
    ----------
    source, target
        int64[n], population-local ids.
    weight
        float64[n], as simulated: a whole number of quanta, in the receptor's unit.
    delay
        float64[n], ms.
    receptor
        int64[n], index of the receptor among the target model's.
    """

    source: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]
    delay: npt.NDArray[np.float64]
    receptor: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return self.source.size

    def to_pandas(self) -> Any:
        """A pandas DataFrame with these five columns; needs pandas."""
        import pandas

        return pandas.DataFrame({name: getattr(self, name) for name in self.__dataclass_fields__})


def read_connections(
    simulation: Simulation, source_id: int, target_id: int, sources: Ids | None = None, targets: Ids | None = None
) -> Connections:
    """All connections from one population to another, from all ranks, on every rank; of some neurons, where said.

    `sources` and `targets` are local ids, ascending.
    """
    local = _read_local(simulation, source_id, target_id, sources, targets)
    parts = [np.concatenate(simulation.comm.share(column)) for column in local]
    source, target, weight, delay, receptor = parts
    order = np.lexsort((weight, delay, source, target))
    dt = simulation.experiment.run.dt
    return Connections(source[order], target[order], weight[order], np.round(delay[order] * dt, 10), receptor[order])


def _read_local(
    simulation: Simulation, source_id: int, target_id: int, sources: Ids | None, targets: Ids | None
) -> list[npt.NDArray[Any]]:
    """source, target, weight, delay (steps), receptor of this rank's synapses."""
    found = [_between(columns, sources, targets) for columns in read_windows(simulation, source_id, target_id)]
    dtypes = (np.int64, np.int64, np.float64, np.int64, np.int64)
    return [np.concatenate([np.empty(0, d), *(f[k] for f in found)]).astype(d) for k, d in enumerate(dtypes)]


def _between(columns: Columns, sources: Ids | None, targets: Ids | None) -> Columns:
    for column, chosen in enumerate((sources, targets)):
        if chosen is not None:
            kept = np.isin(columns[column], chosen)
            columns = tuple(values[kept] for values in columns)
    return columns


def read_windows(simulation: Simulation, source_id: int, target_id: int, window: int = WINDOW) -> Iterator[Columns]:
    """(source, target, weight, delay in steps, receptor) of this rank's synapses, sources ascending.

    About `window` synapses are copied from the device at once, more only where one row has more. Synapses that are not
    stored are drawn again.
    """
    source, target = (simulation.experiment.network.populations[i] for i in (source_id, target_id))
    scale = row_scale(source.model, source.params)
    of_receptor = np.array([1.0 if r.counts else scale for r in target.model.receptors])
    for ids, targets, weight, delay, receptor in _as_stored(simulation, source_id, target_id, window):
        yield ids, targets, weight / of_receptor[receptor], delay, receptor


def _as_stored(simulation: Simulation, source_id: int, target_id: int, window: int) -> Iterator[Columns]:
    """As `read_windows`, with weights as they are stored."""
    network = simulation.experiment.network
    source = network.populations[source_id]
    drawn = [
        p
        for p in (simulation.regrown.local if simulation.regrown is not None else ())
        if p.part.population_id == target_id and any(s.name == source.name for s in p.described.sources)
    ]
    first, end = source.first_gid, source.first_gid + source.size
    if not drawn:
        yield from _stored(simulation, simulation.rows, target_id, first, end, first, window)
        return
    assert simulation.regrown is not None
    for low, high in _ranges(simulation.regrown, first, end, window):
        again = rows_again(
            network, drawn, simulation.row_builder(), simulation.tuning.cell_budget, simulation.rows, (low, high)
        )
        parts = [
            columns
            for rows in (simulation.rows, again)
            for columns in _stored(simulation, rows, target_id, low, high, first, window)
        ]
        if parts:
            joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
            order = np.argsort(joined[0], kind="stable")
            yield tuple(column[order] for column in joined)


def _ranges(regrown: Regrown, first: int, end: int, window: int) -> Iterator[tuple[int, int]]:
    """Global ids first … end - 1 in pieces with about `window` synapses that are drawn again."""
    here = slice(*np.searchsorted(regrown.gids, (first, end)))
    gids, before = regrown.gids[here], np.cumsum(regrown.counts[here])
    low = first
    while low < end:
        done = int(np.searchsorted(gids, low))
        sum_before = int(before[done - 1]) if done else 0
        last = max(done + 1, int(np.searchsorted(before, sum_before + window, side="right")))
        high = int(gids[last]) if last < gids.size else end
        yield low, high
        low = high


def _stored(
    simulation: Simulation, rows: Rows, target_id: int, low_gid: int, end_gid: int, first_gid: int, window: int
) -> Iterator[Columns]:
    """Synapses in `rows` of the sources low_gid … end_gid - 1, of a population that begins at `first_gid`."""
    first = 0
    for k, n_rows in enumerate(rows.chunk_rows):
        gids = rows.gids[first : first + n_rows]
        begin, end = np.searchsorted(gids, (low_gid, end_gid))
        synapses = rows.segments[2 * k + 1]
        at = np.uint64(simulation.backend.pointer(synapses))
        # The chunk's runs and synapses follow one another in the order of its rows.
        table = rows.entries(first + begin, first + min(end + 1, n_rows), simulation.backend)
        first += n_rows
        offsets = (table[:, 0] - at) // np.uint64(synapses.dtype.itemsize)
        starts = np.append(offsets, np.uint64(synapses.size)).astype(np.int64)[: end - begin + 1]
        low = 0
        while low < end - begin:
            high = max(low + 1, int(np.searchsorted(starts, starts[low] + window, side="right")) - 1)
            local = gids[begin + low : begin + high] - first_gid
            yield _read_rows(simulation, rows, target_id, k, local, table[low:high], starts[low], starts[high])
            low = high


def _read_rows(
    simulation: Simulation, rows: Rows, target_id: int, chunk: int, sources: npt.NDArray[np.int64],
    table: npt.NDArray[np.uint64], begin: int, end: int,
) -> Columns:  # fmt: skip
    """Of rows that follow one another in a chunk, with the synapses begin … end - 1: those onto the target."""
    backend = simulation.backend
    runs_array = rows.segments[2 * chunk]
    first_run = (table[:, 1] - np.uint64(backend.pointer(runs_array))) // np.uint64(RUN.itemsize)
    n_runs = (table[:, 2] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    words_of_run = RUN.itemsize // 4
    from_run, to_run = int(first_run[0]), int(first_run[-1]) + int(n_runs[-1])
    mine = backend.to_host(runs_array[from_run * words_of_run : to_run * words_of_run]).view(RUN)
    count = mine["count"].astype(np.int64)
    words = backend.to_host(rows.segments[2 * chunk + 1][begin:end]).astype(np.int64)
    base = backend.to_host(rows.column_base).astype(np.int64)[mine["column"]]
    chosen, ids, weights, receptors = _targets(
        simulation, target_id, np.repeat(base, count) + (words & 0xFFFF), words >> 16
    )
    source = np.repeat(np.repeat(sources, n_runs), count)[chosen]
    delay = np.repeat(mine["delay"].astype(np.int64), count)[chosen]
    order = np.argsort(source, kind="stable")  # by plane so far
    return tuple(column[order] for column in (source, ids, weights, delay, receptors))


def _targets(
    simulation: Simulation, target_id: int, at: npt.NDArray[np.int64], quanta: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Of synapses that add to input elements `at`: which belong to the target, its local id, weight, receptor."""
    layout, rows = simulation.layout, simulation.rows
    part, group = layout.part(target_id), layout.group_of(target_id)
    shape = simulation.groups[group.index].shape
    receptor_of = np.repeat(np.arange(len(shape.planes)), shape.planes)
    index, ids, weights, receptors = [], [], [], []
    for plane, receptor in enumerate(receptor_of):
        low = rows.plane_begin[group.index] + plane * rows.plane_stride[group.index] + part.begin
        here = np.flatnonzero((at >= low) & (at < low + part.count))
        gid = part.first_gid + part.stride * (at[here] - low)
        index.append(here)
        ids.append(gid - part.population.first_gid)
        weights.append(quanta[here] * simulation.planes.quanta[target_id][plane])
        receptors.append(np.full(here.size, receptor, np.int64))
    if not index:
        empty = np.empty(0, np.int64)
        return empty, empty, empty.astype(np.float64), empty
    return tuple(np.concatenate(x) for x in (index, ids, weights, receptors))  # type: ignore[return-value]
