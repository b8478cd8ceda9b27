"""What a run took and gave, in numbers: the summary."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distsim.comm import Everyone
from distsim.engine.digest import by_population, fold
from distsim.engine.exchange import most_neighbours
from distsim.engine.simulation import Simulation
from distsim.io.checkpoints import Totals
from distsim.profile import counted, profile_document
from distsim.results import mean_rate
from distsim.version import __version__

_STAT, _UPTIME = Path("/proc/self/stat"), Path("/proc/uptime")


class Measurement:
    """Times and events of the measured part: differences to the state at its start, after what earlier parts took.

    Parameters
    ----------
    before
        Totals of the parts of this run that other processes computed.
    """

    FIELDS = ("deliver", "update", "spread", "exchange")

    def __init__(self, simulation: Simulation, before: Totals) -> None:
        self._simulation, self._before = simulation, before
        self.simulate = 0.0  # wall-clock seconds of the measured part in this process
        self._start = self._now()
        self._events = int(simulation.loop.synaptic_events)
        self._first, self._flushed = simulation.step, simulation.seconds.get("flush", 0.0)
        self._waited = simulation.seconds.get("waited", 0.0)
        simulation.profiler.reset()

    @property
    def whole(self) -> bool:
        """Whether this process computed all of the run."""
        return self._before.parts == 0

    def _now(self) -> dict[str, float]:
        loop = self._simulation.loop
        times = {name: float(getattr(loop, f"seconds_{name}")) for name in self.FIELDS}
        times["exchange"] += self._simulation.seconds.get("waited", 0.0)
        return times

    def seconds(self) -> dict[str, float]:
        """Mean over ranks of the seconds of each phase, and the wall-clock time of the whole."""
        now = self._now()
        mine = np.array([now[name] - self._start[name] for name in self.FIELDS])
        mean = self._simulation.comm.reduce(mine, "sum") / self._simulation.comm.size
        past = self._before.seconds
        found = {name: past.get(name, 0.0) + here for name, here in zip(self.FIELDS, mean.tolist(), strict=True)}
        return {**found, "simulate": self._before.simulate + self.simulate}

    def events(self) -> int:
        """Synaptic events of all ranks."""
        here = int(self._simulation.loop.synaptic_events) - self._events
        return self._before.events + self._simulation.comm.total(here)

    def profile(self, seconds: Mapping[str, float]) -> dict[str, Any]:
        """`profile` of the summary: of this process's part."""
        simulation = self._simulation
        waited = simulation.seconds.get("waited", 0.0) - self._waited
        flushed = simulation.seconds.get("flush", 0.0) - self._flushed
        spikes = int(simulation.spike_counts().sum())
        counts = counted(simulation, self.events(), spikes, simulation.step - self._first)
        return profile_document(simulation, {**seconds, "waiting": waited}, counts, flushed)

    def totals(self) -> Totals:
        """All that a later part of this run has to know (every rank must call)."""
        seconds = self.seconds()
        simulate = seconds.pop("simulate")
        wall = self._before.wall + process_age()
        return Totals(seconds, simulate, wall, self.events(), self._before.parts + 1)


def summarise(
    simulation: Simulation, seconds: Mapping[str, float], events: int, synapses: int, stored: int, peak: int,
    on_device: int,
) -> dict[str, Any]:  # fmt: skip
    experiment, comm = simulation.experiment, simulation.comm
    network, run = experiment.network, experiment.run
    sums = simulation.digest_sums()
    digest = fold(sums)
    counts = simulation.spike_counts()
    biological = run.duration / 1000.0
    names = [p.name for p in network.populations]
    neurons = [(i, p) for i, p in enumerate(network.populations) if p.model.is_neuron]
    memory = comm.reduce(np.array([peak], np.int64), "max"), comm.reduce(np.array([peak], np.int64), "sum")
    by_ring = comm.total(int(simulation.input.at_arrival))  # ranks
    order = ("start", "compile", "build", "simulate", "update", "deliver", "spread", "exchange", "record")
    return {
        "version": __version__,
        "name": network.name,
        "seed": run.seed,
        "ranks": comm.size,
        "device": simulation.backend.name,
        "precision": run.precision,
        "dt": run.dt,
        "warmup": run.warmup,
        "duration": run.duration,
        "neurons": sum(p.size for _, p in neurons),
        "synapses": synapses,
        "procedural_synapses": comm.total(simulation.rows.n_regrown),
        "bytes_per_synapse": stored / synapses if synapses else None,
        "memory_bytes": {
            "per_rank_max": int(memory[0][0]), "total": int(memory[1][0]), "device": comm.total(on_device),
        },
        "exchange_interval": simulation.interval * run.dt,
        "delivery": {"wheel": comm.size - by_ring, "ring": by_ring},
        "routing": _how_spikes_travel(simulation),
        "seconds": {name: seconds[name] for name in order},
        "realtime_factor": seconds["simulate"] / biological if biological else None,
        "spikes": int(sum(int(counts[i]) for i, _ in neurons)),
        "synaptic_events": events,
        "rates": {p.name: mean_rate(int(counts[i]), p.size, run.duration) for i, p in neurons},
        "reference_rates": dict(network.reference_rates),
        "reference_source": network.reference_source,
        "weight_rounding": max(simulation.planes.rounding, default=0.0),
        "spike_digest": str(digest),
        "spike_count": digest.count,
        "populations": {p.name: p.size for p in network.populations},
        "digests": by_population(sums, names),
    }  # fmt: skip


def _how_spikes_travel(simulation: Simulation) -> dict[str, Any]:
    """By which collective, between how many ranks, and how many sources are broadcast (every rank must call)."""
    exchange = simulation.exchange
    everyone = exchange is not None and isinstance(exchange.peers, Everyone)
    return {
        "exchange": None if exchange is None else "alltoall" if everyone else "neighbourhood",
        "most_neighbours": most_neighbours(simulation.comm, simulation.routing),
        "broadcast_sources": simulation.routing.n_broadcast,
    }


def process_age() -> float:
    """Seconds since this process started (to 10 ms)."""
    try:
        started = int(_STAT.read_text().rpartition(")")[2].split()[19])
        uptime = float(_UPTIME.read_text().split()[0])
    except OSError:
        return time.process_time()
    return uptime - started / os.sysconf("SC_CLK_TCK")


def peak_bytes() -> int:
    """The most memory that this process has had (ru_maxrss would count what the process it was forked from had)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
