"""Spikes and states of NEST 3.10, one by one: linear models in double precision have no excuse."""

from __future__ import annotations

import functools

import nest_data
import numpy as np
import pytest
import support

FLOOR = 1e-20  # of decaying states: models/iaf_psc_exp.py
NETWORKS = ("iaf_psc_exp", "iaf_psc_exp_diff_tau")
PROTOCOLS = [
    (entry, which)
    for entry in ("iaf_psc_exp", "iaf_psc_exp_tau_ex_ne_in")
    for which in ("const_current", "single_epsp", "train")
] + [("parrot_neuron", "single_epsp"), ("parrot_neuron", "train")]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("which", NETWORKS)
def test_small_network_has_every_spike(which: str, ranks: int) -> None:
    """A lost spike, a delay off by a step, a wrong sign, receptor or propagator: any shifts spikes within a second."""
    experiment, expected = nest_data.small_network(which)
    nest_data.check_spikes(support.run(experiment, ranks), expected)


@pytest.mark.parametrize("which", NETWORKS)
def test_small_network_with_tiny_buffers(which: str) -> None:
    """Growth of any buffer must not lose or move a spike."""
    experiment, expected = nest_data.small_network(which)
    nest_data.check_spikes(support.run(experiment, 3, support.TINY), expected)


@pytest.mark.parametrize(("entry", "which"), PROTOCOLS)
def test_single_neuron_in_double_precision(entry: str, which: str) -> None:
    """Order of update, threshold, reset, refractoriness and input within a step; 1e-9 mV leaves room for rounding only.

    Rounding: about eight operations a step with u = 2^-53 on numbers below 1e3, remembered for tau_m / dt =
    100 steps: 8 * 100 * 1.1e-16 * 1e3 = 1e-10; weights to 2^-48 of the largest are below that.
    """
    expected = nest_data.protocol(entry, which)
    found = support.run(expected.experiment)
    nest_data.check_spikes(found, expected.spikes)
    nest_data.check_states(expected, found, 1e-9)


@pytest.mark.parametrize(("entry", "which"), PROTOCOLS)
def test_single_neuron_in_single_precision(entry: str, which: str) -> None:
    """The float32 kernel and the 16-bit weights: within what their rounding can add up to, sample by sample."""
    expected = nest_data.protocol(entry, which, "single")
    found = support.run(expected.experiment)
    nest_data.check_spikes(found, expected.spikes)
    bounds = rounding_bounds(expected, nest_data.protocol(entry, which))
    assert all(b.max() < 0.1 for b in bounds.values() if b.size)  # not vacuous: mV and pA of tens and thousands
    nest_data.check_states(expected, found, bounds)


def rounding_bounds(single: nest_data.Protocol, double: nest_data.Protocol) -> dict[str, np.ndarray]:
    """How far float32 can be from NEST in each sample, carried forward step by step as the errors are.

    Each operation rounds by u = 2^-24 of its result, each coefficient is off by u. With |terms| the sum of the
    magnitudes of a step's terms, a current is off by decay * e + 3 u |I| (coefficient, product, sum) and half a
    quantum for each weight that arrives; V_m by decay * e + rise_ex e_ex + rise_in e_in + 6 u |terms| (parameter,
    coefficient, product and up to three sums). A sample adds E_L: u |V|; what falls below the declared floor
    becomes 0. A factor of 1.001 covers terms of second order. A spike resets V_m exactly, as long as it comes
    in the same step (which the test asserts).
    """
    names = list(single.states)
    if not names:
        return {}
    population = single.experiment.network["neuron"]
    p = population.params
    c_m, tau_m, e_l = p["C_m"], p["tau_m"], p["E_L"]
    decay_v = np.exp(-0.1 / tau_m)

    def rise(tau: float) -> float:
        return tau * tau_m / (c_m * (tau - tau_m)) * (np.exp(-0.1 / tau) - decay_v)

    unit = 2.0**-24
    largest = max((abs(w) for ws in single.weights.values() for w in ws), default=1.0)
    quantum = 2.0 ** (np.ceil(np.log2(largest)) - 15)
    steps = len(single.times)
    current = {"ex": 0.0, "in": 0.0}
    off = {"ex": 0.0, "in": 0.0}
    off_v, size_v = 0.0, 0.0
    bounds = {name: np.zeros(steps) for name in names}
    v = double.states["V_m"] - e_l
    for k in range(steps):
        step = k + 1
        terms = abs(size_v) * decay_v + abs(p["I_e"]) * tau_m / c_m * (1 - decay_v)
        off_v *= decay_v
        for side, tau in (("ex", p["tau_syn_ex"]), ("in", p["tau_syn_in"])):
            terms += abs(current[side]) * rise(tau)
            off_v += off[side] * rise(tau)
        off_v = 1.001 * (off_v + 6 * unit * terms)
        for side, tau in (("ex", p["tau_syn_ex"]), ("in", p["tau_syn_in"])):
            arriving = [abs(w) for w in single.weights.get(step, ()) if (w > 0) == (side == "ex")]
            decay = np.exp(-0.1 / tau)
            current[side] = current[side] * decay + sum(arriving)
            off[side] = 1.001 * (off[side] * decay + 3 * unit * current[side] + len(arriving) * quantum / 2)
        size_v = v[k]
        for name in names:
            bounds[name][k] = FLOOR + (off_v + unit * abs(v[k] + e_l) if name == "V_m" else off[name[-2:]])
    return bounds


@functools.cache
def relay_network() -> support.Relays:
    network = support.relays()
    assert network.scheduled > 1_200_000 and network.deliveries > 2_500_000  # so that one loss in a million shows
    return network


@pytest.mark.parametrize(("ranks", "tuning"), [(1, None), (3, None), (1, support.TINY), (3, support.TINY)])
def test_relays_emit_what_numpy_foretells(ranks: int, tuning: support.Tuning | None) -> None:
    """Millions of deliveries over all delays, with multiple spikes: one lost or misplaced in a million shows."""
    network = relay_network()
    support.check_relays(network, support.run(network.experiment, ranks, tuning))
