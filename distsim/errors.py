"""Errors that carry the value found, what is allowed, and the way out: one line each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DistsimError(Exception):
    """Base of every error that distsim raises on purpose."""


class ConfigError(DistsimError, ValueError):
    """A wrong experiment description; ends the command with exit code 2."""


class BuildError(DistsimError, RuntimeError):
    """The network cannot be built as described."""


class CapacityError(BuildError):
    """The network needs more memory than there is; ends the command with exit code 2."""


class BackendError(DistsimError, RuntimeError):
    """A compiler, device or driver is missing or failed."""


class CompileError(BackendError):
    """Kernels do not compile; `log` is all that the compiler said."""

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


class CommunicationError(DistsimError, RuntimeError):
    """The ranks disagree, or a message broke a contract of the exchange."""


class SimulationError(DistsimError, RuntimeError):
    """A running simulation met a state it cannot go on from."""


class Stopped(DistsimError):
    """A signal or the time limit ended the run before its end; it can go on later."""

    exit_code = 75  # EX_TEMPFAIL


class ResultError(DistsimError, OSError):
    """A result cannot be read or written."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of a message about an unknown `name`: the nearest valid name, or all of them."""
    names = sorted(valid)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return "allowed: " + ", ".join(names) if names else "none are allowed here"


def wrong(where: str, found: object, allowed: str) -> ConfigError:
    """A ConfigError that names the place, the value found and what is allowed."""
    shown = str(found).lower() if isinstance(found, bool) else repr(found)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return ConfigError(f"{where}: found {shown}; allowed: {allowed}")
