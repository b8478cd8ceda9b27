"""Neurons of Hodgkin-Huxley type: hh_psc_alpha and hh_cond_exp_traub."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from distsim.models.base import Constant, Dynamics, Model, Parameter, State
from distsim.models.common import (
    FLOOR,
    I_e,
    conductances,
    currents,
    g_syn,
    refractory_count,
    refractory_steps,
    reversals,
    t_ref,
    taus_syn,
)

# x / (1 - exp(-x)), given e = exp(-x): near 0 by its series (Bernoulli numbers), where the quotient is 0 / 0.
_LINOID = """
FN real {model}_linoid(real x, real e) {{
    const real z = x * x;
    const real far = (real)(-1.0 / 1209600) + z * ((real)(1.0 / 47900160) + z * (real)(-691.0 / 1307674368000.0));
    const real even = (real)(1.0 / 12) + z * ((real)(-1.0 / 720) + z * ((real)(1.0 / 30240) + z * far));
    const bool near = magnitude(x) < (real)0.35;
    const real quotient = x / (near ? (real)1 : (real)1 - e);
    return near ? (real)1 + ((real)0.5 * x + z * even) : quotient;
}}
"""

_GATES = (
    "a (de)activation variable x in m, h, n obeys dx/dt = alpha_x(V) (1 - x) - beta_x(V) x. A spike is a local maximum "
    "of V_m above the threshold, at most one in t_ref; V_m is never reset."
)


def inverse(name: str, of: str) -> Constant:
    """name = 1 / of."""
    return Constant(name, (of,), lambda p, dt: 1 / p[of])


def _alpha_peak(name: str, tau: str) -> Constant:
    """Slope that a weight of 1 gives an alpha-shaped response, so that its peak is 1: e / tau."""

    def compute(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
        return Decimal(1).exp() / p[tau]

    return Constant(name, (tau,), compute)


_channels = (
    Parameter("g_Na", 12000.0, "nS", "sodium peak conductance", at_least=0.0),
    Parameter("g_K", 3600.0, "nS", "potassium peak conductance", at_least=0.0),
    Parameter("g_L", 30.0, "nS", "leak conductance", at_least=0.0),
)
_SPIKE = """
        const bool refractory = refractory_steps > 0;
        const bool crossed = V_m >= {threshold} && V_before > V_m && !refractory;
        spikes = crossed ? 1 : 0;
        const int32 left = refractory ? refractory_steps - 1 : 0;
        refractory_steps = crossed ? refractory_count : left;
"""

hh_psc_alpha = Model(
    name="hh_psc_alpha",
    doc=f"""Hodgkin-Huxley neuron, alpha-shaped synaptic currents.

    C_m dV/dt = -g_Na m^3 h (V - E_Na) - g_K n^4 (V - E_K) - g_L (V - E_L) + I_syn_ex + I_syn_in + I_e;
    {_GATES} The threshold is 0 mV. Rates as in Hodgkin & Huxley 1952, doi:10.1113/jphysiol.1952.sp004764,
    shifted to a rest of -65 mV.""",
    parameters=(
        t_ref,
        *_channels,
        Parameter("C_m", 100.0, "pF", "membrane capacitance", above=0.0),
        Parameter("E_Na", 50.0, "mV", "sodium reversal potential"),
        Parameter("E_K", -77.0, "mV", "potassium reversal potential"),
        Parameter("E_L", -54.402, "mV", "leak reversal potential"),
        *taus_syn(0.2, 2.0, "rise time of {side} currents"),
        I_e,
    ),
    states=(
        State("V_m", "mV", "membrane potential", -65.0, recordable=True),
        State("Act_m", "", "activation of sodium", 0.05293248525724958, recordable=True),
        State("Inact_h", "", "inactivation of sodium", 0.5961207535084603, recordable=True),
        State("Act_n", "", "activation of potassium", 0.3176769140606974, recordable=True),
        State("dI_syn_ex", "pA/ms", "slope of the excitatory current", floor=FLOOR),
        State("I_syn_ex", "pA", "excitatory synaptic current", floor=FLOOR, recordable=True),
        State("dI_syn_in", "pA/ms", "slope of the inhibitory current", floor=FLOOR),
        State("I_syn_in", "pA", "inhibitory synaptic current", floor=FLOOR, recordable=True),
        refractory_steps,
    ),
    receptors=currents,
    constants=(
        refractory_count,
        inverse("per_C_m", "C_m"),
        inverse("per_tau_ex", "tau_syn_ex"),
        inverse("per_tau_in", "tau_syn_in"),
        _alpha_peak("peak_ex", "tau_syn_ex"),
        _alpha_peak("peak_in", "tau_syn_in"),
    ),
    accuracy="At dt 0.1, against an exact solution: V_m within 0.0004 mV in double, 0.08 mV in single precision, "
    "flanks of spikes included; spikes in the same steps.",
    functions=_LINOID.format(model="hh_psc_alpha"),
    # One exponential, e80 = exp(-(V + 65) / 80), gives those over 10, 20 and 80 mV. Rates are those of the nearest
    # V in [-300, 300] mV, where all powers are finite numbers.
    dynamics=Dynamics(
        variables=("V_m", "Act_m", "Inact_h", "Act_n", "dI_syn_ex", "I_syn_ex", "dI_syn_in", "I_syn_in"),
        derivatives="""
        const real V = larger((real)-300, smaller((real)300, V_m));
        const real e80 = bounded_exp((V + (real)65) * (real)(-1.0 / 80));
        const real e40 = e80 * e80;
        const real e20 = e40 * e40;
        const real e10 = e20 * e20;
        const real e18 = bounded_exp((V + (real)65) * (real)(-1.0 / 18));
        const real e_n = e10 * (real)2.718281828459045;
        const real alpha_n = (real)0.1 * hh_psc_alpha_linoid((V + (real)55) * (real)0.1, e_n);
        const real alpha_m = hh_psc_alpha_linoid((V + (real)40) * (real)0.1, e10 * (real)12.182493960703473);
        const real alpha_h = (real)0.07 * e20;
        const real beta_n = (real)0.125 * e80;
        const real beta_m = (real)4 * e18;
        const real beta_h = (real)1 / ((real)1 + e10 * (real)20.085536923187668);
        const real square = Act_n * Act_n;
        const real sodium = g_Na * (Act_m * Act_m * Act_m) * Inact_h * (V_m - E_Na);
        const real potassium = g_K * (square * square) * (V_m - E_K);
        const real ionic = sodium + potassium + g_L * (V_m - E_L);
        d_V_m = ((I_e + I_stim) + I_syn_ex + I_syn_in - ionic) * per_C_m;
        d_Act_m = alpha_m - (alpha_m + beta_m) * Act_m;
        d_Inact_h = alpha_h - (alpha_h + beta_h) * Inact_h;
        d_Act_n = alpha_n - (alpha_n + beta_n) * Act_n;
        d_dI_syn_ex = -dI_syn_ex * per_tau_ex;
        d_I_syn_ex = dI_syn_ex - I_syn_ex * per_tau_ex;
        d_dI_syn_in = -dI_syn_in * per_tau_in;
        d_I_syn_in = dI_syn_in - I_syn_in * per_tau_in;
        """,
        substeps=(3, 8),
    ),
    update=f"""
        const real V_before = V_m;
        INTEGRATE;
        dI_syn_ex = dI_syn_ex + peak_ex * input_excitatory;
        dI_syn_in = dI_syn_in + peak_in * input_inhibitory;
        {_SPIKE.format(threshold="(real)0")}""",
)

hh_cond_exp_traub = Model(
    name="hh_cond_exp_traub",
    doc=f"""Hodgkin-Huxley neuron after Traub, exponential synaptic conductances.

    C_m dV/dt = -g_Na m^3 h (V - E_Na) - g_K n^4 (V - E_K) - g_L (V - E_L) - g_ex (V - E_ex) - g_in (V - E_in) + I_e,
    tau_syn dg/dt = -g; {_GATES} The threshold is V_T + 30 mV. Rates as in Traub & Miles 1991, in the form of
    Brette et al. 2007, doi:10.1007/s10827-007-0038-6. As in NEST the gates start at their equilibrium at
    V - V_T = -60 mV, so that a neuron left alone fires once.""",
    parameters=(
        Parameter("g_Na", 20000.0, "nS", "sodium peak conductance", at_least=0.0),
        Parameter("g_K", 6000.0, "nS", "potassium peak conductance", at_least=0.0),
        Parameter("g_L", 10.0, "nS", "leak conductance", at_least=0.0),
        Parameter("C_m", 200.0, "pF", "membrane capacitance", above=0.0),
        Parameter("E_Na", 50.0, "mV", "sodium reversal potential"),
        Parameter("E_K", -90.0, "mV", "potassium reversal potential"),
        Parameter("E_L", -60.0, "mV", "leak reversal potential"),
        Parameter("V_T", -63.0, "mV", "shift of all rates; the threshold lies about 13 mV above"),
        *reversals(0.0, -80.0),
        *taus_syn(5.0, 10.0, "time constant of the {side} conductance"),
        t_ref,
        I_e,
    ),
    states=(
        State("V_m", "mV", "membrane potential", "E_L", recordable=True),
        State("Act_m", "", "activation of sodium", 9.895563096746586e-09, recordable=True),
        State("Inact_h", "", "inactivation of sodium", 0.999999999106396, recordable=True),
        State("Act_n", "", "activation of potassium", 2.551577051602551e-07, recordable=True),
        *g_syn,
        refractory_steps,
    ),
    receptors=conductances,
    constants=(
        refractory_count,
        inverse("per_C_m", "C_m"),
        inverse("per_tau_ex", "tau_syn_ex"),
        inverse("per_tau_in", "tau_syn_in"),
        Constant("theta", ("V_T",), lambda p, dt: p["V_T"] + 30),
    ),
    accuracy="At dt 0.1, against an exact solution: V_m within 0.04 mV in double, 0.5 mV in single precision, flanks "
    "of spikes included (up to 300 mV/ms); spikes in the same steps in double, within one step in single precision. "
    "NEST is within 4 mV.",
    functions=_LINOID.format(model="hh_cond_exp_traub")
    + """
// x / (exp(x) - 1), given e = exp(-x).
FN real hh_cond_exp_traub_falling(real x, real e) {
    const bool near = magnitude(x) < (real)0.35;
    const real quotient = x * e / (near ? (real)1 : (real)1 - e);
    return near ? hh_cond_exp_traub_linoid(x, e) - x : quotient;
}
""",
    # One exponential, e40 = exp(-(V - V_T) / 40), gives those over 4, 5 and 40 mV. Rates are those of the nearest
    # V - V_T in [-240, 240] mV, where all powers are finite numbers.
    dynamics=Dynamics(
        variables=("V_m", "Act_m", "Inact_h", "Act_n", "g_ex", "g_in"),
        derivatives="""
        const real V = larger((real)-240, smaller((real)240, V_m - V_T));
        const real e40 = bounded_exp(V * (real)(-1.0 / 40));
        const real e20 = e40 * e40;
        const real e10 = e20 * e20;
        const real e5 = e10 * e10;
        const real e4 = e5 * e20;
        const real e18 = bounded_exp(V * (real)(-1.0 / 18));
        const real last = (V - (real)40) * (real)0.2;
        const real e_last = e5 * (real)2980.9579870417283;
        const real e_n = e5 * (real)20.085536923187668;
        const real alpha_n = (real)0.16 * hh_cond_exp_traub_linoid(V * (real)0.2 - (real)3, e_n);
        const real e_m = e4 * (real)25.790339917193062;
        const real alpha_m = (real)1.28 * hh_cond_exp_traub_linoid(V * (real)0.25 - (real)3.25, e_m);
        const real alpha_h = (real)0.128 * e18 * (real)2.5713844347880297;
        const real beta_n = (real)0.5 * e40 * (real)1.2840254166877414;
        const real beta_m = (real)1.4 * hh_cond_exp_traub_falling(last, e_last);
        const real beta_h = (real)4 / ((real)1 + e_last);
        const real square = Act_n * Act_n;
        const real sodium = g_Na * (Act_m * Act_m * Act_m) * Inact_h * (V_m - E_Na);
        const real potassium = g_K * (square * square) * (V_m - E_K);
        const real synaptic = g_ex * (V_m - E_ex) + g_in * (V_m - E_in);
        d_V_m = ((I_e + I_stim) - (sodium + potassium + g_L * (V_m - E_L) + synaptic)) * per_C_m;
        d_Act_m = alpha_m - (alpha_m + beta_m) * Act_m;
        d_Inact_h = alpha_h - (alpha_h + beta_h) * Inact_h;
        d_Act_n = alpha_n - (alpha_n + beta_n) * Act_n;
        d_g_ex = -g_ex * per_tau_ex;
        d_g_in = -g_in * per_tau_in;
        """,
        substeps=(4, 8),
    ),
    update=f"""
        const real V_before = V_m;
        INTEGRATE;
        g_ex = g_ex + input_excitatory;
        g_in = g_in - input_inhibitory;  // weights of inhibitory connections are negative
        {_SPIKE.format(threshold="theta")}""",
)
