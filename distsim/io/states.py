"""Recorded state variables on disk: segments of each rank, and the SONATA report they are merged into.

- `segments/states.rank0003.0007.h5`: data (samples x neurons x variables), node_ids; attributes population,
  first_sample, rank. Sealed, see sealed.py.
- `states.h5`: /report/<population>/data (time x (neurons * variables)) and mapping.

In the report each neuron has one element per variable, in the order of the data set's attribute `variables`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from distsim.errors import ResultError
from distsim.io.files import LAST_STEP, mark_sonata, segment_path, segments
from distsim.io.new_hdf5 import new_hdf5
from distsim.io.safe_hdf5 import child, dataset, number, open_hdf5, text, whole
from distsim.io.sealed import check_seal, sealing

STATES_FILE = "states.h5"
WINDOW_BYTES = 64 * 2**20  # of data held at once while merging


@dataclass(frozen=True)
class StateReport:
    """What was recorded of one population: `variables` with their `units`, every `interval` ms from `start` ms on."""

    population: str
    variables: tuple[str, ...]
    units: tuple[str, ...]
    start: float  # time of sample 0, ms
    interval: float  # ms


@dataclass(frozen=True)
class _Segment:
    """One segment's place in the report: rows first … first + samples - 1, columns by neuron."""

    path: Path
    place: str  # of the data: [samples, neurons, variables], or the last two in one dimension
    first: int
    samples: int
    node_ids: npt.NDArray[np.uint64]
    variables: int
    dtype: np.dtype[Any]
    skip: int = 0  # samples at the front that the base has already


class StateSegments:
    """The state segments of one rank, of which `index` are there; every `write` leaves one more closed file."""

    def __init__(self, directory: Path, rank: int, index: int = 0) -> None:
        self.directory = Path(directory)
        self.rank = rank
        self.index = index

    def write(
        self,
        population: str,
        first_sample: int,
        data: npt.NDArray[np.floating[Any]],
        node_ids: npt.NDArray[np.uint64],
    ) -> Path:
        """Write some samples of this rank's recorded neurons of one population.

        Parameters
        ----------
        population
            Its name.
        first_sample
            Number of the first sample, counted from the start of the recording.
        data
            float32 or float64 [samples, neurons, variables].
        node_ids
            uint64[neurons]: population-local ids.

        Raises
        ------
        ResultError
            Shapes or dtype do not fit, or the file cannot be written.
        """
        path = segment_path(self.directory, "states", self.rank, self.index)
        if data.ndim != 3 or data.shape[1] != len(node_ids) or data.dtype not in (np.float32, np.float64):
            found = f"{data.dtype}{list(data.shape)} for {len(node_ids)} neurons"
            raise ResultError(f"{path}: found {found}; allowed: float32 or float64 [samples, neurons, variables]")
        with sealing(path) as file:
            file.attrs["population"] = population
            file.attrs["first_sample"] = first_sample
            file.attrs["rank"] = self.rank
            file.create_dataset("data", data=data)
            file.create_dataset("node_ids", data=np.asarray(node_ids, dtype=np.uint64))
        self.index += 1
        return path


def merge_states(
    directory: Path, reports: Sequence[StateReport], window_bytes: int = WINDOW_BYTES,
    *, last: int | None = None, base: Path | None = None, target: Path | None = None,
) -> None:  # fmt: skip
    """Merge all ranks' segments into the SONATA report `states.h5`, block by block in time. The segments stay.

    Without reports there is no file. Neurons are sorted by id. `base` is what was merged before: its samples
    come first. `target` is the file to write, by default the directory's states.h5; `last`, the last step that is
    complete, is written into it.

    Raises
    ------
    ResultError
        Segments disagree, are damaged, or leave a gap.
    """
    directory = Path(directory)
    if not reports:
        return
    found: dict[str, list[_Segment]] = {report.population: [] for report in reports}
    known: dict[bytes, npt.NDArray[np.uint64]] = {}  # thousands of segments have the same neurons: held once
    if base is not None:
        _add_base(base, found, reports)
    for name in segments(directory, "states"):
        check_seal(name.path)
        with open_hdf5(name.path) as file:
            population = text(file, "population")
            if population not in found:
                raise ResultError(f"{name.path}: found population {population!r}; allowed: {', '.join(found)}")
            data, nodes = dataset(file, "data", "f", 3), whole(file, "node_ids", "u").astype(np.uint64)
            nodes = known.setdefault(nodes.tobytes(), nodes)
            part = _Segment(
                name.path, "data", int(number(file, "first_sample")), data.shape[0], nodes, data.shape[2], data.dtype
            )
        there = found[population][0].samples if base is not None else 0
        if part.first + part.samples > there:
            skip = max(0, there - part.first)
            part = dataclasses.replace(part, first=part.first + skip, samples=part.samples - skip, skip=skip)
            found[population].append(part)
    with new_hdf5(target or directory / STATES_FILE) as (file, check):
        mark_sonata(file)
        if last is not None:
            file.attrs[LAST_STEP] = np.uint64(last)
        root = file.create_group("report")
        for report in reports:
            _merge_report(root.create_group(report.population), report, found[report.population], window_bytes, check)


def _add_base(base: Path, found: dict[str, list[_Segment]], reports: Sequence[StateReport]) -> None:
    """What is merged already, as the first segment of each report."""
    with open_hdf5(base) as file:
        for report in reports:
            group = child(file, f"report/{report.population}")
            data, nodes = dataset(group, "data", "f", 2), whole(group, "mapping/node_ids", "u")
            width = len(report.variables)
            if data.shape[1] != width * nodes.size:
                raise ResultError(
                    f"{base}: {report.population}: found {data.shape[1]} columns for {nodes.size} neurons"
                )
            place = f"report/{report.population}/data"
            found[report.population].append(_Segment(base, place, 0, data.shape[0], nodes, width, data.dtype))


def _merge_report(
    group: h5py.Group, report: StateReport, parts: list[_Segment], window_bytes: int, check: Callable[[], None]
) -> None:  # fmt: skip
    width = len(report.variables)
    for part in parts:
        if part.variables != width or part.dtype != parts[0].dtype:
            expected = f"{width} variables of {parts[0].dtype}"
            raise ResultError(f"{part.path}: found {part.variables} of {part.dtype}; allowed: {expected}")
    distinct_ids = {id(p.node_ids): p.node_ids for p in parts}.values()
    nodes = np.unique(np.concatenate([np.empty(0, np.uint64), *distinct_ids]))
    samples = max((p.first + p.samples for p in parts), default=0)
    _check_complete(report, parts, nodes, samples)
    dtype = parts[0].dtype if parts else np.dtype(np.float32)
    columns = len(nodes) * width
    rows = min(max(1, window_bytes // max(1, columns * dtype.itemsize)), max(1, samples))
    chunks = (min(rows, 256), min(columns, 1024)) if columns and samples else None
    data = group.create_dataset("data", (samples, columns), dtype, chunks=chunks)
    distinct = list(dict.fromkeys(report.units))
    data.attrs["units"] = distinct[0] if len(distinct) == 1 else ",".join(report.units)
    data.attrs["variables"] = list(report.variables)
    data.attrs["variable_units"] = list(report.units)
    _write_mapping(group.create_group("mapping"), report, nodes, samples)
    for start in range(0, samples, rows):
        data[start : start + rows] = _block(parts, nodes, width, start, min(samples, start + rows), dtype)
        check()


def _block(
    parts: list[_Segment], nodes: npt.NDArray[np.uint64], width: int, start: int, end: int, dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Samples start … end - 1 of all neurons: dtype [end - start, neurons * variables]."""
    block = np.empty((end - start, len(nodes), width), dtype)
    for part in parts:
        low, high = max(start, part.first), min(end, part.first + part.samples)
        if low < high:
            with open_hdf5(part.path) as file:
                values = dataset(file, part.place, "f")[low - part.first + part.skip : high - part.first + part.skip]
            values = values.reshape(high - low, part.node_ids.size, width)
            block[low - start : high - start, np.searchsorted(nodes, part.node_ids)] = values
    return block.reshape(end - start, len(nodes) * width)


def _write_mapping(mapping: h5py.Group, report: StateReport, nodes: npt.NDArray[np.uint64], samples: int) -> None:
    width = len(report.variables)
    mapping.create_dataset("node_ids", data=nodes).attrs["sorted"] = np.uint8(1)
    mapping.create_dataset("index_pointers", data=np.arange(len(nodes) + 1, dtype=np.uint64) * np.uint64(width))
    mapping.create_dataset("element_ids", data=np.tile(np.arange(width, dtype=np.uint32), len(nodes)))
    stop = report.start + samples * report.interval
    time = mapping.create_dataset("time", data=np.array([report.start, stop, report.interval], dtype=np.float64))
    time.attrs["units"] = "ms"


def _check_complete(report: StateReport, parts: list[_Segment], nodes: npt.NDArray[np.uint64], samples: int) -> None:
    """Each neuron has each sample exactly once, whichever rank wrote it when."""
    there = np.zeros(nodes.size, np.int64)  # samples of each neuron so far
    for part in sorted(parts, key=lambda p: p.first):
        mine = np.searchsorted(nodes, part.node_ids)
        wrong = there[mine] != part.first
        if wrong.any():
            raise ResultError(
                f"{part.path}: starts at sample {part.first} of {report.population}, "
                f"not {int(there[mine][wrong][0])} (segments are missing or doubled)"
            )
        there[mine] += part.samples
    if np.any(there != samples):
        raise ResultError(
            f"states of {report.population}: found {int(there.min())} samples of a neuron; allowed: {samples}, "
            "as of the others (segments are missing)"
        )
