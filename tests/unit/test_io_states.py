"""State segments and their merge into a SONATA report."""

from __future__ import annotations

from pathlib import Path

import h5py
import libsonata
import numpy as np
import pytest

from distsim.errors import ResultError
from distsim.io import StateReport, StateSegments, merge_states

REPORT = StateReport("E", ("V_m", "I_syn_ex"), ("mV", "pA"), start=1.0, interval=0.5)
SINGLE = StateReport("I", ("V_m",), ("mV",), start=0.0, interval=1.0)


def _write(directory: Path, population: str, data: np.ndarray, node_ids: np.ndarray, ranks: int) -> None:
    """`data` [samples, neurons, variables] dealt to ranks, in flushes of four samples."""
    for rank in range(ranks):
        mine = slice(rank, None, ranks)
        writer = StateSegments(directory, rank, len([*directory.glob(f"segments/states.rank{rank:04d}.*")]))
        for first in range(0, len(data), 4):
            writer.write(population, first, data[first : first + 4, mine], node_ids[mine])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("window", [1, 200, 2**20])
def test_merge_is_the_whole_recording(tmp_path: Path, dtype: type, window: int) -> None:
    rng = np.random.RandomState(2)
    data = rng.normal(size=(11, 5, 2)).astype(dtype)
    node_ids = np.array([9, 4, 7, 0, 30], np.uint64)
    _write(tmp_path, "E", data, node_ids, ranks=3)
    _write(tmp_path, "I", data[:, :2, :1], node_ids[:2], ranks=1)
    merge_states(tmp_path, [REPORT, SINGLE], window_bytes=window)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["segments", "states.h5"]  # who publishes removes them
    order = np.argsort(node_ids)
    with h5py.File(tmp_path / "states.h5") as file:
        group = file["report/E"]
        assert group["data"].dtype == dtype
        np.testing.assert_array_equal(group["data"][:], data[:, order].reshape(11, 10))
        np.testing.assert_array_equal(group["mapping/node_ids"][:], node_ids[order])
        np.testing.assert_array_equal(group["mapping/element_ids"][:], [0, 1] * 5)
        np.testing.assert_array_equal(group["mapping/index_pointers"][:], np.arange(6) * 2)
        np.testing.assert_array_equal(group["mapping/time"][:], [1.0, 6.5, 0.5])
        assert group["mapping/time"].attrs["units"] == "ms"
        assert list(group["data"].attrs["variables"]) == ["V_m", "I_syn_ex"]
        assert group["data"].attrs["units"] == "mV,pA"
        assert file["report/I/data"].attrs["units"] == "mV"


def test_libsonata_reads_the_report(tmp_path: Path) -> None:
    data = np.random.RandomState(5).normal(size=(8, 3, 2)).astype(np.float32)
    _write(tmp_path, "E", data, np.array([0, 1, 2], np.uint64), ranks=2)
    merge_states(tmp_path, [REPORT])
    population = libsonata.ElementReportReader(str(tmp_path / "states.h5"))["E"]
    assert population.times == (1.0, 5.0, 0.5)
    assert population.time_units == "ms"
    assert population.data_units == "mV,pA"
    frame = population.get(node_ids=[2])
    np.testing.assert_array_equal(np.asarray(frame.ids), [[2, 0], [2, 1]])
    np.testing.assert_array_equal(frame.data, data[:, 2])
    np.testing.assert_allclose(frame.times, 1.0 + 0.5 * np.arange(8))


def test_somas_can_be_read_where_one_variable_is_recorded(tmp_path: Path) -> None:
    data = np.arange(12, dtype=np.float32).reshape(6, 2, 1)
    _write(tmp_path, "I", data, np.array([3, 8], np.uint64), ranks=2)
    merge_states(tmp_path, [SINGLE])
    population = libsonata.SomaReportReader(str(tmp_path / "states.h5"))["I"]
    assert population.get_node_ids() == [3, 8]
    np.testing.assert_array_equal(population.get().data, data[:, :, 0])


def test_gaps_and_strangers_are_refused(tmp_path: Path) -> None:
    data = np.zeros((2, 1, 1), np.float32)
    node = np.array([0], np.uint64)
    writer = StateSegments(tmp_path, 0)
    writer.write("I", 0, data, node)
    with pytest.raises(ResultError, match="'I'; allowed: E"):
        merge_states(tmp_path, [REPORT])
    writer.write("I", 3, data, node)
    with pytest.raises(ResultError, match="starts at sample 3 of I, not 2"):
        merge_states(tmp_path, [SINGLE])
    with pytest.raises(ResultError, match="samples, neurons, variables"):
        writer.write("I", 5, np.zeros((2, 2, 1)), node)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["segments"]


def test_a_rank_that_stopped_early_is_noticed(tmp_path: Path) -> None:
    StateSegments(tmp_path, 0).write("I", 0, np.zeros((4, 1, 1), np.float32), np.array([0], np.uint64))
    StateSegments(tmp_path, 1).write("I", 0, np.zeros((3, 1, 1), np.float32), np.array([1], np.uint64))
    with pytest.raises(ResultError, match="found 3 samples of a neuron; allowed: 4"):
        merge_states(tmp_path, [SINGLE])


def test_without_reports_there_is_no_file(tmp_path: Path) -> None:
    merge_states(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_a_recording_without_samples_is_empty(tmp_path: Path) -> None:
    merge_states(tmp_path, [SINGLE])
    with h5py.File(tmp_path / "states.h5") as file:
        assert file["report/I/data"].shape == (0, 0)
