"""The Python interface: describe a Network, simulate it, look at the Result."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from distsim.backend import open_backend
from distsim.checks import check_experiment, check_ranks
from distsim.collect import Collected, Spikes, States
from distsim.comm import Communicator, connect
from distsim.engine.simulation import Sinks
from distsim.errors import Stopped
from distsim.experiment import Experiment, RunSettings
from distsim.io.rates import RateBins
from distsim.network import Network
from distsim.results import Result, Written
from distsim.runner import run_experiment
from distsim.signals import StopRequests

__all__ = ["Result", "Spikes", "States", "simulate"]


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
        warmup, dt, seed, precision, partition, exchange_interval, routing, exchange, delivery, checkpoint, wall_time:
        see RunSettings.

    Raises
    ------
    ConfigError
        A setting is out of range, or the network does not fit dt.
    Stopped
        A signal (USR1, TERM, Ctrl-C) or the time limit (`wall_time`, or SLURM's) came first; a checkpoint is in `out`.
    BackendError
        `device` is cuda, and there is none to use.
    """
    experiment = Experiment(network, RunSettings.given(duration, settings))
    check_experiment(experiment)
    comm = comm or connect()
    check_ranks(experiment.run, comm.size)
    collected = Collected()
    requests = StopRequests()
    with requests if out is not None else nullcontext():
        outcome = run_experiment(
            experiment, comm, open_backend(device), out=Path(out) if out is not None else None, overwrite=overwrite,
            sinks=Sinks(collected.add_spikes, collected.states.append, collected.rates.append), requests=requests,
        )  # fmt: skip
    if requests.name and not outcome.stopped:
        signal.raise_signal(signal.Signals[requests.name])  # too late for this run; the script may have more to do
    if outcome.stopped:
        raise Stopped(f"{outcome.stopped}; `distsim resume {out}` goes on")
    summary = outcome.summary
    run = experiment.run
    spikes: dict[str, Spikes] = Written(str(out))
    states: dict[str, States] = Written(str(out))
    bins: dict[str, RateBins] = Written(str(out))
    if out is None:
        last = run.steps(run.warmup) + run.steps(run.duration)
        spikes, states = collected.take(network, run, comm, run.steps(run.warmup), last)
        bins = collected.take_rates(network, run, comm, run.steps(run.warmup), last)
    return Result(
        spikes, states, summary["rates"], summary["spike_digest"], summary["spike_count"], summary, rate_bins=bins,
    )  # fmt: skip
