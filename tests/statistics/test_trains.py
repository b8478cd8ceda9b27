"""Trains and noise have their laws. Fixed seeds; every check is made at 5 standard errors (one false alarm in about a
million), and each states what it would see: a wrong hypothesis, off by the margin in the test, must be rejected."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import support
from scipy import stats

from distsim import Experiment, Network, RunSettings

SIGMAS = 5.0
Counts = npt.NDArray[np.int64]


def counts_of(network: Network, name: str, duration: float) -> Counts:
    """int64[steps, neurons] of one population."""
    network.record_spikes((name,))
    spikes = support.run(Experiment(network, RunSettings(duration=duration, seed=17))).spikes
    p, steps = network[name], round(duration * 10)
    flat = (spikes[:, 0] - 1) * p.size + spikes[:, 1] - p.first_gid
    return np.bincount(flat, minlength=steps * p.size).reshape(steps, p.size)


def generated(model: str, size: int, duration: float, **params: Any) -> Counts:
    network = Network()
    network.population("G", size, model, params=params)
    return counts_of(network, "G", duration)


def received(kind: str, size: int, duration: float, **params: Any) -> Counts:
    network = Network()
    p = network.population("P", size, "parrot_neuron")
    network.input(kind, p, weight=1.0, **params)
    return counts_of(network, "P", duration)


def check_mean(values: npt.NDArray[Any], mean: float, error: float, margin: float) -> None:
    """Within 5 standard errors, which are less than half of the margin that must be seen."""
    assert SIGMAS * error < 0.5 * margin, "no power"
    assert abs(float(np.mean(values)) - mean) < SIGMAS * error


@pytest.mark.parametrize("mean", [0.05, 2.0, 9.9, 10.1, 60.0])  # inversion below 10, rejection above
@pytest.mark.parametrize("source", ["generator", "input"])
def test_poisson_counts(mean: float, source: str) -> None:
    """The mean to 3 %, the dispersion to 5 %, and the whole law by chi-square."""
    rate, size, duration = mean * 1e4, 100, 100.0 if mean > 1.0 else 400.0
    if source == "generator":
        found = generated("poisson_generator", size, duration, rate=rate)
    else:
        found = received("poisson_generator", size, duration, rate=[rate] * size)  # a list: drawn by inversion
    n = found.size
    check_mean(found, mean, math.sqrt(mean / n), 0.03 * mean if mean > 1 else 0.1 * mean)
    dispersion = found.var() / found.mean()
    assert abs(dispersion - 1.0) < SIGMAS * math.sqrt((2.0 + 1.0 / mean) / n) < 0.12
    values = np.arange(int(found.max()) + 2)
    expected, observed = n * stats.poisson.pmf(values, mean), np.bincount(found.ravel(), minlength=values.size)
    enough = expected > 20.0
    chi = float(((observed - expected)[enough] ** 2 / expected[enough]).sum())
    assert chi < stats.chi2.isf(1e-7, enough.sum())
    # Independent from step to step and between neurons.
    z = (found - mean) / math.sqrt(mean)
    assert abs((z[1:] * z[:-1]).mean()) < SIGMAS / math.sqrt(n)
    assert abs((z[:, 1:] * z[:, :-1]).mean()) < SIGMAS / math.sqrt(n)


@pytest.mark.parametrize("source", ["generator", "input"])
def test_sinusoidal_rates(source: str) -> None:
    """The rate in each of twenty phases to a tenth of the amplitude."""
    rate, amplitude, frequency, phase = 20000.0, 16000.0, 50.0, 60.0
    make = generated if source == "generator" else received
    found = make(
        "sinusoidal_poisson_generator", 100, 400.0, rate=rate, amplitude=amplitude, frequency=frequency, phase=phase
    )
    t = np.arange(1, len(found) + 1) * 0.1
    expected = 1e-4 * (rate + amplitude * np.sin(2.0 * np.pi * frequency * t / 1000.0 + math.radians(phase)))
    for k in range(20):
        chosen = np.arange(len(t)) % 200 // 10 == k
        mean = expected[chosen].mean()
        check_mean(found[chosen], mean, math.sqrt(mean / found[chosen].size), 0.1 * amplitude * 1e-4)


def test_inhomogeneous_rates_of_inputs() -> None:
    times, values = [10.0, 50.0], [2000.0, 200000.0]
    found = received("inhomogeneous_poisson_generator", 200, 100.0, rate_times=times, rate_values=values)
    assert found[: 100 - 1].sum() == 0
    for part, mean in ((found[99:499], 0.2), (found[499:], 20.0)):
        check_mean(part, mean, math.sqrt(mean / part.size), 0.1 * mean)


@pytest.mark.parametrize("shape", [1, 3])
def test_gamma_intervals(shape: int) -> None:
    """One process: intervals are sums of `shape` geometric times; mean to 3 %, CV to 5 %, the law by chi-square."""
    rate = 100.0
    found = generated("gamma_sup_generator", 200, 1000.0, rate=rate, gamma_shape=shape)
    p = rate * shape * 1e-4
    intervals = np.concatenate([np.diff(np.flatnonzero(found[:, i])) for i in range(found.shape[1])])
    assert found.max() == 1
    n, mean = intervals.size, shape / p
    std = math.sqrt(shape * (1.0 - p)) / p
    # Windows of 10 mean intervals favour short ones: 1/10 of the intervals are cut, by half a deviation at most.
    assert n > 15000
    law = stats.nbinom(shape, p)  # failures before the last of `shape` successes
    edges = np.unique(law.ppf(np.linspace(0.0, 0.9, 15)[1:]))
    first = np.array([np.flatnonzero(found[:, i])[:6] for i in range(found.shape[1]) if found[:, i].sum() >= 6])
    early = np.diff(first, axis=1).ravel() - shape  # of the first five intervals few are cut: unbiased to 1 %
    observed = np.histogram(early, [-1, *edges, 10**9])[0]
    expected = early.size * np.diff([0.0, *law.cdf(edges - 1), 1.0])
    assert stats.chisquare(observed, expected).pvalue > 1e-6
    assert abs(early.mean() + shape - mean) < SIGMAS * std / math.sqrt(early.size)
    assert abs(early.std() / std - 1.0) < 0.2


def test_superposition_has_the_sum_of_the_rates() -> None:
    found = generated("gamma_sup_generator", 50, 500.0, rate=20.0, gamma_shape=5, n_proc=40)
    later = found[1000:]
    mean = 40 * 20.0 * 1e-4
    # More regular than Poisson: the Poisson error is a bound.
    check_mean(later, mean, math.sqrt(mean / later.size), 0.1 * mean)


@pytest.mark.parametrize("p_copy", [0.2, 0.7])
def test_copies_are_correlated(p_copy: float) -> None:
    """Rate p_copy * rate; the correlation of two trains is p_copy at lag 0, and 0 at others."""
    rate = 2000.0
    found = generated("mip_generator", 40, 1000.0, rate=rate, p_copy=p_copy)
    mean = rate * p_copy * 1e-4
    mothers = rate * 1e-4 * len(found)
    check_mean(found, mean, mean / math.sqrt(mothers) * 1.2, 0.5 * mean)
    z = (found - found.mean()) / found.std()
    total = z.sum(axis=1)
    pairs = (total @ total - (z * z).sum()) / (40 * 39) / len(found)
    later = (total[1:] @ total[:-1] - (z[1:] * z[:-1]).sum()) / (40 * 39) / len(found)
    error = 1.5 / math.sqrt(mothers)
    assert SIGMAS * error < 0.4
    assert abs(pairs - p_copy) < SIGMAS * error
    assert abs(later) < SIGMAS * error
    dispersion = found.var() / found.mean()
    assert abs(dispersion - 1.0) < 0.12  # each train alone is Poisson


def test_packets_are_normal() -> None:
    """Spread to 3 %, centre to 3 % of the spread; each generator and each spike draws its own."""
    sdev = 4.0
    found = generated("pulsepacket_generator", 100, 120.0, pulse_times=[60.0], activity=200, sdev=sdev)
    times = np.repeat(np.arange(1, len(found) + 1) * 0.1, found.sum(axis=1))
    assert times.size == 20000
    check_mean(times, 60.0, sdev / math.sqrt(20000), 0.1 * sdev)
    assert abs(times.std() / math.hypot(sdev, 0.1 / math.sqrt(12.0)) - 1.0) < SIGMAS / math.sqrt(40000) < 0.03
    edges = np.arange(50.05, 70.0, 0.5)
    observed = np.histogram(times, [-np.inf, *edges, np.inf])[0]
    expected = 20000 * np.diff([0.0, *stats.norm.cdf(edges, 60.0, sdev), 1.0])
    assert stats.chisquare(observed, expected).pvalue > 1e-6


def test_noise_currents() -> None:
    """White, of the given mean and deviation, independent between targets unless shared."""
    network = Network()
    n = network.population("N", 200, "iaf_psc_exp", V_th=1e6, tau_m=0.01, C_m=10.0)  # V = E_L + I tau_m / C_m at once
    s = network.population("S", 2, "iaf_psc_exp", V_th=1e6, tau_m=0.01, C_m=10.0)
    for targets, shared in ((n, False), (s, True)):
        network.input("noise_generator", targets, mean=100.0, std=400.0, dt=0.1, shared=shared)
        network.record_states(targets, ["V_m"], interval=0.1)
    states = support.run(Experiment(network, RunSettings(duration=100.0, precision="double", seed=5))).states
    current = ((states["N"][2:, :, 0] + 70.0) * 10.0 / 0.01)[: 10**6]
    samples = current.size
    check_mean(current, 100.0, 400.0 / math.sqrt(samples), 20.0)
    assert abs(current.std() / 400.0 - 1.0) < SIGMAS / math.sqrt(2 * samples) < 0.02
    z = (current - 100.0) / 400.0
    assert abs((z[1:] * z[:-1]).mean()) < SIGMAS / math.sqrt(samples) + 1e-4
    assert abs((z[:, 1:] * z[:, :-1]).mean()) < SIGMAS / math.sqrt(samples)
    assert stats.kstest(z.ravel()[::7], "norm").pvalue > 1e-6
    both = states["S"][:, :, 0]
    assert np.array_equal(both[:, 0], both[:, 1])
    assert both[5:, 0].std() > 0.0
