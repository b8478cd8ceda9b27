"""Leaky integrate-and-fire neuron with any number of exponential synaptic currents."""

from __future__ import annotations

from distsim.models.base import Model, Parameter, Probe, Receptor, State
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
            Parameter("E_L", -70.0, "mV", "resting potential"),
            Parameter("C_m", 250.0, "pF", "membrane capacitance", above=0.0),
            Parameter("tau_m", 10.0, "ms", "membrane time constant", above=0.0),
            t_ref,
            Parameter("V_th", -55.0, "mV", "spike threshold"),
            Parameter("V_reset", -70.0, "mV", "potential after a spike"),
            I_e,
            *(TAU_SYN.element(k) for k in ports),
        ),
        ordered=(("V_reset", "V_th", "the reset lies below the threshold"),),
        states=(
            State("V_m", "mV", "membrane potential", "E_L", relative_to="E_L", floor=FLOOR, recordable=True),
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
            difference("theta", "V_th", "E_L"),
            difference("reset", "V_reset", "E_L"),
            refractory_count,
        ),
        update=f"""
        const bool refractory = refractory_steps > 0;
        const real moved = V_m * decay_tau_m + (I_e + I_stim) * rise_I_e{moved};
        V_m = refractory ? V_m : moved;
        refractory_steps = refractory ? refractory_steps - 1 : 0;
        {decayed}
        const bool crossed = V_m >= theta;
        V_m = crossed ? reset : V_m;
        refractory_steps = crossed ? refractory_count : refractory_steps;
        spikes = crossed ? 1 : 0;
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
