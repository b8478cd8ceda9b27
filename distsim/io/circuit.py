"""A circuit on disk as SONATA has it: nodes, tables of types, configurations."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from distsim.io.files import mark_sonata, writing

NODES_FILE, NODE_TYPES, EDGE_TYPES = "nodes.h5", "node_types.csv", "edge_types.csv"
CIRCUIT, SIMULATION, SPIKE_INPUTS = "circuit_config.json", "simulation_config.json", "inputs.h5"
COMPONENTS = "components"
CIRCUIT_FILES = (NODES_FILE, NODE_TYPES, EDGE_TYPES, CIRCUIT, SIMULATION, SPIKE_INPUTS)
WINDOW = 2**18  # nodes written at once


@dataclass(frozen=True)
class NodeKind:
    """A population of nodes, all of one type.

    Attributes
    ----------
    template
        nest:MODEL, or "" for virtual nodes.
    params
        What all nodes share.
    each
        Names of numbers that differ between nodes.
    """

    name: str
    size: int
    template: str
    params: Mapping[str, Any] = field(default_factory=dict)
    each: Sequence[str] = ()


Values = Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]  # (ids, values), block by block


class NodesWriter:
    """nodes.h5 while it is written: population by population, then their numbers block by block."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        mark_sonata(file)

    def population(self, kind: NodeKind, type_id: int) -> None:
        """A population, without its numbers."""
        group = self._file.create_group(f"nodes/{kind.name}")
        columns = (("node_id", np.uint64, None), ("node_group_index", np.uint64, None),
                   ("node_type_id", np.int64, type_id), ("node_group_id", np.uint32, 0))  # fmt: skip
        for name, dtype, constant in columns:
            column = group.create_dataset(name, (kind.size,), dtype)
            for at in range(0, kind.size, WINDOW):
                end = min(kind.size, at + WINDOW)
                column[at:end] = np.arange(at, end) if constant is None else np.full(end - at, constant)
        group.create_group("0")
        for name in kind.each:
            group.create_dataset(f"0/dynamics_params/{name}", (kind.size,), np.float64)

    def write(self, population: str, name: str, at: int, values: npt.NDArray[np.float64]) -> None:
        """Numbers of the nodes `at` …"""
        self._file[f"nodes/{population}/0/dynamics_params/{name}"][at : at + values.size] = values


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """A document, indented; numbers as they are."""
    with writing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_table(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """A table of types, separated by blanks; what a row has not is NULL."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=" ", lineterminator="\n")
    writer.writerow(names)
    writer.writerows([row.get(name, "NULL") for name in names] for row in rows)
    with writing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


@dataclass(frozen=True)
class Trains:
    """Spikes of a virtual population: a list of times (ms) for each node; of weights too, or empty where all are 1."""

    times: Sequence[Sequence[float]]
    weights: Sequence[Sequence[float]] = ()


def write_spike_inputs(path: Path, trains: Mapping[str, Trains]) -> None:
    """Spike trains of virtual populations, sorted by time, then id.

    A dataset `weights` beside SONATA's two is ours: what a spike multiplies the weights of its connections by.
    """
    with writing(path) as temporary, h5py.File(temporary, "w") as file:
        mark_sonata(file)
        for name, spikes in trains.items():
            rows = spikes.times
            times = np.array([t for row in rows for t in row], np.float64)
            ids = np.repeat(np.arange(len(rows), dtype=np.uint64), [len(row) for row in rows])
            order = np.lexsort((ids, times))
            group = file.create_group(f"spikes/{name}")
            group.create_dataset("timestamps", data=times[order]).attrs["units"] = "milliseconds"
            group.create_dataset("node_ids", data=ids[order])
            if spikes.weights:
                weights = np.array([w for row in spikes.weights for w in row], np.float64)
                group.create_dataset("weights", data=weights[order])


def circuit_document(nodes: Sequence[NodeKind], edges: Sequence[str], edges_file: str) -> dict[str, Any]:
    """The circuit; populations in their order, which gives neurons their global ids."""
    kinds = {k.name: {"type": "point_neuron" if k.template else "virtual"} for k in nodes}
    networks: dict[str, Any] = {
        "nodes": [{
            "nodes_file": f"$NETWORK_DIR/{NODES_FILE}", "node_types_file": f"$NETWORK_DIR/{NODE_TYPES}",
            "populations": kinds,
        }],
        "edges": [{
            "edges_file": f"$NETWORK_DIR/{edges_file}", "edge_types_file": f"$NETWORK_DIR/{EDGE_TYPES}",
            "populations": {name: {"type": "chemical"} for name in edges},
        }] if edges else [],
    }  # fmt: skip
    folder = f"$NETWORK_DIR/{COMPONENTS}"
    return {
        "version": 2, "manifest": {"$NETWORK_DIR": "."},
        "components": {"point_neuron_models_dir": folder, "synaptic_models_dir": folder}, "networks": networks,
    }  # fmt: skip
