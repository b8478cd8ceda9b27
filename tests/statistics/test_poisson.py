"""The Poisson background has its distribution, and its draws are independent.

As tests/statistics/test_distributions.py: fixed seeds, and the power to see a bias of 1 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from counting import LEVEL, agrees, p_value
from scipy import stats

from distsim import Experiment, Network, RunSettings
from distsim.backend import open_backend
from distsim.comm import Serial
from distsim.engine.simulation import Simulation, Sinks

# Mean count a step: (neurons, steps). A mean off by 1 % is sqrt(counts * mean) / 100 standard errors; a variance off by
# 1 % or a correlation of 1 % is sqrt(counts) / 100 of them.
BACKGROUNDS = {0.05: (20_000, 1000), 1.9: (4000, 1000), 40.0: (1200, 800)}


def repeated(rates: list[float], neurons: int, steps: int, seed: int) -> npt.NDArray[np.uint8]:
    """[step, neuron]: spikes that parrots repeat of backgrounds of these rates (Hz), in steps of 0.1 ms."""
    net = Network()
    net.population("before", 5, "parrot_neuron")
    net.population("P", neurons, "parrot_neuron")
    for rate in rates:
        net.poisson("P", rate, 1.0)
    net.record_spikes(("P",))
    table = np.zeros(neurons * steps, np.uint8)

    def keep(at: npt.NDArray[np.uint64], gids: npt.NDArray[np.uint64]) -> None:
        np.add.at(table, (at.astype(np.int64) - 1) * neurons + gids.astype(np.int64) - 5, np.uint8(1))

    run = RunSettings(duration=round(steps * 0.1, 6), seed=seed)
    sim = Simulation(Experiment(net, run), Serial(), open_backend("cpu"), Sinks(spikes=keep))
    sim.run_to(steps)
    sim.flush()
    assert sim.end == steps and table.sum(dtype=np.int64) == sim.spike_counts().sum()
    return table.reshape(steps, neurons)


@cache
def poisson_counts(mean: float) -> npt.NDArray[np.uint8]:
    """[step, neuron]: counts of one background with this mean a step."""
    neurons, steps = BACKGROUNDS[mean]
    return repeated([mean * 1e4], neurons, steps, seed=19)


@pytest.mark.parametrize("mean", BACKGROUNDS)
def test_poisson_counts_have_their_distribution(mean: float) -> None:
    """Catches a wrong threshold in either stage, a half-word compared the wrong way, and a lost or doubled count: over
    all steps, and for each of the eight half-words of a block on its own."""
    counts = poisson_counts(mean)
    k = np.arange(256)
    right, wrong = stats.poisson.pmf(k, mean), stats.poisson.pmf(k, 1.01 * mean)
    agrees(np.bincount(counts.ravel(), minlength=256), right, wrong)
    for place in range(8):
        mine = counts[(np.arange(len(counts)) + 1) % 8 == place]
        observed = np.bincount(mine.ravel(), minlength=256)
        assert LEVEL < p_value(observed, right * mine.size) < 1.0 - LEVEL, f"steps {place} mod 8"


@pytest.mark.parametrize("mean", BACKGROUNDS)
def test_poisson_rare_counts_are_there(mean: float) -> None:
    """Catches a second stage that is never entered or gives wrong counts: those beyond the first stage's range, which
    hold less than 2^-16 of the probability each."""
    counts = poisson_counts(mean)
    k = np.arange(256)
    p = stats.poisson.pmf(k, mean)
    rare = p < 2.0**-16
    expected = counts.size * p[rare].sum()
    observed = int(rare[counts].sum())
    low, high = stats.poisson.sf(observed - 1, expected), stats.poisson.cdf(observed, expected)
    assert min(low, high) > LEVEL / 2, (observed, expected)
    assert expected > 5.0


def correlation_of(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], mean: float) -> tuple[float, float]:
    """Correlation of two arrays of counts whose mean and variance are `mean`, and its standard error."""
    n = a.size
    product = float(np.einsum("i,i->", a.ravel().astype(np.float32), b.ravel().astype(np.float32), dtype=np.float64))
    middle = mean * (float(a.sum(dtype=np.int64)) + float(b.sum(dtype=np.int64)))
    return (product - middle + n * mean * mean) / (n * mean), 1.0 / math.sqrt(n)


@pytest.mark.parametrize("mean", BACKGROUNDS)
def test_poisson_steps_and_neurons_are_independent(mean: float) -> None:
    """Catches a word used for two steps or two neurons: correlation between successive steps (within a word and from
    word to word), from block to block, and between neighbouring neurons, lanes and chunks of 256."""
    counts = poisson_counts(mean)
    step = np.arange(1, len(counts))
    pairs: dict[str, Callable[[], tuple[Any, Any]]] = {
        "successive steps": lambda: (counts[:-1], counts[1:]),
        "halves of a word": lambda: (counts[:-1][step % 2 == 0], counts[1:][step % 2 == 0]),
        "word to word": lambda: (counts[:-1][step % 2 == 1], counts[1:][step % 2 == 1]),
        "block to block": lambda: (counts[:-8], counts[8:]),
        "neighbours": lambda: (counts[:, :-1], counts[:, 1:]),
        "eight apart": lambda: (counts[:, :-8], counts[:, 8:]),
        "chunks": lambda: (counts[:, :-256], counts[:, 256:]),
        "neighbour and next step": lambda: (counts[:-1, :-1], counts[1:, 1:]),
    }
    for name, pick in pairs.items():
        found, error = correlation_of(*pick(), mean)
        assert abs(found) < 5.9 * error, f"{name}: correlation {found:.2e}, standard error {error:.2e}"
        assert 5.9 * error < 0.01, name


@pytest.mark.parametrize("mean", [0.05, 1.9])
def test_poisson_successive_counts_are_jointly_poisson(mean: float) -> None:
    """Catches dependence that no correlation shows: the joint distribution of the counts of two successive steps."""
    counts = poisson_counts(mean)
    top = 6
    a, b = np.minimum(counts[:-1], top).ravel().astype(np.int64), np.minimum(counts[1:], top).ravel()
    joint = np.bincount(a * (top + 1) + b, minlength=(top + 1) ** 2)
    p = np.append(stats.poisson.pmf(np.arange(top), mean), stats.poisson.sf(top - 1, mean))
    expected = np.outer(p, p).ravel() * a.size
    order = np.argsort(-expected)
    assert LEVEL < p_value(joint[order], expected[order]) < 1.0 - LEVEL


def test_two_backgrounds_of_one_neuron_are_independent() -> None:
    """Catches the input's number left out of the key: two backgrounds alike would add up to even counts only."""
    counts = repeated([9500.0, 9500.0], 4000, 1000, seed=20)
    k = np.arange(40)
    agrees(np.bincount(counts.ravel(), minlength=40), stats.poisson.pmf(k, 1.9), stats.poisson.pmf(k, 1.919))
