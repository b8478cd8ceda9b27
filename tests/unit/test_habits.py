"""Habits of the house that no linter keeps."""

from __future__ import annotations

import ast
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


# What Python 3.11 and later have in modules that 3.10 has too, of what is likely to be met.
TOO_NEW = {
    "typing": {"Self", "Never", "LiteralString", "Required", "NotRequired", "Unpack", "TypeVarTuple", "assert_never",
               "assert_type", "reveal_type", "dataclass_transform", "override", "TypeAliasType"},
    "enum": {"StrEnum", "verify", "member", "nonmember"}, "datetime": {"UTC"}, "contextlib": {"chdir"},
    "hashlib": {"file_digest"}, "itertools": {"batched"}, "math": {"cbrt", "exp2", "sumprod"}, "operator": {"call"},
    "collections.abc": {"Buffer"},
}  # fmt: skip
NEW_MODULES = {"tomllib"}


def too_new(source: str) -> list[str]:
    """What a module takes when it is imported, and Python 3.10 does not have."""
    tree = ast.parse(source, feature_version=(3, 10))
    found = []
    for_readers = {
        inner for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }  # fmt: skip
    for node in (x for x in ast.walk(tree) if x not in for_readers):
        if isinstance(node, ast.ImportFrom):
            new = {a.name for a in node.names} & TOO_NEW.get(node.module or "", set())
            found += [f"{node.module}.{name}" for name in sorted(new)] + [m for m in NEW_MODULES if m == node.module]
        elif isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name in NEW_MODULES]
        elif isinstance(node, ast.Attribute) and node.attr in TOO_NEW.get(ast.unparse(node.value), set()):
            found.append(ast.unparse(node))
    return found


def test_the_oldest_python_has_all_that_is_imported(repo_root: Path) -> None:
    """`typing.Self` alone once kept every user of Python 3.10 out, unseen by a CI of 3.11."""
    assert "python_requires = >=3.10" in (repo_root / "setup.cfg").read_text()
    assert too_new("from typing import Any, Self\nimport hashlib\nhashlib.file_digest(1)") != []
    assert too_new("if TYPE_CHECKING:\n    from typing import Self\n") == []
    found = {str(x): too_new(x.read_text()) for x in sorted((repo_root / "distsim").rglob("*.py"))}
    assert len(found) > 200 and {name: names for name, names in found.items() if names} == {}
