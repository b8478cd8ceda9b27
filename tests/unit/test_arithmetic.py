"""The arithmetic under every kernel: Philox, exp, log, inverse normal, binomial, and the tables made from `decimal`."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Context, Decimal
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
import readback
from digests import philox as philox_reference
from scipy import special, stats

import distsim
import distsim.backend.host as host
from distsim import Experiment, Network, Normal, NormalClipped, RunSettings
from distsim.backend import Backend, HostBackend, Module
from distsim.build.poisson import poisson_table
from distsim.build.sampling import sampler
from distsim.comm import Serial
from distsim.engine.simulation import Simulation
from distsim.exact import exp_float, normal_cdf
from distsim.kernels.sources import construction_source
from distsim.kernels.values import Values
from distsim.streams import Stream

EXPONENTIAL, LOGARITHM, INVERSE_NORMAL, BINOMIAL = range(4)  # `index` of the kernel `evaluate`
Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def kernels() -> tuple[Backend, Module]:
    return readback.construction("single")


def evaluate(kernels: tuple[Backend, Module], function: int, x: Floats, **more: float) -> Floats:
    """Our function on every element of `x`, by the test kernel in values.cpp."""
    backend, module = kernels
    drawn = np.array(x, np.float64)
    arguments = Values(n=drawn.size, index=function, drawn=backend.pointer(drawn), **more)
    module.launch("evaluate", arguments, drawn.size)
    return drawn


# ---- Philox


def philox(kernels: tuple[Backend, Module], counter: npt.NDArray[np.uint32], key: tuple[int, int]) -> np.ndarray:
    backend, module = kernels
    words = np.ascontiguousarray(counter, np.uint32).view(np.uint64).reshape(-1, 2).copy()
    arguments = Values(n=len(words), seed=key[0], stream=key[1], thresholds=backend.pointer(words))
    module.launch("philox_words", arguments, len(words))
    return words.view(np.uint32).reshape(-1, 4)


# Known answers of Random123 1.14.0 (tests/kat_vectors, philox4x32 10): counter, key, result.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS, ids=["zeros", "ones", "pi"])
def test_philox_gives_the_papers_words(kernels, counter, key, answer) -> None:
    """Catches any slip in the rounds: a constant, the order of words, the number of rounds."""
    assert tuple(philox(kernels, np.array([counter], np.uint32), key)[0].tolist()) == answer
    assert tuple(philox_reference(np.array([counter], np.uint64), key)[0].tolist()) == answer


def test_philox_equals_the_reference_on_many_counters(kernels) -> None:
    """Catches an error that the three known answers cannot show (carry between halves, vectorised loop)."""
    rng = np.random.default_rng(1)
    counter = rng.integers(0, 2**32, (5000, 4), dtype=np.uint32)
    key = (0xDEADBEEF, 7)
    assert np.array_equal(philox(kernels, counter, key), philox_reference(counter.astype(np.uint64), key))


# ---- The same bits whatever the compiler's flags


def small_network() -> Network:
    """Something of everything that is drawn: rules, weights, delays, states, backgrounds in both tables."""
    net = Network()
    e = net.population("E", 403, "iaf_psc_exp", initial={"V_m": distsim.Normal(-58.0, 10.0)})
    i = net.population("I", 101, "iaf_psc_exp", initial={"V_m": distsim.Uniform(-70.0, -56.0)})
    net.poisson([e, i], 16000.0, 87.8)
    net.poisson([i], 90000.0, 12.0)
    net.poisson([e], 500.0, 40.0)
    delay = distsim.NormalClipped(1.5, 0.75)
    net.project(e, [e, i], distsim.FixedIndegree(40), distsim.NormalClipped(87.8, 8.8), delay)
    net.project(i, [e, i], distsim.PairwiseBernoulli(0.1, False), -400.0, distsim.Lognormal(0.0, 0.3))
    net.project([e, i], e, distsim.FixedTotalNumber(5000), distsim.Normal(10.0, 8.0), distsim.Uniform(1.0, 3.0))
    return net


PLAIN_FLAGS = {
    "without AVX-512": ("-mno-avx512f",),
    "baseline x86-64": ("-march=x86-64",),
    "unoptimised": ("-O1", "-fno-tree-vectorize"),
}


@cache
def outcome(extra: tuple[str, ...]) -> tuple[readback.Synapses, str, int, Floats]:
    """Connectivity, digest, spikes and final V_m of the small network, compiled with these flags besides."""
    before = host.FLAGS
    host.FLAGS = (*before, *extra)
    try:
        sim = Simulation(Experiment(small_network(), RunSettings(duration=60.0, seed=3)), Serial(), HostBackend())
    finally:
        host.FLAGS = before
    sim.run_to(sim.end)
    digest = sim.digest()
    return readback.read_simulation(sim), str(digest), digest.count, np.asarray(sim.groups[0].states["V_m"]).copy()


@pytest.fixture
def native() -> Iterator[tuple[readback.Synapses, str, int, Floats]]:
    yield outcome(())


@pytest.mark.parametrize("name", PLAIN_FLAGS)
def test_flags_change_no_bit(native, name: str) -> None:
    """Catches a vector path (philox_lanes with AVX-512, a vectorised tail) that draws other numbers than the
    scalar one, a contraction to FMA, and arithmetic that depends on the width of vectors."""
    if host.platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("flags of x86-64")
    synapses, digest, count, v_m = outcome(PLAIN_FLAGS[name])
    assert native[2] > 100, "the network hardly spikes: the comparison would be empty"
    assert synapses.n > 20_000
    assert native[0].same(synapses)
    assert native[3].tobytes() == v_m.tobytes()
    assert native[1:3] == (digest, count)


# ---- exp, log, inverse normal

PRECISE = Context(prec=40)


def ulps(found: Floats, exact: list[Decimal]) -> Floats:
    """Distance of each number from the exact one, in units of the last place of the number."""
    spacing = np.spacing(np.abs(found))
    numbers = zip(found.tolist(), exact, spacing.tolist(), strict=True)
    return np.array([float(abs(Decimal(a) - b) / Decimal(s)) for a, b, s in numbers])


def test_exponential_is_within_one_ulp(kernels) -> None:
    """Catches a wrong coefficient or reduction: the stated bound is 1 ulp for |x| < 700."""
    rng = np.random.default_rng(2)
    near_switches = (np.arange(-1009, 1010)[:, None] + 0.5 + np.array([-1e-9, 0.0, 1e-9])).ravel() * np.log(2.0)
    x = np.concatenate(
        [
            rng.uniform(-700.0, 700.0, 4000), rng.uniform(-1.0, 1.0, 4000), near_switches,
            rng.choice([-1.0, 1.0], 500) * 10.0 ** rng.uniform(-300, 0, 500), [0.0, -0.0, 1.0, -1.0, 699.999, -699.999],
        ]
    )  # fmt: skip
    x = x[np.abs(x) < 700.0]
    found = evaluate(kernels, EXPONENTIAL, x)
    error = ulps(found, [Decimal(v).exp(PRECISE) for v in x.tolist()])
    assert error.max() < 1.0, f"exp({float(x[error.argmax()])!r}) is off by {error.max():.3f} ulp"
    assert found[x == 0.0].tolist() == [1.0, 1.0]


def test_logarithm_is_within_one_ulp(kernels) -> None:
    """Catches a wrong coefficient or exponent; near 1 the result is small, and an absolute error would show."""
    rng = np.random.default_rng(3)
    seams = 2.0 ** np.arange(-60, 61)[:, None] * np.sqrt(2.0) * (1.0 + np.array([-3e-6, -1e-15, 0.0, 1e-15, 3e-6]))
    x = np.concatenate(
        [
            2.0 ** rng.uniform(-1000.0, 1000.0, 4000), rng.uniform(0.0, 1.0, 3000) + 2.0**-53,
            1.0 + rng.choice([-1.0, 1.0], 2000) * 2.0 ** rng.uniform(-52, -1, 2000), seams.ravel(),
            (np.arange(0, 4096) + 0.5) / 2.0**32, 1.0 - (np.arange(0, 1000) + 0.5) / 2.0**52,
            [np.finfo(float).tiny, np.finfo(float).max, 0.5, 2.0, np.e],
        ]
    )  # fmt: skip
    x = x[(x > 0.0) & (x != 1.0)]
    found = evaluate(kernels, LOGARITHM, x)
    error = ulps(found, [Decimal(v).ln(PRECISE) for v in x.tolist()])
    assert error.max() < 1.0, f"log({float(x[error.argmax()])!r}) is off by {error.max():.3f} ulp"
    assert evaluate(kernels, LOGARITHM, np.ones(1))[0] == 0.0


def test_inverse_normal_agrees_with_scipy(kernels) -> None:
    """Catches a wrong coefficient of AS 241, in the centre, the near or the far tail (the stated bound is 1e-14;
    scipy's own error, 1e-15 in the centre and 3e-15 in the tails, stands beside it)."""
    rng = np.random.default_rng(4)
    words = np.concatenate([np.arange(2000), rng.integers(0, 2**32, 100_000), 2**32 - 1 - np.arange(2000)])
    p = np.concatenate(
        [
            (words + 0.5) / 2.0**32, 10.0 ** rng.uniform(-300.0, -1.0, 20_000), 1.0 - 2.0 ** rng.uniform(-53, -2, 5000),
            0.5 + rng.choice([-1.0, 1.0], 2000) * 2.0 ** rng.uniform(-52, -2, 2000),
            0.075 + np.linspace(-1e-6, 1e-6, 101), 0.925 + np.linspace(-1e-6, 1e-6, 101),
            np.exp(-25.0) * (1.0 + np.linspace(-1e-6, 1e-6, 101)),
        ]
    )  # fmt: skip
    p = p[(p > 0.0) & (p < 1.0) & (p != 0.5)]
    expected = special.ndtri(p)
    error = np.abs(evaluate(kernels, INVERSE_NORMAL, p) / expected - 1.0)
    assert error.max() < 1.4e-14, f"at p = {float(p[error.argmax()])!r}: relative error {error.max():.2e}"
    assert evaluate(kernels, INVERSE_NORMAL, np.array([0.5]))[0] == 0.0


def test_inverse_normal_is_monotone_over_words(kernels) -> None:
    """Catches a step at a seam between the formulas large enough to fold two neighbouring words; the bisection
    that finds delay thresholds relies on the order."""
    for centre in (0.075, 0.925, float(np.exp(-25.0)), 1.0 - float(np.exp(-25.0)), 0.5):
        words = int(centre * 2**32) + np.arange(-500, 500)
        words = words[(words >= 0) & (words < 2**32)]
        assert (np.diff(evaluate(kernels, INVERSE_NORMAL, (words + 0.5) / 2.0**32)) > 0.0).all(), centre


# ---- Binomial

BINOMIALS = [
    (n, p)
    for n, ps in (
        (1, (0.3, 0.8)), (7, (0.02, 0.5, 0.97)), (19, (0.5, 0.51)), (25, (0.4, 0.41, 0.6)),
        (60, (0.16, 0.17, 0.83, 0.84)), (500, (0.001, 0.03, 0.5, 0.98)), (100_000, (1e-6, 9e-5, 1.1e-4, 0.2, 0.9999)),
        (10**9, (1e-9, 1e-7, 0.5, 1.0 - 2.0**-20)), (2**47, (1e-13, 0.5, 0.75)),
    )
    for p in ps
]  # fmt: skip
DRAWS = 400_000
# One false alarm in a million runs of this family.
ALPHA = 1e-6 / (2 * len(BINOMIALS))


def binomial_draws(kernels: tuple[Backend, Module], n: int, p: float) -> Floats:
    return evaluate(
        kernels, BINOMIAL, np.zeros(DRAWS), gid=n, per_unit=p, seed=5, stream=int(Stream.SPLIT)
    )  # fmt: skip


def binomial_p_value(draws: Floats, n: int, p: float) -> float:
    """Chi-square of draws against Binomial(n, p), in bins of at least 50 expected draws and at most 100 bins."""
    grid = np.linspace(0.0, 1.0, 101)[1:-1]
    edges = np.unique(stats.binom.ppf(np.concatenate(([2e-4], grid, [1.0 - 2e-4])), n, p))
    expected = DRAWS * np.diff(np.concatenate(([0.0], stats.binom.cdf(edges, n, p), [1.0])))
    while expected.size > 1 and expected.min() < 50.0:  # merge the smallest into a neighbour
        k = int(expected.argmin())
        k = min(k, expected.size - 2)
        expected[k] += expected[k + 1]
        expected, edges = np.delete(expected, k + 1), np.delete(edges, k)
    if expected.size == 1:
        return 1.0
    observed = np.bincount(np.searchsorted(edges, draws), minlength=expected.size)
    return float(stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), expected.size - 1))


@pytest.mark.parametrize(("n", "p"), BINOMIALS)
def test_binomial_draws_have_their_distribution(kernels, n: int, p: float) -> None:
    """Catches a wrong branch or acceptance: inversion, rejection and both sides of 1/2, up to the largest counts."""
    draws = binomial_draws(kernels, n, p)
    assert ((draws >= 0) & (draws <= n) & (draws == np.floor(draws))).all()
    assert binomial_p_value(draws, n, p) > ALPHA
    # The mean to 6 standard errors: what bins of a wide distribution could miss.
    assert abs(draws.mean() - n * p) < 6.0 * np.sqrt(n * p * (1.0 - p) / DRAWS) + 1e-12 * n * p


@pytest.mark.parametrize(("n", "p"), [(60, 0.16), (500, 0.5), (100_000, 0.2)])
def test_the_binomial_test_sees_one_percent(kernels, n: int, p: float) -> None:
    """Power: draws whose spread is off by 1 %, or whose mean is off by 1 % of itself, are rejected."""
    assert binomial_p_value(binomial_draws(kernels, n, p), n, 1.01 * p) < ALPHA


def test_binomial_edges(kernels) -> None:
    """Catches a loop that never ends or a division by zero at the ends of the range."""
    for n, p, expected in ((0, 0.3, 0), (10, 0.0, 0), (10, 1.0, 10), (10**12, 0.0, 0), (10**12, 1.0, 10**12)):
        found = evaluate(kernels, BINOMIAL, np.zeros(100), gid=n, per_unit=p, seed=5, stream=2)
        assert (found == expected).all()


# ---- distsim.exact and the Poisson table


def tail_by_continued_fraction(x: float) -> float:
    """Phi(x) for x <= -3 with 40 digits, by Laplace's continued fraction: independent of any series."""
    precise, z = Context(prec=50), Decimal(-x)
    fraction = z
    for k in range(1500, 0, -1):
        fraction = precise.add(z, precise.divide(Decimal(k), fraction))
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
    root = precise.sqrt(precise.multiply(2, pi))
    density = precise.divide(precise.exp(precise.divide(precise.multiply(-z, z), 2)), root)
    return float(precise.divide(density, fraction))


def test_normal_cdf_agrees_with_scipy_and_a_continued_fraction() -> None:
    """Catches a series cut short; the lower tail is compared relatively, where a truncated normal lives."""
    for x in np.linspace(-3.0, 9.5, 300).tolist():
        assert normal_cdf(x) == pytest.approx(float(special.ndtr(x)), rel=1e-14), x
    for x in [*np.linspace(-37.5, -3.0, 120).tolist(), -8.9999999, -9.0, -9.0000001]:
        # One rounding (2.2e-16) where it is exact; the stated 1e-15 beyond -9.
        assert normal_cdf(x) == pytest.approx(tail_by_continued_fraction(x), rel=2.3e-16 if x > -9.0 else 1.3e-15), x
    assert normal_cdf(-50.0) == 0.0 and normal_cdf(50.0) == 1.0 and normal_cdf(0.0) == 0.5


def test_exp_float_is_correctly_rounded() -> None:
    """Catches libm in a support's bound: each result is the float nearest to 60 digits of the truth."""
    for x in np.linspace(-80.0, 80.0, 333).tolist():
        assert exp_float(x) == float(Decimal(x).exp(Context(prec=60)))


MEANS = [0.01, 0.05, 0.3, 1.0, 1.6, 1.9, 7.5, 40.0, 87.0, 200.0, 1e3, 3333.3, 1e4, 1e5]


@pytest.mark.parametrize("mean", MEANS)
def test_poisson_table_gives_poisson_probabilities(mean: float) -> None:
    """Catches a count whose probability is off in either stage, or lost between them: both stages together are the
    Poisson distribution to 2^-32 in every cumulative probability (the second stage's words) and in sum exactly."""
    table = poisson_table(mean * 1e4, 0.1)
    assert 0 <= table.rest_from <= 2**16 and table.first >= 0
    assert all(0 <= t < 2**16 for t in table.thresholds) and all(0 <= t < 2**32 for t in table.rest)
    assert list(table.thresholds) == sorted(table.thresholds) and list(table.rest) == sorted(table.rest)
    n = table.largest - table.first + 1
    halves = np.searchsorted(np.array(table.thresholds), np.arange(table.rest_from), side="right")
    probability = np.bincount(halves, minlength=n) / 2.0**16
    words = np.diff(np.concatenate(([0], np.array(table.rest, np.float64), [2.0**32])))
    rest = 1.0 - table.rest_from / 2.0**16
    probability[: words.size] += rest * words / 2.0**32
    assert probability.sum() == pytest.approx(1.0, abs=1e-13)
    counts = table.first + np.arange(n)
    # scipy's pmf at a mean of 1e5 is itself good to some 1e-11 of the probability.
    assert np.abs(probability - stats.poisson.pmf(counts, mean)).max() < rest * 2.0**-32 + 1e-12
    assert np.abs(np.cumsum(probability) - stats.poisson.cdf(counts, mean)).max() < rest * 2.0**-32 + 1e-9
    assert (probability @ counts) == pytest.approx(mean, rel=1e-8)
    assert (probability @ (counts - mean) ** 2) == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize(
    ("weight", "per_quantum"),
    [
        (Normal(87.8, 8.78), 128.0),
        (Normal(-351.2, 35.12), 32.0),
        (NormalClipped(3.0, 5.0, min=2.0, max=20.0), 1500.0),  # bounds in the middle of the distribution
        (Normal(0.3, 1.0), 12000.0),  # both signs, and as many quanta as single precision is asked for
    ],
)
def test_normal_weights_are_what_double_precision_draws(
    kernels: tuple[Backend, Module], weight: Normal | NormalClipped, per_quantum: float
) -> None:
    """On the host single precision finds them where it can: an integer off by one would be another network.

    Catches a bound of its error that is too small: with a hundredth of it all four fail.
    """
    words = np.random.default_rng(7).integers(0, 2**32, 2**19, dtype=np.uint64)
    words[:8] = 0, 1, 2**32 - 1, 2**32 - 2, 2**31 - 1, 2**31, 2**31 + 1, 2**30
    backend, module = kernels
    found, s = words.copy(), sampler(weight)
    arguments = Values(n=found.size, per_unit=per_quantum, sampler=s, thresholds=backend.pointer(found))
    module.launch("quanta_of_words", arguments, found.size)
    p = s.p_low + s.p_width * ((words.astype(np.float64) + 0.5) / 2.0**32)
    scaled = np.clip(s.first + s.second * evaluate(kernels, INVERSE_NORMAL, p), s.low, s.high) * per_quantum
    expected = np.where(scaled < 0.0, -np.floor(0.5 - scaled), np.floor(scaled + 0.5)).astype(np.int64)
    assert np.array_equal(found.view(np.int64), expected)


def test_sources_are_assembled_with_the_test_kernels() -> None:
    """Catches the test kernels going away from the text that NVRTC compiles too."""
    for name in ("evaluate", "philox_words", "quanta_of_words"):
        assert f"KERNEL {name}(" in construction_source(False)
