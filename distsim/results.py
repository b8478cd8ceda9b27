"""What a simulation gives back in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from distsim.collect import Spikes, States
from distsim.io.rates import RateBins


def mean_rate(spikes: int, neurons: int, duration: float) -> float:
    """Hz, from a duration in ms: one division, so that round numbers stay round."""
    return 1000.0 * spikes / (neurons * duration) if duration else 0.0


def spikes_frame(spikes: Mapping[str, Spikes]) -> Any:
    """A pandas DataFrame with the columns time (ms), population, neuron, in the order of the populations."""
    import pandas

    frames = [
        pandas.DataFrame({"time": times, "population": name, "neuron": ids})
        for name, (times, ids) in spikes.items()
        if times.size  # an empty column would have no type
    ]
    nothing = pandas.DataFrame({"time": np.empty(0), "population": np.empty(0, str), "neuron": np.empty(0, np.int64)})
    return pandas.concat(frames, ignore_index=True) if frames else nothing


class Written(dict[str, Any]):
    """What is empty here because it was written to a directory instead; says so to who looks for it."""

    def __init__(self, out: str) -> None:
        super().__init__()
        self._out = out

    def __missing__(self, name: str) -> Any:
        raise self.error(name)

    def error(self, name: str) -> KeyError:
        return KeyError(f"{name}: written to {self._out!r}, not returned; distsim.load_results({self._out!r}) reads it")


@dataclass(frozen=True, repr=False)
class Stretch:
    """One stretch of simulated time; the same on every rank.

    Attributes
    ----------
    spikes
        Population → (times in ms float64[n], population-local ids int64[n]), by time, then id.
    states
        Population → States.
    rates
        Population → Hz over the stretch.
    rate_bins
        Population → RateBins, where rates are recorded; a stretch has its own part of a bin that it cuts.
    spike_digest, spike_count
        Over all spikes emitted by neurons since the beginning.
    """

    spikes: Mapping[str, Spikes]
    states: Mapping[str, States]
    rates: Mapping[str, float]
    spike_digest: str
    spike_count: int
    rate_bins: Mapping[str, RateBins] = field(default_factory=dict, kw_only=True)

    def __repr__(self) -> str:
        rates = ", ".join(f"{name} {rate:.4g} Hz" for name, rate in self.rates.items())
        return f"<{type(self).__name__}: {rates or 'no neurons'}; digest {self.spike_digest}>"

    def to_pandas(self) -> Any:
        """All spikes as a pandas DataFrame with the columns time (ms), population, neuron; needs pandas."""
        if isinstance(self.spikes, Written):
            raise self.spikes.error("spikes")
        return spikes_frame(self.spikes)

    def to_neo(self, population: str, stop: float, start: float = 0.0) -> list[Any]:
        """One neo.SpikeTrain for each neuron of `population` that spiked; needs neo."""
        import neo

        times, ids = self.spikes[population]
        return [
            neo.SpikeTrain(times[ids == i], units="ms", t_start=start, t_stop=stop, neuron=int(i))
            for i in np.unique(ids)
        ]


@dataclass(frozen=True, repr=False)
class Result(Stretch):
    """A whole run; `rates` are over the time after the warm-up.

    `spikes`, `states` and `rate_bins` are empty where results were written to a directory instead. `summary` holds the
    contents of summary.json.
    """

    summary: Mapping[str, Any]
