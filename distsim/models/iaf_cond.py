"""Leaky integrate-and-fire neurons with conductance based synapses.

Given the conductances, whose courses are exact, the membrane's equation is linear in V: it is integrated by the
Magnus expansion of order 4, which no conductance makes unstable.
"""

from __future__ import annotations

from distsim.models.base import Constant, Dynamics, Model, Parameter, Probe, State
from distsim.models.common import (
    I_e,
    V_m,
    accuracy,
    conductances,
    difference,
    refractory_count,
    refractory_steps,
    reversals,
)
from distsim.models.courses import Course, alpha, beta, exponential

SUBSTEPS = (1, 4)
per_C_m = Constant("per_C_m", ("C_m",), lambda p, dt: 1 / p["C_m"])
reset = difference("reset", "V_reset", "E_L")
theta = difference("theta", "V_th", "E_L")
t_ref_remaining = Probe("t_ref_remaining", "ms", "what is left of the refractory time", "(real)refractory_steps * dt")


def membrane(
    g_L: float, C_m: float, E_L: float, E_ex: float, E_in: float, V_th: float
) -> tuple[Parameter, ...]:  # fmt: skip
    """Parameters of every neuron with two conductances, with these defaults."""
    return (
        Parameter("V_th", V_th, "mV", "spike threshold"),
        Parameter("g_L", g_L, "nS", "leak conductance", above=0.0),
        Parameter("C_m", C_m, "pF", "membrane capacitance", above=0.0),
        Parameter("E_L", E_L, "mV", "leak reversal potential"),
        *reversals(E_ex, E_in),
        I_e,
    )


def refractoriness(V_reset: float, t_ref: float) -> tuple[Parameter, ...]:
    return (
        Parameter("V_reset", V_reset, "mV", "potential after a spike"),
        Parameter("t_ref", t_ref, "ms", "refractory time", at_least=0.0),
    )


def synaptic(suffix: str, default: float, what: str = "") -> Parameter:
    sort = "excitatory" if suffix.endswith("ex") else "inhibitory"
    return Parameter(f"tau_{suffix}", default, "ms", f"{what}time constant of the {sort} conductance", above=0.0)


def relaxation(courses: tuple[Course, ...], reversals: tuple[str, ...], substeps: tuple[int, int]) -> Dynamics:
    """The membrane under these conductances, V_m relative to E_L; level_<E> = <E> - E_L."""
    total = " + ".join(("g_L", *(c.name for c in courses)))
    driven = "".join(f" + {c.name} * above_{e}" for c, e in zip(courses, reversals, strict=True))
    return Dynamics(
        variables=("V_m",),
        derivatives=f"""
        rate_V_m = per_C_m * ({total});
        drive_V_m = per_C_m * (I_e + I_stim{driven});
        """,
        scheme="magnus4",
        substeps=substeps,
        exact="\n".join(c.half for c in courses),
    )


def above_rest(*reversals: str) -> tuple[Constant, ...]:
    return tuple(difference(f"above_{e}", e, "E_L") for e in reversals)


def courses_constants(*courses: Course) -> tuple[Constant, ...]:
    return tuple(constant for course in courses for constant in course.constants)


def courses_states(*courses: Course) -> tuple[State, ...]:
    return tuple(state for course in courses for state in course.states)


def _neuron(
    name: str, doc: str, ex: Course, inh: Course, taus: tuple[Parameter, ...], probes: tuple[Probe, ...],
    error: tuple[float, float],
) -> Model:  # fmt: skip
    return Model(
        name=name,
        doc=doc,
        parameters=(
            *membrane(g_L=16.6667, C_m=250.0, E_L=-70.0, E_ex=0.0, E_in=-85.0, V_th=-55.0),
            *refractoriness(V_reset=-60.0, t_ref=2.0),
            *taus,
        ),
        ordered=(("V_reset", "V_th", "the reset lies below the threshold"),),
        states=(V_m, *courses_states(ex, inh), refractory_steps),
        receptors=conductances,
        constants=(
            per_C_m, reset, theta, refractory_count, *above_rest("E_ex", "E_in"), *courses_constants(ex, inh)
        ),
        probes=probes,
        dynamics=relaxation((ex, inh), ("E_ex", "E_in"), SUBSTEPS),
        accuracy=accuracy(*error),
        update=f"""
        INTEGRATE;
        const bool crossed = refractory_steps > 0 ? false : V_m >= theta;
        V_m = refractory_steps > 0 ? reset : V_m;
        refractory_steps = refractory_steps > 0 ? refractory_steps - 1 : 0;
        V_m = crossed ? reset : V_m;
        refractory_steps = crossed ? refractory_count : refractory_steps;
        spikes = crossed ? 1 : 0;
        {ex.arrive("input_excitatory")}
        {inh.arrive("-input_inhibitory")}
        """,
    )  # fmt: skip


EQUATION = """
    C_m dV/dt = -g_L (V - E_L) - g_ex (V - E_ex) - g_in (V - E_in) + I_e"""
THRESHOLD = """
    threshold V_th at the end of a step, then V = V_reset for t_ref. Weights of inhibitory connections are negative."""
G_EX, G_IN = "excitatory conductance", "inhibitory conductance"

iaf_cond_exp = _neuron(
    "iaf_cond_exp",
    f"""Leaky integrate-and-fire neuron, exponential conductances.
{EQUATION}
    tau_syn dg/dt = -g; an input of weight w adds |w| to g
    {THRESHOLD.strip()}
    (Meffin, Burkitt & Grayden 2004, doi:10.1023/B:JCNS.0000014108.03012.81).""",
    exponential("g_ex", "nS", G_EX, "tau_syn_ex", SUBSTEPS),
    exponential("g_in", "nS", G_IN, "tau_syn_in", SUBSTEPS),
    (synaptic("syn_ex", 0.2), synaptic("syn_in", 2.0)),
    (),
    (1.5e-6, 7e-4),
)

iaf_cond_alpha = _neuron(
    "iaf_cond_alpha",
    f"""Leaky integrate-and-fire neuron, conductances as alpha functions.
{EQUATION}
    tau_syn d(dg)/dt = -dg,   dg/dt = dg - g / tau_syn
    An input of weight w makes a peak of |w| after tau_syn;
    {THRESHOLD.strip()}
    (Meffin, Burkitt & Grayden 2004, doi:10.1023/B:JCNS.0000014108.03012.81).""",
    alpha("g_ex", "nS", G_EX, "tau_syn_ex", SUBSTEPS),
    alpha("g_in", "nS", G_IN, "tau_syn_in", SUBSTEPS),
    (synaptic("syn_ex", 0.2), synaptic("syn_in", 2.0)),
    (t_ref_remaining,),
    (6e-6, 2e-3),
)

iaf_cond_beta = _neuron(
    "iaf_cond_beta",
    f"""Leaky integrate-and-fire neuron, conductances as beta functions (two exponentials).
{EQUATION}
    tau_decay d(dg)/dt = -dg,   dg/dt = dg - g / tau_rise
    An input of weight w makes a peak of |w|;
    {THRESHOLD.strip()}
    (Rotter & Diesmann 1999, doi:10.1007/s004220050570).""",
    beta("g_ex", "nS", G_EX, "tau_decay_ex", "tau_rise_ex", SUBSTEPS),
    beta("g_in", "nS", G_IN, "tau_decay_in", "tau_rise_in", SUBSTEPS),
    (
        synaptic("rise_ex", 0.2, "rise "), synaptic("decay_ex", 0.2, "decay "),
        synaptic("rise_in", 2.0, "rise "), synaptic("decay_in", 2.0, "decay "),
    ),
    (t_ref_remaining,),
    (6e-6, 2e-3),
)  # fmt: skip

_EX = exponential("g_ex", "nS", G_EX, "tau_syn_ex", (2, 8))
_IN = exponential("g_in", "nS", G_IN, "tau_syn_in", (2, 8))
_SFA = exponential("g_sfa", "nS", "conductance of spike frequency adaptation", "tau_sfa", (2, 8))
_RR = exponential("g_rr", "nS", "conductance of the relative refractory mechanism", "tau_rr", (2, 8))

iaf_cond_exp_sfa_rr = Model(
    name="iaf_cond_exp_sfa_rr",
    doc=f"""Leaky integrate-and-fire neuron, exponential conductances, adaptation and relative refractoriness.
{EQUATION} - g_sfa (V - E_sfa) - g_rr (V - E_rr)
    tau dg/dt = -g for each of the four; a spike adds q_sfa to g_sfa and q_rr to g_rr
    {THRESHOLD.strip()}
    (Dayan & Abbott 2001, Theoretical Neuroscience, p. 166).""",
    parameters=(
        *membrane(g_L=28.95, C_m=289.5, E_L=-70.0, E_ex=0.0, E_in=-75.0, V_th=-57.0),
        *refractoriness(V_reset=-70.0, t_ref=0.5),
        synaptic("syn_ex", 1.5),
        synaptic("syn_in", 10.0),
        Parameter("q_sfa", 14.48, "nS", "what a spike adds to the adaptation conductance"),
        Parameter("q_rr", 3214.0, "nS", "what a spike adds to the relative refractory conductance"),
        Parameter("tau_sfa", 110.0, "ms", "time constant of adaptation", above=0.0),
        Parameter("tau_rr", 1.97, "ms", "time constant of relative refractoriness", above=0.0),
        Parameter("E_sfa", -70.0, "mV", "reversal potential of adaptation"),
        Parameter("E_rr", -70.0, "mV", "reversal potential of relative refractoriness"),
    ),
    ordered=(("V_reset", "V_th", "the reset lies below the threshold"),),
    states=(V_m, *courses_states(_EX, _IN, _SFA, _RR), refractory_steps),
    receptors=conductances,
    constants=(
        per_C_m, reset, theta, refractory_count, *above_rest("E_ex", "E_in", "E_sfa", "E_rr"),
        *courses_constants(_EX, _IN, _SFA, _RR),
    ),
    accuracy=accuracy(1e-8, 6e-4),
    dynamics=relaxation((_EX, _IN, _SFA, _RR), ("E_ex", "E_in", "E_sfa", "E_rr"), (2, 8)),
    update=f"""
        INTEGRATE;
        {_EX.arrive("input_excitatory")}
        {_IN.arrive("-input_inhibitory")}
        const bool crossed = refractory_steps > 0 ? false : V_m >= theta;
        V_m = refractory_steps > 0 ? reset : V_m;
        refractory_steps = refractory_steps > 0 ? refractory_steps - 1 : 0;
        V_m = crossed ? reset : V_m;
        g_sfa = crossed ? g_sfa + q_sfa : g_sfa;
        g_rr = crossed ? g_rr + q_rr : g_rr;
        refractory_steps = crossed ? refractory_count : refractory_steps;
        spikes = crossed ? 1 : 0;
    """,
)  # fmt: skip
