"""The profile of a run for its summary: phases, kernels and what they did, over all ranks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distsim.backend.profile import KernelTime
from distsim.comm import Communicator
from distsim.engine.simulation import Simulation

MESSAGE, RUN, DUE, EMITTED = 4, 12, 16, 32  # bytes, as in kernels/synapse.h
LOOP_PHASES = ("deliver", "update", "sample", "spread", "exchange")


@dataclass(frozen=True)
class Counts:
    """What the measured part did, over all ranks.

    Attributes
    ----------
    neuron_updates
        Neurons times steps, generators included.
    runs
        Runs delivered: events over the mean length of a run, an estimate.
    """

    steps: int
    spikes: int
    synaptic_events: int
    neuron_updates: int
    runs: float


def counted(simulation: Simulation, events: int, spikes: int, steps: int) -> Counts:
    """Every rank calls; the same on all."""
    comm, rows = simulation.comm, simulation.rows
    synapses, runs = comm.total(rows.synapses), comm.total(rows.n_runs)
    neurons = comm.total(simulation.layout.n_local)
    delivered = events * runs / synapses if synapses else 0.0
    return Counts(steps, spikes, events, neurons * steps, delivered)


def bytes_moved(simulation: Simulation, counts: Counts) -> dict[str, int]:
    """The fewest bytes that each phase reads and writes, each of them once: an estimate, over all ranks.

    deliver: a synapse and the sum it is added to (read and written) an event, an entry of the wheel a run;
    update: states and sums read and written, Poisson counts read (their drawing writes them once in eight
    steps); spread: a run read and an entry written a run, a neuron's entry a spike.
    """
    double = simulation.experiment.run.precision == "double"
    synapse = word = 8 if double else 4
    per_neuron = 0.0
    for group in simulation.groups:
        shape, n = group.shape, group.group.size
        states = sum(word if s.kind == "real" else np.dtype(s.kind).itemsize for s in shape.model.states)
        counts_bytes = 4 if shape.wide_counts else 1
        per_neuron += n * (2 * states + 2 * word * shape.n_planes + 2 * counts_bytes * shape.n_poisson)
    total = float(simulation.comm.reduce(np.array([per_neuron]), "sum")[0])
    return {
        "deliver": round(counts.synaptic_events * (synapse + 2 * word) + counts.runs * DUE),
        "update": round(total * counts.steps),
        "spread": round(counts.runs * (RUN + DUE) + counts.spikes * 2 * EMITTED),
    }


def profile_document(
    simulation: Simulation, seconds: Mapping[str, float], counts: Counts, flushed: float
) -> dict[str, Any]:
    """`profile` of summary.json; every rank calls.

    Parameters
    ----------
    seconds
        Those of the summary: of them `simulate`, and `waiting`, in which a rank waited for the collective.
    flushed
        Seconds in which this rank handed recorded data on while it simulated.
    """
    comm = simulation.comm
    mine = simulation.profiler.kernels()
    phases = {name: sum(k.seconds for k in mine if k.phase == name) for name in LOOP_PHASES}
    phases |= {"waiting": seconds["waiting"], "record": flushed}
    mean = _over_ranks(comm, phases, "sum")
    mean = {name: value / comm.size for name, value in mean.items()}
    mean["other"] = max(0.0, seconds["simulate"] - sum(mean.values()))
    worst = _over_ranks(comm, phases, "max")
    kernels = _merged(comm, mine)
    construction = {k: v / comm.size for k, v in _over_ranks(comm, simulation.profiler.construction, "sum").items()}
    moved = bytes_moved(simulation, counts)
    return {
        "construction_seconds": construction,
        "phase_seconds": mean,
        "phase_seconds_of_the_slowest_rank": worst,
        "kernels": kernels,
        "counts": {
            "steps": counts.steps, "spikes": counts.spikes, "synaptic_events": counts.synaptic_events,
            "neuron_updates": counts.neuron_updates, "runs_estimated": round(counts.runs),
        },
        "bytes_estimated": moved,
        "per": {
            "microseconds_a_step": _ratio(1e6 * seconds["simulate"], counts.steps),
            "nanoseconds_an_event": _ratio(1e9 * mean["deliver"] * comm.size, counts.synaptic_events),
            "nanoseconds_a_neuron_update": _ratio(1e9 * mean["update"] * comm.size, counts.neuron_updates),
            "gigabytes_a_second": {
                name: _ratio(1e-9 * moved[name], mean[name]) for name in moved
            },
        },
    }  # fmt: skip


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None


def _over_ranks(comm: Communicator, values: Mapping[str, float], how: str) -> dict[str, float]:
    """Element by element; all ranks have the same keys."""
    reduced = comm.reduce(np.array(list(values.values()), np.float64), how)
    return dict(zip(values, reduced.tolist(), strict=True))


def _merged(comm: Communicator, mine: Sequence[KernelTime]) -> list[dict[str, Any]]:
    """Each kernel's mean over ranks, the most of one rank, and a launch's share, by decreasing time."""
    text = json.dumps([dataclasses.asdict(k) for k in mine]).encode()
    all_ranks = [json.loads(part.tobytes()) for part in comm.share(np.frombuffer(text, np.uint8))]
    every = [KernelTime(**k) for kernels in all_ranks for k in kernels]
    found: list[dict[str, Any]] = []
    for name in dict.fromkeys(k.name for k in every):
        here = [k for k in every if k.name == name]
        launches, measured = sum(k.launches for k in here), sum(k.measured_seconds for k in here)
        found.append({
            "name": name, "phase": here[0].phase, "seconds": sum(k.seconds for k in here) / comm.size,
            "seconds_max": max(k.seconds for k in here), "launches_measured": launches,
            "microseconds_a_launch": 1e6 * measured / launches,
        })  # fmt: skip
    found.sort(key=lambda k: -float(k["seconds"]))
    return found
