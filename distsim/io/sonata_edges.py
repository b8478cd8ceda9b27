"""SONATA's edges, block by block: by their order in the file, or those of given targets through the index.

The layout: /edges/<population>/source_node_id, target_node_id, edge_type_id, edge_group_id, edge_group_index, groups
0, 1 … with attributes, and indices/target_to_source/{node_id_to_ranges, range_to_edge_id}.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from distsim.edges import BLOCK_EDGES
from distsim.errors import ResultError
from distsim.io.safe_hdf5 import child, dataset, names, text

Ids = npt.NDArray[np.int64]
ATTRIBUTES = ("syn_weight", "nsyns", "delay")
REFUSED = ("weight_function", "model_template", "dynamics_params")  # of single edges
COLUMNS = ("source_node_id", "target_node_id", "edge_type_id", "edge_group_id", "edge_group_index")
INDEX = "indices/target_to_source"
GAP = 1024  # edges between two that are wanted which are read with them
SCATTERED = 2**22  # edges up to which an index is used even where most ranges are single edges


@dataclass(frozen=True)
class EdgeBlock:
    """Edges `first` … of a population; attributes are NaN where the file has none."""

    first: Ids  # int64[n]: place of each in the file
    source: Ids
    target: Ids
    type_id: Ids
    attributes: dict[str, npt.NDArray[np.float64]]


class EdgeFilePopulation:
    """One open population of edges.

    Raises
    ------
    ResultError
        Groups or columns are missing, of unequal lengths, or no numbers.
    """

    def __init__(self, group: h5py.Group) -> None:
        self.group, self.where = group, f"{group.file.filename}: {group.name}"
        self.columns: dict[str, h5py.Dataset] = {}
        for name in COLUMNS:
            if name in group or name in COLUMNS[:3]:
                self.columns[name] = dataset(group, name, "iu", 1)
        self.size = int(self.columns["target_node_id"].shape[0])
        for name, column in self.columns.items():
            if column.shape[0] != self.size:
                raise ResultError(f"{self.where}: found {column.shape[0]} {name}s for {self.size} target_node_ids")
        self.source = text(self.columns["source_node_id"], "node_population")
        self.target = text(self.columns["target_node_id"], "node_population")
        self._groups: dict[int, dict[str, h5py.Dataset]] = {}

    def _attributes(self, number: int) -> dict[str, h5py.Dataset]:
        if number not in self._groups:
            inside = child(self.group, str(number))
            there = names(inside)
            bad = next((n for n in there if n in REFUSED), None)
            if bad is not None:
                raise ResultError(f"{self.where}/{number}/{bad}: found for single edges; allowed: in edge types")
            self._groups[number] = {n: dataset(inside, n, "iuf", 1) for n in ATTRIBUTES if n in there}
        return self._groups[number]

    def read(self, begin: int, end: int) -> EdgeBlock:
        """Edges begin … end - 1."""
        columns = {name: self._ids(name, begin, end) for name in self.columns}
        n = end - begin
        groups = columns.get("edge_group_id", np.zeros(n, np.int64))
        index = columns.get("edge_group_index", np.arange(begin, end, dtype=np.int64))
        attributes = {name: np.full(n, np.nan) for name in ATTRIBUTES}
        for number in np.unique(groups).tolist():
            mine = np.flatnonzero(groups == number)
            for name, column in self._attributes(number).items():
                attributes[name][mine] = self._picked(column, index[mine])
        first = np.arange(begin, end, dtype=np.int64)
        source, target, type_id = (columns[name] for name in COLUMNS[:3])
        return EdgeBlock(first, source, target, type_id, attributes)

    def _ids(self, name: str, begin: int, end: int) -> Ids:
        values = np.asarray(self.columns[name][begin:end])
        if values.size and (values.min() < 0 or int(values.max()) >= 2**62):
            raise ResultError(
                f"{self.where}: {name}: found {int(values.min())} to {int(values.max())}; allowed: ids from 0"
            )
        return values.astype(np.int64)

    def _picked(self, column: h5py.Dataset, index: Ids) -> npt.NDArray[np.float64]:
        low, high = int(index.min()), int(index.max())
        if high >= column.shape[0]:
            raise ResultError(
                f"{self.where}: edge_group_index: found {high}; {column.name} has {column.shape[0]} entries"
            )
        if high - low < 4 * index.size + GAP:
            return np.asarray(column[low : high + 1], np.float64)[index - low]
        places, back = np.unique(index, return_inverse=True)
        return np.asarray(column[places], np.float64)[back]

    def blocks(self, size: int = BLOCK_EDGES) -> Iterator[EdgeBlock]:
        """All edges in the order of the file."""
        for begin in range(0, self.size, size):
            yield self.read(begin, min(self.size, begin + size))

    def index(self, n_targets: int) -> EdgeIndex | None:
        """The index by targets; None where there is none."""
        if "indices" not in self.group or "target_to_source" not in names(child(self.group, "indices")):
            return None
        return EdgeIndex(self, n_targets)


class EdgeIndex:
    """Which edges each target has, in ranges."""

    def __init__(self, edges: EdgeFilePopulation, n_targets: int) -> None:
        self._edges, inside = edges, child(edges.group, INDEX)
        name = "node_id_to_ranges" if "node_id_to_ranges" in inside else "node_id_to_range"
        self._of_node, self._ranges = dataset(inside, name, "iu", 2), dataset(inside, "range_to_edge_id", "iu", 2)
        for table in (self._of_node, self._ranges):
            if table.shape[1] != 2:
                raise self._wrong(f"found shape {table.shape} of {table.name}; allowed: two columns")
        self.n_nodes, self.n_ranges = int(self._of_node.shape[0]), int(self._ranges.shape[0])
        if self.n_nodes > n_targets:
            raise self._wrong(f"found {self.n_nodes} targets; their population has {n_targets}")

    def _wrong(self, what: str) -> ResultError:
        return ResultError(f"{self._edges.where}/{INDEX}: {what}")

    @property
    def is_useful(self) -> bool:
        """Do ranges hold edges that lie together? Else reading all is as fast."""
        return self.n_ranges <= max(2 * self.n_nodes, self._edges.size // 8) or self._edges.size <= SCATTERED

    def intervals(self, targets: Ids, size: int) -> Iterator[tuple[Ids, npt.NDArray[np.int64]]]:
        """(targets, int64[n, 2]: their edges begin … end - 1), so many that they have at most about `size` edges."""
        for k in range(0, targets.size, 2**14):
            some = targets[k : k + 2**14]
            some = some[some < self.n_nodes]
            if not some.size:
                continue
            low = int(some[0])
            rows = self._rows(self._of_node, low, int(some[-1]) + 1)[some - low]
            begin, end = rows[:, 0], np.maximum(rows[:, 0], rows[:, 1])
            if int(end.max()) > self.n_ranges:
                raise self._wrong(f"found range {int(end.max())}; there are {self.n_ranges}")
            if int((end - begin).sum()) > self.n_ranges:
                raise self._wrong(f"found ranges of several nodes at once; there are {self.n_ranges}")
            owner = np.repeat(some, end - begin)
            at = np.repeat(begin - np.concatenate(([0], np.cumsum(end - begin)[:-1])), end - begin)
            at = at + np.arange(owner.size)
            found = self._edges_of(at)
            first = 0
            before = np.concatenate(([0], np.cumsum(found[:, 1] - found[:, 0])))
            if before[-1] > self._edges.size:
                raise self._wrong(f"has {before[-1]} edges or more; the population has {self._edges.size}")
            while first < owner.size:
                last = max(first + 1, int(np.searchsorted(before, before[first] + size, side="right")) - 1)
                yield owner[first:last], found[first:last]
                first = last

    def _edges_of(self, at: Ids) -> npt.NDArray[np.int64]:
        if not at.size:
            return np.empty((0, 2), np.int64)
        low, high = int(at.min()), int(at.max()) + 1
        if high - low < 4 * at.size + GAP:
            found = self._rows(self._ranges, low, high)[at - low]
        else:
            places, back = np.unique(at, return_inverse=True)
            found = self._checked(np.asarray(self._ranges[places, :]))[back]
        bad = (found[:, 1] < found[:, 0]) | (found[:, 1] > self._edges.size)
        if bad.any():
            raise self._wrong(f"found edges {found[bad][0].tolist()}; there are {self._edges.size}")
        return found

    def _rows(self, table: h5py.Dataset, begin: int, end: int) -> npt.NDArray[np.int64]:
        return self._checked(np.asarray(table[begin:end, :]))

    def _checked(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        if rows.size and (rows.min() < 0 or int(rows.max()) >= 2**62):
            raise self._wrong(f"found {int(rows.min())} to {int(rows.max())}; allowed: numbers from 0")
        return rows.astype(np.int64)

    def blocks(self, targets: Ids, size: int = BLOCK_EDGES) -> Iterator[tuple[Ids, Ids, EdgeBlock]]:
        """Edges of `targets` (ascending): (places in the block, the target that the index says for each, block)."""
        for owner, found in self.intervals(targets, size):
            order = np.argsort(found[:, 0], kind="stable")
            owner, found = owner[order], found[order]
            for begin, end, chosen in _windows(found, size):
                block = self._edges.read(begin, end)
                low = np.maximum(found[chosen, 0], begin)
                length = np.maximum(np.minimum(found[chosen, 1], end) - low, 0)
                shift = np.repeat(low - begin - np.concatenate(([0], np.cumsum(length)[:-1])), length)
                at = shift + np.arange(int(length.sum()))
                said = np.repeat(owner[chosen], length)
                other = np.flatnonzero(block.target[at] != said)
                if other.size:
                    edge, target = int(at[other[0]]) + begin, int(said[other[0]])
                    raise self._wrong(
                        f"says that edge {edge} goes to node {target}; its target_node_id is "
                        f"{int(block.target[at[other[0]]])}"
                    )
                yield at, said, block

    def check(self) -> None:
        """That it has every edge once, at the target that the edge names; of one that is not useful only how many."""
        total = 0
        everyone = np.arange(self.n_nodes, dtype=np.int64)
        if self.is_useful:
            total = sum(at.size for at, _, _ in self.blocks(everyone))
        else:
            total = sum(int((found[:, 1] - found[:, 0]).sum()) for _, found in self.intervals(everyone, 2**40))
        if total != self._edges.size:
            raise self._wrong(f"has {total} edges; the population has {self._edges.size}")


def _windows(found: npt.NDArray[np.int64], size: int) -> Iterator[tuple[int, int, slice]]:
    """Stretches of the file (begin, end) that cover intervals which ascend, and which of these reach into each."""
    first = 0
    while first < len(found):
        last, begin, end = first, int(found[first, 0]), int(found[first, 1])
        while last + 1 < len(found):
            upto = max(end, int(found[last + 1, 1]))
            if int(found[last + 1, 0]) > end + GAP or upto - begin > size:
                break
            last, end = last + 1, upto
        for at in range(begin, end, size):  # one interval may be longer than a block
            yield at, min(end, at + size), slice(first, last + 1)
        first = last + 1


def populations(file: h5py.File, only: Sequence[str] | None) -> list[EdgeFilePopulation]:
    """The populations of edges of an open file, or `only` these."""
    root = child(file, "edges")
    return [EdgeFilePopulation(child(root, name)) for name in only or names(root)]
