"""What a simulation gives back in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from distsim.collect import Spikes, States
from distsim.io.rates import RateBins


def spikes_frame(spikes: Mapping[str, Spikes]) -> Any:
    """Spikes of populations as a pandas DataFrame with the columns time (ms), population, neuron; needs pandas."""
    import pandas

    frames = [
        pandas.DataFrame({"time": times, "population": name, "neuron": ids}) for name, (times, ids) in spikes.items()
    ]
    return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()


@dataclass(frozen=True)
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

    def to_pandas(self) -> Any:
        """All spikes as a pandas DataFrame with the columns time (ms), population, neuron; needs pandas."""
        return spikes_frame(self.spikes)

    def to_neo(self, population: str, stop: float, start: float = 0.0) -> list[Any]:
        """One neo.SpikeTrain for each neuron of `population` that spiked; needs neo."""
        import neo

        times, ids = self.spikes[population]
        return [
            neo.SpikeTrain(times[ids == i], units="ms", t_start=start, t_stop=stop, neuron=int(i))
            for i in np.unique(ids)
        ]


@dataclass(frozen=True)
class Result(Stretch):
    """A whole run; `rates` are over the time after the warm-up.

    `spikes`, `states` and `rate_bins` are empty where results were written to a directory instead. `summary` holds the
    contents of summary.json.
    """

    summary: Mapping[str, Any]
