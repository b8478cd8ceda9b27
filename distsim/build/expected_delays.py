"""Distributions of weights and delays as probabilities: how delays fall on the grid, which share is below a bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from distsim.distributions import (
    Drawn,
    Listed,
    Lognormal,
    Normal,
    NormalClipped,
    Value,
    support,
)
from distsim.drawn import Placed
from distsim.grid import round_to_steps

_EXTREME = 2.0**-33  # of a uniform 32-bit word: (k + 1/2) / 2^32


@dataclass(frozen=True)
class DelaySteps:
    """The distribution of a delay on the grid: probability of `first`, `first` + 1, … steps."""

    first: int
    share: npt.NDArray[np.float64]

    @property
    def last(self) -> int:
        return self.first + len(self.share) - 1


def delay_steps(value: Value, dt: float) -> DelaySteps:
    """The distribution of a delay in steps, rounded half up as construction does."""
    if isinstance(value, Listed):
        steps = np.array([round_to_steps(x, dt) for x in value.values] or [1], np.int64)
        return histogram(steps)
    if isinstance(value, float) or support(value)[0] == support(value)[1]:
        return DelaySteps(max(1, round_to_steps(support(value)[0], dt)), np.ones(1))
    low, high = support(value)
    first = max(1, round_to_steps(max(low, _quantile(value, _EXTREME)), dt))
    last = max(first, round_to_steps(min(high, _quantile(value, 1.0 - _EXTREME)), dt))
    below = [probability_below(value, (k - 0.5) * dt) for k in range(first + 1, last + 1)]
    share = np.maximum(np.diff([0.0, *below, 1.0]), 0.0)
    met = np.flatnonzero(share >= _EXTREME)  # a support reaches further than some words do
    return DelaySteps(first + int(met[0]), share[met[0] : met[-1] + 1])


def histogram(steps: npt.NDArray[np.int64]) -> DelaySteps:
    first = int(steps.min())
    return DelaySteps(first, np.bincount(steps - first) / steps.size)


def probability_below(value: Value, x: float) -> float:
    """P(a draw of `value` < x)."""
    if isinstance(value, Listed):
        return sum(v < x for v in value.values) / max(1, len(value.values))
    low, high = support(value)
    if x <= low or x > high:
        return 0.0 if x <= low else 1.0
    if isinstance(value, Drawn) and (value.bounded or not _is_quick(value)):
        return value.share_below(x)
    if isinstance(value, Normal) and value.std > 0.0:
        return NormalDist(value.mean, value.std).cdf(x)
    if isinstance(value, NormalClipped) and value.std > 0.0:
        begin, width = _clipped(value)
        return (NormalDist(value.mean, value.std).cdf(x) - begin) / width
    if isinstance(value, Lognormal) and value.std > 0.0:
        return NormalDist(value.mean, value.std).cdf(math.log(x)) if x > 0.0 else 0.0
    return (x - low) / (high - low)


def _is_quick(value: Value) -> bool:
    """Whether floating point serves; the others know their own probabilities."""
    return not isinstance(value, Placed) or (isinstance(value, Lognormal) and value.is_plain)


def _quantile(value: Value, u: float) -> float:
    bounded = isinstance(value, Drawn) and value.bounded
    if isinstance(value, (Normal, NormalClipped, Lognormal)) and value.std > 0.0 and not bounded and _is_quick(value):
        begin, width = _clipped(value) if isinstance(value, NormalClipped) else (0.0, 1.0)
        p = min(max(begin + width * u, 1e-300), 1.0 - 2.0**-53)
        x = NormalDist(value.mean, value.std).inv_cdf(p)
        return math.exp(x) if isinstance(value, Lognormal) else x
    low, high = support(value)
    if isinstance(value, float):
        return value
    # Of the others the support stands for the extreme quantiles, which alone are asked for.
    return low + (high - low) * u


def _clipped(value: NormalClipped) -> tuple[float, float]:
    """Where a truncated normal begins in the whole one's probability, and how much of it there is."""
    whole = NormalDist(value.mean, value.std)
    low, high = value.bounds()
    begin = whole.cdf(low) if math.isfinite(low) else 0.0
    end = whole.cdf(high) if math.isfinite(high) else 1.0
    return begin, max(end - begin, 1e-300)
