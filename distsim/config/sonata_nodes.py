"""SONATA nodes as populations: neurons of one model that follow one another by their ids are one population.

So a node's id is its place among the populations of its SONATA population, one after the other, and no table of ids
is needed: an edge's ids are positions on the sides of a projection.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from distsim.config.files import told_of
from distsim.config.sonata_config import Sections
from distsim.config.sonata_glif import is_allen_glif, nest_parameters
from distsim.config.sonata_types import TypeTable
from distsim.elements import Population
from distsim.errors import ConfigError, nearest, wrong
from distsim.io.safe_hdf5 import child, dataset, names, open_hdf5, whole
from distsim.models import MODELS, Family, ListParameter, Model
from distsim.network import Network
from distsim.selection import Selection, select

Ids = npt.NDArray[np.int64]
MODEL_FOLDERS = ("point_neuron_models_dir", "models_dir", "cell_models_dir")
MAX_PARTS = 4096
TEXTS = ("model_type", "model_template", "dynamics_params", "model_processing")  # not to be passed over
POINT_NEURONS = ("point_neuron", "point_process")  # BMTK says the second of old
EXACT = {"V_dynamics_method": "linear_exact"}  # said by BMTK, and what we do
OLD_GLIF: dict[str, dict[str, bool]] = {
    "glif_lif_psc": {},
    "glif_lif_r_psc": {"spike_dependent_threshold": True},
    "glif_lif_asc_psc": {"after_spike_currents": True},
    "glif_lif_r_asc_psc": {"spike_dependent_threshold": True, "after_spike_currents": True},
    "glif_lif_r_asc_a_psc": {
        "spike_dependent_threshold": True, "after_spike_currents": True, "adapting_threshold": True,
    },
}  # fmt: skip


@dataclass(frozen=True)
class NodePart:
    """Nodes begin … end - 1 of a SONATA population as one of ours; `virtual`: it has no dynamics."""

    begin: int
    end: int
    population: Population
    virtual: bool


@dataclass(frozen=True)
class Nodes:
    """A population of SONATA nodes.

    Attributes
    ----------
    type_of
        int64[size]: the type of each node, by id.
    attributes
        Numbers of each node from the file, by name: float64[size], NaN where a node has none.
    """

    name: str
    size: int
    table: TypeTable
    type_of: Ids
    attributes: Mapping[str, npt.NDArray[np.float64]]
    parts: tuple[NodePart, ...]

    @property
    def side(self) -> list[Population]:
        """All of it as a side of a projection."""
        return [part.population for part in self.parts]

    def selections(self, ids: Ids | None) -> list[Selection]:
        """These nodes (ascending; None: all), population by population."""
        found = []
        for part in self.parts:
            if ids is None:
                found.append(Selection.whole(part.population))
                continue
            mine = ids[(ids >= part.begin) & (ids < part.end)] - part.begin
            if mine.size == part.population.size:
                found.append(Selection.whole(part.population))
            elif mine.size:
                found.append(select(part.population, neurons=mine.tolist()))
        return found


@dataclass(frozen=True)
class _Kind:
    """What nodes of one type are: nodes of equal `structure` may stand in one population."""

    model: str
    virtual: bool
    structure: Mapping[str, Any]  # lists and switches; of a family's lists the length
    values: Mapping[str, float]  # and elements of a family's lists, as NAME_1, NAME_2 …

    def fits(self, other: _Kind) -> bool:
        mine, theirs = (self.model, self.virtual, self.structure), (other.model, other.virtual, other.structure)
        return mine == theirs


def read_nodes(network: Network, config: Sections, trains: Mapping[str, Any], v_init: float | None) -> dict[str, Nodes]:
    """Describe all populations of nodes.

    Parameters
    ----------
    trains
        SONATA population → function of its size that gives the spike times of each virtual node.
    v_init
        V_m of neurons whose parameters say none.

    Raises
    ------
    ConfigError
        Files or tables are malformed, or ask for what there is not.
    """
    found: dict[str, Nodes] = {}
    for i, file in enumerate(config.nodes):
        where = f"networks.nodes[{i}]"
        path = config.files.hashed(file.data, f"{where}.nodes_file")
        table = config.types(file.types, "node", where)
        with told_of(f"{where}.nodes_file"), open_hdf5(path) as opened:
            root = child(opened, "nodes")
            there = names(root)
            for name in file.populations or there:
                if name not in there:
                    raise ConfigError(f"{path}: no population {name!r}; {nearest(name, there)}")
                if name in found:
                    raise ConfigError(f"{path}: population {name!r} stands in two files")
                found[name] = _population(network, config, child(root, name), name, table, trains, v_init)
    return found


def _population(
    network: Network, config: Sections, group: Any, name: str, table: TypeTable, trains: Mapping[str, Any],
    v_init: float | None,
) -> Nodes:  # fmt: skip
    where = f"{group.file.filename}: /nodes/{name}"
    type_of = whole(group, "node_type_id", "iu")
    size = type_of.size
    if not size:
        raise ConfigError(f"{where}: found no node")
    columns = {"node_id": np.arange(size), "node_group_id": np.zeros(size, int), "node_group_index": np.arange(size)}
    for column in columns:
        if column in group:
            columns[column] = whole(group, column, "iu")
        if columns[column].size != size:
            raise ConfigError(f"{where}: found {columns[column].size} {column}s for {size} node_type_ids; one for each")
    ids = columns["node_id"].astype(np.int64)
    order = np.argsort(ids, kind="stable")
    if not np.array_equal(ids[order], np.arange(size)):
        raise ConfigError(f"{where}: node_id: found {_first_off(ids[order])}; allowed: 0 to {size - 1}, each once")
    wanted = set().union(*(_keys(config.sections.get(name)) for name in ("node_sets", "inputs", "reports")))
    groups, index = columns["node_group_id"][order], columns["node_group_index"][order]
    attributes = _attributes(group, where, groups, index, wanted)
    nodes = Nodes(name, size, table, type_of.astype(np.int64)[order], attributes, ())
    parts = tuple(_describe(network, config, nodes, trains, v_init))
    return Nodes(name, size, table, nodes.type_of, attributes, parts)


def _keys(document: Any) -> set[str]:
    """All keys in a part of a configuration: node sets may ask for any number of nodes."""
    if isinstance(document, dict):
        return {str(key) for key in document}.union(*(_keys(value) for value in document.values()))
    return set().union(*(_keys(value) for value in document)) if isinstance(document, list) else set()


def _first_off(ids: Ids) -> int:
    return int(ids[np.argmax(ids != np.arange(ids.size))])


def _attributes(
    group: Any, where: str, group_id: Ids, group_index: Ids, wanted: set[str]
) -> dict[str, npt.NDArray[np.float64]]:
    """Numbers of nodes in the file, by name: the `wanted`, and those of dynamics_params as dynamics_params/NAME."""
    found: dict[str, npt.NDArray[np.float64]] = {}
    for number in np.unique(group_id).tolist():
        mine = np.flatnonzero(group_id == number)
        inside = child(group, str(number))
        places = [name for name in names(inside) if name != "dynamics_params"]
        if "dynamics_params" in inside:
            places += [f"dynamics_params/{name}" for name in names(child(inside, "dynamics_params"))]
        for name in places:
            entry = child(inside, name)
            if isinstance(entry, h5py.Group):
                continue
            kind = entry.dtype
            if h5py.check_string_dtype(kind) is not None and name.partition("/")[0] not in TEXTS:
                continue  # names and the like
            if kind.kind not in "iuf":
                raise ConfigError(f"{where}/{number}/{name}: found {kind}; allowed: numbers, texts in node types")
            values = dataset(inside, name, "iuf", 1)
            index = group_index[mine].astype(np.int64)
            if index.size and not (index.min() >= 0 and int(index.max()) < values.shape[0]):
                raise ConfigError(
                    f"{where}: node_group_index: found {int(index.max())}; group {number} has {values.shape[0]} entries"
                )
            if name.startswith("dynamics_params/") or name in wanted:
                found.setdefault(name, np.full(group_id.size, np.nan))[mine] = values[()][index]
    return found


def _describe(
    network: Network, config: Sections, nodes: Nodes, trains: Mapping[str, Any], v_init: float | None
) -> Sequence[NodePart]:
    types, which = np.unique(nodes.type_of, return_inverse=True)
    kinds = [_kind(config, nodes, type_id) for type_id in types.tolist()]
    alike = np.array([next(j for j, other in enumerate(kinds) if kind.fits(other)) for kind in kinds])
    cuts = np.flatnonzero(np.diff(alike[which])) + 1
    if cuts.size >= MAX_PARTS:
        raise ConfigError(
            f"{nodes.name}: found {cuts.size + 1} runs of nodes of one model; allowed: {MAX_PARTS}; give nodes of one "
            "model ids that follow one another"
        )
    bounds = [0, *cuts.tolist(), nodes.size]
    parts = []
    for begin, end in itertools.pairwise(bounds):
        kind = kinds[which[begin]]
        name = nodes.name if len(bounds) == 2 else f"{nodes.name}[{begin}:{end}]"
        where = f"nodes of {name}"
        params: dict[str, Any] = {}
        with told_of(where):
            if kind.virtual:
                spikes = trains[nodes.name](nodes.size) if nodes.name in trains else {"spike_times": [[]] * nodes.size}
                mine = {column: rows[begin:end] for column, rows in spikes.items()}
                made = network.population(name, end - begin, "spike_generator", params=mine)
            else:
                declared = _example(kind)
                values = _values(declared, kinds, which[begin:end], nodes, begin, end, v_init)
                starts = {s.name for s in declared.states}
                params = {k: v for k, v in values.items() if k not in starts}
                initial = {k: v for k, v in values.items() if k in starts}
                made = network.population(
                    name, end - begin, kind.model, params={**_shape(kind), **params}, initial=initial
                )
        parts.append(NodePart(begin, end, made, kind.virtual))
    return parts


def _kind(config: Sections, nodes: Nodes, type_id: int) -> _Kind:
    row, place = nodes.table.row(type_id), nodes.table.place(type_id)
    model_type = row.get("model_type", "point_neuron" if "model_template" in row else "")
    if model_type == "virtual":
        return _Kind("spike_generator", True, {}, {})
    if model_type not in POINT_NEURONS:
        raise wrong(f"{place}: model_type", model_type, "point_neuron or virtual")
    if "model_template" not in row:
        raise ConfigError(f"{place}: model_template: missing; a model of NEST, as in nest:iaf_psc_alpha")
    schema, _, template = row["model_template"].partition(":")
    known = [*MODELS, *OLD_GLIF]
    if schema != "nest" or template not in known:
        near = nearest(f"nest:{template or schema}", (f"nest:{m}" for m in known))
        raise ConfigError(f"{place}: model_template: unknown template {row['model_template']!r}; {near}")
    params: dict[str, Any] = dict(OLD_GLIF.get(template, {}))
    if "dynamics_params" in row:
        where = f"{place}: dynamics_params"
        given = config.parameters(MODEL_FOLDERS, row["dynamics_params"], where)
        if is_allen_glif(given):
            if template not in OLD_GLIF and template != "glif_psc":
                allowed = ", ".join(f"nest:{name}" for name in ("glif_psc", *OLD_GLIF))
                raise wrong(where, f"a GLIF file of the Allen Institute for nest:{template}", allowed)
            given = nest_parameters(given, OLD_GLIF.get(template), f"{where}: {row['dynamics_params']}")
        params.update(given)
    structure: dict[str, Any] = {}
    values: dict[str, float] = {}
    model = "glif_psc" if template in OLD_GLIF else template
    lists = _lists(model)
    for name, value in params.items():
        if name in EXACT and value == EXACT[name]:
            continue
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        if plain:
            values[name] = float(value)
        elif isinstance(value, list) and name in lists and all(type(v) in (int, float) for v in value):
            structure[name] = len(value)
            values.update({f"{name}_{k}": float(v) for k, v in enumerate(value, 1)})
        elif isinstance(value, (list, bool)):
            structure[name] = value
        else:
            raise wrong(f"{place}: dynamics_params: {name}", value, "a number, a list of numbers, true or false")
    return _Kind(model, False, structure, values)


def _lists(model: str) -> Mapping[str, ListParameter]:
    declared = MODELS[model]
    return {x.name: x for x in declared.lists} if isinstance(declared, Family) else {}


def _shape(kind: _Kind) -> dict[str, Any]:
    """Lists and switches as a description has them; elements of a family's lists are given besides."""
    lists = _lists(kind.model)
    return {
        name: [lists[name].element(k).default for k in range(1, n + 1)] if name in lists and type(n) is int else n
        for name, n in kind.structure.items()
    }


def _example(kind: _Kind) -> Model:
    declared = MODELS[kind.model]
    if isinstance(declared, Family):
        whole = {w.name: kind.values[w.name] for w in declared.wholes if w.name in kind.values}
        made, _ = declared.resolve({**_shape(kind), **whole}, "dynamics_params")
        return made
    return declared


def _values(
    declared: Model, kinds: Sequence[_Kind], which: Ids, nodes: Nodes, begin: int, end: int, v_init: float | None
) -> dict[str, float | list[float]]:
    """Parameters and initial values of a part: a number, or a list where nodes differ."""
    defaults: dict[str, Any] = {p.name: p.default for p in declared.parameters}
    defaults |= {s.name: s.initial for s in declared.states}
    if v_init is not None and "V_m" in defaults:
        defaults["V_m"] = v_init
    own = {n.partition("/")[2]: v[begin:end] for n, v in nodes.attributes.items() if n.startswith("dynamics_params/")}

    def of(name: str) -> npt.NDArray[np.float64]:
        """float64[nodes]: a node's own number, else its type's, else the model's, which may be that of a parameter."""
        each = np.array([kind.values.get(name, np.nan) for kind in kinds])[which]
        if name in own:
            each = np.where(np.isnan(own[name]), each, own[name])
        missing = np.isnan(each)
        if not missing.any():
            return each
        fallback = defaults.get(name)
        if not isinstance(fallback, (int, float, str)):
            near = nearest(name, (n for n, v in defaults.items() if isinstance(v, (int, float))))
            raise ConfigError(f"dynamics_params: {name}: unknown parameter of {declared.name}; {near}")
        return np.where(missing, of(fallback) if isinstance(fallback, str) else float(fallback), each)

    given = [name for k in np.unique(which).tolist() for name in kinds[k].values] + list(own)
    given += ["V_m"] if v_init is not None and "V_m" in {s.name for s in declared.states} else []
    values: dict[str, float | list[float]] = {}
    for name in dict.fromkeys(given):
        each = of(name)
        numbers, places = np.unique(each, return_inverse=True)
        several = numbers.tolist()  # equal numbers are one object
        values[name] = several[0] if len(several) == 1 else [several[k] for k in places.tolist()]
    return values
