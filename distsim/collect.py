"""Recorded data kept in memory, and put together from all ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.comm import Communicator
from distsim.engine.binning import RateCounts
from distsim.engine.recording import StateSamples
from distsim.experiment import RunSettings
from distsim.io.files import step_times
from distsim.io.rates import RateBins
from distsim.network import Network

Spikes = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class States:
    """Recorded state variables of one population.

    Attributes
    ----------
    times
        float64[samples], ms.
    neurons
        int64[neurons], population-local ids, ascending.
    values
        Variable → float[samples, neurons].
    """

    times: npt.NDArray[np.float64]
    neurons: npt.NDArray[np.int64]
    values: Mapping[str, npt.NDArray[Any]]


class Collected:
    """Recorded data of one rank."""

    def __init__(self) -> None:
        self.steps: list[npt.NDArray[np.uint64]] = []
        self.gids: list[npt.NDArray[np.uint64]] = []
        self.states: list[StateSamples] = []
        self.rates: list[RateCounts] = []

    def add_spikes(self, steps: npt.NDArray[np.uint64], gids: npt.NDArray[np.uint64]) -> None:
        self.steps.append(steps)
        self.gids.append(gids)

    def take(
        self, network: Network, run: RunSettings, comm: Communicator, after: int, last: int
    ) -> tuple[dict[str, Spikes], dict[str, States]]:
        """What all ranks recorded in the steps after … last, on every rank; nothing is kept."""
        taken = self._spikes(network, run.dt, comm), self._states(network, run, comm, after, last)
        self.steps.clear()
        self.gids.clear()
        self.states.clear()
        return taken

    def take_rates(
        self, network: Network, run: RunSettings, comm: Communicator, after: int, last: int
    ) -> dict[str, RateBins]:
        """Spikes in bins of all ranks in the steps after … last, on every rank; nothing is kept."""
        recording = network.rate_recording
        if recording is None:
            return {}
        steps, warmup = run.steps(recording.bin), run.steps(run.warmup)
        begin, end = (after - warmup) // steps, -((warmup - last) // steps)
        counts = np.zeros((end - begin, len(recording.populations)), np.int64)
        for part in self.rates:
            counts[part.first_bin - begin : part.first_bin - begin + len(part.counts)] += part.counts.astype(np.int64)
        self.rates.clear()
        counts = comm.reduce(counts, "sum")
        edges = np.clip(warmup + steps * np.arange(begin, end + 1, dtype=np.int64), after, last).astype(np.uint64)
        times = step_times(edges, run.dt)
        return {
            p.name: RateBins(times[:-1], times[1:], counts[:, k], p.size) for k, p in enumerate(recording.populations)
        }

    def _spikes(self, network: Network, dt: float, comm: Communicator) -> dict[str, Spikes]:
        empty = np.empty(0, np.uint64)
        steps = np.concatenate(comm.share(np.concatenate([empty, *self.steps])))
        gids = np.concatenate(comm.share(np.concatenate([empty, *self.gids])))
        order = np.lexsort((gids, steps))
        steps, gids = steps[order], gids[order].astype(np.int64)
        spikes = {}
        for population in network.recorded():
            own = (gids >= population.first_gid) & (gids < population.first_gid + population.size)
            spikes[population.name] = step_times(steps[own], dt), gids[own] - population.first_gid
        return spikes

    def _states(
        self, network: Network, run: RunSettings, comm: Communicator, after: int, last: int
    ) -> dict[str, States]:
        real = np.float32 if run.precision == "single" else np.float64
        states = {}
        for recording in network.state_recordings:
            name, variables = recording.population.name, recording.variables
            own = [s for s in self.states if s.recording.population.name == name]
            local = own[0].neurons if own else np.empty(0, np.int64)
            data = np.concatenate([s.data for s in own]) if own else np.empty((0, 0, len(variables)), real)
            every = run.steps(recording.interval)
            before, samples = after // every, last // every - after // every
            everyone = comm.share(local)
            ids = np.concatenate(everyone)
            parts = [
                x.reshape(samples, n.size, len(variables))
                for n, x in zip(everyone, comm.share(data.astype(real).ravel()), strict=True)
            ]
            together = np.concatenate(parts, axis=1)[:, np.argsort(ids)]
            times = step_times((before + 1 + np.arange(samples, dtype=np.uint64)) * np.uint64(every), run.dt)
            values = {v: together[:, :, k] for k, v in enumerate(variables)}
            states[name] = States(times, np.sort(ids), values)
        return states
