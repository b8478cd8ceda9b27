"""gif_psc_exp and gif_cond_exp: generalised integrate-and-fire neurons with escape noise and adaptation."""

from __future__ import annotations

from distsim.models.base import Constant, Dynamics, Model, Parameter, Probe, State
from distsim.models.common import (
    FLOOR,
    I_e,
    I_syn,
    conductances,
    currents,
    decay,
    difference,
    g_syn,
    refractory_count,
    refractory_steps,
    reversals,
    taus_syn,
)
from distsim.models.forms import Family, Form, ListParameter

# A fraction in (0, 1) from 64 random bits: floats are dense near 0, so that small probabilities keep their precision.
DRAW = """
        const Block drawn = random_words(0);
        const real fraction = ((real)drawn.w0 + ((real)drawn.w1 + (real)0.5) * (real)(1.0 / 4294967296.0)) *
                              (real)(1.0 / 4294967296.0);"""

_EQUATIONS = """A neuron outside t_ref spikes in a step with the probability 1 - exp(-lambda dt),
    lambda = lambda_0 exp((V - E_sfa) / Delta_V), E_sfa = V_T_star + sum_k sfa[k]; a spike adds q_sfa[k] to the
    threshold's part sfa[k] and q_stc[k] to the current stc[k], I_stc = sum_k stc[k], which decay with
    tau_sfa[k] and tau_stc[k] (Mensi et al. 2012, doi:10.1152/jn.00408.2011;
    Pozzorini et al. 2015, doi:10.1371/journal.pcbi.1004275). During t_ref V = V_reset."""

LISTS = (
    ListParameter("tau_sfa", (), "ms", "time constant of a part of the threshold", above=0.0, together="sfa"),
    ListParameter("q_sfa", (), "mV", "what a spike adds to it", together="sfa"),
    ListParameter("tau_stc", (), "ms", "time constant of a spike-triggered current", above=0.0, together="stc"),
    ListParameter("q_stc", (), "pA", "what a spike adds to it", together="stc"),
)
_PARAMETERS = (
    I_e,
    Parameter("E_L", -70.0, "mV", "resting potential"),
    Parameter("g_L", 4.0, "nS", "leak conductance", above=0.0),
    Parameter("C_m", 80.0, "pF", "membrane capacitance", above=0.0),
    Parameter("V_reset", -55.0, "mV", "potential during the refractory time"),
    Parameter("Delta_V", 0.5, "mV", "stochasticity: how far V moves for e times the intensity", above=0.0),
    Parameter("V_T_star", -35.0, "mV", "base threshold"),
    Parameter("lambda_0", 1.0, "1/s", "intensity at the threshold", at_least=0.0),
    Parameter("t_ref", 4.0, "ms", "refractory time", at_least=0.0),
)


def _parts(form: Form) -> list[str]:
    return [f"{kind}_{k}" for kind in ("sfa", "stc") for k in range(1, form.length(f"tau_{kind}") + 1)]


def _sum(form: Form, kind: str) -> str:
    return "".join(f" + {x}" for x in _parts(form) if x.startswith(kind))


def _begin(form: Form) -> str:
    """C++: threshold and spike-triggered current of the step, from the parts at its start."""
    return "\n".join(
        (
            f"const real sfa = theta{_sum(form, 'sfa')};",
            f"const real stc = (real)0{_sum(form, 'stc')};",
            "const bool refractory = refractory_steps > 0;",
            *(f"{x} = {x} * decay_tau_{x};" for x in _parts(form)),
        )
    )


def _end(form: Form) -> str:
    """C++: the draw, and what a spike changes."""
    return "\n".join(
        (
            DRAW,
            "const real expected = lambda_dt * bounded_exp((V_m - sfa) * per_Delta_V);",
            "const bool crossed = fraction < -bounded_expm1(-expected) && !refractory;",
            *(f"{x} = crossed ? {x} + q_{x} : {x};" for x in _parts(form)),
            "V_m = refractory ? reset : V_m;",
            "const int32 left = refractory ? refractory_steps - 1 : 0;",
            "refractory_steps = crossed ? refractory_count : left;",
            "spikes = crossed ? 1 : 0;",
        )
    )


def _common(form: Form) -> tuple[tuple[Parameter, ...], tuple[State, ...], tuple[Probe, ...], tuple[Constant, ...]]:
    """Parameters, states, probes and constants of both models; V_m is relative to E_L."""
    units = {"sfa": "mV", "stc": "pA"}
    states = [State("V_m", "mV", "membrane potential", "E_L", relative_to="E_L", floor=FLOOR, recordable=True)]
    for x in _parts(form):
        states.append(State(x, units[x[:3]], "part of the adaptation", floor=FLOOR, recordable=True))
    return (
        (*_PARAMETERS, *(x.element(k) for x in LISTS for k in range(1, form.length(x.name) + 1))),
        (*states, refractory_steps),
        (
            Probe("E_sfa", "mV", "adaptive threshold during the step", "sfa + E_L"),
            Probe("I_stc", "pA", "spike-triggered current during the step", "stc"),
        ),
        (
            refractory_count,
            difference("theta", "V_T_star", "E_L"),
            difference("reset", "V_reset", "E_L"),
            Constant("per_Delta_V", ("Delta_V",), lambda p, dt: 1 / p["Delta_V"]),
            Constant("lambda_dt", ("lambda_0",), lambda p, dt: p["lambda_0"] * dt / 1000),
            *(decay(f"tau_{x}") for x in _parts(form)),
        ),
    )


def _gif_psc_exp(form: Form) -> Model:
    parameters, states, probes, constants = _common(form)
    return Model(
        name="gif_psc_exp",
        doc=gif_psc_exp.doc,
        parameters=(
            *parameters,
            *taus_syn(2.0, 2.0, "time constant of {side} currents"),
        ),
        states=(
            *states,
            *I_syn,
        ),
        probes=probes,
        receptors=currents,
        constants=(
            *constants,
            Constant("decay_m", ("g_L", "C_m"), lambda p, dt: (-dt * p["g_L"] / p["C_m"]).exp()),
            Constant("rise_I", ("g_L", "C_m"), lambda p, dt: (1 - (-dt * p["g_L"] / p["C_m"]).exp()) / p["g_L"]),
            decay("tau_syn_ex"),
            decay("tau_syn_in"),
            _rise("ex"),
            _rise("in"),
        ),
        accuracy="Exact propagators, and the probability of a spike as stated: no integration error.",
        update=f"""{_begin(form)}
        I_syn_ex = I_syn_ex * decay_tau_syn_ex + input_excitatory;
        I_syn_in = I_syn_in * decay_tau_syn_in + input_inhibitory;
        V_m = V_m * decay_m + (I_e + I_stim - stc) * rise_I + I_syn_ex * rise_ex + I_syn_in * rise_in;
        {_end(form)}
        """,
    )


def _rise(side: str) -> Constant:
    """What an exponential current at the start of a step adds to V_m at its end, per pA."""
    tau = f"tau_syn_{side}"
    return Constant(
        f"rise_{side}", (tau, "g_L", "C_m"),
        lambda p, dt: dt / p["C_m"] * (-dt / p[tau]).exp() if p[tau] * p["g_L"] == p["C_m"]
        else ((-dt / p[tau]).exp() - (-dt * p["g_L"] / p["C_m"]).exp()) / (p["g_L"] - p["C_m"] / p[tau]),
    )  # fmt: skip


def _gif_cond_exp(form: Form) -> Model:
    parameters, states, probes, constants = _common(form)
    return Model(
        name="gif_cond_exp",
        doc=gif_cond_exp.doc,
        parameters=(
            *parameters,
            *reversals(0.0, -85.0),
            *taus_syn(2.0, 2.0, "time constant of the {side} conductance"),
        ),
        states=(
            *states,
            *g_syn,
        ),
        probes=probes,
        receptors=conductances,
        constants=(
            *constants,
            difference("drive_ex", "E_ex", "E_L"),
            difference("drive_in", "E_in", "E_L"),
            Constant("per_C_m", ("C_m",), lambda p, dt: 1 / p["C_m"]),
            Constant("per_tau_ex", ("tau_syn_ex",), lambda p, dt: 1 / p["tau_syn_ex"]),
            Constant("per_tau_in", ("tau_syn_in",), lambda p, dt: 1 / p["tau_syn_in"]),
        ),
        accuracy="At dt 0.1, against an exact solution: V_m within 2e-7 mV in double, 0.001 mV in single precision "
        "(conductances up to 30 nS). The probability of a spike is as stated.",
        dynamics=Dynamics(
            variables=("V_m", "g_ex", "g_in"),
            derivatives="""
            d_V_m = (steady - g_L * V_m - g_ex * (V_m - drive_ex) - g_in * (V_m - drive_in)) * per_C_m;
            d_g_ex = -g_ex * per_tau_ex;
            d_g_in = -g_in * per_tau_in;
            """,
            substeps=(1, 2),
        ),
        update=f"""{_begin(form)}
        const real steady = I_e + I_stim - stc;
        INTEGRATE;
        g_ex = g_ex + input_excitatory;
        g_in = g_in - input_inhibitory;  // weights of inhibitory connections are negative
        {_end(form)}
        """,
    )


gif_psc_exp = Family(
    name="gif_psc_exp",
    doc=f"""Generalised integrate-and-fire neuron with escape noise, exponential synaptic currents, exact integration.

    C_m dV/dt = -g_L (V - E_L) - I_stc + I_syn_ex + I_syn_in + I_e,   tau_syn dI/dt = -I. {_EQUATIONS}""",
    lists=LISTS,
    flags=(),
    make=_gif_psc_exp,
)
gif_cond_exp = Family(
    name="gif_cond_exp",
    doc=f"""Generalised integrate-and-fire neuron with escape noise, exponential synaptic conductances.

    C_m dV/dt = -g_L (V - E_L) - g_ex (V - E_ex) - g_in (V - E_in) - I_stc + I_e,   tau_syn dg/dt = -g. {_EQUATIONS}""",
    lists=LISTS,
    flags=(),
    make=_gif_cond_exp,
)
