"""SONATA edges as projections of listed connections, which each rank reads for its own targets alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.checks import MAX_DELAY_STEPS
from distsim.config.files import told_of
from distsim.config.sonata_config import Sections
from distsim.config.sonata_nodes import NodePart, Nodes
from distsim.config.sonata_types import TypeTable
from distsim.edges import EdgeList, Places, Tally
from distsim.errors import ConfigError, nearest, wrong
from distsim.grid import rounded_to_steps
from distsim.io.safe_hdf5 import open_hdf5
from distsim.io.sonata_edges import EdgeBlock, EdgeFilePopulation, populations
from distsim.network import Network
from distsim.rules import Explicit

SYNAPSE_FOLDERS = ("synaptic_models_dir", "synapse_models_dir", "models_dir")
SYNAPSES = ("static_synapse",)
WEIGHT_FUNCTIONS = ("default_weight_fnc", "set_syn_weight", "wmax")  # BMTK's names of syn_weight times nsyns
DEFAULTS = {"nsyns": 1.0}


@dataclass(frozen=True)
class _Types:
    """What edge types say, by id (ascending).

    Attributes
    ----------
    numbers
        Attribute → float64[n]: its value for each type, NaN where there is none.
    receptor
        int64[n]: index into `receptors` of each type.
    receptors
        Ports by name; None where the sign of the weight decides.
    """

    ids: npt.NDArray[np.int64]
    numbers: Mapping[str, npt.NDArray[np.float64]]
    receptor: npt.NDArray[np.int64]
    receptors: tuple[str | None, ...]


@dataclass(frozen=True)
class _Share:
    """Connections of an edge population onto one part of its targets through one receptor."""

    path: str
    name: str
    types: _Types
    receptor: int
    part: NodePart
    n_targets: int
    indexed: bool

    def of(self, block: EdgeBlock, at: npt.NDArray[np.int64] | None = None) -> EdgeList:
        """Those in `block` (at the places `at`), targets from the start of the part."""
        chosen = (
            np.flatnonzero((block.target >= self.part.begin) & (block.target < self.part.end)) if at is None else at
        )
        row = np.searchsorted(self.types.ids, block.type_id[chosen])
        mine = self.types.receptor[row] == self.receptor
        chosen, row = chosen[mine], row[mine]
        values = {name: _value(name, block, self.types, chosen, row) for name in block.attributes}
        empty = np.empty(0, np.str_)
        weight = values["syn_weight"] * values["nsyns"]
        return EdgeList(block.source[chosen], block.target[chosen] - self.part.begin, weight, values["delay"], empty)


def _onto(part: NodePart, block: EdgeBlock) -> npt.NDArray[np.bool_]:
    return (block.target >= part.begin) & (block.target < part.end)


def read_edges(network: Network, config: Sections, nodes: Mapping[str, Nodes], dt: float) -> None:
    """Describe all populations of edges.

    Raises
    ------
    ConfigError
        Files or tables are malformed, disagree, or ask for what there is not.
    """
    for i, file in enumerate(config.edges):
        where = f"networks.edges[{i}]"
        path = config.files.hashed(file.data, f"{where}.edges_file")
        table = config.types(file.types, "edge", where)
        with told_of(f"{where}.edges_file"):
            with open_hdf5(path) as opened:
                found = [
                    _tallied(edges, path, config, table, nodes, dt) for edges in populations(opened, file.populations)
                ]
            for source, shares in found:
                for share, tally in shares:
                    if (summary := tally.summary()).count:
                        rule = Explicit.from_blocks(_blocks(share, config, f"{where}.edges_file"), summary)
                        network.project(
                            source.side, share.part.population, rule, receptor=share.types.receptors[share.receptor]
                        )


def _tallied(
    edges: EdgeFilePopulation, path: str, config: Sections, table: TypeTable, nodes: Mapping[str, Nodes], dt: float
) -> tuple[Nodes, list[tuple[_Share, Tally]]]:
    for end, name in (("source", edges.source), ("target", edges.target)):
        if name not in nodes:
            raise ConfigError(f"{edges.where}/{end}_node_id: unknown population {name!r}; {nearest(name, nodes)}")
    source, target = nodes[edges.source], nodes[edges.target]
    types = _types(config, table)
    index = edges.index(target.size)
    name = edges.group.name.rpartition("/")[2]
    shares = [
        (_Share(path, name, types, r, part, target.size, index is not None and index.is_useful),
         Tally(part.end - part.begin))
        for part in target.parts for r in range(len(types.receptors))
    ]  # fmt: skip
    for block in edges.blocks():
        _check_ids(block, edges.where, source, target)
        row = _rows(block, types, table)
        everyone = np.arange(row.size)
        values = {name: _value(name, block, types, everyone, row) for name in block.attributes}
        _check_values(values, block, edges.where, table, dt)
        for share, tally in shares:
            if share.part.virtual and bool(
                ((block.target >= share.part.begin) & (block.target < share.part.end)).any()
            ):
                raise ConfigError(f"{edges.where}: found edges to virtual nodes of {target.name}; these take no input")
            tally.add(share.of(block))
    if index is not None:
        index.check()
    return source, shares


def _blocks(share: _Share, config: Sections, where: str) -> Any:
    def blocks(wanted: Places | None) -> Iterator[EdgeList]:
        config.files.check_unchanged(share.path, where)
        with told_of(where), open_hdf5(share.path) as opened:
            (edges,) = populations(opened, [share.name])
            index = edges.index(share.n_targets) if share.indexed and wanted is not None else None
            if index is not None and wanted is not None:
                for at, _, block in index.blocks(wanted + share.part.begin):
                    yield share.of(block, at)
            else:
                for block in edges.blocks():
                    yield share.of(block).onto(wanted)

    return blocks


def _check_ids(block: EdgeBlock, where: str, source: Nodes, target: Nodes) -> None:
    for end, ids, nodes in (("source", block.source, source), ("target", block.target, target)):
        if ids.size and int(ids.max()) >= nodes.size:
            at = int(ids.argmax())
            raise wrong(
                f"{where}/{end}_node_id[{int(block.first[at])}]", int(ids[at]),
                f"ids of {nodes.name}, 0 to {nodes.size - 1}",
            )  # fmt: skip


def _rows(block: EdgeBlock, types: _Types, table: TypeTable) -> npt.NDArray[np.int64]:
    """The place of each edge's type among the types."""
    row = np.searchsorted(types.ids, block.type_id)
    known = row < types.ids.size
    known[known] = types.ids[row[known]] == block.type_id[known]
    if not known.all():
        table.row(int(block.type_id[~known][0]))
    return row


def _value(
    name: str, block: EdgeBlock, types: _Types, chosen: npt.NDArray[np.int64], row: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """An attribute of the chosen edges: their own, else their type's, else its default."""
    own = block.attributes[name][chosen]
    return np.where(np.isnan(own), types.numbers[name][row], own)


def _check_values(
    values: Mapping[str, npt.NDArray[np.float64]], block: EdgeBlock, where: str, table: TypeTable, dt: float
) -> None:
    def refuse(name: str, bad: npt.NDArray[np.bool_], allowed: str) -> None:
        if bad.any():
            at = int(bad.argmax())
            place, value = f"{where}: {name}[{int(block.first[at])}]", float(values[name][at])
            if np.isnan(value):
                type_place = table.place(int(block.type_id[at]))
                raise ConfigError(f"{place}: missing; neither the edge nor its type ({type_place}) has {name}")
            raise wrong(place, value, allowed)

    for name in values:
        refuse(name, ~np.isfinite(values[name]), "finite numbers")
    refuse("nsyns", values["nsyns"] < 0.0, "numbers from 0 on")
    steps = rounded_to_steps(values["delay"], dt)
    refuse("delay", steps < 1, f"delays of at least dt = {dt} ms")
    refuse("delay", steps > MAX_DELAY_STEPS, f"delays of at most {MAX_DELAY_STEPS} steps of dt = {dt} ms")


def _types(config: Sections, table: TypeTable) -> _Types:
    ids = sorted(table.rows)
    numbers = {
        name: np.array([_or(table.number(i, name), DEFAULTS.get(name, np.nan)) for i in ids], np.float64)
        for name in ("syn_weight", "nsyns", "delay")
    }
    ports = [_port(config, table, i) for i in ids]
    receptors = tuple(dict.fromkeys(ports))
    which = np.array([receptors.index(port) for port in ports], np.int64)
    return _Types(np.array(ids, np.int64), numbers, which, receptors)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _port(config: Sections, table: TypeTable, type_id: int) -> str | None:
    """The receptor that synapses of a type go to; refuses what is no plain static synapse."""
    row, place = table.row(type_id), table.place(type_id)
    template = row.get("model_template", SYNAPSES[0]).removeprefix("nest:")
    if template not in SYNAPSES:
        raise ConfigError(f"{place}: model_template: unknown synapse {template!r}; {nearest(template, SYNAPSES)}")
    function = row.get("weight_function")
    if function is not None and function not in WEIGHT_FUNCTIONS:
        raise wrong(f"{place}: weight_function", function, f"none, or {', '.join(WEIGHT_FUNCTIONS)}")
    if "dynamics_params" not in row:
        return None
    params = config.parameters(SYNAPSE_FOLDERS, row["dynamics_params"], f"{place}: dynamics_params")
    for key in params:
        if key != "receptor_type":
            near = nearest(key, ["receptor_type"])
            raise ConfigError(f"{place}: dynamics_params: {key}: unknown parameter of {template}; {near}")
    port = params.get("receptor_type", 0)
    if isinstance(port, bool) or not isinstance(port, (int, str)):
        raise wrong(f"{place}: dynamics_params: receptor_type", port, "a number or a name")
    return str(port) if port else None
