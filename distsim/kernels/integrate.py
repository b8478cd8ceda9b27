"""Integration as C++ text: schemes with fixed sub-steps, generated from a model's Dynamics.

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
    """An explicit Runge-Kutta scheme: stages[i] holds the weights of the slopes before it; see Butcher 1996.

    Stages lie at the start, the middle or the end of a sub-step, in this order.
    """

    order: int
    stages: tuple[tuple[Fraction, ...], ...]
    weights: tuple[Fraction, ...]

    @property
    def halves(self) -> tuple[int, ...]:
        """How many halves of a sub-step have passed at each stage."""
        return tuple(int(2 * sum(before, F(0))) for before in self.stages)


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
    one = _magnus(dynamics, line) if dynamics.scheme == "magnus4" else _runge_kutta(dynamics, line)
    if dynamics.after_substep:
        one += f"{{\n{located(dynamics.after_substep, f'{line}.after_substep')}\n}}\n"
    parts = []
    # Written out, not a loop: the compiler gives up on vectors where a loop of this size stands inside.
    for condition, n in (("#if DISTSIM_DOUBLE", double), ("#else", single)):
        parts.append(
            f"\n{condition}\nconst int32 substeps = {n};\nconst real h = (real)(g.dt / {n}.0);\n"
            + "".join(f"{{\nconst int32 substep = {k};\n(void)substep;\n{one}}}\n" for k in range(n))
        )
    return "".join(parts) + "#endif\n(void)substeps;\n"


def _runge_kutta(dynamics: Dynamics, line: str) -> str:
    scheme, names = SCHEMES[dynamics.scheme], dynamics.variables
    code = located(dynamics.derivatives, f"{line}.derivatives")
    half = _half(dynamics, line)
    parts: list[str] = []
    passed = 0
    for i, (before, halves) in enumerate(zip(scheme.stages, scheme.halves, strict=True)):
        parts += [half] * (halves - passed)
        passed = halves
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
    parts += [half] * (2 - passed)
    parts += [f"{x} = {x} + h * ({_sum(scheme.weights, x)});\n" for x in names]
    return "".join(parts)


def _magnus(dynamics: Dynamics, line: str) -> str:
    """The Magnus expansion to order 4 of dx/dt = drive(t) - rate(t) x, by Simpson's rule.

    With L, Q the integrals of rate and drive over the sub-step and l, q their tilts (first moments about the middle,
    over h), x relaxes towards Q / L (1 - l) + q by the factor exp(-L) (Blanes et al. 2009,
    doi:10.1016/j.physrep.2008.11.001, with the commutator of 2 x 2 matrices written out). Whatever the rate, x never
    overshoots what it relaxes to: no sub-step is too long to be stable.
    """
    code = located(dynamics.derivatives, f"{line}.derivatives")
    half, names = _half(dynamics, line), dynamics.variables
    parts: list[str] = []
    for i in range(3):
        parts.append(half if i else "")
        parts += [f"real rate{i}_{x}, drive{i}_{x};\n" for x in names]
        parts += ["{\n", *(f"real rate_{x}, drive_{x};\n" for x in names), f"{{\n{code}\n}}\n"]
        parts += [f"rate{i}_{x} = rate_{x};\ndrive{i}_{x} = drive_{x};\n" for x in names]
        parts.append("}\n")
    for x in names:
        parts.append(
            f"const real relaxed_{x} = h * (real)(1.0 / 6) * (rate0_{x} + (real)4 * rate1_{x} + rate2_{x});\n"
            f"const real driven_{x} = h * (real)(1.0 / 6) * (drive0_{x} + (real)4 * drive1_{x} + drive2_{x});\n"
            f"const real rate_tilt_{x} = h * (real)(1.0 / 12) * (rate2_{x} - rate0_{x});\n"
            f"const real drive_tilt_{x} = h * (real)(1.0 / 12) * (drive2_{x} - drive0_{x});\n"
            f"const real target_{x} = driven_{x} / relaxed_{x} * ((real)1 - rate_tilt_{x}) + drive_tilt_{x};\n"
            f"{x} = {x} + ({x} - target_{x}) * bounded_expm1(-relaxed_{x});\n"
        )
    return "".join(parts)


def _half(dynamics: Dynamics, line: str) -> str:
    return f"{{\n{located(dynamics.exact, f'{line}.exact')}\n}}\n" if dynamics.exact else ""


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
    """`code` under #line, so that compilers name its lines."""
    return f'#line 1 "{name}"\n{code}\n#line 1 "generated"'
