"""Correctly rounded scalars from `decimal`: the same on every machine, where libm is not.

Only for the few numbers of a description (propagators, bounds of distributions, Poisson tables);
whatever is drawn per neuron or synapse uses the kernels' own functions.
"""

from __future__ import annotations

from decimal import Context, Decimal, localcontext

DIGITS = 50


def exact_context() -> Context:
    """The decimal context in which exact scalars are computed."""
    return Context(prec=DIGITS)


def exp_float(x: float) -> float:
    """exp(x), correctly rounded."""
    with localcontext(exact_context()):
        return float(Decimal(x).exp())


def normal_cdf(x: float) -> float:
    """The standard normal distribution function at `x`, correctly rounded for |x| < 9.

    Sums the series  Phi(x) = 1/2 + phi(x) (x + x^3/3 + x^5/15 + ...), whose terms are all of one sign.
    """
    if x <= -9.0:
        return 0.0 if x < -38.0 else _tail(x)
    if x >= 9.0:
        return 1.0
    with localcontext(Context(prec=DIGITS + 20)):
        z = Decimal(x)
        term = total = z
        n = 1
        while term and abs(term) > abs(total) * Decimal(10) ** -(DIGITS + 15):
            n += 2
            term = term * z * z / n
            total += term
        density = (-z * z / 2).exp() / (2 * _pi()).sqrt()
        return float(Decimal("0.5") + density * total)


def _tail(x: float) -> float:
    """The far lower tail by its asymptotic series (relative error below 1e-15 for x <= -9)."""
    with localcontext(exact_context()):
        z = Decimal(-x)
        term = total = Decimal(1)
        for k in range(1, 30):
            term = -term * (2 * k - 1) / (z * z)
            total += term
        return float((-z * z / 2).exp() / (2 * _pi()).sqrt() / z * total)


def _pi() -> Decimal:
    """Pi to 70 digits."""
    return Decimal("3.1415926535897932384626433832795028841971693993751058209749445923078164")
