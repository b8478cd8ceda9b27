"""Inputs that depend on time, or differ between neurons, as the tables that kernels/signals.h reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Backend, Module
from distsim.build.partition import Group, Part
from distsim.build.sampling import draw
from distsim.build.selecting import local_selection
from distsim.checks import receptor_names
from distsim.distributions import Listed
from distsim.elements import Input
from distsim.grid import round_to_steps
from distsim.network import Network
from distsim.selection import Selection
from distsim.streams import Stream

SIGNAL = np.dtype(
    [("first", "i8"), ("last", "i8")]
    + [(name, "u4") for name in ("kind", "input", "begin", "length", "factors", "shared")]
    + [(name, "f8") for name in ("level", "swing", "turns", "phase", "weight", "variance")]
    + [("every", "i8")]
)
ABSENT, CONSTANT, STEPS, SINE, NOISE = range(5)  # the enum in signals.h
FOREVER = 2**62


@dataclass(frozen=True)
class Onto:
    """One input onto (some of) one population.

    Attributes
    ----------
    number
        The input's position: its identity.
    targets
        The neurons of the population.
    offset
        Place of the first of them among all targets of the input.
    """

    number: int
    described: Input
    targets: Selection
    offset: int

    @property
    def is_current(self) -> bool:
        return self.described.device.gives == "current"

    @property
    def is_constant_rate(self) -> bool:
        """Do counts come from a table (build/poisson.py)? One rate for all targets at all times."""
        device, params = self.described.device, self.described.params
        return device.name == "poisson_generator" and isinstance(params["rate"], float)

    def receptor(self, group: Group) -> int:
        """Index of the receptor that spikes of this input reach."""
        described = self.described
        where = f"inputs.{described.name}.receptor"
        positive, negative = receptor_names(group.model, described.receptor, where)
        return positive if described.weight >= 0.0 else negative

    def weight(self, group: Group) -> float:
        """What each spike adds; a port that counts takes each as 1."""
        return 1.0 if group.model.receptors[self.receptor(group)].counts else self.described.weight

    def active_steps(self, dt: float) -> tuple[int, int]:
        """First and last grid time t, in steps, with start < t <= stop."""
        return round_to_steps(self.described.start, dt) + 1, min(round_to_steps(self.described.stop, dt), FOREVER)


def inputs_onto(network: Network, part: Part) -> list[Onto]:
    """All inputs onto neurons of a population, in declared order; those of rate 0 are left out."""
    found = []
    for number, described in enumerate(network.inputs):
        offset = 0
        for targets in described.targets:
            silent = described.device.name == "poisson_generator" and described.params["rate"] == 0.0
            if targets.population is part.population and not silent:
                found.append(Onto(number, described, targets, offset))
            offset += targets.size
    return found


def _places(network: Network, group: Group, part: Part) -> list[list[Onto]]:
    """Currents; then for each receptor what adds spikes to it other than from a table."""
    by_place: list[list[Onto]] = [[] for _ in range(1 + len(group.model.receptors))]
    for onto in inputs_onto(network, part):
        if onto.is_current:
            by_place[0].append(onto)
        elif not onto.is_constant_rate:
            by_place[1 + onto.receptor(group)].append(onto)
    return by_place


def signal_places(network: Network, group: Group) -> tuple[int, ...]:
    """The most currents onto one population of the group, then for each receptor the most spike trains."""
    n = 1 + len(group.model.receptors)
    counts = [[len(x) for x in _places(network, group, part)] for part in group.parts]
    return tuple(max((c[k] for c in counts), default=0) for k in range(n))


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


def signals(network: Network, group: Group, places: Sequence[int], draws: Draws, dt: float) -> Signals:
    """All inputs of a group that kernels/signals.h evaluates."""
    found = Signals(np.zeros((len(group.parts), max(1, sum(places))), SIGNAL))
    for row, part in enumerate(group.parts):
        first = 0
        for n, ontos in zip(places, _places(network, group, part), strict=True):
            for k, onto in enumerate(ontos):
                entry = found.entries[row, first + k]
                # The current of the grid time t acts in the step after t.
                later = 1 if onto.is_current else 0
                entry["first"], entry["last"] = (x + later for x in onto.active_steps(dt))
                entry["input"] = onto.number
                entry["weight"] = onto.described.weight if onto.is_current else onto.weight(group)
                each = _describe(entry, onto.described, found, dt)
                if each is not None or not onto.targets.is_whole:
                    factors = np.zeros(group.size, np.float64)
                    factors[part.begin : part.begin + part.count] = draws.factors(onto, each, part)
                    found.factors.append(factors)
                    entry["factors"] = len(found.factors)
            first += n
    return found


@dataclass(frozen=True)
class Draws:
    """How settings that differ between neurons are drawn."""

    backend: Backend
    kernels: Module
    seed: int

    def factors(self, onto: Onto, value: Any, part: Part) -> npt.NDArray[np.float64]:
        """`value` for each local target, 0 for other neurons (`value` None: 1): float64[part.count]."""
        here = local_selection(onto.targets, part, self.seed)
        k = here.first + here.step * np.arange(here.count) if here.k is None else here.k
        place = here.first_place + here.place_step * np.arange(here.count) if here.place is None else here.place
        factors = np.zeros(part.count, np.float64)
        if value is None:
            factors[k] = 1.0
        elif isinstance(value, Listed):
            factors[k] = np.array(value.values, np.float64)[onto.offset + place]
        else:
            drawn = draw(self.backend, self.kernels, value, part, self.seed, Stream.INPUT, onto.number)
            factors[k] = drawn[k]
        return factors


def _describe(entry: Any, described: Input, found: Signals, dt: float) -> Any:
    """Fill in the waveform (rates in spikes a step); returns the setting that differs between neurons, or None."""
    params, name = described.params, described.device.name
    entry["every"], entry["kind"] = 1, CONSTANT
    per_step = dt / 1000.0
    times = next((s.name for s in described.device.settings if s.kind == "times"), None)
    if times is not None:
        values = params[next(s.name for s in described.device.settings if s.kind == "values")]
        entry["kind"], entry["begin"], entry["length"] = STEPS, len(found.times), len(values)
        found.times += [round_to_steps(t, dt) for t in params[times]]
        found.values += [x * per_step for x in values] if described.device.gives == "spikes" else values
        return None
    if name in ("dc_generator", "poisson_generator"):
        value, unit = (params["amplitude"], 1.0) if name == "dc_generator" else (params["rate"], per_step)
        each = not isinstance(value, float)
        entry["level"] = unit if each else value * unit
        return value if each else None
    entry["turns"] = params["frequency"] * dt / 1000.0
    entry["phase"] = params["phase"] / 360.0
    if name == "ac_generator":
        entry["kind"], entry["level"], entry["swing"] = SINE, params["offset"], params["amplitude"]
    elif name == "sinusoidal_poisson_generator":
        entry["kind"], entry["level"] = SINE, params["rate"] * per_step
        entry["swing"] = params["amplitude"] * per_step
    else:
        entry["kind"], entry["level"], entry["shared"] = NOISE, params["mean"], params["shared"]
        entry["variance"], entry["swing"] = params["std"] ** 2, params["std_mod"] ** 2
        entry["every"] = round_to_steps(params["dt"], dt)
    return None


def factor_arrays(network: Network, group: Group) -> int:
    """How many arrays of one number a neuron the inputs of a group need (at most)."""
    return sum(
        not onto.targets.is_whole
        or any(not isinstance(onto.described.params[s.name], float) for s in onto.described.device.settings if s.each)
        for part in group.parts
        for onto in inputs_onto(network, part)
    )
