"""The output directory and the summary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distsim.errors import ConfigError, ResultError
from distsim.io import SpikeSegments, prepare_output, read_json, write_json


def test_a_new_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    made = prepare_output(tmp_path / "a/b")
    assert made.is_dir() and made.is_absolute()
    assert prepare_output(made) == made  # empty: may be used
    assert list(made.iterdir()) == []


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match="found a file"):
        prepare_output(tmp_path / "out", overwrite=True)
    with pytest.raises(ConfigError, match="cannot be written"):
        prepare_output(tmp_path / "out/below")
    assert (tmp_path / "out").read_text() == "mine"


def test_results_are_overwritten_only_on_demand_and_nothing_else_is(tmp_path: Path) -> None:
    for name in ("spikes.h5", "summary.json", "raster.png", "notes.txt", "spikes.h5.writing"):
        (tmp_path / name).write_text("old")
    SpikeSegments(tmp_path, 0).write(np.array([1], np.uint64), np.array([0], np.uint64), 0.1)
    with pytest.raises(ConfigError, match=r"notes.txt, raster.png, segments, \.\.\."):
        prepare_output(tmp_path)
    assert (tmp_path / "spikes.h5").exists()
    prepare_output(tmp_path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_strangers_in_the_segments_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "segments").mkdir()
    (tmp_path / "segments/thesis.h5").write_text("mine")
    prepare_output(tmp_path, overwrite=True)
    assert (tmp_path / "segments/thesis.h5").exists()


def test_a_directory_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(ConfigError, match="/proc/distsim: cannot be written"):
        prepare_output("/proc/distsim")


def test_summary_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    content = {"rates": {"E": np.float64(1.5), "I": float("nan")}, "spikes": np.int64(3), "shape": np.arange(2)}
    write_json(path, content)
    assert read_json(path) == {"rates": {"E": 1.5, "I": None}, "spikes": 3, "shape": [0, 1]}
    assert list(read_json(path)) == ["rates", "spikes", "shape"]
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_a_failing_write_leaves_the_old_summary(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_no_summary_is_said_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ResultError, match=r"s\.json"):
        read_json(tmp_path / "s.json")
