"""Runs that are stopped and go on: their files are those of a run that was not."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import support
from continuing import CONFIG, check_same_results, run, stop_after

import distsim
from distsim import analysis
from distsim.cli import main
from distsim.config import load_experiment, write_document
from distsim.config.describe import described_document
from distsim.config.identity import check_same, differing, identity
from distsim.errors import ConfigError, ResultError
from distsim.io import checkpoints, read_json
from distsim.io.checkpoints import folders
from distsim.runinfo import RunInfo


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run in one piece."""
    folder = tmp_path_factory.mktemp("reference")
    assert run(folder, folder / "out").summary["spike_count"] > 100
    return folder / "out"


@pytest.mark.parametrize("ranks", [(1, 1), (3, 1), (1, 2), (2, 3)])
def test_stopped_twice(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: tuple[int, int]
) -> None:
    """In the warm-up and after it, on ranks that change each time."""
    out, (before, after) = tmp_path / "out", ranks
    stop_after(monkeypatch, 30)
    stopped = run(tmp_path, out, before)
    assert stopped.stopped.startswith("stopped by SIGTERM") and not (out / "summary.json").exists()
    stop_after(monkeypatch, 320)
    assert run(tmp_path, out, after, resume=True).stopped
    partial = distsim.load_results(out)
    assert not partial.complete and 32.0 <= partial.stop < 70.0 and partial.spikes["E"][0].size > 0
    stop_after(monkeypatch, None)
    assert not run(tmp_path, out, before, resume=True).stopped
    check_same_results(out, reference)
    assert main(["verify", str(out)]) == 0
    assert [int(f.name) for f in folders(out)] == [700, 680, 510]
    whole, known = distsim.load_results(out), distsim.load_results(reference)
    assert whole.complete and np.array_equal(whole.spikes["E"][0], known.spikes["E"][0])
    inside = known.spikes["E"][0] <= partial.stop
    assert np.array_equal(partial.spikes["E"][1], known.spikes["E"][1][inside])


def test_killed_between_checkpoints(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments later than the checkpoint are there; nothing of them may count, or be lost."""
    out = tmp_path / "out"
    monkeypatch.setattr("distsim.engine.simulation.FLUSH_EVERY", 0.0)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("distsim.runner.merge_results", die)
    monkeypatch.setattr("distsim.course.Course.keep", _until(400))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, out)
    assert [int(f.name) for f in folders(out)] == [340, 170]
    (out / "segments" / "spikes.rank0007.0000.h5").write_bytes(b"of a rank that is no more")
    (out / "segments" / "spikes.rank0000.9999.h5.writing").write_bytes(b"half")
    monkeypatch.undo()
    run(tmp_path, out, 2, resume=True)
    check_same_results(out, reference)


def _until(last: int) -> object:
    from distsim.course import Course

    original = Course.keep

    def keep(self: Course) -> None:
        if self._simulation.step <= last:
            original(self)

    return keep


@pytest.mark.parametrize("died", ["merge_results", "publish_results", "draw"])
def test_killed_at_the_end(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, died: str) -> None:
    """Before, between and after the results are put in place."""
    out = tmp_path / "out"

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"distsim.runner.{died}", die)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, out)
    monkeypatch.undo()
    run(tmp_path, out, 2, resume=True)
    check_same_results(out, reference)


@pytest.mark.parametrize("name", ["spikes.h5", "states.h5", "summary.json", "checksums.sha256"])
def test_killed_while_results_are_replaced(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A run is made longer, and dies after one of its renames: old and new files stand side by side."""
    out = tmp_path / "out"
    run(tmp_path, out, overrides=["run.duration=31.0"])
    original, renamed = os.replace, []

    def replace(source: Path, target: Path) -> None:
        if renamed:
            raise KeyboardInterrupt
        original(source, target)
        if Path(target).parent == out and Path(target).name == name:
            renamed.append(name)

    def begin(*arguments: object) -> None:
        monkeypatch.setattr(os, "replace", replace)
        publish(*arguments)  # type: ignore[arg-type]

    from distsim.io.checksums import publish

    monkeypatch.setattr("distsim.output.publish", begin)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, out, resume=True)
    monkeypatch.undo()
    assert renamed == [name]
    assert main(["verify", str(out)]) == 0  # old and new are whole
    run(tmp_path, out, 3, resume=True)
    check_same_results(out, reference)


@pytest.mark.parametrize("gone", [True, False])
def test_results_that_become_complete_while_they_are_read(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """The run ends between two looks at its directory, and removes segments: before or after they were read."""
    out, again = tmp_path / "out", analysis.results._so_far
    stop_after(monkeypatch, 300)
    run(tmp_path, out)
    stop_after(monkeypatch, None)

    def ends(directory: Path, info: RunInfo) -> object:
        found = again(directory, info)
        for name in ("summary.json", "spikes.h5"):
            shutil.copy(reference / name, out / name)
        if gone:
            raise ResultError("spikes.rank0000.0000.h5: cannot be read (No such file or directory)")
        return found

    monkeypatch.setattr(analysis.results, "_so_far", ends)
    assert distsim.load_results(out).complete


def test_longer_and_longer(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Complete runs go on; one of the parts is stopped on its way."""
    out = tmp_path / "out"
    run(tmp_path, out, 2, ["run.duration=0.0"])
    run(tmp_path, out, 1, ["run.duration=23.4"], resume=True)
    stop_after(monkeypatch, 450)
    assert run(tmp_path, out, 3, resume=True).stopped
    partial = distsim.load_results(out)
    assert not partial.complete and partial.stop >= 45.0
    known = distsim.load_results(reference).spikes["E"]
    assert np.array_equal(partial.spikes["E"][0], known[0][known[0] <= partial.stop])
    stop_after(monkeypatch, None)
    run(tmp_path, out, 2, resume=True)
    check_same_results(out, reference)
    with pytest.raises(ConfigError, match=r"run\.duration: found 20; .* has computed 60 ms"):
        run(tmp_path, out, overrides=["run.duration=20.0"], resume=True)


def test_a_complete_run_is_left_alone(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (reference / "spikes.h5").stat().st_mtime_ns
    assert main(["resume", str(reference), "-q"]) == 0
    assert capsys.readouterr().out.startswith("spike digest")
    assert main(["resume", str(reference)]) == 0
    assert "complete already, nothing is left to compute" in capsys.readouterr().out
    assert (reference / "spikes.h5").stat().st_mtime_ns == before


def test_what_is_left_beside_complete_results_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that died after its results were in place: its segments, and files that were not renamed."""
    out = tmp_path / "out"
    monkeypatch.setattr("distsim.output.delete_segments", lambda names: None)
    run(tmp_path, out)
    monkeypatch.undo()
    (out / ".states.h5.new").write_bytes(b"half")
    assert list((out / "segments").iterdir())
    assert main(["resume", str(out), "-q"]) == 0
    assert not (out / "segments").exists() and not (out / ".states.h5.new").exists()


def test_resume_starts_where_there_is_nothing(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new directory; one of a run that died before its first checkpoint; and none of somebody else."""
    run(tmp_path, tmp_path / "new", resume=True)
    check_same_results(tmp_path / "new", reference)
    monkeypatch.setattr("distsim.runner.Simulation", _fails)
    with pytest.raises(MemoryError):
        run(tmp_path, tmp_path / "died")
    monkeypatch.undo()
    run(tmp_path, tmp_path / "died", resume=True)
    check_same_results(tmp_path / "died", reference)
    for name in ("experiment.yaml", "run.json.writing", ".experiment.yaml.77.tmp"):  # killed as it made the directory
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("name: half")
        run(tmp_path, tmp_path / name, resume=True)
        assert read_json(tmp_path / name / "summary.json")["spike_count"] > 100
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"found no run\.json"):
        run(tmp_path, tmp_path / "other", resume=True)


def _fails(*_: object, **__: object) -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("run.seed=5", "run.seed: found 5"), ("run.dt=0.05", "run.dt"), ("run.warmup=11.0", "run.warmup"),
        ("run.precision=double", "run.precision"), ("populations.E.size=54", "populations.E.size: found 54"),
        ("projections.0.weight=41.0", r"projections\[0\].weight"), ("inputs.noise.rate=9001.0", "inputs.noise.rate"),
        ("record.spikes=[E]", "record.spikes"), ("record.states.E.interval=1.4", "record.states.E.interval"),
        ("populations.E.params.C_m=251.0", "populations.E.params.C_m"),
    ],
)  # fmt: skip
def test_another_past_is_refused(reference: Path, tmp_path: Path, change: str, key: str) -> None:
    """Each with the key that differs; nothing is touched."""
    with pytest.raises(ConfigError, match=key):
        run(tmp_path, reference, overrides=[change, "run.duration=70.0"], resume=True)
    assert (reference / "summary.json").exists() and main(["verify", str(reference)]) == 0


@pytest.mark.parametrize("key", ["populations", "inputs"])
def test_the_order_that_numbers_neurons_counts(key: str) -> None:
    """Global ids and random streams follow the order of description: another order is another network."""
    one, other = ({"E": {"size": 2}, "I": {"size": 2}}, {"I": {"size": 2}, "E": {"size": 2}})
    with pytest.raises(ConfigError, match=rf"{key} \(their order\): found \['I', 'E'\]; out was .* \['E', 'I'\]"):
        check_same({key: one}, {key: other}, "out")
    check_same({"record": {"states": one}}, {"record": {"states": other}}, "out")


def test_another_future_is_accepted(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(monkeypatch, 400)
    run(tmp_path, tmp_path / "out")
    stop_after(monkeypatch, None)
    changes = ["run.partition=block", "run.exchange_interval=0.1", "run.routing=broadcast",
               "run.exchange=neighbourhood", "run.checkpoint={every_wall: 1 h, keep: 1}",
               "run.wall_time=90", "name=small"]  # fmt: skip
    run(tmp_path, tmp_path / "out", 2, changes, resume=True)
    check_same_results(tmp_path / "out", reference)
    assert [int(f.name) for f in folders(tmp_path / "out")] == [700]


def test_moved_files_count_by_their_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same list of connections elsewhere is the same; another one in its place is not."""
    config = CONFIG.replace("rule: {fixed_indegree: 9}, weight: {normal: [40.0, 8.0]}, delay: {uniform: [0.2, 6.0]}",
                            "rule: {explicit: {file: edges.csv}}")  # fmt: skip
    edges = "source,target,weight,delay\n" + "".join(f"{i},{(i * 7 + 1) % 53},400.0,1.5\n" for i in range(53))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name in "ab":
        (tmp_path / name / "edges.csv").write_text(edges)
    stop_after(monkeypatch, 300)
    run(tmp_path / "a", tmp_path / "out", config=config)
    stop_after(monkeypatch, None)
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "b" / "edges.csv").write_text(edges.replace("400.0", "401.0", 1))
    with pytest.raises(ConfigError, match=r"projections\[0\]\.rule\.explicit\.file"):
        run(tmp_path / "b", tmp_path / "out", config=config, resume=True)
    (tmp_path / "b" / "edges.csv").write_text(edges)
    assert not run(tmp_path / "b", tmp_path / "out", config=config, resume=True).stopped


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(monkeypatch, 100)
    run(tmp_path, tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr("distsim.resuming.__version__", "9.0")
    with pytest.raises(ConfigError, match=r"computed by distsim .*, this is 9\.0"):
        run(tmp_path, tmp_path / "out", resume=True)


def test_python_stops_and_the_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network described in Python; the connections it lists are checked like any file, and move with the results."""
    network = distsim.Network("python")
    n = network.population("N", 30, "iaf_psc_exp", I_e=distsim.Uniform(400.0, 900.0))
    network.project(n, n, distsim.Explicit(tuple(range(30)), tuple(range(29, -1, -1)), (60.0,) * 30, (1.5,) * 30))
    straight = distsim.simulate(network, 50.0, out=tmp_path / "straight", device="cpu")
    stop_after(monkeypatch, 200)
    with pytest.raises(distsim.Stopped, match="distsim resume"):
        distsim.simulate(
            network, 50.0, out=tmp_path / "out", device="cpu", checkpoint=distsim.Checkpoints(every=10.0),
            wall_time="2 h",
        )  # fmt: skip
    stop_after(monkeypatch, None)
    (tmp_path / "out").rename(tmp_path / "moved")
    assert main(["resume", str(tmp_path / "moved"), "-q", "--device", "cpu"]) == 0
    assert distsim.load_results(tmp_path / "moved").summary["spike_digest"] == straight.spike_digest
    (tmp_path / "moved").rename(tmp_path / "again")
    (tmp_path / "again" / "edges-0.csv").write_text("changed")
    with pytest.raises(ConfigError, match=r"again/edges-0\.csv has changed"):
        load_experiment(tmp_path / "again" / "experiment.yaml")
    with pytest.raises(ConfigError, match="need an output directory"):
        distsim.simulate(network, 1.0, device="cpu", checkpoint=distsim.Checkpoints())
    with pytest.raises(ConfigError, match="not for a Simulator"):
        distsim.Simulator(network, device="cpu", wall_time=3)


def test_a_described_network_resolves_to_its_own_description(tmp_path: Path) -> None:
    """Else a run that Python began could not go on from the command line."""
    experiment = support.varied()
    described = described_document(experiment, tmp_path)
    write_document(described, tmp_path / "experiment.yaml")
    assert differing(identity(described), identity(load_experiment(tmp_path / "experiment.yaml").document)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("run.checkpoint.every=0.0", "run.checkpoint.every: found 0"), ("run.checkpoint.every=0.25", "multiple of dt"),
        ("run.checkpoint.keep=0", "run.checkpoint.keep"), ("run.checkpoint.every_wall=15 parsecs", "every_wall"),
        ("run.checkpoint.evry=1.0", "did you mean 'every'"), ("run.wall_time=-1", "run.wall_time"),
        ("run.wall_time=[1]", "run.wall_time"), ("run.wall_time=1:2", "run.wall_time"),
    ],
)  # fmt: skip
def test_wrong_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, message: str) -> None:
    (tmp_path / "small.yaml").write_text(CONFIG)
    assert main(["run", str(tmp_path / "small.yaml"), "--set", change, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one rank of two, in the middle of writing: an error of one line, and the run goes on from before."""
    from distsim.io import arrays

    original = arrays.writing
    calls: list[Path] = []

    def writing(path: Path) -> object:
        calls.append(path)
        if path.parent.name == f"{340:012d}" and path.name == "rank0001.npz":
            raise ResultError(f"{path}: cannot be written (No space left on device)")
        return original(path)

    monkeypatch.setattr(arrays, "writing", writing)
    with pytest.raises((ResultError, distsim.DistsimError), match=r"No space left on device|said why"):
        run(tmp_path, tmp_path / "out", 2)
    monkeypatch.undo()
    found = [f for f in folders(tmp_path / "out") if (f / checkpoints.MANIFEST).exists()]
    assert [int(f.name) for f in found] == [170]
    run(tmp_path, tmp_path / "out", resume=True)


def test_totals_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds and events of all parts; a stopped part counts with what it took."""
    stop_after(monkeypatch, 400)
    run(tmp_path, tmp_path / "out", 2)
    manifest = checkpoints.read_manifest(folders(tmp_path / "out")[0])
    assert manifest.totals.events > 0 and manifest.totals.simulate > 0.0 and manifest.totals.parts == 1
    stop_after(monkeypatch, None)
    summary = run(tmp_path, tmp_path / "out", resume=True).summary
    assert summary["seconds"]["simulate"] > manifest.totals.simulate
    assert summary["synaptic_events"] > manifest.totals.events
    assert dataclasses.asdict(manifest)["version"] == distsim.__version__
