"""What is allowed in a description and seldom meant: told before a run, and by `distsim check`."""

from __future__ import annotations

from collections.abc import Sequence

from distsim.checks import receptor_names
from distsim.distributions import support
from distsim.network import Network
from distsim.rules import Explicit
from distsim.selection import Selection


def doubts(network: Network) -> list[str]:
    """A line for each connection or input that makes a conductance negative, and so does the opposite of its name."""
    found = []
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
