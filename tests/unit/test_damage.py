"""Damaged checkpoints and segments: refused, or an older one taken; never a wrong result."""

from __future__ import annotations

import dataclasses
import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from continuing import CONFIG, check_same_results, run, stop_after

from distsim.cli import main
from distsim.errors import ConfigError, DistsimError, ResultError
from distsim.io import checkpoints
from distsim.io.arrays import Stored, parse_arrays, read_stored, write_arrays
from distsim.io.checkpoints import Manifest, folders, parse_manifest
from distsim.io.sealed import check_seal


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    run(folder, folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on two ranks that was stopped after its third checkpoint."""
    folder = tmp_path_factory.mktemp("stopped")
    patch = pytest.MonkeyPatch()
    stop_after(patch, 400)
    assert run(folder, folder / "out", 2).stopped
    patch.undo()
    assert len(folders(folder / "out")) == 3
    return folder / "out"


def _newest(out: Path, name: str) -> Path:
    return folders(out)[0] / name


def _flipped(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ["manifest.json", "rank0000.npz", "rank0001.npz"])
@pytest.mark.parametrize("how", ["missing", "empty", "cut", "longer", "flipped"])
def test_a_damaged_checkpoint_is_passed_over(
    stopped: Path, reference: Path, tmp_path: Path, name: str, how: str
) -> None:
    """An older one is taken, and gives the same."""
    out = tmp_path / "out"
    shutil.copytree(stopped, out)
    path = _newest(out, name)
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "flipped":
        _flipped(path, 8 * (len(data) // 2) + 3)
    else:
        path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "longer": data + b"\0"}[how])
    if name == "manifest.json" and how == "missing":  # never completed: not counted, not reported as wrong
        assert main(["verify", str(out)]) == 0
    else:
        assert main(["verify", str(out)]) == 1
    run(tmp_path, out, resume=True)
    check_same_results(out, reference)


def test_any_single_bit_of_a_manifest_or_a_part(stopped: Path) -> None:
    """What is found is never another state: each flip is an error."""
    folder = folders(stopped)[0]
    draw = random.Random(3)
    data = (folder / "manifest.json").read_bytes()
    for _ in range(300):
        bit = draw.randrange(8 * len(data))
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert parse_manifest(bytes(damaged), "m") == parse_manifest(data, "m")  # 1e-05 for 1E-05
        except ResultError:
            continue
    stored = parse_manifest(data, "m").files[0]
    whole = (folder / stored.name).read_bytes()
    for cut in range(0, len(whole), max(1, len(whole) // 100)):
        with pytest.raises(ResultError):
            parse_arrays(whole[:cut], "part")


def test_a_damaged_segment_is_noticed_at_once(stopped: Path, reference: Path, tmp_path: Path) -> None:
    """One of the newest part: an older checkpoint. One of the oldest: refused, and nothing is removed."""
    out = tmp_path / "new"
    shutil.copytree(stopped, out)
    segments = sorted((out / "segments").glob("spikes.rank0000.*.h5"))
    _flipped(segments[-1], 8 * 700)
    run(tmp_path, out, 3, resume=True)
    check_same_results(out, reference)
    out = tmp_path / "old"
    shutil.copytree(stopped, out)
    _flipped(sorted((out / "segments").glob("*.rank0000.0000.h5"))[0], 8 * 100)
    before = sorted(str(p) for p in out.rglob("*"))
    with pytest.raises(ResultError, match=r"no checkpoint of 3 is valid: .*is damaged"):
        run(tmp_path, out, resume=True)
    assert sorted(str(p) for p in out.rglob("*")) == before


def test_every_checkpoint_damaged_is_refused(stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    shutil.copytree(stopped, out)
    for folder in folders(out):
        _flipped(folder / "rank0001.npz", 999)
    assert main(["resume", str(out), "-q", "--device", "cpu"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert "no checkpoint of 3 is valid" in said[-1] and len(said) == 1
    with pytest.raises(ResultError, match=rf"{folders(out)[0].name}/rank0001.npz: is damaged"):  # found by rank 1
        run(tmp_path, out, 2, resume=True)
    assert main(["run", str(out / "experiment.yaml"), "--out", str(out), "--overwrite", "-q", "--device", "cpu"]) == 0


def test_results_that_changed_are_no_base(tmp_path: Path) -> None:
    """A complete run whose spikes.h5 was touched cannot be made longer; verify says what is wrong."""
    out = tmp_path / "out"
    run(tmp_path, out, overrides=["run.duration=31.0"])
    _flipped(out / "spikes.h5", 8 * 3000)
    assert main(["verify", str(out)]) == 1
    with pytest.raises(ResultError, match="is valid"):
        run(tmp_path, out, resume=True)


def test_results_without_a_checkpoint_are_not_computed_again_unasked(tmp_path: Path) -> None:
    """Days of computing may lie in files of which one was touched: they are refused, not removed."""
    out, config = tmp_path / "out", CONFIG.replace(", checkpoint: {every: 17.0, keep: 3}", "")
    run(tmp_path, out, config=config)
    (out / "summary.json").write_bytes((out / "summary.json").read_bytes() + b"\n")
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    with pytest.raises(ConfigError, match="not as they were written"):
        run(tmp_path, out, config=config, resume=True)
    assert {p.name: p.stat().st_mtime_ns for p in out.iterdir()} == before


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    """Objects, sizes that do not fit, names that lead elsewhere."""
    arrays = {"a": np.arange(5), "b": np.zeros(3, np.float32)}
    stored = write_arrays(tmp_path / "rank0000.npz", arrays)
    found = parse_arrays(read_stored(tmp_path, stored), "x")
    assert all(np.array_equal(found[k], v) and found[k].dtype == v.dtype for k, v in arrays.items())
    with np.load(tmp_path / "rank0000.npz", allow_pickle=False) as file:
        assert np.array_equal(file["a"], arrays["a"])
    stream = io.BytesIO()
    np.savez(stream, a=np.array([{"an": "object"}], object))
    with pytest.raises(ResultError, match="found object"):
        parse_arrays(stream.getvalue(), "x")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.npy", header.getvalue())
    with pytest.raises(ResultError, match="in 0 bytes"):
        parse_arrays(stream.getvalue(), "x")
    evil = Manifest("0", 1, {}, (Stored("../../etc/passwd", 1, "0"),), {"spikes": [], "states": []})
    with pytest.raises(ResultError, match="names the file"):
        parse_manifest(checkpoints.dump_manifest(evil), "m")
    for wrong in (b"", b"{}", b"[]", b"null", b'{"sha256": 3}', b"[" * 100000, json.dumps({"sha256": "0"}).encode()):
        with pytest.raises(ResultError):
            parse_manifest(wrong, "m")


def _made_up(out: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change an array of rank 0 in the only checkpoint that is left, and make all hashes fit."""
    newest, *others = folders(out)
    for folder in others:
        checkpoints.remove_checkpoint(folder)
    manifest = checkpoints.read_manifest(newest)
    arrays = dict(checkpoints.read_part(newest, manifest, 0))
    arrays[name] = np.asarray(change(arrays[name]))
    stored = write_arrays(newest / "rank0000.npz", arrays)
    checkpoints.write_manifest(out, dataclasses.replace(manifest, files=(stored, *manifest.files[1:])))


@pytest.mark.parametrize(("name", "change", "says"), [
    ("layout.iaf_psc_exp", lambda a: [[0, 1, 2**50]], "found the neurons 0 to"),  # nothing is allocated for them
    ("layout.iaf_psc_exp", lambda a: a[0], "found int64"),
    ("state.iaf_psc_exp.V_m", lambda a: a[:-1], "for 27 neurons"),
    ("history.gid", lambda a: a - 1000, "allowed: 0 to"),
    ("history.step", lambda a: a + 1000, "allowed: 1 to"),
    ("history.sent", lambda a: a[1:], "found"),
    ("sums.digest", lambda a: a[:, :, :1], "for 3 populations"),
    ("state.spike_generator.next_spike", lambda a: a - 1000, "beyond its list"),
    ("history.gid", lambda a: a + 1000, "a neuron that is none of"),
    ("history.multiplicity", lambda a: np.full_like(a, 2**31), "events"),
])  # fmt: skip
def test_what_is_made_up_is_one_error(
    stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, change: Any, says: str
) -> None:
    """All hashes fit, but the numbers are of no run: refused before memory is taken or a kernel follows them."""
    out = tmp_path / "out"
    shutil.copytree(stopped, out)
    _made_up(out, name, change)
    assert main(["resume", str(out), "-q", "--device", "cpu"]) == 1
    said = capsys.readouterr().err
    assert says in said and name.removeprefix("state.") in said and said.count("\n") == 1


def test_a_manifest_that_counts_segments_that_are_not_there(stopped: Path) -> None:
    """However many: they are asked for one by one. Numbers that are none are refused."""
    manifest = checkpoints.read_manifest(folders(stopped)[0])
    many = dataclasses.replace(manifest, segments={**manifest.segments, "spikes": [10**12]})
    with pytest.raises(ResultError, match="cannot be read"):
        checkpoints.check_segments(stopped, parse_manifest(checkpoints.dump_manifest(many), "m"))
    for changes in ({"segments": {"spikes": [-1]}}, {"merged": "x"}, {"totals": {"events": [1]}}, {"config": None}):
        with pytest.raises(ResultError, match="as a manifest"):
            content = {**json.loads(checkpoints.dump_manifest(manifest)), **changes}
            content.pop("sha256")
            text = json.dumps(content, ensure_ascii=False)
            parse_manifest(json.dumps({**content, "sha256": checkpoints._hash(text)}, ensure_ascii=False).encode(), "m")


def test_links_are_neither_written_nor_removed_through(stopped: Path, reference: Path, tmp_path: Path) -> None:
    """A checkpoint that lies elsewhere is none of ours; folders that a user has moved to another disk are."""
    out, elsewhere, mine = tmp_path / "out", tmp_path / "elsewhere", tmp_path / "mine"
    shutil.copytree(stopped, out)
    newest = folders(out)[0]
    newest.rename(elsewhere)
    newest.symlink_to(elsewhere)
    (out / "segments").rename(tmp_path / "segments")
    (out / "segments").symlink_to(tmp_path / "segments")
    mine.write_text("mine")
    (out / "run.json.writing").symlink_to(mine)
    before = sorted(p.name for p in elsewhere.iterdir())
    assert not run(tmp_path, out, resume=True).stopped
    assert (out / "segments").is_symlink() and not list((tmp_path / "segments").iterdir())
    (out / "segments").unlink()
    check_same_results(out, reference)
    assert sorted(p.name for p in elsewhere.iterdir()) == before and mine.read_text() == "mine"


def test_every_byte_of_a_segment_counts(stopped: Path, tmp_path: Path) -> None:
    """The seal covers the user block too: every flipped bit and every cut."""
    path = tmp_path / "segment.h5"
    whole = next((stopped / "segments").glob("spikes.*")).read_bytes()
    path.write_bytes(whole)
    check_seal(path)
    for position in range(0, len(whole), 37):
        path.write_bytes(whole)
        _flipped(path, 8 * position + position % 8)
        with pytest.raises(ResultError, match="is damaged"):
            check_seal(path)
        path.write_bytes(whole[:position])
        with pytest.raises(ResultError, match="is damaged"):
            check_seal(path)


def test_verify_sees_spikes_that_cannot_be(reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Hashes made to fit: order, range and digest are looked at for themselves."""
    import h5py

    from distsim.io.checksums import publish

    def broken(name: str, change: object) -> str:
        out = tmp_path / name
        shutil.copytree(reference, out)
        fresh = tmp_path / f"{name}.h5"
        shutil.copy(out / "spikes.h5", fresh)
        with h5py.File(fresh, "r+") as file:
            change(file["spikes/E"])  # type: ignore[operator]
        publish(out, {"spikes.h5": fresh, "summary.json": shutil.copy(out / "summary.json", tmp_path / "s.json")})
        capsys.readouterr()
        assert main(["verify", str(out)]) == 1
        return "\n".join(x for x in capsys.readouterr().out.splitlines() if x.startswith("WRONG"))

    def swap(group: h5py.Group) -> None:
        group["timestamps"][5:9] = group["timestamps"][5:9][::-1]

    def other_id(group: h5py.Group) -> None:
        group["node_ids"][7] = 53

    def off_grid(group: h5py.Group) -> None:
        group["timestamps"][7] += 1e-6

    def one_less(group: h5py.Group) -> None:
        for key in ("timestamps", "node_ids"):
            group[key].resize((group[key].shape[0] - 1,))

    assert "sorted" in broken("order", swap)
    assert "found neuron 53" in broken("range", other_id)
    assert "not on the grid" in broken("grid", off_grid)
    # The one second of this run touches the warm-up; a run without a warm-up is compared whole.
    run(tmp_path, tmp_path / "whole", overrides=["run.warmup=0.0"])
    out = tmp_path / "less"
    shutil.copytree(tmp_path / "whole", out)
    with h5py.File(out / "spikes.h5", "r+") as file:
        one_less(file["spikes/E"])
    capsys.readouterr()
    assert main(["verify", str(out)]) == 1
    wrong = [x for x in capsys.readouterr().out.splitlines() if x.startswith("WRONG")]
    assert len(wrong) == 3 and "SHA-256" in wrong[0] and all("digest" in x for x in wrong[1:])
    assert main(["verify", str(tmp_path / "whole")]) == 0


@pytest.mark.parametrize("whole", [True, False])
def test_verify_sees_a_checkpoint_of_other_spikes(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], whole: bool
) -> None:
    """Hashes made to fit: its digest is that of the summary, or of the segments that it counts."""
    out = tmp_path / "out"
    if whole:
        shutil.copytree(reference, out)
    else:
        stop_after(monkeypatch, 400)
        assert run(tmp_path, out, 2, ["run.warmup=0.0"]).stopped
    assert main(["verify", str(out)]) == 0
    _made_up(out, "sums.digest", lambda sums: sums + np.uint64(1))
    capsys.readouterr()
    assert main(["verify", str(out)]) == 1
    (wrong,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("WRONG")]
    assert "its digest of E from 0 to 1 s is" in wrong


def test_verify_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "gone")]) == 2
    assert main(["verify", str(tmp_path)]) == 2
    assert issubclass(ResultError, DistsimError) and "found no run.json" in capsys.readouterr().err
