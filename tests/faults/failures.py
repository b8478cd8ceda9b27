"""An exception, no more memory, or a NaN on one rank, in each phase: all end, and the line names rank and phase."""

from __future__ import annotations

from pathlib import Path

from distsim.io import checkpoints
from faults import network, ranks
from faults.campaign import Campaign, Case, expect
from faults.failing import CASES, SAID

SETTINGS = ("run.duration=100.0", "run.checkpoint={every: 20.0}", "record.states={}")


def total(folder: Path) -> int:
    return len(CASES)


def run_case(case: Case) -> str:
    phase, kind = CASES[case.number % len(CASES)]
    size, out = case.draw.choice([2, 2, 3]), case.folder / "out"
    # Results are merged on rank 0 alone.
    rank = 0 if phase == "merge" else case.draw.randrange(size)
    program = ("-m", "mpi4py", "-m", "faults.failing", phase, kind, str(rank))
    run = ranks.start(size, network.write_config(case.folder), out, SETTINGS, program)
    code, said, _ = run.end()
    what = f"{kind} in {phase} on rank {rank} of {size}"
    lines = [x for x in said.splitlines() if x.startswith("distsim: ")]
    expect(code != 0, f"{what}: exit code 0")
    expect(len(lines) == 1, f"{what}: not one line: {said!r}")
    expect(lines[0].startswith(f"distsim: rank {rank} of {size} ({phase}): "), f"{what}: said {lines[0]!r}")
    expect(any(x in said for x in SAID[kind]), f"{what}: said {said!r}")
    expect(kind == "exception" or "Traceback" not in said, f"{what}: a traceback: {said!r}")
    if any((f / checkpoints.MANIFEST).exists() for f in checkpoints.folders(out)):
        network.check_sound(out)
    network.go_on(case.folder, out, case.draw.choice([1, 2]), *SETTINGS)
    network.check_equal_digest(out, case.shared, *SETTINGS)
    return f"{kind} named"


CAMPAIGN = Campaign("failures", 0, 0, run_case, total, needs_mpi=True)
