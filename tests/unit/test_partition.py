"""Partitions: every neuron on one rank, sequences that agree with owners, and one result whatever the partition."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import support
from readback import connectivity

import distsim
from distsim import ConfigError, Experiment, FixedIndegree, FixedTotalNumber, Network, RunSettings
from distsim.build.costs import expected_synapses, population_costs, relative_update
from distsim.build.partition import Layout, WholePopulations, pack, partition_of
from distsim.comm import Threads
from distsim.config import load_experiment
from distsim.config.yaml_writer import dump_document
from distsim.models import MODELS
from distsim.published import microcircuit
from distsim.selection import shared_neurons

NAMED = ("round_robin", "block", "populations")
SIZES = (1, 7, 64, 2, 1000, 3)


def sized(sizes: tuple[int, ...] = SIZES) -> Network:
    """Populations of two models in turn, so that a group's parts are no neighbours."""
    network = Network("sized")
    for i, size in enumerate(sizes):
        network.population(f"P{i}", size, "iaf_psc_exp" if i % 2 else "parrot_neuron")
    return network


def partitioned(experiment: Experiment, partition: Any) -> Experiment:
    return dataclasses.replace(experiment, run=dataclasses.replace(experiment.run, partition=partition))


def scattered(network: Network, n_ranks: int) -> dict[str, int]:
    """Every population on a rank, from the last one down."""
    return {p.name: (n_ranks - 1 - i) % n_ranks for i, p in enumerate(network.populations)}


@pytest.fixture(autouse=True, scope="module")
def quick_compilation() -> Iterator[None]:
    with support.optimised("-O1"):
        yield


# ---- Arithmetic


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 4, 7, 70])
@pytest.mark.parametrize("asked", [*NAMED, "balanced", "mapping"])
def test_sequences_owners_and_local_indices_agree(asked: str, n_ranks: int) -> None:
    """Each gid has one owner; there, the parts count it, in ascending local order, at its local index."""
    network = sized()
    partition: Any = scattered(network, n_ranks) if asked == "mapping" else asked
    experiment = Experiment(network, RunSettings(1.0, partition=partition))
    owner = np.full(network.size, -1)
    for rank in range(n_ranks):
        layout = Layout.of(experiment, rank, n_ranks)
        local = np.full(layout.n_local, -1)
        for group in layout.groups:
            for part in group.parts:
                mine = part.first_gid + part.stride * np.arange(part.count)
                assert np.array_equal(mine, part.population.first_gid + part.positions())
                assert part.count == 0 or part.positions()[-1] < part.population.size
                assert (owner[mine] == -1).all(), "two ranks own a neuron"
                owner[mine] = rank
                index = layout.local_index(mine)
                assert np.array_equal(index, group.begin + part.begin + np.arange(part.count))
                assert (local[index] == -1).all(), "two neurons share a place"
                local[index] = mine
        assert (local >= 0).all()
        assert np.array_equal(np.flatnonzero(layout.owned(np.arange(network.size))), np.sort(local))
    assert np.array_equal(layout.owner(np.arange(network.size)), owner)


@pytest.mark.parametrize("asked", ["round_robin", "block"])
def test_every_population_is_spread_evenly(asked: Any) -> None:
    for n_ranks in (1, 2, 3, 4, 7, 70):
        partition = partition_of(Experiment(sized(), RunSettings(1.0, partition=asked)), n_ranks)
        for i, size in enumerate(SIZES):
            counts = [partition.sequence(i, rank)[2] for rank in range(n_ranks)]
            assert sum(counts) == size and max(counts) - min(counts) <= 1


@pytest.mark.parametrize("asked", ["round_robin", "block", "balanced"])
def test_arithmetic_holds_near_the_limit_of_ids(asked: Any) -> None:
    """2^40 neurons on 16,384 ranks: no overflow, no float in between."""
    network = Network("huge")
    network.population("A", 2**39 - 5, "parrot_neuron")
    network.population("B", 2**39 + 4, "parrot_neuron")
    n_ranks = 16384
    partition = partition_of(Experiment(network, RunSettings(1.0, partition=asked)), n_ranks)
    for i, rank in itertools.product((0, 1), (0, 1, 9999, n_ranks - 1)):
        first, stride, count = partition.sequence(i, rank)
        ends = np.array([first, first + stride * (count - 1)])
        assert count == 0 or (partition.owner(ends) == rank).all()
        population = network.populations[i]
        outside = ends + np.array([-stride, stride])
        inside = (outside >= population.first_gid) & (outside < population.first_gid + population.size)
        if count == 0:
            assert asked == "balanced"  # one of the populations has none there
        elif asked != "round_robin":
            assert (partition.owner(outside[inside]) != rank).all()
        else:
            assert (partition.owner(outside[inside]) == rank).all()


def test_block_is_contiguous_and_in_the_order_of_ranks() -> None:
    """Each rank has as many of each population as under round robin: what is left over goes round."""
    partition = partition_of(Experiment(sized((10, 10, 3)), RunSettings(1.0, partition="block")), 4)
    assert partition.owner(np.arange(10)).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
    assert partition.owner(np.arange(10, 20)).tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 3, 3]
    assert partition.owner(np.arange(20, 23)).tolist() == [0, 1, 2]


# ---- Equal costs


def costly() -> Experiment:
    """Populations whose neurons differ in cost: by model, input and synaptic events; one neuron is a rank's work."""
    network = Network("costly")
    few = network.population("few", 3, "hh_psc_alpha")
    many = network.population("many", 5000, "parrot_neuron")
    hub = network.population("hub", 1, "iaf_psc_exp")
    some = network.population("some", 700, "iaf_psc_exp")
    network.poisson(some, 1000.0, 1.0)
    network.project(many, hub, FixedIndegree(5000))
    network.project([many, some], [few, some], FixedIndegree(300))
    network.reference_rates = {"many": 40.0, "some": 3.0}
    return Experiment(network, RunSettings(1.0, partition="balanced"))


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 16, 1000])
def test_every_rank_costs_the_same_to_within_a_neuron(n_ranks: int) -> None:
    experiment = costly()
    partition, costs = partition_of(experiment, n_ranks), population_costs(experiment)
    populations = experiment.network.populations
    counts = np.array([[partition.sequence(i, r)[2] for i in range(len(populations))] for r in range(n_ranks)])
    each = np.array([cost / p.size for cost, p in zip(costs, populations, strict=True)])
    loads, dearest = counts @ each, max(each)
    assert counts.sum(0).tolist() == [p.size for p in populations]
    assert np.abs(loads - sum(costs) / n_ranks).max() <= dearest + 1e-3 * sum(costs) / n_ranks
    owner = partition.owner(np.arange(experiment.network.size))
    assert (np.diff(owner) >= 0).all()
    if n_ranks == 16:  # the same by equal numbers would not do: most neurons are relays
        assert (counts.sum(1).max() > 3 * counts.sum(1).min()) and (loads.max() < 1.5 * loads.min())


def test_costs_of_models_follow_their_code() -> None:
    plain, relay, channels = (MODELS[n] for n in ("iaf_psc_exp", "parrot_neuron", "hh_psc_alpha"))
    assert relative_update(plain, False) == 1.0 and relative_update(relay, False) == 0.2
    assert 10.0 < relative_update(channels, False) <= relative_update(channels, True)


def test_no_result_depends_on_equal_costs(reference: support.Outcome) -> None:
    found = support.run(partitioned(support.varied(), "balanced"), 3, support.TINY)
    support.check_same(found, reference, "balanced on 3 ranks")


# ---- Whole populations


def test_packing_is_greedy_from_the_largest_on() -> None:
    assert pack([5, 9, 4, 6], 2) == [1, 0, 0, 1]  # 9; 6; 5 beside 6; 4 beside 9
    assert pack([1, 1, 1], 2) == [0, 1, 0]  # in their order, lowest rank first
    assert pack([3, 2], 4) == [0, 1]
    assert pack([0, 0], 1) == [0, 0]


def test_packing_keeps_its_bound() -> None:
    """Within 4/3 - 1/(3R) of the best packing, found by trying all."""
    random = np.random.default_rng(3)
    for _ in range(40):
        costs = [int(x) for x in random.integers(1, 60, 6)]
        ranks = pack(costs, 3)
        found = max(sum(c for c, r in zip(costs, ranks, strict=True) if r == rank) for rank in range(3))
        best = min(
            max(sum(c for c, r in zip(costs, way, strict=True) if r == rank) for rank in range(3))
            for way in itertools.product(range(3), repeat=6)
        )
        assert found <= best * (4 / 3 - 1 / 9)


def test_costs_count_neurons_backgrounds_and_synaptic_events() -> None:
    network = Network("costs")
    a = network.population("A", 100, "iaf_psc_exp")
    b = network.population("B", 300, "iaf_psc_exp")
    plain = Experiment(network, RunSettings(1.0))
    assert population_costs(plain) == [int(0.34 * 100 * 1e4), int(0.34 * 300 * 1e4)]
    network.poisson(a, 1000.0, 1.0)
    network.project(a, [a, b], FixedIndegree(1000))
    network.reference_rates = {"A": 20.0}
    with_input = population_costs(plain)
    assert with_input[0] == pytest.approx(1.34 * 100 * 1e4 + 0.85 * 100 * 1000 * 20.0, abs=2)
    assert with_input[1] == pytest.approx(0.34 * 300 * 1e4 + 0.85 * 300 * 1000 * 20.0, abs=2)


def test_expected_synapses_are_those_that_are_built() -> None:
    """Exactly where the rule says so; within 5 standard deviations for pairwise_bernoulli."""
    for projection in support.varied().network.projections:
        network = Network("one")
        network.populations = list(support.varied().network.populations)
        network.projections.append(dataclasses.replace(projection))
        built = connectivity(network).source.size
        mean = expected_synapses(projection)
        autapses = getattr(projection.rule, "autapses", True)
        same_side = shared_neurons(projection.sources, projection.targets) > 0
        slack = 5.0 * mean**0.5 if projection.rule.name == "pairwise_bernoulli" else 0.0
        if same_side and not autapses:
            slack += projection.n_targets
        assert abs(built - mean) <= slack, projection.rule.name


def test_whole_populations_are_balanced_and_stay_whole() -> None:
    experiment = Experiment(microcircuit(0.1), RunSettings(1.0, partition="populations"))
    costs = population_costs(experiment)
    for n_ranks in (2, 3, 4):
        partition = partition_of(experiment, n_ranks)
        assert isinstance(partition, WholePopulations)
        loads = np.bincount(partition.ranks, weights=costs, minlength=n_ranks)
        assert loads.max() <= max(max(costs), 1.34 * sum(costs) / n_ranks)
        assert set(partition.ranks.tolist()) == set(range(n_ranks))


# ---- One result


@pytest.fixture(scope="module")
def reference() -> support.Outcome:
    found = support.run(support.varied())
    support.check_digest(found)
    assert found.count > 100
    return found


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("asked", [*NAMED, "mapping"])
def test_no_result_depends_on_the_partition(asked: str, n_ranks: int, reference: support.Outcome) -> None:
    """Every rule, model, distribution and receptor, states and spikes, with buffers that have to grow."""
    experiment = support.varied()
    partition: Any = scattered(experiment.network, n_ranks) if asked == "mapping" else asked
    for tuning in (None, support.TINY):
        found = support.run(partitioned(experiment, partition), n_ranks, tuning)
        support.check_same(found, reference, f"{asked} on {n_ranks} ranks")


@pytest.mark.parametrize("asked", ["block", "populations"])
def test_spikes_that_numpy_foretells(asked: str) -> None:
    network = support.relays((40, 60, 90, 90), steps=300)
    support.check_relays(network, support.run(partitioned(network.experiment, asked), 3))


def test_ranks_without_neurons_take_part(reference: support.Outcome) -> None:
    """All on one rank of three; and more ranks than populations."""
    experiment = support.varied()
    on_two = {p.name: 2 for p in experiment.network.populations}
    support.check_same(support.run(partitioned(experiment, on_two), 3), reference, "all on rank 2")
    support.check_same(support.run(partitioned(experiment, "populations"), 6), reference, "six ranks")


def test_shares_of_a_total_do_not_depend_on_the_partition() -> None:
    """Splitting a total walks whole levels of a tree first: as many as fit the rank's own, which blocks change."""
    network = Network("total")
    a = network.population("A", 130, "iaf_psc_exp", I_e=distsim.Uniform(300.0, 900.0))
    b = network.population("B", 70, "iaf_psc_exp", I_e=500.0)
    network.project([a, b], [b, a], FixedTotalNumber(1500, autapses=False), 20.0, distsim.Uniform(0.1, 2.0))
    experiment = Experiment(network, RunSettings(30.0))
    reference = support.run(experiment)
    for asked, n_ranks in itertools.product(("block", "populations"), (2, 3)):
        support.check_same(support.run(partitioned(experiment, asked), n_ranks), reference, f"{asked}, {n_ranks}")


# ---- Asking for a partition


@pytest.mark.parametrize(
    ("partition", "says"),
    [
        ("random", "run.partition: found 'random'; allowed: block, round_robin, populations, balanced, or a rank"),
        (["E"], "run.partition: found ['E']; allowed: block"),
        ({"P0": -1, "P1": 0}, "run.partition.P0: found -1; allowed: a rank"),
        ({"P0": True, "P1": 0}, "run.partition.P0: found true; allowed: a rank"),
        ({"P0": 0, "P1": 1.0}, "run.partition.P1: found 1.0; allowed: a rank"),
        ({"P0": 0}, "run.partition: population 'P1' has no rank; name a rank for each population"),
        ({}, "run.partition: population 'P0' has no rank (and 1 more)"),
        ({"P0": 0, "P1": 1, "p0": 0}, "run.partition.p0: unknown population 'p0'; did you mean 'P0'?"),
        (
            {"P0": 0, "P1": 3},
            "run.partition.P1: found 3; allowed: 0 to 1, since 2 ranks were started; start at least 4",
        ),
    ],
)
def test_a_wrong_partition_is_refused_with_the_way_out(partition: Any, says: str) -> None:
    def work(comm: distsim.comm.Communicator) -> None:
        distsim.simulate(sized((3, 4)), 1.0, comm=comm, partition=partition)

    with pytest.raises(ConfigError) as caught:
        Threads.run(2, work)
    assert says in str(caught.value) and "\n" not in str(caught.value)


CONFIG = """\
run: {duration: 20.0, partition: PARTITION}
populations: {E: {model: parrot_neuron, size: 8}, I: {model: parrot_neuron, size: 4}}
inputs: {noise: {type: poisson, targets: [E, I], rate: 500.0, weight: 1.0}}
"""


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("block", "block"),
        ("populations", "populations"),
        ("balanced", "balanced"),
        ("{E: 0, I: 1}", {"E": 0, "I": 1}),
        ("{E: 0, I: 0}", None),
    ],
)
def test_the_config_names_it_and_the_resolved_file_keeps_it(tmp_path: Path, text: str, meant: Any) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG.replace("PARTITION", text))
    loaded = load_experiment(path)
    assert loaded.experiment.run.partition == (meant or {"E": 0, "I": 0})
    again = tmp_path / "again.yaml"
    again.write_text(dump_document(loaded.document))
    assert load_experiment(again).experiment.run == loaded.experiment.run


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("blocks", "run.partition: found 'blocks'; allowed: block, round_robin, populations"),
        (
            "3",
            "run.partition: found 3; allowed: block, round_robin, populations, balanced, or a rank for each population",
        ),
        ("null", "run.partition: found null; allowed: block"),
        ("[E, I]", "run.partition: found ['E', 'I']; allowed: block"),
        ("{}", "run.partition: population 'E' has no rank (and 1 more)"),
        ("{E: 0}", "run.partition: population 'I' has no rank"),
        ("{E: 0, I: 1, J: 0}", "run.partition.J: unknown population 'J'"),
        ("{E: 0, I: x}", "run.partition.I: found 'x'; allowed: a whole number"),
        ("{E: 0, I: true}", "run.partition.I: found true; allowed: a whole number"),
        ("{E: 0, I: 1.5}", "run.partition.I: found 1.5; allowed: a whole number"),
        ("{E: 0, I: -1}", "run.partition.I: found -1; allowed: a rank, counted from 0"),
    ],
)
def test_a_wrong_partition_in_a_config_names_key_and_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG.replace("PARTITION", text))
    with pytest.raises(ConfigError) as caught:
        load_experiment(path)
    assert str(caught.value).startswith(f"{path}:1: {says}"), str(caught.value)


def test_run_refuses_ranks_that_were_not_started(tmp_path: Path, capsys: Any) -> None:
    from distsim.cli import main

    path = tmp_path / "c.yaml"
    path.write_text(CONFIG.replace("PARTITION", "{E: 0, I: 1}"))
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "run.partition.I: found 1; allowed: 0 to 0, since 1 rank was started" in line
    assert not (tmp_path / "out").exists()
