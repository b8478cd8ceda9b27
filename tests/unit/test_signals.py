"""Signals, time limits and kills: the run ends in time, and goes on to the same result."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from continuing import CONFIG, on_ranks, run, stop_after

import distsim
from distsim.cli import main
from distsim.comm import Communicator, Serial
from distsim.control import Watch
from distsim.errors import Stopped
from distsim.io import checkpoints, read_json
from distsim.signals import StopRequests, deadline

LONG = ("run.duration=15000.0", "run.warmup=0.0", "record.states={}")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the long run in one piece."""
    folder = tmp_path_factory.mktemp("reference")
    assert _start(folder, folder / "out").wait(120) == 0
    return str(read_json(folder / "out" / "summary.json")["spike_digest"])


def _start(folder: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    (folder / "small.yaml").write_text(CONFIG.replace(", checkpoint: {every: 17.0, keep: 3}", ""))
    command = [sys.executable, "-m", "distsim", "run", str(folder / "small.yaml"), "--resume", "--out", str(out), "-q"]
    command += [x for override in (*LONG, *more) for x in ("--set", override)]
    return subprocess.Popen(
        [*command, "--device", "cpu"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _wait_for(path: Path, pattern: str) -> None:
    end = time.monotonic() + 60.0
    while not list(path.glob(pattern)):
        assert time.monotonic() < end, f"{path}/{pattern} does not appear"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_and_a_second_one(reference: str, tmp_path: Path, number: signal.Signals) -> None:
    """Exit code 75, one line, a checkpoint; then the rest, to the same digest."""
    out = tmp_path / "out"
    process = _start(tmp_path, out, "run.checkpoint.every=100.0")
    _wait_for(out / "checkpoints", "*/manifest.json")
    began = time.monotonic()
    process.send_signal(number)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 75 and time.monotonic() - began < 10.0
    assert said.count("\n") == 1 and "stopped by SIG" in said and "distsim resume" in said
    assert main(["verify", str(out)]) == 0
    assert main(["resume", str(out), "-q", "--device", "cpu", "--set", "run.checkpoint={every: 5000.0}"]) == 0
    assert read_json(out / "summary.json")["spike_digest"] == reference


def test_killed_while_it_writes_checkpoints(reference: str, tmp_path: Path) -> None:
    """Every 20 ms of biological time a checkpoint: SIGKILL falls into the writing of one, again and again."""
    out, draw = tmp_path / "out", random.Random(1)
    for _ in range(4):
        process = _start(tmp_path, out, "run.checkpoint={every: 20.0, keep: 1}")
        before = {p.name for p in checkpoints.folders(out)}
        end = time.monotonic() + 60.0
        while {p.name for p in checkpoints.folders(out)} <= before and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(0.3 * draw.random())
        process.kill()
        process.communicate()
        assert main(["verify", str(out)]) == 0
    process = _start(tmp_path, out)
    assert process.wait(120) == 0 and read_json(out / "summary.json")["spike_digest"] == reference


def test_the_time_limit(reference: str, tmp_path: Path) -> None:
    """From the configuration: as many processes as it takes, each ends before its limit with code 75. The limits grow,
    so that a machine on which starting alone takes as long gets on too."""
    codes = []
    for limit in (1.5 * 1.5**k for k in range(10)):
        began = time.monotonic()
        process = _start(tmp_path, tmp_path / "out", f'run.wall_time="{limit} s"')
        codes.append(process.wait(120))
        assert time.monotonic() - began < 4.0 * limit
        if codes[-1] == 0:
            break
    assert codes[-1] == 0 and set(codes[:-1]) <= {75}
    assert read_json(tmp_path / "out" / "summary.json")["spike_digest"] == reference


def test_a_limit_that_the_start_takes_up_leaves_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a job would be requeued for ever, and come a few steps further each time. What is complete is written."""
    out, late = tmp_path / "out", 'run.wall_time="0.001 s"'
    assert "before a step was computed" in run(tmp_path, out, 2, [late]).stopped and not checkpoints.folders(out)
    stop_after(monkeypatch, 300)
    assert run(tmp_path, out, resume=True).stopped
    stop_after(monkeypatch, None)
    before = checkpoints.folders(out)
    assert run(tmp_path, out, 2, [late], resume=True).stopped and checkpoints.folders(out) == before
    monkeypatch.setattr("distsim.runner.draw", lambda *arguments: None)
    ends = int(before[0].name) / 10 - 10
    assert not run(tmp_path, out, 1, [late, f"run.duration={ends}"], resume=True).stopped


def test_limits_of_slurm_and_of_the_configuration() -> None:
    """The configuration's counts from the start of the process; SLURM's is a point in time."""
    now, clock = time.monotonic(), time.time()
    job = {"SLURM_JOB_START_TIME": str(int(clock - 60)), "SLURM_JOB_END_TIME": str(int(clock + 540))}
    assert deadline(None, 5.0, {}) is None and deadline(None, 5.0, {"SLURM_JOB_END_TIME": "soon"}) is None
    assert deadline(None, 5.0, job) == pytest.approx(now + 540 - 30, abs=2.0)
    assert deadline(100.0, 5.0, job) == pytest.approx(now + 100 - 5 - 5, abs=1.0)
    assert deadline(86400.0, 0.0, {}) == pytest.approx(now + 86400 - 60, abs=1.0)


def test_handlers_are_put_back_and_only_the_first_signal_counts() -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    with StopRequests() as requests:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert requests.name == "SIGUSR1"
        requests.at_once = True
        with pytest.raises(Stopped, match="SIGUSR1"):
            requests.check()
        os.kill(os.getpid(), signal.SIGINT)  # the work of the first goes on
    assert {n: signal.getsignal(n) for n in before} == before
    try:
        with pytest.raises(Stopped), StopRequests(stay=True) as requests:
            requests.at_once = True
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)  # while the process ends: it says why all the same
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    with StopRequests() as requests:
        requests.at_once = True
        with pytest.raises(Stopped, match="SIGTERM"):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1.0)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_all_ranks_decide_the_same_at_the_same_step(ranks: int) -> None:
    """One rank has a signal, another a clock that runs out, each takes its own time: none waits for ever."""

    def work(comm: Communicator) -> list[Any]:
        requests = StopRequests()
        late = time.monotonic() + (0.05 if comm.rank == 0 else 3600.0)
        watch = Watch(comm, 16, requests, late, 0.02 if comm.rank == comm.size - 1 else None)
        watch.start(0)
        seen: list[Any] = []
        for _ in range(200):
            step = watch.next_step
            time.sleep(0.0005 * (1 + comm.rank))
            if comm.rank == comm.size - 1 and len(seen) == 100:
                requests.name = "SIGUSR1"
            decision = watch.meet(step)
            seen.append((step, decision))
            if decision.checkpoint:
                watch.wrote(0.0)
            if decision.stop.startswith("SIG"):
                break
        return seen

    first, *others = on_ranks(ranks, work)
    assert all(other == first for other in others)
    assert first[-1][1].stop == "SIGUSR1" and len(first) == 101
    assert any(d.stop == "the time limit" for _, d in first) and any(d.checkpoint for _, d in first)
    assert all(step % 16 == 0 for step, _ in first)


def test_meetings_are_rare_and_follow_the_pace() -> None:
    """A fast run meets about five times a second, a slow one after each interval at the most."""
    watch = Watch(Serial(), 10, StopRequests(), None, None)
    watch.start(0)
    for _ in range(12):  # 20,000 steps a second
        time.sleep((watch.next_step - watch._steps_met) / 20000.0)
        watch.meet(watch.next_step)
    assert 1000 < watch.next_step - watch._steps_met <= 4000
    time.sleep(0.3)
    watch._steps_met = watch.next_step - 10  # ten steps took it 0.3 s
    watch.meet(watch.next_step)
    assert watch.next_step - watch._steps_met == 10


def test_checkpoints_every_few_steps_do_not_put_meetings_off() -> None:
    """Else a signal and a time limit wait for minutes: the pace is that of steps and checkpoints together."""
    watch = Watch(Serial(), 10, StopRequests(), None, None)
    watch.start(0)
    while watch.next_step < 10_000:
        for _ in range(watch.next_step // 1000 - watch._steps_met // 1000):  # one every 1,000 steps, in which
            time.sleep(0.02)
            watch.wrote(0.02)
        watch.meet(watch.next_step)
    assert watch.next_step - watch._steps_met <= 10_000, "0.2 s are ten checkpoints"


def test_a_script_is_stopped_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it writes results; afterwards signals mean to it what they did before."""
    network = distsim.Network("script")
    network.population("N", 12, "iaf_psc_exp", I_e=900.0)

    def ask() -> None:
        _wait_for(tmp_path / "out", "checkpoints/*/manifest.json")
        os.kill(os.getpid(), signal.SIGUSR1)

    def missed(number: int, frame: object) -> None:
        raise AssertionError("nobody noted the signal")

    before = signal.signal(signal.SIGUSR1, missed)
    try:
        asking = threading.Thread(target=ask)
        asking.start()
        with pytest.raises(Stopped, match=r"stopped by SIGUSR1 after .* ms; `distsim resume"):
            distsim.simulate(
                network, 1e6, out=tmp_path / "out", device="cpu", checkpoint=distsim.Checkpoints(every=50.0)
            )
        asking.join()
        assert signal.getsignal(signal.SIGUSR1) is missed
        monkeypatch.setattr("distsim.runner.draw", lambda *arguments: os.kill(os.getpid(), signal.SIGUSR1))
        with pytest.raises(AssertionError, match="nobody noted"):  # too late: for the script, once results are complete
            distsim.simulate(network, 10.0, out=tmp_path / "late", device="cpu")
        assert distsim.load_results(tmp_path / "late").complete
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_stop_requests_do_nothing_in_other_threads() -> None:
    """Python installs handlers in the main thread alone; ranks that are threads have none."""
    found: list[str] = []

    def work() -> None:
        with StopRequests() as requests:
            found.append(requests.name)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [""] and json.dumps(found)
