"""Processes of a run under mpiexec: start them, find them, hurt them, see that none is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults.campaign import ROOT, expect

_beside = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(_beside) if _beside.exists() else shutil.which("mpiexec")
RANK_NAMES = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
UNDER_LAUNCHER = any(name in os.environ for name in RANK_NAMES)
GONE_WITHIN = 30.0  # s, after which no process of a failed run may be left


@dataclass
class Ranks:
    """A run that was started. `seen` are all processes that were ever found below the launcher."""

    process: subprocess.Popen[str]
    size: int
    seen: set[int] = field(default_factory=set)

    def pids(self) -> dict[int, int]:
        """Rank → process, of those that are there."""
        found = {}
        for pid in descendants(self.process.pid):
            self.seen.add(pid)
            rank = rank_of(pid)
            if rank is not None and rank not in found:
                found[rank] = pid
        return found

    def all_pids(self, patience: float = 30.0) -> dict[int, int]:
        """The same, once all ranks are there."""
        wait(lambda: len(self.pids()) == self.size or self.process.poll() is not None, patience, "ranks to start", 0.02)
        return self.pids()

    def end(self, within: float = GONE_WITHIN) -> tuple[int, str, float]:
        """Wait until every process is gone: exit code of the launcher, what was said, seconds. Else Failed."""
        began = time.monotonic()
        self.pids()
        try:
            said = self.process.communicate(timeout=within)[1]
            wait(lambda: not any(alive(pid) for pid in self.seen), within, "all ranks to be gone")
        finally:
            self.kill_all()
        return self.process.returncode, said, time.monotonic() - began

    def kill_all(self) -> None:
        """Leave nothing behind, whatever happened."""
        for pid in {self.process.pid, *self.seen}:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.communicate()


def environment(**more: str) -> dict[str, str]:
    """For processes of a campaign: the package and the campaigns of this checkout, one thread each."""
    added = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    return {
        **{k: v for k, v in os.environ.items() if k != "DISTSIM_RANKS"}, "PYTHONPATH": added.rstrip(os.pathsep),
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", **more,
    }  # fmt: skip


def start(
    ranks: int, config: Path, out: Path, overrides: Sequence[str] = (),
    program: Sequence[str] = ("-m", "mpi4py", "-m", "distsim"), **more: str,
) -> Ranks:  # fmt: skip
    """`distsim run CONFIG --resume --out OUT` on so many ranks."""
    assert MPIEXEC
    command = [MPIEXEC, "-n", str(ranks), sys.executable, *program, "run", str(config), "--resume", "--out", str(out)]
    command += ["-q", "--device", "cpu", *(x for override in overrides for x in ("--set", override))]
    process = subprocess.Popen(
        command, env=environment(**more), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    return Ranks(process, ranks)


def distsim(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in one process."""
    command = [sys.executable, "-m", "distsim", *arguments]
    return subprocess.run(command, env=environment(), text=True, capture_output=True, timeout=300)


def wait(condition: Callable[[], bool], seconds: float, what: str, pause: float = 0.002) -> None:
    """Until the condition holds, or Failed."""
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, f"waited {seconds:g} s for {what}")
        time.sleep(pause)


def alive(pid: int) -> bool:
    """Whether the process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, oldest first."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            parents.setdefault(parent, []).append(int(entry))
    found, open_ = [], [pid]
    while open_:
        children = sorted(parents.get(open_.pop(0), []))
        found += children
        open_ += children
    return found


def rank_of(pid: int) -> int | None:
    """The rank that the launcher gave a Python process of the run."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if b"python" not in os.path.basename(os.readlink(f"/proc/{pid}/exe")).encode():
            return None
    except OSError:
        return None
    for variable in variables:
        name, _, value = variable.decode(errors="replace").partition("=")
        if name in RANK_NAMES and value.isdigit():
            return int(value)
    return None
