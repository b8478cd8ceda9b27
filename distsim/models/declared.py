"""Checks of a model that a user declares: what a compiler would say badly, and what it would not say at all."""

from __future__ import annotations

import re

from distsim.errors import ConfigError, nearest, wrong
from distsim.models.base import KERNEL_WORDS, Dynamics, Model, names_in

SCHEMES = ("euler", "midpoint", "rk3", "rk4", "magnus4")
# Names that `update` finds beside those of the declaration; one of the same name would hide them.
TAKEN = frozenset(("I_stim", "dt", "needs_care", "real", "sent", "spikes", "step", "substep", "substeps"))


def check_declaration(model: object, where: str) -> Model:
    """The model, or ConfigError where its parts do not fit together.

    A derivative that is never assigned, or equations that are never integrated, would compile, and compute anything.
    """
    if not isinstance(model, Model):
        raise wrong(where, model, "the name of a model, or a distsim.models.Model")
    at = f"{where}: model {model.name}"
    states = [s.name for s in model.states]
    names = [*(p.name for p in model.parameters), *(c.name for c in model.constants), *states]
    code = _without_comments(model.code)
    for k, name in enumerate(names):
        if name in names[:k]:
            raise ConfigError(
                f"{at}: {name!r} is declared twice; parameters, constants and states have different names"
            )
        if name in TAKEN or (name in KERNEL_WORDS and name in states):
            raise ConfigError(f"{at}: {name!r} is a word of the kernel; call it otherwise, such as {name}_1")
        if name in KERNEL_WORDS and names_in(name, code):
            raise ConfigError(f"{at}: {name!r} is a word of the kernel; in the model's code the parameter is {name}_")
    alone = any(line.strip() == "INTEGRATE;" for line in model.update.split("\n"))
    if model.dynamics is not None:
        _check_dynamics(model.dynamics, states, at)
        if not alone:
            raise ConfigError(f"{at}: update does not integrate its dynamics: write INTEGRATE; on a line of its own")
    elif alone:
        raise ConfigError(f"{at}: update has INTEGRATE; but the model has no dynamics=Dynamics(…)")
    return model


def _check_dynamics(dynamics: Dynamics, states: list[str], at: str) -> None:
    if dynamics.scheme not in SCHEMES:
        raise ConfigError(
            f"{at}: dynamics.scheme: unknown scheme {dynamics.scheme!r}; {nearest(dynamics.scheme, SCHEMES)}"
        )
    steps = dynamics.substeps
    if not (isinstance(steps, (tuple, list)) and len(steps) == 2 and all(isinstance(n, int) and n > 0 for n in steps)):
        raise wrong(f"{at}: dynamics.substeps", steps, "(single, double): sub-steps a step in either precision")
    derivatives = _without_comments(dynamics.derivatives)
    for name in dynamics.variables:
        if name not in states:
            raise ConfigError(f"{at}: dynamics.variables: unknown state {name!r}; {nearest(name, states)}")
        for assigned in (f"rate_{name}", f"drive_{name}") if dynamics.scheme == "magnus4" else (f"d_{name}",):
            if re.search(rf"\b{assigned}\s*=(?!=)", derivatives) is None:
                raise ConfigError(f"{at}: dynamics.derivatives does not assign {assigned}, though {name} is a variable")


def _without_comments(code: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", " ", code, flags=re.DOTALL)
