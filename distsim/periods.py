"""The periods of biological time that have a spike digest each: seconds in the first hour, minutes after it.

Two runs with different digests are to be told apart in time, and a run of days must hold no number for each of its
seconds. A period depends on time alone, so that runs of any length compare, and a run that goes on keeps its sums.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SHORT_PERIODS = 3600  # of a second each
SECONDS_IN_LONG = 60  # in each period after those (spread.cpp is told both numbers)


def n_periods(steps: int, per_second: int) -> int:
    """How many periods so many steps touch; at least one."""
    return int(period_of(np.array(max(1, steps), np.uint64), per_second)) + 1


def period_of(steps: npt.NDArray[np.uint64], per_second: int) -> npt.NDArray[np.uint64]:
    """The period in which each step (from 1 on) lies, uint64 of the same shape."""
    second = (steps - np.uint64(1)) // np.uint64(per_second)
    short, long = np.uint64(SHORT_PERIODS), np.uint64(SECONDS_IN_LONG)
    after = np.maximum(second, short) - short
    return np.asarray(np.where(second < short, second, short + after // long), np.uint64)


def bounds(period: int) -> tuple[int, int]:
    """Seconds at which a period begins and ends."""
    if period < SHORT_PERIODS:
        return period, period + 1
    begin = SHORT_PERIODS + (period - SHORT_PERIODS) * SECONDS_IN_LONG
    return begin, begin + SECONDS_IN_LONG
