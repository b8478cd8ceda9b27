"""Documents grown from the grammar of tests/unit/test_fuzz_config.py, in batches of 200."""

from __future__ import annotations

import os
from pathlib import Path

from faults.campaign import Campaign, Case, expect, unit_test

BATCH = 200


def run_case(case: Case) -> str:
    source, before = unit_test("test_fuzz_config"), Path.cwd()
    for name, content in source.FILES.items():
        (case.folder / name).write_text(content)
    path, accepted, faults = case.folder / "fuzzed.yaml", 0, []
    os.chdir(case.folder)
    try:
        for number in range(case.number * BATCH, (case.number + 1) * BATCH):
            path.write_bytes(source.grown(number, case.seed))
            fault = source.fault_of(path)
            accepted += fault == source.ACCEPTED
            if fault:
                faults.append(f"document {number} {fault}")
    finally:
        os.chdir(before)
    expect(not faults, f"{len(faults)} of {BATCH}: " + "; ".join(faults[:5]))
    expect(0 < accepted < BATCH, f"{accepted} of {BATCH} accepted: the edits are too tame or too wild")
    written = {p.name for p in case.folder.iterdir()} - {*source.FILES, path.name}
    expect(not written, f"something was written: {sorted(written)}")
    return f"batches of {BATCH} documents"


CAMPAIGN = Campaign("fuzz", 10, 500, run_case)
