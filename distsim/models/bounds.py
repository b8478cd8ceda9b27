"""Checks of the values that a user gives to a model's parameters."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

from distsim.distributions import Listed, Value, support
from distsim.errors import wrong
from distsim.exact import exact_context
from distsim.given import value_of
from distsim.grid import on_grid

if TYPE_CHECKING:
    from distsim.models.base import Constant

NEVER = 1e30  # ms: the end of what does not end


def fraction(value: Value) -> Value | None:
    """What of `value` is no whole number: a distribution is none."""
    numbers: tuple[Value, ...] = value.values if isinstance(value, Listed) else (value,)
    return next((x for x in numbers if not (isinstance(x, float) and x.is_integer())), None)


def scalar_or_list(value: Any, size: int, where: str) -> Value:
    checked = value_of(value, where, "a number, a distribution, or one number per neuron", expressions=False)
    if isinstance(checked, Listed) and len(checked.values) != size:
        raise wrong(where, f"a list of {len(checked.values)}", f"one number for each of {size} neurons")
    return checked


def check_bounds(constant: Constant, value: Value, dt: float, where: str) -> None:
    """A constant that counts steps keeps its bounds at both ends of a parameter's values."""
    for end in support(value):
        with localcontext(exact_context()):
            found = constant.compute({constant.depends[0]: Decimal(repr(end))}, Decimal(repr(dt)))
        if constant.at_most is not None and found > constant.at_most:
            raise wrong(where, end, f"at most {constant.at_most} steps of dt = {dt} ms")
        if constant.at_least is not None and found < constant.at_least:
            raise wrong(where, end, f"at least {constant.at_least} step of dt = {dt} ms")


def check_time(value: Value, dt: float, where: str) -> None:
    if not isinstance(value, (float, Listed)):
        raise wrong(where, value, "a number, or a list with one for each")
    for time in (value,) if isinstance(value, float) else value.values:
        if time < NEVER and on_grid(time, dt) is None:
            raise wrong(where, time, f"times on the grid of dt = {dt} ms")


def check_order(low: Value, high: Value, high_name: str, where: str, why: str, *, strict: bool) -> None:
    words = "less than" if strict else "at most"
    if isinstance(low, Listed) and isinstance(high, Listed):
        for i, (a, b) in enumerate(zip(low.values, high.values, strict=False)):
            if not (a < b or (a == b and not strict)):
                raise wrong(f"{where}[{i}]", a, f"{words} {high_name} = {b:g} ({why})")
        return
    most, least = support(low)[1], support(high)[0]
    if not (most < least or (most == least and not strict)):
        raise wrong(where, most, f"{words} {high_name} = {least:g} ({why})")
