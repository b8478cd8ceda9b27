"""Distributions of parameters, initial values, weights and delays: pure description.

Each is sampled by inverting its cumulative distribution at one 32-bit uniform number, so a draw costs
the same everywhere and every distribution has a finite support, known from the description alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from distsim.drawn import Arithmetic, Bounded, Placed, placed_bounds
from distsim.errors import wrong
from distsim.exact import exp_float, expm1_float, gamma_cdf, gamma_upper, log_float, normal_cdf
from distsim.expressions import Expression

if TYPE_CHECKING:
    from typing import Self  # Python 3.11 has it

AnyNormal = TypeVar("AnyNormal", bound="Normal | NormalClipped")
# A 32-bit uniform (k + 1/2) / 2^32 reaches no further than this many standard deviations.
NORMAL_REACH = 6.34
FAR_NORMAL_REACH = 9.0  # where bounds stretch these uniforms over less of the distribution
EXPONENTIAL_REACH = 22.9  # log(2^33) = 22.87
ROOM = 1.0 + 1e-6  # the inverse of a gamma distribution, where 2^-33 is left, is known to 1e-8


@dataclass(frozen=True, repr=False)
class Uniform(Bounded):
    """Uniform on [low, high)."""

    low: float
    high: float

    def placed(self, factor: float, offset: float) -> Self:
        least, most = placed_bounds(self.min, self.max, factor, offset)
        low, high = sorted((offset + factor * self.low, offset + factor * self.high))
        return replace(self, low=low, high=high, min=least, max=most)

    def check_numbers(self, where: str) -> None:
        if not self.high > self.low:
            raise wrong(where, [self.low, self.high], "[low, high] with low < high")

    def reach(self) -> tuple[float, float]:
        return self.low, self.high

    def below(self, x: float) -> float:
        return min(max((x - self.low) / (self.high - self.low), 0.0), 1.0)


@dataclass(frozen=True, repr=False)
class UniformInt(Placed):
    """A whole number from `low` to `high`, both included, each with the same probability."""

    low: int
    high: int

    def check_numbers(self, where: str) -> None:
        numbers = (self.low, self.high)
        if any(isinstance(x, bool) or x != int(x) for x in numbers) or not 0 <= self.high - self.low < 2**31:
            raise wrong(where, list(numbers), "[low, high] of whole numbers with low <= high < low + 2^31")

    def check(self, where: str) -> None:
        super().check(where)
        if self.redraws and self.plain.whole_limits()[0] > self.plain.whole_limits()[1]:
            raise wrong(where, list(self.limits), "bounds with a whole number between them")

    def whole_limits(self) -> tuple[int, int]:
        """The smallest and the largest number that is drawn (before clipping), of a plain one."""
        low, high = self.limits if self.redraws else (-math.inf, math.inf)
        return max(self.low, math.ceil(max(low, self.low))), min(self.high, math.floor(min(high, self.high)))

    def reach(self) -> tuple[float, float]:
        low, high = self.whole_limits()
        return float(low), float(high)

    def probabilities(self) -> tuple[float, float]:
        low, high = self.plain.whole_limits()
        return (low - self.low) / (self.high - self.low + 1), max(0, high - low + 1) / (self.high - self.low + 1)

    def below(self, x: float) -> float:
        return min(max((math.ceil(x) - self.low) / (self.high - self.low + 1), 0.0), 1.0)

    def next_above(self, x: float) -> float:
        return float(math.floor(x) + 1)


@dataclass(frozen=True, repr=False)
class Normal(Bounded):
    """Normal with `mean` and `std`; the support ends at 6.34 standard deviations."""

    mean: float
    std: float

    def placed(self, factor: float, offset: float) -> Self:
        return _placed_normal(self, factor, offset)

    def check_numbers(self, where: str) -> None:
        _check_std(self, where)

    def reach(self) -> tuple[float, float]:
        return _around(self, NORMAL_REACH)

    def far_reach(self) -> tuple[float, float]:
        return _around(self, FAR_NORMAL_REACH)

    def below(self, x: float) -> float:
        return normal_cdf((x - self.mean) / self.std)


@dataclass(frozen=True)
class NormalClipped(Arithmetic):
    """Normal redrawn until it falls into [min, max] (a truncated normal).

    Bounds left out are filled in by the place where it stands: delays lie on [dt/2, inf), weights keep
    the sign of the mean.
    """

    mean: float
    std: float
    min: float | None = None
    max: float | None = None

    def placed(self, factor: float, offset: float) -> Self:
        return _placed_normal(self, factor, offset)

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
        low = -math.inf if self.min is None else self.min
        high = math.inf if self.max is None else self.max
        return low, high

    def within(self, low: float, high: float) -> NormalClipped:
        """The same with missing bounds replaced by `low` and `high`."""
        return NormalClipped(
            self.mean,
            self.std,
            low if self.min is None else self.min,
            high if self.max is None else self.max,
        )

    def support(self) -> tuple[float, float]:
        low, high = self.bounds()
        reach = NORMAL_REACH * self.std
        # A truncated tail stretches the same 2^32 uniforms over less mass: they reach further.
        if math.isfinite(low) or math.isfinite(high):
            reach = FAR_NORMAL_REACH * self.std
        return max(low, self.mean - reach), min(high, self.mean + reach)


@dataclass(frozen=True, repr=False)
class Lognormal(Placed):
    """exp of a normal with `mean` and `std` (NEST's parameters: of the logarithm)."""

    mean: float
    std: float

    def check_numbers(self, where: str) -> None:
        _check_std(self, where)
        reach = FAR_NORMAL_REACH if self.redraws else NORMAL_REACH
        if abs(self.mean) + reach * self.std > 80.0:
            raise wrong(where, [self.mean, self.std], f"|mean| + {reach:g} std <= 80, so that values stay finite")

    def reach(self) -> tuple[float, float]:
        low, high = _around(self, NORMAL_REACH)
        return exp_float(low), exp_float(high)

    def far_reach(self) -> tuple[float, float]:
        low, high = _around(self, FAR_NORMAL_REACH)
        return exp_float(low), exp_float(high)

    def below(self, x: float) -> float:
        return normal_cdf((log_float(x) - self.mean) / self.std) if x > 0.0 else 0.0


def _placed_normal(value: AnyNormal, factor: float, offset: float) -> AnyNormal:
    low, high = placed_bounds(value.min, value.max, factor, offset)
    return replace(value, mean=offset + factor * value.mean, std=abs(factor) * value.std, min=low, max=high)


def _check_std(value: Normal | Lognormal, where: str) -> None:
    if not value.std >= 0.0:
        raise wrong(where, [value.mean, value.std], "[mean, std] with std >= 0")
    if value.std == 0.0 and value.bounded:
        raise wrong(where, 0.0, "a std above 0 where there are bounds")


def _around(value: Normal | Lognormal, deviations: float) -> tuple[float, float]:
    return value.mean - deviations * value.std, value.mean + deviations * value.std


@dataclass(frozen=True, repr=False)
class Exponential(Placed):
    """Exponential with mean `beta`; the support ends at 22.9 beta, where 2^-33 is left."""

    beta: float

    def check_numbers(self, where: str) -> None:
        if not self.beta > 0.0:
            raise wrong(where, self.beta, "beta > 0")

    def reach(self) -> tuple[float, float]:
        return 0.0, EXPONENTIAL_REACH * self.beta

    def far_reach(self) -> tuple[float, float]:
        return 0.0, max(self.limits[0], 0.0) + EXPONENTIAL_REACH * self.beta  # it has no memory

    def below(self, x: float) -> float:
        return -expm1_float(-x / self.beta) if x > 0.0 else 0.0


@dataclass(frozen=True, repr=False)
class Gamma(Placed):
    """Gamma with `shape` and `scale` (mean shape * scale); the support ends where 2^-33 is left."""

    shape: float
    scale: float

    def check_numbers(self, where: str) -> None:
        if not (0.05 <= self.shape <= 1e4 and self.scale > 0.0):
            raise wrong(where, [self.shape, self.scale], "[shape, scale] with 0.05 <= shape <= 1e4 and scale > 0")

    def reach(self) -> tuple[float, float]:
        return 0.0, self.scale * ROOM * gamma_upper(self.shape, 2.0**-33)

    def far_reach(self) -> tuple[float, float]:
        return 0.0, self.scale * ROOM * gamma_upper(self.shape, self.probabilities()[1] * 2.0**-33)

    def below(self, x: float) -> float:
        return float(gamma_cdf(self.shape, x / self.scale))


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


Drawn = Uniform | UniformInt | Normal | Lognormal | Exponential | Gamma  # those that can have bounds
Distribution = Within | NormalClipped | Listed | Expression | Drawn
Value = float | Distribution


def as_value(value: Any, expressions: bool = False) -> Value:
    """A number as float, a sequence of numbers as Listed, a distribution as it is, a text as an expression."""
    if isinstance(value, str) and expressions:
        return Expression(value)
    if isinstance(value, Expression) and not expressions:
        raise TypeError("an expression of positions is for weights, delays and probabilities")
    if isinstance(value, Distribution):
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
