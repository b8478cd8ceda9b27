"""Thresholds by which a 32-bit uniform word gives a Poisson count, from exact arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache

from distsim.exact import exact_context


@dataclass(frozen=True)
class PoissonTable:
    """A Poisson distribution in two stages.

    A half-word h (16 bits) below `rest_from` gives `first` plus the number of `thresholds` that h reaches:
    each count holds as many half-words as 2^16 times its probability, rounded down. What is left of the
    probabilities falls to the few half-words from `rest_from` on: there a whole word is drawn and gives
    `first` plus the number of thresholds in `rest` that it reaches. Together each probability is met to
    2^-32 of the remaining mass, below 2^-44 for small means.
    """

    first: int
    thresholds: tuple[int, ...]
    rest_from: int
    rest: tuple[int, ...]

    @property
    def largest(self) -> int:
        return self.first + max(len(self.thresholds), len(self.rest))


@cache
def poisson_table(rate: float, dt: float) -> PoissonTable:
    """The table for a mean of rate * dt.

    Parameters
    ----------
    rate
        Hz.
    dt
        ms.
    """
    with localcontext(exact_context()):
        mean = Decimal(repr(rate)) * Decimal(repr(dt)) / 1000
        first, masses = _masses(mean)
        cells = [int(m * 2**16) for m in masses]
        left = [m * 2**16 - n for m, n in zip(masses, cells, strict=True)]
        rest_from = sum(cells)
        thresholds: list[int] = []
        below = 0
        for n in cells[:-1]:
            below += n
            thresholds.append(below)
        while thresholds and thresholds[-1] >= rest_from:
            thresholds.pop()
        # Padded to fours for the kernel's vectors; only half-words beyond rest_from reach the padding.
        thresholds += [2**16 - 1] * (-len(thresholds) % 4)
        total, reached, rest = sum(left), Decimal(0), []
        for x in left[:-1]:
            reached += x
            rest.append(min(int((reached / total * 2**32).to_integral_value()), 2**32 - 1))
        return PoissonTable(first, tuple(thresholds), rest_from, tuple(rest))


def _masses(mean: Decimal) -> tuple[int, list[Decimal]]:
    """The smallest count and the probabilities from there on; what is left out is below 1e-25."""
    spread = 12 * mean.sqrt() + 30
    start = max(0, int(mean - spread))
    if mean == 0:
        return 0, [Decimal(1)]
    mass = (-mean + start * mean.ln() - _log_factorial(start)).exp()
    masses = []
    for count in range(start, int(mean + spread) + 1):
        masses.append(mass)
        mass = mass * mean / (count + 1)
    return start, masses


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
