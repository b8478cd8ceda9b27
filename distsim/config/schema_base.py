"""What all forms of an experiment file have in common: strict types, no unknown keys, short forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


def _not_null(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("null", "a value; leave the key out for its default")
    return value


NotNull = BeforeValidator(_not_null)


class Spec(BaseModel):
    """Strict types, no unknown keys, nothing to change afterwards."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        # Before the fields: `targets` instead of `target` shall say so, not that `target` is missing.
        if isinstance(value, dict) and cls.model_config.get("extra") == "forbid":
            unknown = [key for key in value if key not in cls.model_fields]
            if unknown:
                raise PydanticCustomError(
                    "unknown_key", "", {"key": unknown[0], "valid": list(cls.model_fields), "more": len(unknown) - 1}
                )
        return value


def short_form(*names: str) -> BeforeValidator:
    """A list with one entry a name stands for a mapping; a single number for the first name."""

    def widen(value: Any) -> Any:
        if isinstance(value, list):
            if len(value) != len(names):
                raise PydanticCustomError("short_form", "{form}", {"form": f"[{', '.join(names)}]"})
            return dict(zip(names, value, strict=True))
        return value if isinstance(value, dict) or len(names) > 1 else {names[0]: value}

    return BeforeValidator(widen)


def by_name(*names: str) -> BeforeValidator:
    """One of these names alone stands for the form with its defaults."""
    return BeforeValidator(lambda value: {value: {}} if value in names else value)


def kind_of(*keys: str, number: bool = True) -> Callable[[Any], str | None]:
    """Tells the forms of a value apart: by the key of a mapping, or as <number> and <list>."""

    def kind(value: Any) -> str | None:
        if isinstance(value, dict):
            named = [key for key in keys if key in value]
            return f"<{named[0]}>" if len(named) == 1 else None  # of several none is meant more than another
        if isinstance(value, list):
            return "<list>" if number else None
        return "<number>" if number and isinstance(value, (int, float)) and not isinstance(value, bool) else None

    return kind
