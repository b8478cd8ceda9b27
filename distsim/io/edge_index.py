"""SONATA's indices of edges: which edges go to a node, and which come from it, in ranges of the file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

WINDOW = 2**20  # edges of which the columns are held at once


def write_indices(group: h5py.Group, n_sources: int, n_targets: int, folder: Path, window: int = WINDOW) -> None:
    """Write `indices` of a population of edges, whatever their order.

    Memory is a window and one number for each node; the ranges are put in order in a file without a name in `folder`.
    """
    for name, column, size in (
        ("source_to_target", "source_node_id", n_sources), ("target_to_source", "target_node_id", n_targets),
    ):  # fmt: skip
        _write_index(group.create_group(f"indices/{name}"), group[column], size, folder, window)


def _write_index(into: h5py.Group, column: h5py.Dataset, n_nodes: int, folder: Path, window: int) -> None:
    count = np.zeros(n_nodes, np.int64)
    for node, _, _ in _runs(column, window):
        np.add.at(count, node, 1)
    end = np.cumsum(count)
    ranges_of = np.stack([end - count, end], axis=1).astype(np.uint64)
    into["node_id_to_range"] = into.create_dataset("node_id_to_ranges", data=ranges_of)  # BMTK's name, and libsonata's
    n_ranges = int(end[-1]) if n_nodes else 0
    ranges = into.create_dataset("range_to_edge_id", (n_ranges, 2), np.uint64)
    if not n_ranges:
        return
    with tempfile.TemporaryFile(dir=folder) as scratch:
        # A full disk is an error here; where the map is written it would be a signal.
        os.posix_fallocate(scratch.fileno(), 0, 16 * n_ranges)
        ordered = np.memmap(scratch, np.uint64, "r+", shape=(n_ranges, 2))
        free = end - count
        for node, begin, upto in _runs(column, window):
            order = np.argsort(node, kind="stable")
            node, begin, upto = node[order], begin[order], upto[order]
            first = np.searchsorted(node, node)
            place = free[node] + np.arange(node.size) - first
            ordered[place, 0], ordered[place, 1] = begin, upto
            np.add.at(free, node, 1)
        for at in range(0, n_ranges, window):
            ranges[at : at + window] = ordered[at : at + window]
        del ordered


Ids = npt.NDArray[np.int64]


def _runs(column: h5py.Dataset, window: int) -> Iterator[tuple[Ids, Ids, Ids]]:
    """(node, first edge, edge after the last) of edges of one node that follow one another, window by window."""
    for at in range(0, column.shape[0], window):
        node = column[at : at + window].astype(np.int64)
        begin: Ids = np.concatenate(([0], np.flatnonzero(np.diff(node)) + 1))
        yield node[begin], at + begin, at + np.append(begin[1:], node.size)
