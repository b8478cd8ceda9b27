"""Leaky integrate-and-fire neuron with any number of exponential synaptic currents."""

from __future__ import annotations

from distsim.models.base import Model, Probe, Receptor, State
from distsim.models.common import (
    FIRE,
    FLOOR,
    RESET_BELOW,
    I_e,
    V_m,
    current_to_voltage,
    decay,
    membrane,
    refractory_steps,
    rise_I_e,
    threshold,
)
from distsim.models.forms import Family, Form, ListParameter

TAU_SYN = ListParameter(
    "tau_syn", (2.0,), "ms", "time constant of the synaptic current of each port", above=0.0, least=1
)


def _make(form: Form) -> Model:
    ports = range(1, form.length("tau_syn") + 1)
    moved = "".join(f" + I_syn_{k} * rise_I_syn_{k}" for k in ports)
    decayed = "\n".join(f"I_syn_{k} = I_syn_{k} * decay_tau_syn_{k} + input_{k};" for k in ports)
    return Model(
        name="iaf_psc_exp_multisynapse",
        doc=iaf_psc_exp_multisynapse.doc,
        parameters=(
            *membrane,
            I_e,
            *(TAU_SYN.element(k) for k in ports),
        ),
        ordered=RESET_BELOW,
        states=(
            V_m,
            *(State(f"I_syn_{k}", "pA", f"synaptic current of port {k}", floor=FLOOR, recordable=True) for k in ports),
            refractory_steps,
        ),
        probes=(Probe("I_syn", "pA", "sum of the synaptic currents", " + ".join(f"I_syn_{k}" for k in ports)),),
        receptors=tuple(Receptor(str(k), "pA") for k in ports),
        constants=(
            decay("tau_m"),
            rise_I_e,
            *(decay(f"tau_syn_{k}") for k in ports),
            *(current_to_voltage(f"rise_I_syn_{k}", f"tau_syn_{k}") for k in ports),
            *threshold,
        ),
        update=f"""
        const bool refractory = refractory_steps > 0;
        const real moved = V_m * decay_tau_m + (I_e + I_stim) * rise_I_e{moved};
        V_m = refractory ? V_m : moved;
        refractory_steps = refractory ? refractory_steps - 1 : 0;
        {decayed}
        {FIRE}
        """,
    )


iaf_psc_exp_multisynapse = Family(
    name="iaf_psc_exp_multisynapse",
    doc="""Leaky integrate-and-fire neuron, exponential synaptic currents on any number of ports, exact integration.

    As iaf_psc_exp; port k (from 1) has the time constant tau_syn[k]. Weights of either sign go to any port.""",
    lists=(TAU_SYN,),
    flags=(),
    make=_make,
)
