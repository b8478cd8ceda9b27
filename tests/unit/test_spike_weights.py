"""Weights of a generator's spikes: what several generators over connections of these weights would do, to the bit."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import support
from continuing import check_continued

from distsim import AllToAll, ConfigError, Experiment, Network, OneToOne, RunSettings
from distsim.backend import open_backend
from distsim.comm import Serial
from distsim.engine.readback import read_connections
from distsim.engine.simulation import Simulation
from distsim.models import MODELS
from distsim.models.weighing import numbers_at_once, row_scale

# Two generators; two weights in one step, one of them twice; a weight of 0; a generator without weights.
TIMES = [[1.0, 1.0, 1.0, 2.0, 5.0, 9.0], [1.5, 2.0, 2.0]]
WEIGHTS = [[1.0, 2.0, 2.0, 0.5, 0.0, 4.0], []]
DISTINCT = (0.0, 0.5, 1.0, 2.0, 4.0)


def experiment(weighted: bool = True) -> Experiment:
    """Stored and procedural rows of both signs onto neurons that send numbers of their own, and onto relays.

    Without `weighted` a generator stands for each weight. All products are whole numbers of quanta.
    """
    network = Network()
    tum = network.population("tum", 6, "iaf_tum_2000", I_e=[370.0, 380.0, 390.0, 400.0, 410.0, 420.0])
    relays = network.population("relays", 2, "parrot_neuron")
    network.project(tum, tum, AllToAll(), -64.0, 1.0, receptor="1")
    sources: list[tuple[Any, float]] = []
    if weighted:
        params: dict[str, Any] = {"spike_times": TIMES, "spike_weights": WEIGHTS}
        sources.append((network.population("G", 2, "spike_generator", params=params), 1.0))
    else:
        for w in DISTINCT:
            some = [
                [t for t, x in zip(times, weights or [1.0] * len(times), strict=True) if x == w]
                for times, weights in zip(TIMES, WEIGHTS, strict=True)
            ]
            sources.append((network.population(f"G{w}", 2, "spike_generator", spike_times=some), w))
    for g, w in sources:
        network.project(g, tum, AllToAll(), 512.0 * w, 1.0, storage="procedural", generate="by_source")
        network.project(g, tum, AllToAll(), -128.0 * w, 2.5)
        network.project(g, relays, OneToOne(), 1.0, 1.0)
    network.record_states(tum, ["V_m"], 0.1)
    network.record_spikes(("tum", "relays"))
    return Experiment(network, RunSettings(duration=30.0))


def test_a_weight_multiplies_the_weights_of_its_spikes() -> None:
    found, reference = support.run(experiment()), support.run(experiment(weighted=False))
    support.check_same(found, dataclasses.replace(reference, counts=found.counts, synapses=found.synapses))
    assert found.counts[:2] == reference.counts[:2] == (found.counts[0], 9)  # relays repeat spikes of every weight
    assert found.counts[0] > 10


@pytest.mark.parametrize(
    ("ranks", "tuning"), [(2, support.BY_RING), (3, support.TINY)], ids=["2 ranks, ring", "3 ranks, wheel"]
)
def test_one_result_however_spikes_travel(ranks: int, tuning: Any) -> None:
    support.check_same(support.run(experiment(), ranks, tuning), support.run(experiment()))


@pytest.mark.parametrize(("before", "after", "tuning"), [(1, 3, support.TINY), (2, 1, support.BY_RING)])
def test_weights_in_flight_are_kept(before: int, after: int, tuning: Any) -> None:
    """Between emission (2 ms) and arrivals (3 and 4.5 ms) of spikes that are not the largest."""
    check_continued(experiment(), support.run(experiment()), before, after, 25, tuning)


def test_connections_read_back_have_their_own_weights() -> None:
    simulation = Simulation(experiment(), Serial(), open_backend("cpu"))
    names = [p.name for p in simulation.experiment.network.populations]
    found = read_connections(simulation, names.index("G"), names.index("tum"))
    assert sorted(set(found.weight.tolist())) == [-128.0, 512.0] and len(found) == 24
    relayed = read_connections(simulation, names.index("G"), names.index("relays"))
    assert relayed.weight.tolist() == [1.0, 1.0]


def generator(weights: Any, times: Any = (1.0, 1.0, 2.0)) -> tuple[Any, Any]:
    network = Network()
    g = network.population("G", 2, "spike_generator", spike_times=times, spike_weights=weights)
    return g.model, g.params


def test_scales_are_powers_of_two_that_no_weight_exceeds() -> None:
    for weights, scale in (([1.0, 2.0, 0.0], 2.0), ([1.0, 3.0, 0.0], 4.0), ([0.1, 0.0, 0.0], 0.125), ([0.0] * 3, 1.0)):
        assert row_scale(*generator(weights)) == scale
    assert numbers_at_once(*generator([0.5, 2.0, 2.0]), 0.1) == 2
    assert numbers_at_once(*generator([[0.5, 0.5, 2.0], []]), 0.1) == 1
    assert generator([1.0, 1.0, 1.0])[0] is MODELS["spike_generator"]  # nothing is carried where nothing is multiplied


def test_one_scale_for_all_sources_of_a_projection() -> None:
    network = Network()
    weighted = network.population("W", 2, "spike_generator", spike_times=[1.0, 2.0], spike_weights=[1.0, 2.0])
    plain = network.population("plain", 2, "spike_generator", spike_times=[1.0])
    neurons = network.population("N", 2, "iaf_psc_exp")
    relays = network.population("P", 2, "parrot_neuron")
    tum = network.population("tum", 2, "iaf_tum_2000")
    network.project([plain, weighted], relays, AllToAll())
    with pytest.raises(ConfigError, match=r"source: found 'W with spike_weights beside others'; allowed: a projection"):
        network.project([plain, weighted], neurons, AllToAll())
    with pytest.raises(ConfigError, match=r"receptor: found '1'; allowed: on iaf_tum_2000, only for sources of its"):
        network.project(weighted, tum, AllToAll(), receptor="1")
    with pytest.raises(ConfigError, match=r"weight: found 9e\+29; allowed: at most 1e\+30 when multiplied by spike_w"):
        network.project(weighted, neurons, AllToAll(), 9e29)
