"""Runge-Kutta integration as C++ text: explicit schemes with fixed sub-steps, generated from a model's Dynamics.

Every stage is written out in scalars of one neuron, so that the loop over neurons around it stays one that the
host's compiler turns into vector instructions. The order of every sum is fixed: it is part of the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from distsim.models import Dynamics

F = Fraction


@dataclass(frozen=True)
class Scheme:
    """An explicit Runge-Kutta scheme: stages[i] holds the weights of the slopes before it; see Butcher 1996."""

    order: int
    stages: tuple[tuple[Fraction, ...], ...]
    weights: tuple[Fraction, ...]


SCHEMES: Mapping[str, Scheme] = {
    "euler": Scheme(1, ((),), (F(1),)),
    "midpoint": Scheme(2, ((), (F(1, 2),)), (F(0), F(1))),
    "rk3": Scheme(3, ((), (F(1, 2),), (F(-1), F(2))), (F(1, 6), F(2, 3), F(1, 6))),
    "rk4": Scheme(
        4,
        ((), (F(1, 2),), (F(0), F(1, 2)), (F(0), F(0), F(1))),
        (F(1, 6), F(1, 3), F(1, 3), F(1, 6)),
    ),
}


def integration(dynamics: Dynamics, line: str) -> str:
    """C++ that advances the variables by `dt`.

    Parameters
    ----------
    dynamics
        What to integrate; its code stands in the text once a stage.
    line
        Name of the model for #line, so that a compiler's message points into the declaration.
    """
    single, double = dynamics.substeps
    one = _substep(dynamics, line)
    parts = []
    # Written out, not a loop: the compiler gives up on vectors where a loop of this size stands inside.
    for condition, n in (("#if DISTSIM_DOUBLE", double), ("#else", single)):
        parts.append(
            f"\n{condition}\nconst int32 substeps = {n};\nconst real h = (real)(g.dt / {n}.0);\n"
            + "".join(f"{{\nconst int32 substep = {k};\n(void)substep;\n{one}}}\n" for k in range(n))
        )
    return "".join(parts) + "#endif\n(void)substeps;\n"


def _substep(dynamics: Dynamics, line: str) -> str:
    scheme, names = SCHEMES[dynamics.scheme], dynamics.variables
    code = located(dynamics.derivatives, f"{line}.derivatives")
    parts: list[str] = []
    for i, before in enumerate(scheme.stages):
        parts += [f"real slope{i}_{x};\n" for x in names]
        parts.append("{\n")
        if any(before):
            # The state at the stage shadows the state.
            parts += [f"const real at_{x} = {x} + h * ({_sum(before, x)});\n" for x in names]
            parts += ["{\n", *(f"const real {x} = at_{x};\n" for x in names)]
        parts += [f"real d_{x};\n" for x in names]
        parts.append(f"{{\n{code}\n}}\n")
        parts += [f"slope{i}_{x} = d_{x};\n" for x in names]
        parts.append("}\n" * (2 if any(before) else 1))
    parts += [f"{x} = {x} + h * ({_sum(scheme.weights, x)});\n" for x in names]
    if dynamics.after_substep:
        parts.append(f"{{\n{located(dynamics.after_substep, f'{line}.after_substep')}\n}}\n")
    return "".join(parts)


def _sum(weights: tuple[Fraction, ...], name: str) -> str:
    """The weighted sum of the slopes, in order."""
    terms = []
    for i, weight in enumerate(weights):
        if weight == 1:
            terms.append(f"slope{i}_{name}")
        elif weight:
            terms.append(f"(real)({weight.numerator}.0 / {weight.denominator}.0) * slope{i}_{name}")
    return " + ".join(terms)


def located(code: str, name: str) -> str:
    """`code` with its place, for a compiler's messages."""
    return f'#line 1 "{name}"\n{code}\n#line 1 "generated"'
