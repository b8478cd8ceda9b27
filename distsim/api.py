"""The Python interface: describe a Network, simulate it, look at the Result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import open_backend
from distsim.checks import check_experiment, check_ranks
from distsim.comm import Communicator, connect
from distsim.engine.recording import StateSamples
from distsim.engine.simulation import Sinks
from distsim.experiment import Experiment, RunSettings
from distsim.io.files import step_times
from distsim.network import Network
from distsim.runner import run_experiment

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


@dataclass(frozen=True)
class Result:
    """What a simulation gave; the same on every rank.

    Attributes
    ----------
    spikes
        Population → (times in ms float64[n], population-local ids int64[n]), by time, then id; empty where
        results were written to a directory instead.
    states
        Population → States, likewise.
    rates
        Population → Hz, after the warm-up.
    spike_digest, spike_count
        Over all spikes emitted by neurons, warm-up included.
    summary
        The contents of summary.json.
    """

    spikes: Mapping[str, Spikes]
    states: Mapping[str, States]
    rates: Mapping[str, float]
    spike_digest: str
    spike_count: int
    summary: Mapping[str, Any]


def simulate(
    network: Network, duration: float, *, out: str | Path | None = None, overwrite: bool = False,
    device: str = "auto", comm: Communicator | None = None, **settings: Any,
) -> Result:  # fmt: skip
    """Build and run a network; under mpirun every rank calls this with the same network.

    Parameters
    ----------
    network
        What to simulate.
    duration
        ms, after the warm-up.
    out
        A directory for spikes.h5, summary.json…; without one, recorded data come back as arrays.
    device
        auto (an NVIDIA GPU where one can be used, else cpu), cpu or cuda.
    comm
        The ranks; by default those that this process was started with.
    **settings
        warmup, dt, seed, precision, partition, exchange_interval: see RunSettings.

    Raises
    ------
    ConfigError
        A setting is out of range, or the network does not fit dt.
    BackendError
        `device` is cuda, and there is none to use.
    """
    experiment = Experiment(network, RunSettings(duration, **settings))
    check_experiment(experiment)
    comm = comm or connect()
    check_ranks(experiment.run, comm.size)
    collected = _Collected()
    outcome = run_experiment(
        experiment, comm, open_backend(device), out=Path(out) if out is not None else None, overwrite=overwrite,
        sinks=Sinks(collected.add_spikes, collected.states.append),
    )  # fmt: skip
    summary = outcome.summary
    return Result(
        {} if out is not None else _spikes(experiment, collected, comm),
        {} if out is not None else _states(experiment, collected, comm),
        summary["rates"], summary["spike_digest"], summary["spike_count"], summary,
    )  # fmt: skip


class _Collected:
    """Recorded data of one rank, kept in memory."""

    def __init__(self) -> None:
        self.steps: list[npt.NDArray[np.uint64]] = []
        self.gids: list[npt.NDArray[np.uint64]] = []
        self.states: list[StateSamples] = []

    def add_spikes(self, steps: npt.NDArray[np.uint64], gids: npt.NDArray[np.uint64]) -> None:
        self.steps.append(steps)
        self.gids.append(gids)


def _spikes(experiment: Experiment, mine: _Collected, comm: Communicator) -> dict[str, Spikes]:
    empty = np.empty(0, np.uint64)
    steps = np.concatenate(comm.share(np.concatenate([empty, *mine.steps])))
    gids = np.concatenate(comm.share(np.concatenate([empty, *mine.gids])))
    order = np.lexsort((gids, steps))
    steps, gids = steps[order], gids[order].astype(np.int64)
    spikes = {}
    for population in experiment.network.recorded():
        own = (gids >= population.first_gid) & (gids < population.first_gid + population.size)
        spikes[population.name] = step_times(steps[own], experiment.run.dt), gids[own] - population.first_gid
    return spikes


def _states(experiment: Experiment, mine: _Collected, comm: Communicator) -> dict[str, States]:
    run = experiment.run
    real = np.float32 if run.precision == "single" else np.float64
    states = {}
    for recording in experiment.network.state_recordings:
        name, variables = recording.population.name, recording.variables
        own = [s for s in mine.states if s.recording.population.name == name]
        local = own[0].neurons if own else np.empty(0, np.int64)
        data = np.concatenate([s.data for s in own]) if own else np.empty((0, 0, len(variables)), real)
        every = run.steps(recording.interval)
        before = run.steps(run.warmup) // every
        samples = (run.steps(run.warmup) + run.steps(run.duration)) // every - before
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
