"""slurm/ on a real SLURM: jobs, arrays, series, GPUs, killed ranks, cancelled jobs, and time limits.

Two jobs meet a real time limit; SLURM has none shorter than a minute. They start before all others, and their ranks are
held by SIGSTOP meanwhile: so nothing depends on how fast the machine is, and the other tests have its cores. However
long ranks take to start, too: one job gets its limit once its ranks are held, the other stops by itself in any case.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
from slurm_jobs import ENDLESS, SLOWED, Held, Jobs

from distsim.cli import main

TWO_NODES = ("--nodes=2", "--ntasks=2")


@dataclass(frozen=True)
class Timed:
    """The jobs that meet a time limit."""

    requeued: str
    links: list[str]
    signalled: Held
    late: Held


@pytest.fixture(scope="module", autouse=True)
def timed(jobs: Jobs) -> Timed:
    """Submitted first, looked at last."""
    requeue = (*TWO_NODES, "--time=30", "--signal=B:USR1@20")
    [requeued] = jobs.submit("requeue", *requeue, "job.yaml", "--out", "long", *SLOWED)
    chain = (*TWO_NODES, "--time=1", "--links=2")
    links = jobs.submit("chain", *chain, "job.yaml", "--out", "chain", *SLOWED, expect=2)
    assert jobs.cluster.job(links[1])["Dependency"].startswith(f"afterok:{links[0]}")
    jobs.cluster.command("scontrol", "update", f"jobid={links[1]}", "TimeLimit=10")
    signalled = Held(
        jobs, requeued, "long", lambda: "USR1 from SLURM" in jobs.said(requeued),
        held=lambda: jobs.end_soon(requeued), then=lambda: jobs.start_soon(requeued),
    )  # fmt: skip
    late = Held(jobs, links[0], "chain", lambda: jobs.running_for(links[0]) > 57.8)
    return Timed(requeued, links, signalled, late)


@pytest.mark.parametrize("start", ["srun", "mpiexec"])
def test_one_job_on_two_nodes(jobs: Jobs, start: str) -> None:
    """The site's options reach the job, its two nodes compute what one process does."""
    out = f"run-{start}"
    [job] = jobs.submit("run", *TWO_NODES, "job.yaml", "--out", out, "--log-file", DISTSIM_START=start)
    described = jobs.ended(job)
    assert described["Comment"] == "from-the-site" and described["NumNodes"] == "2" and described["ExitCode"] == "0:0"
    assert "spike digest" in jobs.said(job)
    jobs.check_result(out)


def test_wrong_input_fails_the_job(jobs: Jobs) -> None:
    """Not requeued. srun ends the ranks that have not come so far yet, and may make its own code of that."""
    [job] = jobs.submit("requeue", *TWO_NODES, "job.yaml", "--out", "wrong", "--set", "run.sede=7")
    assert jobs.ended(job, "FAILED")["Restarts"] == "0" and not (jobs.folder / "wrong").exists()
    assert "did you mean 'seed'?" in jobs.said(job) and "Traceback" not in jobs.said(job)


def test_an_array_over_seeds(jobs: Jobs) -> None:
    """Each task goes on by itself when its time has ended: the last one, too, whose number is that of the array."""
    slowed = ("--set", "run.checkpoint.every=40.0")
    [job] = jobs.submit("array", "--ntasks=1", "--seeds=3,5", "job.yaml", "--out", "seeds", "-q", *slowed)
    task = f"{job}_5"
    jobs.wait_for("the last task", lambda: jobs.cluster.job(task)["JobState"] == "RUNNING")
    assert jobs.cluster.job(task)["JobId"] == job
    jobs.computing(job, "seeds/seed5", ranks=1)
    jobs.cluster.command("scancel", "--batch", "--signal=USR1", task)
    jobs.start_soon(task)
    jobs.wait_for("the tasks", lambda: not jobs.cluster.command("squeue", "-h", "-j", job).strip())
    for seed in (3, 5):
        jobs.check_result(f"seeds/seed{seed}", f"run.seed={seed}", ranks=1)
    assert jobs.cluster.job(task)["Restarts"] == "1" and jobs.cluster.job(f"{job}_3")["Restarts"] == "0"
    assert jobs.digest("run.seed=3") != jobs.digest("run.seed=5")


def test_an_array_over_parameters(jobs: Jobs) -> None:
    """Each line of a file is a run; quotes hold a value together, and nothing in it is carried out."""
    rate = "inputs.noise.rate=8000.0"
    (jobs.folder / "lines").write_text(f"--set {rate}\n--set 'run.name=$(touch carried-out)'\n")
    [job] = jobs.submit("array", "--ntasks=1", "--lines=lines", "job.yaml", "--out", "lines-out", "-q")
    jobs.wait_for("the tasks", lambda: not jobs.cluster.command("squeue", "-h", "-j", job).strip())
    jobs.check_result("lines-out/0001", rate, ranks=1)
    said = (jobs.folder / f"slurm-{job}_2.out").read_text()
    assert "run.name" in said and "$(touch carried-out)" in said and not (jobs.folder / "carried-out").exists()


def test_a_weak_scaling_series(jobs: Jobs) -> None:
    """One job for each number of ranks, the network in proportion, and a table of them."""
    numbers = jobs.submit(
        "scaling", "--ranks=1,2", "--grow=populations.E.size=90", "job.yaml", "--out", "series", expect=2
    )  # fmt: skip
    for job in numbers:
        jobs.ended(job)
    jobs.check_result("series/2", "populations.E.size=180")
    table = subprocess.run(
        [sys.executable, str(jobs.repo_root / "slurm" / "table"), "series"],
        cwd=jobs.folder, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    cells = [[cell.strip() for cell in line.split("|")] for line in table[2:]]
    assert [row[1:5] for row in cells] == [["series/1", "1", "cpu", "90"], ["series/2", "2", "cpu", "180"]]


@pytest.mark.parametrize(
    ("start", "nodes", "seen"), [("srun", 1, ["0", "1"]), ("mpiexec", 1, ["0,1"] * 2), ("mpiexec", 2, ["0,1"] * 4)]
)
def test_a_gpu_for_each_rank_and_a_killed_rank_ends_the_job(
    jobs: Jobs, start: str, nodes: int, seen: list[str]
) -> None:
    """With srun each rank sees its own GPU; with mpiexec all of the node, and takes one by its local rank."""
    out = f"killed-{start}-{nodes}"
    size = (f"--nodes={nodes}", "--ntasks-per-node=2")
    settings = {"GPUS": "yes", "DISTSIM_START": start}
    [job] = jobs.submit("requeue", *size, "job.yaml", "--device", "cpu", "--out", out, *ENDLESS, **settings)
    jobs.computing(job, out, ranks=len(seen))
    ranks = jobs.cluster.ranks(job, len(seen))
    assert [rank.environment["CUDA_VISIBLE_DEVICES"] for rank in ranks] == seen
    local = "SLURM_LOCALID" if start == "srun" else "MPI_LOCALRANKID"
    if local in ranks[0].environment:  # Open MPI names it otherwise
        assert sorted(rank.environment[local] for rank in ranks) == sorted(["0", "1"] * nodes)
    assert all(rank.environment["SITE_WAS_SET_UP"] == "1" for rank in ranks)

    began = time.monotonic()
    os.kill(ranks[1].pid, signal.SIGKILL)
    described = jobs.ended(job, "FAILED", seconds=30.0)
    assert time.monotonic() - began < 20.0
    assert described["Restarts"] == "0", "a fault is not requeued"
    assert jobs.cluster.processes(job) == []


@pytest.mark.parametrize("start", ["srun", "mpiexec"])
def test_a_cancelled_job_can_go_on(jobs: Jobs, start: str) -> None:
    """scancel: a checkpoint, no process left, not requeued; another number of ranks goes on to the same digest."""
    out = f"cancelled-{start}"
    [job] = jobs.submit("requeue", *TWO_NODES, "job.yaml", "--out", out, *SLOWED, DISTSIM_START=start)
    ranks = jobs.computing(job, out)
    jobs.cluster.command("scancel", job)
    described = jobs.ended(job, "CANCELLED", seconds=40.0)
    assert described["Restarts"] == "0" and "TERM from SLURM" in jobs.said(job)
    jobs.wait_for("the end of all processes", lambda: not jobs.cluster.processes(job), 15.0)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in ranks)
    assert not (jobs.folder / out / "summary.json").exists(), "it was complete before it was cancelled"
    assert main(["verify", str(jobs.folder / out)]) == 0
    assert main(["resume", str(jobs.folder / out), "-q", "--device", "cpu", "--set", "run.checkpoint={}"]) == 0
    jobs.check_result(out, ranks=1)


def test_a_job_that_gets_no_further_is_not_requeued(jobs: Jobs) -> None:
    """The limit comes before the first step, as it would each time: requeuing would use up the account."""
    [job] = jobs.submit("requeue", "--ntasks=1", "job.yaml", "--out", "stuck", AT_SET_UP="kill -s USR1 $$; true")
    described = jobs.ended(job, "FAILED")
    assert described["ExitCode"] == "75:0" and described["Restarts"] == "0"
    assert "without a new checkpoint" in jobs.said(job)


def test_a_time_limit_requeues_the_job(jobs: Jobs, timed: Timed) -> None:
    """SLURM's signal, a checkpoint, the same job again, the digest of a run in one piece."""
    timed.signalled.released()
    described = jobs.ended(timed.requeued)
    said = jobs.said(timed.requeued)
    assert described["Restarts"] == "1" and said.count("stopped by SIGUSR1") == 1
    assert "requeued after start 1" in said
    jobs.check_result("long")


def test_a_chain_of_jobs(jobs: Jobs, timed: Timed) -> None:
    """The first link stops by itself before its time ends, without a signal; the second waits for it and completes."""
    timed.late.released()
    described = jobs.ended(timed.links[0])
    assert described["ExitCode"] == "0:0" and "the time limit" in jobs.said(timed.links[0])
    assert "the rest is left to the next job" in jobs.said(timed.links[0])
    jobs.ended(timed.links[1])
    jobs.check_result("chain")
