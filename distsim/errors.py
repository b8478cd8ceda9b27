"""Errors that carry the value found, what is allowed, and the way out: one line each."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DistsimError(Exception):
    """Base of every error that distsim raises on purpose; `exit_code` is that of a command which it ends."""

    exit_code = 1


class ConfigError(DistsimError, ValueError):
    """A wrong experiment description."""

    exit_code = 2


class BuildError(DistsimError, RuntimeError):
    """The network cannot be built as described."""


class CapacityError(BuildError):
    """The network needs more memory than there is."""

    exit_code = 2


class BackendError(DistsimError, RuntimeError):
    """A compiler, device or driver is missing or failed."""

    exit_code = 2


class CompileError(BackendError):
    """Kernels do not compile; `log` is all that the compiler said."""

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


class CommunicationError(DistsimError, RuntimeError):
    """The ranks disagree, or a message broke a contract of the exchange."""

    exit_code = 2


class SimulationError(DistsimError, RuntimeError):
    """A running simulation met a state it cannot go on from."""


class Stopped(DistsimError):
    """A signal or the time limit ended the run before its end; it can go on later."""

    exit_code = 75  # EX_TEMPFAIL


class ResultError(DistsimError, OSError):
    """A result cannot be read or written."""


def during(phase: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorator: an exception that leaves the function is marked with the phase, the innermost one where they nest."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*arguments: P.args, **named: P.kwargs) -> T:
            try:
                return function(*arguments, **named)
            except BaseException as error:
                if not phase_of(error):
                    error.phase = phase  # type: ignore[attr-defined]
                raise

        return call

    return decorate


def phase_of(error: BaseException) -> str:
    """In which phase of a run it was raised; "" where nothing says so."""
    return str(getattr(error, "phase", ""))


def one_line(error: BaseException) -> str:
    """What an expected error says."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"out of memory{': ' if text else ''}{text}"
    return text


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of a message about an unknown `name`: the nearest valid name, or all of them."""
    names = sorted(valid)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    longer = [n for n in names if n.startswith(str(name))] if len(str(name)) > 3 else []
    if longer:
        close = [min(longer, key=len)]  # iaf_psc: not glif_psc, which has fewer letters more, but iaf_psc_exp
    if close:
        return f"did you mean {close[0]!r}?"
    return "allowed: " + ", ".join(names) if names else "none are allowed here"


def check_names(
    given: Iterable[str], known: Iterable[str], refused: Mapping[str, str], owner: str, where: str
) -> None:  # fmt: skip
    """ConfigError for the first name in `given` that is refused, with the reason, or no parameter of `owner`."""
    names = list(known)
    for name in given:
        if name in refused:
            raise ConfigError(f"{where}.{name}: {refused[name]}")
        if name not in names:
            raise ConfigError(f"{where}.{name}: unknown parameter of {owner}; {nearest(name, names)}")


_QUANTITY = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)? ?[a-zµ%]{1,4}", re.IGNORECASE)


def with_advice(found: object, allowed: str) -> str:
    """`allowed`; where a number was asked for and stands there with its unit, how it is written."""
    if isinstance(found, str) and "number" in allowed and "text" not in allowed and _QUANTITY.fullmatch(found):
        return f"{allowed}; without its unit: numbers are in ms, mV, pF, pA, nS and Hz"
    return allowed


def wrong(where: str, found: object, allowed: str) -> ConfigError:
    """A ConfigError that names the place, the value found and what is allowed."""
    allowed = with_advice(found, allowed)
    shown = str(found).lower() if isinstance(found, bool) else repr(found)
    if "\n" in shown:  # an array
        shown = " ".join(shown.split())
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return ConfigError(f"{where}: found {shown}; allowed: {allowed}")
