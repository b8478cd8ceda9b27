"""Distributions of parameters, initial values, weights and delays: pure description.

Each is sampled by inverting its cumulative distribution at one 32-bit uniform number, so a draw costs
the same everywhere and every distribution has a finite support, known from the description alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from distsim.errors import wrong
from distsim.exact import exp_float

# A 32-bit uniform (k + 1/2) / 2^32 reaches no further than this many standard deviations.
NORMAL_REACH = 6.34


@dataclass(frozen=True)
class Uniform:
    """Uniform on [low, high)."""

    low: float
    high: float

    def check(self, where: str) -> None:
        if not self.high > self.low:
            raise wrong(where, [self.low, self.high], "[low, high] with low < high")

    def support(self) -> tuple[float, float]:
        return self.low, self.high


@dataclass(frozen=True)
class Normal:
    """Normal with `mean` and `std`; the support ends at 6.34 standard deviations."""

    mean: float
    std: float

    def check(self, where: str) -> None:
        if not self.std >= 0.0:
            raise wrong(where, [self.mean, self.std], "[mean, std] with std >= 0")

    def support(self) -> tuple[float, float]:
        reach = NORMAL_REACH * self.std
        return self.mean - reach, self.mean + reach


@dataclass(frozen=True)
class NormalClipped:
    """Normal redrawn until it falls into [minimum, maximum] (a truncated normal).

    Bounds left out are filled in by the place where it stands: delays lie on [dt/2, inf), weights keep
    the sign of the mean.
    """

    mean: float
    std: float
    minimum: float | None = None
    maximum: float | None = None

    def check(self, where: str) -> None:
        low, high = self.bounds()
        if not self.std >= 0.0:
            raise wrong(where, [self.mean, self.std], "[mean, std] with std >= 0")
        if not high > low:
            raise wrong(where, [low, high], "min < max")
        if self.std == 0.0 and not low <= self.mean <= high:
            raise wrong(where, self.mean, f"a mean within [{low}, {high}] where std is 0")
        if self.std > 0.0 and (low > self.mean + 5.0 * self.std or high < self.mean - 5.0 * self.std):
            raise wrong(where, [low, high], "bounds that reach to within 5 standard deviations of the mean")

    def bounds(self) -> tuple[float, float]:
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        return low, high

    def within(self, low: float, high: float) -> NormalClipped:
        """The same with missing bounds replaced by `low` and `high`."""
        return NormalClipped(
            self.mean,
            self.std,
            low if self.minimum is None else self.minimum,
            high if self.maximum is None else self.maximum,
        )

    def support(self) -> tuple[float, float]:
        low, high = self.bounds()
        reach = NORMAL_REACH * self.std
        # A truncated tail stretches the same 2^32 uniforms over less mass: they reach further.
        if math.isfinite(low) or math.isfinite(high):
            reach = 9.0 * self.std
        return max(low, self.mean - reach), min(high, self.mean + reach)


@dataclass(frozen=True)
class Lognormal:
    """exp of a normal with `mean` and `std` (NEST's parameters: of the logarithm)."""

    mean: float
    std: float

    def check(self, where: str) -> None:
        if not self.std >= 0.0:
            raise wrong(where, [self.mean, self.std], "[mean, std] with std >= 0")
        if abs(self.mean) + NORMAL_REACH * self.std > 80.0:
            raise wrong(where, [self.mean, self.std], "|mean| + 6.34 std <= 80, so that values stay finite")

    def support(self) -> tuple[float, float]:
        return exp_float(self.mean - NORMAL_REACH * self.std), exp_float(self.mean + NORMAL_REACH * self.std)


@dataclass(frozen=True)
class Listed:
    """One number per item (neuron, pair of one_to_one, connection), in the order of the items."""

    values: tuple[float, ...]
    origin: str | None = None  # "file:column" where the numbers came from a file

    def check(self, where: str) -> None:
        if not all(math.isfinite(v) for v in self.values):
            raise wrong(where, "a list with NaN or infinity", "finite numbers")

    def support(self) -> tuple[float, float]:
        return (min(self.values), max(self.values)) if self.values else (0.0, 0.0)


@dataclass(frozen=True)
class Within:
    """Numbers that stand elsewhere (in a list of connections), known to lie in [low, high]."""

    low: float
    high: float

    def check(self, where: str) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise wrong(where, [self.low, self.high], "finite numbers")

    def support(self) -> tuple[float, float]:
        return self.low, self.high


MAX_MAGNITUDE = 1e30  # of any number: single precision ends at 3e38, and products need room


def check_magnitude(value: Value, where: str) -> None:
    """ConfigError where `value` is malformed or can give NaN, infinity or a number beyond 1e30."""
    if not isinstance(value, float):
        value.check(where)
    low, high = support(value)
    for bound in (low, high):
        if not math.isfinite(bound):
            raise wrong(where, bound, "a finite number")
        if abs(bound) > MAX_MAGNITUDE:
            raise wrong(where, bound, f"numbers of at most {MAX_MAGNITUDE:g}")


Distribution = Within | Uniform | Normal | NormalClipped | Lognormal | Listed
Value = float | Distribution


def as_value(value: Any) -> Value:
    """A number as float, a sequence of numbers as Listed, a distribution as it is."""
    if isinstance(value, (Within, Uniform, Normal, NormalClipped, Lognormal, Listed)):
        return value
    if hasattr(value, "tolist"):  # a NumPy array or scalar
        value = value.tolist()
    if isinstance(value, (bool, str, bytes)):
        raise TypeError(f"{type(value).__name__} is no number")
    if isinstance(value, (int, float)):
        return float(value)
    return Listed(tuple(float(v) for v in value))


def support(value: Value) -> tuple[float, float]:
    """Smallest and largest number that `value` can give."""
    return (value, value) if isinstance(value, float) else value.support()
