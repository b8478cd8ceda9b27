"""Interspike intervals, the power of a population's rate, and distances of distributions: pure functions."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from distsim.analysis.statistics import Floats, Integers, binned

SEGMENT = 512  # bins of a Welch segment; fewer where the recording would not give seven of them


def intervals(times: Floats, ids: Integers) -> Floats:
    """All interspike intervals (ms) of all neurons together."""
    order = np.lexsort((times, ids))
    times, ids = times[order], ids[order]
    return np.asarray(np.diff(times)[ids[1:] == ids[:-1]])


def population_rate(times: Floats, size: int, start: float, stop: float, bin_width: float) -> tuple[Floats, Floats]:
    """(middles of the bins in ms, spikes per neuron and second in each)."""
    counts = binned(times, start, stop, bin_width)
    middles = start + (np.arange(len(counts)) + 0.5) * bin_width
    return np.asarray(middles), np.asarray(counts * (1000.0 / bin_width / max(1, size)))


def power_spectrum(
    times: Floats, size: int, start: float, stop: float, bin_width: float = 1.0, segment: int = SEGMENT
) -> tuple[Floats, Floats]:
    """Power of the population's rate over that of as many independent Poisson trains, by Welch's method.

    Segments overlap by half under a Hann window, each without its mean. A Poisson population of mean rate r
    has the flat (one-sided) spectrum 2 r / size, so that 1 means: no common fluctuations.

    Returns
    -------
    tuple
        Frequencies in Hz (without 0) and the relative power; empty where fewer than 64 bins or no spikes
        were recorded.

    References
    ----------
    Welch (1967), doi:10.1109/TAU.1967.1161901.
    """
    _, rate = population_rate(times, size, start, stop, bin_width)
    length = min(segment, 1 << ((len(rate) // 4).bit_length() - 1)) if len(rate) >= 4 else 0
    mean = float(rate.mean()) if len(rate) else 0.0
    if length < 16 or mean == 0.0:
        return np.empty(0), np.empty(0)
    window = np.hanning(length + 1)[:-1]
    begins = range(0, len(rate) - length + 1, length // 2)
    pieces = np.stack([rate[b : b + length] for b in begins])
    pieces = (pieces - pieces.mean(axis=1, keepdims=True)) * window
    sampling = 1000.0 / bin_width
    density = 2.0 * np.mean(np.abs(np.fft.rfft(pieces, axis=1)) ** 2, axis=0) / (sampling * np.sum(window**2))
    frequencies = np.fft.rfftfreq(length, 1.0 / sampling)
    return np.asarray(frequencies[1:-1]), np.asarray(density[1:-1] / (2.0 * mean / size))


def ks_distance(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """The largest difference of two empirical distribution functions (Kolmogorov and Smirnov); NaN without data."""
    x, y = np.sort(np.asarray(a, np.float64)), np.sort(np.asarray(b, np.float64))
    if not x.size or not y.size:
        return math.nan
    everywhere = np.concatenate([x, y])
    below_x = np.searchsorted(x, everywhere, side="right") / x.size
    below_y = np.searchsorted(y, everywhere, side="right") / y.size
    return float(np.abs(below_x - below_y).max())


def ks_critical(n: int, m: int, alpha: float) -> float:
    """The distance that two samples of one distribution exceed with probability `alpha` (asymptotically)."""
    if n < 1 or m < 1:
        return math.nan
    return min(1.0, math.sqrt(-math.log(alpha / 2.0) / 2.0 * (n + m) / (n * m)))
