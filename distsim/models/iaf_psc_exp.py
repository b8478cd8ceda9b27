"""Leaky integrate-and-fire neuron with exponentially decaying synaptic currents."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

from distsim.models.base import Constant, Model, Parameter, Receptor, State


def _decay(tau: str) -> Constant:
    """exp(-dt / tau): what is left of a decaying quantity after one step."""
    return Constant(f"decay_{tau}", (tau,), lambda p, dt: (-dt / p[tau]).exp())


def _current_to_voltage(name: str, tau_syn: str) -> Constant:
    """What a synaptic current at the start of a step adds to V_m at its end, per pA."""

    def compute(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
        tau_m, tau = p["tau_m"], p[tau_syn]
        if tau == tau_m:
            return dt / p["C_m"] * (-dt / tau_m).exp()
        return tau * tau_m / (p["C_m"] * (tau - tau_m)) * ((-dt / tau).exp() - (-dt / tau_m).exp())

    return Constant(name, ("tau_m", "C_m", tau_syn), compute)


iaf_psc_exp = Model(
    name="iaf_psc_exp",
    doc="""Leaky integrate-and-fire neuron, exponential synaptic currents, exact integration.

    C_m dV/dt = -(C_m / tau_m) (V - E_L) + I_syn_ex + I_syn_in + I_e,   tau_syn dI/dt = -I,
    threshold V_th, then V = V_reset for t_ref. Between grid points the linear system is propagated
    exactly (Rotter & Diesmann 1999, doi:10.1007/s004220050570); names and conventions as in NEST.""",
    parameters=(
        Parameter("E_L", -70.0, "mV", "resting potential"),
        Parameter("C_m", 250.0, "pF", "membrane capacitance", above=0.0),
        Parameter("tau_m", 10.0, "ms", "membrane time constant", above=0.0),
        Parameter("t_ref", 2.0, "ms", "refractory time", at_least=0.0),
        Parameter("V_th", -55.0, "mV", "spike threshold"),
        Parameter("V_reset", -70.0, "mV", "potential after a spike"),
        Parameter("tau_syn_ex", 2.0, "ms", "time constant of excitatory currents", above=0.0),
        Parameter("tau_syn_in", 2.0, "ms", "time constant of inhibitory currents", above=0.0),
        Parameter("I_e", 0.0, "pA", "constant input current"),
    ),
    ordered=(("V_reset", "V_th", "the reset lies below the threshold"),),
    states=(
        State("V_m", "mV", "membrane potential", "E_L", relative_to="E_L", floor=1e-20, recordable=True),
        State("I_syn_ex", "pA", "excitatory synaptic current", floor=1e-20, recordable=True),
        State("I_syn_in", "pA", "inhibitory synaptic current", floor=1e-20, recordable=True),
        State("refractory_steps", "steps", "steps until V_m moves again", kind="uint16"),
    ),
    receptors=(Receptor("excitatory", "pA"), Receptor("inhibitory", "pA")),
    constants=(
        _decay("tau_m"),
        _decay("tau_syn_ex"),
        _decay("tau_syn_in"),
        Constant("rise_I_e", ("tau_m", "C_m"), lambda p, dt: p["tau_m"] / p["C_m"] * (1 - (-dt / p["tau_m"]).exp())),
        _current_to_voltage("rise_I_syn_ex", "tau_syn_ex"),
        _current_to_voltage("rise_I_syn_in", "tau_syn_in"),
        Constant("theta", ("V_th", "E_L"), lambda p, dt: p["V_th"] - p["E_L"]),
        Constant("reset", ("V_reset", "E_L"), lambda p, dt: p["V_reset"] - p["E_L"]),
        Constant(
            "refractory_count",
            ("t_ref",),
            lambda p, dt: (p["t_ref"] / dt).quantize(Decimal(1), rounding=ROUND_HALF_UP),
            integer=True,
            at_most=2**16 - 1,  # refractory_steps has 16 bits
        ),
    ),
    # V_m is relative to E_L here. Input of this step reaches the currents at the step's end.
    update="""
        const bool refractory = refractory_steps > 0;
        const real moved =
            V_m * decay_tau_m + I_syn_ex * rise_I_syn_ex + I_syn_in * rise_I_syn_in + I_e * rise_I_e;
        V_m = refractory ? V_m : moved;
        refractory_steps = refractory ? refractory_steps - 1 : 0;
        I_syn_ex = I_syn_ex * decay_tau_syn_ex + input_excitatory;
        I_syn_in = I_syn_in * decay_tau_syn_in + input_inhibitory;
        const bool crossed = V_m >= theta;
        V_m = crossed ? reset : V_m;
        refractory_steps = crossed ? refractory_count : refractory_steps;
        spikes = crossed ? 1 : 0;
    """,
)
