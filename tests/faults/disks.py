"""ENOSPC and EIO at every call that writes: write, fsync, rename, open for writing, mkdir, truncate.

A run on one rank goes on from a checkpoint to its end. First its calls are counted; then each of them is refused, once
as an error of the disk at that call alone (EIO), once as a disk that is full from there on (ENOSPC). Then, on two real
ranks, calls of one of them.
"""

from __future__ import annotations

import atexit
import errno
import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from distsim.io import checkpoints
from faults import network, ranks
from faults.campaign import Campaign, Case, expect

SETTINGS = (
    "run.duration=60.0", "run.checkpoint={every: 34.0, keep: 1}", "record.spikes=[E]", "record.connections=[1]",
    "record.rates={bin: 4.0, populations: [E]}",
)  # fmt: skip
BEFORE = ("run.duration=28.0", *SETTINGS[1:])
KINDS = {"w": "write", "s": "fsync", "r": "rename", "o": "open", "m": "mkdir", "t": "truncate"}
ON_RANKS = 6  # cases on real ranks


@functools.cache
def shim(folder: Path) -> Path:
    """The compiled library."""
    library = folder / "refuse.so"
    source = Path(__file__).with_name("refuse.cpp")
    compiler = shutil.which("g++") or shutil.which("c++")
    assert compiler, "no g++ here: distsim's host backend needs one too"
    subprocess.run(
        [compiler, "-O1", "-std=c++17", "-fPIC", "-shared", "-D_GNU_SOURCE", str(source), "-o", str(library), "-ldl"],
        check=True,
    )
    return library


@functools.cache
def server(folder: Path) -> subprocess.Popen[str]:
    """The process that forks."""
    environment = ranks.environment(LD_PRELOAD=str(shim(folder)), MPLBACKEND="Agg")
    process = subprocess.Popen(
        [sys.executable, "-m", "faults.refusing"], env=environment, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    atexit.register(process.kill)
    assert process.stdin
    process.stdin.write(json.dumps(command(network.write_config(folder), folder / "first")) + "\n")
    return process


def ask(
    folder: Path, out: Path, at: int, code: int, sticky: bool, *arguments: str, figure: bool = True
) -> dict[str, Any]:  # fmt: skip
    """`distsim ARGUMENTS` with the `at`-th call under `out` refused; 0: none is. Without the figure it is quicker."""
    process = server(folder)
    assert process.stdin and process.stdout
    request = {
        "under": str(out), "at": at, "code": code, "sticky": int(sticky), "arguments": arguments,
        "figure": figure,
        "said": str(out.parent / "said"), "calls": str(folder / "calls"),
    }  # fmt: skip
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def command(config: Path, out: Path) -> list[str]:
    settings = [x for setting in SETTINGS for x in ("--set", setting)]
    return ["run", str(config), "--resume", "--out", str(out), "-q", "--device", "cpu", *settings]


@functools.cache
def begun(folder: Path) -> Path:
    """A complete run of half the length, with a checkpoint at its end: what every case goes on from."""
    out = folder / "begun"
    network.go_on(folder, out, 1, *BEFORE)
    return out


@functools.cache
def calls(folder: Path) -> str:
    """The calls of a run in which nothing is refused, a letter each."""
    out = folder / "counted"
    shutil.copytree(begun(folder), out)
    answer = ask(folder, out, 0, 0, False, *command(network.write_config(folder), out))
    assert answer["code"] == 0, answer
    return (folder / "calls").read_text()


def total(folder: Path) -> int:
    """Every call twice, and those on real ranks."""
    return 2 * len(calls(folder)) + (ON_RANKS if ranks.MPIEXEC and not ranks.UNDER_LAUNCHER else 0)


def short(folder: Path) -> list[int]:
    """The cases of a short form: each call once, the two errors in turn; of writes in a row each fifth."""
    chosen, row = [], 0
    for i, kind in enumerate(calls(folder)):
        row = row + 1 if kind == "w" else 0
        if row % 5 == 1 or kind != "w":
            chosen.append(2 * i + i % 2)
    return [*chosen, *range(2 * len(calls(folder)), total(folder), 2)]


def run_case(case: Case) -> str:
    n = len(calls(case.shared))
    number = case.number % total(case.shared)
    out, config = case.folder / "out", network.write_config(case.folder)
    shutil.copytree(begun(case.shared), out)
    before = checkpoints.folders(out)[0]
    code = (errno.EIO, errno.ENOSPC)[number % 2]
    if number < 2 * n:
        kind, where = KINDS[calls(case.shared)[number // 2]], f"call {number // 2 + 1}"
        done = ask(case.shared, out, number // 2 + 1, code, code == errno.ENOSPC, *command(config, out))
        status, said = int(done["code"]), str(done["said"])
    else:
        kind, at, rank = "a rank of two", case.draw.randint(1, n // 3), number % 4 // 2
        where = f"call {at} of rank {rank}"
        refuse = f"{at}:{code}:{int(code == errno.ENOSPC)}:{rank}"
        run = ranks.start(
            2, config, out, SETTINGS, LD_PRELOAD=str(shim(case.shared)), FAULTS_UNDER=str(out), FAULTS_REFUSE=refuse
        )
        status, said, _ = run.end(60.0)
        said = "\n".join(x for x in said.splitlines() if x.startswith("distsim: ")) + "\n" if status else ""
    what = f"{errno.errorcode[code]} at {where} ({kind})"
    if status == 0:  # what is refused may be no part of the results
        expect(not said or "warning" in said, f"{what}: exit code 0, and said {said!r}")
        expect((out / "summary.json").exists(), f"{what}: exit code 0 without results")
    else:
        expect(status in (1, 2) and said.count("\n") == 1, f"{what}: exit code {status}, said {said!r}")
        there = [f for f in checkpoints.folders(out) if (f / checkpoints.MANIFEST).exists()]
        expect(there, f"{what}: no checkpoint is left")
        if before in there:
            checkpoints.read_manifest(before)
    network.check_sound(out)
    if case.draw.random() < 0.25:
        go_on(case, out, config, what)
    return f"{errno.errorcode[code]} {'without harm' if status == 0 else 'an error'} ({kind})"


def go_on(case: Case, out: Path, config: Path, what: str) -> None:
    """With a disk that is whole again: to the same results, from the checkpoint before or a newer one."""
    again = ask(case.shared, out, 0, 0, False, *command(config, out), figure=False)
    expect(again["code"] == 0 and "not taken" not in again["said"], f"{what}: going on: {again}")
    found, expected = network.digest(out), network.digest(network.reference(case.shared, *SETTINGS))
    expect(found == expected, f"{what}: digest {found}, expected {expected}")
    network.check_equal(out, case.shared, *SETTINGS)


CAMPAIGN = Campaign("disks", 0, 0, run_case, total)
