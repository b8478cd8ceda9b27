"""Spike statistics of one population as pure functions of its spikes.

`times` (float64[n], ms, absolute) and `ids` (integers[n], population-local, from 0) are parallel arrays in any
order. A spike's time is the end of its step, so a window is the half-open interval (start, stop], and so is
each bin. Definitions as in our reference data from NEST (tests/reference).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer[Any]]

CORRELATION_BIN = 2.0  # ms
CORRELATION_NEURONS = 200  # at most
CORRELATION_SEED = 123
FANO_BIN = 1.0  # ms
_GRID = 1e-6  # of a bin: a spike this near to a bin's edge lies on it


@dataclass(frozen=True)
class PopulationStatistics:
    """Means and standard deviations (ddof 0) over neurons, or over pairs; NaN where there is nothing to average."""

    n: int  # neurons
    n_spikes: int
    rate_mean: float  # Hz, over all neurons, silent ones included
    rate_std: float
    frac_silent: float
    cv_n: int  # neurons with at least three spikes
    cv_mean: float
    cv_std: float
    cc_n_neurons: int
    cc_mean: float
    cc_std: float
    synchrony_fano_1ms: float


def population_statistics(times: Floats, ids: Integers, size: int, start: float, stop: float) -> PopulationStatistics:
    """All statistics of a population of `size` neurons over (start, stop] ms."""
    times, ids = in_window(times, ids, start, stop)
    rate = rates(times, ids, size, start, stop)
    cv = cv_isi(times, ids)
    correlation, neurons = correlations(times, ids, size, start, stop)
    return PopulationStatistics(
        n=size,
        n_spikes=len(times),
        rate_mean=_mean(rate),
        rate_std=_std(rate),
        frac_silent=float(np.mean(rate == 0.0)) if size else np.nan,
        cv_n=len(cv),
        cv_mean=_mean(cv),
        cv_std=_std(cv),
        cc_n_neurons=neurons,
        cc_mean=_mean(correlation),
        cc_std=_std(correlation),
        synchrony_fano_1ms=fano_factor(times, start, stop),
    )


def in_window(times: Floats, ids: Integers, start: float, stop: float) -> tuple[Floats, Integers]:
    """The spikes in (start, stop] ms."""
    margin = _GRID * min(FANO_BIN, CORRELATION_BIN)
    inside = (times > start + margin) & (times <= stop + margin)
    return times[inside], ids[inside]


def rates(times: Floats, ids: Integers, size: int, start: float, stop: float) -> Floats:
    """Firing rate in Hz of each of `size` neurons, silent ones included: float64[size].

    Raises
    ------
    ValueError
        The window is empty or an id is not below `size`.
    """
    if not stop > start:
        raise ValueError(f"window: found ({start}, {stop}] ms; allowed: start < stop")
    if len(ids) and int(ids.max()) >= size:
        raise ValueError(f"ids: found {int(ids.max())}; allowed: 0 to {size - 1}")
    _, inside = in_window(times, ids, start, stop)
    counts = np.bincount(inside.astype(np.int64), minlength=size).astype(np.float64)
    return counts * (1000.0 / (stop - start))


def cv_isi(times: Floats, ids: Integers) -> Floats:
    """Coefficient of variation of the interspike intervals of each neuron with at least three spikes.

    Standard deviation (ddof 0) over mean; in the order of ids. Neurons whose intervals are all zero are left out.
    """
    order = np.lexsort((times, ids))
    times, ids = times[order], ids[order]
    intervals = np.diff(times)
    within = ids[1:] == ids[:-1]
    _, owner, count = np.unique(ids[1:][within], return_inverse=True, return_counts=True)
    intervals = intervals[within]
    total = np.bincount(owner, weights=intervals, minlength=len(count))
    enough = (count >= 2) & (total > 0.0)
    mean = np.divide(total, count, out=np.ones(len(count)), where=enough)
    squares = np.bincount(owner, weights=(intervals - mean[owner]) ** 2, minlength=len(count))
    return (np.sqrt(squares / np.maximum(count, 1)) / mean)[enough]


def correlations(
    times: Floats,
    ids: Integers,
    size: int,
    start: float,
    stop: float,
    bin_width: float = CORRELATION_BIN,
    max_neurons: int = CORRELATION_NEURONS,
) -> tuple[Floats, int]:
    """Pearson correlations of binned spike counts of all pairs among some neurons.

    Up to `max_neurons` of all `size` are chosen with `RandomState(123).choice`, silent ones dropped (and those whose
    count is the same in each bin, which have no correlation).

    Returns
    -------
    tuple
        float64[k (k - 1) / 2], one a pair, and the number k of neurons.
    """
    chosen = np.random.RandomState(CORRELATION_SEED).choice(size, min(size, max_neurons), replace=False)
    row_of = np.full(size, -1, dtype=np.int64)
    row_of[chosen] = np.arange(len(chosen))
    times, ids = in_window(times, ids, start, stop)
    rows = row_of[ids.astype(np.int64)]
    bins = _bin_of(times, start, bin_width)
    n_bins = _n_bins(start, stop, bin_width)
    kept = (rows >= 0) & (bins < n_bins)
    counts = np.bincount(rows[kept] * n_bins + bins[kept], minlength=len(chosen) * n_bins)
    counts = counts.reshape(len(chosen), n_bins).astype(np.float64)
    counts = counts[counts.std(axis=1) > 0.0]
    k = len(counts)
    if k < 2:
        return np.empty(0), k
    matrix = np.atleast_2d(np.corrcoef(counts))
    return matrix[np.triu_indices(k, 1)], k


def fano_factor(times: Floats, start: float, stop: float, bin_width: float = FANO_BIN) -> float:
    """Variance over mean of the population's spike count per bin (synchrony); NaN without spikes."""
    counts = binned(times, start, stop, bin_width)
    mean = float(counts.mean()) if len(counts) else 0.0
    return float(counts.var()) / mean if mean > 0.0 else np.nan


def binned(times: Floats, start: float, stop: float, bin_width: float) -> npt.NDArray[np.int64]:
    """Spikes in each whole bin of the window."""
    n_bins = _n_bins(start, stop, bin_width)
    bins = _bin_of(times, start, bin_width)
    return np.bincount(bins[(bins >= 0) & (bins < n_bins)], minlength=n_bins)


def _n_bins(start: float, stop: float, bin_width: float) -> int:
    """Whole bins in the window."""
    return int(np.floor((stop - start) / bin_width + _GRID))


def _bin_of(times: Floats, start: float, bin_width: float) -> npt.NDArray[np.int64]:
    """The bin of each time: bin b is (start + b width, start + (b + 1) width]."""
    return (np.ceil((times - start) / bin_width - _GRID) - 1.0).astype(np.int64)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else np.nan


def _std(values: Floats) -> float:
    return float(values.std()) if len(values) else np.nan
