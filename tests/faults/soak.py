"""Hours of running on two ranks with checkpoints all the time: memory must not grow, nor may files pile up."""

from __future__ import annotations

import os
import signal
import statistics
import time
from pathlib import Path

from distsim.io import checkpoints
from faults import network, ranks
from faults.campaign import Campaign, Case, expect, to_stderr

GROWTH = 0.01  # up to 0.9 MB a rank are Python's table of interned strings: names of checkpoints make it grow, once
SHOWN = 60  # samples: five minutes
SETTINGS = (
    "run.duration=100000000.0",
    "populations.E.size=20000",  # the small network computed all of the duration in 69 minutes
    'run.checkpoint={every_wall: "5 s", keep: 2}',
    "record.spikes=[P]",
    "record.states={}",
)


def resident(pids: list[int]) -> int:
    """Bytes that the processes hold."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE")


def campaign(minutes: float) -> Campaign:
    """One case of so many minutes."""

    def run_case(case: Case) -> str:
        out = case.folder / "out"
        run = ranks.start(2, network.write_config(case.folder), out, SETTINGS)
        samples: list[int] = []
        try:
            pids = list(run.all_pids().values())
            ranks.wait(lambda: bool(checkpoints.folders(out)), 120.0, "the first checkpoint")
            end = time.monotonic() + 60.0 * minutes
            while time.monotonic() < end:
                time.sleep(min(5.0, minutes))
                expect(run.process.poll() is None, f"the run ended early: {run.process.poll()}")
                samples.append(resident(pids))
                if len(samples) % SHOWN == 0:  # not lost with what may fail later
                    to_stderr(f"soak: sample {len(samples)}: {samples[-1] / 1e6:.1f} MB")
            run.process.send_signal(signal.SIGTERM)
        finally:
            code, said, _ = run.end(60.0)
        expect(code == 75, f"ended with {code}: {said}")
        network.check_sound(out)
        # The first tenth is the start: buffers grow to what the network needs.
        tenth = max(1, len(samples) // 10)
        first, last = statistics.median(samples[tenth : 2 * tenth]), statistics.median(samples[-tenth:])
        step = int(checkpoints.folders(out)[0].name)
        text = (
            f"{minutes:g} minutes, {step / 1e4:,.0f} s simulated: {first / 1e6:.1f} MB, at the end {last / 1e6:.1f} MB"
        )
        to_stderr(f"soak: {text}")
        expect(last < (1.0 + GROWTH) * first, f"memory grows: {text}")
        return text

    return Campaign("soak", 0, 1, run_case, needs_mpi=True)
