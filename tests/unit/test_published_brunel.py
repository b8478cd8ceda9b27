"""Brunel's network: the description, its instantaneous synapses, and the four regimes of figure 8 at full size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import distsim
from distsim import ConfigError, Explicit, FixedIndegree, Network
from distsim.analysis.statistics import cv_isi
from distsim.config import load_experiment
from distsim.published import brunel
from distsim.published.brunel import REGIMES, Regime, instantaneous

ROOT = Path(__file__).parents[2]
WARMUP, BIN = 200.0, 0.5  # ms


class Activity:
    """What figure 8 shows of a run: rate, regularity, and the population rate in bins of 0.5 ms."""

    def __init__(self, regime: Regime, duration: float) -> None:
        found = distsim.simulate(brunel(regime), duration, warmup=WARMUP, seed=1)
        times, ids = found.spikes["E"]
        self.rates = found.rates
        self.cv = float(np.mean(cv_isi(times, ids)))
        bins = np.ceil((times - WARMUP) / BIN - 1e-6).astype(int) - 1
        self.counts = np.bincount(bins, minlength=round(duration / BIN)).astype(float)
        self.modulation = float(self.counts.std() / self.counts.mean())

    def frequency(self) -> float:
        """The strongest frequency of the population rate, Hz."""
        power = np.abs(np.fft.rfft(self.counts - self.counts.mean())) ** 2
        return float(np.fft.rfftfreq(self.counts.size, BIN / 1000.0)[np.argmax(power)])

    def autocorrelation(self) -> npt.NDArray[np.float64]:
        """Of the population rate, by lag in bins."""
        centred = self.counts - self.counts.mean()
        power = np.abs(np.fft.rfft(centred, 2 * centred.size)) ** 2
        raw = np.fft.irfft(power)[: centred.size] / np.arange(centred.size, 0, -1)
        return np.asarray(raw / raw[0])

    def echo(self, cycles: int) -> float:
        """The autocorrelation's peak near so many cycles of `frequency`: near 1 for a clock, near 0 for noise."""
        lag = cycles * 1000.0 / self.frequency() / BIN
        return float(self.autocorrelation()[math.floor(0.8 * lag) : math.ceil(1.2 * lag) + 1].max())


def stationary_rate(g: float, eta: float) -> float:
    """The rate of the asynchronous state by the paper's theory (mean first passage time, self-consistent), Hz."""
    tau, threshold, reset, psp, degree, ratio = 0.02, 20.0, 10.0, 0.1, 1000, 0.25
    external = eta * threshold / (psp * degree * tau)

    def fires_at(rate: float) -> float:
        mean = degree * psp * tau * (external + rate * (1.0 - ratio * g))
        deviation = psp * math.sqrt(degree * tau * (external + rate * (1.0 + ratio * g * g)))
        u = np.linspace((reset - mean) / deviation, (threshold - mean) / deviation, 20001)
        # exp(u^2) (1 + erf(u)), without overflow for the values here
        y = np.exp(u**2) * np.array([math.erfc(-x) for x in u.tolist()])
        integral = float(np.sum((y[1:] + y[:-1]) / 2.0 * np.diff(u)))
        return 1.0 / (0.002 + tau * math.sqrt(math.pi) * integral)

    low, high = 0.1, 400.0
    while high - low > 1e-6:
        middle = (low + high) / 2.0
        low, high = (middle, high) if fires_at(middle) > middle else (low, middle)
    return low


# ---- The four regimes


def test_asynchronous_irregular() -> None:
    """Stationary: the rate of the mean-field theory, and oscillations that are gone after a few cycles."""
    found = Activity("AI", 600.0)
    expected = stationary_rate(*REGIMES["AI"])
    # Three seeds gave 37.2 to 38.0 Hz; the theory neglects delays, finite size and the grid.
    assert found.rates["E"] == pytest.approx(expected, rel=0.06) and found.rates["I"] == pytest.approx(
        expected, rel=0.06
    )
    assert 0.3 < found.cv < 0.7
    assert found.modulation < 0.8 and found.echo(3) < 0.3
    assert (found.counts > 0).all()


def test_synchronous_irregular_fast() -> None:
    """The population oscillates at about 1 / (4 delay); neurons take part in every third cycle, irregularly."""
    found = Activity("SI_fast", 400.0)
    assert 150.0 < found.frequency() < 210.0
    assert 45.0 < found.rates["E"] < 75.0 < found.frequency()
    assert found.cv > 0.6
    assert found.modulation > 0.8 and found.echo(1) > 0.6 and found.echo(3) > 0.25


def test_synchronous_irregular_slow() -> None:
    """Rates of a few Hz, carried by waves of the whole population at some 20 Hz."""
    found = Activity("SI_slow", 1000.0)
    assert 3.0 < found.rates["E"] < 9.0
    assert 10.0 < found.frequency() < 40.0
    assert found.modulation > 1.2


def test_synchronous_regular() -> None:
    """Neurons fire like clocks near the highest rate that the refractory time and the delay allow."""
    found = Activity("SR", 150.0)
    assert 250.0 < found.rates["E"] < 500.0
    assert found.cv < 0.05
    assert found.modulation > 1.0 and found.echo(5) > 0.9


def test_regimes_differ_as_in_the_paper() -> None:
    assert REGIMES == {"SR": (3.0, 2.0), "SI_fast": (6.0, 4.0), "AI": (5.0, 2.0), "SI_slow": (4.5, 0.9)}


# ---- The description


def test_description() -> None:
    network = brunel("SI_slow")
    assert [(p.name, p.size) for p in network.populations] == [("E", 10000), ("I", 2500)]
    tau_syn, weight = instantaneous(0.1, 0.1)
    for population in network.populations:
        assert population.params["tau_m"] == 20.0 and population.params["tau_syn_in"] == tau_syn
        assert population.params["V_th"] - population.params["E_L"] == 20.0
        assert population.params["V_reset"] - population.params["E_L"] == 10.0
        assert population.params["t_ref"] == 2.0
    (external,) = network.inputs
    assert external.params["rate"] == pytest.approx(0.9 * 10000.0) and external.weight == weight
    excitatory, inhibitory = network.projections
    assert (excitatory.rule, inhibitory.rule) == (FixedIndegree(1000), FixedIndegree(250))
    assert (excitatory.weight, inhibitory.weight) == (weight, -4.5 * weight)
    assert excitatory.delay == inhibitory.delay == 1.4
    assert brunel(g=5.5, eta=3.0).projections[1].weight == -5.5 * weight


def test_scale_changes_sizes_alone() -> None:
    small, full = brunel(scale=0.1), brunel()
    assert [p.size for p in small.populations] == [1000, 250]
    assert [p.rule for p in small.projections] == [p.rule for p in full.projections]


@pytest.mark.parametrize("dt", [0.1, 0.05])
def test_synapses_are_instantaneous(dt: float) -> None:
    """V_m of one neuron follows the recursion of NEST's iaf_psc_delta, with a jump `delay` after each spike.

    V' = V exp(-dt / tau_m) + J n, and input during the refractory time is lost. Double precision: weights have
    47 bits, so a jump is exact to 1e-13 and the error stays below 1e-10 mV over the 1000 steps.
    """
    _, weight = instantaneous(0.1, dt)
    neuron = brunel(dt=dt).populations[0].params
    arrivals = {50: 1, 60: 150, 61: 49, 62: 30, 70: 10, 85: 40, 110: 205, 130: 50, 131: 7, 400: 3}  # step → inputs
    network = Network("single")
    n = network.population("N", 1, "iaf_psc_exp", params=neuron)
    # One generator a step, its weight a multiple of J.
    g = network.population("G", len(arrivals), "spike_generator", spike_times=[[step * dt] for step in arrivals])
    delay = 15 * dt
    weights = [weight * count for count in arrivals.values()]
    network.project(g, n, Explicit(range(len(arrivals)), [0] * len(arrivals), weights, [delay - dt] * len(arrivals)))
    network.record_states(n, ["V_m"], interval=dt)
    found = distsim.simulate(network, 1000 * dt, dt=dt, precision="double")
    traced = found.states["N"].values["V_m"][:, 0]
    v, refractory, spikes = 0.0, 0, []
    for step in range(1, 1001):
        if refractory:
            refractory -= 1
        else:
            v = v * math.exp(-dt / 20.0) + 0.1 * arrivals.get(step - 15, 0)
        if v >= 20.0:
            v, refractory = 10.0, round(2.0 / dt)
            spikes.append(step)
        assert traced[step - 1] == pytest.approx(v, abs=1e-10), step
    assert len(spikes) >= 2
    assert found.spikes["N"][0] == pytest.approx(np.array(spikes) * dt)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"regime": "AS"}, "network.regime: found 'AS'; allowed: SR, SI_fast, AI, SI_slow"),
        ({"scale": 0.0}, "network.scale: found 0.0; allowed: a number > 0"),
        ({"scale": 1e-5}, "at least one neuron"),
        ({"scale": True}, "network.scale"),
        ({"g": -1.0}, "network.g: found -1.0"),
        ({"eta": float("nan")}, "network.eta"),
        ({"dt": 0.0}, "network.dt"),
        ({"delay": 0.1}, "network.delay: found 0.1; allowed: at least two steps of dt = 0.1"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        brunel(**arguments)
    assert says in str(caught.value)


def test_shipped_config() -> None:
    loaded = load_experiment(ROOT / "configs/brunel.yaml", ["network.regime=SR"])
    assert loaded.experiment.network.size == 12500 and loaded.experiment.run.duration == 1000.0
    assert loaded.document["network"]["regime"] == "SR"
