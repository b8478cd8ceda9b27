"""Spikes on disk: segments that each rank closes as it goes, and the SONATA file they are merged into.

- `segments/spikes.rank0003.0007.h5`: step (uint64), gid (uint64), sorted by step; attributes dt, rank, and until:
  the last step of which this rank has written all spikes. Sealed, see sealed.py.
- `spikes.h5`: /spikes/<population>/timestamps (float64, ms) and node_ids (uint64), sorted by time, then id; its
  attribute distsim_last_step says up to where.

A finished run may go on: what is merged already is the base, to which the segments add later steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from distsim.errors import ResultError
from distsim.io.files import LAST_STEP, mark_sonata, segment_path, segments, step_times
from distsim.io.new_hdf5 import new_hdf5
from distsim.io.safe_hdf5 import child, dataset, names, number, open_hdf5, whole
from distsim.io.sealed import check_seal, sealing
from distsim.io.streams import SpikeStream, advance

Array64 = npt.NDArray[np.uint64]

SPIKES_FILE = "spikes.h5"
WINDOW_SPIKES = 4_000_000  # held at once while merging: 64 MB of steps and ids
CHUNK = 8_192  # HDF5 chunk of the merged datasets, in spikes
_SORTING = h5py.enum_dtype({"none": 0, "by_id": 1, "by_time": 2}, basetype="u1")


@dataclass(frozen=True)
class SpikePopulation:
    """A population whose spikes are written: global ids first_gid … first_gid + size - 1."""

    name: str
    first_gid: int
    size: int


class SpikeSegments:
    """The spike segments of one rank, of which `index` are there; every `write` leaves one more closed file."""

    def __init__(self, directory: Path, rank: int, index: int = 0) -> None:
        self.directory = Path(directory)
        self.rank = rank
        self.index = index

    def write(self, step: Array64, gid: Array64, dt: float, until: int | None = None) -> Path:
        """Write one segment.

        Parameters
        ----------
        step
            uint64[n], ascending: steps at whose ends the spikes happened.
        gid
            uint64[n]: global ids of the neurons.
        dt
            Time step in ms.
        until
            The last step that is complete; by default that of the last spike.

        Raises
        ------
        ResultError
            Unequal lengths, steps out of order, or the file cannot be written.
        """
        step, gid = np.asarray(step, dtype=np.uint64), np.asarray(gid, dtype=np.uint64)
        path = segment_path(self.directory, "spikes", self.rank, self.index)
        if step.ndim != 1 or step.shape != gid.shape:
            raise ResultError(f"{path}: found {step.shape} steps and {gid.shape} ids; allowed: two equal lengths")
        if np.any(step[1:] < step[:-1]):
            raise ResultError(f"{path}: found steps out of order; allowed: ascending steps")
        last = int(step[-1]) if step.size else 0
        with sealing(path) as file:
            file.attrs["dt"] = float(dt)
            file.attrs["rank"] = self.rank
            file.attrs["until"] = np.uint64(last if until is None else until)
            file.create_dataset("step", data=step)
            file.create_dataset("gid", data=gid)
        self.index += 1
        return path


def merge_spikes(
    directory: Path, populations: Sequence[SpikePopulation], dt: float, window_spikes: int = WINDOW_SPIKES,
    *, last: int | None = None, base: Path | None = None, target: Path | None = None,
) -> dict[str, int]:  # fmt: skip
    """Merge all ranks' segments into `spikes.h5`, chunk by chunk in time. The segments stay.

    Parameters
    ----------
    directory
        The output directory.
    populations
        Whose spikes there are; one without spikes gets empty datasets.
    dt
        Time step in ms; must be that of the segments.
    window_spikes
        About as many spikes are held at once.
    last
        The last step that is complete, written into the file.
    base
        What was merged before: its spikes come first, and segments count from the step after it.
    target
        The file to write; by default the directory's spikes.h5.

    Returns
    -------
    dict
        Number of spikes written, per population.

    Raises
    ------
    ResultError
        A segment is unreadable, damaged, of another dt, or holds a spike of no population.
    """
    directory = Path(directory)
    found = segments(directory, "spikes")
    after = merged_until(base) if base is not None else 0
    ranks = sorted({n.rank for n in found})
    streams = [SpikeStream([n.path for n in found if n.rank == rank], dt, after) for rank in ranks]
    owners = _Owners(populations)
    counts = dict.fromkeys((p.name for p in populations), 0)
    with new_hdf5(target or directory / SPIKES_FILE) as (file, check):
        mark_sonata(file)
        if last is not None:
            file.attrs[LAST_STEP] = np.uint64(max(last, after))
        root = file.create_group("spikes")
        for population in populations:
            _create_population(root, population.name)
        if base is not None:
            _copy(base, root, counts, window_spikes, check)
        while (chunk := advance(streams, window_spikes)) is not None:
            for population, step, local in owners.split(*chunk):
                _append(root[population.name], step_times(step, dt), local)
                counts[population.name] += len(step)
            check()
    return counts


def merged_until(path: Path) -> int:
    """The last step that a merged spikes.h5 or states.h5 holds."""
    with open_hdf5(path) as file:
        return int(number(file, LAST_STEP))


def _copy(
    base: Path, root: h5py.Group, counts: dict[str, int], window_spikes: int, check: Callable[[], None]
) -> None:  # fmt: skip
    """All spikes of a merged file, into the populations of another."""
    with open_hdf5(base) as file:
        for name in names(child(file, "spikes")):
            if name not in counts:
                raise ResultError(f"{base}: found population {name!r}; allowed: {', '.join(counts)}")
            group = child(file, f"spikes/{name}")
            times, ids = dataset(group, "timestamps", "f", 1), dataset(group, "node_ids", "u", 1)
            if times.shape != ids.shape:
                raise ResultError(f"{base}: {name}: found {times.shape[0]} times and {ids.shape[0]} ids")
            for begin in range(0, times.shape[0], window_spikes):
                here = slice(begin, begin + window_spikes)
                _append(root[name], times[here], ids[here])
                check()
            counts[name] += times.shape[0]


def read_spikes(path: Path | str) -> dict[str, tuple[npt.NDArray[np.float64], Array64]]:
    """All spikes of a SONATA file: per population (timestamps in ms, node ids), in the order of the file.

    Raises
    ------
    ResultError
        The file is missing or no SONATA spike file.
    """
    with open_hdf5(path) as file:
        root = child(file, "spikes")
        return {
            name: (whole(root, f"{name}/timestamps", "f"), whole(root, f"{name}/node_ids", "ui"))
            for name in names(root)
        }


def read_segment(path: Path) -> tuple[Array64, Array64, int]:
    """A whole segment: (steps, gids, the last step that is complete)."""
    check_seal(path)
    with open_hdf5(path) as file:
        return whole(file, "step", "u"), whole(file, "gid", "u"), int(number(file, "until"))


class _Owners:
    """Finds the population of each global id."""

    def __init__(self, populations: Sequence[SpikePopulation]) -> None:
        self.populations = sorted(populations, key=lambda p: p.first_gid)
        self.first = np.array([p.first_gid for p in self.populations], dtype=np.uint64)
        self.end = np.array([p.first_gid + p.size for p in self.populations], dtype=np.uint64)

    def split(self, step: Array64, gid: Array64) -> list[tuple[SpikePopulation, Array64, Array64]]:
        """Per population that occurs: (population, steps, local ids), sorted by step, then id."""
        order = np.lexsort((gid, step))
        step, gid = step[order], gid[order]
        owner = np.searchsorted(self.first, gid, side="right") - 1
        lost = owner < 0
        lost[~lost] = gid[~lost] >= self.end[owner[~lost]]
        if lost.any():
            raise ResultError(f"segments: found a spike of neuron {int(gid[lost][0])}; allowed: recorded populations")
        parts = []
        for i in np.unique(owner):
            mine = owner == i
            parts.append((self.populations[int(i)], step[mine], gid[mine] - self.first[i]))
        return parts


def _create_population(root: h5py.Group, name: str) -> None:
    group = root.create_group(name)
    group.attrs.create("sorting", 2, dtype=_SORTING)
    times = group.create_dataset("timestamps", (0,), np.float64, maxshape=(None,), chunks=(CHUNK,))
    times.attrs["units"] = "milliseconds"
    group.create_dataset("node_ids", (0,), np.uint64, maxshape=(None,), chunks=(CHUNK,))


def _append(group: h5py.Group, times: npt.NDArray[np.float64], ids: Array64) -> None:
    for column, values in ((group["timestamps"], times), (group["node_ids"], ids)):
        start = column.shape[0]
        column.resize((start + len(values),))
        column[start:] = values
