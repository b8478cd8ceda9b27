"""SIGKILL to a random rank at a random time, most often while a checkpoint is written; then the rest on other ranks."""

from __future__ import annotations

import os
import signal
import time

from distsim.io import checkpoints
from faults import network, ranks
from faults.campaign import Campaign, Case, expect
from faults.ranks import Ranks, wait

SETTINGS = ("run.duration=1000.0", "record.states={}", "run.checkpoint={every: 20.0, keep: 2}")
REST = (*SETTINGS[:2], "run.checkpoint={every: 5000.0, keep: 2}")


def run_case(case: Case) -> str:
    draw, out = case.draw, case.folder / "out"
    config = network.write_config(case.folder)
    expected = network.digest(network.reference(case.shared, *REST))
    size = draw.choice([2, 3, 4])
    other = draw.choice([n for n in (1, 2, 3, 4) if n != size])
    run = ranks.start(size, config, out, SETTINGS)
    try:
        victim = run.all_pids().get(draw.randrange(size))
        if draw.random() < 0.7:
            hit_a_checkpoint(case, run)
        else:
            time.sleep(draw.uniform(0.0, 2.5))
        if victim is not None and ranks.alive(victim):
            os.kill(victim, signal.SIGKILL)
    finally:
        code, said, _ = run.end()
    unfinished = [f for f in checkpoints.folders(out) if not (f / checkpoints.MANIFEST).exists()]
    there = len(checkpoints.folders(out)) - len(unfinished)
    complete = (out / "summary.json").exists()
    expect(code != 0 or complete, f"exit code 0 of a run that was killed: {said}")
    if there or complete:
        network.check_sound(out)
    if draw.random() < 0.3 and other > 1:
        rest = ranks.start(other, config, out, REST)
        code, said, _ = rest.end(120.0)
        expect(code == 0, f"going on ended with {code}: {said}")
    else:
        network.go_on(case.folder, out, other, *REST)
    found = network.digest(out)
    expect(found == expected, f"digest {found} on {size}, then {other} ranks; in one piece {expected}")
    network.check_sound(out)
    if complete:
        return "after the end"
    return "in a checkpoint" if unfinished else "between checkpoints" if there else "before the first checkpoint"


def hit_a_checkpoint(case: Case, run: Ranks) -> None:
    """Wait for some checkpoints, then for the next one to be begun, then a little."""
    root, wanted = case.folder / "out" / checkpoints.CHECKPOINTS, f"{200 * case.draw.randint(1, 25):012d}"
    delay = case.draw.choice([0.0, case.draw.uniform(0.0, 0.003), case.draw.uniform(0.0, 0.01)])

    def begun() -> bool:
        try:
            newest = max(os.listdir(root), default="")
        except OSError:
            newest = ""
        unfinished = newest >= wanted and not (root / newest / checkpoints.MANIFEST).exists()
        return unfinished or run.process.poll() is not None

    wait(begun, 60.0, "a checkpoint", pause=0.0005)
    time.sleep(delay)


CAMPAIGN = Campaign("kills", 10, 300, run_case, needs_mpi=True)
