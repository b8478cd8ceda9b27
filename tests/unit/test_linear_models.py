"""What the linear models do beside their linear equations: plasticity, chance, clocks; and what they refuse."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import support
from linear_models import DT, everything, tum_network

from distsim import AllToAll, ConfigError, Experiment, Network, OneToOne, RunSettings


@pytest.fixture(autouse=True)
def _compiled_fast(request: pytest.FixtureRequest) -> Iterator[None]:
    """No result depends on it; but millions of draws want vectors."""
    with contextlib.nullcontext() if "escape" in request.node.name else support.optimised("-O1"):
        yield


# ---- Short-term plasticity


@pytest.mark.parametrize(("precision", "tolerance"), [("double", 5e-7), ("single", 2e-2)])
def test_spikes_carry_resources(precision: str, tolerance: float) -> None:
    """What arrives on receptor 1 is the weight times u x, found here by a matrix exponential between two spikes; what
    arrives elsewhere is the weight. Half a step of 2^-31 (double) or a quantum of 2^-9 (single) for each of 10 spikes
    in 3 ms. Equal tau_psc and tau_rec, no facilitation and full use are among the neurons."""
    experiment = tum_network(precision)
    found = support.run(experiment)
    params = experiment.network["before"].params
    steps = 5000
    arriving, plain = np.zeros(steps + 60), np.zeros(steps + 60)
    state = dict.fromkeys(range(5), (0.3, 0.1, 0.2, 0))
    for step, gid in found.spikes.tolist():
        if gid >= 5:
            continue
        x, y, u, last = state[gid]
        since = (step - last) * DT
        facilitation, psc, recovery, use = (
            v if isinstance(v, float) else v.values[gid]
            for v in (params[k] for k in ("tau_fac", "tau_psc", "tau_rec", "U"))
        )
        y, z = scipy.linalg.expm(since * np.array([[-1 / psc, 0.0], [1 / psc, -1 / recovery]])) @ [y, 1.0 - x - y]
        u = u * math.exp(-since / facilitation) if facilitation else 0.0
        u += use * (1.0 - u)
        sent = u * (1.0 - y - z)
        state[gid] = (1.0 - y - z - sent, y + sent, u, step)
        arriving[step + 15] += 128.0 * sent
        plain[step + 15] += 128.0
    assert len(found.spikes) > 150
    for name, arrived in (("after", arriving), ("plain", plain)):
        current = np.zeros(steps + 1)
        for t in range(1, steps + 1):
            current[t] = current[t - 1] * math.exp(-DT / 3.0) + arrived[t]
        assert np.abs(found.states[name][:, 0, 0] - current[1:]).max() < tolerance
    assert found.states["after"][:, :, 1].min() < -5.0


@pytest.mark.parametrize("tuning", [None, support.TINY])
@pytest.mark.parametrize("ranks", [2, 3])
def test_what_spikes_carry_crosses_ranks(ranks: int, tuning: Any) -> None:
    """Numbers travel behind their rows, also where a second collective brings the rest."""
    experiment = tum_network("single")
    support.check_same(support.run(experiment, ranks, tuning), support.run(experiment))


# ---- A soft threshold


@pytest.mark.parametrize("model", ["iaf_psc_exp", "iaf_tum_2000"])
def test_escape_rate(model: str) -> None:
    """V_m is the same in every step (tau_m is 1/1000 of a step), so spikes are independent with one probability:
    800,000 of 16 million, 4.9 standard deviations are 0.5 %; a bias of 1 % is 9 of them."""
    network = Network("escape")
    network.population("n", 4000, model, tau_m=1e-4, C_m=1.0, I_e=1e5, t_ref=0.0, delta=2.0, rho=824.36, V_th=-59.0)
    found = support.run(Experiment(network, RunSettings(400.0)))
    p = 824.36 * math.exp((-60.0 + 59.0) / 2.0) * DT * 1e-3
    n = 4000 * 4000
    assert abs(found.count - n * p) < 4.9 * math.sqrt(n * p * (1 - p))
    assert 0.049 < p < 0.051


def test_hard_neurons_beside_soft_ones() -> None:
    """delta = 0 in a population with others is the hard threshold; the refractory time holds V_m."""
    network = Network("mixed")
    network.population("n", 2, "iaf_psc_exp", I_e=600.0, delta=[0.0, 1.0], rho=1000.0)
    network.population("hard", 1, "iaf_psc_exp", I_e=600.0)
    found = support.run(Experiment(network, RunSettings(500.0)))
    trains = [[step for step, gid in found.spikes.tolist() if gid == g] for g in range(3)]
    assert trains[0] == trains[2] != trains[1] and len(trains[1]) > 5


# ---- Sources without a membrane


def test_ignore_and_fire_counts_steps() -> None:
    network = Network("clocks")
    clocks = network.population(
        "clocks", 4, "ignore_and_fire", phase=[1.0, 0.5, 0.25, 1e-9], rate=[100.0, 3.0, 30.0, 10000.0]
    )
    network.poisson(clocks, 5000.0, 1e6)
    network.project(clocks, clocks, AllToAll(), -1e6, 0.1)
    found = support.run(Experiment(network, RunSettings(1000.0)))
    # 1000 / 3 ms: 3334 steps, rounded up; its half 1667; 1000 / 30: 334; its quarter 84 (8.333 ms).
    for gid, (first, period) in enumerate(((100, 100), (1667, 3334), (84, 334), (0, 1))):
        steps = [step for step, g in found.spikes.tolist() if g == gid]
        assert steps == list(range(first + 1, 10001, period))


def test_a_parrot_does_not_repeat_port_1() -> None:
    network = Network("parrots")
    source = network.population("source", 1, "spike_generator", spike_times=[1.0, 2.0])
    parrot = network.population("parrot", 1, "parrot_neuron")
    network.project(source, parrot, OneToOne(), 1.0, 1.0)
    network.project(source, parrot, OneToOne(), 1.0, 5.0, receptor="1")
    found = support.run(Experiment(network, RunSettings(20.0)))
    assert [step for step, gid in found.spikes.tolist() if gid == 1] == [20, 30]


# ---- Sameness, and what is refused


@pytest.mark.parametrize("precision", ["single", "double"])
def test_any_number_of_ranks(precision: str) -> None:
    experiment = everything(precision, 60.0)
    reference = support.run(experiment)
    support.check_digest(reference)
    begins = [p.first_gid for p in experiment.network.populations]
    by_population = np.bincount(np.searchsorted(begins, reference.spikes[:, 1], "right"), minlength=12)[1:]
    assert all(by_population > 20), by_population
    support.check_same(support.run(experiment, 2, support.TINY), reference, "2 ranks")
    support.check_same(support.run(experiment, 3, support.BY_RING), reference, "3 ranks, by the ring")


@pytest.mark.parametrize(
    ("model", "params", "words"),
    [
        ("iaf_psc_alpha", {"tau_syn_ex": 0.0}, "tau_syn_ex.*> 0"),
        ("iaf_psc_alpha", {"V_reset": -50.0}, "V_reset.*less than V_th"),
        ("iaf_psc_delta", {"t_ref": -1.0}, "t_ref.*>= 0"),
        ("iaf_psc_delta", {"refractory_input": 1}, "refractory_input.*true or false"),
        ("iaf_psc_alpha_multisynapse", {"tau_syn": [2.0, -1.0]}, "tau_syn_2.*> 0"),
        ("mat2_psc_exp", {"tau_1": 0.0}, "tau_1.*> 0"),
        ("mat2_psc_exp", {"t_ref": 1e-4}, "t_ref.*at least 1 step"),
        ("amat2_psc_exp", {"tau_v": [5.0, 0.0]}, "tau_v.*> 0"),
        ("iaf_psc_exp", {"delta": -1.0}, "delta.*>= 0"),
        ("iaf_psc_exp", {"rho": -1.0}, "rho.*>= 0"),
        ("iaf_tum_2000", {"U": 1.5}, "U.*<= 1"),
        ("iaf_tum_2000", {"tau_fac": -1.0}, "tau_fac.*>= 0"),
        ("ignore_and_fire", {"phase": 1.1}, "phase.*<= 1"),
        ("ignore_and_fire", {"rate": 0.0}, "rate.*> 0"),
        ("ignore_and_fire", {"rate": 1e7}, "rate.*at least 1 step"),
        ("ignore_and_fire", {"rate": 1e-6}, "rate.*at most 16777216 steps"),
    ],
)
def test_parameters_out_of_range(model: str, params: dict[str, Any], words: str) -> None:
    network = Network("n")
    with pytest.raises(ConfigError, match=words):
        network.population("n", 2, model, params=params)
        support.run(Experiment(network, RunSettings(1.0)))


def test_scaled_ports_are_for_their_kind() -> None:
    network = Network("n")
    tum = network.population("tum", 3, "iaf_tum_2000")
    other = network.population("other", 3, "iaf_psc_exp")
    with pytest.raises(ConfigError, match=r"receptor.*between neurons of iaf_tum_2000: receptor 1"):
        network.project(tum, tum, AllToAll())
    with pytest.raises(ConfigError, match=r"receptor.*not iaf_psc_exp"):
        network.project([tum, other], tum, AllToAll(), receptor="1")
    with pytest.raises(ConfigError, match=r"receptor.*no spike has to scale"):
        network.poisson(tum, 100.0, 1.0, receptor="1")
    with pytest.raises(ConfigError, match=r"x.*<= 1"):
        network.population("wrong", 3, "iaf_tum_2000", initial={"x": 1.5})
    network.project(tum, other, AllToAll())
    network.project(other, tum, AllToAll())
