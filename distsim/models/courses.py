"""Courses in time of what synaptic input leaves behind: conductances and currents that models share.

A course is exact: its equations are linear, and its states are carried over half a sub-step at a time by constants
with 50 digits. Input of a step reaches it at the step's end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from distsim.models.base import Constant, State
from distsim.models.common import FLOOR

Numbers = Mapping[str, Decimal]


@dataclass(frozen=True)
class Course:
    """One conductance or current.

    Attributes
    ----------
    name
        Of the state that acts on the membrane.
    half
        C++ that carries the states over half a sub-step.
    at
        C++: the value at `t` ms after the start of the step, from the states at its start.
    arrive
        C++ that adds `input`, in the unit of the course.
    """

    name: str
    states: tuple[State, ...]
    constants: tuple[Constant, ...]
    half: str
    at: str
    arrive: Callable[[str], str]


def exponential(name: str, unit: str, doc: str, tau: str, substeps: tuple[int, int]) -> Course:
    """d name/dt = -name / tau; input adds to it."""
    return Course(
        name,
        (State(name, unit, doc, floor=FLOOR, recordable=True),),
        (_rate(f"rate_{name}", tau), _left(f"half_{name}", tau, substeps)),
        half=f"{name} = {name} * half_{name};",
        at=f"{name} * bounded_exp(-t * rate_{name})",
        arrive=lambda amount: f"{name} = {name} + {amount};",
    )


def alpha(name: str, unit: str, doc: str, tau: str, substeps: tuple[int, int]) -> Course:
    """d dname/dt = -dname / tau, d name/dt = dname - name / tau; an input of 1 makes a peak of 1."""
    return beta(name, unit, doc, tau, tau, substeps)


def beta(name: str, unit: str, doc: str, tau_first: str, tau_second: str, substeps: tuple[int, int]) -> Course:
    """d dname/dt = -dname / tau_first, d name/dt = dname - name / tau_second; an input of 1 makes a peak of 1."""
    same = tau_first == tau_second
    taus = (tau_first,) if same else (tau_first, tau_second)
    parts = _halves(substeps)

    def ramp(p: Numbers, dt: Decimal) -> Decimal:
        return _ramp(p[tau_first], p[tau_second], dt)

    constants = [
        _rate(f"rate_{name}", tau_second),
        _left(f"half_{name}", tau_second, substeps),
        Constant(f"ramp_{name}", taus, ramp, parts=parts),
        Constant(f"kick_{name}", taus, lambda p, dt: _kick(p[tau_first], p[tau_second])),
    ]
    left = f"half_{name}"
    at = f"({name} + d{name} * t) * bounded_exp(-t * rate_{name})"
    if not same:
        left = f"half_d{name}"
        # A difference of exponentials through exp(x) - 1, so that close time constants lose nothing.
        at = (
            f"({name} + d{name} * (t * level_{name} - bounded_expm1(-t * faster_{name}) * slower_{name})) "
            f"* bounded_exp(-t * rate_{name})"
        )
        constants += [
            _left(left, tau_first, substeps),
            Constant(f"faster_{name}", taus, lambda p, dt: _difference(p[tau_first], p[tau_second])),
            Constant(f"slower_{name}", taus, lambda p, dt: _inverse(_difference(p[tau_first], p[tau_second]))),
            Constant(
                f"level_{name}", taus, lambda p, dt: Decimal(_difference(p[tau_first], p[tau_second]) == 0)
            ),
        ]  # fmt: skip
    return Course(
        name,
        (
            State(name, unit, doc, floor=FLOOR, recordable=True),
            State(f"d{name}", f"{unit}/ms", f"{doc}: what it rises by", floor=FLOOR, recordable=True),
        ),
        tuple(constants),
        half=f"{name} = {name} * half_{name} + d{name} * ramp_{name};\nd{name} = d{name} * {left};",
        at=at,
        arrive=lambda amount: f"d{name} = d{name} + ({amount}) * kick_{name};",
    )


def _halves(substeps: tuple[int, int]) -> tuple[int, int]:
    return 2 * substeps[0], 2 * substeps[1]


def _rate(name: str, tau: str) -> Constant:
    return Constant(name, (tau,), lambda p, dt: 1 / p[tau])


def _left(name: str, tau: str, substeps: tuple[int, int]) -> Constant:
    return Constant(name, (tau,), lambda p, dt: (-dt / p[tau]).exp(), parts=_halves(substeps))


def _difference(first: Decimal, second: Decimal) -> Decimal:
    """1 / first - 1 / second, and 0 where nothing on the scale of a step could tell it from 0."""
    found = 1 / first - 1 / second
    return found if abs(found) > Decimal("1e-12") / second else Decimal(0)


def _inverse(x: Decimal) -> Decimal:
    return 1 / x if x else Decimal(0)


def _ramp(first: Decimal, second: Decimal, dt: Decimal) -> Decimal:
    """What a unit of the first state leaves in the second after dt."""
    difference = _difference(first, second)
    if not difference:
        return dt * (-dt / second).exp()
    return ((-dt / second).exp() - (-dt / first).exp()) / difference


def _kick(first: Decimal, second: Decimal) -> Decimal:
    """The step of the first state after which the second peaks at 1 (Rotter & Diesmann 1999)."""
    difference = _difference(first, second)
    if not difference:
        return Decimal(1).exp() / second
    peak = (second / first).ln() / difference
    return difference / ((-peak / second).exp() - (-peak / first).exp())
