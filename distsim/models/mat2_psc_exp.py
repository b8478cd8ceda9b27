"""Neurons with a moving threshold instead of a reset: two time scales (MAT2); following the potential (AMAT2)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from distsim.models.base import Constant, Model, Parameter, Probe, State
from distsim.models.common import (
    EXACT,
    FLOOR,
    MAX_COUNT,
    I_e,
    I_syn,
    V_m,
    current_to_voltage,
    currents,
    decay,
    refractory_steps,
    response,
    rise_I_e,
    taus_syn,
    whole_steps,
)

# Time without spikes; V_m goes on. The step of the spike is not among them, and one step there must be.
SILENT = Constant(
    "silent_count", ("t_ref",), lambda p, dt: whole_steps(p["t_ref"], dt), integer=True, at_least=1, at_most=MAX_COUNT
)
THRESHOLD = Constant("resting_threshold", ("omega", "E_L"), lambda p, dt: p["omega"] - p["E_L"])


def _parameters(
    tau_m: float, C_m: float, alpha_1: float, alpha_2: float, omega: float
) -> tuple[Parameter, ...]:  # fmt: skip
    return (
        Parameter("E_L", -70.0, "mV", "resting potential"),
        Parameter("C_m", C_m, "pF", "membrane capacitance", above=0.0),
        Parameter("tau_m", tau_m, "ms", "membrane time constant", above=0.0),
        Parameter("t_ref", 2.0, "ms", "time without spikes after a spike; at least one step", above=0.0),
        *taus_syn(1.0, 3.0, "time constant of {side} currents"),
        I_e,
        Parameter("tau_1", 10.0, "ms", "short time constant of the threshold", above=0.0),
        Parameter("tau_2", 200.0, "ms", "long time constant of the threshold", above=0.0),
        Parameter("alpha_1", alpha_1, "mV", "jump of the short part at a spike"),
        Parameter("alpha_2", alpha_2, "mV", "jump of the long part at a spike"),
        Parameter("omega", omega, "mV", "resting threshold"),
    )


_STATES = (
    V_m,
    *I_syn,
    State("V_th_alpha_1", "mV", "short part of the threshold", floor=FLOOR, recordable=True),
    State("V_th_alpha_2", "mV", "long part of the threshold", floor=FLOOR, recordable=True),
)
_CONSTANTS = (
    *(decay(tau) for tau in ("tau_m", "tau_syn_ex", "tau_syn_in", "tau_1", "tau_2")),
    rise_I_e,
    current_to_voltage("rise_I_syn_ex", "tau_syn_ex"),
    current_to_voltage("rise_I_syn_in", "tau_syn_in"),
    THRESHOLD,
    SILENT,
)


def _update(before: str = "", threshold: str = "") -> str:
    """V_m is relative to E_L here; `before` stands where all variables have their values of the step's start."""
    return f"""
        const real steady = I_e + I_stim;{before}
        V_m = V_m * decay_tau_m + I_syn_ex * rise_I_syn_ex + I_syn_in * rise_I_syn_in + steady * rise_I_e;
        V_th_alpha_1 = V_th_alpha_1 * decay_tau_1;
        V_th_alpha_2 = V_th_alpha_2 * decay_tau_2;
        I_syn_ex = I_syn_ex * decay_tau_syn_ex + input_excitatory;
        I_syn_in = I_syn_in * decay_tau_syn_in + input_inhibitory;
        const int32 reached = V_m >= resting_threshold + V_th_alpha_2 + V_th_alpha_1{threshold} ? 1 : 0;
        const int32 fired = refractory_steps > 0 ? 0 : reached;
        V_th_alpha_1 = fired > 0 ? V_th_alpha_1 + alpha_1 : V_th_alpha_1;
        V_th_alpha_2 = fired > 0 ? V_th_alpha_2 + alpha_2 : V_th_alpha_2;
        const int32 fewer = refractory_steps > 0 ? refractory_steps - 1 : 0;
        refractory_steps = fired > 0 ? silent_count : fewer;
        spikes = fired;
    """


mat2_psc_exp = Model(
    name="mat2_psc_exp",
    doc="""Leaky integrator, a threshold of two time scales (MAT2), exponential synaptic currents, exact integration.

    C_m dV/dt = -(C_m / tau_m) (V - E_L) + I_syn_ex + I_syn_in + I_e,   tau_syn dI/dt = -I; V is never reset. A spike
    where V reaches V_th = omega + V_th_alpha_1 + V_th_alpha_2, at most one in t_ref; it adds alpha_1 and alpha_2, which
    decay with tau_1 and tau_2 (Kobayashi et al. 2009, doi:10.3389/neuro.10.009.2009); names and conventions as in
    NEST.""",
    parameters=_parameters(5.0, 100.0, 37.0, 2.0, -51.0),
    states=(*_STATES, refractory_steps),
    probes=(Probe("V_th", "mV", "spike threshold", "omega + (V_th_alpha_1 + V_th_alpha_2)"),),
    receptors=currents,
    constants=_CONSTANTS,
    update=_update(),
    accuracy=EXACT,
)


# The filter of V_th_v: V_th_dv' = beta V' - V_th_dv / tau_v,  V_th_v' = V_th_dv - V_th_v / tau_v. In a step, with V'
# from the membrane equation, a constant current enters V_th_dv as through the chain tau_m, tau_v; a decaying one less
# by what it loses; V_m by its own decay. V_th_v stands one more filter behind.


def _from_current(name: str, filters: int) -> Constant:
    def compute(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
        return p["beta"] / p["C_m"] * response(p["tau_m"], *[p["tau_v"]] * filters, dt=dt)

    return Constant(name, ("beta", "C_m", "tau_m", "tau_v"), compute)


def _from_synapse(name: str, tau_syn: str, filters: int) -> Constant:
    def compute(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
        chain = (p["tau_m"], *[p["tau_v"]] * filters)
        return p["beta"] / p["C_m"] * (response(*chain, dt=dt) - response(*chain, p[tau_syn], dt=dt) / p[tau_syn])

    return Constant(name, ("beta", "C_m", "tau_m", "tau_v", tau_syn), compute)


def _from_voltage(name: str, filters: int) -> Constant:
    def compute(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
        return -p["beta"] / p["tau_m"] * response(p["tau_m"], *[p["tau_v"]] * filters, dt=dt)

    return Constant(name, ("beta", "tau_m", "tau_v"), compute)


amat2_psc_exp = Model(
    name="amat2_psc_exp",
    doc="""Leaky integrator with a threshold of two time scales that follows the potential (AMAT2), exact integration.

    As mat2_psc_exp, with V_th = omega + V_th_alpha_1 + V_th_alpha_2 + V_th_v, where V_th_v is dV/dt through the kernel
    beta t exp(-t / tau_v) (Yamauchi et al. 2011, doi:10.3389/fncom.2011.00042); names and conventions as in NEST. Time
    constants may be equal.""",
    parameters=(
        *_parameters(10.0, 200.0, 10.0, 0.0, -65.0),
        Parameter("beta", 0.0, "1/ms", "scale of the threshold's dependence on the potential"),
        Parameter("tau_v", 5.0, "ms", "time constant of the dependence on the potential", above=0.0),
    ),
    states=(
        *_STATES,
        State("V_th_v", "mV", "part of the threshold that follows the potential", floor=FLOOR, recordable=True),
        State("V_th_dv", "mV/ms", "feeds V_th_v", floor=FLOOR),
        refractory_steps,
    ),
    probes=(Probe("V_th", "mV", "spike threshold", "omega + (V_th_alpha_1 + V_th_alpha_2 + V_th_v)"),),
    receptors=currents,
    constants=(
        *_CONSTANTS,
        decay("tau_v"),
        Constant("climb_v", ("tau_v",), lambda p, dt: dt * (-dt / p["tau_v"]).exp()),
        *(
            constant
            for to, filters in (("dv", 1), ("v", 2))
            for constant in (
                _from_current(f"{to}_from_I_e", filters),
                _from_synapse(f"{to}_from_ex", "tau_syn_ex", filters),
                _from_synapse(f"{to}_from_in", "tau_syn_in", filters),
                _from_voltage(f"{to}_from_V", filters),
            )
        ),
    ),
    update=_update(
        """
        const real to_v = steady * v_from_I_e + I_syn_ex * v_from_ex + I_syn_in * v_from_in + V_m * v_from_V;
        const real to_dv = steady * dv_from_I_e + I_syn_ex * dv_from_ex + I_syn_in * dv_from_in + V_m * dv_from_V;
        V_th_v = V_th_v * decay_tau_v + V_th_dv * climb_v + to_v;
        V_th_dv = V_th_dv * decay_tau_v + to_dv;""",
        " + V_th_v",
    ),
    accuracy=EXACT,
)
