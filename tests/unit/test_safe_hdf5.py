"""HDF5 is read as data and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from distsim.errors import ResultError
from distsim.io import read_spikes
from distsim.io.safe_hdf5 import child, confined, dataset, number, open_hdf5, text, whole


def _file(path: Path) -> h5py.File:
    file = h5py.File(path, "w")
    file["spikes/E/timestamps"] = np.arange(4.0)
    file["spikes/E/node_ids"] = np.arange(4, dtype=np.uint64)
    return file


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with _file(tmp_path / "a.h5") as file:
        file.attrs["dt"], file.attrs["name"] = 0.1, "größer"
        file.create_dataset("packed", data=np.zeros(10**6), compression="gzip")
    with open_hdf5(tmp_path / "a.h5") as file:
        assert number(file, "dt") == 0.1 and text(file, "name") == "größer"
        assert whole(file, "packed").size == 10**6
    assert read_spikes(tmp_path / "a.h5")["E"][0].tolist() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("kind", ["external", "soft", "group"])
def test_links_are_refused(tmp_path: Path, kind: str) -> None:
    """Also in the middle of a path: what they lead to is not what the file holds."""
    _file(tmp_path / "other.h5").close()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        if kind == "external":
            file["spikes"] = h5py.ExternalLink("other.h5", "/spikes")
        elif kind == "soft":
            file["spikes"] = h5py.SoftLink("/elsewhere")
            file["elsewhere/E/timestamps"] = np.zeros(1)
        else:
            file.create_group("spikes")["E"] = h5py.ExternalLink("other.h5", "/spikes/E")
    with pytest.raises(ResultError, match="link; allowed: data"):
        read_spikes(tmp_path / "a.h5")


def test_data_in_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(b"12345678" * 4)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", (4,), "f8", external=[(str(tmp_path / "secret.bin"), 0, 32)])
        layout = h5py.VirtualLayout((4,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "b.h5"), "x", (4,))
        file.create_virtual_dataset("virtual", layout)
    with open_hdf5(tmp_path / "a.h5") as file:
        for name in ("raw", "virtual"):
            with pytest.raises(ResultError, match="data in other files"):
                dataset(file, name)


def test_objects_and_sizes_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("text", data=["a", "b"])
        file.create_dataset("reference", data=file.ref, dtype=h5py.ref_dtype)
        file.create_dataset("pairs", data=np.zeros(3, [("a", "f8"), ("b", "i4")]))
        file.create_dataset("huge", (10**13,), "f8", chunks=(1000,))
        file.create_dataset("packed", (10**13,), "f8", chunks=(1000,), compression="gzip")
        file.create_dataset("flat", data=np.zeros((2, 2)))
        file.attrs["many"], file.attrs["reference"] = np.zeros(3), file.ref
    with open_hdf5(tmp_path / "a.h5") as file:
        wrong = {"text": "numbers", "reference": "numbers", "pairs": "numbers", "huge": "claims", "packed": "claims",
                 "flat": "dimensions", "gone": "found no", "/": "found no"}  # fmt: skip
        for name, message in wrong.items():
            with pytest.raises(ResultError, match=message):
                whole(file, name)
        for name in ("many", "reference", "gone"):
            with pytest.raises(ResultError, match="attribute"):
                text(file, name)
            with pytest.raises(ResultError, match="attribute"):
                number(file, name)
        with pytest.raises(ResultError, match="found no"):
            child(file, "flat/below")


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_what_is_no_hdf5_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(ResultError, match=r"a\.h5: cannot be read as HDF5"), open_hdf5(tmp_path / "a.h5"):
        pass


def test_paths_stay_below_their_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "out").symlink_to("/etc")
    assert confined(tmp_path / "data", "a/b.h5") == (tmp_path / "data" / "a" / "b.h5").resolve()
    for name in ("../x.h5", "/etc/passwd", "a/../../x", "out/passwd", "", ".", "a\0b"):
        with pytest.raises(ResultError, match="found the path"):
            confined(tmp_path / "data", name)


def test_no_pickle_anywhere(repo_root: Path) -> None:
    """And HDF5 is opened for reading in one place, and written where no error of the disk is lost."""
    assert (repo_root / "distsim/io/safe_hdf5.py").exists()
    for path in (repo_root / "distsim").rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"^\s*(import|from)\s+(pickle|cPickle|dill|marshal|shelve)\b", text, re.M), path
        assert "allow_pickle=True" not in text, path
        # Lower-case verbs of mpi4py pickle.
        assert not re.search(r"_world\.(bcast|gather|scatter|allgather|alltoall|allreduce|send|recv)\(", text), path
        if path.name != "safe_hdf5.py":
            assert not re.search(r"h5py\.File\(.*[\"']r", text), path
        if path.name not in ("new_hdf5.py", "sealed.py"):
            assert not re.search(r"h5py\.File\(.*[\"'][awx]", text), path
