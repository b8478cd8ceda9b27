"""Jobs of slurm/ for the tests: submit them, hold their ranks, check what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from slurm_cluster import Cluster

from distsim.cli import main
from distsim.io import read_json

# Delays of 64 steps: few exchanges, since more ranks than cores wait for each other in each.
CONFIG = """
name: job
run: {duration: 4000.0, seed: 4}
populations:
  E: {model: iaf_psc_exp, size: 90, params: {I_e: {uniform: [300.0, 900.0]}}}
inputs:
  noise: {type: poisson, targets: E, rate: 9000.0, weight: 60.0}
projections:
  - {source: E, target: E, rule: {fixed_indegree: 9}, weight: {normal: [40.0, 8.0]}, delay: {uniform: [6.4, 9.0]}}
"""
# So many checkpoints that a run takes a second on any machine: long enough to meet it on its way.
SLOWED = ("--set", "run.checkpoint.every=20.0")
ENDLESS = ("--set", "run.duration=1e7", "--set", "run.checkpoint.every=1000.0")
# MPICH 5.0.2 from PyPI, started by srun --mpi=pmi2 with two ranks on a node, failed in MPI_Init in 4 of 80 starts;
# without its shared memory in none.
SITE = """
export MPIR_CVAR_NOLOCAL=1
DISTSIM_MPI=system DISTSIM_CUDA=none
SBATCH_OPTIONS=(--partition=tests --comment=from-the-site)
GPU_OPTIONS=(--gpus-per-task=1 --gpu-bind=single:1)
site_setup() {{ export PATH={bin}:$PATH SITE_WAS_SET_UP=1; eval "${{AT_SET_UP-}}"; }}
: "${{GPUS:=no}}" "${{DISTSIM_START:=srun}}" "${{DISTSIM_PMI:={pmi}}}"
"""


# What a busy machine may take to start ranks and to compute a first checkpoint; nothing else waits so long.
SLOW_START = 240.0


class Jobs:
    """Submits with slurm/submit from a folder that has the experiment, and knows the digests that are right."""

    def __init__(self, cluster: Cluster, folder: Path, repo_root: Path) -> None:
        self.cluster, self.folder, self.repo_root = cluster, folder, repo_root
        (folder / "job.yaml").write_text(CONFIG)
        program = "from distsim.comm import mpi_library; print(mpi_library())"
        library = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        pmi = "pmix" if "Open MPI" in library else "pmi2"
        (folder / "site.sh").write_text(SITE.format(bin=Path(sys.executable).parent, pmi=pmi))
        self._digests: dict[tuple[str, ...], str] = {}

    def submit(self, kind: str, *arguments: str, expect: int = 1, **settings: str) -> list[str]:
        """Numbers of the jobs of one `slurm/submit`."""
        settings = {
            "DISTSIM_SITE": str(self.folder / "site.sh"), "DISTSIM_NO_INSTALL": "1", "DISTSIM_PYTHON": sys.executable,
            "DISTSIM_CACHE": os.environ.get("DISTSIM_CACHE", str(Path.home() / ".cache" / "distsim")), **settings,
        }  # fmt: skip
        done = subprocess.run(
            [str(self.repo_root / "slurm" / "submit"), kind, *arguments], env=self.cluster.environment | settings,
            cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        numbers = done.stdout.split()
        assert len(numbers) == expect and all(number.isdigit() for number in numbers), done.stdout
        return numbers

    def said(self, number: str) -> str:
        """The job's output."""
        path = self.folder / f"slurm-{number}.out"
        return path.read_text() if path.exists() else ""

    def ended(self, number: str, state: str = "COMPLETED", seconds: float = SLOW_START) -> dict[str, str]:
        """Wait for the end of a job, which must be `state`."""
        job = self.cluster.wait(number, seconds)
        if job["JobState"] != state:
            log = (self.cluster.root / "log" / "slurmctld.log").read_text().splitlines()
            about = "\n".join(line for line in log if f"JobId={number}" in line)
            raise AssertionError(f"job {number}: {job}\n{about}\n{self.said(number)[-3000:]}")
        return job

    def digest(self, *overrides: str) -> str:
        """The digest of a run in one piece, on one rank, in this process."""
        if overrides not in self._digests:
            out = self.folder / f"reference-{len(self._digests)}"
            changes = [x for override in overrides for x in ("--set", override)]
            command = ["run", str(self.folder / "job.yaml"), "--out", str(out), "-q", "--device", "cpu", *changes]
            assert main(command) == 0
            self._digests[overrides] = str(read_json(out / "summary.json")["spike_digest"])
        return self._digests[overrides]

    def check_result(self, out: str, *overrides: str, ranks: int = 2) -> None:
        """The directory is whole, and its digest right."""
        summary = read_json(self.folder / out / "summary.json")
        assert summary["spike_digest"] == self.digest(*overrides) and summary["ranks"] == ranks
        assert main(["verify", str(self.folder / out)]) == 0

    def wait_for(self, what: str, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Poll `condition`."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{what}: not within {seconds} s\n{self.cluster.logs()}"
            time.sleep(0.02)

    def running_for(self, number: str) -> float:
        """Seconds since the job's present start."""
        return time.time() - time.mktime(time.strptime(self.cluster.job(number)["StartTime"], "%Y-%m-%dT%H:%M:%S"))

    def end_soon(self, number: str) -> None:
        """Give a running job the least time limit that is not over yet; SLURM counts its `--signal` from the new end.

        The signal comes up to half a minute early: from 10 s on after the start, where it is `@20`.
        """
        minutes = int(self.running_for(number) // 60.0) + 1
        self.cluster.command("scontrol", "update", f"jobid={number}", f"TimeLimit={minutes}")

    def start_soon(self, number: str) -> None:
        """Wait until a job is requeued, and make five seconds of the two minutes that SLURM lets pass then.

        Less than that is not sound: revoked credentials have whole seconds, and sockets of steps the same names again.
        From here on the job has time enough.
        """
        self.wait_for(f"job {number}: requeued", lambda: self.cluster.job(number)["JobState"] == "PENDING")
        raw = self.cluster.job(number)["JobId"]
        self.wait_for(f"job {number}: the end of its first start", lambda: not self.cluster.processes(raw))
        self.cluster.command("scontrol", "update", f"jobid={number}", "StartTime=now+5", "TimeLimit=10")

    def computing(self, number: str, out: str, ranks: int = 2) -> list[int]:
        """Process ids of the ranks, in their order, once the job has left a checkpoint."""
        folder = self.folder / out / "checkpoints"
        self.wait_for(f"job {number}: a checkpoint", lambda: list(folder.glob("*/manifest.json")), SLOW_START)
        return [process.pid for process in self.cluster.ranks(number, ranks)]


class Held(threading.Thread):
    """Holds the ranks of a job from its first checkpoint until `until` is true.

    `held` is called when they are held, `then` after they were let go. A job that began so late that its time limit has
    stopped it at its first checkpoint need not be held.
    """

    def __init__(
        self, jobs: Jobs, number: str, out: str, until: Callable[[], object],
        held: Callable[[], None] = lambda: None, then: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        super().__init__(daemon=True)
        self.jobs, self.number, self.out, self.until, self.held, self.then = jobs, number, out, until, held, then
        self.failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            try:
                ranks = self.jobs.computing(self.number, self.out)
                for pid in ranks:
                    os.kill(pid, signal.SIGSTOP)
            except (TimeoutError, ProcessLookupError):
                if "stopped by the time limit" in self.jobs.said(self.number):
                    return
                raise
            try:
                self.held()
                self.jobs.wait_for(f"job {self.number}: the time limit", self.until, 120.0)
            finally:
                for pid in ranks:
                    os.kill(pid, signal.SIGCONT)
            self.then()
        except BaseException as failure:  # join raises it in the test
            self.failure = failure

    def released(self) -> None:
        self.join()
        if self.failure is not None:
            raise self.failure
