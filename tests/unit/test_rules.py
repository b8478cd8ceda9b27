"""Connectivity, read back from the rows: exact invariants of every rule, sameness of layouts."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from digests import philox
from hypothesis import given, settings
from hypothesis import strategies as st
from readback import Synapses, build, connectivity, joined, network, read_simulation

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
from distsim.backend import open_backend
from distsim.build.selecting import selected_ids
from distsim.checks import delay_distribution
from distsim.comm import Serial, Threads
from distsim.distributions import support
from distsim.elements import Projection
from distsim.engine.simulation import Simulation, Tuning
from distsim.streams import Stream


def side(populations: tuple[Any, ...]) -> npt.NDArray[np.int64]:
    """Global ids of a side, in the order of its positions."""
    return np.concatenate([p.population.first_gid + selected_ids(p, 1) for p in populations])


def check_rule(projection: Projection, s: Synapses) -> None:
    """The exact invariants of a projection's rule, of its weights' signs and of its delays' range."""
    rule = projection.rule
    sources, targets = side(projection.sources), side(projection.targets)
    assert np.isin(s.source, sources).all() and np.isin(s.target, targets).all()
    autapses = getattr(rule, "autapses", True)
    if not autapses:
        assert (s.source != s.target).all(), "an autapse where they are forbidden"
    pairs = Counter(zip(s.source.tolist(), s.target.tolist(), strict=True))
    allowed = {(a, b) for a in sources.tolist() for b in targets.tolist() if autapses or a != b}
    degree = Counter(s.target.tolist())
    if isinstance(rule, OneToOne):
        assert pairs == Counter(zip(sources.tolist(), targets.tolist(), strict=True))
    elif isinstance(rule, AllToAll) or (isinstance(rule, PairwiseBernoulli) and rule.p == 1.0):
        assert pairs == Counter(allowed)
    elif isinstance(rule, FixedIndegree):
        assert all(degree[t] == rule.indegree for t in targets.tolist())
    elif isinstance(rule, FixedTotalNumber):
        assert s.n == rule.N
    elif isinstance(rule, PairwiseBernoulli):
        assert set(pairs) <= allowed and max(pairs.values(), default=1) == 1
    elif isinstance(rule, Explicit):
        listed = [
            (int(sources[a]), int(targets[b])) for a, b in zip(*(rule.read().source, rule.read().target), strict=True)
        ]
        assert pairs == Counter(listed)
    low, high = support(delay_distribution(projection.delay, 0.1))
    assert s.n == 0 or (
        s.delay.min() >= math.floor(low / 0.1 + 0.49) and s.delay.max() <= math.floor(high / 0.1 + 0.51)
    )


# ---- Each rule


@pytest.mark.parametrize("n_ranks", [1, 3])
def test_one_to_one_joins_positions_of_the_sides(n_ranks: int) -> None:
    """Catches positions taken as global ids: the sides are lists, not in the order of description."""
    net = network(4, 7, 3, 6)
    p = net.project(["C", "B"], ["D", "A"], OneToOne(), 1.0, 1.0)
    s = connectivity(net, n_ranks=n_ranks)
    check_rule(p, s)
    order = np.argsort(s.target)
    # D is 14 … 19, A is 0 … 3; C is 11 … 13, B is 4 … 10.
    assert s.target[order].tolist() == [0, 1, 2, 3, 14, 15, 16, 17, 18, 19]
    assert s.source[order].tolist() == [7, 8, 9, 10, 11, 12, 13, 4, 5, 6]


@pytest.mark.parametrize("autapses", [True, False])
@pytest.mark.parametrize(("sources", "targets"), [("A", "A"), ("AB", "BC"), ("BA", "CB"), ("CAB", "BCA"), ("A", "B")])
def test_all_to_all_is_every_pair_once(sources: str, targets: str, autapses: bool) -> None:
    """Catches a missing or doubled pair, and an autapse looked up by position where the sides differ in order."""
    net = network(5, 300, 7)
    p = net.project(list(sources), list(targets), AllToAll(autapses), 1.0, 1.0)
    for n_ranks in (1, 4):
        check_rule(p, connectivity(net, n_ranks=n_ranks))


@pytest.mark.parametrize("autapses", [True, False])
@pytest.mark.parametrize("indegree", [1, 31, 255, 256, 257, 1000])
def test_fixed_indegree_is_exact(indegree: int, autapses: bool) -> None:
    """Catches a lost or repeated draw at the end of a group of lanes, and an autapse."""
    net = network(5, 40, 3)
    p = net.project(["B", "A"], ["C", "B"], FixedIndegree(indegree, autapses), 1.0, 1.0)
    s = connectivity(net, n_ranks=2)
    check_rule(p, s)
    assert s.n == indegree * 43
    if indegree >= 255:
        # Every source is reached by draws; multapses exist (45 sources, more draws than that).
        assert np.unique(s.source).size == 45
        assert ((s.source == s.target).sum() > 0) == autapses


def test_forbidden_autapses_leave_every_other_source() -> None:
    """Catches an off-by-one in skipping the own position: the first, last and neighbouring sources must be reached."""
    net = network(1, 4, 1)
    p = net.project(["C", "B"], ["B", "A"], FixedIndegree(400, False), 1.0, 1.0)
    s = connectivity(net)
    check_rule(p, s)
    for target in range(1, 5):
        assert set(s.source[s.target == target].tolist()) == {1, 2, 3, 4, 5} - {target}
    assert set(s.source[s.target == 0].tolist()) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("autapses", [True, False])
@pytest.mark.parametrize("total", [1, 2, 17, 5000])
@pytest.mark.parametrize("sides", [("A", "A"), ("AB", "BC"), ("B", "CA"), ("CB", "ABC")])
def test_fixed_total_number_is_exact_on_any_ranks(total: int, autapses: bool, sides: tuple[str, str]) -> None:
    """Catches a tree node that ranks draw differently: the shares of all ranks must add up to the total."""
    net = network(5, 37, 3)
    p = net.project(list(sides[0]), list(sides[1]), FixedTotalNumber(total, autapses), 1.0, 1.0)
    one = connectivity(net)
    check_rule(p, one)
    for n_ranks in (2, 3, 5, 11):
        assert one.same(connectivity(net, n_ranks=n_ranks)), n_ranks


def test_fixed_total_number_may_fall_unevenly_where_autapses_are_forbidden() -> None:
    """Catches a bound of a target's share that forgets that forbidden autapses shift shares to other targets: A has one
    allowed source each, B two, so a target of B gets N/3 and not N/4."""
    net = network(2, 2)
    p = net.project("A", ["A", "B"], FixedTotalNumber(100_000, False), 1.0, 1.0)
    s = connectivity(net)
    check_rule(p, s)
    assert abs(np.count_nonzero(s.target >= 2) - 200_000 / 3) < 6.0 * math.sqrt(100_000 * 2 / 9)


@pytest.mark.parametrize("autapses", [True, False])
@pytest.mark.parametrize("p", [1e-12, 0.003, 0.5, 0.999, 1.0])
def test_pairwise_bernoulli_draws_each_pair_at_most_once(p: float, autapses: bool) -> None:
    """Catches a pair drawn twice, a gap past the end, and p = 1 leaving pairs out."""
    net = network(3, 400, 9)
    projection = net.project(["B", "C"], ["C", "B", "A"], PairwiseBernoulli(p, autapses), 1.0, 1.0)
    s = connectivity(net, n_ranks=3)
    check_rule(projection, s)
    if p > 0.001:
        pairs = 409 * 412 - (0 if autapses else 409)
        assert abs(s.n - p * pairs) <= 6.0 * math.sqrt(pairs * p * (1.0 - p))


@pytest.mark.parametrize("p", [5e-324, 1e-60, 1e-20])
def test_pairwise_bernoulli_with_a_vanishing_probability(p: float) -> None:
    """Catches 1 - p rounding to 1 where the gap's scale divides by log(1 - p): such a p is allowed."""
    net = network(50, 50)
    net.project("A", "B", PairwiseBernoulli(p), 1.0, 1.0)
    assert connectivity(net).n == 0


def test_empty_rules_give_nothing() -> None:
    """Catches an empty projection that disturbs its neighbours, or a build that fails without synapses."""
    net = network(3, 4)
    for rule in (FixedIndegree(0), FixedTotalNumber(0), PairwiseBernoulli(0.0), Explicit((), (), (), ())):
        net.project("A", "B", rule, 1.0, 1.0)
    assert connectivity(net, n_ranks=3).n == 0
    net.project("A", "B", AllToAll(), 2.0, 0.5)
    assert connectivity(net, n_ranks=3).n == 12


def test_constant_delays_round_half_up() -> None:
    """Catches half a step going down because a quotient of decimals came out just below: 0.15 / 0.1 is 1.5."""
    for delay, steps in ((0.1, 1), (0.14, 1), (0.25, 3), (0.15, 2), (0.35, 4), (1.15, 12), (1.5, 15), (0.05, 1)):
        net = network(1, 1)
        net.project("A", "B", OneToOne(), 1.0, delay)
        assert connectivity(net).delay.tolist() == [steps], delay


def test_more_than_one_block_of_targets() -> None:
    """Catches the high bits of a target lost: 65,536 targets fill the 16 bits of a synapse, this rank has more."""
    net = network(70_001, 2)
    p = net.project("B", "A", AllToAll(), 1.0, NormalClipped(1.0, 0.3))
    s = connectivity(net)
    assert s.n == 140_002
    pairs = s.source * 100_000 + s.target
    assert np.unique(pairs).size == s.n and s.target.max() == 70_000
    assert p.n_targets == 70_001


def test_rules_cover_all_pairs_of_sides() -> None:
    """Catches a rule that fails for some overlap of the two sides: every choice of two ordered sides out of three."""
    net = network(3, 5, 4)
    orders = [list(x) for n in (1, 2) for x in itertools.permutations("ABC", n)]
    for sources, targets in itertools.product(orders, orders):
        for rule in (FixedIndegree(7, False), FixedTotalNumber(50, False), PairwiseBernoulli(0.4, False)):
            alone = Network()
            alone.populations = net.populations
            p = alone.project(sources, targets, rule, 1.0, 1.0)
            check_rule(p, connectivity(alone, n_ranks=2))


# ---- Draws are functions of identity


@pytest.mark.parametrize("padding", [7, 2**33 + 5])
def test_fixed_indegree_draws_are_what_the_identities_say(padding: int) -> None:
    """Catches a draw keyed by anything but (seed, projection, target's global id, number of the draw): predicts every
    source, weight and delay from NumPy alone, also with global ids beyond 32 bits."""
    net = Network()
    net.population("pad", padding, "parrot_neuron")
    a, b = net.population("A", 211, "iaf_psc_exp"), net.population("B", 23, "iaf_psc_exp")
    net.project(a, b, FixedTotalNumber(0), 1.0, 1.0)  # an empty projection still counts
    net.project(a, b, FixedIndegree(300), Uniform(1.0, 2.0), Uniform(0.5, 4.0))
    s = connectivity(net, n_ranks=2, seed=77, block_bits=4)
    gid = (b.first_gid + np.arange(23))[:, None]
    counters = np.broadcast_arrays(np.arange(300)[None, :], 0, gid & 0xFFFFFFFF, (gid >> 32) | (1 << 8))
    w = philox(np.stack([c.ravel() for c in counters], axis=1).astype(np.uint64), (77, int(Stream.CONNECTION))).T
    drawn = [(int(high) << 32 | int(low)) * 211 >> 64 for high, low in zip(w[0], w[1], strict=True)]
    u_delay, u_weight = ((x + 0.5) / 2.0**32 for x in w[2:])
    quantum = 2.0 / 2**14  # 2.0 needs 2^14 quanta: the largest power of two that stays below 2^15 - 1
    expected = Synapses(
        source=a.first_gid + np.array(drawn), target=np.broadcast_to(gid, (23, 300)).ravel(),
        weight=np.floor((1.0 + u_weight) / quantum + 0.5) * quantum,
        delay=np.floor((0.5 + 3.5 * u_delay) * 10.0 + 0.5).astype(np.int64),
        receptor=np.zeros(6900, np.int64), plane=np.zeros(6900, np.int64),
    )  # fmt: skip
    found, wanted = s.sorted(), expected.sorted()
    for name in ("source", "target", "weight", "delay"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name


def test_projections_and_seeds_draw_independently() -> None:
    """Catches a projection's number or the seed left out of the key: two alike must differ."""
    net = network(500, 100)
    for _ in range(2):
        net.project("A", "B", FixedIndegree(10), 1.0, 1.0)
    both = connectivity(net, seed=5)
    pairs = Counter(zip(both.source.tolist(), both.target.tolist(), strict=True))
    assert sum(n > 1 for n in pairs.values()) < 60, "two projections drew the same connections"
    assert not both.same(connectivity(net, seed=6))
    assert both.same(connectivity(net, seed=5))


# ---- Sameness of layouts


@st.composite
def sides(draw: st.DrawFn, n: int) -> list[int]:
    return draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))


WEIGHTS = [
    3.0, -0.7, 1e-4, -900.0, Normal(1.0, 1.0), Normal(0.0, 3.0), NormalClipped(-5.0, 2.0), NormalClipped(1.0, 4.0),
    Uniform(-1.0, 2.0), Lognormal(0.0, 0.5),
]  # fmt: skip
DELAYS = [0.1, 1.5, NormalClipped(1.5, 0.75), Uniform(0.2, 9.0), Lognormal(0.0, 0.4), NormalClipped(0.3, 0.2)]


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Up to four populations of two models and up to four projections of any rules, sides in any order."""
    net = Network()
    sizes = draw(st.lists(st.integers(1, 45), min_size=1, max_size=4))
    for i, size in enumerate(sizes):
        net.population(f"P{i}", size, draw(st.sampled_from(["iaf_psc_exp", "iaf_psc_exp", "parrot_neuron"])))
    for _ in range(draw(st.integers(1, 4))):
        sources = [net.populations[i] for i in draw(sides(len(sizes)))]
        targets = [net.populations[i] for i in draw(sides(len(sizes)))]
        n_sources, n_targets = sum(p.size for p in sources), sum(p.size for p in targets)
        autapses = draw(st.booleans()) or n_sources == 1
        kind = draw(st.integers(0, 5))
        weight, delay = draw(st.sampled_from(WEIGHTS)), draw(st.sampled_from(DELAYS))
        rule: Any = AllToAll(autapses)
        if kind == 0 and n_sources == n_targets:
            rule = OneToOne()
        elif kind == 1:
            rule = FixedIndegree(draw(st.integers(0, 300)), autapses)
        elif kind == 2:
            rule = FixedTotalNumber(draw(st.integers(0, 2000)), autapses)
        elif kind == 3:
            rule = PairwiseBernoulli(draw(st.sampled_from([0.0, 0.01, 0.3, 0.97, 1.0])), autapses)
        elif kind == 4:
            n = draw(st.integers(0, 40))
            rng = np.random.default_rng(draw(st.integers(0, 2**16)))
            rule = Explicit(
                tuple(rng.integers(0, n_sources, n).tolist()), tuple(rng.integers(0, n_targets, n).tolist()),
                tuple(rng.normal(0.0, 5.0, n).tolist()), tuple((0.1 * rng.integers(1, 50, n)).tolist()),
            )  # fmt: skip
            weight, delay = 1.0, 1.0  # the defaults: a list has its own
        elif kind == 5 and n_sources * n_targets <= 600:
            rng = np.random.default_rng(draw(st.integers(0, 2**16)))
            rule, weight = AllToAll(), rng.normal(1.0, 2.0, n_sources * n_targets).tolist()
        net.project(sources, targets, rule, weight, delay)
    return net


@settings(max_examples=60)
@given(net=networks(), layouts=st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 5]), st.integers(4, 16), st.sampled_from([1, 300, 5000, 2**28])),
    min_size=3, max_size=3,
), seed=st.integers(0, 2**32 - 1), precision=st.sampled_from(["single", "double"]))  # fmt: skip
def test_layouts_build_the_same_network(net, layouts, seed, precision) -> None:
    """Catches a draw keyed by rank, chunk or block, a synapse lost or doubled at the edge of one, and (with one
    projection) any breach of its rule; on 1, 2, 3 and 5 ranks, blocks of 16 to 65,536 and tiny chunks."""
    reference = connectivity(net, seed=seed, precision=precision)
    for n_ranks, block_bits, budget in layouts:
        found = connectivity(
            net, n_ranks=n_ranks, seed=seed, precision=precision, block_bits=block_bits, cell_budget=budget
        )
        assert reference.same(found), (n_ranks, block_bits, budget)
    # One projection at a time keeps its own rule. (Its number is part of its draws: others become empty.)
    for keep in net.projections:
        alone = Network()
        alone.populations = net.populations
        alone.projections = [
            p if p is keep else dataclasses.replace(p, rule=FixedTotalNumber(0), weight=1.0, delay=1.0)
            for p in net.projections
        ]
        check_rule(keep, connectivity(alone, seed=seed, precision=precision))


@pytest.mark.parametrize("n_ranks", [1, 3])
def test_a_simulation_builds_the_same_rows(n_ranks: int) -> None:
    """Catches these tests looking at another construction than the one a simulation runs on."""
    net = network(60, 50)
    net.project("A", ["B", "A"], FixedIndegree(20), NormalClipped(5.0, 1.0), NormalClipped(1.5, 0.75))
    net.project(["B"], ["A"], PairwiseBernoulli(0.3), -4.0, 0.5)
    run = RunSettings(duration=1.0, seed=9)
    tuning = Tuning(block_bits=5, cell_budget=4000)

    def work(comm: Any) -> Synapses:
        return read_simulation(Simulation(Experiment(net, run), comm, open_backend("cpu"), tuning=tuning))

    parts = [work(Serial())] if n_ranks == 1 else Threads.run(n_ranks, work)
    assert joined(parts).same(connectivity(net, seed=9))


def test_a_dry_rank_needs_no_others() -> None:
    """Catches construction that talks: rank 7 of 16 builds alone what it builds among the others."""
    net = network(60, 50)
    net.project("A", ["B", "A"], FixedTotalNumber(3000), 1.0, 1.0)
    parts = build(net, n_ranks=16)
    assert sum(p.n for p in parts) == 3000 and parts[7].n > 0
