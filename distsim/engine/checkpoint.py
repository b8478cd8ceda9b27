"""The state of a simulation by global identity: taken from any ranks, given to any ranks.

Connectivity, parameters and random numbers are functions of the description; what is left is the states of neurons
as they are declared and stored, bit for bit, and the spikes of the last steps, as many as the longest delay. The
time wheel, buffers and messages are not kept: they depend on ranks and device, and follow from those spikes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.engine.finite import check_finite, check_values
from distsim.engine.groups import GroupState
from distsim.engine.history import Spikes, together
from distsim.engine.simulation import Simulation
from distsim.errors import ResultError, during
from distsim.io.parts import HISTORY, MOST_NUMBER, SUMS, Arrays, layout_name, state_name
from distsim.kernels.loop import DELIVER, EVERYWHERE, NO_ROW
from distsim.kernels.reschedule import Reschedule


def capture(simulation: Simulation) -> dict[str, npt.NDArray[Any]]:
    """What this rank keeps of the steps computed so far, by name (every rank must call).

    Raises
    ------
    SimulationError
        A state is NaN or infinite.
    """
    assert simulation.history is not None
    time_ms = simulation.step * simulation.experiment.run.dt
    spikes = simulation.history.spikes()
    arrays: dict[str, npt.NDArray[Any]] = dict(
        zip(HISTORY, (spikes.step, spikes.gid, spikes.multiplicity, spikes.sent), strict=True)
    )
    for group in simulation.groups:
        model = group.group.model.symbol
        parts = [(p.first_gid, p.stride, p.count) for p in group.group.parts]
        arrays[layout_name(model)] = np.array(parts, np.int64).reshape(-1, 3)
        for name, array in group.states.items():
            values = simulation.backend.to_host(array)[: group.group.size]
            check_values(group, name, values, time_ms)
            arrays[state_name(model, name)] = values
    sums = simulation.digest_sums(), simulation.spike_counts()
    if simulation.comm.rank == 0:
        arrays.update(zip(SUMS, sums, strict=True))
    return arrays


@during("resume")
def restore(simulation: Simulation, parts: Sequence[Arrays], step: int) -> None:
    """Set a simulation that has computed nothing to the end of `step` (every rank must call).

    Parameters
    ----------
    parts
        What `capture` gave on some of the ranks of then: each of them is given to one rank of now.

    Raises
    ------
    ResultError
        The parts do not have every neuron exactly once, or belong to another network.
    SimulationError
        A state of theirs is NaN or infinite.
    """
    assert simulation.step == 0
    for part in parts:
        if np.any(part["history.gid"] >= simulation.experiment.network.size):
            raise ResultError(
                f"checkpoint: history.gid: found a neuron that is none of {simulation.experiment.network.size}"
            )
    for group in simulation.groups:
        _restore_states(simulation, group, parts)
    check_finite(simulation.groups, simulation.backend, step * simulation.experiment.run.dt)
    _restore_sums(simulation, parts)
    loop = simulation.loop
    loop.step = loop.interval_start = step + 1
    loop.phase, loop.draw_poisson = DELIVER, 1
    simulation.states.start_after(step, int(loop.record_after))
    simulation.rates.start_after(step)
    empty = np.empty(0, np.int64)
    own = _to_owners(
        simulation,
        [np.concatenate([empty, *(p[name].astype(np.int64) for p in parts)]) for name in ("history.gid", *HISTORY)],
    )
    spikes = together([Spikes(*own[1:])])
    if simulation.history is not None:
        simulation.history.restore(spikes)
    _put_on_wheel(simulation, spikes, step)


def _to_owners(simulation: Simulation, columns: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Columns of records, each to the rank that owns the global id in the first."""
    owner = simulation.layout.owner(columns[0])
    order = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[order], np.arange(1, simulation.comm.size))
    return [np.concatenate(simulation.comm.exchange_lists(np.split(c[order], bounds))) for c in columns]


def _restore_states(simulation: Simulation, group: GroupState, parts: Sequence[Arrays]) -> None:
    model, size = group.group.model.symbol, group.group.size
    if not group.states:
        return  # however many neurons the parts have of it
    layouts = [part[layout_name(model)] for part in parts if layout_name(model) in part]
    rows = np.concatenate([np.empty((0, 3), np.int64), *layouts])
    if sum(n for _, _, n in rows.tolist()) > simulation.experiment.network.size:
        raise ResultError(f"checkpoint: {model}: found more neurons than the network has")
    gids = np.concatenate([np.empty(0, np.int64), *(f + s * np.arange(n, dtype=np.int64) for f, s, n in rows.tolist())])
    for name, array in group.states.items():
        dtype = np.dtype(array.dtype)
        values = [part[state_name(model, name)] for part in parts if state_name(model, name) in part]
        column = np.concatenate([np.empty(0, dtype), *values])
        if column.dtype != dtype or column.size != gids.size:
            raise ResultError(f"checkpoint: {model}.{name}: found {column.dtype}[{column.size}]; allowed: {dtype}")
        owned, own = _to_owners(simulation, [gids, column])
        index = simulation.layout.local_index(owned) - group.group.begin
        if not np.array_equal(np.sort(index), np.arange(size)):
            raise ResultError(f"checkpoint: {model}.{name}: found {owned.size} values for {size} neurons of this rank")
        whole = simulation.backend.to_host(array).copy()
        whole[index] = own
        simulation.backend.copy_into(array, whole)
    for state in group.group.model.states:
        if state.index_of:  # kernels follow it
            held = simulation.backend.to_host(group.states[state.name])[:size]
            if np.any((held < 0) | (held > group.lengths[state.index_of])):
                raise ResultError(
                    f"checkpoint: {model}.{state.name}: found {held.min()} to {held.max()}, beyond its list"
                )


def _restore_sums(simulation: Simulation, parts: Sequence[Arrays]) -> None:
    """The sums go on on the rank that read them; they are added up over ranks anyway."""
    for name, held in zip(SUMS, ("digest", "spike_counts"), strict=True):
        array = simulation.held(held)
        whole = simulation.backend.to_host(array).copy()
        for part in parts:
            if name in part:
                expected = (*whole.shape[:1], *whole.shape[2:])
                if (*part[name].shape[:1], *part[name].shape[2:]) != expected:
                    raise ResultError(
                        f"checkpoint: {name}: found {list(part[name].shape)}; allowed: {list(whole.shape)}"
                    )
                periods = min(part[name].shape[1], whole.shape[1]) if whole.ndim == 3 else 0
                here = np.s_[:, :periods] if whole.ndim == 3 else np.s_[:]
                whole[here] += part[name][here]
        simulation.backend.copy_into(array, whole)


def _put_on_wheel(simulation: Simulation, spikes: Spikes, step: int) -> None:
    """Through the routing to every rank that needs them, and there onto the wheel, but for what was delivered."""
    routing, comm, layout = simulation.routing, simulation.comm, simulation.layout
    local = layout.local_index(spikes.gid) if spikes.gid.size else np.empty(0, np.int64)
    begin = routing.begin.astype(np.int64)
    n = begin[local + 1] - begin[local] if local.size else np.empty(0, np.int64)
    spike = np.repeat(np.arange(local.size), n)
    entry = np.repeat(begin[local] - np.cumsum(n) + n, n) + np.arange(int(n.sum())) if local.size else n
    to, row = routing.rank[entry].astype(np.int64), routing.row[entry].astype(np.int64)
    to, row, spike = _everywhere(to, row, spike, comm.rank, comm.size)
    here = np.flatnonzero(routing.local_row[local] != NO_ROW)
    spike, row = np.concatenate([here, spike]), np.concatenate([routing.local_row[local[here]].astype(np.int64), row])
    to = np.concatenate([np.full(here.size, comm.rank, np.int64), to])
    order = np.argsort(to, kind="stable")
    bounds = np.searchsorted(to[order], np.arange(1, comm.size))
    rows, emitted, multiplicity, sent = (
        np.concatenate(comm.exchange_lists(np.split(c[order], bounds)))
        for c in (row, spikes.step[spike], spikes.multiplicity[spike], spikes.sent[spike])
    )
    if rows.size:
        _schedule(simulation, rows, emitted, multiplicity, sent, step)


def _everywhere(
    to: npt.NDArray[np.int64], row: npt.NDArray[np.int64], spike: npt.NDArray[np.int64], rank: int, n_ranks: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Entries for all ranks become one for each other rank."""
    shared = to == EVERYWHERE
    others = np.delete(np.arange(n_ranks), rank)
    each = np.repeat(np.flatnonzero(shared), others.size)
    return (
        np.concatenate([to[~shared], np.tile(others, int(shared.sum()))]),
        np.concatenate([row[~shared], row[each]]),
        np.concatenate([spike[~shared], spike[each]]),
    )


def _schedule(
    simulation: Simulation,
    rows: npt.NDArray[Any],
    emitted: npt.NDArray[Any],
    multiplicity: npt.NDArray[Any],
    sent: npt.NDArray[Any],
    step: int,
) -> None:
    backend, loop = simulation.backend, simulation.loop
    in_flight = int(multiplicity.sum()) * max(1, simulation.rows.runs_per_slot)
    if in_flight > MOST_NUMBER // 2:  # kernels count them in 32 bits, and two for one that carries a number
        most = MOST_NUMBER // 2
        raise ResultError(f"checkpoint: history.multiplicity: found up to {in_flight} events; allowed: {most}")
    held = [backend.to_device(a) for a in (emitted, *(x.astype(np.uint32) for x in (rows, multiplicity, sent)))]
    arguments = Reschedule(
        n=rows.size, row=backend.pointer(held[1]), emitted=backend.pointer(held[0]), computed=step,
        multiplicity=backend.pointer(held[2]), sent=backend.pointer(held[3]),
        column_scaled=loop.column_scaled, ring=loop.ring, procedural=loop.procedural, rows=loop.rows,
        column_base=loop.column_base,
        due_count=loop.due_count, slot_mask=loop.slot_mask,
    )  # fmt: skip
    simulation.reset_wheel(0)
    simulation.loop_module.launch("reschedule", arguments, rows.size)
    fullest = int(backend.to_host(simulation.held("due_count")).max())
    simulation.reset_wheel(fullest)
    arguments.due, arguments.due_capacity, arguments.write = loop.due, loop.due_capacity, 1
    simulation.loop_module.launch("reschedule", arguments, rows.size)
    backend.to_host(simulation.held("due_count"))  # complete before what the kernel reads is freed
    loop.due_peak = fullest
