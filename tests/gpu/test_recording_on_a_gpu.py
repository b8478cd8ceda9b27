"""What is recorded of some neurons, and counted in bins, is the same on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import support
from rate_bins import binned, counted

from distsim.backend import open_backend
from distsim.build.selecting import selected_ids
from distsim.comm import Serial


@pytest.mark.parametrize("tuning", [None, support.TINY], ids=["roomy", "tiny"])
def test_some_neurons_and_rates(tuning: Any) -> None:
    everything = support.run(support.varied(duration=20.0))
    experiment = support.varied(duration=20.0)
    network = experiment.network
    network.record_rates(0.7)
    names = [p.name for p in network.recorded()]
    network.record_spikes([network.select(names[0], fraction=0.3), *names[2:]])
    wanted = [i + s.population.first_gid for s in network.recorded_neurons() for i in selected_ids(s, 11)]
    found = support.put_together([support.run_share(Serial(), experiment, tuning, backend=open_backend("cuda"))])
    assert np.array_equal(found.spikes, everything.spikes[np.isin(everything.spikes[:, 1], wanted)])
    assert 0 < len(found.spikes) < len(everything.spikes) and found.digest == everything.digest
    expected = binned(everything.spikes, experiment)
    assert np.array_equal(counted(experiment, [1, 2], [77], tuning, lambda: open_backend("cuda")), expected)
