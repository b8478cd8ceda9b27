"""launch/gpu-check on machines without a GPU: it says what is missing, and no skip passes as a success."""

from __future__ import annotations

import subprocess
import sys
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
    if passes:
        assert script.tests(tmp_path, {})[-1] == "400 passed, 0 failed, 0 errors, 0 skipped"
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
