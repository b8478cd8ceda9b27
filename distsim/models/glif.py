"""Generalised leaky integrate-and-fire neurons of the Allen Institute, in five variants chosen by three switches.

What the three models share: after-spike currents, the two parts of the threshold, and what a spike does to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from distsim.models.base import Constant, Parameter, Probe, State
from distsim.models.common import FLOOR, V_m, difference, inverse, refractory_count, refractory_steps
from distsim.models.forms import Flag, Form, ListParameter

EQUATIONS = """spike_dependent_threshold (R): V after a spike depends on V before it, and each spike raises the
    threshold by th_spike_add, which decays; after_spike_currents (ASC): each spike adds asc_amps to currents that decay
    at asc_decay; adapting_threshold (A): the threshold follows V, d theta_v/dt = th_voltage_index (V - E_L) -
    th_voltage_decay theta_v. The variants are LIF (none), LIF_R, LIF_ASC, LIF_R_ASC and LIF_R_ASC_A; other combinations
    are refused (Teeter et al. 2018, doi:10.1038/s41467-017-02717-4). Currents and thresholds stand still during t_ref,
    as in NEST; asc_init is what the after-spike currents start from."""

FLAGS = (
    Flag("spike_dependent_threshold", False, "R: reset rules, and a threshold that spikes raise"),
    Flag("after_spike_currents", False, "ASC: currents that spikes evoke"),
    Flag("adapting_threshold", False, "A: a threshold that follows V_m"),
)
ASC = (
    ListParameter("asc_init", (0.0, 0.0), "pA", "initial after-spike current", together="asc"),
    ListParameter("asc_decay", (0.003, 0.1), "1/ms", "decay rate of an after-spike current", above=0.0, together="asc"),
    ListParameter("asc_amps", (-9.18, -198.94), "pA", "what a spike adds to it", together="asc"),
    ListParameter(
        "asc_r", (1.0, 1.0), "", "fraction of it that a spike leaves", at_least=0.0, at_most=1.0, together="asc"
    ),
)
_VARIANTS = {(False, False, False), (True, False, False), (False, True, False), (True, True, False), (True, True, True)}


def variant(form: Form) -> tuple[bool, bool, bool]:
    """The three switches: R, ASC, A."""
    return (
        form.flag("spike_dependent_threshold"), form.flag("after_spike_currents"), form.flag("adapting_threshold"),
    )  # fmt: skip


def refuse(form: Form) -> str | None:
    """Why this combination of switches is none of the five variants, or None."""
    if variant(form) in _VARIANTS:
        return None
    names = ", ".join(f"{f.name} {str(on).lower()}" for f, on in zip(FLAGS, variant(form), strict=True))
    return (
        f"found {names}; allowed: none of the three, spike_dependent_threshold, after_spike_currents, both of these, "
        "or all three (variants LIF, LIF_R, LIF_ASC, LIF_R_ASC, LIF_R_ASC_A)"
    )


def currents(form: Form) -> range:
    """Numbers of the after-spike currents, from 1; none without ASC."""
    return range(1, form.length("asc_decay") + 1 if form.flag("after_spike_currents") else 1)


def parameters(form: Form, leak: str) -> tuple[Parameter, ...]:
    """What all three models have; `leak` is the name of the membrane conductance."""
    return (
        Parameter("V_th", -51.68, "mV", "resting threshold"),
        Parameter(leak, 9.43, "nS", "membrane conductance", above=0.0),
        Parameter("E_L", -78.85, "mV", "resting potential"),
        Parameter("C_m", 58.72, "pF", "membrane capacitance", above=0.0),
        Parameter("t_ref", 3.75, "ms", "refractory time", above=0.0),
        Parameter("V_reset", -78.85, "mV", "potential after a spike (without R)"),
        Parameter("th_spike_add", 0.37, "mV", "what a spike adds to the threshold"),
        Parameter("th_spike_decay", 0.009, "1/ms", "decay rate of what spikes added", above=0.0),
        Parameter(
            "voltage_reset_fraction",
            0.2,
            "",
            "fraction of V_m - E_L that a spike leaves (R)",
            at_least=0.0,
            at_most=1.0,
        ),
        Parameter("voltage_reset_add", 18.51, "mV", "what a spike adds to it (R)"),
        Parameter("th_voltage_index", 0.005, "1/ms", "how fast the threshold follows V_m"),
        Parameter("th_voltage_decay", 0.09, "1/ms", "decay rate of the threshold's part that follows V_m", above=0.0),
        *(x.element(k) for x in ASC for k in range(1, form.length(x.name) + 1)),
    )


def states(form: Form) -> tuple[State, ...]:
    """V_m relative to E_L, the parts of the threshold and the after-spike currents that the variant has."""
    spiking, current, voltage = variant(form)
    found = [V_m]
    if spiking:
        found.append(State("threshold_spike", "mV", "threshold: part of spikes", floor=FLOOR, recordable=True))
    if voltage:
        found.append(State("threshold_voltage", "mV", "threshold: part of V_m", floor=FLOOR, recordable=True))
    if current:
        found += [
            State(f"ASCurrents_{k}", "pA", f"after-spike current {k}", f"asc_init_{k}", floor=FLOOR, recordable=True)
            for k in currents(form)
        ]
        found.append(
            State(
                "ASCurrents_sum",
                "pA",
                "mean of all after-spike currents in the last step",
                "asc_start",
                recordable=True,
            )
        )
    return (*found, refractory_steps)


def probes(form: Form) -> tuple[Probe, ...]:
    """The threshold as a whole, the current, and what the variant does not have."""
    spiking, current, voltage = variant(form)
    return (
        Probe("threshold", "mV", "threshold", f"V_th{_threshold(form)}"),
        Probe("I", "pA", "current inputs during the step", "I_stim"),
        *(() if spiking else (Probe("threshold_spike", "mV", "none in this variant", "0"),)),
        *(() if voltage else (Probe("threshold_voltage", "mV", "none in this variant", "0"),)),
        *(() if current else (Probe("ASCurrents_sum", "pA", "none in this variant", "0"),)),
    )


def constants(form: Form, leak: str) -> tuple[Constant, ...]:
    """Propagators of currents and thresholds; only those that the variant uses reach its kernel."""

    def decay(name: str, rate: str) -> Constant:
        return Constant(name, (rate,), lambda p, dt: (-p[rate] * dt).exp())

    def follow(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
        """What V - E_L - (its fixed point) at the start of a step adds to the threshold by its end."""
        leaving, forgetting = p[leak] / p["C_m"], p["th_voltage_decay"]
        if leaving == forgetting:
            return p["th_voltage_index"] * dt * (-leaving * dt).exp()
        return p["th_voltage_index"] * ((-leaving * dt).exp() - (-forgetting * dt).exp()) / (forgetting - leaving)

    def follow_rest(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
        rate = p["th_voltage_decay"]
        return p["th_voltage_index"] / rate * (1 - (-rate * dt).exp())

    found = [
        refractory_count,
        difference("theta", "V_th", "E_L"),
        difference("reset", "V_reset", "E_L"),
        inverse("per_g", leak),
        decay("spike_kept", "th_spike_decay"),
        Constant(
            "spike_kept_ref", ("th_spike_decay", "t_ref"), lambda p, dt: (-p["th_spike_decay"] * p["t_ref"]).exp()
        ),
        decay("voltage_kept", "th_voltage_decay"),
        Constant("voltage_follow", ("th_voltage_index", "th_voltage_decay", leak, "C_m"), follow),
        Constant("voltage_follow_rest", ("th_voltage_index", "th_voltage_decay"), follow_rest),
    ]
    for k in currents(form):
        found += _after_spike(k)
    if form.flag("after_spike_currents"):
        names = tuple(f"asc_init_{k}" for k in currents(form))
        found.append(Constant("asc_start", names, lambda p, dt: sum((p[n] for n in names), Decimal(0))))
    return tuple(found)


def _after_spike(k: int) -> tuple[Constant, ...]:
    """What is left of after-spike current k after a step, its mean in the step, what a spike leaves of it."""
    rate, fraction = f"asc_decay_{k}", f"asc_r_{k}"
    return (
        Constant(f"asc_kept_{k}", (rate,), lambda p, dt: (-p[rate] * dt).exp()),
        Constant(f"asc_mean_{k}", (rate,), lambda p, dt: (1 - (-p[rate] * dt).exp()) / (p[rate] * dt)),
        Constant(
            f"asc_kept_ref_{k}", (rate, fraction, "t_ref"), lambda p, dt: p[fraction] * (-p[rate] * p["t_ref"]).exp()
        ),
    )


def _threshold(form: Form) -> str:
    spiking, _, voltage = variant(form)
    return " + threshold_spike" * spiking + " + threshold_voltage" * voltage


def before_spike(form: Form) -> str:
    """C++: thresholds and currents of a step outside t_ref; `asc` is the step's mean current, `before` the old V_m."""
    spiking, _, voltage = variant(form)
    lines = ["const real before = V_m;", "const bool refractory = refractory_steps > 0;"]
    if spiking:
        lines.append("threshold_spike = refractory ? threshold_spike : threshold_spike * spike_kept;")
    lines.append("real asc = (real)0;")
    for k in currents(form):
        lines += [
            f"asc = asc + asc_mean_{k} * ASCurrents_{k};",
            f"ASCurrents_{k} = refractory ? ASCurrents_{k} : ASCurrents_{k} * asc_kept_{k};",
        ]
    if voltage:
        lines += [
            "const real rest = (I_stim + asc) * per_g;",
            "const real followed = threshold_voltage * voltage_kept + (before - rest) * voltage_follow + "
            "rest * voltage_follow_rest;",
            "threshold_voltage = refractory ? threshold_voltage : followed;",
        ]
    return "\n".join(lines)


def spike(form: Form) -> str:
    """C++: threshold and what a spike changes; V_m stands still during t_ref."""
    spiking, current, _ = variant(form)
    lines = [
        "V_m = refractory ? before : V_m;",
        f"const bool crossed = V_m > theta{_threshold(form)} && !refractory;",
        "spikes = crossed ? 1 : 0;",
        "const int32 left = refractory ? refractory_steps - 1 : 0;",
        "refractory_steps = crossed ? refractory_count : left;",
    ]
    if current:
        lines.append("ASCurrents_sum = refractory ? ASCurrents_sum : asc;")
    for k in currents(form):
        after = f"asc_amps_{k} + ASCurrents_{k} * asc_kept_ref_{k}"
        lines.append(f"ASCurrents_{k} = crossed ? {after} : ASCurrents_{k};")
    if spiking:
        lines += [
            "V_m = crossed ? voltage_reset_fraction * before + voltage_reset_add : V_m;",
            "threshold_spike = crossed ? threshold_spike * spike_kept_ref + th_spike_add : threshold_spike;",
        ]
    else:
        lines.append("V_m = crossed ? reset : V_m;")
    return "\n".join(lines)
