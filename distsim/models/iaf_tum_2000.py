"""Leaky integrate-and-fire neuron with short-term plasticity of its own output."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from distsim.distributions import support
from distsim.models.base import Constant, Model, Parameter, Receptor, State
from distsim.models.common import EXACT
from distsim.models.iaf_psc_exp import HARD, iaf_psc_exp, with_escape


def _choose(params: Mapping[str, Any]) -> Model:
    return _stochastic if support(params["delta"])[1] > HARD else iaf_tum_2000


def _same(p: Mapping[str, Decimal]) -> bool:
    return abs(p["tau_psc"] - p["tau_rec"]) <= p["tau_rec"] * Decimal("1e-7")


def _share(name: str, tau: str) -> Constant:
    """tau / (tau_psc - tau_rec), and 0 where they are the same."""
    return Constant(
        name,
        ("tau_psc", "tau_rec"),
        lambda p, dt: Decimal(0) if _same(p) else p[tau] / (p["tau_psc"] - p["tau_rec"]),
    )


def _rate(name: str, tau: str) -> Constant:
    return Constant(name, (tau,), lambda p, dt: dt / p[tau] if p[tau] else Decimal(0))


iaf_tum_2000 = dataclasses.replace(
    iaf_psc_exp,
    name="iaf_tum_2000",
    doc="""Leaky integrate-and-fire neuron, exponential synaptic currents, short-term plasticity of its output.

    The neuron of iaf_psc_exp, whose spikes carry the share u x of its synapses' resources: dx/dt = z / tau_rec,
    dy/dt = -y / tau_psc, du/dt = -u / tau_fac, z = 1 - x - y; at a spike first u = u + U (1 - u), then y = y + u x and
    x = x - u x (Tsodyks, Uziel & Markram 2000, doi:10.1523/JNEUROSCI.20-01-j0003.2000). A connection between two such
    neurons names receptor "1", on which the weight is multiplied by that share (known to 2^-31); other targets take the
    spike as any. x, y and u stand for their values at the last spike, x = 0 at the start; names and conventions as in
    NEST.""",
    parameters=(
        *iaf_psc_exp.parameters,
        Parameter("tau_fac", 1000.0, "ms", "time constant of facilitation; 0 is none", at_least=0.0),
        Parameter("tau_psc", 2.0, "ms", "time constant of active resources", above=0.0),
        Parameter("tau_rec", 400.0, "ms", "time constant of recovery", above=0.0),
        Parameter("U", 0.5, "1", "share of resources that a spike uses", at_least=0.0, at_most=1.0),
    ),
    states=(
        *iaf_psc_exp.states,
        State("x", "1", "share of resources that is recovered", recordable=True, at_least=0.0, at_most=1.0),
        State("y", "1", "share of resources that is active", recordable=True, at_least=0.0, at_most=1.0),
        State("u", "1", "share that a spike uses", recordable=True, at_least=0.0, at_most=1.0),
        State("last_spike", "steps", "step of the last spike", kind="int32"),
    ),
    receptors=(
        *iaf_psc_exp.receptors,
        Receptor("1_excitatory", "pA", by_name=True, scaled=True),
        Receptor("1_inhibitory", "pA", by_name=True, scaled=True),
    ),
    constants=(
        *iaf_psc_exp.constants,
        _rate("per_fac", "tau_fac"),
        _rate("per_psc", "tau_psc"),
        _rate("per_rec", "tau_rec"),
        _share("share_psc", "tau_psc"),
        _share("share_rec", "tau_rec"),
    ),
    update=iaf_psc_exp.update.replace("input_excitatory", "(input_excitatory + input_1_excitatory)").replace(
        "input_inhibitory", "(input_inhibitory + input_1_inhibitory)"
    ),
    on_spike="""
        const real since = (real)(int32)(step - last_spike);
        const real facilitated = per_fac > (real)0 ? bounded_exp(-since * per_fac) : (real)0;
        const real active = bounded_exp(-since * per_psc);
        const real recovered = -bounded_expm1(-since * per_rec);  // of z
        const real apart = ((real)1 - active) * share_psc - recovered * share_rec;  // of y
        const real together = (real)1 - active * ((real)1 + since * per_psc);
        const real z = (real)1 - x - y;
        const real before = x + (share_psc == (real)0 ? together : apart) * y + recovered * z;
        const real using_ = u * facilitated;
        u = using_ + U * ((real)1 - using_);
        sent = u * before;
        x = before - sent;
        y = y * active + sent;
        last_spike = (int32)step;
    """,
    accuracy=EXACT,
    choose=_choose,
)

_stochastic = with_escape(iaf_tum_2000)
