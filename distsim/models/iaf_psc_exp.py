"""Leaky integrate-and-fire neuron with exponentially decaying synaptic currents."""

from __future__ import annotations

from distsim.models.base import Model, Parameter, Receptor, State
from distsim.models.common import (
    FLOOR,
    I_e,
    current_to_voltage,
    decay,
    difference,
    refractory_count,
    refractory_steps,
    rise_I_e,
    t_ref,
)

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
        t_ref,
        Parameter("V_th", -55.0, "mV", "spike threshold"),
        Parameter("V_reset", -70.0, "mV", "potential after a spike"),
        Parameter("tau_syn_ex", 2.0, "ms", "time constant of excitatory currents", above=0.0),
        Parameter("tau_syn_in", 2.0, "ms", "time constant of inhibitory currents", above=0.0),
        I_e,
    ),
    ordered=(("V_reset", "V_th", "the reset lies below the threshold"),),
    states=(
        State("V_m", "mV", "membrane potential", "E_L", relative_to="E_L", floor=FLOOR, recordable=True),
        State("I_syn_ex", "pA", "excitatory synaptic current", floor=FLOOR, recordable=True),
        State("I_syn_in", "pA", "inhibitory synaptic current", floor=FLOOR, recordable=True),
        refractory_steps,
    ),
    receptors=(Receptor("excitatory", "pA"), Receptor("inhibitory", "pA")),
    constants=(
        decay("tau_m"),
        decay("tau_syn_ex"),
        decay("tau_syn_in"),
        rise_I_e,
        current_to_voltage("rise_I_syn_ex", "tau_syn_ex"),
        current_to_voltage("rise_I_syn_in", "tau_syn_in"),
        difference("theta", "V_th", "E_L"),
        difference("reset", "V_reset", "E_L"),
        refractory_count,
    ),
    # V_m is relative to E_L here. Input of this step reaches the currents at the step's end.
    update="""
        const bool refractory = refractory_steps > 0;
        const real moved =
            V_m * decay_tau_m + I_syn_ex * rise_I_syn_ex + I_syn_in * rise_I_syn_in + (I_e + I_stim) * rise_I_e;
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
