"""What a run of days must not do: gather memory, leave millions of files, or lose one of them."""

from __future__ import annotations

import itertools
import os
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from continuing import CONFIG, run, stop_after

from distsim import Experiment, FixedIndegree, Network, RunSettings, Simulator
from distsim.backend import open_backend
from distsim.checkpointing import Keeper
from distsim.comm import Collective, Peers, Serial, Threads
from distsim.config import load_experiment
from distsim.engine.recording import FlushTimes
from distsim.engine.simulation import Simulation, Sinks, Tuning
from distsim.errors import ConfigError, ResultError
from distsim.io import StateReport, StateSegments, files, merge_states
from distsim.io.checkpoints import KINDS
from distsim.io.files import segments
from distsim.io.spikes import SpikeSegments, read_segment
from distsim.output import SegmentFiles
from distsim.runner import run_experiment

WEEK = 7 * 86400.0


def regular() -> Network:
    network = Network("regular")
    n = network.population("N", 12, "iaf_psc_exp", I_e=900.0)
    network.project(n, n, FixedIndegree(3), 10.0, 1.0)
    return network


def test_data_are_handed_over_more_rarely_in_a_long_run() -> None:
    """Every ten seconds for a quarter of an hour, never more than five minutes late; few files in a week."""
    times = FlushTimes(10.0)
    begun = now = 5000.0
    times.begin(now)
    handed: list[float] = []
    while now < begun + WEEK:
        now = times.next
        times.done(now)
        times.begin(now)  # of a later stretch: counting has begun
        handed.append(now - begun)
    pauses = np.diff([0.0, *handed])
    assert np.allclose(pauses[:100], 10.0) and handed[99] == pytest.approx(1000.0)
    assert np.all(pauses <= np.maximum(10.0, 0.011 * np.array(handed))) and pauses.max() == pytest.approx(300.0)
    assert len(handed) < 2500


def test_data_are_handed_over_between_stretches_of_one_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an interval takes longer than ranks take to meet, each stretch is one; then time asks between two."""
    monkeypatch.setattr("distsim.engine.simulation.FLUSH_EVERY", 0.05)
    handed: list[int] = []
    sinks = Sinks(spikes=lambda steps, gids: handed.append(int(steps[-1])))
    simulation = Simulation(Experiment(regular(), RunSettings(duration=100.0)), Serial(), open_backend("cpu"), sinks)
    simulation.interval = simulation._stepper.most_steps = 100
    for stop in range(100, 1001, 100):
        simulation.run_to(stop)
        time.sleep(0.03)
    assert len(handed) >= 2 and handed[0] <= 500


def test_what_is_said_to_be_written_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full ring is emptied in the middle of a step, a half full one while later steps are computed."""
    monkeypatch.setattr("distsim.output.SILENCE", 0.0)
    files = SegmentFiles(tmp_path, 0, 0.1, dict.fromkeys(KINDS, 0))
    experiment = Experiment(regular(), RunSettings(duration=100.0))
    simulation = Simulation(experiment, Serial(), open_backend("cpu"), files.sinks(), Tuning(spike_room=16))
    files.simulation = simulation
    simulation.run_to(simulation.end)
    simulation.flush()
    simulation.flush()
    parts = [read_segment(part.path) for part in segments(tmp_path, "spikes")]
    written = np.cumsum([steps.size for steps, _, _ in parts])
    every = np.concatenate([steps for steps, _, _ in parts])
    assert len(parts) > 5 and [int(np.sum(every <= until)) for _, _, until in parts] == written.tolist()
    assert parts[-1][0].size == 0 and parts[-1][2] == simulation.end, "a rank without spikes says so"


def test_a_lost_segment_is_no_shorter_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is not there when the results are merged: waited for, as on a slow file system, then refused.

    So is a segment with a spike less, as a second run in the same directory might have written it.
    """
    out, asked = tmp_path / "out", []
    stop_after(monkeypatch, 300)
    run(tmp_path, out, 2)
    stop_after(monkeypatch, None)
    lost = sorted((out / "segments").glob("spikes.rank0001.*"))[-1]
    listed = files.segments

    def late(folder: Path, kind: str) -> list[files.SegmentName]:
        asked.append(kind)
        return [name for name in listed(folder, kind) if name.path != lost or len(asked) > 9]

    monkeypatch.setattr("distsim.output.segments", late)
    monkeypatch.setattr("distsim.output.LATE", 0.0)
    monkeypatch.setattr("distsim.runner.draw", lambda *arguments: None)
    with pytest.raises(ResultError, match=rf"{lost.name}: is missing; it was written before \(1 of "):
        run(tmp_path, out, resume=True)
    monkeypatch.setattr("distsim.output.LATE", 60.0)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    whole, (steps, gids, until) = lost.read_bytes(), read_segment(lost)
    SpikeSegments(out, 1, int(lost.suffixes[1][1:])).write(steps[1:], gids[1:], 0.1, until)
    with pytest.raises(ResultError, match=r"found \d+ spikes in its segments, of \d+; was another run"):
        run(tmp_path, out, resume=True)
    lost.write_bytes(whole)
    assert not run(tmp_path, out, 2, resume=True).stopped and len(asked) > 9


def test_one_run_at_a_time_in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one is refused from the beginning to the end, and may go on where the first has died."""
    out, short = tmp_path / "out", ["run.duration=5.0"]
    monkeypatch.setattr("distsim.io.alone.PATIENCE", 0.0)

    def another(*arguments: object, **named: object) -> None:
        before = sorted(out.rglob("*"))
        for resume in (True, False):
            with pytest.raises(ConfigError, match="another run is writing there"):
                run_experiment(
                    loaded.experiment, Serial(), open_backend("cpu"), document=loaded.document, out=out,
                    overwrite=not resume, resume=resume,
                )  # fmt: skip
        assert sorted(out.rglob("*")) == before
        raise KeyboardInterrupt

    (tmp_path / "small.yaml").write_text(CONFIG)
    loaded = load_experiment(tmp_path / "small.yaml", short)
    monkeypatch.setattr("distsim.runner.draw", lambda *arguments: None)
    for moment in ("distsim.runner.Simulation", "distsim.runner.merge_results"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(moment, another)
            run(tmp_path, out, overrides=short, resume=True)
    assert not run(tmp_path, out, 2, short, resume=True).stopped


def test_checkpoints_leave_nothing_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frees tuples that Python keeps for later; from time to time they are given back."""
    held = np.zeros(200, np.int64)  # blocks of Python after each checkpoint
    count = itertools.count()
    write = Keeper.write

    def counted(self: Keeper, *arguments: Any) -> float:
        taken = write(self, *arguments)
        held[next(count)] = sys.getallocatedblocks()
        return taken

    monkeypatch.setattr(Keeper, "write", counted)
    monkeypatch.setattr("distsim.checkpointing.TIDY_EVERY", 20)
    monkeypatch.setattr(os, "fsync", lambda file: None)
    wanted = ["run.duration=13.0", "run.checkpoint={every: 0.2}", "record.spikes=[P]", "record.states={}"]
    run(tmp_path, tmp_path / "out", overrides=wanted)
    assert next(count) > 100
    # NumPy fills places of its own first, 200 blocks or so. Without, each checkpoint would add five or more.
    assert held[99] - held[19] < 80 * 5


def test_merging_many_segments_holds_the_neurons_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each segment names its neurons; a rank's are always the same."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    segments, neurons = 100, 20_000
    ids = np.arange(neurons, dtype=np.uint64)
    writer = StateSegments(tmp_path, 0)
    for sample in range(segments):
        writer.write("N", sample, np.full((1, neurons, 1), sample, np.float32), ids)
    tracemalloc.start()
    try:
        merge_states(tmp_path, [StateReport("N", ("V_m",), ("mV",), 0.0, 1.0)], window_bytes=2**18)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < ids.nbytes * segments / 4


@pytest.mark.parametrize("how", ["alltoall", "neighbourhood"])
def test_a_run_gives_back_what_mpi_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A program runs thousands of networks; MPI has room for two thousand graphs of ranks."""
    freed: list[type] = []
    for kind in (Collective, Peers):
        monkeypatch.setattr(kind, "free", lambda self: freed.append(type(self)))
    run(tmp_path, tmp_path / "out", 2, [f"run.exchange={how}", "run.duration=1.0"])
    assert sum(issubclass(kind, Peers) for kind in freed) == 2
    # Each rank: one that stood in before the first was prepared, and the last; more where a pair has overflowed.
    assert sum(issubclass(kind, Collective) for kind in freed) >= 4
    freed.clear()
    Threads.run(2, lambda comm: Simulator(regular(), comm=comm, exchange=how).close())
    assert sum(issubclass(kind, Peers) for kind in freed) == 2
