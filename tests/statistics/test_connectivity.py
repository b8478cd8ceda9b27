"""Rules without replacement, by source and symmetric, counts and distributions: chi-square with power against 1 %.

As tests/statistics/test_distributions.py: data must pass, and hypotheses that are wrong by 1 % must be rejected, at a
level that gives the file one false alarm in a million runs.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from counting import LEVEL, agrees, p_value, sloped, tilted
from readback import Synapses, connectivity, construction
from scipy import stats

from distsim import (
    Exponential,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    Gamma,
    Lognormal,
    Network,
    Normal,
    PairwiseBernoulli,
    PairwisePoisson,
    SymmetricPairwiseBernoulli,
    Uniform,
    UniformInt,
)
from distsim.build.sampling import sampler
from distsim.build.selecting import selected_ids
from distsim.distributions import support
from distsim.kernels import values as structs

Floats = npt.NDArray[np.float64]


def drawn(rule: Any, sources: int, targets: int, seed: int, same: bool = False, **how: Any) -> Synapses:
    """Connections; ids of either side count from 0."""
    net = Network()
    net.population("A", sources, "iaf_psc_exp")
    if not same:
        net.population("B", targets, "iaf_psc_exp")
    net.project("A", "A" if same else "B", rule, 1.0, 1.0, **how)
    s = connectivity(net, seed=seed)
    return s if same else Synapses(s.source, s.target - sources, s.weight, s.delay, s.receptor, s.plane)


def fair(counts: npt.NDArray[np.int64], spread: float, what: str) -> None:
    """Counts of equally likely things whose variance is `spread` times that of a multinomial: not too uneven, not too
    even, and a bias of 1 % (bin by bin, and a slope) would show."""
    n, total = counts.size, counts.sum()
    mean = total / n
    for wrong in (tilted(n), sloped(n), None):
        expected = mean * (wrong if wrong is not None else np.ones(n))
        found = float(((counts - expected) ** 2 / (mean * spread)).sum())
        low, high = stats.chi2.cdf(found, n - 1), stats.chi2.sf(found, n - 1)
        if wrong is None:
            assert min(low, high) > LEVEL / 2, (what, low, high)
        else:
            assert high < LEVEL, f"{what}: no power to tell a bias of 1 % ({high:.1e})"


@pytest.mark.parametrize("k", [7, 40])
@pytest.mark.parametrize("which", ["in", "out"])
def test_degrees_without_multapses_draw_every_partner_alike(which: str, k: int) -> None:
    """Catches a node of the tree that gets too much, Floyd's last element preferred, and a lopsided half: each of 50
    partners equally often, with the variance of drawing without replacement; and all pairs of partners."""
    draws = 3_500_000 // k
    rule: Any = FixedIndegree(k, True, False) if which == "in" else FixedOutdegree(k, True, False)
    s = drawn(rule, *((50, draws) if which == "in" else (draws, 50)), seed=31)
    partner, drawer = (s.source, s.target) if which == "in" else (s.target, s.source)
    fair(np.bincount(partner, minlength=50), (50 - k) / 49, which)
    chosen = np.zeros((draws, 50), bool)
    chosen[drawer, partner] = True
    assert chosen.sum() == s.n == draws * k
    together = (chosen.astype(np.float32).T @ chosen.astype(np.float32))[np.triu_indices(50, 1)].astype(np.float64)
    p = k * (k - 1) / (50 * 49)
    z = (together - draws * p) / math.sqrt(draws * p * (1 - p))
    # 1,225 pairs, weakly dependent: each within 6.5 deviations, the sum of squares as it should be to 20 %.
    assert np.abs(z).max() < 6.5 and 0.8 < (z**2).mean() * (49 / 48) < 1.2


@pytest.mark.parametrize("generate", ["by_target", "by_source"])
@pytest.mark.parametrize("autapses", [True, False])
@pytest.mark.parametrize("fill", [0.05, 0.5, 0.9])
def test_totals_without_multapses_draw_every_pair_alike(generate: Any, autapses: bool, fill: float) -> None:
    """Catches a hypergeometric split that is too even or uneven (it has less variance than a binomial one), and
    forbidden pairs that shift their neighbours: rows, columns and single pairs over 400 networks."""
    size, runs = 24, 400
    pairs = size * (size if autapses else size - 1)
    total = round(fill * pairs)
    matrix = np.zeros((size, size), np.int64)
    rows: list[int] = []
    for seed in range(runs):
        s = drawn(FixedTotalNumber(total, autapses, False), size, size, seed, same=True, generate=generate)
        assert s.n == total and np.unique(s.source * size + s.target).size == total
        np.add.at(matrix, (s.source, s.target), 1)
        rows += [*np.bincount(s.source, minlength=size).tolist(), *np.bincount(s.target, minlength=size).tolist()]
    allowed = np.ones((size, size), bool) if autapses else ~np.eye(size, dtype=bool)
    assert matrix[~allowed].sum() == 0
    z = (matrix[allowed] - runs * fill) / math.sqrt(runs * fill * (1 - fill))
    found = float((z**2).sum()) * (pairs - 1) / pairs
    assert min(stats.chi2.sf(found, pairs - 1), stats.chi2.cdf(found, pairs - 1)) > LEVEL / 2
    # The number of a row is hypergeometric: all rows and columns pooled (they are dependent, so at a lower level).
    row = size if autapses else size - 1
    k = np.arange(row + 1)
    exact = stats.hypergeom.pmf(k, pairs, total, row)
    counts = np.bincount(rows, minlength=row + 1)
    assert p_value(counts, exact * len(rows)) > 1e-8
    mean, variance = np.mean(rows), np.var(rows)
    assert mean == pytest.approx(total / size)
    assert abs(variance / (exact @ (k - exact @ k) ** 2) - 1.0) < 6.0 * math.sqrt(2.0 / len(rows))


def test_outdegrees_with_multapses_give_binomial_indegrees() -> None:
    """Catches a split of a source's draws whose halves are not binomial, at any level of a tree over 700 targets."""
    s = drawn(FixedOutdegree(2000), 2500, 700, 33)
    k = np.arange(60)
    cells = np.bincount(s.source * 700 + s.target, minlength=2500 * 700)
    agrees(
        np.bincount(cells, minlength=60), stats.binom.pmf(k, 2000, 1 / 700), stats.binom.pmf(k, 2020, 1 / 700)
    )  # fmt: skip
    fair(np.bincount(s.target // 10, minlength=70), 1.0, "in-degrees")
    own = drawn(FixedOutdegree(400_000, False), 31, 31, 34, same=True)
    distance = np.bincount((own.source - own.target) % 31, minlength=31)
    assert distance[0] == 0
    agrees(distance[1:], np.ones(30), tilted(30))


@pytest.mark.parametrize("p", [0.05, 0.5, 0.95])
def test_bernoulli_by_source_and_symmetric(p: float) -> None:
    """Catches a number of draws that is not binomial, or places that are not equally likely."""
    n = 64
    for kind in ("by_source", "symmetric"):
        matrices = []
        for seed in range(90 if kind == "by_source" else 180):
            if kind == "by_source":
                s = drawn(PairwiseBernoulli(p), 600, n, seed, generate="by_source")
            else:
                s = drawn(SymmetricPairwiseBernoulli(p), n, n, seed, same=True)
            matrix = np.zeros((600 if kind == "by_source" else n, n), bool)
            matrix[s.source, s.target] = True
            assert matrix.sum() == s.n
            matrices.append(matrix)
        if kind == "symmetric":
            lower = np.tril_indices(n, -1)
            sums = np.array([m[lower].sum() for m in matrices])
            everywhere = np.sum([m[lower] for m in matrices], axis=0)
            z = (everywhere - len(matrices) * p) / math.sqrt(len(matrices) * p * (1 - p))
            found = float((z**2).sum())
            assert min(stats.chi2.sf(found, z.size), stats.chi2.cdf(found, z.size)) > LEVEL / 2
            scale = math.sqrt(sums.size * z.size * p * (1 - p))
            assert abs(sums.sum() - sums.size * z.size * p) < 5.9 * scale
            degrees = np.concatenate([m.sum(axis=1) for m in matrices])
            # Degrees within one network are dependent through the pair they share, by 1/63: the test stands.
            assert (
                p_value(np.bincount(degrees, minlength=n), stats.binom.pmf(np.arange(n), n - 1, p) * degrees.size)
                > 1e-8
            )
        else:
            rows = np.concatenate(matrices)
            k = np.arange(n + 1)
            if rows.size * p / (1 - p) > 1e6:
                agrees(
                    np.bincount(rows.sum(axis=1), minlength=n + 1), stats.binom.pmf(k, n, p),
                    stats.binom.pmf(k, n, p - 0.01 * min(p, 1 - p) if p < 0.9 else 0.9405),
                )  # fmt: skip
            columns = rows.sum(axis=0)
            z = (columns - len(rows) * p) / math.sqrt(len(rows) * p * (1 - p))
            assert min(stats.chi2.sf((z**2).sum(), n), stats.chi2.cdf((z**2).sum(), n)) > LEVEL / 2


@pytest.mark.parametrize("generate", ["by_target", "by_source"])
@pytest.mark.parametrize("mean", [0.1, 1.3, 40.0])
def test_pairwise_poisson_pairs_are_poisson(generate: Any, mean: float) -> None:
    """Catches a total that is not Poisson (inversion below 10, transformed rejection above) or an uneven spread."""
    sources, targets = {0.1: (64, 200_000), 1.3: (64, 8000), 40.0: (30, 700)}[mean]
    s = drawn(PairwisePoisson(mean), sources, targets, 35, generate=generate)
    cells = np.bincount(s.source * targets + s.target, minlength=sources * targets)
    k = np.arange(120)
    agrees(
        np.bincount(cells, minlength=120)[:120], stats.poisson.pmf(k, mean), stats.poisson.pmf(k, mean * 1.01)
    )  # fmt: skip
    scale = math.sqrt(sources * targets * mean)
    assert abs(s.n - sources * targets * mean) < 5.9 * scale < 0.01 * sources * targets * mean
    sums = np.bincount(s.target if generate == "by_target" else s.source)
    spread = ((sums - sums.mean()) ** 2 / sums.mean()).sum()
    assert min(stats.chi2.sf(spread, sums.size - 1), stats.chi2.cdf(spread, sums.size - 1)) > LEVEL / 2


def test_random_fractions_select_every_neuron_alike() -> None:
    """Catches Floyd's algorithm off by one: each neuron, and each pair of neurons, equally often over 6,000 draws."""
    net = Network()
    population = net.population("A", 12, "iaf_psc_exp")
    for fraction, k in ((0.25, 3), (0.75, 9)):
        chosen = np.zeros((6000, 12), bool)
        for draw in range(6000):
            chosen[draw, selected_ids(net.select(population, fraction=fraction, draw=draw), 7)] = True
        assert (chosen.sum(axis=1) == k).all()
        sets = np.unique(chosen @ (1 << np.arange(12)), return_counts=True)[1]
        assert sets.size == math.comb(12, 3)
        assert LEVEL < p_value(sets, np.full(sets.size, 6000 / sets.size)) < 1.0 - LEVEL
        counts = chosen.sum(axis=0)
        found = float(((counts - 6000 * k / 12) ** 2).sum() / (6000 * k * (12 - k) / 144) * 11 / 12)
        assert stats.chi2.sf(found, 11) > LEVEL


# ---- The counts themselves

HYPERGEOMETRIC = [  # good, bad, draws
    (5, 7, 4), (300, 200, 30), (10, 10**6, 5000), (40_000, 60_000, 50), (40_000, 60_000, 70_000), (500, 500, 500),
    (1000, 9000, 9500), (2**33, 2**35, 100_000), (3_000_000, 70, 2_000_000), (2000, 10**7, 2000), (1, 1, 1),
]  # fmt: skip


def evaluated(index: int, n: int, seed: int, **arguments: Any) -> Floats:
    """What the test kernel gives for n identities."""
    backend, kernels = construction("single")
    out = backend.empty(n, np.float64)
    keep = backend.to_device(np.array(arguments.pop("thresholds", [0]), np.uint64))
    arguments |= {"drawn": backend.pointer(out), "thresholds": backend.pointer(keep)}
    kernels.launch("evaluate", structs.Values(n=n, seed=seed, stream=99, index=index, **arguments), n)
    return backend.to_host(out)


@pytest.mark.parametrize(("good", "bad", "draws"), HYPERGEOMETRIC)
def test_hypergeometric_counts(good: int, bad: int, draws: int) -> None:
    """Catches a wrong start, recursion, hat or symmetry in any of the sampler's cases."""
    n = 400_000
    found = evaluated(4, n, 5, thresholds=[good, bad, draws]).astype(np.int64)
    exact = stats.hypergeom(good + bad, good, draws)
    low, high = max(0, draws - bad), min(good, draws)
    assert found.min() >= low and found.max() <= high
    begin, end = int(found.min()), int(found.max())
    k = np.arange(begin, end + 1)
    if k.size > 1:
        expected = exact.pmf(k)
        assert expected.sum() > 1.0 - 1e-4
        counts = np.bincount(found - begin, minlength=k.size)
        assert LEVEL < p_value(counts, expected / expected.sum() * n, constraints=0) < 1.0 - LEVEL
        assert abs(found.mean() - exact.mean()) < 5.9 * exact.std() / math.sqrt(n)
        kurtosis = float(np.nan_to_num(exact.stats("k"), nan=-1.9)) + 2.0
        assert abs(found.var() / exact.var() - 1.0) < 5.9 * math.sqrt(max(kurtosis, 0.1) / n) + 1e-3


@pytest.mark.parametrize(
    ("left", "right", "draws"),
    [
        (1, 1, 1), (2, 1, 5), (10, 11, 37), (21, 20, 64), (88, 87, 128), (350, 350, 1000), (501, 500, 1024),
        (500, 501, 1025),
    ],
)  # fmt: skip
def test_shares_of_halves(left: int, right: int, draws: int) -> None:
    """Catches bits that are counted twice or not at all, at the seams of words and blocks, and uneven halves that get
    even shares: coins alone would be rejected."""
    n = 400_000
    found = evaluated(6, n, 8, thresholds=[left, right, draws]).astype(np.int64)
    assert found.min() >= 0 and found.max() <= draws
    counts, k = np.bincount(found, minlength=draws + 1), np.arange(draws + 1)
    assert LEVEL < p_value(counts, stats.binom.pmf(k, draws, left / (left + right)) * n) < 1.0 - LEVEL
    if abs(left - right) / (left + right) * math.sqrt(n * draws) > 10.0:  # standard errors of the mean
        assert p_value(counts, stats.binom.pmf(k, draws, 0.5) * n) < LEVEL


@pytest.mark.parametrize("mean", [0.01, 3.0, 9.99, 10.0, 123.4, 1e6])
def test_poisson_counts(mean: float) -> None:
    """Catches a wrong constant of the transformed rejection, and a seam at 10 where the methods change."""
    n = 1_000_000
    found = evaluated(5, n, 6, per_unit=mean).astype(np.int64)
    begin = int(found.min())
    k = np.arange(begin, int(found.max()) + 1)
    exact = stats.poisson(mean).pmf(k)
    assert LEVEL < p_value(np.bincount(found - begin), exact / exact.sum() * n) < 1.0 - LEVEL
    assert abs(found.mean() - mean) < 5.9 * math.sqrt(mean / n)


# ---- Distributions against SciPy's


def bounded(d: Any, low: float, high: float) -> Any:
    """The distribution function of d truncated to [low, high]."""
    begin, end = d.cdf(low), d.cdf(high)
    return lambda x: np.clip((d.cdf(x) - begin) / (end - begin), 0.0, 1.0)


def clipped(d: Any, low: float, high: float) -> Any:
    return lambda x: np.where(x < low, 0.0, np.where(x >= high, 1.0, d.cdf(x)))


NORMAL, LOGNORMAL, INF = stats.norm(2.0, 3.0), stats.lognorm(0.5, scale=math.exp(1.0)), math.inf
DISTRIBUTIONS: list[tuple[Any, Any]] = [
    (Normal(2.0, 3.0, min=0.0), bounded(NORMAL, 0.0, INF)),
    (Normal(2.0, 3.0, min=9.0, max=12.0), bounded(NORMAL, 9.0, 12.0)),
    (Normal(2.0, 3.0, min=0.0, max=4.0, bounds="clip"), clipped(NORMAL, 0.0, 4.0)),
    (Lognormal(1.0, 0.5, max=4.0), bounded(LOGNORMAL, 0.0, 4.0)),
    (Lognormal(1.0, 0.5, min=2.0, bounds="clip"), clipped(LOGNORMAL, 2.0, INF)),
    (Uniform(-1.0, 3.0, max=2.0), bounded(stats.uniform(-1.0, 4.0), -1.0, 2.0)),
    (Uniform(-1.0, 3.0, min=0.0, bounds="clip"), clipped(stats.uniform(-1.0, 4.0), 0.0, INF)),
    (UniformInt(-3, 8), stats.randint(-3, 9).cdf),
    (UniformInt(-3, 8, min=-0.5, max=6.5), stats.randint(0, 7).cdf),
    (UniformInt(-3, 8, max=2.0, bounds="clip"), clipped(stats.randint(-3, 9), -9.0, 2.0)),
    (Exponential(2.5), stats.expon(scale=2.5).cdf),
    (Exponential(2.5, min=3.0, max=11.0), bounded(stats.expon(scale=2.5), 3.0, 11.0)),
    *((Gamma(a, 2.0), stats.gamma(a, scale=2.0).cdf) for a in (0.05, 0.3, 1.0, 2.5, 40.0, 3000.0)),
    (Gamma(2.5, 2.0, min=1.0, max=6.0), bounded(stats.gamma(2.5, scale=2.0), 1.0, 6.0)),
    (Gamma(0.5, 2.0, min=1.0, bounds="clip"), clipped(stats.gamma(0.5, scale=2.0), 1.0, INF)),
    (3.0 * Lognormal(1.0, 0.5) - 2.0, lambda x: LOGNORMAL.cdf((x + 2.0) / 3.0)),
    (-3.0 * Lognormal(1.0, 0.5), lambda x: LOGNORMAL.sf(x / -3.0)),
    (4.0 - 0.5 * Exponential(2.5, min=2.0, max=11.0),
     lambda x: 1.0 - bounded(stats.expon(scale=2.5), 2.0, 11.0)((4.0 - x) / 0.5)),
    (-Gamma(0.5, 2.0, min=1.0, bounds="clip"),
     lambda x: np.where(x >= -1.0, 1.0, stats.gamma(0.5, scale=2.0).sf(-x))),
    (-1.0 * UniformInt(-3, 8, min=-0.5, max=6.5), stats.randint(-6, 1).cdf),
    (1.0 - Normal(2.0, 3.0, min=0.0), bounded(stats.norm(-1.0, 3.0), -INF, 1.0)),
    (-2.0 * Uniform(-1.0, 3.0, max=2.0), bounded(stats.uniform(-6.0, 8.0), -4.0, 2.0)),
]  # fmt: skip
SPACED = 2**16


@pytest.mark.parametrize(("described", "exact"), DISTRIBUTIONS, ids=[str(d)[:60] for d, _ in DISTRIBUTIONS])
def test_values_have_their_distribution(described: Any, exact: Any) -> None:
    """Catches a wrong transform, bound or truncation: the inverse at 65,536 equally spaced probabilities, and SciPy's
    distribution function there. No chance is involved: an error of 1e-6 of the probability shows."""
    described.check("here")
    backend, kernels = construction("single")
    out = backend.empty(SPACED, np.float64)
    kernels.launch(
        "spaced_values", structs.Values(n=SPACED, sampler=sampler(described), drawn=backend.pointer(out)), SPACED
    )
    x = backend.to_host(out)
    low, high = support(described)
    assert (np.diff(x) >= 0.0).all() and x[0] >= low and x[-1] <= high
    # The word in the middle of a stratum stands for the probability (i + 1/2) / n, and 1/2 / 2^32 more.
    p = (np.arange(SPACED) + 0.5) / SPACED + 2.0**-33
    inside = (x > low) & (x < high)
    if isinstance(described, UniformInt):
        assert (x == np.floor(x)).all()
        values, counts = np.unique(x, return_counts=True)
        assert np.abs(np.cumsum(counts) / SPACED - exact(values)).max() < 2.0 / SPACED
    else:
        assert inside.sum() > 100 and np.abs(exact(x[inside]) - p[inside]).max() < 1e-9
        # What lies at a bound is what the distribution has there.
        assert abs((x == low).mean() - (exact(low) if described.bounds == "clip" else 0.0)) < 2.0 / SPACED
        assert abs((x <= low).mean() + inside.mean() + (x >= high).mean() - 1.0) < 1e-12


@pytest.mark.parametrize("described", [d for d, _ in DISTRIBUTIONS], ids=lambda x: str(x)[:60])
def test_support_holds_the_extreme_draws(described: Any) -> None:
    """Catches a support, by which quanta are planned, that the first or last of 2^32 words would leave (draws are cut
    there, so a support that is too narrow piles them up)."""
    backend, kernels = construction("single")
    found = backend.empty(2, np.float64)
    s = sampler(described)
    s.low, s.high = -1e300, 1e300  # uncut
    if described.bounds == "clip" and (described.min is not None or described.max is not None):
        return
    for shift, at in ((0.0, 0), (1.0 - 2.0**-32, 1)):
        one = type(s).from_buffer_copy(s)
        # spaced_values of two words looks at 1/4 and 3/4: squeeze the probabilities around the extreme word.
        one.p_low = s.p_low + s.p_width * (shift + 2.0**-33)
        one.p_width = 0.0
        if one.kind == structs.UNIFORM_INT:
            return
        kernels.launch("spaced_values", structs.Values(n=2, sampler=one, drawn=backend.pointer(found)), 2)
        value = float(backend.to_host(found)[at])
        low, high = support(described)
        assert low - 1e-9 * abs(low) <= value <= high + 1e-9 * abs(high)


def test_conditions_are_not_vacuous() -> None:
    """Catches checks of this file that pass for anything: biased counts fail `fair`."""
    rng = np.random.default_rng(1)
    good = rng.multinomial(3_000_000, np.full(50, 0.02))
    fair(good, 1.0, "right")
    for bad in (rng.multinomial(3_000_000, tilted(50) / 50), (good * 0 + 60_000)):
        with pytest.raises(AssertionError):
            fair(bad, 1.0, "wrong")
    assert len(list(itertools.chain(DISTRIBUTIONS))) == 27
