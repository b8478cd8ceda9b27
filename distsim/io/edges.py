"""SONATA edges: `edges.h5` with /edges/<name>/source_node_id, target_node_id, edge_type_id, edge_group_id,
edge_group_index (uint64) and the group 0: syn_weight (float64), delay (float64, ms), receptor (uint8: index into the
attribute `receptors`). Edges are sorted by source, target, delay, weight, receptor; `indices` finds those of a node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import h5py
import numpy as np
import numpy.typing as npt

from distsim.errors import ResultError
from distsim.io.edge_index import write_indices
from distsim.io.files import mark_sonata, step_times
from distsim.io.new_hdf5 import new_hdf5

EDGES_FILE = "edges.h5"
EDGE = np.dtype([("source", "<u8"), ("target", "<u8"), ("weight", "<f8"), ("delay", "<u4"), ("receptor", "<u4")])
CHUNK = 16_384  # HDF5 chunk, in edges
_COLUMNS: tuple[tuple[str, Any], ...] = (
    ("source_node_id", np.uint64), ("target_node_id", np.uint64), ("edge_type_id", np.int64),
    ("edge_group_id", np.uint32), ("edge_group_index", np.uint64), ("0/syn_weight", np.float64),
    ("0/delay", np.float64), ("0/receptor", np.uint8),
)  # fmt: skip


@dataclass(frozen=True)
class EdgePopulation:
    """Edges from one population of neurons to another.

    Attributes
    ----------
    projections
        Numbers of all projections that these edges may come from; edge_type_id is the number where it is one, else -1.
    receptors
        Names of the target's receptors.
    first_type
        edge_type_id of edges of the first receptor, the others follow; None: as said at `projections`.
    """

    name: str
    source: str
    target: str
    n_sources: int
    n_targets: int
    projections: tuple[int, ...]
    receptors: tuple[str, ...]
    first_type: int | None = None


def part_path(path: Path, rank: int) -> Path:
    """Where a rank keeps its edges until they are merged: one file a population, this name and its number."""
    return path.with_name(f".{path.name}.rank{rank:04d}.part")


def remove_parts(path: Path) -> None:
    """Remove what ranks of a run that died have left beside `path`."""
    for left in path.parent.glob(f".{path.name}.rank*.part*"):
        left.unlink(missing_ok=True)


class EdgeParts:
    """One rank's edges, sources ascending within each population; populations follow one another in the file."""

    def __init__(self, path: Path, n: int) -> None:
        self._path, self.counts = path, np.zeros(n, np.uint64)
        self._file: BinaryIO | None = None

    def __enter__(self) -> EdgeParts:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path, "wb")
            self._file.write(self.counts.tobytes())
        except OSError as error:
            raise self._failed(error) from error
        return self

    def append(self, k: int, edges: npt.NDArray[np.void]) -> None:
        """More edges of population `k`; of none before it after this."""
        assert self._file is not None
        try:
            edges.tofile(self._file)
        except OSError as error:
            raise self._failed(error) from error
        self.counts[k] += np.uint64(edges.size)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        try:
            if kind is None:
                self._file.seek(0)
                self._file.write(self.counts.tobytes())
            self._file.close()
        except OSError as failed:
            raise self._failed(failed) from failed

    def _failed(self, error: OSError) -> ResultError:
        return ResultError(f"{self._path}: cannot be written ({error.strerror or error})")


class _Reader:
    """Edges of one population of one rank, block by block."""

    def __init__(self, path: Path, n: int, k: int) -> None:
        counts = np.fromfile(path, np.uint64, n)
        before = int(counts[:k].sum())
        self._path, self._left = path, int(counts[k])
        self._at = counts.nbytes + before * EDGE.itemsize
        self.held = np.empty(0, EDGE)

    @property
    def ended(self) -> bool:
        return not self._left

    def read(self, count: int) -> None:
        n = min(count, self._left)
        more = np.fromfile(self._path, EDGE, n, offset=self._at)
        if more.size != n:
            raise ResultError(f"{self._path}: is shorter than it was written")
        self._at, self._left = self._at + n * EDGE.itemsize, self._left - n
        self.held = np.concatenate([self.held, more])

    def take(self, before: int | None) -> npt.NDArray[np.void]:
        n = self.held.size if before is None else int(np.searchsorted(self.held["source"], np.uint64(before)))
        taken, self.held = self.held[:n], self.held[n:]
        return taken


def merge_edges(
    path: Path, parts: Sequence[Path], populations: Sequence[EdgePopulation], dt: float, window: int
) -> None:
    """All ranks' edges into one file; about `window` are held, more only where one source has more."""
    with new_hdf5(path) as (file, check):
        mark_sonata(file)
        for k, population in enumerate(populations):
            group = _create(file.create_group(f"edges/{population.name}"), population)
            readers = [_Reader(part, len(populations), k) for part in parts]
            share = max(1, window // len(readers))
            while True:
                for reader in readers:
                    if reader.held.size < share and not reader.ended:
                        reader.read(share - reader.held.size)
                # A reader that goes on may bring more of the last source it holds.
                horizon = min((int(r.held["source"][-1]) for r in readers if not r.ended), default=None)
                edges = np.concatenate([r.take(horizon) for r in readers])
                if edges.size:
                    _append(group, edges, population, dt)
                    check()
                elif all(r.ended for r in readers):
                    break
                else:
                    for reader in readers:
                        if not reader.ended and int(reader.held["source"][-1]) == horizon:
                            reader.read(share)
            write_indices(group, population.n_sources, population.n_targets, path.parent)
            check()


def _create(group: h5py.Group, population: EdgePopulation) -> h5py.Group:
    for name, dtype in _COLUMNS:
        group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(CHUNK,))
    group["source_node_id"].attrs["node_population"] = population.source
    group["target_node_id"].attrs["node_population"] = population.target
    group["0/delay"].attrs["units"] = "ms"
    group["0/receptor"].attrs["receptors"] = list(population.receptors)
    group.attrs["projections"] = np.array(population.projections, np.int64)
    return group


def _append(group: h5py.Group, edges: npt.NDArray[np.void], population: EdgePopulation, dt: float) -> None:
    order = np.lexsort((edges["receptor"], edges["weight"], edges["delay"], edges["target"], edges["source"]))
    edges = edges[order]
    n, at = edges.size, group["source_node_id"].shape[0]
    kind = population.projections[0] if len(population.projections) == 1 else -1
    types = np.full(n, kind) if population.first_type is None else population.first_type + edges["receptor"]
    values = {
        "source_node_id": edges["source"], "target_node_id": edges["target"], "edge_type_id": types,
        "edge_group_id": np.zeros(n, np.uint32), "edge_group_index": np.arange(at, at + n, dtype=np.uint64),
        "0/syn_weight": edges["weight"], "0/delay": step_times(edges["delay"].astype(np.uint64), dt),
        "0/receptor": edges["receptor"],
    }  # fmt: skip
    for name, column in values.items():
        group[name].resize((at + n,))
        group[name][at:] = column
