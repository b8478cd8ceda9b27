"""Thresholds by which a 32-bit uniform word gives a Poisson count, from exact arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache

from distsim.exact import exact_context


@dataclass(frozen=True)
class PoissonTable:
    """The count for word u is `first` plus the number of thresholds that u reaches."""

    first: int
    thresholds: tuple[int, ...]

    @property
    def largest(self) -> int:
        return self.first + len(self.thresholds)


@cache
def poisson_table(rate: float, dt: float) -> PoissonTable:
    """Inverse of the Poisson distribution function with mean rate * dt, at a resolution of 2^-32.

    Parameters
    ----------
    rate
        Hz.
    dt
        ms.
    """
    with localcontext(exact_context()):
        mean = Decimal(rate) * Decimal(repr(dt)) / 1000
        if mean == 0:
            return PoissonTable(0, ())
        spread = 12 * mean.sqrt() + 40
        start = max(0, int(mean - spread))
        mass = (-mean + start * mean.ln() - _log_factorial(start)).exp()
        total = Decimal(2) ** 32
        below, count, first = Decimal(0), start, start
        thresholds: list[int] = []
        while count < mean + spread:
            below += mass
            reached = int((below * total).to_integral_value())
            if reached >= 2**32:
                break
            if reached == 0:
                first = count + 1  # no word gives this count
            else:
                thresholds.append(reached)
            count += 1
            mass = mass * mean / count
        return PoissonTable(first, tuple(thresholds))


def _log_factorial(n: int) -> Decimal:
    """log n!, by Stirling's series beyond 1000 (error below 1e-40)."""
    if n <= 1000:
        product = Decimal(1)
        for k in range(2, n + 1):
            product *= k
        return product.ln()
    x = Decimal(n)
    two_pi = Decimal("6.2831853071795864769252867665590057683943387987502116419498891846156328")
    series = Decimal(0)
    numerators = (1, -1, 1, -1, 1, -691, 1, -3617)
    denominators = (12, 360, 1260, 1680, 1188, 360360, 156, 122400)
    for k, (a, b) in enumerate(zip(numerators, denominators, strict=True)):
        series += Decimal(a) / Decimal(b) / x ** (2 * k + 1)
    return x * x.ln() - x + (two_pi * x).ln() / 2 + series
