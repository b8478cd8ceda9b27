"""Pieces that many declarations share: parameters, constants and states under NEST's names."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

from distsim.models.base import Constant, Parameter, State

FLOOR = 1e-20  # decaying states end here, long before they would be subnormal
MAX_COUNT = 2**16 - 1  # refractory_steps has 16 bits

refractory_steps = State("refractory_steps", "steps", "steps until V_m moves again", kind="uint16")
t_ref = Parameter("t_ref", 2.0, "ms", "refractory time", at_least=0.0)
I_e = Parameter("I_e", 0.0, "pA", "constant input current")
refractory_count = Constant(
    "refractory_count",
    ("t_ref",),
    lambda p, dt: (p["t_ref"] / dt).quantize(Decimal(1), rounding=ROUND_HALF_UP),
    integer=True,
    at_most=MAX_COUNT,
)


def decay(tau: str) -> Constant:
    """decay_<tau> = exp(-dt / tau): what is left of a decaying quantity after one step."""
    return Constant(f"decay_{tau}", (tau,), lambda p, dt: (-dt / p[tau]).exp())


def difference(name: str, a: str, b: str) -> Constant:
    """name = a - b."""
    return Constant(name, (a, b), lambda p, dt: p[a] - p[b])


def current_to_voltage(name: str, tau_syn: str) -> Constant:
    """What an exponential synaptic current at the start of a step adds to V_m at its end, per pA."""

    def compute(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
        tau_m, tau = p["tau_m"], p[tau_syn]
        if tau == tau_m:
            return dt / p["C_m"] * (-dt / tau_m).exp()
        return tau * tau_m / (p["C_m"] * (tau - tau_m)) * ((-dt / tau).exp() - (-dt / tau_m).exp())

    return Constant(name, ("tau_m", "C_m", tau_syn), compute)


rise_I_e = Constant("rise_I_e", ("tau_m", "C_m"), lambda p, dt: p["tau_m"] / p["C_m"] * (1 - (-dt / p["tau_m"]).exp()))


def accuracy(double: float, single: float) -> str:
    """The sentence of a model whose error tests/reference measures against SciPy at a tolerance of 1e-12."""
    return (
        f"below V_th, V_m is within {double:g} mV (double precision) or {single:g} mV (single) of the exact solution "
        "at dt = 0.1 ms, under strong input."
    )
