"""Connectivity of a built network, read back from its rows: what was built, not what was described."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.engine.simulation import Simulation

RUN = np.dtype([("offset", "u4"), ("count", "u4"), ("delay", "u2"), ("column", "u2")])


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


def read_connections(simulation: Simulation, source_id: int, target_id: int) -> Connections:
    """All connections from one population to another, from all ranks, on every rank."""
    local = _read_local(simulation, source_id, target_id)
    parts = [np.concatenate(simulation.comm.share(column)) for column in local]
    source, target, weight, delay, receptor = parts
    order = np.lexsort((weight, delay, source, target))
    dt = simulation.experiment.run.dt
    return Connections(source[order], target[order], weight[order], np.round(delay[order] * dt, 10), receptor[order])


def _read_local(simulation: Simulation, source_id: int, target_id: int) -> list[npt.NDArray[Any]]:
    """source, target, weight, delay (steps), receptor of this rank's synapses."""
    rows, populations = simulation.rows, simulation.experiment.network.populations
    source = populations[source_id]
    found: list[list[npt.NDArray[Any]]] = [[] for _ in range(5)]
    first = 0
    for k, n_rows in enumerate(rows.chunk_rows):
        gids = rows.gids[first : first + n_rows]
        begin, end = np.searchsorted(gids, (source.first_gid, source.first_gid + source.size))
        table = simulation.backend.to_host(rows.table[first + begin : first + end])
        first += n_rows
        if begin == end:
            continue
        runs_array, synapses_array = rows.segments[2 * k], rows.segments[2 * k + 1]
        runs = simulation.backend.to_host(runs_array).view(RUN)
        synapses = simulation.backend.to_host(synapses_array)
        first_run = (table[:, 1] - np.uint64(simulation.backend.pointer(runs_array))) // np.uint64(RUN.itemsize)
        n_runs = (table[:, 2] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        here = np.repeat(first_run.astype(np.int64) - np.cumsum(n_runs) + n_runs, n_runs) + np.arange(n_runs.sum())
        mine = runs[here]
        # The chunk's runs and synapses follow one another in the order of its rows.
        at = np.uint64(simulation.backend.pointer(synapses_array))
        start = int((table[0, 0] - at) // np.uint64(synapses.itemsize))
        count = mine["count"].astype(np.int64)
        words = synapses[start : start + int(count.sum())].astype(np.int64)
        base = simulation.backend.to_host(rows.column_base).astype(np.int64)[mine["column"]]
        columns = _targets(simulation, target_id, np.repeat(base, count) + (words & 0xFFFF), words >> 16)
        chosen = columns[0]
        of_row = np.repeat(np.repeat(gids[begin:end] - source.first_gid, n_runs), count)
        found[0].append(of_row[chosen])
        found[1].append(columns[1])
        found[2].append(columns[2])
        found[3].append(np.repeat(mine["delay"].astype(np.int64), count)[chosen])
        found[4].append(columns[3])
    dtypes = (np.int64, np.int64, np.float64, np.int64, np.int64)
    return [np.concatenate([np.empty(0, d), *parts]).astype(d) for d, parts in zip(dtypes, found, strict=True)]


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
