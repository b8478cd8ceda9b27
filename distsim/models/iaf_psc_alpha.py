"""Leaky integrate-and-fire neurons with alpha-shaped synaptic currents: two of them, or one for each of many ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from distsim.models.base import Constant, Model, Parameter, Probe, Receptor, State
from distsim.models.common import (
    EXACT,
    FIRE,
    FLOOR,
    I_e,
    V_m,
    V_min,
    current_to_voltage,
    decay,
    floor_V_m,
    membrane,
    refractory_steps,
    rise_I_e,
    taus_syn,
    threshold,
)
from distsim.models.forms import Family, Form
from distsim.models.iaf_psc_exp_multisynapse import TAU_SYN

_EQUATIONS = """C_m dV/dt = -(C_m / tau_m) (V - E_L) + {sum} + I_e,
    each current w (e t / tau_syn) exp(-t / tau_syn) at time t after a spike: its peak is the weight w. Threshold V_th,
    then V = V_reset for t_ref; never below V_min. Between grid points the linear system is propagated exactly (Rotter &
    Diesmann 1999, doi:10.1007/s004220050570); names and conventions as in NEST."""


def _slope_to_current(end: str) -> Constant:
    """What the slope dI at the start of a step adds to I at its end."""
    tau = f"tau_syn_{end}"
    return Constant(f"climb_{end}", (tau,), lambda p, dt: dt * (-dt / p[tau]).exp())


def _jump(end: str) -> Constant:
    """The slope that follows a spike of weight 1: the current then peaks at 1."""
    tau = f"tau_syn_{end}"

    def compute(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
        return Decimal(1).exp() / p[tau]

    return Constant(f"jump_{end}", (tau,), compute)


def _neuron(
    name: str, doc: str, ends: Sequence[str], taus: tuple[Parameter, ...], receptors: Sequence[str],
    probes: tuple[Probe, ...] = (),
) -> Model:  # fmt: skip
    """A model whose currents are I_syn_<end>, with tau_syn_<end>, fed by the receptors in the same order."""
    currents = [f"I_syn_{end} * rise_I_syn_{end} + dI_syn_{end} * rise_dI_syn_{end}" for end in ends]
    advance = "".join(
        f"""
        I_syn_{end} = I_syn_{end} * decay_tau_syn_{end} + dI_syn_{end} * climb_{end};
        dI_syn_{end} = dI_syn_{end} * decay_tau_syn_{end} + input_{receptor} * jump_{end};"""
        for end, receptor in zip(ends, receptors, strict=True)
    )
    return Model(
        name=name,
        doc=doc,
        parameters=(
            *membrane,
            V_min,
            I_e,
            *taus,
        ),
        ordered=(("V_reset", "V_th", "the reset lies below the threshold"),),
        states=(
            V_m,
            *(State(f"I_syn_{end}", "pA", "synaptic current", floor=FLOOR, recordable=True) for end in ends),
            *(State(f"dI_syn_{end}", "pA/ms", "feeds I_syn", floor=FLOOR) for end in ends),
            refractory_steps,
        ),
        probes=probes,
        receptors=tuple(Receptor(receptor, "pA") for receptor in receptors),
        constants=(
            decay("tau_m"),
            rise_I_e,
            floor_V_m,
            *(decay(f"tau_syn_{end}") for end in ends),
            *(_slope_to_current(end) for end in ends),
            *(_jump(end) for end in ends),
            *(current_to_voltage(f"rise_I_syn_{end}", f"tau_syn_{end}") for end in ends),
            *(current_to_voltage(f"rise_dI_syn_{end}", f"tau_syn_{end}", 2) for end in ends),
            *threshold,
        ),
        # V_m is relative to E_L here. Input of this step reaches the slopes at the step's end.
        update=f"""
        const bool refractory = refractory_steps > 0;
        const real moved = V_m * decay_tau_m + {" + ".join(currents)} + (I_e + I_stim) * rise_I_e;
        const real bounded = moved < floor_V_m ? floor_V_m : moved;
        V_m = refractory ? V_m : bounded;
        refractory_steps = refractory ? refractory_steps - 1 : 0;{advance}
        {FIRE}
        """,
        accuracy=EXACT,
    )


iaf_psc_alpha = _neuron(
    "iaf_psc_alpha",
    f"""Leaky integrate-and-fire neuron, alpha-shaped synaptic currents, exact integration.

    {_EQUATIONS.format(sum="I_syn_ex + I_syn_in")}""",
    ("ex", "in"),
    taus_syn(2.0, 2.0, "rise time of {side} currents"),
    ("excitatory", "inhibitory"),
)


def _make(form: Form) -> Model:
    ports = [str(k) for k in range(1, form.length("tau_syn") + 1)]
    total = Probe("I_syn", "pA", "sum of the synaptic currents", " + ".join(f"I_syn_{k}" for k in ports))
    taus = tuple(TAU_SYN.element(int(k)) for k in ports)
    return _neuron(form.family.name, form.family.doc, ports, taus, ports, (total,))


iaf_psc_alpha_multisynapse = Family(
    name="iaf_psc_alpha_multisynapse",
    doc=f"""Leaky integrate-and-fire neuron, alpha-shaped synaptic currents on any number of ports, exact integration.

    {_EQUATIONS.format(sum="sum_k I_syn_k")}
    Port k (from 1) has the rise time tau_syn[k]. Weights of either sign go to any port.""",
    lists=(TAU_SYN,),
    flags=(),
    make=_make,
)
