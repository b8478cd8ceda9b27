"""Population rates on disk: counts of spikes in bins, in segments of each rank, and merged into one file.

- `segments/rates.rank0003.0007.h5`: counts (uint64[bins, populations]); attributes first_bin, after, until: the spikes
  of this rank in the steps after … until. Sealed, see sealed.py.
- `rates.h5`: /rates/<population>/counts (uint64) and bin_start (float64, ms); attributes size (neurons), bin (ms), and
  stop (ms): where the last bin ends, which may be before it is full. Bins are left-open: a spike at bin_start belongs
  to the bin before.

Counts add up: the merged file is the sum over ranks and segments, whoever counted what when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from distsim.errors import ResultError
from distsim.io.files import LAST_STEP, segment_path, segments, step_times
from distsim.io.new_hdf5 import new_hdf5
from distsim.io.safe_hdf5 import child, dataset, names, number, open_hdf5, whole
from distsim.io.sealed import check_seal, sealing

RATES_FILE = "rates.h5"
WINDOW_COUNTS = 2**20  # held at once while merging


@dataclass(frozen=True)
class RateReport:
    """What was counted: populations with their sizes, in bins of so many steps of `dt` ms after step `first`."""

    populations: Mapping[str, int]
    steps: int
    first: int
    dt: float

    def edges(self, begin: int, end: int, last: int) -> npt.NDArray[np.float64]:
        """Times (ms) between the bins begin … end - 1, of which the last is cut by the step `last`."""
        at = np.minimum(self.first + self.steps * np.arange(begin, end + 1, dtype=np.int64), last)
        return step_times(at.astype(np.uint64), self.dt)

    def bins(self, last: int) -> int:
        """How many bins the steps up to `last` touch."""
        return max(0, -((self.first - last) // self.steps))


@dataclass(frozen=True)
class RateBins:
    """Spikes of one population in bins.

    Attributes
    ----------
    start, stop
        float64[n], ms: the bin is (start, stop]. The first and the last may be shorter than the others.
    counts
        int64[n]: spikes of all neurons.
    size
        Number of neurons.
    """

    start: npt.NDArray[np.float64]
    stop: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    size: int

    @property
    def rates(self) -> npt.NDArray[np.float64]:
        """Mean rate of a neuron, Hz: float64[n]."""
        return self.counts * 1000.0 / (self.size * (self.stop - self.start))


@dataclass(frozen=True)
class _Segment:
    path: Path
    first_bin: int
    bins: int
    until: int  # the last step that is counted


class RateSegments:
    """The rate segments of one rank, of which `index` are there; every `write` leaves one more closed file."""

    def __init__(self, directory: Path, rank: int, index: int = 0) -> None:
        self.directory, self.rank = Path(directory), rank
        self.index = index

    def write(self, first_bin: int, counts: npt.NDArray[np.uint64], after: int, until: int) -> Path:
        """Write the counts (uint64[bins, populations]) of the steps after … until, or ResultError."""
        path = segment_path(self.directory, "rates", self.rank, self.index)
        with sealing(path) as file:
            file.attrs["first_bin"] = np.uint64(first_bin)
            file.attrs["after"] = np.uint64(after)
            file.attrs["until"] = np.uint64(until)
            file.attrs["rank"] = self.rank
            file.create_dataset("counts", data=counts)
        self.index += 1
        return path


def merge_rates(
    directory: Path, report: RateReport, last: int, *, base: Path | None = None, target: Path | None = None,
    window: int = WINDOW_COUNTS,
) -> None:  # fmt: skip
    """Add up all ranks' segments, window by window of bins, into `rates.h5`. The segments stay.

    Parameters
    ----------
    last
        The last step that is complete.
    base
        What was merged before; segments count from the step after it.

    Raises
    ------
    ResultError
        A segment is damaged, or of other populations.
    """
    directory = Path(directory)
    after = 0
    if base is not None:
        with open_hdf5(base) as file:
            after = int(number(file, LAST_STEP))
            found = names(child(file, "rates"))
        if set(found) != set(report.populations):
            raise ResultError(f"{base}: found the populations {found}; allowed: {list(report.populations)}")
    parts = [p for p in (_segment(s.path, len(report.populations), after) for s in segments(directory, "rates")) if p]
    last = max(last, after)
    n = report.bins(last)
    rows = max(1, window // max(1, len(report.populations)))
    with new_hdf5(target or directory / RATES_FILE) as (file, check):
        file.attrs[LAST_STEP] = np.uint64(last)
        stop = float(step_times(np.array([last], np.uint64), report.dt)[0])
        width = float(step_times(np.array([report.steps], np.uint64), report.dt)[0])
        for name, size in report.populations.items():
            group = file.create_group(f"rates/{name}")
            group.attrs.update({"size": np.uint64(size), "bin": width, "stop": stop, "units": "ms"})
            chunks = (min(n, 8192),) if n else None
            group.create_dataset("counts", (n,), np.uint64, chunks=chunks)
            group.create_dataset("bin_start", (n,), np.float64, chunks=chunks).attrs["units"] = "ms"
        for begin in range(0, n, rows):
            end = min(n, begin + rows)
            counts = _sum(parts, begin, end, len(report.populations))
            if base is not None:
                _add_base(base, counts, list(report.populations), begin, end)
            edges = report.edges(begin, end, last)
            for k, name in enumerate(report.populations):
                file[f"rates/{name}/counts"][begin:end] = counts[:, k]
                file[f"rates/{name}/bin_start"][begin:end] = edges[:-1]
            check()


def _segment(path: Path, columns: int, after: int) -> _Segment | None:
    """A segment's place; None where it is merged already."""
    check_seal(path)
    with open_hdf5(path) as file:
        shape = dataset(file, "counts", "u", 2).shape
        begin, until = int(number(file, "after")), int(number(file, "until"))
        first = int(number(file, "first_bin"))
    if shape[1] != columns:
        raise ResultError(f"{path}: found counts of {shape[1]} populations; allowed: {columns}")
    if until <= after:
        return None
    if begin < after:
        raise ResultError(
            f"{path}: counts the steps {begin + 1} to {until}; allowed: after step {after}, merged before"
        )
    return _Segment(path, first, shape[0], until)


def _sum(parts: Sequence[_Segment], begin: int, end: int, columns: int) -> npt.NDArray[np.uint64]:
    """Counts of the bins begin … end - 1 over all segments: uint64[end - begin, columns]."""
    counts = np.zeros((end - begin, columns), np.uint64)
    for part in parts:
        low, high = max(begin, part.first_bin), min(end, part.first_bin + part.bins)
        if low < high:
            with open_hdf5(part.path) as file:
                here = dataset(file, "counts", "u", 2)[low - part.first_bin : high - part.first_bin]
            counts[low - begin : high - begin] += here
    return counts


def _add_base(base: Path, counts: npt.NDArray[np.uint64], populations: Sequence[str], begin: int, end: int) -> None:
    with open_hdf5(base) as file:
        for k, name in enumerate(populations):
            here = dataset(child(file, f"rates/{name}"), "counts", "u", 1)[begin:end]
            counts[: here.size, k] += here


def read_rates(path: Path | str) -> dict[str, RateBins]:
    """The counts in a rates.h5: population → RateBins; or ResultError."""
    with open_hdf5(path) as file:
        found = {}
        for name in names(child(file, "rates")):
            group = child(file, f"rates/{name}")
            start, counts = whole(group, "bin_start", "f"), whole(group, "counts", "u").astype(np.int64)
            stop = np.append(start[1:], number(group, "stop")) if start.size else start
            found[name] = RateBins(start, stop, counts, int(number(group, "size")))
        return found


def read_rates_so_far(directory: Path, report: RateReport, ranks: int, first_step: int) -> dict[str, RateBins]:
    """The bins of an unfinished run that every rank has counted to their ends.

    Parameters
    ----------
    ranks, first_step
        On how many ranks the run goes on, and after which step.
    """
    merged = directory / RATES_FILE
    after, base = 0, None
    if merged.is_file():
        with open_hdf5(merged) as file:
            after, base = int(number(file, LAST_STEP)), merged
    parts: list[_Segment] = []
    last = dict.fromkeys(range(ranks), first_step)
    for name in segments(directory, "rates"):
        part = _segment(name.path, len(report.populations), after)
        if part is not None:
            parts.append(part)
            if name.rank in last:
                last[name.rank] = max(last[name.rank], part.until)
    until = max(after, min(last.values()))
    n = max(0, (until - report.first) // report.steps)
    counts = _sum(parts, 0, n, len(report.populations))
    if base is not None:
        _add_base(base, counts, list(report.populations), 0, n)
    edges = report.edges(0, n, until)
    return {
        name: RateBins(edges[:-1], edges[1:], counts[:, k].astype(np.int64), size)
        for k, (name, size) in enumerate(report.populations.items())
    }
