"""The Python interface: describe a Network, simulate it, look at the Result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import open_backend
from distsim.checks import check_experiment
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
        auto or cpu.
    comm
        The ranks; by default those that this process was started with.
    **settings
        warmup, dt, seed, precision, partition, exchange_interval: see RunSettings.

    Raises
    ------
    ConfigError
        A setting is out of range, or the network does not fit dt.
    """
    experiment = Experiment(network, RunSettings(duration, **settings))
    check_experiment(experiment)
    comm = comm or connect()
    collected = _Collected()
    outcome = run_experiment(
        experiment, comm, open_backend(device), out=Path(out) if out is not None else None, overwrite=overwrite,
        sinks=Sinks(collected.add_spikes, collected.states.append),
    )  # fmt: skip
    gathered = comm.broadcast(comm.gather(collected))
    summary = outcome.summary
    written = out is not None
    return Result(
        {} if written else _spikes(network, gathered, experiment.run.dt),
        {} if written else _states(experiment, gathered),
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


def _spikes(network: Network, ranks: list[_Collected] | None, dt: float) -> dict[str, Spikes]:
    parts = ranks or []
    empty = np.empty(0, np.uint64)
    steps = np.concatenate([empty, *(s for r in parts for s in r.steps)])
    gids = np.concatenate([empty, *(g for r in parts for g in r.gids)])
    order = np.lexsort((gids, steps))
    steps, gids = steps[order], gids[order].astype(np.int64)
    spikes = {}
    for population in network.recorded():
        mine = (gids >= population.first_gid) & (gids < population.first_gid + population.size)
        spikes[population.name] = step_times(steps[mine], dt), gids[mine] - population.first_gid
    return spikes


def _states(experiment: Experiment, ranks: list[_Collected] | None) -> dict[str, States]:
    states = {}
    run = experiment.run
    for recording in experiment.network.state_recordings:
        name = recording.population.name
        columns, neurons = [], []
        for rank in ranks or []:
            mine = [s for s in rank.states if s.recording.population.name == name]
            if mine:
                columns.append(np.concatenate([s.data for s in mine]))
                neurons.append(mine[0].neurons)
        if not columns:
            continue
        ids = np.concatenate(neurons)
        data = np.concatenate(columns, axis=1)[:, np.argsort(ids)]
        every = run.steps(recording.interval)
        first = run.steps(run.warmup) // every + 1
        times = step_times((first + np.arange(data.shape[0], dtype=np.uint64)) * np.uint64(every), run.dt)
        values = {v: data[:, :, k] for k, v in enumerate(recording.variables)}
        states[name] = States(times, np.sort(ids), values)
    return states
