"""Spikes counted in bins by the engine, against spikes that were stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import continuing
import numpy as np
import numpy.typing as npt

from distsim import Experiment
from distsim.backend import Backend, open_backend
from distsim.comm import Communicator
from distsim.engine.binning import RateCounts
from distsim.engine.checkpoint import capture, restore
from distsim.engine.simulation import Simulation, Sinks, Tuning


def binned(spikes: npt.NDArray[np.int64], experiment: Experiment) -> npt.NDArray[np.int64]:
    """int64[bins, populations] of (step, gid) pairs."""
    recording, run = experiment.network.rate_recording, experiment.run
    assert recording is not None
    width, first = run.steps(recording.bin), run.steps(run.warmup)
    counts = np.zeros((-((first - run.end) // width), len(recording.populations)), np.int64)
    for k, p in enumerate(recording.populations):
        mine = spikes[(spikes[:, 1] >= p.first_gid) & (spikes[:, 1] < p.first_gid + p.size), 0]
        np.add.at(counts[:, k], (mine - first - 1) // width, 1)
    return counts


def counted(
    experiment: Experiment, ranks: Sequence[int], stops: Sequence[int], tuning: Tuning | None = None,
    backend: Callable[[], Backend] = lambda: open_backend("cpu"),
) -> npt.NDArray[np.int64]:  # fmt: skip
    """What the engine counts: on ranks[0] up to stops[0], going on from there on ranks[1], …; the last to the end."""
    parts: list[RateCounts] = []
    kept: list[continuing.Arrays] = []
    before = 0
    for size, stop in zip(ranks, (*stops, None), strict=True):

        def work(comm: Communicator, stop: int | None = stop, before: int = before, kept: Any = kept) -> Any:
            simulation = Simulation(
                experiment, comm, backend(), Sinks(rates=parts.append), tuning, keep_history=True
            )  # fmt: skip
            if before:
                restore(simulation, kept[comm.rank :: comm.size], before)
            last = simulation.end if stop is None else stop
            simulation.run_to((before + last) // 2)
            simulation.flush()
            simulation.run_to(last)
            simulation.flush()
            return capture(simulation)

        kept = continuing.on_ranks(size, work)
        before = stop or 0
    recording = experiment.network.rate_recording
    assert recording is not None
    total = np.zeros((max(p.first_bin + len(p.counts) for p in parts), len(recording.populations)), np.int64)
    for part in parts:
        total[part.first_bin : part.first_bin + len(part.counts)] += part.counts.astype(np.int64)
    return total
