"""Every rule between any sides: exact invariants, one network under every layout, and refusals."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readback import Synapses, build, connectivity, construction, read_simulation

from distsim import (
    AllToAll,
    Experiment,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    Gamma,
    Network,
    Normal,
    NormalClipped,
    OneToOne,
    PairwiseBernoulli,
    PairwisePoisson,
    RunSettings,
    SymmetricPairwiseBernoulli,
    Uniform,
    UniformInt,
)
from distsim.backend import open_backend
from distsim.build.partition import Part
from distsim.build.quanta import inputs_bound, plan_planes
from distsim.build.selecting import local_selection, selected_ids, shared_places
from distsim.build.weights import weight_errors
from distsim.comm import Threads
from distsim.elements import Projection
from distsim.engine.simulation import Simulation, Tuning
from distsim.selection import Selection, meeting, shared_neurons

PARTITIONS = ("round_robin", "block", "populations")
WEIGHT, DELAY = Normal(3.0, 5.0), NormalClipped(1.5, 0.7)  # both planes, many delays
SEED = 3


def network(*sizes: int) -> Network:
    """Populations A, B, C … ."""
    net = Network()
    for name, size in zip("ABCDEFGH", sizes, strict=False):
        net.population(name, size, "iaf_psc_exp")
    return net


def gids(side: tuple[Selection, ...]) -> npt.NDArray[np.int64]:
    return np.concatenate([s.population.first_gid + selected_ids(s, SEED) for s in side])


def check_invariants(p: Projection, s: Synapses) -> None:
    """What the rule promises exactly."""
    rule, sources, targets = p.rule, gids(p.sources), gids(p.targets)
    assert np.isin(s.source, sources).all() and np.isin(s.target, targets).all()
    pairs = Counter(zip(s.source.tolist(), s.target.tolist(), strict=True))
    out, into = Counter(s.source.tolist()), Counter(s.target.tolist())
    autapses = getattr(rule, "autapses", True)
    if not autapses:
        assert all(a != b for a, b in pairs), "an autapse where they are forbidden"
    if not getattr(rule, "multapses", True) or isinstance(rule, (PairwiseBernoulli, SymmetricPairwiseBernoulli)):
        assert max(pairs.values(), default=1) == 1, "a multapse where they are forbidden"
    if isinstance(rule, FixedIndegree):
        assert all(into[t] == rule.indegree for t in targets.tolist())
    elif isinstance(rule, FixedOutdegree):
        assert all(out[t] == rule.outdegree for t in sources.tolist())
    elif isinstance(rule, FixedTotalNumber):
        assert s.n == rule.N
    elif isinstance(rule, SymmetricPairwiseBernoulli):
        assert all(pairs[b, a] == 1 for a, b in pairs), "a pair joined one way alone"
    elif isinstance(rule, AllToAll) or (isinstance(rule, PairwiseBernoulli) and rule.p == 1.0):
        allowed = [x for x in itertools.product(sources.tolist(), targets.tolist()) if autapses or x[0] != x[1]]
        assert pairs == Counter(allowed)
    elif isinstance(rule, OneToOne):
        wanted = [x for x in zip(sources.tolist(), targets.tolist(), strict=True) if autapses or x[0] != x[1]]
        assert pairs == Counter(wanted)
    assert s.n == 0 or np.bincount(s.target).max() <= inputs_bound(p), "more inputs than quanta were planned for"


RULES: list[Any] = [
    *(FixedIndegree(k, a, m) for k in (1, 17, 150) for a in (True, False) for m in (True, False)),
    *(FixedOutdegree(k, a, m) for k in (1, 17, 150) for a in (True, False) for m in (True, False)),
    *(FixedTotalNumber(n, a, m) for n in (1, 3000, 20_000) for a in (True, False) for m in (True, False)),
    *(PairwiseBernoulli(p, a) for p in (0.01, 0.4, 1.0) for a in (True, False)),
    *(PairwisePoisson(m, a) for m in (0.02, 1.5, 12.0) for a in (True, False)),
    AllToAll(False), OneToOne(),
]  # fmt: skip
BY_SOURCE = (FixedTotalNumber, PairwiseBernoulli, PairwisePoisson, AllToAll, OneToOne)
DRAWN = [(r, g) for r in RULES for g in (None, "by_source") if g is None or isinstance(r, BY_SOURCE)]


@pytest.mark.parametrize(("rule", "generate"), DRAWN, ids=lambda x: str(x))
def test_a_rule_keeps_its_promises_under_every_layout(rule: Any, generate: Any) -> None:
    """Catches a share that ranks find differently, a synapse lost or doubled at a node of the tree that two ranks or
    chunks share, and any breach of degrees, totals, autapses and multapses: 1, 2, 3, 5 and 8 ranks, every partition."""
    net = network(7, 130, 25)
    # Sides of several populations in another order than described; they share B.
    p = net.project(["B", "C"], ["C", "B"], rule, WEIGHT, DELAY, generate=generate)
    one = connectivity(net, seed=SEED)
    check_invariants(p, one)
    for n_ranks, partition in ((2, "round_robin"), (3, "block"), (5, "populations"), (8, "round_robin"), (2, "block")):
        found = connectivity(
            net, n_ranks=n_ranks, seed=SEED, partition=partition, block_bits=5, cell_budget=20_000
        )  # fmt: skip
        assert one.same(found), (n_ranks, partition)


@pytest.mark.parametrize("p", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("sizes", [(1,), (2,), (300,), (40, 17, 64)])
def test_symmetric_pairs_are_joined_both_ways_or_not_at_all(p: float, sizes: tuple[int, ...]) -> None:
    """Catches a pair that one of its two owners draws differently, an autapse, and a pair drawn twice."""
    net = network(*sizes)
    side = [q.name for q in net.populations][::-1]
    projection = net.project(side, side, SymmetricPairwiseBernoulli(p), WEIGHT, DELAY)
    one = connectivity(net, seed=SEED)
    check_invariants(projection, one)
    n = sum(sizes)
    if p in (0.0, 1.0):
        assert one.n == p * n * (n - 1)
    for n_ranks, partition in itertools.product((2, 3, 4), PARTITIONS):
        assert one.same(connectivity(net, n_ranks=n_ranks, seed=SEED, partition=partition, cell_budget=5000))
    if one.n > 1000:  # the two directions have weights and delays of their own
        forth = {(a, b): (w, d) for a, b, w, d in one.tuples()}
        assert sum(forth[a, b] == forth[b, a] for a, b in forth) < 0.01 * one.n


def test_a_projection_described_twice_is_two() -> None:
    """Catches a projection's position left out of any of the keys, for every way to draw."""
    for rule, generate in [
        *((r, g) for r, g in DRAWN if not isinstance(r, (AllToAll, OneToOne)) and getattr(r, "p", 0) != 1.0),
        (SymmetricPairwiseBernoulli(0.3), None),
    ]:
        net = network(155)
        for _ in range(2):
            net.project("A", "A", rule, 1.0, Uniform(0.1, 20.0), generate=generate)
        both = connectivity(net, seed=SEED)
        alone = network(155)
        alone.project("A", "A", rule, 1.0, Uniform(0.1, 20.0), generate=generate)
        one = Counter(connectivity(alone, seed=SEED).tuples())
        twice = Counter(both.tuples())
        assert not one - twice, "the first is not what it is alone"
        second = twice - one
        assert sum((second & one).values()) <= 0.2 * sum(one.values()) + 5, (rule, "the second repeats the first")


def test_by_source_is_a_network_of_its_own() -> None:
    """Catches `generate` that changes nothing, and draws of sources keyed like those of targets."""
    for rule in (FixedTotalNumber(3000), PairwiseBernoulli(0.2), PairwisePoisson(0.3)):
        found = []
        for generate in ("by_target", "by_source"):
            net = network(130)
            net.project("A", "A", rule, WEIGHT, DELAY, generate=generate)
            found.append(Counter(connectivity(net, seed=SEED).tuples()))
        assert sum((found[0] & found[1]).values()) < 10


def test_one_source_alone_gives_its_own_row() -> None:
    """Catches a draw by source that depends on other sources: what procedural connectivity will regenerate. (A total is
    split over all sources, so there a row needs the whole side.)"""
    for rule in (PairwiseBernoulli(0.2), PairwisePoisson(0.3), FixedOutdegree(20), FixedOutdegree(20, True, False)):
        rows = []
        for which in ({"slice": [0, 100]}, {"slice": [37, 38]}):
            net = network(100, 300)
            net.project(net.select("A", **which), "B", rule, WEIGHT, DELAY, generate="by_source")
            s = connectivity(net, seed=SEED)
            rows.append(s.chosen(s.source == 37))
        assert rows[0].n > 5 and rows[0].same(rows[1])


# ---- Sides


def test_selections_meet_parts_as_sets_do() -> None:
    """Catches an error in the arithmetic of meeting sequences: against sets, for all small cases."""
    rng = np.random.default_rng(4)
    for _ in range(3000):
        a, b, a_step, b_step = (int(x) for x in (*rng.integers(0, 30, 2), *rng.integers(1, 13, 2)))
        a_count, b_count = (int(x) for x in rng.integers(0, 12, 2))
        m = meeting(a, a_step, a_count, b, b_step, b_count)
        mine, theirs = [a + a_step * k for k in range(a_count)], [b + b_step * k for k in range(b_count)]
        found = [mine[m.first + m.step * t] for t in range(m.count)]
        assert found == [theirs[m.other_first + m.other_step * t] for t in range(m.count)]
        assert found == sorted(set(mine) & set(theirs))


@pytest.mark.parametrize("which", [
    {}, {"slice": [3, 97]}, {"slice": [1, 100, 7]}, {"neurons": [0, 5, 6, 99]}, {"fraction": 0.3}, {"fraction": 0.8},
])  # fmt: skip
@pytest.mark.parametrize("stride", [1, 2, 3, 16])
def test_ranks_share_a_selection(which: dict[str, Any], stride: int) -> None:
    """Catches a selected neuron that no rank, or more than one, has, and a place on the side that is another's."""
    net = network(11, 100)
    chosen = net.select("B", **which)
    ids = selected_ids(chosen, SEED)
    assert ids.size == chosen.size and (np.diff(ids) > 0).all()
    places: dict[int, int] = {}
    for rank in range(stride):
        part = Part(net["B"], 1, 11 + rank, stride, len(range(rank, 100, stride)), 0)
        local = local_selection(chosen, part, SEED)
        t = np.arange(local.count)
        k = local.first + local.step * t if local.k is None else local.k
        place = local.first_place + local.place_step * t if local.place is None else local.place
        places.update(zip(place.tolist(), (rank + stride * k).tolist(), strict=True))
    assert [places[i] for i in range(chosen.size)] == ids.tolist()


def test_random_fractions_are_the_same_wherever_they_stand() -> None:
    """Catches a fraction that depends on more than seed, population and draw, or on fewer."""
    net = network(1000, 1000)
    first = selected_ids(net.select("A", fraction=0.1), 5)
    assert first.size == 100 and np.array_equal(first, selected_ids(net.select("A", fraction=0.1), 5))
    others = [
        selected_ids(net.select("A", fraction=0.1, draw=1), 5), selected_ids(net.select("A", fraction=0.1), 6),
        selected_ids(net.select("B", fraction=0.1), 5),
    ]  # fmt: skip
    for other in others:
        assert np.intersect1d(first, other).size < 30
    # Rounded half up, and all of them is the population.
    assert net.select("A", fraction=0.0005).size == 1 and net.select("A", fraction=0.0125).size == 13
    assert net.select("A", fraction=1.0).is_whole


def test_shared_neurons_are_counted_exactly() -> None:
    """Catches a forbidden autapse counted where there is none, which would shift every share of a total."""
    net = network(50, 60)
    kinds: list[dict[str, Any]] = [{}, {"slice": [4, 44, 3]}, {"slice": [1, 50, 2]}, {"neurons": [1, 4, 7, 8]},
                                   {"fraction": 0.5}]  # fmt: skip
    for mine, theirs in itertools.product(kinds, kinds):
        a = (net.select("B"), net.select("A", **mine))
        b = (net.select("A", **theirs), net.select("B", slice=[0, 30]))
        exact = np.isin(gids(a), gids(b))
        found = shared_places(a, b, SEED)
        places = [x for r in zip(found.begin, found.end, found.step, strict=True) for x in range(*r)]
        assert sorted([*places, *found.listed.tolist()]) == np.flatnonzero(exact).tolist()
        assert found.count == exact.sum()
        bound = shared_neurons(a, b)
        assert bound >= exact.sum()
        if "fraction" not in mine and "fraction" not in theirs:
            assert bound == exact.sum()


SELECTED: list[dict[str, Any]] = [
    {}, {"slice": [2, 40]}, {"slice": [1, 40, 3]}, {"neurons": [0, 3, 4, 11, 39]}, {"fraction": 0.25},
    {"fraction": 0.7, "draw": 2},
]  # fmt: skip


@st.composite
def described(draw: st.DrawFn) -> tuple[Network, Projection]:
    """One projection of any rule between any sides."""
    net = network(*(draw(st.lists(st.integers(40, 60), min_size=1, max_size=3))))
    names = [q.name for q in net.populations]

    def side() -> list[Selection]:
        chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=len(names), unique=True))
        return [net.select(name, **draw(st.sampled_from(SELECTED))) for name in chosen]

    sources, targets = side(), side()
    n_sources, n_targets = sum(s.size for s in sources), sum(s.size for s in targets)
    a, m = draw(st.booleans()), draw(st.booleans())
    pairs = n_sources * n_targets - min(n_sources, n_targets)
    rules: list[Any] = [
        AllToAll(a), PairwiseBernoulli(draw(st.sampled_from([0.0, 0.03, 0.5, 1.0])), a),
        PairwisePoisson(draw(st.sampled_from([0.0, 0.1, 3.0])), a),
        FixedTotalNumber(draw(st.integers(0, pairs)), a, m),
        FixedIndegree(draw(st.integers(0, n_sources - 1)), a, m),
        FixedOutdegree(draw(st.integers(0, n_targets - 1)), a, m),
        SymmetricPairwiseBernoulli(draw(st.sampled_from([0.0, 0.1, 0.9]))),
    ]  # fmt: skip
    rule = draw(st.sampled_from(rules))
    if isinstance(rule, SymmetricPairwiseBernoulli):
        targets = sources
    generate = draw(st.sampled_from([None, "by_source"])) if isinstance(rule, BY_SOURCE) else None
    weight = draw(st.sampled_from([2.0, WEIGHT, Gamma(2.0, 3.0), UniformInt(-3, 4), Normal(1.0, 2.0, min=0.0)]))
    bits = draw(st.sampled_from([None, 4]))
    return net, net.project(sources, targets, rule, weight, DELAY, generate=generate, weight_bits=bits)


@settings(max_examples=120)
@given(case=described(), layout=st.tuples(
    st.sampled_from([2, 3, 4, 5]), st.sampled_from((*PARTITIONS, "balanced")), st.integers(4, 16),
    st.sampled_from([300, 20_000, 2**28]),
))  # fmt: skip
def test_any_rule_between_any_sides(case: tuple[Network, Projection], layout: tuple[int, str, int, int]) -> None:
    """Catches a place on a side taken for another neuron's, autapses looked for at the wrong place, and whatever of
    the above comes from sides: random rules, selections, layouts."""
    net, projection = case
    one = connectivity(net, seed=SEED)
    check_invariants(projection, one)
    n_ranks, partition, block_bits, budget = layout
    how = {"partition": partition, "block_bits": block_bits, "cell_budget": budget}
    assert one.same(connectivity(net, n_ranks=n_ranks, seed=SEED, **how))


def varied() -> Network:
    """Every way to draw at once."""
    net = network(60, 50, 33)
    part, some = net.select("A", slice=[1, 60, 2]), net.select("B", fraction=0.4)
    net.project(part, ["B", "A"], FixedOutdegree(20, False, False), WEIGHT, DELAY, weight_bits=8)
    net.project(["A", some], ["C", part], PairwisePoisson(0.5), Gamma(2.0, 1.0), DELAY, generate="by_source")
    net.project(["C", "A"], ["C", "A"], SymmetricPairwiseBernoulli(0.2), -4.0, 0.5)
    net.project("A", some, FixedTotalNumber(900, True, False), UniformInt(-2, 3), Uniform(0.1, 3.0))
    net.project(some, "A", FixedTotalNumber(900, True, False), 1.0, DELAY, generate="by_source")
    net.project("B", "B", FixedIndegree(30, False, False), WEIGHT, DELAY, weight_bits=4)
    return net


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 5])
def test_simulations_on_stand_in_ranks_build_the_same_rows(n_ranks: int) -> None:
    """Catches these tests looking at another construction than the one a simulation runs on."""
    net = varied()
    for partition in PARTITIONS:
        run = RunSettings(duration=1.0, seed=SEED, partition=partition)
        tuning = Tuning(block_bits=5, cell_budget=4000)
        parts = Threads.run(
            n_ranks,
            lambda comm, run=run, tuning=tuning: read_simulation(
                Simulation(Experiment(net, run), comm, open_backend("cpu"), tuning=tuning)
            ),
        )
        together = Counter(x for part in parts for x in part.tuples())
        assert together == Counter(connectivity(net, seed=SEED).tuples()), partition


def test_a_dry_rank_finds_its_own_share() -> None:
    """Catches construction that talks: rank 11 of 64 builds alone what it builds among the others."""
    net = network(300, 300)
    net.project("A", "B", FixedOutdegree(40), WEIGHT, DELAY)
    net.project("B", "B", SymmetricPairwiseBernoulli(0.1), WEIGHT, DELAY)
    parts = build(net, n_ranks=64, seed=SEED, partition="round_robin")
    one = connectivity(net, seed=SEED)
    assert parts[11].n > 0 and parts[11].same(one.chosen(one.target % 64 == 11))


# ---- Weights at a resolution


@pytest.mark.parametrize("bits", [16, 8, 4])
@pytest.mark.parametrize(
    "weight", [Normal(0.5, 2.0), NormalClipped(87.8, 8.8), NormalClipped(-5.0, 2.0), Uniform(1.0, 4.0), Gamma(2.0, 3.0)]
)
def test_resolution_keeps_mean_and_variance(bits: int, weight: Any) -> None:
    """Catches bins whose width adds to the variance (Sheppard: 8 % with 4 bits of a uniform weight), more levels than
    asked for, and weights on the wrong side of zero."""
    net = network(400, 400)
    p = net.project("A", "B", AllToAll(), weight, 1.0, weight_bits=bits)
    s = connectivity(net, seed=SEED, precision="double")
    assert np.unique(s.weight).size <= 2**bits
    full = network(400, 400)
    full.project("A", "B", AllToAll(), weight, 1.0)
    whole = connectivity(full, seed=SEED, precision="double")
    spread = whole.weight.std()
    assert abs(s.weight.mean() - whole.weight.mean()) < 3e-3 * spread
    # A sample of 160,000: its own variance and that of its levels differ where the tails were drawn.
    assert abs(s.weight.var() / whole.weight.var() - 1.0) < 0.01
    low = p.weight.support()[0]
    assert low < 0.0 or s.weight.min() >= 0.0
    (error,) = weight_errors(net, plan_planes(net, "double"), *construction("double"))
    assert error is not None and error.mean < 2e-3 and error.variance < (0.02 if bits == 4 else 1e-3)
    plain = weight_errors(full, plan_planes(full, "double"), *construction("double"))
    assert plain == [None]


def test_resolution_of_listed_weights() -> None:
    """Catches listed weights that keep all their values, or moments taken from a rank's own."""
    values = np.random.default_rng(3).normal(5.0, 1.0, 900).tolist()
    net = network(30, 30)
    net.project("A", "B", AllToAll(), values, 1.0, weight_bits=4)
    s = connectivity(net, precision="double")
    assert np.unique(s.weight).size <= 16
    assert s.weight.mean() == pytest.approx(np.mean(values), rel=1e-12) and s.weight.var() == pytest.approx(
        np.var(values), rel=1e-9
    )
    assert s.same(connectivity(net, precision="double", n_ranks=3))
