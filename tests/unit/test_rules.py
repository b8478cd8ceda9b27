"""Connectivity, read back from the rows: exact invariants of every rule, weights in quanta, sameness of layouts."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from readback import Synapses, build, connectivity, joined, read_simulation

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
from distsim.build.quanta import plan_planes
from distsim.build.selecting import selected_ids
from distsim.checks import delay_distribution
from distsim.comm import Serial, Threads
from distsim.distributions import support
from distsim.engine.simulation import Simulation, Tuning
from distsim.network import Projection
from distsim.streams import Stream

EXCITATORY, INHIBITORY = 0, 1
BITS = {"single": 15, "double": 47}


def network(*sizes: int, model: str = "iaf_psc_exp") -> Network:
    """Populations A, B, C … of one model."""
    net = Network()
    for name, size in zip("ABCDEFGH", sizes, strict=False):
        net.population(name, size, model)
    return net


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


def listed(values: npt.NDArray[np.float64], s: Synapses, order: npt.NDArray[np.int64]) -> None:
    """Weights must be `values[order]` where `order` is each synapse's documented place in the list."""
    assert np.allclose(s.weight, values[order], rtol=0, atol=np.abs(values).max() * 2.0**-15)


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


EDGES = [  # source, target, weight, delay in ms; positions in [C, A] and [B, C, A] with sizes A 3, B 4, C 2
    (0, 0, 1.5, 0.1), (0, 0, 1.5, 0.1), (1, 5, -2.0, 2.5), (4, 8, 0.25, 3276.8), (2, 3, -1e-3, 0.3), (4, 0, 8.0, 0.1),
    (3, 4, 0.0, 1.0),
]  # fmt: skip
EDGE_GIDS = [(7, 3), (7, 3), (8, 8), (2, 2), (0, 6), (2, 3), (1, 7)]


@pytest.mark.parametrize("n_ranks", [1, 2, 5])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_explicit_is_the_list(n_ranks: int, precision: str) -> None:
    """Catches an edge on the wrong side of a list of populations, lost, doubled, or with its neighbour's numbers; the
    longest delay that is allowed; and the receptor by the sign of the weight."""
    net = network(3, 4, 2)
    source, target, weight, delay = zip(*EDGES, strict=True)
    net.project(["C", "A"], ["B", "C", "A"], Explicit(source, target, weight, delay))
    s = connectivity(net, n_ranks=n_ranks, precision=precision)
    found = s.tuples()
    expected = sorted((a, b, w, round(d / 0.1)) for (a, b), w, d in zip(EDGE_GIDS, weight, delay, strict=True))
    tolerance = 8.0 * 2.0 ** -BITS[precision]
    assert [x[:2] + x[3:] for x in sorted(found, key=lambda x: (x[:2], x[3], x[2]))] == [
        x[:2] + x[3:] for x in sorted(expected, key=lambda x: (x[:2], x[3], x[2]))
    ]
    for a, b in zip(sorted(found), expected, strict=True):
        assert abs(a[2] - b[2]) <= tolerance
    assert ((s.weight < -tolerance) <= (s.receptor == INHIBITORY)).all()
    assert ((s.weight > tolerance) <= (s.receptor == EXCITATORY)).all()


@pytest.mark.parametrize("n_ranks", [1, 3])
def test_explicit_with_receptors_goes_to_the_named_port(n_ranks: int) -> None:
    """Catches the sign of the weight deciding where a port is named."""
    net = network(3, 4, 2)
    source, target, weight, delay = zip(*EDGES, strict=True)
    ports = ("inhibitory", "excitatory", "excitatory", "inhibitory", "excitatory", "excitatory", "inhibitory")
    net.project(["C", "A"], ["B", "C", "A"], Explicit(source, target, weight, delay, ports))
    s = connectivity(net, n_ranks=n_ranks, precision="double")
    found = Counter(
        (a, b, d, ("excitatory", "inhibitory")[r], round(w, 9))
        for (a, b, w, d), r in zip(s.tuples(), s.sorted().receptor.tolist(), strict=True)
    )
    assert found == Counter(
        (a, b, round(e[3] / 0.1), port, e[2]) for (a, b), e, port in zip(EDGE_GIDS, EDGES, ports, strict=True)
    )


@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_listed_weights_and_delays_stand_target_by_target(n_ranks: int) -> None:
    """Catches a list read in another order than the documented one (target by target, then source by source), or by a
    rank's own count instead of the identity."""
    for rule, per_target in ((AllToAll(), 5), (FixedIndegree(4), 4)):
        net = network(3, 4, 2)
        n = 6 * per_target  # targets C (2) then B (4)
        weights = 1.0 + np.arange(n) / 64.0
        delays = 0.1 * (1 + np.arange(n))
        net.project(["C", "A"], ["C", "B"], rule, weights.tolist(), delays.tolist())
        s = connectivity(net, n_ranks=n_ranks)
        targets, sources = [7, 8, 3, 4, 5, 6], [7, 8, 0, 1, 2]
        position = np.array([targets.index(t) for t in s.target.tolist()])
        place = s.delay - 1  # delays tell which entry it is; weights must be the same entry's
        assert sorted(place.tolist()) == list(range(n))
        assert np.array_equal(place // per_target, position)
        listed(weights, s, place)
        if isinstance(rule, AllToAll):
            assert [sources[k] for k in (place % per_target).tolist()] == s.source.tolist()


def test_listed_one_to_one() -> None:
    """Catches the list of one_to_one read by global id."""
    net = network(3, 4, 3)
    net.project(["C"], ["A"], OneToOne(), [1.0, -2.0, 3.0], [0.3, 0.2, 0.1])
    for n_ranks in (1, 2):
        found = connectivity(net, n_ranks=n_ranks)
        assert [(a, b, d) for a, b, _, d in found.tuples()] == [(7, 0, 3), (8, 1, 2), (9, 2, 1)]
        assert np.allclose(found.sorted().weight, [1.0, -2.0, 3.0], atol=3.0 * 2.0**-15)


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


# ---- Draws are functions of identity


def philox(c: list[Any], seed: int, stream: int) -> list[npt.NDArray[np.uint64]]:
    """Philox4x32-10 on arrays of counters."""
    words = [np.asarray(x, np.uint64) for x in np.broadcast_arrays(*c)]
    low, k0, k1 = np.uint64(0xFFFFFFFF), seed, stream
    for _ in range(10):
        a, b = words[0] * np.uint64(0xD2511F53), words[2] * np.uint64(0xCD9E8D57)
        words = [
            (b >> np.uint64(32)) ^ words[1] ^ np.uint64(k0), b & low,
            (a >> np.uint64(32)) ^ words[3] ^ np.uint64(k1), a & low,
        ]  # fmt: skip
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return words


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
    w = philox([np.arange(300)[None, :], 0, gid & 0xFFFFFFFF, (gid >> 32) | (1 << 8)], 77, Stream.CONNECTION)
    drawn = [(int(high) << 32 | int(low)) * 211 >> 64 for high, low in zip(w[0].ravel(), w[1].ravel(), strict=True)]
    u_delay, u_weight = ((x.ravel() + 0.5) / 2.0**32 for x in w[2:])
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


# ---- Quanta and planes


def expected_quantum(largest: float, inputs: int, bits: int) -> float:
    """The contract, word by word: the smallest power of two in which the largest weight fits; beyond 65,536 inputs it
    doubles."""
    quantum = 2.0 ** (math.floor(math.log2(largest)) - bits - 2)
    while round_half_up(largest / quantum) > 2**bits - 1:
        quantum *= 2.0
    while inputs > 2**16:
        inputs, quantum = -(-inputs // 2), 2.0 * quantum
    return quantum


def round_half_up(x: float) -> int:
    return math.floor(x + 0.5) if x >= 0.0 else -math.floor(0.5 - x)


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("weight", [87.8, -351.2, 1.0, 32767.0, 32768.0, 0.9999, 1e-12, -3.3e8, 2.0**-30, 1023.9])
def test_a_constant_weight_is_rounded_to_its_quantum(weight: float, precision: str) -> None:
    """Catches a wrong rounding, a quantum a power too coarse or too fine, and a lost sign."""
    net = network(3, 4)
    net.project("A", "B", AllToAll(), weight, 1.0)
    s = connectivity(net, precision=precision)
    planes = plan_planes(net, precision)
    plane = next(p for p in (planes.endpoints[0, 1, None].positive, planes.endpoints[0, 1, None].negative) if p)
    quantum = plane.quantum
    assert quantum == expected_quantum(abs(weight), 3, BITS[precision])
    assert set(s.weight.tolist()) == {round_half_up(weight / quantum) * quantum}
    assert set(s.receptor.tolist()) == {EXCITATORY if weight > 0.0 else INHIBITORY}
    # 15 (47) bits hold the largest weight: half a quantum is at most 2^-15 (2^-47) of it.
    assert np.abs(s.weight / weight - 1.0).max() <= 2.0 ** -BITS[precision]


def test_listed_weights_are_rounded_half_away_from_zero() -> None:
    """Catches truncation, and rounding of negative weights that is not the mirror of that of positive ones."""
    net = network(8, 1)
    weights = [32767.0, 0.5, 1.5, 2.4999, -0.5, -1.5, -2.4999, -32767.0]
    net.project("A", "B", AllToAll(), weights, 1.0)
    s = connectivity(net).sorted()
    assert s.weight.tolist() == [32767.0, 1.0, 2.0, 2.0, -1.0, -2.0, -2.0, -32767.0]


@settings(max_examples=150)
@given(
    weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=5),
    degrees=st.lists(st.sampled_from([1, 10, 300, 5000, 2**16, 2**17, 2**18 - 1, 2**20]), min_size=5, max_size=5),
    precision=st.sampled_from(["single", "double"]),
)
@example([32767.0], [2**17] * 5, "single")
@example([32767.0], [2**16] * 5, "single")
@example([32765.0, 32767.0, 500.0], [2**16, 2**15, 2**15], "single")
@example([2.0**47 - 1.0], [2**17] * 5, "double")
def test_no_sum_overflows(weights: list[float], degrees: list[int], precision: str) -> None:
    """Catches a quantum too fine for the in-degrees: if every source of every projection fires in one step, the integer
    sum of a plane fits its 32 (64) bits; and weights that differ by more than 2^7 have planes of their own."""
    net = network(4, 1)
    for weight, degree in zip(weights, degrees, strict=False):
        net.project("A", "B", FixedIndegree(degree), weight, 1.0)
    planes = plan_planes(net, precision)
    sums: dict[int, int] = {}
    largest: dict[int, float] = {}
    for number, (weight, degree) in enumerate(zip(weights, degrees, strict=False)):
        plane = planes.endpoints[number, 1, None].positive
        assert plane is not None
        quanta = round_half_up(weight / plane.quantum)
        assert quanta < 2 ** BITS[precision]
        sums[plane.index] = sums.get(plane.index, 0) + degree * quanta
        largest[plane.index] = max(largest.get(plane.index, 0.0), weight)
    assert max(sums.values()) < 2 ** (31 if precision == "single" else 63)
    for number, weight in enumerate(weights):
        plane = planes.endpoints[number, 1, None].positive
        assert plane is not None and largest[plane.index] <= 2.0**7 * weight
    assert len(largest) == planes.per_receptor["iaf_psc_exp"][0]


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("degree", [2**16 - 1, 2**16, 2**16 + 1, 2**17, 2**17 + 1])
def test_the_largest_inputs_at_once_do_not_overflow(degree: int, precision: str) -> None:
    """Catches an overflow in delivery itself: one spike over `degree` synapses of the largest weight onto one neuron,
    all in one step. (With 131,072 inputs a weight of 32,767 quanta is 16,383.5 doubled quanta: rounded up, the sum is
    2^31, one too many.)"""
    net = Network()
    # Fires in step 1 and is refractory then; a neuron emits one spike a step, so the in-degree bounds the inputs.
    net.population("spike", 1, "iaf_psc_exp", initial={"V_m": 0.0}, t_ref=100.0)
    net.population("cell", 1, "iaf_psc_exp", V_th=1e30)
    net.project("spike", "cell", FixedIndegree(degree), 32767.0, 0.1)
    run = RunSettings(duration=2.0, precision=precision)
    sim = Simulation(Experiment(net, run), Serial(), open_backend("cpu"))
    sim.run_to(2)
    assert sim.digest().count == 1
    # Rounding of the weight: half a quantum, at most 2^-14; and one rounding of the sum to float32.
    assert float(sim.groups[0].states["I_syn_ex"][1]) == pytest.approx(32767.0 * degree, rel=2.0**-14)


def test_planes_split_where_weights_differ_by_more_than_2_to_the_7() -> None:
    """Catches small weights that share a quantum with much larger ones (and lose their digits), and planes split where
    one would do."""
    for ratio, n_planes in ((100.0, 1), (128.0, 1), (128.1, 2), (10_000.0, 2)):
        net = network(3, 4)
        net.project("A", "B", AllToAll(), 1000.0, 1.0)
        net.project("A", "B", AllToAll(), 1000.0 / ratio, 1.0)
        net.project("A", "B", AllToAll(), -7.0, 1.0)
        assert plan_planes(net, "single").per_receptor["iaf_psc_exp"] == (n_planes, 1)
        s = connectivity(net, n_ranks=2, block_bits=4)
        both = zip(s.weight.tolist(), s.plane.tolist(), strict=True)
        found = Counter((round(w / 1000.0 * ratio, 1), p) for w, p in both if w > 0)
        assert found == {(round(ratio, 1), 0): 12, (1.0, n_planes - 1): 12}
        small = s.weight[(s.weight > 0) & (s.weight < 999.0)]
        assert np.abs(small / (1000.0 / ratio) - 1.0).max() <= 2.0**-8


def test_a_planned_plane_of_one_population_does_not_reach_another() -> None:
    """Catches quanta mixed up between populations of one model: each has its own, in planes that they share."""
    net = network(3, 4, 5)
    net.project("A", "B", AllToAll(), 1e-3, 1.0)
    net.project("A", "C", AllToAll(), 1e3, 1.0)
    net.project("A", ["B", "C"], AllToAll(), -2.5, 1.0)
    s = connectivity(net, n_ranks=2, block_bits=4)
    for low, high, weight in ((3, 7, 1e-3), (7, 12, 1e3)):
        mine = (s.target >= low) & (s.target < high)
        assert np.allclose(np.unique(s.weight[mine]), [-2.5, weight], rtol=2.0**-15)


def test_double_precision_keeps_47_bits() -> None:
    """Catches weights that pass through 16 or 32 bits on the way: random weights come back to 2^-47 of the largest."""
    rng = np.random.default_rng(6)
    weights = np.concatenate([rng.uniform(-50.0, 50.0, 599), [50.0]])
    net = network(6, 100)
    net.project("A", "B", AllToAll(), weights.tolist(), 1.0)
    s = connectivity(net, precision="double", n_ranks=2)
    place = (s.target - 6) * 6 + s.source
    assert np.abs(s.weight - weights[place]).max() <= 64.0 * 2.0**-48
    assert np.abs(s.weight - weights[place]).max() > 0.0


@pytest.mark.parametrize(
    "weight", [Normal(2.0, 3.0), NormalClipped(-87.8, 8.8), Uniform(-4.0, 1.0), Lognormal(1.0, 1.0)]
)
@pytest.mark.parametrize("precision", ["single", "double"])
def test_drawn_weights_lie_on_the_grid_and_in_the_support(weight: Any, precision: str) -> None:
    """Catches a drawn weight that is not a multiple of the quantum of its sign's plane, or outside the support for
    which the quantum was planned: 16 bits would wrap."""
    net = network(300, 300)
    p = net.project("A", "B", FixedIndegree(300), weight, 1.0)
    s = connectivity(net, precision=precision)
    low, high = support(p.weight)
    endpoint = plan_planes(net, precision).endpoints[0, 1, None]
    for mine, plane in ((s.receptor == EXCITATORY, endpoint.positive), (s.receptor == INHIBITORY, endpoint.negative)):
        w = s.weight[mine]
        if w.size:
            assert plane is not None
            assert np.array_equal(w, np.round(w / plane.quantum) * plane.quantum)
            assert w.min() >= low - plane.quantum / 2 and w.max() <= high + plane.quantum / 2
            assert np.unique(w).size > 500
    assert ((s.weight > 0) <= (s.receptor == EXCITATORY)).all() and ((s.weight < 0) <= (s.receptor == INHIBITORY)).all()


@pytest.mark.parametrize("port", ["excitatory", "inhibitory"])
def test_a_named_port_takes_both_signs(port: str) -> None:
    """Catches a negative weight that leaves the port it was sent to."""
    net = network(20, 20)
    net.project("A", "B", AllToAll(), Normal(0.5, 1.0), 1.0, receptor=port)
    s = connectivity(net)
    assert set(s.receptor.tolist()) == {("excitatory", "inhibitory").index(port)}
    assert (s.weight < 0).sum() > 50 and (s.weight > 0).sum() > 50


def test_a_port_that_counts_takes_every_spike_as_one() -> None:
    """Catches a parrot that multiplies spikes by a weight, whatever its size or sign."""
    net = network(5, 6, model="parrot_neuron")
    for weight in (3.7, -200.0, Normal(0.0, 5.0)):
        net.project("A", "B", AllToAll(), weight, 1.0)
    s = connectivity(net, n_ranks=2)
    assert s.n == 90 and set(s.weight.tolist()) == {1.0}


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
