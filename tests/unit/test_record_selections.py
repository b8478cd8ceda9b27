"""Spikes and states of some neurons: what a recording of all has of them, on any ranks, after a resume too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import continuing
import numpy as np
import pytest
import support

import distsim
from distsim.analysis.results import load_results
from distsim.build.selecting import selected_ids
from distsim.cli import main
from distsim.comm import Threads
from distsim.config import load_experiment
from distsim.io import read_spikes
from distsim.verification import verify

SOME = continuing.CONFIG.replace("spikes: [E, P, G]", """spikes:
    - {population: E, fraction: 0.25}
    - {population: P, neurons: [1, 4]}
    - G""").replace("neurons: [0, 7, 9, 30]", "slice: [3, 53, 7]")  # fmt: skip


def some(experiment: distsim.Experiment) -> None:
    net = experiment.network
    net.spike_recording = None  # of the file
    net.record_spikes([net.select("E", fraction=0.25), net.select("P", slice=[1, 5, 3]), "G"])


def chosen(experiment: distsim.Experiment) -> set[int]:
    """Global ids of the recorded neurons."""
    return {
        int(i) + s.population.first_gid
        for s in experiment.network.recorded_neurons()
        for i in selected_ids(s, experiment.run.seed)
    }


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], distsim.Experiment]:
    def loaded(text: str) -> distsim.Experiment:
        (tmp_path / "some.yaml").write_text(text)
        return load_experiment(tmp_path / "some.yaml").experiment

    return loaded


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("partition", ["round_robin", "block"])
def test_spikes_of_some_are_those_of_all(load: Callable[[str], Any], ranks: int, partition: str) -> None:
    """Catches a mask that counts by population or by global id, and one that changes the digest."""
    text = continuing.CONFIG.replace("seed: 4", f"seed: 4, partition: {partition}")
    everything = support.run(load(text))
    experiment = load(text)
    some(experiment)
    wanted = chosen(experiment)
    assert len(wanted) == 13 + 2 + 2
    expected = everything.spikes[np.isin(everything.spikes[:, 1], list(wanted))]
    assert 0 < len(expected) < len(everything.spikes) / 2
    found = support.run(experiment, ranks, support.TINY)
    assert np.array_equal(found.spikes, expected)
    assert (found.digest, found.counts) == (everything.digest, everything.counts)


def test_states_of_a_slice_and_a_fraction() -> None:
    def net() -> distsim.Network:
        described = distsim.Network()
        described.population("E", 40, "iaf_psc_exp", I_e=distsim.Uniform(350.0, 700.0))
        return described

    whole = net()
    whole.record_states("E", ["V_m"])
    every = distsim.simulate(whole, 20.0).states["E"].values["V_m"]
    for which in ({"slice": [5, 38, 4]}, {"fraction": 0.3, "draw": 2}, {"neurons": [0, 39]}):
        part = net()
        part.record_states(part.select("E", **which), ["V_m"])
        found = Threads.run(3, lambda comm, net=part: distsim.simulate(net, 20.0, comm=comm).states["E"])[0]
        assert 0 < found.neurons.size < 40
        assert np.array_equal(found.values["V_m"], every[:, found.neurons])


def test_a_run_of_some_is_written_resumed_looked_at_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = tmp_path / "all"
    continuing.run(tmp_path, everything)
    whole, out = tmp_path / "whole", tmp_path / "out"
    continuing.run(tmp_path, whole, config=SOME)
    continuing.stop_after(monkeypatch, 300)
    continuing.run(tmp_path, out, ranks=3, config=SOME)
    partial = load_results(out)
    assert not partial.complete and partial.sizes == {"E": 13, "P": 2, "G": 2} and partial.spike_digest == ""
    hertz = partial.spikes["E"][0].size / 13 / (partial.stop - partial.start) * 1000.0
    assert partial.rates["E"] == pytest.approx(hertz) and hertz > 0.0
    assert partial.states == {}
    assert main(["plot", str(out), "--what", "states"]) == 2
    assert "when the run is finished" in capsys.readouterr().err
    assert main(["plot", str(out), "--what", "raster", "--out", str(tmp_path / "so_far.svg")]) == 0
    assert f"up to {partial.stop:g} ms" in capsys.readouterr().out and (tmp_path / "so_far.svg").stat().st_size > 1000
    continuing.stop_after(monkeypatch, None)
    continuing.run(tmp_path, out, ranks=2, config=SOME, resume=True)
    continuing.check_same_results(out, whole)
    reference, found = read_spikes(everything / "spikes.h5"), read_spikes(out / "spikes.h5")
    assert np.array_equal(np.unique(found["P"][1]), [1, 4])
    for name in ("E", "P", "G"):
        same = np.isin(reference[name][1], np.unique(found[name][1]))
        assert np.array_equal(reference[name][0][same], found[name][0])
    results = load_results(out)
    assert results.sizes == {"E": 13, "P": 2, "G": 2} and int(results.spikes["P"][1].max()) == 1
    assert np.array_equal(results.local_spikes("E")[1], found["E"][1])
    assert all(finding.right for finding in verify(out)), [f.text for f in verify(out)]
    described = load_experiment(out / "experiment.yaml").experiment.network
    assert [str(s) for s in described.recorded_neurons()] == ["E[0.25 of all]", "P[2 listed]", "G"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("spikes: [{population: E, fraction: 1.5}]", r"record\.spikes.*: found 1\.5; allowed"),
        ("spikes: [G, {population: P, neurons: [5]}]", r"record\.spikes\[1\]\.neurons: found 5; allowed: local ids"),
        ("spikes: [E, {population: E, neurons: [5]}]", r"record\.spikes\[1\]: population 'E' stands twice"),
        ("spikes: [{population: F, neurons: [5]}]", r"record\.spikes: unknown population 'F'"),
        ("states: {E: {variables: [V_m], fraction: 0.001}}", r"record\.states\.E\.fraction: found 0\.001"),
        ("states: {E: {variables: [V_m], slice: [0, 9], neurons: [1]}}", r"record\.states\.E: found"),
    ],
)
def test_wrong_selections_end_with_one_line(load: Callable[[str], Any], given: str, message: str) -> None:
    with pytest.raises(distsim.ConfigError, match=message):
        load(continuing.CONFIG.split("record:")[0] + "record: {" + given + "}\n")
