"""What a step must cost at least, on a machine whose figures are known: the roofline of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distsim.build.costs import count_operators
from distsim.cli.bench_machine import MachineFigures
from distsim.models import Model
from distsim.profile import DUE, EMITTED, RUN

# Loads of a step of which each waits for the one before. deliver: count, entry of the wheel, synapse, sum;
# update: sum; emission: place in the list; spreading: emitted, row, run, place on the wheel.
CACHED_LOADS, MEMORY_LOADS = 8, 2  # a run's synapses and a source's row come from memory
# Of the Philox rounds and comparisons of one Poisson draw: a block of 10 rounds serves eight steps.
POISSON_OPERATIONS = 40
# Where the machine does not tell: more than most have, so that no bound counts bytes that never reach memory.
CACHE_UNKNOWN = 32 * 2**20


@dataclass(frozen=True)
class Work:
    """What one rank does in one step.

    Attributes
    ----------
    launches
        Kernels, one after the other.
    loads, memory_loads
        That wait for one another, from cache and from memory.
    bytes
        From and to memory, each once; sums are taken to stay in cache.
    atomics
        Atomic adds.
    operations
        Arithmetic.
    """

    launches: float
    loads: float
    memory_loads: float
    bytes: float
    atomics: float
    operations: float


def bounds(work: Work, machine: MachineFigures) -> dict[str, float]:
    """The least seconds of a step by each bound alone."""
    return {
        "launch latency": work.launches * machine.launch,
        "dependent latency": work.loads * machine.cached_latency + work.memory_loads * machine.latency,
        "bandwidth": work.bytes / machine.bandwidth,
        "atomics": work.atomics / machine.atomics,
        "compute": work.operations / machine.operations,
    }


def nearest_bound(work: Work, machine: MachineFigures, seconds: float) -> str:
    """The largest bound in words, and its share of the `seconds` that a step took."""
    name, least = max(bounds(work, machine).items(), key=lambda x: x[1])
    return f"{name} ({least * 1e6:.3g} µs, {least / seconds:.0%} of the step)"


def operations_of(model: Model, poisson: int) -> int:
    """Arithmetic of one update of `model` with so many Poisson backgrounds: the operators of its declaration."""
    return count_operators(model.update) + POISSON_OPERATIONS * poisson


def work_of(summary: Mapping[str, Any], model: Model, cache_bytes: int, poisson: int = 0) -> Work:
    """One rank's work in a step of a run of one model with `profile`.

    On the host a launch is a call into compiled code, one an interval. What fits into the largest cache, of
    the connectivity or of the states, is taken to stay there.
    """
    profile, ranks = summary["profile"], summary["ranks"]
    counts = profile["counts"]
    each = 1.0 / (counts["steps"] * ranks)
    measured = [k["launches_measured"] for k in profile["kernels"]]
    launches = sum(measured) / max(measured)
    if summary["device"] == "cpu":
        launches = summary["dt"] / summary["exchange_interval"]
    events, runs = counts["synaptic_events"], counts["runs_estimated"]
    synapse = 8 if summary["precision"] == "double" else 4
    moved = events * synapse + runs * (2 * DUE + RUN) + 2 * counts["spikes"] * EMITTED
    updated = profile["bytes_estimated"]["update"]
    connectivity = (summary["bytes_per_synapse"] or 0.0) * summary["synapses"] / ranks
    cache = cache_bytes or CACHE_UNKNOWN
    streams = connectivity > cache
    in_memory = moved * streams + updated * (updated * each / 2 > cache)
    return Work(
        launches=launches,
        loads=CACHED_LOADS,
        memory_loads=MEMORY_LOADS if streams else 0,
        bytes=in_memory * each,
        atomics=(events + runs + counts["spikes"]) * each,
        operations=operations_of(model, poisson) * counts["neuron_updates"] * each,
    )
