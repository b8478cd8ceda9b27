"""Profile, energy and the machine's figures on a real device: what a stand-in cannot show."""

from __future__ import annotations

import pytest

from distsim import Experiment, RunSettings
from distsim.backend import open_backend
from distsim.cli.bench_machine import Sizes, measure
from distsim.comm import Serial
from distsim.published import microcircuit
from distsim.runner import run_experiment


def test_a_profile_measures_kernels_and_changes_nothing() -> None:
    """Every kernel of a step took some time, none more than the run; phases have times; the digest stays."""
    experiment = Experiment(microcircuit(0.05), RunSettings(duration=200.0, warmup=20.0))
    plain, found = (
        run_experiment(experiment, Serial(), open_backend("cuda"), profile=profile).summary for profile in (False, True)
    )
    assert found["spike_digest"] == plain["spike_digest"]
    kernels = found["profile"]["kernels"]
    assert {"update"} < {k["phase"] for k in kernels}
    for kernel in kernels:
        assert kernel["launches_measured"] > 0 and kernel["microseconds_a_launch"] > 0.0, kernel
    phases = found["profile"]["phase_seconds"]
    assert phases["update"] > 0.0 and found["seconds"]["update"] == pytest.approx(phases["update"])
    assert found["memory_bytes"]["device"] > 0
    if found["energy"] is not None:  # the counter may not be readable in a container
        assert found["energy"]["joules"] > 0.0 and "NVML" in " ".join(found["energy"]["source"])


def test_the_machine_has_figures() -> None:
    """Between what no device falls short of and what none reaches: catches a kernel that does not do its work."""
    backend = open_backend("cuda")
    found = measure(backend, Sizes(2**26, 2**24, 2**20, 2**20, 2**14, 64, 100))
    assert 1e-8 < found.launch < 1e-3 and 1e-9 < found.cached_latency < 1e-5 and 1e-9 < found.latency < 1e-4
    assert 1e8 < found.bandwidth < 1e14 and 1e6 < found.atomics < 1e14 and 1e7 < found.operations < 1e16
