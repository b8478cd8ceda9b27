"""Adaptive exponential integrate-and-fire neuron with exponential conductances."""

from __future__ import annotations

from decimal import Decimal

from distsim.models.base import Constant, Dynamics, Model, Parameter, Receptor, State
from distsim.models.common import FLOOR, MAX_COUNT, I_e, refractory_count, refractory_steps

# One step more than t_ref: the step of the spike counts down, too. None where t_ref is 0.
AFTER_SPIKE = Constant(
    "after_spike",
    ("t_ref",),
    lambda p, dt: refractory_count.compute(p, dt) + 1 if p["t_ref"] else Decimal(0),
    integer=True,
    at_most=MAX_COUNT,
)

aeif_cond_exp = Model(
    name="aeif_cond_exp",
    doc="""Adaptive exponential integrate-and-fire neuron, exponential conductances.

    C_m dV/dt = -g_L (V - E_L) + g_L Delta_T exp((V - V_th) / Delta_T) - g_ex (V - E_ex) - g_in (V - E_in) - w + I_e
    tau_w dw/dt = a (V - E_L) - w,   tau_syn dg/dt = -g;   at V >= V_peak: V = V_reset, w = w + b
    (Brette & Gerstner 2005, doi:10.1152/jn.00686.2005).""",
    parameters=(
        Parameter("V_peak", 0.0, "mV", "spike detection threshold"),
        Parameter("V_reset", -60.0, "mV", "potential after a spike"),
        Parameter("t_ref", 0.0, "ms", "refractory time", at_least=0.0),
        Parameter("g_L", 30.0, "nS", "leak conductance", above=0.0),
        Parameter("C_m", 281.0, "pF", "membrane capacitance", above=0.0),
        Parameter("E_ex", 0.0, "mV", "excitatory reversal potential"),
        Parameter("E_in", -85.0, "mV", "inhibitory reversal potential"),
        Parameter("E_L", -70.6, "mV", "leak reversal potential"),
        Parameter("Delta_T", 2.0, "mV", "slope factor", above=0.0),
        Parameter("tau_w", 144.0, "ms", "adaptation time constant", above=0.0),
        Parameter("a", 4.0, "nS", "subthreshold adaptation"),
        Parameter("b", 80.5, "pA", "spike-triggered adaptation"),
        Parameter("V_th", -50.4, "mV", "spike initiation threshold"),
        Parameter("tau_syn_ex", 0.2, "ms", "time constant of the excitatory conductance", above=0.0),
        Parameter("tau_syn_in", 2.0, "ms", "time constant of the inhibitory conductance", above=0.0),
        I_e,
    ),
    states=(
        State("V_m", "mV", "membrane potential", "E_L", recordable=True),
        State("w", "pA", "adaptation current", recordable=True),
        State("g_ex", "nS", "excitatory conductance", floor=FLOOR, recordable=True),
        State("g_in", "nS", "inhibitory conductance", floor=FLOOR, recordable=True),
        refractory_steps,
    ),
    receptors=(Receptor("excitatory", "nS"), Receptor("inhibitory", "nS")),
    constants=(AFTER_SPIKE,),
    dynamics=Dynamics(
        variables=("V_m", "w", "g_ex", "g_in"),
        derivatives="""
        const real V = refractory_steps > 0 ? V_reset : smaller(V_m, V_peak);
        const real upstroke = g_L * Delta_T * bounded_exp((V - V_th) / Delta_T);
        const real synaptic = g_ex * (V - E_ex) + g_in * (V - E_in);
        const real current = upstroke - g_L * (V - E_L) - synaptic - w + I_e + I_stim;
        d_V_m = refractory_steps > 0 ? (real)0 : current / C_m;
        d_w = (a * (V - E_L) - w) / tau_w;
        d_g_ex = -g_ex / tau_syn_ex;
        d_g_in = -g_in / tau_syn_in;
        """,
        substeps=(4, 8),
        after_substep="""
        const bool crossed = V_m >= V_peak && refractory_steps == 0;
        V_m = refractory_steps > 0 || crossed ? V_reset : V_m;
        w = crossed ? w + b : w;
        spikes += crossed ? 1 : 0;
        refractory_steps = crossed ? after_spike : refractory_steps;
        """,
    ),
    max_multiplicity=8,
    update="""
        INTEGRATE;
        refractory_steps = refractory_steps > 0 ? refractory_steps - 1 : 0;
        g_ex = g_ex + input_excitatory;
        g_in = g_in - input_inhibitory;  // weights of inhibitory connections are negative
    """,
)
