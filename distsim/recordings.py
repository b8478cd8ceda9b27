"""What is recorded of a network under description beside spikes: states every so often, counts in bins, synapses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distsim.errors import ConfigError, nearest, wrong
from distsim.given import is_number, plain
from distsim.selection import Selection, select

if TYPE_CHECKING:
    from distsim.elements import Population, Projection


@dataclass(frozen=True)
class StateRecording:
    """State variables of the selected neurons every `interval` ms."""

    selection: Selection
    variables: tuple[str, ...]
    interval: float

    @property
    def population(self) -> Population:
        return self.selection.population


@dataclass(frozen=True)
class RateRecording:
    """Spikes of each population counted in bins of `bin` ms, from the end of the warm-up on."""

    populations: tuple[Population, ...]
    bin: float


def state_recording(
    side: Sequence[Selection], variables: Sequence[str] | str, interval: float, neurons: Sequence[int] | None
) -> StateRecording:
    """`variables` of one selection, or of the listed `neurons` of one population.

    Raises
    ------
    ConfigError
        Several populations, a variable that the model does not have, or neurons that are not there.
    """
    if len(side) != 1:
        raise wrong("record.states", [s.name for s in side], "one population at a time")
    (chosen,) = side
    target = chosen.population
    where = f"record.states.{target.name}"
    if not isinstance(variables, Iterable):
        raise wrong(f"{where}.variables", variables, "names of state variables")
    variables = (variables,) if isinstance(variables, str) else tuple(variables)
    for variable in variables:
        if variable not in target.model.recordables:
            raise ConfigError(
                f"{where}.variables: unknown variable {variable!r}; " + nearest(variable, target.model.recordables)
            )
    if not variables or len(set(variables)) != len(variables):
        raise wrong(f"{where}.variables", list(variables), "at least one variable, each once")
    every = time_above_0(interval, f"{where}.interval")
    if neurons is not None:
        if not chosen.is_whole:
            raise wrong(where, "neurons beside a selection", "one of them")
        if not hasattr(neurons, "__iter__"):
            raise wrong(f"{where}.neurons", neurons, "a list of local ids")
        chosen = select(target, neurons=sorted(neurons), where=where)
    return StateRecording(chosen, variables, every)


def connection_recording(
    described: Sequence[Projection], chosen: Projection | int | Iterable[Projection | int] | None
) -> tuple[int, ...]:
    """Numbers of the projections that are `chosen`; of all where None is.

    Raises
    ------
    ConfigError
        A projection of another network, or anything else.
    """
    if chosen is None:
        return tuple(range(len(described)))
    parts = list(chosen) if isinstance(chosen, Iterable) else [chosen]
    found = []
    for part in parts:
        own = [k for k, p in enumerate(described) if p is part or (k == part and not isinstance(part, bool))]
        if not own:
            allowed = f"projections of this network, or their numbers, 0 to {len(described) - 1}"
            raise wrong("record.connections", part, allowed if described else "nothing: there are no projections")
        found += own
    return tuple(found)


def time_above_0(value: Any, where: str) -> float:
    """A time in ms that is above 0, as a float."""
    found = plain(value)
    if not is_number(found) or not (math.isfinite(found) and found > 0.0):
        raise wrong(where, value, "a time in ms > 0")
    return float(found)
