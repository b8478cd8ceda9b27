"""Real ranks stop together and go on, on as many ranks as there are; results are those of one process alone."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from continuing import CONFIG, check_same_results, stop_after

from distsim.backend import open_backend
from distsim.comm import Communicator, Serial
from distsim.config import load_experiment
from distsim.runner import Outcome, run_experiment
from distsim.signals import StopRequests

pytestmark = pytest.mark.mpi


def run(comm: Communicator, folder: Path, name: str, *overrides: str, requests: StopRequests | None = None) -> Outcome:
    """`distsim run --resume` on the ranks of `comm`."""
    loaded = load_experiment(folder / "small.yaml", overrides)
    return run_experiment(
        loaded.experiment, comm, open_backend("cpu"), document=loaded.document, out=folder / name, resume=True,
        requests=requests,
    )  # fmt: skip


@pytest.fixture
def folder(comm: Communicator, mpi_tmp_path: Path) -> Path:
    """The same on every rank; with the run in one piece, by rank 0 alone."""
    if comm.rank == 0:
        (mpi_tmp_path / "small.yaml").write_text(CONFIG)
        run(Serial(), mpi_tmp_path, "reference")
    comm.barrier()
    return mpi_tmp_path


def test_stopped_and_continued(comm: Communicator, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ranks, then one, then all again."""
    stop_after(monkeypatch, 200)
    assert run(comm, folder, "out").stopped
    stop_after(monkeypatch, 400)
    if comm.rank == 0:
        assert run(Serial(), folder, "out").stopped
    stop_after(monkeypatch, None)
    comm.barrier()
    assert not run(comm, folder, "out").stopped
    if comm.rank == 0:
        check_same_results(folder / "out", folder / "reference")
    comm.barrier()


def test_a_signal_to_one_rank_stops_all(comm: Communicator, folder: Path) -> None:
    """The others learn of it at the next meeting; the run goes on from there."""
    longer = "run.duration=60000.0"
    with StopRequests() as requests:
        if comm.rank == comm.size - 1:
            threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        try:
            outcome = run(comm, folder, "out", longer, "record.states={}", requests=requests)
        finally:
            requests.at_once = False
    assert outcome.stopped.startswith("stopped by SIGUSR1")
    steps = [x.tobytes() for x in comm.share(_bytes(outcome.stopped))]
    assert len(set(steps)) == 1
    comm.barrier()


def _bytes(text: str) -> object:
    import numpy as np

    return np.frombuffer(text.encode(), np.uint8)
