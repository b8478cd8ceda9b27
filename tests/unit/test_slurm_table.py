"""slurm/table: many runs in one table, with the standard library alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def table(repo_root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(repo_root / "slurm/table"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_entries_of_summaries_and_experiments_in_the_order_of_the_numbers(repo_root: Path, tmp_path: Path) -> None:
    for seed in (10, 9):
        folder = tmp_path / f"seed{seed}"
        folder.mkdir()
        (folder / "summary.json").write_text(json.dumps({"rates": {"L4.E": 1 / seed}, "spike_digest": "ab"}))
        config = {"run": {"seed": seed}, "projections": [{"weight": {"normal": [1.0, 2.0]}}]}
        (folder / "run.json").write_text(json.dumps({"config": config}))
    (tmp_path / "seed11").mkdir()
    (tmp_path / "seed11" / "run.json").write_text("{}")
    found = table(
        repo_root, "--show=run.seed,rates.L4.E,projections.0.weight,projections.1.weight,spike_digest", tmp_path
    )
    assert found.returncode == 0
    assert found.stdout.splitlines()[2:] == [
        f"| {tmp_path}/seed9 | 9 | 0.111111 | {{'normal': [1.0, 2.0]}} |  | ab |",
        f"| {tmp_path}/seed10 | 10 | 0.1 | {{'normal': [1.0, 2.0]}} |  | ab |",
    ]
    assert found.stderr == f"distsim: not complete: {tmp_path}/seed11\n"
    wrong = table(repo_root, "--columns=a", tmp_path)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1) and "allowed: --show=KEY" in wrong.stderr
