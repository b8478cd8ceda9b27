"""Files cut at every hundredth, single bits flipped: refused, or the older checkpoint taken; never a wrong result."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import pytest
from continuing import run, stop_after

from distsim.errors import DistsimError
from distsim.io import checkpoints
from faults import network
from faults.campaign import Campaign, Case, expect

CUT = ("manifest.json", "rank0000.npz", "rank0001.npz")


@functools.cache
def stopped(folder: Path) -> Path:
    """A run on two ranks that was stopped after its third checkpoint."""
    out, patch = folder / "stopped", pytest.MonkeyPatch()
    stop_after(patch, 400)
    try:
        run(folder, out, 2, config=network.PATIENT)
    finally:
        patch.undo()
    assert len(checkpoints.folders(out)) == 3
    return out


def total(folder: Path) -> int:
    """300 cuts, and three times as many flips."""
    return 4 * 100 * len(CUT)


def run_case(case: Case) -> str:
    out, draw = case.folder / "out", case.draw
    shutil.copytree(stopped(case.shared), out)
    newest, index = checkpoints.folders(out)[0], case.pick(total(case.shared))
    if index < 100 * len(CUT):
        path = newest / CUT[index // 100]
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * (index % 100) // 100])
        what = f"{path.name} cut at {index % 100} %"
    else:
        every = [p for p in out.rglob("*") if p.is_file()]
        # Half of the flips in the manifest and the parts of the newest checkpoint, the others anywhere.
        path = draw.choice([newest / draw.choice(CUT), draw.choice(sorted(every))])
        changed = bytearray(path.read_bytes())
        bit = draw.randrange(8 * len(changed))
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(changed))
        what = f"bit {bit} of {path.relative_to(out)} flipped"
    try:
        network.go_on(case.folder, out, draw.choice([1, 1, 2, 3]))
    except DistsimError as error:
        text = str(error)
        expect("\n" not in text and len(text) < 1500, f"{what}: not one line: {text!r}")
        return "refused"
    network.check_equal(out, case.shared)
    return "passed over" if path.parent.parent.name == checkpoints.CHECKPOINTS else "same result"


CAMPAIGN = Campaign("flips", 50, 0, run_case, total)
