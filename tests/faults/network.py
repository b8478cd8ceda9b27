"""The small network of the campaigns, and its result in one piece."""

from __future__ import annotations

import contextlib
import functools
import io
from pathlib import Path

from continuing import CONFIG, check_same_results, run

from distsim.cli import main
from distsim.io import read_json
from faults.campaign import expect

# No delay across ranks below 1 ms: ten steps between two exchanges, also where four ranks share two cores.
PATIENT = CONFIG.replace("{uniform: [0.2, 6.0]}", "{uniform: [1.0, 6.0]}").replace(
    "{uniform: [0.1, 3.0]}", "{uniform: [1.0, 3.0]}"
)
assert PATIENT.count("[1.0, ") == 2


def write_config(folder: Path) -> Path:
    """The description, as a file."""
    path = folder / "small.yaml"
    path.write_text(PATIENT)
    return path


@functools.cache
def reference(folder: Path, *overrides: str) -> Path:
    """Results in one piece, computed once for a campaign."""
    out = folder / f"reference{len(list(folder.iterdir()))}"
    run(folder, out, overrides=overrides, config=PATIENT)
    return out


def digest(out: Path) -> str:
    """The spike digest of a complete run."""
    return str(read_json(out / "summary.json")["spike_digest"])


def go_on(folder: Path, out: Path, ranks: int, *overrides: str) -> None:
    """`distsim run --resume` on stand-in ranks."""
    run(folder, out, ranks, overrides, resume=True, config=PATIENT)


def check_equal(out: Path, folder: Path, *overrides: str) -> None:
    """Every file of `out` is that of the run in one piece."""
    check_same_results(out, reference(folder, *overrides))


def check_sound(out: Path) -> None:
    """`distsim verify` finds nothing wrong."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(["verify", str(out)])
    expect(code == 0, f"verify: {said.getvalue()}")


def check_equal_digest(out: Path, folder: Path, *overrides: str) -> None:
    """The digest is that of the run in one piece."""
    found, expected = digest(out), digest(reference(folder, *overrides))
    expect(found == expected, f"digest {found}; in one piece {expected}")
