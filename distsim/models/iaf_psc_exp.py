"""Leaky integrate-and-fire neuron with exponentially decaying synaptic currents."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from distsim.distributions import support
from distsim.models.base import Constant, Model, Parameter
from distsim.models.common import (
    EXACT,
    I_e,
    I_syn,
    V_m,
    current_to_voltage,
    currents,
    decay,
    membrane,
    refractory_steps,
    rise_I_e,
    taus_syn,
    threshold,
)

HARD = Decimal("1e-10")  # a threshold that is narrower is one, as in NEST
REACHED = "V_m >= theta"
ESCAPED = """
            (V_m >= theta ? hard_threshold : 0) +
            (drawn < rho_step * bounded_exp((V_m - theta) * per_delta) ? 1 - hard_threshold : 0) > 0"""
# 48 bits in words of 32, which the host's vectors like better than one of 64.
DRAWN = """
        const Block words = random_words(0);
        const real cell = (real)(1.0 / 16777216.0);
        const real drawn = ((real)(int32)(words.w0 >> 8) + ((real)(int32)(words.w1 >> 8) + (real)0.5) * cell) * cell;"""


def _choose(params: Mapping[str, Any]) -> Model:
    return stochastic if support(params["delta"])[1] > HARD else iaf_psc_exp


iaf_psc_exp = Model(
    name="iaf_psc_exp",
    doc="""Leaky integrate-and-fire neuron, exponential synaptic currents, exact integration.

    C_m dV/dt = -(C_m / tau_m) (V - E_L) + I_syn_ex + I_syn_in + I_e,   tau_syn dI/dt = -I,
    threshold V_th, then V = V_reset for t_ref. With delta > 0 the threshold is soft: in each step a spike comes with
    the probability dt rho exp((V - V_th) / delta) instead, in the refractory time, too, as in NEST. Between grid points
    the linear system is propagated exactly (Rotter & Diesmann 1999, doi:10.1007/s004220050570); names and conventions
    as in NEST.""",
    parameters=(
        *membrane,
        *taus_syn(2.0, 2.0, "time constant of {side} currents"),
        I_e,
        Parameter("rho", 0.01, "Hz", "stochastic firing intensity at the threshold", at_least=0.0),
        Parameter("delta", 0.0, "mV", "width of the threshold region; 0 is a hard threshold", at_least=0.0),
    ),
    ordered=(("V_reset", "V_th", "the reset lies below the threshold"),),
    states=(
        V_m,
        *I_syn,
        refractory_steps,
    ),
    receptors=currents,
    constants=(
        decay("tau_m"),
        decay("tau_syn_ex"),
        decay("tau_syn_in"),
        rise_I_e,
        current_to_voltage("rise_I_syn_ex", "tau_syn_ex"),
        current_to_voltage("rise_I_syn_in", "tau_syn_in"),
        *threshold,
    ),
    # V_m is relative to E_L here. Input of this step reaches the currents at the step's end.
    update=f"""
        const bool refractory = refractory_steps > 0;
        const real moved =
            V_m * decay_tau_m + I_syn_ex * rise_I_syn_ex + I_syn_in * rise_I_syn_in + (I_e + I_stim) * rise_I_e;
        V_m = refractory ? V_m : moved;
        refractory_steps = refractory ? refractory_steps - 1 : 0;
        I_syn_ex = I_syn_ex * decay_tau_syn_ex + input_excitatory;
        I_syn_in = I_syn_in * decay_tau_syn_in + input_inhibitory;
        const bool crossed = {REACHED};
        V_m = crossed ? reset : V_m;
        refractory_steps = crossed ? refractory_count : refractory_steps;
        spikes = crossed ? 1 : 0;
    """,
    accuracy=EXACT,
    choose=_choose,
)


def with_escape(model: Model) -> Model:
    """The variant of `model` with a soft threshold."""
    return dataclasses.replace(
        model,
        variant="stochastic",
        constants=(
            *model.constants,
            Constant("hard_threshold", ("delta",), lambda p, dt: Decimal(int(p["delta"] <= HARD)), integer=True),
            Constant("per_delta", ("delta",), lambda p, dt: 1 / p["delta"] if p["delta"] > HARD else Decimal(0)),
            Constant("rho_step", ("rho",), lambda p, dt: p["rho"] * dt / 1000),
        ),
        update=DRAWN + model.update.replace(REACHED, ESCAPED),
    )


stochastic = with_escape(iaf_psc_exp)
