"""What is allowed in a description and seldom meant: told before a run, and by `distsim check`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from distsim.checks import receptor_names
from distsim.distributions import support
from distsim.elements import Population
from distsim.network import Network
from distsim.rules import Explicit
from distsim.selection import Selection

# Larger units by the power of ten that a number in them lacks. (A time constant of 0.002 ms is meant: almost a delta.)
_LARGER = {
    "mV": {3: "V"},
    "pF": {3: "nF", 6: "uF", 12: "F"},
    "nS": {3: "uS", 6: "mS", 9: "S"},
    "pA": {3: "nA", 6: "uA", 12: "A"},
}
_NEAR = 4.0  # a number that this factor at most parts from the default is taken for one of the same unit


def doubts(network: Network) -> list[str]:
    """A line for each of these.

    A connection or input that makes a conductance negative, where the opposite is what its name says; a parameter that
    would be near its default in a larger unit, such as a capacitance of 0.25 pF.
    """
    found = [text for population in network.populations for text in _other_units(population)]
    for i, p in enumerate(network.projections):
        if not isinstance(p.rule, Explicit):
            found += _negative_conductance(p.targets, p.receptor, *support(p.weight), f"projections[{i}]")
    for described in network.inputs:
        if described.device.gives == "spikes":
            weight = described.weight
            found += _negative_conductance(
                described.targets, described.receptor, weight, weight, f"inputs.{described.name}"
            )
    return found


def _other_units(population: Population) -> list[str]:
    found = []
    for p in population.model.scalar_parameters:
        largest = max(support(population.params[p.name]), key=abs)
        if largest * p.default <= 0.0:
            continue
        for power, unit in _LARGER.get(p.unit, {}).items():
            if abs(math.log(p.default / largest / 10.0**power)) <= math.log(_NEAR):
                found.append(
                    f"populations.{population.name}.params.{p.name}: found {largest:g} {p.unit}, which would be "
                    f"{largest * 10.0**power:g} {p.unit} if {unit} was meant"
                )
    return found


def _negative_conductance(
    targets: Sequence[Selection], receptor: str | None, low: float, high: float, where: str
) -> list[str]:
    """Onto a port `inhibitory` weights are negative, as in NEST, and onto all others positive."""
    for target in targets:
        ports = target.model.receptors
        positive, negative = (ports[k] for k in receptor_names(target.model, receptor, where))
        if positive.unit == "nS" and "inhibitory" in positive.name and high > 0.0:
            return [_said(where, high, positive.name, target, "negative")]
        if negative.unit == "nS" and "inhibitory" not in negative.name and low < 0.0:
            return [_said(where, low, negative.name, target, "positive")]
    return []


def _said(where: str, weight: float, port: str, target: Selection, sign: str) -> str:
    return (
        f"{where}.weight: found {weight:g} onto receptor {port!r} of {target.name} ({target.model.name}), which makes "
        f"its conductance negative; weights onto it are {sign}"
    )
