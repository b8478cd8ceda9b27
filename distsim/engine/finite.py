"""States that are no numbers any more: a simulation never goes on with them, and never writes them.

While steps are computed the update kernel looks for them (kernels/after_update.py). Here are the values that come from
elsewhere, or go there: initial ones, and those of a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Backend
from distsim.engine.groups import GroupState
from distsim.errors import SimulationError


def not_finite(population: str, neuron: int, state: str, is_nan: bool, time_ms: float) -> str:
    """Who, what and when."""
    what = "not a number" if is_nan else "infinite"
    return f"population {population!r}, neuron {neuron}, {state}: {what} at {time_ms:g} ms"


def check_values(group: GroupState, name: str, values: npt.NDArray[Any], time_ms: float) -> None:
    """Raise SimulationError where a value of the state `name` is NaN or infinite; `values` in the group's order."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    index = int(np.flatnonzero(~np.isfinite(values))[0])
    part = next(p for p in group.group.parts if p.begin <= index < p.begin + p.count)
    neuron = int(part.positions()[index - part.begin])
    raise SimulationError(not_finite(part.population.name, neuron, name, bool(np.isnan(values[index])), time_ms))


def check_finite(groups: Sequence[GroupState], backend: Backend, time_ms: float = 0.0) -> None:
    """Raise SimulationError where a state that was set on this rank is NaN or infinite."""
    for group in groups:
        for name, array in group.states.items():
            if np.dtype(array.dtype).kind == "f":
                check_values(group, name, backend.to_host(array)[: group.group.size], time_ms)
