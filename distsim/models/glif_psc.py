"""glif_psc and glif_psc_double_alpha: alpha-shaped currents on any number of ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from distsim.models import glif
from distsim.models.base import Constant, Model, Receptor, State
from distsim.models.common import FLOOR, RESET_BELOW
from distsim.models.forms import Family, Form, ListParameter

_MEMBRANE = (
    Constant("decay_m", ("g", "C_m"), lambda p, dt: (-dt * p["g"] / p["C_m"]).exp()),
    Constant("rise_I", ("g", "C_m"), lambda p, dt: (1 - (-dt * p["g"] / p["C_m"]).exp()) / p["g"]),
)


@dataclass(frozen=True)
class _Alpha:
    """One alpha-shaped current: its states are dI_<name> and I_<name>; `amplitude` scales its peak."""

    name: str
    port: int
    tau: str
    amplitude: str | None = None

    @property
    def states(self) -> tuple[State, State]:
        return (
            State(f"dI_{self.name}", "pA/ms", f"slope of the current of port {self.port}", floor=FLOOR),
            State(f"I_{self.name}", "pA", f"current of port {self.port}", floor=FLOOR),
        )

    @property
    def constants(self) -> tuple[Constant, ...]:
        tau, amplitude = self.tau, self.amplitude

        def peak(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
            return Decimal(1).exp() / p[tau] * (p[amplitude] if amplitude else 1)

        def rate(p: Mapping[str, Decimal]) -> Decimal:
            """How much faster the current decays than the membrane (1/ms)."""
            return 1 / p[tau] - p["g"] / p["C_m"]

        def rise(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
            """V_m at the end of a step per current at its start."""
            faster, kept = rate(p), (-dt * p["g"] / p["C_m"]).exp() / p["C_m"]
            return kept * (dt if faster == 0 else (1 - (-faster * dt).exp()) / faster)

        def rise_slope(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
            """V_m at the end of a step per slope of the current at its start."""
            faster, kept = rate(p), (-dt * p["g"] / p["C_m"]).exp() / p["C_m"]
            if faster == 0:
                return kept * dt * dt / 2
            return kept * (1 - (-faster * dt).exp() * (1 + faster * dt)) / (faster * faster)

        return (
            Constant(f"kept_{self.name}", (tau,), lambda p, dt: (-dt / p[tau]).exp()),
            Constant(f"grown_{self.name}", (tau,), lambda p, dt: dt * (-dt / p[tau]).exp()),
            Constant(f"peak_{self.name}", (tau, amplitude) if amplitude else (tau,), peak),
            Constant(f"rise_{self.name}", (tau, "g", "C_m"), rise),
            Constant(f"rise_slope_{self.name}", (tau, "g", "C_m"), rise_slope),
        )

    @property
    def moved(self) -> str:
        return f"moved = moved + (rise_slope_{self.name} * dI_{self.name} + rise_{self.name} * I_{self.name});"

    @property
    def advanced(self) -> str:
        n = self.name
        return (
            f"I_{n} = grown_{n} * dI_{n} + kept_{n} * I_{n};\n"
            f"dI_{n} = dI_{n} * kept_{n} + peak_{n} * input_{self.port};"
        )


def _model(name: str, doc: str, form: Form, lists: tuple[ListParameter, ...], alphas: tuple[_Alpha, ...]) -> Model:
    ports = range(1, form.length(lists[0].name) + 1)
    total = " + ".join(f"I_{x.name}" for x in alphas)
    return Model(
        name=name,
        doc=doc,
        parameters=(*glif.parameters(form, "g"), *(x.element(k) for x in lists for k in ports)),
        ordered=RESET_BELOW,
        states=(
            *glif.states(form),
            State(
                "I_syn",
                "pA",
                "sum of the synaptic currents at the start of the last step outside t_ref",
                recordable=True,
            ),
            *(s for x in alphas for s in x.states),
        ),
        probes=glif.probes(form),
        receptors=tuple(Receptor(str(k), "pA") for k in ports),
        constants=(*glif.constants(form, "g"), *_MEMBRANE, *(c for x in alphas for c in x.constants)),
        accuracy="Exact propagators: no integration error.",
        update="\n".join(
            (
                glif.before_spike(form),
                "real moved = before * decay_m + (I_stim + asc) * rise_I;",
                *(x.moved for x in alphas),
                "V_m = moved;",
                f"I_syn = refractory ? I_syn : {total};",
                glif.spike(form),
                *(x.advanced for x in alphas),
            )
        ),
    )


_TAU = ListParameter("tau_syn", (2.0,), "ms", "rise time of the current of a port", above=0.0, least=1)
_DOUBLE = (
    ListParameter("tau_syn_fast", (2.0,), "ms", "rise time of the fast part", above=0.0, least=1, together="port"),
    ListParameter("tau_syn_slow", (6.0,), "ms", "rise time of the slow part", above=0.0, least=1, together="port"),
    ListParameter("amp_slow", (0.3,), "", "peak of the slow part per fast one", above=0.0, least=1, together="port"),
)


def _single(form: Form) -> Model:
    ports = range(1, form.length("tau_syn") + 1)
    alphas = tuple(_Alpha(f"syn_{k}", k, f"tau_syn_{k}") for k in ports)
    return _model("glif_psc", glif_psc.doc, form, (_TAU,), alphas)


def _double(form: Form) -> Model:
    ports = range(1, form.length("tau_syn_fast") + 1)
    fast = tuple(_Alpha(f"fast_{k}", k, f"tau_syn_fast_{k}") for k in ports)
    slow = tuple(_Alpha(f"slow_{k}", k, f"tau_syn_slow_{k}", f"amp_slow_{k}") for k in ports)
    return _model("glif_psc_double_alpha", glif_psc_double_alpha.doc, form, _DOUBLE, fast + slow)


glif_psc = Family(
    name="glif_psc",
    doc=f"""Generalised leaky integrate-and-fire neuron, alpha-shaped synaptic currents on any number of ports.

    C_m dV/dt = -g (V - E_L) + I_stim + I_syn + after-spike currents; port k has the rise time tau_syn[k].
    {glif.EQUATIONS}""",
    lists=(*glif.ASC, _TAU),
    flags=glif.FLAGS,
    make=_single,
    refuse=glif.refuse,
)
glif_psc_double_alpha = Family(
    name="glif_psc_double_alpha",
    doc=f"""Generalised leaky integrate-and-fire neuron, sums of two alpha-shaped currents on any number of ports.

    As glif_psc; a spike at port k evokes a fast alpha-shaped current and a slow one, whose peak is amp_slow[k] times as
    high. {glif.EQUATIONS}""",
    lists=(*glif.ASC, *_DOUBLE),
    flags=glif.FLAGS,
    make=_double,
    refuse=glif.refuse,
)
