"""The cluster for these tests, once a session; skipped, with the reason, where it cannot be started."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Cluster, missing
from slurm_jobs import Jobs

HERE = Path(__file__).parent


def _lacks() -> str:
    """What this machine lacks for these tests."""
    if reason := missing():
        return reason
    done = subprocess.run([sys.executable, "-m", "mpi4py", "--mpi-library"], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"no MPI that mpi4py can load ({sys.executable})"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A skip that names what is missing; DISTSIM_REQUIRE_SLURM=1 makes a failure of it (in `cluster`)."""
    ours = [item for item in items if HERE in item.path.parents]
    reason = _lacks() if ours else ""
    if reason and os.environ.get("DISTSIM_REQUIRE_SLURM") != "1":
        for item in ours:
            item.add_marker(pytest.mark.skip(reason=f"no SLURM: {reason}"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two nodes with two fake GPUs each. What is there and does not start is a failure, not a skip."""
    if reason := _lacks():
        pytest.fail(f"DISTSIM_REQUIRE_SLURM=1, but: {reason}")
    with tempfile.TemporaryDirectory(prefix="distsim-slurm-", ignore_cleanup_errors=True) as folder:
        running = Cluster(Path(folder))
        try:
            running.start()
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="session")
def jobs(cluster: Cluster, repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    """A folder with an experiment, to submit from."""
    return Jobs(cluster, tmp_path_factory.mktemp("jobs"), repo_root)
