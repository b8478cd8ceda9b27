"""launch/gpu-check on machines without a GPU: it says what is missing, and no skip passes as a success."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def script(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("gpu_check", str(repo_root / "launch" / "gpu-check"))
    spec = spec_from_loader("gpu_check", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_missing_packages_are_named(repo_root: Path, tmp_path: Path) -> None:
    """Without site-packages: one line with all that is missing and the way to bring it; exit code 2."""
    command = [sys.executable, "-S", str(repo_root / "launch" / "gpu-check"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/nowhere"})
    assert done.returncode == 2 and done.stdout.count("\n") == 1, done.stdout + done.stderr
    assert all(word in done.stdout for word in ("pydantic", "pytest-mpi", "mpich", "--fetch DIR", "--wheels DIR"))


def test_a_missing_gpu_is_named(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Everything installed but no device: nothing is run."""
    (tmp_path / "cupy.py").write_text("from types import SimpleNamespace\ncuda = SimpleNamespace(is_available=bool)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(script, "NEEDED", {"numpy": "numpy"})
    monkeypatch.setattr(script.shutil, "which", lambda *a, **k: "/bin/true")
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert script.prepare(tmp_path, None) is None
    assert "no NVIDIA device" in capsys.readouterr().out


@pytest.mark.parametrize(("counts", "log", "passes"), [
    ("100 0 0 0", "100 passed", True),
    ("100 0 0 2", "SKIPPED [2] tests/gpu/test_x.py: no device\n100 passed, 2 skipped", False),
    ("100 1 0 0", "1 failed", False),
    ("0 0 0 0", "no tests ran", False),
])  # fmt: skip
def test_a_skip_is_a_failure(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: str, log: str, passes: bool
) -> None:
    """The reason for the script: a suite that skipped its GPU tests must not pass."""

    def started(command: list[str], out: Path, environment: dict[str, str], name: str) -> str:
        with open(environment["DISTSIM_TEST_COUNTS"], "a") as file:
            file.write(counts + "\n")
        return log

    monkeypatch.setattr(script, "started", started)
    monkeypatch.setattr(script.os, "cpu_count", lambda: 2)
    if passes:  # tests/gpu, one process of the others, three of MPI
        assert script.tests(tmp_path, {})[-1] == "500 passed, 0 failed, 0 errors, 0 skipped"
    else:
        with pytest.raises(script.Failed):
            script.tests(tmp_path, {})


@pytest.mark.parametrize("differs", [None, "spike_digest", "synaptic_events", "digests"])
def test_another_digest_is_a_failure(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, differs: str | None
) -> None:
    """Every config on 1, 2 and 4 ranks; one that differs anywhere fails the part."""
    asked = []

    def summary_of(config: Path, device: str, ranks: int, *_: object) -> dict[str, Any]:
        asked.append((config.name, device, ranks))
        same = {"spike_digest": "a", "spike_count": 3, "digests": {}, "rates": {}, "synaptic_events": 5}
        if differs and (device, ranks) == ("cuda", 4) and config.name == "brunel.yaml":
            same[differs] = "other"
        return {**same, "realtime_factor": 0.5}

    monkeypatch.setattr(script, "summary_of", summary_of)
    if differs:
        with pytest.raises(script.Failed, match=r"brunel\.yaml on 4 ranks"):
            script.digests(tmp_path, {})
    else:
        assert all("equal" in line for line in script.digests(tmp_path, {})[2:])
    configs = {p.name for p in (script.ROOT / "configs").glob("*.yaml")}
    assert {(name, "cuda", n) for name in configs for n in (1, 2, 4)} <= set(asked)


def test_every_test_file_is_in_one_shard(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script.os, "cpu_count", lambda: 16)
    shards = script.shards()
    found = [file for shard in shards for file in shard]
    folders = [script.ROOT / "tests" / x for x in ("unit", "reference", "statistics")]
    assert len(shards) == 8 and sorted(found) == sorted(
        str(f.relative_to(script.ROOT)) for d in folders for f in d.glob("test_*.py")
    )


def planted(script: Any, monkeypatch: pytest.MonkeyPatch, fails: set[str]) -> list[str]:
    """In place of `distsim bench`: a table and its JSON, or a failure for commands that hold one of the words."""
    asked: list[str] = []

    def started(command: list[str], out: Path, environment: dict[str, str], log: str, limit: float = 0) -> str:
        words = " ".join(command[command.index("bench") + 1 :])
        asked.append(words)
        if any(word in words for word in fails):
            raise script.Failed("exit code 1")
        row = {"what": f"row of {words.split()[0]}", "figure": "1", "bar": "", "aim": "2"}
        Path(command[command.index("--json") + 1]).write_text(json.dumps({"rows": [row]}))
        return "bench: x\n### today\n\nOn a GPU.\n\nThe machine, a rank of it: launch 1 µs.\n\n| what |\n"

    monkeypatch.setattr(script, "started", started)
    return asked


def test_benchmarks_are_one_table(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready for docs/benchmarks.md: one heading, the machine once, a row of each benchmark; each can be chosen."""
    asked = planted(script, monkeypatch, set())
    lines = script.bench(tmp_path, {})
    assert len(asked) == len(script.BENCHES) and all(
        "--device cuda" in words and "--repeat" in words for words in asked
    )
    assert lines[:6] == ["### today", "", "On a GPU.", "", "The machine, a rank of it: launch 1 µs.", ""]
    assert lines[6] == "| what | measured | bar | aim |" and len(lines) == 8 + len(asked)
    assert "| row of floor | 1 |  | 2 |" in lines
    assert set(json.loads((tmp_path / "bench.json").read_text())) == set(script.BENCHES)
    asked.clear()
    script.bench(tmp_path, {}, ("floor", "random"))
    assert [words.split()[0] for words in asked] == ["floor", "random"]


def test_a_benchmark_that_fails_leaves_the_others(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest network is tried smaller; the part fails and has the table."""
    asked = planted(script, monkeypatch, {"random memory -n 1 --repeat 2 --device", "floor -n 2"})
    with pytest.raises(script.Failed) as error:
        script.bench(tmp_path, {})
    text = str(error.value)
    assert "random: exit code 1" in text and "floor-2: exit code 1" in text
    assert "| row of microcircuit |" in text and "| row of random |" in text
    assert [words for words in asked if "--synapses 4000000000" in words]


def test_nothing_starts_after_the_last_minute(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call to a lent machine ends by itself before it is cut off, with all that it started."""
    monkeypatch.setattr(script.Deadline, "at", script.time.monotonic() + 1.0)
    pid = tmp_path / "pid"
    with pytest.raises(script.Failed, match="timed out"):
        script.started(["bash", "-c", f"sleep 60 & echo $! >{pid}; wait"], tmp_path, {"PATH": "/usr/bin:/bin"}, "a.log")
    status = Path(f"/proc/{pid.read_text().strip()}/stat")
    ends = time.monotonic() + 10.0
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":  # killed, not yet gone
        assert time.monotonic() < ends, "a child lives on"
        time.sleep(0.01)
    with pytest.raises(script.Failed, match="no time left"):
        script.started(["true"], tmp_path, {}, "b.log")


def test_parts_are_chosen_and_reported(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report is there after each part, and its copy holds a few small files."""
    monkeypatch.setattr(script, "prepare", lambda out, wheels: {})
    monkeypatch.setattr(script, "describe", lambda environment: ["    here"])
    monkeypatch.setattr(script, "digests", lambda out, environment: ["all equal"])

    def sanitizer(out: Path, environment: dict[str, str]) -> list[str]:
        assert "## digests: passed" in (copy / "gpu-check.md").read_text()
        (out / "s.log").write_text("what it said\n")
        raise script.Failed("found one")

    monkeypatch.setattr(script, "sanitizer", sanitizer)
    out, copy = tmp_path / "out", tmp_path / "copy"
    arguments = ["--part", "digests", "--part", "sanitizer", "--out", str(out), "--report", str(copy)]
    monkeypatch.setattr(sys, "argv", ["gpu-check", *arguments])
    assert script.main() == 1
    text = (copy / "gpu-check.md").read_text()
    assert text == (out / "gpu-check.md").read_text() and "## sanitizer: FAILED" in text and "found one" in text
    assert "Not run: tests, profile, bench." in text
    assert sorted(f.name for f in copy.iterdir()) == ["gpu-check.md", "logs.txt"]
    assert "what it said" in (copy / "logs.txt").read_text()
    monkeypatch.setattr(sys, "argv", ["gpu-check", *arguments, "--minutes", "-1"])
    assert script.main() == 1 and "no time left: digests, sanitizer" in capsys.readouterr().out
    monkeypatch.setattr(script.Deadline, "at", float("inf"))


def test_a_profile_changes_no_digest(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter(["a", "a", "a", "b"])

    def started(command: list[str], out: Path, environment: dict[str, str], log: str, limit: float = 0) -> str:
        results = Path(command[command.index("--out") + 1])
        results.mkdir(parents=True, exist_ok=True)
        found = {"spike_digest": next(digests), "realtime_factor": 0.05, "energy": {"nanojoules_per_event": 30.0}}
        (results / "summary.json").write_text(json.dumps(found))
        return "rates\nreal-time factor 0.05\n  update 0.1\n"

    monkeypatch.setattr(script, "started", started)
    said = script.profile(tmp_path, {})
    assert said[0].startswith("Real-time factor 0.05 with") and "30 nJ" in said[0] and "      update 0.1" in said
    with pytest.raises(script.Failed, match="digest a with --profile, b without"):
        script.profile(tmp_path, {})
