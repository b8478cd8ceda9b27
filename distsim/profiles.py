"""Probabilities that fall off with distance, as expressions: NEST's spatial kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext

from distsim.errors import wrong
from distsim.exact import cos_degrees, exact_context, log_gamma, sin_degrees
from distsim.expressions import Expression
from distsim.given import is_number


def _n(value: float) -> str:
    """A number as it stands in an expression."""
    return f"({float(value)!r})" if value < 0.0 else repr(float(value))


def _above_zero(kernel: str, **values: float) -> None:
    for name, value in values.items():
        if not (is_number(value) and math.isfinite(value) and value > 0.0):
            raise wrong(f"{kernel}.{name}", value, "a number above 0")


def _plus(text: str, c: float) -> Expression:
    return Expression(f"{_n(c)} + {text}" if c else text)


def linear(c: float = 1.0, a: float = -1.0) -> Expression:
    """c + a distance, where it is above zero."""
    return Expression(f"max({_n(c)} + {_n(a)} * distance, 0.0)")


def exponential(beta: float, p_center: float = 1.0, c: float = 0.0) -> Expression:
    """c + p_center exp(-distance / beta)."""
    _above_zero("exponential", beta=beta)
    return _plus(f"{_n(p_center)} * exp(-distance / {_n(beta)})", c)


def gaussian(std: float, p_center: float = 1.0, mean: float = 0.0, c: float = 0.0) -> Expression:
    """c + p_center exp(-(distance - mean)^2 / (2 std^2))."""
    _above_zero("gaussian", std=std)
    shifted = f"(distance - {_n(mean)})" if mean else "distance"
    return _plus(f"{_n(p_center)} * exp(-0.5 * ({shifted} / {_n(std)}) ** 2)", c)


def gaussian2d(
    std_x: float, std_y: float, rho: float = 0.0, p_center: float = 1.0, mean_x: float = 0.0, mean_y: float = 0.0,
    c: float = 0.0,
) -> Expression:  # fmt: skip
    """A Gaussian of both components of the displacement, with correlation `rho`."""
    _above_zero("gaussian2d", std_x=std_x, std_y=std_y)
    if not -1.0 < rho < 1.0:
        raise wrong("gaussian2d.rho", rho, "a correlation between -1 and 1")
    x, y = f"((dx - {_n(mean_x)}) / {_n(std_x)})", f"((dy - {_n(mean_y)}) / {_n(std_y)})"
    factor = _n(-0.5 / (1.0 - rho * rho))
    # A sum of squares, so that its bounds show that it is never below zero.
    rest = _n(math.sqrt(1.0 - rho * rho))
    square = f"(({x} - {_n(rho)} * {y}) ** 2 + ({rest} * {y}) ** 2)"
    return _plus(f"{_n(p_center)} * exp({factor} * {square})", c)


def gamma(kappa: float, theta: float, p_max: float = 1.0) -> Expression:
    """The density of the gamma distribution with shape `kappa` and scale `theta`, times `p_max`."""
    _above_zero("gamma", kappa=kappa, theta=theta)
    if kappa < 1.0:
        raise wrong("gamma.kappa", kappa, "at least 1: below, the density has no bound")
    with localcontext(exact_context()):
        norm = float(Decimal(p_max) / ((Decimal(theta).ln() * Decimal(kappa) + log_gamma(Decimal(kappa))).exp()))
    if p_max and not 1e-300 < abs(norm) < 1e300:
        raise wrong("gamma.kappa", kappa, f"a shape with Gamma(kappa) theta^kappa within 1e300 (theta is {theta:g})")
    power = f" * distance ** {_n(kappa - 1.0)}" if kappa > 1.0 else ""
    return Expression(f"{_n(norm)}{power} * exp(-distance / {_n(theta)})")


def gabor(
    std: float, wavelength: float, theta: float = 0.0, gamma: float = 1.0, psi: float = 0.0, p_center: float = 1.0,
    c: float = 0.0,
) -> Expression:  # fmt: skip
    """A rectified Gabor function, turned by `theta` degrees; `psi` (degrees) is the phase of its wave along y'.

    c + p_center max(cos(2 pi y' / wavelength + psi), 0) exp(-(gamma^2 x'^2 + y'^2) / (2 std^2))
    """
    _above_zero("gabor", std=std, gamma=gamma)
    _above_zero("gabor", wavelength=wavelength)
    cosine, sine = _n(cos_degrees(theta)), _n(sin_degrees(theta))
    x, y = f"(dx * {cosine} + dy * {sine})", f"(dy * {cosine} - dx * {sine})"
    wave = f"max(cos({_n(2.0 * math.pi / wavelength)} * {y} + {_n(psi * math.pi / 180.0)}), 0.0)"
    square = f"(({_n(gamma)} * {x}) ** 2 + {y} ** 2)"
    return _plus(f"{_n(p_center)} * {wave} * exp({_n(-0.5 / (std * std))} * {square})", c)


def linear_distance(c: float, velocity: float) -> Expression:
    """A delay: c (ms) + distance / velocity (the space's unit of length per ms)."""
    if not (is_number(velocity) and math.isfinite(velocity) and velocity > 0.0):
        raise wrong("linear_distance.velocity", velocity, "a velocity above 0")
    return Expression(f"{_n(c)} + distance / {_n(velocity)}")


PROFILES: dict[str, Callable[..., Expression]] = {
    "linear": linear, "exponential": exponential, "gaussian": gaussian, "gaussian2d": gaussian2d, "gamma": gamma,
    "gabor": gabor,
}  # fmt: skip
