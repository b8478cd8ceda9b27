"""What is drawn has its distribution: chi-square with fixed seeds, and with the power to see a bias of 1 %.

Every check is made twice: on the data, which must pass at a level that gives the whole file one false alarm in a
million runs, and against a hypothesis that is wrong by 1 % (a mean, a probability, a spread), which must be
rejected at the same level. A test without power fails.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from counting import LEVEL, agrees, p_value, sloped, tilted
from readback import Synapses, connectivity
from scipy import stats

from distsim import (
    Experiment,
    FixedIndegree,
    FixedTotalNumber,
    Lognormal,
    Network,
    Normal,
    NormalClipped,
    PairwiseBernoulli,
    RunSettings,
    Uniform,
)
from distsim.backend import open_backend
from distsim.build.quanta import plan_planes
from distsim.comm import Serial
from distsim.engine.simulation import Simulation

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def test_the_check_itself() -> None:
    """Catches a check that passes everything: exact data pass, data with a planted bias of 1 % do not."""
    rng = np.random.default_rng(1)
    agrees(rng.multinomial(4_000_000, np.full(40, 1 / 40)), np.ones(40), tilted(40))
    with pytest.raises(AssertionError, match="p ="):
        agrees(rng.multinomial(4_000_000, tilted(40) / 40), np.ones(40), tilted(40))
    with pytest.raises(AssertionError, match="do not tell"):
        agrees(rng.multinomial(40_000, np.full(40, 1 / 40)), np.ones(40), tilted(40))
    with pytest.raises(AssertionError, match="p ="):  # too even to be drawn
        agrees(np.full(40, 100_000), np.ones(40), tilted(40))


def network(sources: int, targets: int) -> Network:
    net = Network()
    net.population("A", sources, "iaf_psc_exp")
    net.population("B", targets, "iaf_psc_exp")
    return net


# ---- Who is connected to whom


@cache
def indegree_synapses() -> Synapses:
    net = network(60, 4000)
    net.project("A", "B", FixedIndegree(1000), 1.0, 1.0)
    return connectivity(net, seed=11)


def test_fixed_indegree_draws_every_source_alike() -> None:
    """Catches a modulo or rounding bias in the choice of a source, and an end of the range that is drawn less."""
    chosen = np.bincount(indegree_synapses().source, minlength=60)
    agrees(chosen, np.ones(60), tilted(60))
    agrees(chosen, np.ones(60), sloped(60))


def test_fixed_indegree_draws_the_first_and_the_last_source_alike() -> None:
    """Catches a bias of 1 % of one source alone, as rounding at an end of the range would give."""
    net = network(5, 4000)
    net.project("A", "B", FixedIndegree(1500), 1.0, 1.0)
    chosen = np.bincount(connectivity(net, seed=21).source, minlength=5)
    for source in range(5):
        agrees(chosen, np.ones(5), 1.0 + 0.01 * (np.arange(5) == source))


def test_fixed_indegree_draws_are_independent() -> None:
    """Catches draws of one target that depend on each other: the counts of each (source, target) are multinomial, whose
    dispersion an excess or a lack of repetitions by 1 % would change; and with one source per target at a time."""
    s = indegree_synapses()
    cells = np.bincount(s.source * 4000 + s.target - 60, minlength=240_000)
    mean = 1000 / 60
    dispersion = float(((cells - mean) ** 2 / mean).sum())
    freedom = 4000 * 59
    assert abs(dispersion / freedom - 1.0) < 5.8 * math.sqrt(2.0 / freedom)
    assert 5.8 * math.sqrt(2.0 / freedom) < 0.02
    k = np.arange(0, 60)
    counts = np.bincount(np.minimum(cells, 59), minlength=60)
    agrees(counts, stats.binom.pmf(k, 1000, 1 / 60), stats.binom.pmf(k, 1000, 1.01 / 60))


def test_forbidden_autapses_leave_the_others_alike() -> None:
    """Catches the place of the forbidden source given to its neighbour: it must be spread over all others."""
    net = network(31, 1)
    net.project("A", "A", FixedIndegree(100_000, False), 1.0, 1.0)
    s = connectivity(net, seed=12)
    distance = (s.source - s.target) % 31
    counts = np.bincount(distance, minlength=31)
    assert counts[0] == 0
    agrees(counts[1:], np.ones(30), tilted(30))
    agrees(np.bincount(s.source, minlength=31), np.ones(31), sloped(31))


@pytest.mark.parametrize("autapses", [True, False])
def test_fixed_total_number_draws_every_pair_alike(autapses: bool) -> None:
    """Catches a lopsided split of the tree, and sources that depend on targets: sources, targets and (pooled by their
    difference) pairs, where forbidden autapses take one source from each target."""
    net = network(50, 1)
    net.project("A", "A", FixedTotalNumber(4_000_000, autapses), 1.0, 1.0)
    s = connectivity(net, seed=13)
    assert s.n == 4_000_000
    for side in (s.source, s.target):
        counts = np.bincount(side, minlength=50)
        agrees(counts, np.ones(50), tilted(50))
        agrees(counts, np.ones(50), sloped(50))
    distance = np.bincount((s.source - s.target) % 50, minlength=50)
    if not autapses:
        assert distance[0] == 0
    agrees(distance[0 if autapses else 1 :], np.ones(50 if autapses else 49), tilted(50 if autapses else 49))
    pairs = np.bincount(s.source * 50 + s.target, minlength=2500).reshape(50, 50)
    if not autapses:
        pairs = pairs[~np.eye(50, dtype=bool)].reshape(50, 49)
    assert LEVEL < p_value(pairs.ravel(), np.full(pairs.size, 4e6 / pairs.size)) < 1.0 - LEVEL


@pytest.mark.parametrize("targets", [1_000_000, 700_001])
def test_fixed_total_number_shares_are_binomial(targets: int) -> None:
    """Catches a split whose halves are not binomial (too even, too uneven) at any level of a tree of twenty, or whose
    parts are unequal where the number of targets is no power of two."""
    net = network(1, targets)
    net.project("A", "B", FixedTotalNumber(4_000_000), 1.0, 1.0)
    s = connectivity(net, seed=14)
    shares = np.bincount(s.target - 1, minlength=targets)
    k = np.arange(0, 60)
    p = 1.0 / targets
    agrees(np.bincount(shares, minlength=60)[:60], stats.binom.pmf(k, 4_000_000, p), stats.binom.pmf(k, 4_040_000, p))
    for n in (2, 7, 64):  # parts of neighbouring targets
        part = np.arange(targets) * n // targets
        expected = np.bincount(part, minlength=n).astype(np.float64)
        agrees(np.bincount(part, weights=shares, minlength=n).astype(np.int64), expected, expected * tilted(n))


# Probability: targets. With 64 sources a probability that is 1 % off is sqrt(64 targets p / (1 - p)) / 100 errors.
PAIRS = {0.02: 900_000, 0.3: 120_000, 0.95: 60_000}


@cache
def bernoulli_matrix(p: float) -> npt.NDArray[np.bool_]:
    """[target, source]: connected?"""
    net = network(64, PAIRS[p])
    net.project("A", "B", PairwiseBernoulli(p), 1.0, 1.0)
    s = connectivity(net, seed=15)
    matrix = np.zeros((PAIRS[p], 64), bool)
    matrix[s.target - 64, s.source] = True
    assert matrix.sum() == s.n, "a pair was drawn twice"
    return matrix


@pytest.mark.parametrize("p", PAIRS)
def test_pairwise_bernoulli_pairs_have_their_probability(p: float) -> None:
    """Catches gaps that are off by one or cut short: the number of connections, and every source's frequency over the
    targets (the first and the last source too)."""
    matrix = bernoulli_matrix(p)
    n = matrix.shape[0]
    frequency = matrix.sum(axis=0).astype(np.float64)
    scale = math.sqrt(n * p * (1.0 - p))
    for q in (p, 0.99 * p):
        total = 2.0 * stats.norm.sf(abs(frequency.sum() - n * 64 * q) / (scale * 8.0))
        each = stats.chi2.sf((((frequency - n * q) / scale) ** 2).sum(), 64)
        if q == p:
            assert each > LEVEL and total > LEVEL, (each, total)
        else:
            assert total < LEVEL, "no power to tell a bias of 1 %"


@pytest.mark.parametrize("p", PAIRS)
def test_pairwise_bernoulli_degrees_are_binomial(p: float) -> None:
    """Catches pairs of one target that depend on one another (a gap drawn twice, a draw shared by lanes)."""
    matrix = bernoulli_matrix(p)
    k = np.arange(65)
    right, wrong = stats.binom.pmf(k, 64, p), stats.binom.pmf(k, 64, 0.99 * p)
    agrees(np.bincount(matrix.sum(axis=1), minlength=65), right, wrong, "in-degrees")
    # Out-degrees onto groups of 64 targets: binomial too.
    groups = matrix[: len(matrix) // 64 * 64].reshape(-1, 64, 64).sum(axis=1)
    agrees(np.bincount(groups.ravel(), minlength=65), right, wrong, "out-degrees")


@pytest.mark.parametrize("p", [0.3, 0.95])
def test_pairwise_bernoulli_neighbours_are_independent(p: float) -> None:
    """Catches correlation between neighbouring sources or neighbouring targets: one of 1 % would be 6 and more standard
    errors (1 / sqrt(pairs))."""
    matrix = (bernoulli_matrix(p) - p) / math.sqrt(p * (1.0 - p))
    for lagged in (
        matrix[:, 1:] * matrix[:, :-1],
        matrix[:, 2:] * matrix[:, :-2],
        matrix[1:] * matrix[:-1],
        matrix[32:] * matrix[:-32],
    ):
        correlation, error = lagged.mean(), 1.0 / math.sqrt(lagged.size)
        assert abs(correlation) < 5.9 * error < 0.01


# ---- Delays and weights


def truncated(mean: float, std: float, low: float, high: float) -> Any:
    return stats.truncnorm((low - mean) / std, (high - mean) / std, mean, std)


# Name: (what is described, its distribution, distributions that are off by 1 %).
CONTINUOUS: dict[str, tuple[Any, Any, list[Any]]] = {
    "normal_clipped": (
        NormalClipped(1.5, 0.75), truncated(1.5, 0.75, 0.05, np.inf),
        [truncated(1.515, 0.75, 0.05, np.inf), truncated(1.5, 0.7575, 0.05, np.inf)],
    ),
    "normal_clipped on both sides": (
        NormalClipped(1.0, 2.0, 0.5, 3.0), truncated(1.0, 2.0, 0.5, 3.0),
        [truncated(1.05, 2.0, 0.5, 3.0), truncated(1.0, 2.0, 0.51, 3.01)],
    ),
    "uniform": (Uniform(0.5, 2.5), stats.uniform(0.5, 2.0), [stats.uniform(0.505, 2.0), stats.uniform(0.5, 2.02)]),
    "lognormal": (
        Lognormal(0.2, 0.6), stats.lognorm(0.6, scale=math.exp(0.2)),
        [stats.lognorm(0.6, scale=1.01 * math.exp(0.2)), stats.lognorm(0.606, scale=math.exp(0.2))],
    ),
}  # fmt: skip
WEIGHTS: dict[str, tuple[Any, Any, list[Any]]] = {
    "normal": (
        Normal(-3.0, 5.0), stats.norm(-3.0, 5.0), [stats.norm(-3.05, 5.0), stats.norm(-3.0, 5.05)],
    ),
    "normal_clipped": (
        NormalClipped(87.8, 30.0), truncated(87.8, 30.0, 0.0, np.inf),
        [truncated(88.7, 30.0, 0.0, np.inf), truncated(87.8, 30.3, 0.0, np.inf)],
    ),
    "negative normal_clipped": (
        NormalClipped(-1.0, 1.0), truncated(-1.0, 1.0, -np.inf, 0.0),
        [truncated(-1.01, 1.0, -np.inf, 0.0), truncated(-1.0, 1.01, -np.inf, 0.0)],
    ),
    "uniform": CONTINUOUS["uniform"],
    "lognormal": CONTINUOUS["lognormal"],
}  # fmt: skip
DRAWS = 3_000_000


def drawn(weight: Any, delay: Any, precision: str = "single") -> tuple[Network, Synapses]:
    net = network(1, 3000)
    net.project("A", "B", FixedIndegree(DRAWS // 3000), weight, delay)
    return net, connectivity(net, seed=16, precision=precision)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_delays_have_their_distribution(name: str) -> None:
    """Catches a threshold in the table of delays that is off, a step that is never drawn, and rounding other than half
    up: exact probabilities of every step, from the distribution function."""
    described, right, wrong = CONTINUOUS[name]
    steps = drawn(1.0, described)[1].delay
    n = int(steps.max()) + 40
    edges = 0.1 * (np.arange(n + 1) - 0.5)
    counts = np.bincount(steps, minlength=n)
    assert counts.sum() == DRAWS
    exact = np.diff(np.concatenate(([0.0], right.cdf(edges[1:-1]), [1.0])))
    assert (counts[exact == 0.0] == 0).all(), "a delay that the distribution cannot give"
    for other in wrong:
        agrees(counts, exact, np.diff(np.concatenate(([0.0], other.cdf(edges[1:-1]), [1.0]))), name)


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_have_their_distribution(name: str, precision: str) -> None:
    """Catches a wrong transform, a truncation that piles up at the bound, and rounding to quanta that shifts the mean:
    a hundred bins of equal probability, whose edges lie between two quanta."""
    described, right, wrong = WEIGHTS[name]
    net, s = drawn(described, 1.0, precision)
    endpoint = plan_planes(net, precision).endpoints[0, 1, None]
    quantum = max(p.quantum for p in (endpoint.positive, endpoint.negative) if p)
    edges = np.unique((np.round(right.ppf(np.arange(1, 100) / 100.0) / quantum - 0.5) + 0.5) * quantum)
    assert edges.size > 50
    counts = np.bincount(np.searchsorted(edges, s.weight), minlength=edges.size + 1)

    def probabilities(distribution: Any) -> Floats:
        return np.diff(np.concatenate(([0.0], distribution.cdf(edges), [1.0])))

    for other in wrong:
        agrees(counts, probabilities(right), probabilities(other), name)


def test_weights_and_delays_and_sources_are_independent() -> None:
    """Catches one word of a block used twice: source, delay and weight of a synapse, pairwise in twelve by twelve bins;
    a correlation of 1 % is 17 standard errors."""
    net = network(48, 3000)
    net.project("A", "B", FixedIndegree(1000), Uniform(1.0, 2.0), Uniform(0.05, 4.85))
    s = connectivity(net, seed=17)
    a, b, c = s.source // 4, (s.delay - 1) // 4, np.minimum(((s.weight - 1.0) * 12).astype(np.int64), 11)
    for x, y in ((a, b), (a, c), (b, c)):
        table = np.bincount(x * 12 + y, minlength=144).reshape(12, 12)
        expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / s.n
        p = stats.chi2.sf(((table - expected) ** 2 / expected).sum(), 121)
        assert p > LEVEL
    # The same between one draw and the next of a target, as they are stored for one source: neighbours in target order.
    one = s.chosen(s.source == 0)
    order = np.argsort(one.target, kind="stable")
    u = (one.weight[order] - 1.5) * math.sqrt(12.0)
    assert abs((u[1:] * u[:-1]).mean()) < 5.9 / math.sqrt(u.size)


# ---- Initial values and parameters


@pytest.mark.parametrize(
    ("described", "right", "wrong"),
    [
        # A bias of 1 % of the spread: where a potential is zero is a matter of convention.
        (Normal(-58.0, 10.0), stats.norm(-58.0, 10.0), [stats.norm(-57.9, 10.0), stats.norm(-58.0, 10.1)]),
        (Uniform(-70.0, -50.0), stats.uniform(-70.0, 20.0), [stats.uniform(-69.8, 20.0), stats.uniform(-70.0, 20.2)]),
    ],
    ids=["normal", "uniform"],
)
def test_initial_potentials_have_their_distribution(described: Any, right: Any, wrong: list[Any]) -> None:
    """Catches initial values drawn from another distribution, or the offset to E_L added twice or not at all."""
    net = Network()
    net.population("A", 1_000_000, "iaf_psc_exp", E_L=-65.0, initial={"V_m": described})
    sim = Simulation(Experiment(net, RunSettings(duration=1.0, seed=18)), Serial(), open_backend("cpu"))
    v_m = np.asarray(sim.groups[0].states["V_m"], np.float64) + sim.groups[0].offsets["V_m"]
    edges = right.ppf(np.arange(1, 100) / 100.0)
    counts = np.bincount(np.searchsorted(edges, v_m), minlength=100)
    for other in wrong:
        agrees(counts, np.full(100, 0.01), np.diff(np.concatenate(([0.0], other.cdf(edges), [1.0]))))
    z = right.cdf(v_m) - 0.5
    assert abs((z[1:] * z[:-1]).mean() * 12.0) < 5.9e-3, "neighbours are correlated"
