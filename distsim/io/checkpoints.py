"""Checkpoints on disk: a folder for each, one file a rank, and a manifest that makes it valid.

    DIR/checkpoints/000000012000/rank0000.npz …, manifest.json

Every file is written under a temporary name, synced and renamed. The manifest is written last, by rank 0, and holds
size and SHA-256 of every file and of itself: a folder without a manifest that holds is not a checkpoint. What was
valid before stays until the new one is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy.typing as npt

from distsim.errors import ResultError
from distsim.io.arrays import Stored, parse_arrays, read_stored
from distsim.io.files import TEMPORARY, remove_empty, segment_path, segments, sync_directory, writing
from distsim.io.parts import check_part
from distsim.io.sealed import check_seal

CHECKPOINTS = "checkpoints"  # folder inside an output directory
# Paths intern their parts, and forget them with the last path. Names that come again and again are held here: a table
# of Python's that takes up each anew doubles (940 kB) after some ten thousand.
MANIFEST = sys.intern("manifest.json")
FORMAT = 1
MOST_MANIFEST_BYTES = 2**28
_FOLDER = re.compile(r"\d{12,13}")
_FILE = re.compile(r"rank\d{4,}\.npz")
KINDS = ("spikes", "states", "rates")


@dataclass(frozen=True)
class Totals:
    """What the measured part of a run has taken so far, over all ranks and all earlier parts of the run.

    `seconds` are means over ranks by phase; `simulate` is wall-clock time of the measured part, `wall` of all.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    simulate: float = 0.0
    wall: float = 0.0
    events: int = 0
    parts: int = 0  # how often the run was interrupted


@dataclass(frozen=True)
class Manifest:
    """What makes a folder a checkpoint.

    Attributes
    ----------
    version
        Of distsim: another one may compute other bits.
    step
        The last step computed.
    config
        The experiment as far as it decides results; see config/identity.py.
    files
        One for each rank of then.
    segments
        Kind → for each rank how many segments belong to the steps so far.
    merged
        The last step that the merged spikes.h5 held already when the run went on; 0 without one.
    """

    version: str
    step: int
    config: Mapping[str, Any]
    files: tuple[Stored, ...]
    segments: Mapping[str, list[int]]
    merged: int = 0
    totals: Totals = Totals()


def folder_of(directory: Path, step: int) -> Path:
    """Where the checkpoint of `step` lies."""
    return directory / CHECKPOINTS / _folder_name(step)


@lru_cache(maxsize=8)
def _folder_name(step: int) -> str:
    return sys.intern(f"{step:012d}")


def part_path(directory: Path, step: int, rank: int) -> Path:
    """The file of one rank."""
    return folder_of(directory, step) / part_name(rank)


@cache
def part_name(rank: int) -> str:
    """The name of a rank's file."""
    return sys.intern(f"rank{rank:04d}.npz")


def read_part(folder: Path, manifest: Manifest, index: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of one of the manifest's files, or ResultError."""
    stored = manifest.files[index]
    arrays = parse_arrays(read_stored(folder, stored), str(folder / stored.name))
    check_part(arrays, manifest.step, index == 0, str(folder / stored.name))
    return arrays


def dump_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON, with the hash of itself."""
    content = {"format": FORMAT, **dataclasses.asdict(manifest)}
    body = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return json.dumps({**content, "sha256": _hash(body)}, ensure_ascii=False, allow_nan=False).encode()


def parse_manifest(data: bytes, origin: str) -> Manifest:
    """The manifest in `data`.

    Raises
    ------
    ResultError
        It is damaged, of another format, or names a file that no checkpoint has.
    """
    try:
        content = json.loads(data)
        claimed = content.pop("sha256")
        if _hash(json.dumps(content, ensure_ascii=False, allow_nan=False)) != claimed:
            raise ResultError(f"{origin}: is damaged: its SHA-256 is not its own")
        if content.pop("format") != FORMAT:
            raise ResultError(f"{origin}: is of another format; allowed: {FORMAT}")
        files = tuple(Stored(str(f["name"]), int(f["bytes"]), str(f["sha256"])) for f in content.pop("files"))
        totals = Totals(**content.pop("totals"))
        manifest = Manifest(files=files, totals=totals, **content)
        listed = {kind: [_whole(n) for n in _list(manifest.segments.get(kind, []))] for kind in KINDS}
        manifest = dataclasses.replace(
            manifest, version=str(manifest.version), step=_whole(manifest.step), merged=_whole(manifest.merged),
            config=dict(manifest.config), segments=listed, totals=_checked(totals),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ResultError(f"{origin}: cannot be read as a manifest ({error})") from error
    wrong = [f.name for rank, f in enumerate(files) if f.name != part_name(rank)]
    if wrong or not files:
        raise ResultError(f"{origin}: names the files {wrong}; allowed: {part_name(0)}, {part_name(1)} …")
    return manifest


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ValueError(f"found {str(value)[:40]!r}; allowed: a whole number")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"found {str(value)[:40]!r}; allowed: a list")
    return value


def _checked(totals: Totals) -> Totals:
    """With numbers for numbers."""
    seconds = {str(name): float(value) for name, value in totals.seconds.items()}
    return Totals(seconds, float(totals.simulate), float(totals.wall), _whole(totals.events), _whole(totals.parts))


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a checkpoint's folder, or ResultError."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MOST_MANIFEST_BYTES:
            raise ResultError(f"{path}: is larger than {MOST_MANIFEST_BYTES >> 20} MiB")
        manifest = parse_manifest(path.read_bytes(), str(path))
    except OSError as error:
        if isinstance(error, ResultError):
            raise
        raise ResultError(f"{path}: cannot be read ({error.strerror or error})") from error
    if folder.name != f"{manifest.step:012d}":
        raise ResultError(f"{path}: is of step {manifest.step}, in the folder {folder.name}")
    return manifest


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Make the files of a checkpoint valid, for good."""
    folder = folder_of(directory, manifest.step)
    sync_directory(folder)
    with writing(folder / MANIFEST) as temporary:
        temporary.write_bytes(dump_manifest(manifest))
    sync_directory(folder.parent)
    sync_directory(directory)


def folders(directory: Path) -> list[Path]:
    """Folders of checkpoints, valid or not, the newest first."""
    root = directory / CHECKPOINTS
    there = root.iterdir() if root.is_dir() else ()
    # A link is no folder of ours: what it leads to is neither read nor removed.
    found = [p for p in there if _FOLDER.fullmatch(p.name) and p.is_dir() and not p.is_symlink()]
    return sorted(found, key=lambda p: int(p.name), reverse=True)


def clear_folder(directory: Path, step: int) -> Path:
    """An empty folder for the checkpoint of `step`; what an interrupted attempt left there is no longer valid."""
    folder = folder_of(directory, step)
    try:
        remove_checkpoint(folder)
        folder.mkdir(parents=True)
    except OSError as error:
        raise ResultError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint, its manifest first: half of one is none."""
    if not folder.is_dir() or folder.is_symlink():
        return
    (folder / MANIFEST).unlink(missing_ok=True)
    sync_directory(folder)
    for path in folder.iterdir():
        if _FILE.fullmatch(path.name.removesuffix(TEMPORARY)) or path.name == MANIFEST + TEMPORARY:
            path.unlink()
    remove_empty(folder)


def remove_all(directory: Path) -> None:
    """Remove every checkpoint of an output directory."""
    for folder in folders(directory):
        remove_checkpoint(folder)
    root = directory / CHECKPOINTS
    if root.is_dir():
        remove_empty(root)


def prune(directory: Path, keep: int) -> None:
    """Leave the newest `keep` that have a manifest, and nothing older or half-written."""
    complete = [f for f in folders(directory) if (f / MANIFEST).is_file()]
    for folder in folders(directory):
        if folder not in complete[:keep]:
            remove_checkpoint(folder)


def check_segments(directory: Path, manifest: Manifest, share: int = 0, shares: int = 1) -> None:
    """Raise ResultError unless the segments of the manifest are there and whole; of `shares` only one share."""
    listed = ((kind, rank, i) for kind in KINDS for rank, n in enumerate(manifest.segments[kind]) for i in range(n))
    for kind, rank, index in islice(listed, share, None, shares):  # one by one: the first that is missing ends it
        check_seal(segment_path(directory, kind, rank, index))


def drop_later_segments(directory: Path, manifest: Manifest | None) -> None:
    """Remove every segment that the manifest does not count, and unfinished ones; without a manifest all."""
    for kind in KINDS:
        counts = manifest.segments[kind] if manifest is not None else []
        for name in segments(directory, kind):
            if name.rank >= len(counts) or name.index >= counts[name.rank]:
                name.path.unlink()
    folder = directory / "segments"
    if folder.is_dir():
        for path in folder.glob(f"*.h5{TEMPORARY}"):
            path.unlink()
        if manifest is None:
            remove_empty(folder)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
