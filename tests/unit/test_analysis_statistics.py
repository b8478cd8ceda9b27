"""Spike statistics against their definitions, spelled out naively or taken from SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from distsim.analysis import correlations, cv_isi, fano_factor, population_statistics, rates

START, STOP, SIZE = 500.0, 2500.0, 240


@pytest.fixture(scope="module")
def spikes() -> tuple[np.ndarray, np.ndarray]:
    """Correlated spikes on the grid of 0.1 ms; neurons 200 on are silent; some lie outside the window."""
    rng = np.random.RandomState(4)
    step = rng.randint(1, 30001, 6000)
    bursts = np.repeat(rng.randint(5001, 25001, 40), 25) + rng.randint(0, 10, 1000)
    step = np.r_[step, bursts, 5000, 25000]  # one on each edge
    ids = np.r_[rng.randint(0, 200, 7000), 0, 0].astype(np.uint64)
    return step * 0.1, ids  # with the rounding errors of a product, on purpose


def _inside(spikes: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(step, id) in (START, STOP], in whole steps."""
    step = np.round(spikes[0] * 10).astype(int)
    keep = (step > 5000) & (step <= 25000)
    return step[keep], spikes[1][keep].astype(int)


def test_rates_count_every_neuron_and_the_window_is_open_at_its_start(spikes: tuple[np.ndarray, np.ndarray]) -> None:
    _, ids = _inside(spikes)
    expected = np.array([np.sum(ids == i) for i in range(SIZE)]) / 2.0
    np.testing.assert_allclose(rates(*spikes, SIZE, START, STOP), expected, rtol=1e-14)
    with pytest.raises(ValueError, match="allowed: 0 to 99"):
        rates(*spikes, 100, START, STOP)
    with pytest.raises(ValueError, match="start < stop"):
        rates(*spikes, SIZE, STOP, STOP)


def test_cv_of_neurons_with_three_spikes(spikes: tuple[np.ndarray, np.ndarray]) -> None:
    times, ids = spikes
    few = np.isin(ids, [0, 1, 2]) | (np.arange(len(ids)) % 40 == 0)  # many neurons with less than three
    times, ids = times[few], ids[few]
    expected = []
    for i in range(SIZE):
        train = np.sort(times[ids == i])
        if len(train) >= 3:
            expected.append(scipy.stats.variation(np.diff(train), ddof=0))
    assert 0 < len(expected) < len(set(ids.tolist()))
    np.testing.assert_allclose(cv_isi(times, ids), expected, rtol=1e-10)


def test_cv_of_regular_absent_and_simultaneous_spikes() -> None:
    assert cv_isi(np.arange(5) * 10.0, np.zeros(5, int)) == pytest.approx(0.0, abs=1e-12)
    assert len(cv_isi(np.empty(0), np.empty(0, int))) == 0
    assert len(cv_isi(np.array([1.0, 1.0, 1.0]), np.zeros(3, int))) == 0


def test_correlations_of_chosen_neurons(spikes: tuple[np.ndarray, np.ndarray]) -> None:
    step, ids = _inside(spikes)
    chosen = np.random.RandomState(123).choice(SIZE, 200, replace=False)
    bins = (step - 5001) // 20  # (0, 2] ms is the first bin
    counts = np.array([np.bincount(bins[ids == i], minlength=1000) for i in chosen])
    counts = counts[counts.sum(axis=1) > 0]
    k = len(counts)
    expected = sorted(scipy.stats.pearsonr(counts[i], counts[j])[0] for i in range(k) for j in range(i))
    values, neurons = correlations(*spikes, SIZE, START, STOP)
    assert neurons == k < 200
    np.testing.assert_allclose(np.sort(values), expected, atol=1e-12)
    assert values.mean() > 0.01  # the planted bursts


def test_correlations_take_all_of_a_small_population() -> None:
    times, ids = np.array([1.0, 3.0, 5.0, 1.5, 3.5]), np.array([0, 0, 1, 1, 2])
    values, neurons = correlations(times, ids, 4, 0.0, 10.0)
    assert neurons == 3 and len(values) == 3


def test_fano_factor_is_variance_over_mean_of_one_ms_counts(spikes: tuple[np.ndarray, np.ndarray]) -> None:
    step, _ = _inside(spikes)
    counts = np.bincount((step - 5001) // 10, minlength=2000)
    assert fano_factor(spikes[0], START, STOP) == pytest.approx(counts.var() / counts.mean(), rel=1e-12)
    assert fano_factor(np.arange(1, 101) * 1.0, 0.0, 100.0) == pytest.approx(0.0)
    assert np.isnan(fano_factor(np.empty(0), 0.0, 100.0))


def test_spikes_at_edges_fall_into_the_earlier_bin() -> None:
    times = np.arange(1, 1001) * 0.1  # 0.30000000000000004 and its kind
    assert fano_factor(times, 0.0, 100.0) == 0.0  # ten in each bin


def test_population_statistics_join_them(spikes: tuple[np.ndarray, np.ndarray]) -> None:
    found = population_statistics(*spikes, SIZE, START, STOP)
    step, ids = _inside(spikes)
    assert found.n == SIZE and found.n_spikes == len(step)
    assert found.rate_mean == pytest.approx(len(step) / SIZE / 2.0)
    assert found.frac_silent == pytest.approx(np.mean(np.bincount(ids, minlength=SIZE) == 0))
    assert found.cv_mean == pytest.approx(cv_isi(step / 10.0, ids).mean())
    assert found.cv_n == np.sum(np.bincount(ids) >= 3)


def test_a_silent_population_has_nothing_to_average() -> None:
    found = population_statistics(np.empty(0), np.empty(0, int), 10, 0.0, 100.0)
    assert (found.n_spikes, found.rate_mean, found.frac_silent, found.cv_n, found.cc_n_neurons) == (0, 0.0, 1.0, 0, 0)
    assert np.isnan([found.cv_mean, found.cc_mean, found.synchrony_fano_1ms]).all()
