"""Checks of arguments that published networks share."""

from __future__ import annotations

import math

from distsim.errors import wrong


def is_positive(value: object) -> bool:
    """Whether `value` is a positive finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0.0


def check_positive(**values: object) -> None:
    """ConfigError for the first of the named arguments that is no positive finite number."""
    for name, value in values.items():
        if not is_positive(value):
            raise wrong(f"network.{name}", value, "a number > 0")


def check_size(scale: float, *sizes: int) -> list[int]:
    """`sizes` times `scale`, rounded; ConfigError where one is less than 1."""
    scaled = [round(n * scale) for n in sizes]
    if min(scaled) < 1:
        raise wrong("network.scale", scale, "a scale that leaves at least one neuron in each population")
    return scaled
