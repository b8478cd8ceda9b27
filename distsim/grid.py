"""Times and the grid of time steps."""

from __future__ import annotations

import math


def round_to_steps(time: float, dt: float) -> int:
    """`time` in whole steps, rounded half up: 0.15 ms are two steps of 0.1, though 0.15 / 0.1 < 1.5 in binary."""
    return math.floor(time / dt + 0.5 + 1e-9)


def on_grid(time: float, dt: float) -> int | None:
    """The number of steps in `time`, or None where it is no whole number of them (to 1e-6 of a step)."""
    steps = time / dt
    nearest_step = math.floor(steps + 0.5)
    return nearest_step if abs(steps - nearest_step) <= 1e-6 * max(1.0, abs(steps) * 1e-6) else None
