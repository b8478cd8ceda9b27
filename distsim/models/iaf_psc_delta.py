"""Leaky integrate-and-fire neuron whose potential jumps at every spike that arrives."""

from __future__ import annotations

from distsim.models.base import Model, Receptor, State
from distsim.models.common import (
    EXACT,
    FIRE,
    FLOOR,
    I_e,
    V_m,
    V_min,
    decay,
    floor_V_m,
    membrane,
    refractory_steps,
    rise_I_e,
    threshold,
)
from distsim.models.forms import Family, Flag, Form


def _make(form: Form) -> Model:
    kept = form.flag("refractory_input")
    # What arrives with r steps to go has decayed r times when they are over: as often as it goes through this line.
    keep = "waiting = refractory ? (waiting + input_spikes) * decay_tau_m : (real)0;" if kept else ""
    return Model(
        name="iaf_psc_delta",
        doc=iaf_psc_delta.doc,
        parameters=(
            *membrane,
            V_min,
            I_e,
        ),
        ordered=(("V_reset", "V_th", "the reset lies below the threshold"),),
        states=(
            V_m,
            *((State("waiting", "mV", "input of the refractory time, decayed", floor=FLOOR),) if kept else ()),
            refractory_steps,
        ),
        receptors=(Receptor("spikes", "mV"),),
        constants=(
            decay("tau_m"),
            rise_I_e,
            floor_V_m,
            *threshold,
        ),
        # V_m is relative to E_L here. Input moves V_m in the step in which it arrives, before the threshold is asked.
        update=f"""
        const bool refractory = refractory_steps > 0;
        const real moved = V_m * decay_tau_m + (I_e + I_stim) * rise_I_e + input_spikes{" + waiting" if kept else ""};
        const real bounded = moved < floor_V_m ? floor_V_m : moved;
        V_m = refractory ? V_m : bounded;
        {keep}
        refractory_steps = refractory ? refractory_steps - 1 : 0;
        {FIRE}
        """,
        accuracy=EXACT,
    )


iaf_psc_delta = Family(
    name="iaf_psc_delta",
    doc="""Leaky integrate-and-fire neuron, jumps of the potential, exact integration.

    dV/dt = -(V - E_L) / tau_m + I_e / C_m; a spike that arrives moves V at once by its weight (mV). Threshold V_th,
    then V = V_reset for t_ref; never below V_min. Input of the refractory time is lost, or, with refractory_input,
    decays with tau_m until its end and is added then (Rotter & Diesmann 1999, doi:10.1007/s004220050570; Diesmann et
    al. 2001, doi:10.1016/S0925-2312(01)00409-X); names and conventions as in NEST.""",
    lists=(),
    flags=(Flag("refractory_input", False, "keep input of the refractory time for its end"),),
    make=_make,
)
