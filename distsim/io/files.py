"""What all result files share: atomic writing, SONATA's root attributes, names of segments.

A file appears under its own name only when it is complete: it is written under a temporary name, closed,
and renamed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from distsim.errors import DistsimError, ResultError

SEGMENTS = "segments"  # folder of segment files inside an output directory
TEMPORARY = ".writing"  # suffix of unfinished files
LAST_STEP = "distsim_last_step"  # attribute of merged files
SONATA_MAGIC = 0x0A7A
SONATA_VERSION = (0, 1)
_SEGMENT_NAME = re.compile(r"(spikes|states|rates)\.rank(\d{4,})\.(\d{4,})\.h5")
_EXACT = 2**53  # whole numbers up to here are exact in double precision


@dataclass(frozen=True, order=True)
class SegmentName:
    """The parts of a segment's file name; sorts by rank, then index."""

    rank: int
    index: int
    path: Path


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it on success and removed on failure.

    Raises
    ------
    ResultError
        The file system refused; names the file.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if temporary.is_symlink():  # nothing of ours: what it leads to is not written to
            temporary.unlink()
        yield temporary
        with open(temporary, "rb") as complete:
            os.fsync(complete.fileno())  # a machine that stops must not leave an empty file under the name
        os.replace(temporary, path)
        sync_directory(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        # HDF5 says RuntimeError where the disk is full when it closes a file.
        if isinstance(error, (OSError, RuntimeError)) and not isinstance(error, DistsimError):
            raise ResultError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from error
        raise


def sync_directory(directory: Path) -> None:
    """Make the names in a directory last: a rename is complete only when its directory is on the disk."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def segment_path(directory: Path, kind: str, rank: int, index: int) -> Path:
    """Where segment `index` of `rank` lies; `kind` is "spikes", "states" or "rates"."""
    return directory / SEGMENTS / f"{kind}.rank{rank:04d}.{index:04d}.h5"


def segments(directory: Path, kind: str) -> list[SegmentName]:
    """All closed segments of `kind`, by rank and index."""
    found = []
    folder = directory / SEGMENTS
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _SEGMENT_NAME.fullmatch(path.name)
        if match and match[1] == kind:
            found.append(SegmentName(int(match[2]), int(match[3]), path))
    return sorted(found)


def is_segment(path: Path) -> bool:
    """Whether the file name is a segment's, closed or unfinished."""
    return _SEGMENT_NAME.fullmatch(path.name.removesuffix(TEMPORARY)) is not None


def delete_segments(names: list[SegmentName]) -> None:
    """Remove the files, and their folder once it is empty."""
    for name in names:
        name.path.unlink(missing_ok=True)
    for folder in {name.path.parent for name in names}:
        remove_empty(folder)


def remove_empty(folder: Path) -> None:
    """Remove a folder with nothing in it; a link to one, which a user has put there, stays."""
    if not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()


def mark_sonata(file: h5py.File) -> None:
    """Write SONATA's root attributes."""
    file.attrs["magic"] = np.uint32(SONATA_MAGIC)
    file.attrs["version"] = np.array(SONATA_VERSION, dtype=np.uint32)


def step_times(steps: npt.NDArray[np.uint64], dt: float) -> npt.NDArray[np.float64]:
    """Times in ms of the ends of `steps` (float64, as many): the doubles nearest to step * dt.

    `dt` counts as the decimal number that it prints as, so that step 3 of 0.1 ms is 0.3 and not
    0.30000000000000004: one correctly rounded division of two whole numbers.
    """
    exact = Fraction(repr(float(dt)))
    largest = int(steps.max()) if steps.size else 0
    if exact.denominator < _EXACT and largest * exact.numerator < _EXACT:
        return (steps * np.uint64(exact.numerator)).astype(np.float64) / float(exact.denominator)
    return steps.astype(np.float64) * dt


def times_to_steps(times: npt.NDArray[np.float64], dt: float) -> npt.NDArray[np.uint64]:
    """The steps that `step_times` gives these times for (uint64); the nearest, where a time is none of them."""
    return np.rint(np.maximum(times, 0.0) / dt).astype(np.uint64)
