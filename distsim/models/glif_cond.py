"""glif_cond: generalised leaky integrate-and-fire, alpha-shaped conductances on any number of ports."""

from __future__ import annotations

from decimal import Decimal

from distsim.models import glif
from distsim.models.base import Constant, Dynamics, Model, Receptor, State
from distsim.models.common import FLOOR, RESET_BELOW, inverse
from distsim.models.forms import Family, Form, ListParameter

_PORTS = (
    ListParameter(
        "tau_syn", (0.2, 2.0), "ms", "rise time of a port's conductance", above=0.0, least=1, together="port"
    ),
    ListParameter("E_rev", (0.0, -85.0), "mV", "reversal potential of a port", least=1, together="port"),
)


def _port_constants(k: int) -> tuple[Constant, ...]:
    tau, reversal = f"tau_syn_{k}", f"E_rev_{k}"
    return (
        inverse(f"per_tau_{k}", tau),
        Constant(f"peak_{k}", (tau,), lambda p, dt: Decimal(1).exp() / p[tau]),
        Constant(f"drive_{k}", (reversal, "E_L"), lambda p, dt: p[reversal] - p["E_L"]),
    )


def _make(form: Form) -> Model:
    ports = range(1, form.length("tau_syn") + 1)
    # The current of the step is the after-spike current of the step before, as in NEST.
    late = " + ASCurrents_sum" if form.flag("after_spike_currents") else ""
    synaptic = " + ".join(f"g_{k} * (V_m - drive_{k})" for k in ports)
    slopes = "\n".join(
        f"d_slope_{k} = -slope_{k} * per_tau_{k};\nd_g_{k} = slope_{k} - g_{k} * per_tau_{k};" for k in ports
    )
    return Model(
        name="glif_cond",
        doc=glif_cond.doc,
        parameters=(*glif.parameters(form, "g_m"), *(x.element(k) for x in _PORTS for k in ports)),
        ordered=RESET_BELOW,
        states=(
            *glif.states(form),
            *(State(f"slope_{k}", "nS/ms", f"slope of the conductance of port {k}", floor=FLOOR) for k in ports),
            *(State(f"g_{k}", "nS", f"conductance of port {k}", floor=FLOOR, recordable=True) for k in ports),
        ),
        probes=glif.probes(form),
        receptors=tuple(Receptor(str(k), "nS") for k in ports),
        constants=(
            *glif.constants(form, "g_m"),
            inverse("per_C_m", "C_m"),
            *(c for k in ports for c in _port_constants(k)),
        ),
        accuracy="At dt 0.1, against an exact solution: V_m within 0.00003 mV in double, 0.001 mV in single precision "
        "(conductances up to 30 nS that rise in 0.2 ms).",
        dynamics=Dynamics(
            variables=("V_m", *(f"slope_{k}" for k in ports), *(f"g_{k}" for k in ports)),
            derivatives=f"""
            d_V_m = (steady - g_m * V_m - ({synaptic})) * per_C_m;
            {slopes}
            """,
            substeps=(3, 6),
        ),
        update="\n".join(
            (
                f"const real steady = I_stim{late};",
                glif.before_spike(form),
                "INTEGRATE;",
                glif.spike(form),
                *(f"slope_{k} = slope_{k} + peak_{k} * input_{k};" for k in ports),
            )
        ),
    )


glif_cond = Family(
    name="glif_cond",
    doc=f"""Generalised leaky integrate-and-fire neuron, alpha-shaped synaptic conductances on any number of ports.

    C_m dV/dt = -g_m (V - E_L) - sum_k g_k (V - E_rev[k]) + I_stim + after-spike currents; port k has the rise time
    tau_syn[k]; weights are positive. {glif.EQUATIONS}""",
    lists=(*glif.ASC, *_PORTS),
    flags=glif.FLAGS,
    make=_make,
    refuse=glif.refuse,
)
