"""The neuron of the lateral geniculate nucleus of Casti et al. (2008)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from distsim.models.base import Constant, Model, Parameter, Probe
from distsim.models.common import V_m, accuracy, conductances
from distsim.models.courses import alpha
from distsim.models.forms import Family, Flag, Form
from distsim.models.iaf_cond import (
    G_EX,
    G_IN,
    above_rest,
    courses_constants,
    courses_states,
    membrane,
    per_C_m,
    relaxation,
    synaptic,
    theta,
)

SUBSTEPS = (2, 8)
_EX = alpha("g_ex", "nS", G_EX, "tau_syn_ex", SUBSTEPS)
_IN = alpha("g_in", "nS", G_IN, "tau_syn_in", SUBSTEPS)
_AHP = alpha("ahp", "nS", "afterhyperpolarisation conductance", "tau_ahp", SUBSTEPS)


def _make(form: Form) -> Model:
    # The Fortran original forgets the conductance of earlier spikes.
    keep = "0" if form.flag("ahp_bug") else "1"
    return Model(
        name="iaf_chxk_2008",
        doc=iaf_chxk_2008.doc,
        parameters=(
            *membrane(g_L=100.0, C_m=1000.0, E_L=-60.0, E_ex=20.0, E_in=-90.0, V_th=-45.0),
            synaptic("syn_ex", 1.0),
            synaptic("syn_in", 1.0),
            Parameter("tau_ahp", 0.5, "ms", "time constant of the afterhyperpolarisation", above=0.0),
            Parameter("E_ahp", -95.0, "mV", "reversal potential of the afterhyperpolarisation"),
            Parameter("g_ahp", 443.8, "nS", "peak conductance of the afterhyperpolarisation"),
        ),
        states=(
            V_m,
            *courses_states(_EX, _IN),
            *(replace(state, recordable=False) for state in _AHP.states),  # NEST's name is taken by a parameter
        ),
        probes=(
            Probe("g_ahp", "nS", "afterhyperpolarisation conductance", "ahp"),
            Probe("I_syn_ex", "pA", "excitatory current", "g_ex * (V_m - above_E_ex)"),
            Probe("I_syn_in", "pA", "inhibitory current", "g_in * (V_m - above_E_in)"),
            Probe("I_ahp", "pA", "afterhyperpolarisation current", "ahp * (V_m - above_E_ahp)"),
        ),
        receptors=conductances,
        constants=(
            per_C_m,
            theta,
            *above_rest("E_ex", "E_in", "E_ahp"),
            *courses_constants(_EX, _IN, _AHP),
            Constant("peak_ahp", ("g_ahp", "tau_ahp"), lambda p, dt: p["g_ahp"] * Decimal(1).exp() / p["tau_ahp"]),
        ),
        accuracy=accuracy(2e-7, 0.015),
        dynamics=relaxation((_EX, _IN, _AHP), ("E_ex", "E_in", "E_ahp"), SUBSTEPS),
        update=f"""
        const real before = V_m;
        INTEGRATE;
        const bool crossed = before < theta ? V_m >= theta : false;
        const real climbed = crossed ? V_m - before : (real)1;
        const real since = dt * (V_m - theta) / climbed;
        const real slope = peak_ahp * bounded_exp(-since * rate_ahp);
        ahp = crossed ? ahp * (real){keep} + slope * since : ahp;
        dahp = crossed ? dahp * (real){keep} + slope : dahp;
        spikes = crossed ? 1 : 0;
        {_EX.arrive("input_excitatory")}
        {_IN.arrive("-input_inhibitory")}
        """,
    )


iaf_chxk_2008 = Family(
    name="iaf_chxk_2008",
    doc="""Leaky integrate-and-fire neuron with conductances as alpha functions, one of them after each spike.

    C_m dV/dt = -g_L (V - E_L) - g_ex (V - E_ex) - g_in (V - E_in) - g_ahp(t) (V - E_ahp) + I_e
    tau_syn d(dg)/dt = -dg,   dg/dt = dg - g / tau_syn
    A spike when V crosses V_th from below; V is not reset: an alpha function of peak g_ahp begins where the straight
    line between the step's ends crosses V_th. Weights of inhibitory connections are negative
    (Casti, Hayot, Xiao & Kaplan 2008, doi:10.1007/s10827-007-0053-7).""",
    lists=(),
    flags=(Flag("ahp_bug", False, "only the last spike's alpha function acts, as in the Fortran original"),),
    make=_make,
)
