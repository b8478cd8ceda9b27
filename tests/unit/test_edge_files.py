"""Lists of connections in files: one network from a table, an .npz and HDF5, block by block, and what is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support import run

from distsim.cli import main
from distsim.config import load_experiment
from distsim.config.edge_arrays import hdf5_blocks, npz_blocks
from distsim.config.edge_files import Block, table_blocks
from distsim.edges import EdgeList

N = 500
Columns = dict[str, Any]


@pytest.fixture
def columns() -> Columns:
    rng = np.random.default_rng(3)
    weight = np.where(rng.random(N) < 0.7, 400.0, -150.0) + rng.integers(0, 9, N)
    return {
        "source": rng.integers(0, 8, N), "target": rng.integers(0, 8, N).astype(np.uint32), "weight": weight,
        "delay": rng.integers(1, 30, N) / 10.0, "receptor": np.where(weight > 0, "excitatory", "inhibitory"),
    }  # fmt: skip


def _csv(path: Path, columns: Columns) -> None:
    rows = zip(*(np.asarray(c).tolist() for c in columns.values()), strict=True)
    path.write_text(",".join(columns) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))


def _npz(path: Path, columns: Columns) -> None:
    np.savez_compressed(path, **columns)


def _hdf5(path: Path, columns: Columns) -> None:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name] = values.astype("S") if np.asarray(values).dtype.kind == "U" else values


CONFIG = """\
run: {duration: 20.0, dt: 0.1}
populations:
  E: {model: iaf_psc_exp, size: 8, params: {I_e: 900.0}}
projections:
  - {source: E, target: E, rule: {explicit: {file: FILE}}}
"""
WRITERS: dict[str, Callable[[Path, Columns], None]] = {"edges.csv": _csv, "edges.npz": _npz, "edges.h5": _hdf5}


def test_the_same_blocks_from_every_kind_of_file(tmp_path: Path, columns: Columns) -> None:
    for name, write in WRITERS.items():
        write(tmp_path / name, columns)
    expected = EdgeList.of(**columns)
    found: dict[str, list[Block]] = {
        "csv": list(table_blocks(str(tmp_path / "edges.csv"), 1000)),
        "npz": list(npz_blocks(str(tmp_path / "edges.npz"), 64)),
        "h5": list(hdf5_blocks(str(tmp_path / "edges.h5"), 64)),
    }
    for kind, blocks in found.items():
        assert len(blocks) > 5, kind
        assert EdgeList.joined([b.edges for b in blocks]) == expected, kind
    assert (
        found["csv"][3]
        .place(2, "weight")
        .endswith(f"edges.csv:{2 + sum(b.edges.source.size for b in found['csv'][:3]) + 2}: weight")
    )
    assert found["npz"][3].place(2, "weight").endswith("edges.npz: weight[194]")


def test_one_network_from_every_kind_of_file_on_any_number_of_ranks(tmp_path: Path, columns: Columns) -> None:
    seen = set()
    for name, write in WRITERS.items():
        write(tmp_path / name, columns)
        (tmp_path / "a.yaml").write_text(CONFIG.replace("FILE", name))
        loaded = load_experiment(tmp_path / "a.yaml")
        assert set(loaded.document["files"]) == {str(tmp_path / name)}
        for ranks in (1, 3) if name == "edges.h5" else (1,):
            outcome = run(loaded.experiment, ranks)
            seen.add((outcome.digest, outcome.count, outcome.synapses))
    ((_, count, synapses),) = seen
    assert count > 20 and synapses == N


def test_a_file_that_changes_between_checking_and_building_is_refused(tmp_path: Path, columns: Columns) -> None:
    _csv(tmp_path / "edges.csv", columns)
    (tmp_path / "a.yaml").write_text(CONFIG.replace("FILE", "edges.csv"))
    (projection,) = load_experiment(tmp_path / "a.yaml").experiment.network.projections
    _csv(tmp_path / "edges.csv", {name: values[1:] for name, values in columns.items()})
    with pytest.raises(ValueError, match="has changed since it was checked"):
        list(projection.rule.blocks(None))  # type: ignore[union-attr]


def _lying_npz(path: Path, columns: Columns) -> None:
    """A header that claims 2^50 entries."""
    _npz(path, columns)
    members = {}
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**50,)})
    members["weight.npy"] = header.getvalue() + b"\0" * 64
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _damaged_npz(path: Path, columns: Columns) -> None:
    """What was deflated is no more."""
    _npz(path, columns)
    with zipfile.ZipFile(path) as archive:
        entry = archive.infolist()[0]
    data = bytearray(path.read_bytes())
    begin = data.index(entry.filename.encode(), entry.header_offset) + len(entry.filename)
    data[begin + 20 : begin + 60] = b"\xff" * 40
    path.write_bytes(bytes(data))


def _linked_hdf5(path: Path, columns: Columns) -> None:
    _hdf5(path, columns)
    with h5py.File(path, "a") as file:
        del file["weight"]
        file["weight"] = h5py.ExternalLink("other.h5", "/weight")


def _huge_hdf5(path: Path, columns: Columns) -> None:
    _hdf5(path, columns)
    with h5py.File(path, "a") as file:
        del file["weight"]
        file.create_dataset("weight", (2**50,), "f8", chunks=(64,))


BAD: list[tuple[str, Callable[[Path, Columns], None], str]] = [
    ("id beyond", lambda p, c: _npz(p, {**c, "source": c["source"] + np.arange(N)}), "source["),
    ("negative id", lambda p, c: _hdf5(p, {**c, "target": -c["target"].astype(int) - 1}), "target[0]: found -"),
    ("fractional id", lambda p, c: _npz(p, {**c, "source": c["source"] * 1.0}), "source: found float64; allowed:"),
    ("NaN", lambda p, c: _hdf5(p, {**c, "weight": c["weight"] * np.nan}), "weight[0]: found nan; allowed: finite"),
    ("objects", lambda p, c: _npz(p, {**c, "weight": c["weight"].astype(object)}), "weight: found object"),
    ("lengths", lambda p, c: _npz(p, {**c, "weight": c["weight"][1:]}), "columns of different lengths: source 500"),
    ("matrix", lambda p, c: _npz(p, {**c, "weight": c["weight"][None]}), "weight: found 2 dimensions"),
    ("missing", lambda p, c: _hdf5(p, {k: v for k, v in c.items() if k != "delay"}), "no column 'delay'"),
    ("unknown", lambda p, c: _npz(p, {**c, "wieght": c["weight"]}), "unknown column 'wieght'; did you mean 'weight'"),
    ("receptor", lambda p, c: _npz(p, {**c, "receptor": np.full(N, "exitatory")}), "[0]: unknown receptor 'exitatory'"),
    ("short delay", lambda p, c: _npz(p, {**c, "delay": c["delay"] * 0.1}), "allowed: delays of at least dt"),
    ("claims 2^50 entries", _lying_npz, "weight: found float64[1125899906842624] in 64 bytes"),
    ("damaged", _damaged_npz, "cannot be read as .npz (Error -3 while decompressing"),
    ("external link", _linked_hdf5, "found an external link"),
    ("claims 2^50 in HDF5", _huge_hdf5, "claims 9007199254740992 bytes"),
    ("no zip", lambda p, c: p.write_bytes(b"PK\x03\x04" + b"x" * 99) and None, "cannot be read as .npz"),
    ("no HDF5", lambda p, c: p.write_bytes(b"\x89HDF\r\n\x1a\n" + b"x" * 99) and None, "cannot be read as HDF5"),
    ("one array", lambda p, c: p.write_bytes(b"\x93NUMPY\x01\x00") and None, "found one array (.npy)"),
]  # fmt: skip


@pytest.mark.parametrize(("write", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_malformed_arrays_end_with_one_line(
    tmp_path: Path, columns: Columns, capsys: pytest.CaptureFixture[str], write: Any, says: str
) -> None:
    with open(tmp_path / "edges.npz", "wb"):
        pass
    path = tmp_path / "edges.npz"
    write(path, columns)
    (tmp_path / "a.yaml").write_text(CONFIG.replace("FILE", "edges.npz"))
    assert main(["run", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and "rule.explicit.file" in said, said
    assert not (tmp_path / "out").exists()
