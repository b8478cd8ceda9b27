"""Inputs that depend on time, as the tables that kernels/signals.h reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Backend, Module
from distsim.build.partition import Group, Part
from distsim.build.sampling import draw
from distsim.grid import round_to_steps
from distsim.network import Input, Network
from distsim.streams import Stream

SIGNAL = np.dtype(
    [("first", "i8"), ("last", "i8")]
    + [(name, "u4") for name in ("kind", "input", "begin", "length", "factors", "shared")]
    + [(name, "f8") for name in ("level", "swing", "turns", "phase", "weight", "variance")]
    + [("every", "i8")]
)
ABSENT, CONSTANT, STEPS, SINE, NOISE = range(5)  # the enum in signals.h
FOREVER = 2**62


@dataclass
class Signals:
    """What the kernel reads for the signals of one group.

    Attributes
    ----------
    entries
        SIGNAL[part, place].
    times, values
        int64[n], float64[n]: steps and values of piecewise constant signals.
    factors
        float64[size] arrays, one number a neuron.
    """

    entries: npt.NDArray[Any]
    times: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    factors: list[npt.NDArray[np.float64]] = field(default_factory=list)


def inputs_of(network: Network, part: Part, gives: str) -> list[tuple[int, Input]]:
    """Position and description of the inputs onto a population that give spikes or a current, in declared order."""
    return [
        (number, described)
        for number, described in enumerate(network.inputs)
        if described.device.gives == gives and any(t is part.population for t in described.targets)
    ]


def current_places(network: Network, group: Group) -> int:
    """The most currents onto one population of the group."""
    return max((len(inputs_of(network, part, "current")) for part in group.parts), default=0)


def currents(network: Network, group: Group, places: int, draws: Draws, dt: float) -> Signals:
    """All current inputs of a group, `places` for each population."""
    found = Signals(np.zeros((len(group.parts), max(1, places)), SIGNAL))
    for row, part in enumerate(group.parts):
        for place, (number, described) in enumerate(inputs_of(network, part, "current")):
            entry = found.entries[row, place]
            # The current of the grid time t acts in the step after t; start < t <= stop.
            entry["first"], entry["last"] = (x + 1 for x in active_steps(described, dt))
            entry["input"], entry["weight"] = number, described.weight
            each = _describe(entry, described, found, dt)
            if each is not None:
                factors = np.zeros(group.size, np.float64)
                factors[part.begin : part.begin + part.count] = draws.of(each, part, number)
                found.factors.append(factors)
                entry["factors"] = len(found.factors)
    return found


@dataclass(frozen=True)
class Draws:
    """How settings that differ between neurons are drawn."""

    backend: Backend
    kernels: Module
    seed: int

    def of(self, value: Any, part: Part, number: int) -> npt.NDArray[np.float64]:
        """A setting of input `number` for the local neurons of a population, float64[part.count]."""
        return draw(self.backend, self.kernels, value, part, self.seed, Stream.INPUT, number)


def active_steps(described: Input, dt: float) -> tuple[int, int]:
    """First and last grid time t, in steps, with start < t <= stop."""
    return round_to_steps(described.start, dt) + 1, min(round_to_steps(described.stop, dt), FOREVER)


def _describe(entry: Any, described: Input, found: Signals, dt: float) -> Any:
    """Fill in the waveform; returns the setting that differs between neurons, or None."""
    params, name = described.params, described.device.name
    entry["every"] = 1
    if name == "step_current_generator":
        entry["kind"], entry["begin"] = STEPS, len(found.times)
        entry["length"] = len(params["amplitude_times"])
        found.times += [round_to_steps(t, dt) for t in params["amplitude_times"]]
        found.values += params["amplitude_values"]
        return None
    if name == "dc_generator":
        entry["kind"] = CONSTANT
        each = not isinstance(params["amplitude"], float)
        entry["level"] = 1.0 if each else params["amplitude"]
        return params["amplitude"] if each else None
    entry["turns"] = params["frequency"] * dt / 1000.0
    entry["phase"] = params["phase"] / 360.0
    if name == "ac_generator":
        entry["kind"], entry["level"], entry["swing"] = SINE, params["offset"], params["amplitude"]
        return None
    entry["kind"], entry["level"], entry["shared"] = NOISE, params["mean"], params["shared"]
    entry["variance"], entry["swing"] = params["std"] ** 2, params["std_mod"] ** 2
    entry["every"] = round_to_steps(params["dt"], dt)
    return None


__all__ = ["SIGNAL", "Draws", "Signals", "active_steps", "current_places", "currents", "inputs_of"]
