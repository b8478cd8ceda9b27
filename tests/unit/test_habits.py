"""Habits of the house that no linter keeps."""

from __future__ import annotations

from pathlib import Path

MOST_LINES = 400
SOURCES = (".py", ".cpp", ".h", ".sh", "")  # scripts of launch and slurm have no ending
ROOMS = ("distsim", "tests", "docs", "launch", "slurm")
# Files that are longer still, and how long they may stay: to be made shorter, never longer.
LONGER: dict[str, int] = {}


def lengths(root: Path) -> dict[str, int]:
    """Lines of each source file below `root`'s rooms."""
    files = [x for room in ROOMS for x in (root / room).rglob("*") if x.suffix in SOURCES and x.is_file()]
    return {str(x.relative_to(root)): x.read_bytes().count(b"\n") for x in files}


def test_files_are_short_enough_to_be_read(repo_root: Path) -> None:
    """A file beyond 400 lines is asking to be two: split it along a seam, not by counting."""
    found = lengths(repo_root)
    assert len(found) > 300, "the rooms were not found"
    assert {name: n for name, n in found.items() if n > LONGER.get(name, MOST_LINES)} == {}
