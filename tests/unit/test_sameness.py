"""One network, one result: on any number of ranks, in any layout, with buffers of any size, in pieces or whole."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import support
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from support import TINY

from distsim import (
    AllToAll,
    Experiment,
    Explicit,
    FixedIndegree,
    FixedTotalNumber,
    Lognormal,
    Network,
    Normal,
    NormalClipped,
    OneToOne,
    PairwiseBernoulli,
    RunSettings,
    Uniform,
)
from distsim.checks import MAX_DELAY_STEPS
from distsim.engine.simulation import Tuning

# ---- Random networks on random layouts


def weights(draw: st.DrawFn, items: int | None) -> Any:
    """A number, a distribution, or where the rule allows it a list."""
    kinds: list[Any] = [
        80.0, -120.0, 0.0, 0.3, Normal(20.0, 40.0), NormalClipped(60.0, 30.0), NormalClipped(-90.0, 30.0),
        Uniform(-50.0, 200.0), Lognormal(3.5, 0.8),
    ]  # fmt: skip
    if items:
        kinds.append([(-1) ** k * 10.0 * (k % 9) for k in range(items)])
    return draw(st.sampled_from(kinds))


def delays(draw: st.DrawFn, shortest: float, items: int | None) -> Any:
    kinds: list[Any] = [
        shortest, shortest + 0.1, shortest + 3.0, Uniform(shortest, shortest + 2.0),
        NormalClipped(shortest + 1.0, 0.7, min=shortest),
    ]  # fmt: skip
    if items:
        kinds.append([shortest + 0.1 * (k % 25) for k in range(items)])
    return draw(st.sampled_from(kinds))


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    network = Network("random")
    shortest = draw(st.sampled_from([0.1, 0.1, 0.4, 2.0]))  # ms: how long an interval may be
    neurons = []
    for k in range(draw(st.integers(1, 2))):
        params, initial = draw(
            st.sampled_from(
                [
                    ({"I_e": 900.0, "tau_syn_ex": 0.5}, {}),
                    ({"I_e": Uniform(300.0, 1500.0), "t_ref": 0.5}, {"V_m": Normal(-60.0, 5.0)}),
                    ({"I_e": 500.0, "tau_m": Uniform(5.0, 12.0), "t_ref": 0.0}, {"V_m": -60.0, "I_syn_ex": 300.0}),
                ]
            )
        )
        size = draw(st.integers(1, 40))
        neurons.append(network.population(f"N{k}", size, "iaf_psc_exp", params=params, initial=initial))
    others = []
    if draw(st.booleans()):
        trains = draw(st.lists(st.lists(st.integers(1, 250), max_size=30).map(sorted), min_size=1, max_size=4))
        times = [[t / 10 for t in train] for train in trains]
        others.append(network.population("G", len(trains), "spike_generator", spike_times=times))
    parrot = None
    if draw(st.booleans()):
        parrot = network.population("P", draw(st.integers(1, 6)), "parrot_neuron")
    for _ in range(draw(st.integers(0, 2))):
        network.poisson(draw(st.sampled_from(neurons)), draw(st.sampled_from([700.0, 16000.0])), 40.0)
    if parrot and draw(st.booleans()):
        network.poisson(parrot, 900.0, 1.0)
    if parrot:
        source = draw(st.sampled_from(neurons + others))
        network.project(source, parrot, AllToAll(), 1.0, delays(draw, shortest, None))
        others.append(parrot)
    for _ in range(draw(st.integers(1, 4))):
        side = draw(st.lists(st.sampled_from(neurons + others), min_size=1, max_size=2, unique_by=lambda p: p.name))
        onto = draw(st.lists(st.sampled_from(neurons), min_size=1, max_size=2, unique_by=lambda p: p.name))
        connect(draw, network, side, onto, shortest)
    recorded = neurons[0]
    network.record_states(
        recorded, ["V_m", "I_syn_ex"], draw(st.sampled_from([0.1, 1.3])), [0, recorded.size - 1][: recorded.size]
    )
    run = RunSettings(
        duration=draw(st.sampled_from([25.0, 31.7])), warmup=draw(st.sampled_from([0.0, 2.5])),
        seed=draw(st.integers(0, 2**32 - 1)), precision=draw(st.sampled_from(["single", "double"])),
    )  # fmt: skip
    return Experiment(network, run)


def connect(draw: st.DrawFn, network: Network, side: list[Any], onto: list[Any], shortest: float) -> None:
    """A projection with a rule that can hold between these sides."""
    n, m = sum(p.size for p in side), sum(p.size for p in onto)
    autapses = draw(st.booleans()) or n == 1
    rules: list[Any] = [
        AllToAll(autapses), FixedIndegree(draw(st.integers(0, 20)), autapses),
        FixedTotalNumber(draw(st.integers(0, 600)), autapses),
        PairwiseBernoulli(draw(st.sampled_from([0.0, 0.15, 1.0])), autapses), Explicit((), (), (), ()),
    ]  # fmt: skip
    if n == m:
        rules.append(OneToOne())
    rule = draw(st.sampled_from(rules))
    if isinstance(rule, Explicit):
        edges = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, m - 1)), max_size=40))
        sign = [(-1.0) ** k for k in range(len(edges))]
        rule = Explicit(
            tuple(a for a, _ in edges), tuple(b for _, b in edges), tuple(60.0 * s for s in sign),
            tuple(shortest + 0.1 * (k % 31) for k in range(len(edges))),
        )  # fmt: skip
        network.project(side, onto, rule)
        return
    items = None
    if isinstance(rule, OneToOne) or (isinstance(rule, AllToAll) and rule.autapses):
        items = m * (1 if isinstance(rule, OneToOne) else n)
    elif isinstance(rule, FixedIndegree):
        items = m * rule.indegree
    network.project(side, onto, rule, weights(draw, items), delays(draw, shortest, items))


@st.composite
def layouts(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "ranks": draw(st.integers(1, 5)),
        "run": {
            "exchange_interval": draw(st.sampled_from([None, None, 0.1, 0.3, 1.9])),
            "partition": draw(st.sampled_from(["round_robin", "block", "populations", "balanced"])),
            "routing": draw(st.sampled_from(["auto", "broadcast", "listed"])),
            "exchange": draw(st.sampled_from(["auto", "alltoall", "neighbourhood"])),
        },
        "stops": sorted(draw(st.lists(st.integers(1, 240), max_size=3))),
        "tuning": Tuning(
            block_bits=draw(st.sampled_from([1, 3, 5, 16])),
            cell_budget=draw(st.sampled_from([1, 700, 256 * 2**20])),
            due_room=draw(st.sampled_from([1, 5, 2048])),
            message_room=draw(st.sampled_from([1, 3, 62])),
            spike_room=draw(st.sampled_from([1, 7, 2**20])),
            state_room_bytes=draw(st.sampled_from([1, 100, 2**24])),
            max_interval=draw(st.integers(1, 64)),
            delivery=draw(st.sampled_from(["wheel", "ring", "ring"])),
        ),
    }


def run_laid_out(experiment: Experiment, layout: dict[str, Any]) -> support.Outcome:
    run_settings = dataclasses.replace(experiment.run, **layout["run"])
    return support.run(
        dataclasses.replace(experiment, run=run_settings), layout["ranks"], layout["tuning"], layout["stops"]
    )


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(experiments(), st.lists(layouts(), min_size=3, max_size=3))
def test_random_networks_do_not_depend_on_their_layout(experiment: Experiment, layouts: list[dict[str, Any]]) -> None:
    """Draws keyed by rank or local index, lost messages, late spikes, blocks or chunks that overlap."""
    with support.optimised("-O1"):
        reference = support.run(experiment)
        if experiment.run.warmup == 0.0:
            support.check_digest(reference)
        event("spikes" if reference.count else "silent")
        for layout in layouts:
            support.check_same(run_laid_out(experiment, layout), reference, str(layout))


# ---- Fixed networks


@pytest.mark.parametrize("precision", ["single", "double"])
def test_varied_network_on_one_to_five_ranks(precision: str) -> None:
    """The road of every rule, model and distribution at once, as fast as it is compiled for users."""
    experiment = support.varied(precision)
    reference = support.run(experiment)
    assert reference.count > 1000
    support.check_digest(reference)
    for ranks in (2, 3, 5):
        support.check_same(support.run(experiment, ranks), reference, f"{ranks} ranks")
        support.check_same(support.run(experiment, ranks, TINY), reference, f"{ranks} ranks, tiny buffers")


@pytest.mark.parametrize("precision", ["single", "double"])
def test_optimisation_does_not_change_a_bit(precision: str) -> None:
    """A vectorised loop whose lanes are not independent, a contracted product, an undefined shift."""
    experiment = support.varied(precision)
    reference = support.run(experiment)
    with support.optimised("-O0"):
        support.check_same(support.run(experiment), reference, "-O0 against -O3")


def test_more_ranks_than_neurons() -> None:
    """Empty groups, empty populations and ranks without any neuron."""
    network = Network()
    a = network.population("A", 2, "iaf_psc_exp", I_e=1000.0)
    b = network.population("B", 1, "parrot_neuron")
    network.project(a, a, AllToAll(autapses=False), 50.0, 0.3)
    network.project(a, b, AllToAll(), 1.0, 0.1)
    network.record_states(a, ["V_m"], 0.1)
    experiment = Experiment(network, RunSettings(duration=50.0))
    reference = support.run(experiment)
    assert reference.counts[0] > 0 and reference.counts[1] == reference.counts[0]
    for ranks in (2, 3, 5, 8):
        support.check_same(support.run(experiment, ranks), reference, f"{ranks} ranks")


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("delay", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("tuning", [None, TINY], ids=["default", "tiny"])
def test_every_neuron_fires_ten_steps_in_a_row(ranks: int, delay: float, tuning: Tuning | None) -> None:
    """The most spikes that a step can have: no buffer may drop one, whatever its first size."""
    experiment, expected = support.avalanche(delay=delay)
    found = support.run(experiment, ranks, tuning)
    support.check_same(found, expected, f"{ranks} ranks")
    assert found.interval == (round(delay * 10) if ranks > 1 else 64)


@pytest.mark.parametrize("ranks", [1, 2])
def test_longest_and_shortest_delays(ranks: int) -> None:
    """The wheel's first and last slot: an off-by-one of its size would deliver 3.3 s late or at once."""
    longest = MAX_DELAY_STEPS / 10
    network = Network()
    g = network.population("G", 2, "spike_generator", spike_times=[[0.1, 0.2], [0.3, 6.4]])
    p = network.population("P", 2, "parrot_neuron")
    network.project(g, p, Explicit((0, 0, 1, 1), (0, 1, 0, 1), (1.0,) * 4, (0.1, longest, longest - 0.1, longest)))
    experiment = Experiment(network, RunSettings(duration=longest + 10.0))
    found = support.run(experiment, ranks, Tuning(due_room=2, delivery="wheel"))
    far = MAX_DELAY_STEPS
    expected = [(2, 2), (3, 2), (1 + far, 3), (2 + far, 2), (2 + far, 3), (3 + far, 3), (63 + far, 2), (64 + far, 3)]
    assert [tuple(x) for x in found.spikes.tolist()] == expected


@pytest.mark.parametrize(("shortest", "interval"), [(0.1, 1), (2.0, 20), (6.4, 64), (9.0, 64)])
def test_interval_follows_the_shortest_delay(shortest: float, interval: int) -> None:
    """An interval one step too long delivers late; one too short costs speed. At most 64 steps."""
    network = Network()
    n = network.population("N", 30, "iaf_psc_exp", I_e=Uniform(500.0, 1500.0))
    network.project(n, n, FixedIndegree(6), Normal(0.0, 150.0), Uniform(shortest, shortest + 3.0))
    network.project(n, n, OneToOne(), 10.0, shortest)
    network.project(n, n, Explicit((0,), (29,), (1.0,), (shortest,)))  # of other ranks
    experiment = Experiment(network, RunSettings(duration=80.0))
    reference = support.run(experiment)
    assert reference.count > 100
    for ranks in (2, 3):
        for tuning in (None, TINY, dataclasses.replace(TINY, max_interval=7)):
            found = support.run(experiment, ranks, tuning)
            assert found.interval == min(interval, tuning.max_interval if tuning else 64)
            support.check_same(found, reference, f"{ranks} ranks, interval {found.interval}")


def test_delays_inside_a_rank_do_not_shorten_the_interval() -> None:
    """Only connections that cross ranks wait for the exchange."""
    network = Network()
    n = network.population("N", 8, "iaf_psc_exp", I_e=Uniform(500.0, 1500.0))
    network.project(n, n, Explicit((0, 4, 1), (2, 5, 5), (200.0,) * 3, (0.1, 0.2, 2.5)))
    experiment = Experiment(network, RunSettings(duration=50.0))
    found = support.run(experiment, 2)  # blocks: 0 to 3 on one rank, 4 to 7 on the other
    assert found.interval == 25
    support.check_same(found, support.run(experiment))
    asked = dataclasses.replace(experiment, run=dataclasses.replace(experiment.run, exchange_interval=0.7))
    assert support.run(asked, 2).interval == 7


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("stops", [[1], [8, 16, 17], [7, 9, 150, 151, 399], list(range(1, 120))])
def test_stop_and_continue(ranks: int, stops: list[int]) -> None:
    """Pieces that end within an interval, within a block of eight Poisson steps, or after every step."""
    experiment = support.varied(duration=40.0)
    reference = support.run(experiment)
    support.check_same(support.run(experiment, ranks, stops=stops), reference, f"stops after {stops}")


def test_seed_and_precision_matter() -> None:
    """The comparison itself: other draws change the digest, other rounding the states, or all here is vacuous."""
    reference = support.run(support.varied())
    assert support.run(support.varied(seed=12)).digest != reference.digest
    with pytest.raises(AssertionError):
        support.check_same(support.run(support.varied("double")), reference)
