"""Elementary functions that models use: how far they are from the truth, taken from x87's long double."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import readback

from distsim.backend import Backend, Module
from distsim.kernels.values import Values

Floats = npt.NDArray[np.float64]
EXP, EXPM1, LOG, POWER, EXP_DOUBLE, EXPM1_DOUBLE, POWER_DOUBLE, SINE, ROOT = range(9)
RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def kernels() -> tuple[Backend, Module]:
    return readback.construction("single")


def evaluate(kernels: tuple[Backend, Module], function: int, x: Any, **more: float) -> Floats:
    _, module = kernels
    drawn = np.array(x, np.float64)
    arguments = Values(n=drawn.size, drawn=drawn.ctypes.data, index=function, **more)
    module.launch("evaluate_function", arguments, drawn.size)
    return drawn


def ulps(found: Floats, truth: npt.NDArray[np.longdouble], kind: type[np.floating[Any]]) -> float:
    """The largest error in units of the last place of the truth."""
    unit = np.spacing(np.abs(truth).astype(kind)).astype(np.longdouble)
    return float((np.abs(found.astype(np.longdouble) - truth) / unit).max())


@pytest.fixture(scope="module")
def x32() -> Floats:
    return RNG.uniform(-87.0, 88.0, 300_000).astype(np.float32).astype(np.float64)


def test_exp_of_a_float(kernels, x32) -> None:
    """Catches a wrong reduction or polynomial: below 1.3 units in the last place without FMA."""
    assert ulps(evaluate(kernels, EXP, x32), np.exp(x32.astype(np.longdouble)), np.float32) < 1.3


def test_exp_is_cut_where_it_would_leave_the_normal_numbers(kernels) -> None:
    for function, low, high in ((EXP, -87.0, 88.0), (EXP_DOUBLE, -700.0, 700.0)):
        ends = evaluate(kernels, function, [low, high])
        assert np.array_equal(evaluate(kernels, function, [-1e30, 1e30]), ends)
        assert ends[0] > 0.0 and np.isfinite(ends[1])


@pytest.mark.parametrize(
    ("function", "kind", "bound"), [(EXPM1, np.float32, 4.0), (EXPM1_DOUBLE, np.float64, 4.0)], ids=["float", "double"]
)
def test_expm1_does_not_cancel(kernels, function: int, kind: Any, bound: float) -> None:
    x = np.concatenate((RNG.uniform(-2, 2, 100_000), np.geomspace(1e-6, 1, 1000), -np.geomspace(1e-6, 1, 1000)))
    x = x.astype(kind).astype(np.float64)
    assert ulps(evaluate(kernels, function, x), np.expm1(x.astype(np.longdouble)), kind) < bound


def test_log_of_a_float(kernels) -> None:
    x = np.exp(RNG.uniform(-80, 80, 300_000)).astype(np.float32).astype(np.float64)
    x = np.concatenate((x, np.linspace(0.5, 2.0, 100_001).astype(np.float32).astype(np.float64)))
    found, truth = evaluate(kernels, LOG, x), np.log(x.astype(np.longdouble))
    # Near 1 the result is small: there its error is one of the argument's last places.
    assert np.abs(found - truth).max() < 1e-5
    assert (np.abs(found - truth) <= 1.5 * np.spacing(np.maximum(np.abs(truth), 1e-3).astype(np.float32))).all()


@pytest.mark.parametrize("exponent", [0.5, -1.5, 3.0])
@pytest.mark.parametrize(("function", "kind", "bound"), [(POWER, np.float32, 1.0), (POWER_DOUBLE, np.float64, 200.0)])
def test_power(kernels, function: int, kind: Any, bound: float, exponent: float) -> None:
    """A double's logarithm carries 2^-53 of at most 23: the result is off by y log x as many last places."""
    x = np.exp(RNG.uniform(-20, 20, 50_000)).astype(kind).astype(np.float64)
    truth = np.longdouble(2) ** (np.longdouble(exponent) * np.log2(x.astype(np.longdouble)))
    assert ulps(evaluate(kernels, function, x, per_unit=exponent), truth, kind) < bound


def test_sine_of_turns(kernels) -> None:
    turns = np.concatenate((RNG.uniform(-1e6, 1e6, 200_000), np.arange(-16, 17) / 8.0))
    rest = turns.astype(np.longdouble) - np.rint(turns.astype(np.longdouble))
    exact = rest * 2 * np.longdouble(np.pi) + rest * 2 * np.longdouble(1.2246467991473532e-16)
    assert np.abs(evaluate(kernels, SINE, turns) - np.sin(exact)).max() < 2.5e-16
    assert evaluate(kernels, SINE, [0.25, 0.5, 0.75, 1.0]).tolist() == [1.0, 0.0, -1.0, 0.0]


def test_root_is_correctly_rounded(kernels) -> None:
    x = np.exp(RNG.uniform(-80, 80, 100_000)).astype(np.float32)
    check: Callable[[Any], Any] = np.sqrt  # IEEE: correctly rounded for floats
    assert np.array_equal(evaluate(kernels, ROOT, x.astype(np.float64)), check(x).astype(np.float64))
