"""States that are no numbers any more: a simulation never goes on with them, and never writes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distsim.backend import Backend
from distsim.engine.groups import GroupState
from distsim.errors import SimulationError


def check_finite(groups: Sequence[GroupState], backend: Backend, time_ms: float) -> None:
    """Raise SimulationError where a state of a neuron of this rank is NaN or infinite; names it."""
    for group in groups:
        for name, array in group.states.items():
            if array.dtype.kind != "f":
                continue
            values = backend.to_host(array)[: group.group.size]
            if np.isfinite(values).all():
                continue
            index = int(np.flatnonzero(~np.isfinite(values))[0])
            part = next(p for p in group.group.parts if p.begin <= index < p.begin + p.count)
            neuron = int(part.positions()[index - part.begin])
            where = f"population {part.population.name!r}, neuron {neuron}, time {time_ms:g} ms"
            raise SimulationError(
                f"{where}: {name} is {values[index]}; allowed: finite numbers (unstable parameters or damaged memory)"
            )
