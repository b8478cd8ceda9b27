"""A disk that refuses while HDF5 writes: an error, whenever it comes; never a file with a hole, noise, or a crash."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from distsim.errors import ResultError
from distsim.io.new_hdf5 import new_hdf5

DATA = np.arange(200_000, dtype=np.uint64)


def write(path: Path) -> None:
    """Chunks that stay in HDF5's cache until the dataset is let go, and a group."""
    with new_hdf5(path) as (file, check):
        group = file.create_group("spikes")
        for name in "abc":
            data = group.create_dataset(name, (0,), np.uint64, maxshape=(None,), chunks=(8192,))
            for begin in range(0, DATA.size, 7000):
                part = DATA[begin : begin + 7000]
                data.resize((begin + part.size,))
                data[begin : begin + part.size] = part
            check()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r") as file:
        assert sorted(file["spikes"]) == ["a", "b", "c"]
        assert all(np.array_equal(file["spikes"][name][()], DATA) for name in "abc")
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]


@pytest.mark.parametrize("lasting", [True, False])
@pytest.mark.parametrize("call", ["pwrite", "ftruncate", "close"])
def test_every_refused_call_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], call: str, lasting: bool
) -> None:
    """One refused call alone, or all after it: with h5py's own files these are lost, or end the process."""
    original, count, at = getattr(os, call), [0], [0]

    def refuse(*arguments: Any) -> Any:
        count[0] += 1
        if at[0] and (count[0] == at[0] or (lasting and count[0] > at[0])):
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments)

    monkeypatch.setattr(f"distsim.io.new_hdf5.os.{call}", refuse)
    write(tmp_path / "whole.h5")
    total = count[0]
    assert total >= 1
    for number in {1, 2, total // 2, total - 1, total} - {0}:
        if number > total or (call == "close" and number != 1):
            continue
        count[0], at[0] = 0, number
        with pytest.raises(ResultError, match="No space left"):
            write(tmp_path / "refused.h5")
        at[0] = 0
        assert [p.name for p in tmp_path.iterdir()] == ["whole.h5"]
    said = capfd.readouterr()
    assert not said.out and not said.err
