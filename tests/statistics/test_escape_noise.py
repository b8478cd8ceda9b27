"""Stochastic neurons: hazards, intervals and adaptation against analytic distributions and an independent Monte Carlo.

Fixed seeds. Chi-square tests use bins with 20 or more expected counts and a false-alarm probability of 1e-6 each; the
hazards are tested on 500,000 spikes, so that a bias of 1 % is seven standard deviations, of which five raise the alarm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import support
from scipy import stats

from distsim import Experiment, FixedIndegree, Network, RunSettings

DT = 0.1


def trains(
    model: str, size: int, duration: float, seed: int = 3, precision: Any = "single", **params: Any
) -> npt.NDArray[np.int64]:
    """int64[n, 2]: (step, neuron) of every spike of independent neurons."""
    network = Network()
    network.population("n", size, model, params=params)
    return support.run(Experiment(network, RunSettings(duration, seed=seed, precision=precision))).spikes


def intervals(spikes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Steps between successive spikes of each neuron, first spikes after the start left out."""
    ordered = spikes[np.lexsort((spikes[:, 0], spikes[:, 1]))]
    steps, same = np.diff(ordered[:, 0]), np.diff(ordered[:, 1]) == 0
    return np.asarray(steps[same])


def check_counts(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    """Chi-square of counts against expected counts of the same total, bins pooled to at least 20."""
    assert expected.sum() == pytest.approx(found.sum(), rel=1e-9)
    ours, theirs, a, b = [], [], 0.0, 0.0
    for f, e in zip(found, expected, strict=True):
        a, b = a + f, b + e
        if b >= 20.0:
            ours.append(a)
            theirs.append(b)
            a, b = 0.0, 0.0
    ours[-1] += a
    theirs[-1] += b
    observed, wanted = np.array(ours), np.array(theirs)
    p = stats.chi2.sf(((observed - wanted) ** 2 / wanted).sum(), len(wanted) - 1)
    assert p > 1e-6, f"p = {p:.2g} over {len(wanted)} bins"


def check_fraction(hits: int, draws: int, p: float) -> None:
    """A binomial count within five standard deviations."""
    assert abs(hits - draws * p) < 5.0 * np.sqrt(draws * p * (1.0 - p)), f"{hits / draws:.6g} instead of {p:.6g}"


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize(("rate", "dead_time"), [(20.0, 1.0), (400.0, 0.05), (3000.0, 2.3)])
def test_intervals_at_constant_hazard(rate: float, dead_time: float, precision: Any) -> None:
    """Geometric beyond the dead time: a hazard off by 1 %, or a dead time by a step, shows."""
    dead = int(np.ceil(max(dead_time, DT) / DT - 1e-9))
    p = -np.expm1(-rate * DT / 1000.0)
    size, end = 4000, int(np.ceil(500_000 * (1.0 + dead * p) / p / 4000)) + 1000
    duration = end * DT
    found = trains(
        "pp_psc_delta", size, round(duration, 1), precision=precision, c_2=rate, c_3=0.0, dead_time=dead_time
    )
    steps = intervals(found)
    assert steps.min() == dead + 1
    # Long intervals are cut off by the end: use those that begin early enough to see the whole of the first bins.
    ordered = found[np.lexsort((found[:, 0], found[:, 1]))]
    draws = size * end - int(np.minimum(end - found[:, 0], dead).sum())
    check_fraction(len(found), draws, float(p))
    window = min(end // 2, int(np.ceil(4.0 / p)) + dead)
    begin = ordered[:-1, 0] <= end - window
    following = np.where(ordered[1:, 1] == ordered[:-1, 1], ordered[1:, 0] - ordered[:-1, 0], window + 1)[begin]
    counts = np.bincount(np.minimum(following, window + 1) - dead - 1, minlength=window - dead + 1)
    k = np.arange(window - dead)
    expected = np.append(p * (1.0 - p) ** k, (1.0 - p) ** (window - dead)) * counts.sum()
    assert counts.sum() > 10_000
    check_counts(counts, expected)


@pytest.mark.parametrize(
    ("model", "offset"), [("gif_psc_exp", -8.0), ("gif_cond_exp", -3.0), ("gif_psc_exp", 0.5), ("gif_cond_exp", 2.0)]
)
def test_hazard_of_gif_as_a_function_of_the_potential(model: str, offset: float) -> None:
    """1 - exp(-lambda dt) at a potential that stands still: V_reset = E_L = V_m, no current."""
    delta, rate, steps = 2.0, 4000.0, 1000
    p = -np.expm1(-rate / 1000.0 * np.exp(offset / delta) * DT)
    size = int(np.ceil(500_000 * (1.0 + 5.0 * p) / p / steps))
    found = trains(
        model, size, 100.0, lambda_0=rate, Delta_V=delta, E_L=-50.0, V_reset=-50.0, V_T_star=-50.0 - offset, t_ref=0.5
    )
    # Each spike takes five steps in which none is drawn; those of the last steps reach beyond the end.
    last = steps - found[:, 0]
    draws = size * steps - int(np.minimum(last, 5).sum())
    assert len(found) > 400_000
    check_fraction(len(found), draws, float(p))


def test_rate_of_pp_as_a_function_of_the_potential() -> None:
    """c_1 V + c_2 exp(c_3 V) at V = tau_m I_e / C_m, from the first step on; none where it is negative."""
    for v, c_1 in ((4.0, 0.0), (-6.0, 0.0), (3.0, 300.0)):
        network = Network()
        network.population(
            "n", 40_000, "pp_psc_delta", I_e=25.0 * v, c_1=c_1, c_2=600.0, c_3=0.2, with_reset=False, dead_time=0.1,
            initial={"V_m": v},
        )  # fmt: skip
        found = support.run(Experiment(network, RunSettings(100.0, seed=5))).spikes
        p = -np.expm1(-(c_1 * v + 600.0 * np.exp(0.2 * v)) * DT / 1000.0)
        assert len(found) > 400_000
        draws = 40_000 * 1000 - int(np.minimum(1000 - found[:, 0], 1).sum())
        check_fraction(len(found), draws, float(p))
    assert not len(trains("pp_psc_delta", 1000, 50.0, I_e=-100.0, c_1=20.0, c_2=0.0))


def test_several_spikes_a_step_without_dead_time() -> None:
    """A Poisson number a step: 6 kHz at 0.1 ms, 400,000 draws."""
    found = trains("pp_psc_delta", 400, 100.0, c_2=6000.0, c_3=0.0, dead_time=0.0)
    counts = np.bincount(np.bincount(found[:, 0] * 400 + found[:, 1], minlength=1001 * 400)[400:], minlength=12)
    # Spikes are recorded once per multiplicity.
    expected = stats.poisson(0.6).pmf(np.arange(len(counts)))
    expected[-1] += 1.0 - expected.sum()
    check_counts(counts, expected * counts.sum())


@pytest.mark.parametrize("shape", [1, 4])
def test_random_dead_times_are_gamma_distributed(shape: int) -> None:
    """At a hazard of one a step intervals are dead times: ceil(gamma / dt) + 1 steps."""
    found = trains(
        "pp_psc_delta", 300, 600.0, c_2=1e6, c_3=0.0, dead_time=2.0, dead_time_random=True, dead_time_shape=shape
    )
    steps = intervals(found)
    top = 200
    edges = stats.gamma(shape, scale=2.0 / shape / DT).cdf(np.arange(top + 1))
    expected = np.append(np.diff(edges), 1.0 - edges[-1]) * len(steps)
    assert len(steps) > 50_000
    check_counts(np.bincount(np.minimum(steps - 2, top), minlength=top + 1), expected)


def simulated(size: int, steps: int, seed: int) -> npt.NDArray[np.bool_]:
    """gif_psc_exp with a threshold and a current that adapt, in NumPy: bool[steps, size]."""
    random = np.random.default_rng(seed)
    decay_m, rise = np.exp(-DT * 4.0 / 80.0), -np.expm1(-DT * 4.0 / 80.0) / 4.0
    v, sfa, stc, left = np.full(size, -70.0), np.zeros(size), np.zeros(size), np.zeros(size, int)
    rows = []
    for _ in range(steps):
        threshold, current = -50.0 + sfa, stc.copy()
        sfa, stc = sfa * np.exp(-DT / 30.0), stc * np.exp(-DT / 60.0)
        free = left == 0
        v = -70.0 + (v + 70.0) * decay_m + (140.0 - current) * rise
        hazard = 0.02 * np.exp((v - threshold) / 2.0)
        spike = free & (random.random(size) < -np.expm1(-hazard * DT))
        sfa, stc = sfa + 4.0 * spike, stc + 10.0 * spike
        v = np.where(free, v, -65.0)
        left = np.where(spike, 20, np.maximum(left - 1, 0))
        rows.append(spike)
    return np.array(rows)


@pytest.mark.parametrize("precision", ["single", "double"])
def test_adaptation_against_a_monte_carlo(precision: Any) -> None:
    """Rate in ten windows, and pairs of spikes by distance, with two kinds of adaptation."""
    size, steps = 1000, 5000
    found = trains(
        "gif_psc_exp", size, steps * DT, precision=precision, lambda_0=20.0, Delta_V=2.0, V_T_star=-50.0, V_reset=-65.0,
        t_ref=2.0, I_e=140.0, tau_sfa=[30.0], q_sfa=[4.0], tau_stc=[60.0], q_stc=[10.0],
    )  # fmt: skip
    other = np.argwhere(simulated(size, steps, 8))
    other[:, 0] += 1

    def summary(spikes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """float64[size, 12]: of each neuron spikes in ten windows, and pairs of spikes 2-12 ms and 12-40 ms apart."""
        table = np.zeros((size, 12))
        np.add.at(table, (spikes[:, 1], (spikes[:, 0] - 1) * 10 // steps), 1)
        ordered = spikes[np.lexsort((spikes[:, 0], spikes[:, 1]))]
        for lag in (1, 2, 3, 4):
            apart = ordered[lag:, 0] - ordered[:-lag, 0]
            same = ordered[lag:, 1] == ordered[:-lag, 1]
            np.add.at(table, (ordered[lag:, 1][same & (apart < 120)], 10), 1)
            np.add.at(table, (ordered[lag:, 1][same & (apart >= 120) & (apart < 400)], 11), 1)
        return table

    ours, theirs = summary(found), summary(other)
    assert len(other) > 10_000
    error = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / size)
    difference = np.abs(ours.mean(axis=0) - theirs.mean(axis=0))
    assert np.all(difference < 5.0 * error), difference / error
    # Power: adaptation matters, and a change of 5 % in it would show.
    assert error[:10].max() < 0.06 * theirs.mean(axis=0)[:10].max()


def stochastic(precision: Any = "single") -> Experiment:
    """All stochastic models, connected at random."""
    network = Network()
    a = network.population("a", 53, "gif_psc_exp", I_e=90.0, V_T_star=-50.0, tau_sfa=[20.0, 90.0], q_sfa=[1.0, 2.0])
    b = network.population("b", 41, "gif_cond_exp", I_e=90.0, V_T_star=-50.0, tau_stc=[50.0], q_stc=[5.0])
    c = network.population("c", 67, "pp_psc_delta", c_2=40.0, tau_sfa=[34.0], q_sfa=[7.0])
    d = network.population("d", 31, "pp_psc_delta", c_2=400.0, c_3=0.05, dead_time=0.0)
    e = network.population("e", 31, "pp_psc_delta", c_2=400.0, c_3=0.0, dead_time_random=True, dead_time_shape=3)
    for source in (a, b, c, d, e):
        for target, weight in ((a, 20.0), (b, 3.0), (c, 1.0), (d, 1.0), (e, 1.0)):
            network.project(source, target, FixedIndegree(4), weight=weight, delay=1.0)
    return Experiment(network, RunSettings(60.0, seed=9, precision=precision))


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_same_trains_on_any_number_of_ranks(ranks: int) -> None:
    experiment = stochastic()
    reference = support.run(experiment)
    assert min(reference.counts) > 20
    support.check_same(support.run(experiment, ranks), reference, f"{ranks} ranks")
