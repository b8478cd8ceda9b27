"""Times and the grid of time steps."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

MAX_STEPS = 2.0**62  # far beyond any limit that is checked, and still a whole number in 64 bits


def round_to_steps(time: float, dt: float) -> int:
    """`time` in whole steps, rounded half up: 0.15 ms are two steps of 0.1, though 0.15 / 0.1 < 1.5 in binary."""
    return math.floor(min(time / dt, MAX_STEPS) + 0.5 + 1e-9)


def rounded_to_steps(times: npt.NDArray[np.float64], dt: float) -> npt.NDArray[np.float64]:
    """`round_to_steps` of each of many times, as whole float64 (a step beyond an integer's range stays one)."""
    return np.asarray(np.floor(times / dt + 0.5 + 1e-9), np.float64)


def on_grid(time: float, dt: float) -> int | None:
    """The number of steps in `time`, or None where it is no whole number of them (to 1e-6 of a step)."""
    steps = time / dt
    if not abs(steps) < MAX_STEPS:
        return None
    nearest_step = math.floor(steps + 0.5)
    return nearest_step if abs(steps - nearest_step) <= 1e-6 * max(1.0, abs(steps) * 1e-6) else None
