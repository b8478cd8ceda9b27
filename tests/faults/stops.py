"""TERM and USR1 to one rank, to all, to the launcher; once or again and again; soon or late."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from distsim.io import checkpoints
from faults import network, ranks
from faults.campaign import Campaign, Case, expect

SETTINGS = ("run.duration=3000.0", "record.states={}", "run.checkpoint={every: 100.0, keep: 2}")
REST = (*SETTINGS[:2], "run.checkpoint={every: 5000.0, keep: 2}")
END = 30100  # the last step
# Documented; and MPICH's launcher where it kills the last rank after MPI_Finalize (docs/reliability.md).
CODES = (75, 9)
IN_TIME = 15.0  # s: half of the 30 s that SLURM leaves between TERM and KILL


def run_case(case: Case) -> str:
    draw, out = case.draw, case.folder / "out"
    config = network.write_config(case.folder)
    expected = network.digest(network.reference(case.shared, *REST))
    size, number = draw.choice([2, 3, 4]), draw.choice([signal.SIGTERM, signal.SIGUSR1])
    whom, early = draw.choice(["a rank", "all ranks", "the launcher"]), draw.random() < 0.15
    run = ranks.start(size, config, out, SETTINGS)
    before = -1
    try:
        pids = run.all_pids()
        if early:
            time.sleep(draw.uniform(0.0, 1.0))
        else:
            first = out / checkpoints.CHECKPOINTS
            ranks.wait(lambda: any(first.glob("*/manifest.json")) or run.process.poll() is not None, 60.0, "a start")
            time.sleep(draw.uniform(0.0, 0.8))
            before = newest(case)
        by_name: dict[str, list[int | None]] = {
            "a rank": [pids.get(draw.randrange(size))], "all ranks": [*pids.values()],
            "the launcher": [run.process.pid],
        }  # fmt: skip
        targets = by_name[whom]
        for k in range(draw.choice([1, 1, 2, 5])):
            for pid in targets:
                with suppress(ProcessLookupError):
                    if pid is not None:
                        os.kill(pid, number if k == 0 else draw.choice([signal.SIGTERM, signal.SIGUSR1]))
            time.sleep(draw.uniform(0.0, 0.05))
    finally:
        code, said, seconds = run.end()
    complete = (out / "summary.json").exists()
    if not early and not complete:
        expect(code in CODES, f"{number.name} to {whom} of {size}: exit code {code}: {said}")
        expect(seconds < IN_TIME, f"{number.name} to {whom} of {size}: ended after {seconds:.1f} s")
        expect(newest(case) >= before, "no checkpoint since the signal")
        network.check_sound(out)
        lines = [x for x in said.splitlines() if "distsim:" in x]
        expect(len(lines) == 1 and "stopped by SIG" in lines[0], f"not one line: {said!r}")
        if " after " not in lines[0]:  # all is computed: what is left is to write the results
            expect(newest(case) == END, f"stopped before the newest checkpoint, {newest(case)}, was the last")
            lines[0] += f" after {END / 10:g} ms"
        stopped = round(float(lines[0].split(" after ")[1].split(" ms")[0]) * 10)
        expect(newest(case) == stopped, f"stopped at step {stopped}, the newest checkpoint is {newest(case)}")
    network.go_on(case.folder, out, draw.choice([1, 2, 3, 4]), *REST)
    found = network.digest(out)
    expect(found == expected, f"digest {found} after {number.name} to {whom} of {size}; in one piece {expected}")
    return "after the end" if complete else "before the first step" if early else f"{number.name} to {whom}"


def newest(case: Case) -> int:
    """The step of the newest checkpoint that has a manifest."""
    folders = checkpoints.folders(case.folder / "out")
    return max((int(f.name) for f in folders if (f / checkpoints.MANIFEST).exists()), default=-1)


CAMPAIGN = Campaign("signals", 10, 100, run_case, needs_mpi=True)
