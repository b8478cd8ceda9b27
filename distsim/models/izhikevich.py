"""Izhikevich's simple model of a spiking neuron."""

from __future__ import annotations

from distsim.models.base import Model, Parameter, Receptor, State
from distsim.models.common import I_e
from distsim.models.forms import Family, Flag, Form

# Jumps are weights of either sign, so both signs share a port's meaning: mV, or pA in the published numerics.
_EULER = """
        const real v = V_m;
        const real u = U_m;
        const real slope = (real)0.04 * v * v + (real)5 * v + (real)140 - u + (I_e + I_stim);
        const real moved = v + dt * slope + (input_excitatory + input_inhibitory);
        const real recovered = u + dt * a * (b * v - u);"""
_PUBLISHED = """
        const real current = I_e + I_stim + (input_excitatory + input_inhibitory);
        const real half = (real)0.5 * dt;
        const real u = U_m;
        const real between = V_m + half * ((real)0.04 * V_m * V_m + (real)5 * V_m + (real)140 - u + current);
        const real moved =
            between + half * ((real)0.04 * between * between + (real)5 * between + (real)140 - u + current);
        const real recovered = u + dt * a * (b * moved - u);"""


def _make(form: Form) -> Model:
    consistent = form.flag("consistent_integration")
    unit = "mV" if consistent else "pA"
    return Model(
        name="izhikevich",
        doc=izhikevich.doc,
        parameters=(
            Parameter("a", 0.02, "1/ms", "rate of recovery"),
            Parameter("b", 0.2, "", "sensitivity of recovery to V_m"),
            Parameter("c", -65.0, "mV", "potential after a spike"),
            Parameter("d", 8.0, "mV/ms", "added to U_m at a spike"),
            Parameter("V_th", 30.0, "mV", "spike threshold"),
            Parameter("V_min", -1e30, "mV", "lower bound of V_m; none by default"),
            I_e,
        ),
        states=(
            State("V_m", "mV", "membrane potential", -65.0, recordable=True),
            State("U_m", "mV/ms", "recovery", -13.0, recordable=True),
        ),
        receptors=(Receptor("excitatory", unit), Receptor("inhibitory", unit)),
        accuracy="NEST's own difference equations: no integration error beside NEST's.",
        update=f"""{_EULER if consistent else _PUBLISHED}
        const real bounded = larger(moved, V_min);
        const bool crossed = bounded >= V_th;
        V_m = crossed ? c_ : bounded;
        U_m = crossed ? recovered + d : recovered;
        spikes = crossed ? 1 : 0;
        """,
    )


izhikevich = Family(
    name="izhikevich",
    doc="""Izhikevich's neuron: a quadratic membrane and a linear recovery.

    dV/dt = 0.04 V^2 + 5 V + 140 - U + I_e,   dU/dt = a (b V - U);   at V >= V_th: V = c, U = U + d
    (Izhikevich 2003, doi:10.1109/TNN.2003.820440). A spike that arrives moves V_m at once by its weight (mV).
    With consistent_integration: forward Euler. Without: the numerics of the paper, two half steps of V, then U
    from the new V; there a weight is a current (pA) during one step, so its effect grows with dt (there 1 ms).""",
    lists=(),
    flags=(Flag("consistent_integration", True, "forward Euler with jumps of V_m; else the paper's numerics"),),
    make=_make,
)
