"""What a script gives, made plain: NumPy's numbers become Python's, and what is no number is refused with one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from distsim.distributions import Drawn, NormalClipped, Value, as_value
from distsim.errors import ConfigError, wrong

FORMS = "a number, a distribution, a list of numbers, or an expression of positions as text"


def plain(value: Any) -> Any:
    """A number of NumPy's as Python's; anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def is_number(value: object) -> bool:
    """Is it an int or a float (also NumPy's float64), and no bool?"""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def value_of(value: Any, where: str, allowed: str = FORMS, *, expressions: bool = True) -> Value:
    """A parameter, a weight or a delay as the description holds it.

    Raises
    ------
    ConfigError
        It is in none of the forms, or a distribution of what are no numbers.
    """
    try:
        found = as_value(value, expressions)
    except ConfigError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(value, (str, Mapping)):  # NEST's expressions, or the form of a file
            allowed += "; a distribution is an object such as distsim.Normal(mean, std)"
        raise wrong(where, value, allowed) from error
    if isinstance(found, (Drawn, NormalClipped)):
        for field in dataclasses.fields(found):
            number = getattr(found, field.name)
            optional = field.name in ("min", "max") and number is None
            if field.name != "bounds" and not optional and not is_number(number):
                raise wrong(f"{where}: {field.name} of {type(found).__name__}", number, "a number")
    return found
