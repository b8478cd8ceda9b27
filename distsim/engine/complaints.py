"""What the loop stopped for and nobody can mend, in words."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.engine import finite
from distsim.experiment import Experiment


def too_many_spikes(experiment: Experiment, loop: Any, emitted: npt.NDArray[np.uint64]) -> str:
    """Of the neurons in `emitted`, uint64[n, 4], the first with more spikes in a step than its model allows."""
    count = loop.odd if loop.pending_step % 2 else loop.even
    populations = experiment.network.populations
    spikes: Counter[int] = Counter()  # spikes of one neuron stand apart where they differ in weight
    for gid, packed, multiplicity, _ in emitted[: int(count.emitted)].tolist():
        population = populations[packed >> 32]
        most = population.model.max_multiplicity
        spikes[gid] += multiplicity & 0xFFFFFFFF
        if spikes[gid] > most:
            time_ms = loop.pending_step * experiment.run.dt
            return (
                f"population {population.name!r}, neuron {gid - population.first_gid}, time {time_ms:g} ms: "
                f"emitted {spikes[gid]} spikes in one step; {population.model.name} allows {most}"
            )
    return "a neuron emitted more spikes in one step than its model allows"


def not_finite(experiment: Experiment, loop: Any) -> str:
    """The first state that was found to be NaN or infinite."""
    population = experiment.network.populations[loop.bad_population]
    neuron, state = loop.bad_gid - population.first_gid, population.model.states[loop.bad_state].name
    return finite.not_finite(population.name, neuron, state, bool(loop.bad_is_nan), loop.bad_step * experiment.run.dt)
