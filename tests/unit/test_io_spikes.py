"""Spike segments and their merge into a SONATA file."""

from __future__ import annotations

from pathlib import Path

import h5py
import libsonata
import numpy as np
import pytest

from distsim.errors import ResultError
from distsim.io import SpikePopulation, SpikeSegments, merge_spikes, read_spikes
from distsim.io.files import TEMPORARY, segments, step_times

POPULATIONS = [SpikePopulation("E", 0, 70), SpikePopulation("quiet", 70, 10), SpikePopulation("I", 80, 20)]


def _write_random(directory: Path, ranks: int, flushes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Spikes of 100 neurons dealt to ranks and flushes; returns all (step, gid)."""
    rng = np.random.RandomState(seed)
    n = 1000
    step = rng.randint(1, 2000, n).astype(np.uint64)
    gid = rng.choice(np.r_[0:70, 80:100], n).astype(np.uint64)
    per_flush = 2000 // flushes + 1
    for rank in range(ranks):
        writer = SpikeSegments(directory, rank)
        for flush in range(flushes):
            mine = (gid % ranks == rank) & (step // per_flush == flush)
            order = np.argsort(step[mine], kind="stable")
            writer.write(step[mine][order], gid[mine][order], 0.1)
    return step, gid


@pytest.mark.parametrize(("ranks", "flushes"), [(1, 1), (3, 4), (7, 2)])
@pytest.mark.parametrize("window", [1, 64, 10**6])
def test_merge_is_the_sorted_union(tmp_path: Path, ranks: int, flushes: int, window: int) -> None:
    step, gid = _write_random(tmp_path, ranks, flushes, seed=ranks)
    assert len(list((tmp_path / "segments").iterdir())) == ranks * flushes
    counts = merge_spikes(tmp_path, POPULATIONS, 0.1, window_spikes=window)
    read = read_spikes(tmp_path / "spikes.h5")
    assert counts == {name: len(times) for name, (times, _) in read.items()}
    assert sum(counts.values()) == len(step)
    for population in POPULATIONS:
        mine = (gid >= population.first_gid) & (gid < population.first_gid + population.size)
        order = np.lexsort((gid[mine], step[mine]))
        times, ids = read[population.name]
        np.testing.assert_array_equal(ids, gid[mine][order] - population.first_gid)
        np.testing.assert_array_equal(times, np.round(step[mine][order] * 0.1, 10))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["segments", "spikes.h5"]  # who publishes removes them


def test_libsonata_reads_the_spikes(tmp_path: Path) -> None:
    _write_random(tmp_path, 2, 3, seed=9)
    merge_spikes(tmp_path, POPULATIONS, 0.1)
    reader = libsonata.SpikeReader(str(tmp_path / "spikes.h5"))
    assert sorted(reader.get_population_names()) == ["E", "I", "quiet"]
    assert reader["E"].sorting == "by_time"
    assert reader["quiet"].get() == []
    times, ids = read_spikes(tmp_path / "spikes.h5")["E"]
    assert reader["E"].get() == list(zip(ids, times, strict=True))
    chosen = reader["E"].get(node_ids=[3], tstart=50.0, tstop=100.0)
    assert [t for _, t in chosen] == list(times[(ids == 3) & (times >= 50.0) & (times <= 100.0)])


def test_sonata_attributes(tmp_path: Path) -> None:
    merge_spikes(tmp_path, POPULATIONS, 0.1)
    with h5py.File(tmp_path / "spikes.h5") as file:
        assert file.attrs["magic"] == 0x0A7A
        assert list(file.attrs["version"]) == [0, 1]
        group = file["spikes/quiet"]
        assert group["timestamps"].dtype == np.float64 and group["node_ids"].dtype == np.uint64
        assert group["timestamps"].attrs["units"] == "milliseconds"
        assert h5py.check_enum_dtype(group.attrs.get_id("sorting").dtype) == {"none": 0, "by_id": 1, "by_time": 2}


def test_a_segment_can_be_read_alone_and_a_continued_run_adds(tmp_path: Path) -> None:
    step, gid = np.array([3, 3, 9], np.uint64), np.array([5, 2, 5], np.uint64)
    path = SpikeSegments(tmp_path, 3).write(step, gid, 0.1)
    assert path == tmp_path / "segments/spikes.rank0003.0000.h5"
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["step"][:], step)
        assert file.attrs["dt"] == 0.1
    assert SpikeSegments(tmp_path, 3, 1).write(step + np.uint64(10), gid, 0.1).name == "spikes.rank0003.0001.h5"
    assert len(segments(tmp_path, "spikes")) == 2


@pytest.mark.parametrize("dt", [0.1, 0.05, 0.025, 0.2, 1.0, 0.3])
def test_times_are_the_nearest_doubles(dt: float) -> None:
    steps = np.r_[0:2000, 10**9, 10**12].astype(np.uint64)
    times = step_times(steps, dt)
    digits = len(repr(dt)) - 2
    expected = [float(f"{int(s) * round(dt * 10**digits)}e-{digits}") for s in steps]
    np.testing.assert_array_equal(times, expected)
    assert step_times(np.array([3], np.uint64), 0.1)[0] == 0.3


def test_times_of_an_odd_step_fall_back() -> None:
    dt = 1.0 / 3.0
    np.testing.assert_allclose(step_times(np.array([3, 10**10], np.uint64), dt), [1.0, 10**10 / 3], rtol=1e-15)


def test_failures_name_the_file_and_keep_the_segments(tmp_path: Path) -> None:
    writer = SpikeSegments(tmp_path, 0)
    writer.write(np.array([1, 2], np.uint64), np.array([0, 200], np.uint64), 0.1)
    with pytest.raises(ResultError, match="neuron 200"):
        merge_spikes(tmp_path, POPULATIONS, 0.1)
    with pytest.raises(ResultError, match=r"found dt = 0\.1 ms"):
        merge_spikes(tmp_path, POPULATIONS, 0.2)
    assert [p.name for p in tmp_path.iterdir()] == ["segments"]
    with pytest.raises(ResultError, match="out of order"):
        writer.write(np.array([2, 1], np.uint64), np.array([0, 0], np.uint64), 0.1)
    writer.write(np.array([1], np.uint64), np.array([0], np.uint64), 0.1)
    with pytest.raises(ResultError, match="none before 2"):
        merge_spikes(tmp_path, [SpikePopulation("all", 0, 300)], 0.1)


def test_a_damaged_segment_is_named(tmp_path: Path) -> None:
    path = SpikeSegments(tmp_path, 0).write(np.array([1], np.uint64), np.array([0], np.uint64), 0.1)
    path.write_bytes(b"no HDF5")
    with pytest.raises(ResultError, match=r"rank0000\.0000"):
        merge_spikes(tmp_path, POPULATIONS, 0.1)
    with pytest.raises(ResultError, match=r"missing\.h5"):
        read_spikes(tmp_path / "missing.h5")


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    (tmp_path / "segments").write_text("a file where the folder should be")
    with pytest.raises(ResultError, match="cannot be written"):
        SpikeSegments(tmp_path, 0).write(np.array([1], np.uint64), np.array([0], np.uint64), 0.1)
    assert not list(tmp_path.glob("*" + TEMPORARY))


def test_merging_holds_only_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distsim.io import spikes as module

    largest = 0
    original = module.advance

    def watched(streams: list[module.SpikeStream], window: int) -> tuple[np.ndarray, np.ndarray] | None:
        nonlocal largest
        chunk = original(streams, window)
        largest = max(largest, sum(len(s.step) for s in streams) + (len(chunk[0]) if chunk else 0))
        return chunk

    monkeypatch.setattr(module, "advance", watched)
    _write_random(tmp_path, 4, 3, seed=1)
    merge_spikes(tmp_path, POPULATIONS, 0.1, window_spikes=100)
    assert largest <= 100
