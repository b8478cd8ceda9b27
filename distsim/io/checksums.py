"""SHA-256 of the results of a finished run, in a file that `sha256sum -c` understands.

Results are replaced together: while they are, the file lists old and new hashes, so that a run that dies in the
middle can tell which of its files are whole.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from distsim.errors import ResultError
from distsim.io.files import sync_directory, writing

CHECKSUMS_FILE = "checksums.sha256"
_LINE = re.compile(r"([0-9a-f]{64})  ([\w.-]+)")


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise ResultError(f"{path}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()


def read_checksums(directory: Path) -> dict[str, set[str]]:
    """File name → its hashes: one, or two where the results were being replaced. Empty without a finished run."""
    try:
        lines = (directory / CHECKSUMS_FILE).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ResultError(f"{directory / CHECKSUMS_FILE}: cannot be read ({error})") from error
    found: dict[str, set[str]] = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ResultError(f"{directory / CHECKSUMS_FILE}: found {line[:80]!r}; allowed: HASH  NAME")
        found.setdefault(match[2], set()).add(match[1])
    return found


def is_whole(directory: Path, name: str) -> bool:
    """Whether a result is there as it was written."""
    try:
        known = read_checksums(directory).get(name, set())
        return (directory / name).is_file() and file_hash(directory / name) in known
    except ResultError:
        return False


def publish(directory: Path, fresh: Mapping[str, Path]) -> None:
    """Rename complete temporary files to their names in `directory`, each name of `fresh` at once with its hash.

    Raises
    ------
    ResultError
        The file system refused; what was there before is whole, or replaced.
    """
    try:
        old = read_checksums(directory)
    except ResultError:
        old = {}
    new = {name: {file_hash(path)} for name, path in fresh.items()}
    _write(directory, {name: old.get(name, set()) | hashes for name, hashes in new.items()})
    try:
        for name, path in fresh.items():
            os.replace(path, directory / name)
        sync_directory(directory)
    except OSError as error:
        raise ResultError(f"{directory}: cannot be written ({error.strerror or error})") from error
    _write(directory, new)


def _write(directory: Path, hashes: Mapping[str, set[str]]) -> None:
    lines = [f"{digest}  {name}\n" for name, found in hashes.items() for digest in sorted(found)]
    with writing(directory / CHECKSUMS_FILE) as temporary:
        temporary.write_text("".join(lines), "utf-8")
