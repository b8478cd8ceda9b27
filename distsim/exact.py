"""Correctly rounded scalars from `decimal`: the same on every machine, where libm is not.

Only for the few numbers of a description (propagators, bounds of distributions, Poisson tables);
whatever is drawn per neuron or synapse uses the kernels' own functions.
"""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from functools import cache

DIGITS = 50


def exact_context() -> Context:
    """The decimal context in which exact scalars are computed."""
    return Context(prec=DIGITS)


def exp_float(x: float) -> float:
    """exp(x), correctly rounded."""
    with localcontext(exact_context()):
        return float(Decimal(x).exp())


def log_float(x: float) -> float:
    """log(x) for x > 0, correctly rounded."""
    with localcontext(exact_context()):
        return float(Decimal(x).ln())


def expm1_float(x: float) -> float:
    """exp(x) - 1, correctly rounded."""
    with localcontext(Context(prec=2 * DIGITS)):
        return float(Decimal(x).exp() - 1)


def sin_degrees(angle: float) -> float:
    """The sine of an angle in degrees, correctly rounded."""
    with localcontext(exact_context()):
        turned = Decimal(angle) % 360
        if turned % 90 == 0:
            return {0: 0.0, 90: 1.0, 180: 0.0, 270: -1.0}[int(turned) % 360]
        x = turned * _pi() / 180
        term = total = x
        n = 1
        while abs(term) > Decimal("1e-45"):
            term = -term * x * x / ((n + 1) * (n + 2))
            total += term
            n += 2
        return float(total)


def cos_degrees(angle: float) -> float:
    """The cosine of an angle in degrees: the sine of 90 degrees less the angle, a difference rounded once."""
    return sin_degrees(90.0 - angle)


def log_gamma(x: Decimal) -> Decimal:
    """log Gamma(x) for x > 0, by Stirling's series beyond 60 (error below 1e-30)."""
    shift = Decimal(1)
    while x < 60:
        shift *= x
        x += 1
    series = sum(
        (Decimal(a) / Decimal(b) / x ** (2 * k + 1) for k, (a, b) in enumerate(_STIRLING)), start=Decimal(0)
    )  # fmt: skip
    return (x - Decimal("0.5")) * x.ln() - x + (2 * _pi()).ln() / 2 + series - shift.ln()


_STIRLING = ((1, 12), (-1, 360), (1, 1260), (-1, 1680), (1, 1188), (-691, 360360), (1, 156), (-3617, 122400))


@cache
def gamma_cdf(shape: float, x: float) -> Decimal:
    """P(X < x) for X of the gamma distribution with `shape` and scale 1, to 30 digits.

    Sums x^a e^-x / Gamma(a + 1) (1 + x/(a+1) + x^2/((a+1)(a+2)) + ...), whose terms are all positive.
    """
    if x <= 0.0:
        return Decimal(0)
    with localcontext(exact_context()):
        a, z = Decimal(shape), Decimal(x)
        term = total = Decimal(1)
        n = 0
        while n < z or term > total * Decimal("1e-45"):
            n += 1
            term = term * z / (a + n)
            total += term
        return min(Decimal(1), total * (a * z.ln() - z - log_gamma(a + 1)).exp())


@cache
def gamma_upper(shape: float, above: float) -> float:
    """The x that a gamma distribution with `shape` and scale 1 exceeds with probability `above` (to 1e-12 of x)."""
    low, high = 0.0, shape + 50.0
    while 1 - gamma_cdf(shape, high) > Decimal(above):
        low, high = high, 2.0 * high
    while high - low > 1e-12 * high:
        middle = 0.5 * (low + high)
        if 1 - gamma_cdf(shape, middle) > Decimal(above):
            low = middle
        else:
            high = middle
    return high


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
