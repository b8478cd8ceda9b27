"""The periods that have a digest each: the kernel's, those of the files, and those that a reader is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from continuing import run

from distsim.cli import main
from distsim.io import read_json
from distsim.periods import bounds, n_periods, period_of


def test_seconds_then_minutes() -> None:
    """Each step lies within the bounds of its period, and the periods leave nothing out."""
    seconds = np.array([0, 1, 3599, 3600, 3659, 3660, 3_000_000])
    steps = (seconds * 10 + 1).astype(np.uint64)  # the first step of each
    assert period_of(steps, 10).tolist() == [0, 1, 3599, 3600, 3600, 3601, 3600 + (3_000_000 - 3600) // 60]
    for second, period in zip(seconds.tolist(), period_of(steps, 10).tolist(), strict=True):
        begin, end = bounds(period)
        assert begin <= second < end and bounds(period + 1)[0] == end
    assert [n_periods(n, 10) for n in (0, 1, 10, 11, 36_000, 36_001, 36_600, 36_601)] == [
        1,
        1,
        1,
        2,
        3600,
        3601,
        3601,
        3602,
    ]


def test_a_run_into_the_long_periods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kernel, checkpoint and `verify` agree on two short periods and three long; catches a sum in the wrong one."""
    monkeypatch.setattr("distsim.periods.SHORT_PERIODS", 2)
    monkeypatch.setattr("distsim.periods.SECONDS_IN_LONG", 3)
    out, lost = tmp_path / "out", tmp_path / "lost"
    sparse = ["run.checkpoint.every=1700.0", "record.states={}", "run.warmup=0.0"]
    run(tmp_path, out, 2, [*sparse, "run.duration=4000.0"])
    run(tmp_path, out, 1, [*sparse, "run.duration=8500.0"], resume=True)
    assert [len(entries) for entries in read_json(out / "summary.json")["digests"].values()] == [5, 5, 5]
    capsys.readouterr()
    assert main(["verify", str(out)]) == 0
    assert "digest: 10 of 10 (population, second)" in capsys.readouterr().out
    shutil.copytree(out, lost)
    summary = read_json(lost / "summary.json")
    summary["digests"]["E"][3]["digest"] = summary["spike_digest"] = "0" * 32
    (lost / "summary.json").write_text(json.dumps(summary))
    assert main(["verify", str(lost)]) == 1
    assert main(["compare", str(out), str(lost)]) == 1
    assert "first divergence: seconds 6 to 8 (5000-8000 ms) in E" in capsys.readouterr().out
