"""pp_psc_delta: a point process neuron whose potential jumps at each spike that arrives."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any

from distsim.distributions import as_value, support
from distsim.models.base import Constant, Model, Parameter, Probe, Receptor, State
from distsim.models.common import FLOOR, I_e, decay
from distsim.models.forms import Family, Flag, Form, ListParameter
from distsim.models.gif import DRAW

_MAX_STEPS = 2**24 - 1  # whole numbers that float32 has


def _steps(time: Decimal, dt: Decimal) -> Decimal:
    """Whole steps as NEST counts them: to the microsecond, then up."""
    return (time.quantize(Decimal("0.001"), rounding=ROUND_HALF_UP) / dt).quantize(Decimal(1), rounding=ROUND_CEILING)


def _dead_time(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
    """None, or at least a step."""
    return max(p["dead_time"], dt) if p["dead_time"] else Decimal(0)


def _may_repeat(values: Mapping[str, Any]) -> bool:
    """Whether some neuron has no dead time, and so may spike more than once a step."""
    try:
        return support(as_value(values.get("dead_time", 1.0)))[0] <= 0.0
    except (TypeError, ValueError):
        return False  # refused where the parameter is checked


_LISTS = (
    ListParameter("tau_sfa", (), "ms", "time constant of a part of the adaptation", above=0.0, together="sfa"),
    ListParameter("q_sfa", (), "mV", "what a spike adds to it", together="sfa"),
)
# Poisson by inversion: the tail beyond n, in double precision, as long as the fraction lies in it.
_COUNT = """
        if (dead_time <= (real)0 && happened) {
            double mass = bounded_exp(-(double)expected), tail = -bounded_expm1(-(double)expected);
            count = 0;
            while ((double)fraction < tail && count < 33) {
                count += 1;
                mass = mass * (double)expected / (double)count;
                tail = tail - mass;
            }
            count = count > 0 ? count : 1;
        }"""
_DEAD = """
        int32 dead = 0;
        if (happened) {  // a sum of exponentially distributed times, in steps; up to the next step
            double sum = 0.0;
            for (int32 k = 0; k < shape; ++k) {
                const Block more = random_words(1 + k);
                sum = sum - logarithm(uniform(more.w0, more.w1));
            }
            const double steps = sum * (double)dead_scale < 2.0e9 ? sum * (double)dead_scale : 2.0e9;
            dead = (int32)steps;
            dead = (double)dead < steps ? dead + 1 : dead;
        }"""


def _make(form: Form) -> Model:
    parts = range(1, form.length("tau_sfa") + 1)
    repeated, random = form.flag("repeated"), form.flag("dead_time_random")
    decayed = "".join(f"\n        sfa_{k} = sfa_{k} * decay_tau_sfa_{k};" for k in parts)
    jumped = "".join(f"\n        sfa_{k} = sfa_{k} + q_sfa_{k} * (real)spikes;" for k in parts)
    return Model(
        name="pp_psc_delta",
        doc=pp_psc_delta.doc,
        parameters=(
            I_e,
            Parameter("tau_m", 10.0, "ms", "membrane time constant", above=0.0),
            Parameter("C_m", 250.0, "pF", "membrane capacitance", above=0.0),
            Parameter(
                "dead_time", 1.0, "ms", "dead time after a spike, or its mean; 0: none", at_least=0.0,
                above=None if repeated else 0.0,
            ),
            Parameter(
                "dead_time_shape", 1.0, "", "shape of the gamma distribution of random dead times", at_least=1.0,
                at_most=1000.0, whole=True,
            ),
            Parameter("c_1", 0.0, "Hz/mV", "slope of the linear part of the rate"),
            Parameter("c_2", 1.238, "Hz", "prefactor of its exponential part"),
            Parameter("c_3", 0.25, "1/mV", "slope of the exponent", at_least=0.0),
            Parameter("t_ref_remaining", 0.0, "ms", "dead time left at the start", at_least=0.0),
            *(x.element(k) for x in _LISTS for k in parts),
        ),
        states=(
            State("V_m", "mV", "membrane potential, relative to rest", floor=FLOOR, recordable=True),
            *(State(f"sfa_{k}", "mV", "part of the adaptation", floor=FLOOR, recordable=True) for k in parts),
            State("dead_steps", "steps", "steps until the neuron may spike again", "dead_at_start", kind="int32"),
        ),
        probes=(Probe("E_sfa", "mV", "sum of the adaptation during the step", "adaptation"),),
        receptors=(Receptor("excitatory", "mV"), Receptor("inhibitory", "mV")),
        constants=(
            decay("tau_m"),
            Constant("rise_I", ("tau_m", "C_m"), lambda p, dt: p["tau_m"] / p["C_m"] * (1 - (-dt / p["tau_m"]).exp())),
            *(decay(f"tau_sfa_{k}") for k in parts),
            Constant(
                "dead_count", ("dead_time",), lambda p, dt: _steps(_dead_time(p, dt), dt), integer=True,
                at_most=_MAX_STEPS,
            ),
            Constant(
                "dead_at_start", ("t_ref_remaining",), lambda p, dt: _steps(p["t_ref_remaining"], dt),
                at_most=_MAX_STEPS,
            ),
            Constant("shape", ("dead_time_shape",), lambda p, dt: p["dead_time_shape"], integer=True),
            Constant(
                "dead_scale", ("dead_time", "dead_time_shape"),
                lambda p, dt: _dead_time(p, dt) / p["dead_time_shape"] / dt,
            ),
        ),
        max_multiplicity=32 if repeated else 1,
        accuracy="Exact propagators, and the probability of a spike as stated: no integration error.",
        update=f"""
        V_m = V_m * decay_tau_m + (I_e + I_stim) * rise_I + (input_excitatory + input_inhibitory);{decayed}
        const real adaptation = (real)0{"".join(f" + sfa_{k}" for k in parts)};
        const real effective = V_m - adaptation;
        const real rate = c_1 * effective + c_2 * bounded_exp(c_3 * effective);
        const real expected = larger(rate, (real)0) * dt * (real)0.001;{DRAW}
        const bool happened = fraction < -bounded_expm1(-expected) && dead_steps == 0;
        int32 count = 1;{_COUNT if repeated else ""}
        spikes = happened ? count : 0;{_DEAD if random else ""}
        const int32 left = dead_steps > 0 ? dead_steps - 1 : 0;
        dead_steps = happened ? {"dead" if random else "dead_count"} : left;{jumped}
        {"V_m = happened ? (real)0 : V_m;" if form.flag("with_reset") else ""}
        """,
    )  # fmt: skip


pp_psc_delta = Family(
    name="pp_psc_delta",
    doc="""Point process neuron with delta-shaped synaptic input, a dead time and an adaptive threshold.

    tau_m dV/dt = -V + tau_m I_e / C_m, and jumps of V by the weights; V is relative to rest. Outside its dead time the
    neuron spikes at the rate c_1 V' + c_2 exp(c_3 V') where that is positive: V' = V - E_sfa, and a spike adds q_sfa[k]
    to a part of E_sfa that decays with tau_sfa[k]; with_reset, V = 0 after it. With a dead time a step has at most one
    spike, with the probability 1 - exp(-rate dt). Without, their number is Poisson distributed, at most 32 (more stop
    the run). A random dead time is gamma distributed with the mean dead_time (Jolivet et al. 2006,
    doi:10.1007/s10827-006-7074-5; Pozzorini et al. 2013, doi:10.1038/nn.3431; Deger et al. 2014,
    doi:10.1103/PhysRevE.90.062704).""",
    lists=_LISTS,
    flags=(
        Flag("dead_time_random", False, "dead times are drawn from a gamma distribution"),
        Flag("with_reset", True, "V_m is set to 0 after a spike"),
        Flag("repeated", False, "some neuron has no dead time", derived=_may_repeat),
    ),
    make=_make,
)
