"""Pieces that many declarations share: parameters, constants and states under NEST's names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal

from distsim.models.base import Constant, Parameter, Receptor, State

FLOOR = 1e-20  # decaying states end here, long before they would be subnormal
FIRE = """
        const bool crossed = V_m >= theta;
        V_m = crossed ? reset : V_m;
        refractory_steps = crossed ? refractory_count : refractory_steps;
        spikes = crossed ? 1 : 0;"""
MAX_COUNT = 2**16 - 1  # refractory_steps has 16 bits

refractory_steps = State("refractory_steps", "steps", "steps until V_m moves again", kind="uint16")
t_ref = Parameter("t_ref", 2.0, "ms", "refractory time", at_least=0.0)
I_e = Parameter("I_e", 0.0, "pA", "constant input current")
membrane = (  # of the integrate-and-fire neurons
    Parameter("E_L", -70.0, "mV", "resting potential"),
    Parameter("C_m", 250.0, "pF", "membrane capacitance", above=0.0),
    Parameter("tau_m", 10.0, "ms", "membrane time constant", above=0.0),
    t_ref,
    Parameter("V_th", -55.0, "mV", "spike threshold"),
    Parameter("V_reset", -70.0, "mV", "potential after a spike"),
)
V_m = State("V_m", "mV", "membrane potential", "E_L", relative_to="E_L", floor=FLOOR, recordable=True)
V_min = Parameter("V_min", -1e30, "mV", "lower bound of V_m; the default is none")
currents = (Receptor("excitatory", "pA"), Receptor("inhibitory", "pA"))
conductances = (Receptor("excitatory", "nS"), Receptor("inhibitory", "nS"))
I_syn = (
    State("I_syn_ex", "pA", "excitatory synaptic current", floor=FLOOR, recordable=True),
    State("I_syn_in", "pA", "inhibitory synaptic current", floor=FLOOR, recordable=True),
)
g_syn = (
    State("g_ex", "nS", "excitatory conductance", floor=FLOOR, recordable=True),
    State("g_in", "nS", "inhibitory conductance", floor=FLOOR, recordable=True),
)
EXACT = "Exact: in double precision NEST's numbers to 1e-9."


def taus_syn(excitatory: float, inhibitory: float, what: str) -> tuple[Parameter, Parameter]:
    """tau_syn_ex and tau_syn_in with these defaults (ms); `what` they are, with {side} for excitatory or inhibitory."""
    return (
        Parameter("tau_syn_ex", excitatory, "ms", what.format(side="excitatory"), above=0.0),
        Parameter("tau_syn_in", inhibitory, "ms", what.format(side="inhibitory"), above=0.0),
    )


def reversals(excitatory: float, inhibitory: float) -> tuple[Parameter, Parameter]:
    """E_ex and E_in with these defaults (mV)."""
    return (
        Parameter("E_ex", excitatory, "mV", "excitatory reversal potential"),
        Parameter("E_in", inhibitory, "mV", "inhibitory reversal potential"),
    )


def whole_steps(time: Decimal, dt: Decimal) -> Decimal:
    """Steps that `time` (ms) lasts, as NEST counts them: rounded half up to microseconds, then up to whole steps."""
    tic = Decimal("0.001")
    if dt % tic == 0:
        time = (time / tic).quantize(Decimal(1), rounding=ROUND_HALF_UP) * tic
    return (time / dt).quantize(Decimal(1), rounding=ROUND_CEILING)


refractory_count = Constant(
    "refractory_count", ("t_ref",), lambda p, dt: whole_steps(p["t_ref"], dt), integer=True, at_most=MAX_COUNT
)


def decay(tau: str) -> Constant:
    """decay_<tau> = exp(-dt / tau): what is left of a decaying quantity after one step."""
    return Constant(f"decay_{tau}", (tau,), lambda p, dt: (-dt / p[tau]).exp())


def difference(name: str, a: str, b: str) -> Constant:
    """name = a - b."""
    return Constant(name, (a, b), lambda p, dt: p[a] - p[b])


def current_to_voltage(name: str, tau_syn: str, stages: int = 1) -> Constant:
    """What the first of `stages` filters with tau_syn before the membrane adds to V_m in one step, per its unit."""

    def compute(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
        return response(p["tau_m"], *(p[tau_syn] for _ in range(stages)), dt=dt) / p["C_m"]

    return Constant(name, ("tau_m", "C_m", tau_syn), compute)


rise_I_e = Constant("rise_I_e", ("tau_m", "C_m"), lambda p, dt: p["tau_m"] / p["C_m"] * (1 - (-dt / p["tau_m"]).exp()))
threshold = (difference("theta", "V_th", "E_L"), difference("reset", "V_reset", "E_L"), refractory_count)
floor_V_m = Constant("floor_V_m", ("V_min", "E_L"), lambda p, dt: p["V_min"] - p["E_L"])


def accuracy(double: float, single: float) -> str:
    """The sentence of a model whose error tests/reference measures against SciPy at a tolerance of 1e-12."""
    return (
        f"below V_th, V_m is within {double:g} mV (double precision) or {single:g} mV (single) of the exact solution "
        "at dt = 0.1 ms, under strong input."
    )


def exp_quotient(nodes: Sequence[Decimal]) -> Decimal:
    """The divided difference of exp at `nodes`, equal ones too; at one node exp itself.

    Rates a, b, c… of a chain of filters over a step h give its response as powers of h times the divided difference at
    -a h, -b h, -c h…. Far nodes: by the recursion, which costs at most six of 50 digits a level. Near ones: shifted
    by the smallest, all terms of the series sum_n H_n(nodes) / (n + k)!, with H_n the complete homogeneous
    polynomials, are positive, so nothing cancels.
    """
    ordered = sorted(nodes)
    least, count = ordered[0], len(ordered)
    if ordered[-1] - least > Decimal("1e-6"):
        return (exp_quotient(ordered[1:]) - exp_quotient(ordered[:-1])) / (ordered[-1] - least)
    shifted = [x - least for x in ordered]
    sums = [Decimal(1)] * count  # H_n of the first 1, 2, … nodes
    total = Decimal(1) / math.factorial(count - 1)
    for n in range(1, 10):  # terms fall by 1e-6 and more
        for i, x in enumerate(shifted):
            sums[i] = x * sums[i] + (sums[i - 1] if i else 0)
        total += sums[-1] / math.factorial(n + count - 1)
    return least.exp() * total


def response(*taus: Decimal, dt: Decimal) -> Decimal:
    """How far a quantity that starts at 1 has passed through a chain of filters with these time constants after dt."""
    return dt ** (len(taus) - 1) * exp_quotient([-dt / tau for tau in taus])
