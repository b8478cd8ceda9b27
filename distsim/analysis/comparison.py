"""Two runs side by side: where they part, in what their configurations differ, how far apart their statistics are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.analysis.results import Results
from distsim.analysis.spectra import ks_critical, ks_distance
from distsim.analysis.statistics import correlations, cv_isi, rates
from distsim.config.messages import shown
from distsim.config.yaml_reader import read_document
from distsim.periods import bounds

Floats = npt.NDArray[np.float64]
MEASURES = ("rate", "CV", "correlation")
ALPHA = 0.01  # false alarms in a whole table
KOLMOGOROV_MEAN = 0.8687  # of the limiting distribution of sqrt(n m / (n + m)) D: sqrt(pi / 2) ln 2


@dataclass(frozen=True)
class Divergence:
    """Where two runs first part, as far as digests and recorded spikes tell.

    Attributes
    ----------
    seconds
        Begin and end of the first period (a second, or after an hour a minute; of all time, warm-up included) whose
        digests differ; None where only totals differ.
    populations
        Those that differ in it.
    spike
        (time in ms, population, neuron, which run has it: 0 or 1) of the first recorded spike that only one
        of them has; None where all recorded spikes are the same.
    """

    seconds: tuple[int, int] | None
    populations: tuple[str, ...]
    spike: tuple[float, str, int, int] | None


@dataclass(frozen=True)
class Distance:
    """A KS distance, the mean one to expect between seeds, and the limit that chance seldom exceeds."""

    found: float
    expected: float
    limit: float

    @property
    def is_large(self) -> bool:
        return self.found > self.limit


def same_digest(a: Results, b: Results) -> bool:
    """Whether both runs emitted the same spikes, as far as digest and count tell."""
    return all(a.summary[key] == b.summary[key] for key in ("spike_digest", "spike_count"))


def divergence(a: Results, b: Results) -> Divergence:
    """Where two runs with different digests part."""
    digests = a.summary["digests"], b.summary["digests"]
    names = list(dict.fromkeys([*digests[0], *digests[1]]))
    most = max((len(entries) for side in digests for entries in side.values()), default=0)
    for period in range(most):
        differing = tuple(n for n in names if _entry(digests[0], n, period) != _entry(digests[1], n, period))
        if differing:
            return Divergence(bounds(period), differing, first_difference(a, b))
    return Divergence(None, (), first_difference(a, b))


def _entry(digests: Mapping[str, Sequence[Any]], name: str, period: int) -> Any:
    """A population's digest in a period; a run that is over has none there, as one without spikes."""
    entries = digests.get(name, ())
    entry = entries[period] if period < len(entries) else None
    return None if entry is None or not entry["count"] else (entry["digest"], entry["count"])


def first_difference(a: Results, b: Results) -> tuple[float, str, int, int] | None:
    """The first recorded spike that only one of two runs has (see Divergence.spike)."""
    found = []
    for name in dict.fromkeys([*a.spikes, *b.spikes]):
        if name in a.spikes and name in b.spikes:
            spike = _first_of(a.local_spikes(name), b.local_spikes(name))
            if spike is not None:
                found.append((spike[0], name, spike[1], spike[2]))
    return min(found, default=None)


def _first_of(a: tuple[Floats, Any], b: tuple[Floats, Any]) -> tuple[float, int, int] | None:
    """(time, neuron, 0 or 1) of the first spike by which two sorted trains differ."""
    n = min(len(a[0]), len(b[0]))
    differs = np.flatnonzero((a[0][:n] != b[0][:n]) | (a[1][:n] != b[1][:n]))
    at = int(differs[0]) if len(differs) else n
    heads = [(float(t[at]), int(i[at]), side) for side, (t, i) in enumerate((a, b)) if at < len(t)]
    return min(heads, default=None)


def config_differences(a: Path, b: Path) -> list[tuple[str, str, str]]:
    """(key, value in a, value in b) of each entry that differs between two experiment files; "-" where left out."""
    flat = [dict(_leaves(read_document(path))) for path in (a, b)]
    keys = list(dict.fromkeys([*flat[0], *flat[1]]))
    return [
        (key, *(shown(side[key]) if key in side else "-" for side in flat))  # type: ignore[misc]
        for key in keys
        if flat[0].get(key, _MISSING) != flat[1].get(key, _MISSING)
    ]


_MISSING = object()


def _leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [leaf for k, v in value.items() for leaf in _leaves(v, f"{path}.{k}" if path else str(k))]
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        return [leaf for i, v in enumerate(value) for leaf in _leaves(v, f"{path}[{i}]")]
    return [(path, value)]


@dataclass(frozen=True)
class Samples:
    """One population's distributions, and of how many independent items each consists."""

    values: Mapping[str, Floats]
    sizes: Mapping[str, int]


def samples(results: Results, name: str) -> Samples:
    """Rates of neurons, CVs of neurons, correlations of pairs.

    Pairs of k neurons are not independent: their distribution is as uncertain as k items make it, not k (k - 1) / 2.
    """
    (times, ids), size = results.spikes[name], results.sizes[name]
    rate = rates(times, ids, size, results.start, results.stop)
    cv = cv_isi(times, ids)
    correlation, neurons = correlations(times, ids, size, results.start, results.stop)
    return Samples(
        {"rate": rate, "CV": cv, "correlation": correlation}, {"rate": len(rate), "CV": len(cv), "correlation": neurons}
    )


def distances(a: Results, b: Results, seeds: Sequence[Results] = ()) -> dict[str, dict[str, Distance]]:
    """For each population that both runs recorded, and each measure: the KS distance, and the one to expect.

    What to expect is the mean distance between the runs of other `seeds` (of one: from the first run), so that
    whatever makes neurons dependent is in it. Without such runs neurons count as independent. The limit is that
    of Kolmogorov's distribution with this mean (more for few seeds), which chance exceeds anywhere in the table
    with probability ALPHA or less.
    """
    recorded = all(r.stop > r.start for r in (a, b, *seeds))
    common = [name for name in a.spikes if name in b.spikes and recorded]
    table: dict[str, dict[str, Distance]] = {}
    for name in common:
        x, y = samples(a, name), samples(b, name)
        others = [samples(s, name) for s in seeds if name in s.spikes]
        pairs = list(combinations(others, 2)) if len(others) > 1 else [(x, other) for other in others]
        row = {}
        for measure in MEASURES:
            between = [ks_distance(p.values[measure], q.values[measure]) for p, q in pairs]
            between = [d for d in between if not math.isnan(d)]
            n, m = x.sizes[measure], y.sizes[measure]
            limit = ks_critical(n, m, ALPHA / (len(MEASURES) * len(common)))
            expected = KOLMOGOROV_MEAN * math.sqrt((n + m) / (n * m)) if n and m else math.nan
            if between:
                measured = sum(between) / len(between)
                unsure = 1.0 + 1.0 / math.sqrt(len(seeds))  # few seeds know their mean badly
                expected, limit = measured, min(1.0, limit * measured / expected * unsure)
            row[measure] = Distance(ks_distance(x.values[measure], y.values[measure]), expected, limit)
        table[name] = row
    return table
