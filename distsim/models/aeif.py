"""Adaptive exponential integrate-and-fire neurons: one membrane (aeif_membrane.py), seven kinds of input."""

from __future__ import annotations

from distsim.models.aeif_membrane import SUBSTEPS, Port, adex, described
from distsim.models.base import Model, Receptor, State
from distsim.models.common import FLOOR, reversals, taus_syn
from distsim.models.courses import Course, alpha, beta, exponential
from distsim.models.forms import Family, Flag, Form, ListParameter

CONDUCTANCES = "- g_ex (V - E_ex) - g_in (V - E_in)"
CURRENTS = "+ I_syn_ex - I_syn_in"
REVERSALS = reversals(0.0, -85.0)
TAUS = taus_syn(0.2, 2.0, "time constant of {side} input")
WEIGHTS = "; weights of inhibitory connections are negative"


def _two(name: str, unit: str, what: str, kind: str) -> tuple[Port, Port]:
    """Excitatory and inhibitory input of one kind."""
    make = exponential if kind == "exponential" else alpha
    conductance = unit == "nS"
    return (
        Port("excitatory", make(f"{name}_ex", unit, f"excitatory {what}", "tau_syn_ex", SUBSTEPS), "input_excitatory",
             "E_ex" if conductance else ""),
        Port("inhibitory", make(f"{name}_in", unit, f"inhibitory {what}", "tau_syn_in", SUBSTEPS), "-input_inhibitory",
             "E_in" if conductance else "", "-"),
    )  # fmt: skip


aeif_cond_exp = adex(
    "aeif_cond_exp",
    described("exponential conductances", CONDUCTANCES, f",   tau_syn dg/dt = -g{WEIGHTS}"),
    _two("g", "nS", "conductance", "exponential"),
    (*REVERSALS, *TAUS),
)
aeif_cond_alpha = adex(
    "aeif_cond_alpha",
    described(
        "conductances as alpha functions",
        CONDUCTANCES,
        f",   tau_syn d(dg)/dt = -dg,   dg/dt = dg - g / tau_syn{WEIGHTS}",
    ),
    _two("g", "nS", "conductance", "alpha"),
    (*REVERSALS, *TAUS),
)
aeif_psc_exp = adex(
    "aeif_psc_exp",
    described("exponential currents", CURRENTS, f",   tau_syn dI/dt = -I{WEIGHTS}"),
    _two("I_syn", "pA", "synaptic current", "exponential"),
    TAUS,
)
aeif_psc_alpha = adex(
    "aeif_psc_alpha",
    described(
        "currents as alpha functions",
        CURRENTS,
        f",   tau_syn d(dI)/dt = -dI,   dI/dt = dI - I / tau_syn{WEIGHTS}",
    ),
    _two("I_syn", "pA", "synaptic current", "alpha"),
    TAUS,
)


def _delta(form: Form) -> Model:
    arrivals = "V_m = free ? V_m + input_spikes : V_m;"
    states: tuple[State, ...] = ()
    if form.flag("refractory_input"):
        # Input of the refractory time, as if it had decayed since by the membrane's time constant.
        states = (State("waiting", "mV", "input kept for the end of the refractory time", floor=FLOOR),)
        arrivals = """
        V_m = free ? V_m + (input_spikes + waiting) : V_m;
        const real kept = input_spikes * bounded_exp(-(real)refractory_steps * dt * g_L * per_C_m);
        waiting = free ? (real)0 : waiting + kept;
        """
    return adex(
        "aeif_psc_delta", aeif_psc_delta.doc, (), (), states=states, receptors=(Receptor("spikes", "mV"),),
        arrivals=arrivals,
    )  # fmt: skip


aeif_psc_delta = Family(
    name="aeif_psc_delta",
    doc=described("input as jumps of V", "", ""),
    lists=(),
    flags=(Flag("refractory_input", False, "keep input of the refractory time for its end"),),
    make=_delta,
)

E_REV = ListParameter("E_rev", (0.0,), "mV", "reversal potential of each port", together="ports", least=1)


def _multisynapse(name: str, doc: str, lists: tuple[ListParameter, ...]) -> Family:
    """A family with a conductance a port, whose time constants stand in `lists`."""
    names = [x.name for x in lists]

    def make(form: Form) -> Model:
        numbers = range(1, form.length("E_rev") + 1)

        def course(k: int) -> Course:
            first, second = f"{names[0]}_{k}", f"{names[-1]}_{k}"
            return beta(f"g_{k}", "nS", f"conductance of port {k}", first, second, SUBSTEPS)

        return adex(
            name,
            doc,
            tuple(Port(str(k), course(k), f"input_{k}", f"E_rev_{k}") for k in numbers),
            tuple(x.element(k) for k in numbers for x in (E_REV, *lists)),
        )

    return Family(name, doc, (E_REV, *lists), (), make)


def _times(name: str, default: float, what: str) -> ListParameter:
    return ListParameter(
        name, (default,), "ms", f"{what} of each port's conductance", above=0.0, together="ports", least=1
    )


PORTS = "- sum_k g_k (V - E_rev_k)"
aeif_cond_alpha_multisynapse = _multisynapse(
    "aeif_cond_alpha_multisynapse",
    described(
        "conductances as alpha functions on any number of ports",
        PORTS,
        ",   tau_syn d(dg)/dt = -dg,   dg/dt = dg - g / tau_syn",
    ),
    (_times("tau_syn", 2.0, "time constant"),),
)
aeif_cond_beta_multisynapse = _multisynapse(
    "aeif_cond_beta_multisynapse",
    described(
        "conductances as beta functions on any number of ports",
        PORTS,
        ",   tau_rise d(dg)/dt = -dg,   dg/dt = dg - g / tau_decay",
    ),
    (_times("tau_rise", 2.0, "rise time constant"), _times("tau_decay", 20.0, "decay time constant")),
)
