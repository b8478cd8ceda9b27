"""What drawn distributions have in common: bounds, arithmetic, and a factor and an offset where the family has none."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

from distsim.errors import wrong

if TYPE_CHECKING:
    from typing import Self  # Python 3.11 has it

MIN_MASS = 1e-7  # what bounds must leave of a distribution to be redrawn


class Arithmetic:
    """A distribution times or plus a number is a distribution: `-40 * Lognormal(0, 0.5)`, `Gamma(2, 1) + 0.5`."""

    __array_ufunc__ = None  # NumPy's numbers leave the arithmetic to us

    def placed(self, factor: float, offset: float) -> Self:
        """The distribution of offset + factor * X, bounds included; the factor is not 0."""
        raise NotImplementedError

    def __mul__(self, number: Any) -> Self:
        return self.placed(float(number), 0.0) if isinstance(number, Real) else NotImplemented

    def __add__(self, number: Any) -> Self:
        return self.placed(1.0, float(number)) if isinstance(number, Real) else NotImplemented

    def __sub__(self, number: Any) -> Self:
        return self.placed(1.0, -float(number)) if isinstance(number, Real) else NotImplemented

    def __rsub__(self, number: Any) -> Self:
        return self.placed(-1.0, float(number)) if isinstance(number, Real) else NotImplemented

    def __truediv__(self, number: Any) -> Self:
        if not isinstance(number, Real):
            return NotImplemented
        check_factor(float(number), "divisor")
        return self.placed(1.0 / float(number), 0.0)

    def __neg__(self) -> Self:
        return self.placed(-1.0, 0.0)

    __rmul__ = __mul__
    __radd__ = __add__


def placed_bounds(
    least: float | None, most: float | None, factor: float, offset: float
) -> tuple[float | None, float | None]:
    """Bounds of offset + factor * X from those of X."""
    check_factor(factor, "factor")
    low, high = (None if x is None else offset + factor * x for x in (least, most))
    return (low, high) if factor > 0.0 else (high, low)


def check_factor(factor: float, where: str) -> None:
    if not (math.isfinite(factor) and factor != 0.0):
        raise wrong(where, factor, "a finite number other than 0")


@dataclass(frozen=True, repr=False)
class Bounded(Arithmetic):
    """A drawn distribution, which can have bounds.

    With `bounds="redraw"` the distribution is that of draws repeated until one lies in [min, max] (a truncated
    distribution, sampled by inverting it there); with "clip" draws beyond a bound become the bound.
    """

    min: float | None = field(default=None, kw_only=True)
    max: float | None = field(default=None, kw_only=True)
    bounds: str = field(default="redraw", kw_only=True)

    def __repr__(self) -> str:
        said = [repr(getattr(self, f.name)) for f in fields(self) if not f.kw_only]
        said += [f"{f.name}={x!r}" for f in fields(self) if f.kw_only and (x := getattr(self, f.name)) != f.default]
        return f"{type(self).__name__}({', '.join(said)})"

    def reach(self) -> tuple[float, float]:
        """Smallest and largest number without bounds."""
        raise NotImplementedError

    def below(self, x: float) -> float:
        """P(X < x) without bounds, correctly rounded (or to 1e-15)."""
        raise NotImplementedError

    def check_numbers(self, where: str) -> None:
        """ConfigError where the parameters describe no distribution."""
        raise NotImplementedError

    @property
    def limits(self) -> tuple[float, float]:
        """The bounds; infinite where there are none."""
        low = -math.inf if self.min is None else self.min
        return low, math.inf if self.max is None else self.max

    @property
    def bounded(self) -> bool:
        return self.min is not None or self.max is not None

    @property
    def redraws(self) -> bool:
        return self.bounds == "redraw" and self.bounded

    def check(self, where: str) -> None:
        self.check_numbers(where)
        if self.bounds not in ("redraw", "clip"):
            raise wrong(f"{where}.bounds", self.bounds, "redraw or clip")
        low, high = self.limits
        if math.isnan(low) or math.isnan(high) or not high > low:
            raise wrong(where, [low, high], "min < max")
        if self.redraws and not self.probabilities()[1] >= MIN_MASS:
            raise wrong(
                where, [low, high], f"bounds that hold at least {MIN_MASS:g} of the probability, or bounds: clip"
            )

    def probabilities(self) -> tuple[float, float]:
        """Where the truncated distribution begins in the whole one's probability, and how much of it there is."""
        if not self.redraws:
            return 0.0, 1.0
        low, high = self.limits
        begin = self.below(low) if math.isfinite(low) else 0.0
        return begin, (self.below(high) if math.isfinite(high) else 1.0) - begin

    def support(self) -> tuple[float, float]:
        low, high = self.far_reach() if self.redraws else self.reach()
        least, most = self.limits
        return min(max(low, least), most), max(min(high, most), least)

    def far_reach(self) -> tuple[float, float]:
        """`reach` where the same 2^32 uniforms fall to a truncated distribution: its tail reaches further."""
        return self.reach()

    def share_below(self, x: float) -> float:
        """P(a draw < x), for an x within the support."""
        begin, width = self.probabilities()
        return (self.below(x) - begin) / width


@dataclass(frozen=True, repr=False)
class Placed(Bounded):
    """A drawn distribution with `factor` and `offset`: a draw is offset + factor * X, and bounds are bounds of that."""

    factor: float = field(default=1.0, kw_only=True)
    offset: float = field(default=0.0, kw_only=True)

    def placed(self, factor: float, offset: float) -> Self:
        low, high = placed_bounds(self.min, self.max, factor, offset)
        return replace(self, factor=self.factor * factor, offset=offset + factor * self.offset, min=low, max=high)

    @property
    def is_plain(self) -> bool:
        return self.factor == 1.0 and self.offset == 0.0

    @property
    def plain(self) -> Self:
        """X alone, with the bounds that those of the draws are for it."""
        if self.is_plain:
            return self
        low, high = (None if x is None else (x - self.offset) / self.factor for x in (self.min, self.max))
        low, high = (low, high) if self.factor > 0.0 else (high, low)
        return replace(self, factor=1.0, offset=0.0, min=low, max=high)

    def check(self, where: str) -> None:
        check_factor(self.factor, f"{where}.factor")
        if not math.isfinite(self.offset):
            raise wrong(f"{where}.offset", self.offset, "a finite number")
        super().check(where)

    def probabilities(self) -> tuple[float, float]:
        """Those of X."""
        return super().probabilities() if self.is_plain else self.plain.probabilities()

    def support(self) -> tuple[float, float]:
        if self.is_plain:
            return super().support()
        low, high = (self.offset + self.factor * x for x in self.plain.support())
        least, most = self.limits  # which rounding must not leave
        low, high = min(low, high), max(low, high)
        return min(max(low, least), most), max(min(high, most), least)

    def share_below(self, x: float) -> float:
        if self.is_plain:
            return super().share_below(x)
        plain = self.plain
        y = (x - self.offset) / self.factor
        return plain.share_below(y) if self.factor > 0.0 else 1.0 - plain.share_below(plain.next_above(y))

    def next_above(self, x: float) -> float:
        """The least y such that P(X <= x) is P(X < y): x itself, but where single numbers have a probability."""
        return x
