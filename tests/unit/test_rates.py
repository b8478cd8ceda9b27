"""Population rates in bins: the spikes, counted, whoever counts them and however often the run stops."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import continuing
import numpy as np
import pytest
import support
from rate_bins import binned, counted

import distsim
from distsim.analysis.results import load_rates
from distsim.backend import open_backend
from distsim.comm import Threads
from distsim.config import load_experiment
from distsim.engine.simulation import Simulation
from distsim.io.rates import RateReport, RateSegments, merge_rates, read_rates
from distsim.io.spikes import read_spikes
from distsim.verification import verify

CONFIG = continuing.CONFIG + "  rates: {bin: 2.3, populations: [P, E]}\n"


def experiment(tmp_path: Path, text: str = CONFIG) -> distsim.Experiment:
    (tmp_path / "rates.yaml").write_text(text)
    return load_experiment(tmp_path / "rates.yaml").experiment


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_counts_are_the_spikes(tmp_path: Path, ranks: int) -> None:
    """With room for one bin, too; where the run stops inside a bin and goes on on other ranks."""
    described = experiment(tmp_path)
    reference = support.run(described)
    expected = binned(reference.spikes, described)
    assert expected.shape == (27, 2) and (expected.sum(axis=0) > 20).all() and expected.sum() < len(reference.spikes)
    for tuning in (None, support.TINY):
        assert np.array_equal(counted(described, [ranks], [], tuning), expected)
    assert np.array_equal(counted(described, [ranks, 2, 1], [50, 333], support.TINY), expected)


def test_nothing_is_counted_where_nothing_is_asked_for(tmp_path: Path) -> None:
    described = experiment(tmp_path, continuing.CONFIG)
    simulation = Simulation(described, distsim.comm.Serial(), open_backend("cpu"))
    assert simulation.loop.rate_steps == 0 and not simulation.loop.rate_counts
    simulation.run_to(simulation.end)
    assert simulation.rates.take() == []


def check(out: Path, ends: float = 70.0) -> None:
    """The file against the spikes beside it."""
    spikes, rates = read_spikes(out / "spikes.h5"), read_rates(out / "rates.h5")
    assert list(rates) == ["E", "P"]
    for name, bins in rates.items():
        at = np.searchsorted(bins.stop + 1e-6, spikes[name][0])
        assert np.array_equal(np.bincount(at, minlength=bins.counts.size), bins.counts)
        assert bins.start[0] == 10.0 and bins.start[1] == 12.3 and bins.stop[-1] == ends
        assert bins.rates[-1] == pytest.approx(bins.counts[-1] / bins.size / (bins.stop[-1] - bins.start[-1]) * 1000.0)
    assert all(finding.right for finding in verify(out)), [f.text for f in verify(out)]


def test_files_of_a_run_that_stops_is_read_goes_on_and_is_made_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    continuing.stop_after(monkeypatch, 320)
    continuing.run(tmp_path, out, 2, config=CONFIG)
    partial = load_rates(out)
    continuing.stop_after(monkeypatch, None)
    continuing.run(tmp_path, out, 3, config=CONFIG, resume=True)
    check(out)
    whole = load_rates(out)
    n = partial["E"].counts.size
    assert 5 < n < 27 and np.array_equal(partial["E"].counts, whole["E"].counts[:n])
    # A run that died after it had replaced its results: what it had merged is still there, and counts once.
    kept = tmp_path / "kept"
    monkeypatch.setattr("distsim.output.delete_segments", lambda names: None)
    continuing.run(tmp_path, out, 2, ["run.duration=80.0"], config=CONFIG, resume=True)
    monkeypatch.undo()
    check(out, 90.0)
    assert list((out / "segments").glob("rates.*"))
    shutil.copytree(out, kept)
    continuing.run(tmp_path, out, 1, ["run.duration=95.0"], config=CONFIG, resume=True)
    check(out, 105.0)
    # Its newest checkpoint is damaged: it goes on from an older one, and what is merged is not counted again.
    newest = max((kept / "checkpoints").iterdir())
    shutil.rmtree(newest)
    continuing.run(tmp_path, kept, 1, ["run.duration=95.0"], config=CONFIG, resume=True)
    assert continuing.contents(kept / "rates.h5").keys() == continuing.contents(out / "rates.h5").keys()
    for key, values in continuing.contents(out / "rates.h5").items():
        assert np.array_equal(continuing.contents(kept / "rates.h5")[key], values)


def test_python_gives_the_same_on_any_ranks_and_in_stretches() -> None:
    def net() -> distsim.Network:
        described = distsim.Network()
        described.population("E", 40, "iaf_psc_exp", I_e=distsim.Uniform(350.0, 700.0))
        described.record_rates(3.0)
        return described

    whole = distsim.simulate(net(), 60.0).rate_bins["E"]
    assert whole.counts.sum() > 30 and whole.counts.size == 20
    for ranks in (2, 3):
        for found in Threads.run(ranks, lambda comm: distsim.simulate(net(), 60.0, comm=comm).rate_bins["E"]):
            assert np.array_equal(found.counts, whole.counts)
    sim = distsim.Simulator(net())
    first, second = (sim.simulate(t).rate_bins["E"] for t in (31.0, 29.0))
    assert first.stop[-1] == second.start[0] == 31.0 and second.stop[0] == 33.0
    joined = np.concatenate([first.counts[:-1], [first.counts[-1] + second.counts[0]], second.counts[1:]])
    assert np.array_equal(joined, whole.counts)


@pytest.mark.parametrize("window", [1, 7, 2**20])
def test_merging_in_windows(tmp_path: Path, window: int) -> None:
    report = RateReport({"E": 10, "I": 4}, 5, 100, 0.1)
    rng = np.random.RandomState(3)
    total = np.zeros((9, 2), np.uint64)
    for rank, index, first, n in ((0, 0, 0, 4), (0, 1, 3, 6), (1, 0, 0, 9), (2, 0, 8, 1)):
        counts = rng.randint(0, 9, (n, 2)).astype(np.uint64)
        total[first : first + n] += counts
        RateSegments(tmp_path, rank, index).write(first, counts, 100 + 5 * first, 142)
    merge_rates(tmp_path, report, 142, window=window)
    found = read_rates(tmp_path / "rates.h5")
    assert np.array_equal(np.stack([found[p].counts for p in "EI"], axis=1), total)
    assert found["E"].start[-1] == 14.0 and found["E"].stop[-1] == 14.2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{bin: 0.25}", r"record\.rates\.bin: found 0\.25; allowed: a multiple of dt"),
        ("{bin: 0.0}", r"record\.rates\.bin: found 0"),
        ("{bin: 1.0, populations: [E, F]}", r"record\.rates\.populations\[1\]: unknown population 'F'"),
        ("{bin: 1.0, populations: []}", r"record\.rates\.populations: found \[\]"),
        ("{bin: 1.0, populations: [E, E]}", r"population 'E' stands twice"),
        ("{populations: [E]}", r"record\.rates\.bin: missing"),
        ("{bins: 1.0}", r"record\.rates\.bins: unknown key"),
    ],
)
def test_wrong_rates_end_with_one_line(tmp_path: Path, given: Any, message: str) -> None:
    with pytest.raises(distsim.ConfigError, match=message):
        experiment(tmp_path, continuing.CONFIG + f"  rates: {given}\n")
