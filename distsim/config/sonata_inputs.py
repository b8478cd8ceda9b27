"""What a SONATA simulation adds to its circuit: sets of nodes, spike trains, currents, reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.config.files import told_of
from distsim.config.messages import shown
from distsim.config.sonata_config import Sections, listing, mapping, number, text
from distsim.config.sonata_nodes import Nodes
from distsim.config.spike_files import HDF5_MAGIC, OPTIONAL, sonata_spikes
from distsim.config.tables import MAX_ID
from distsim.errors import ConfigError, nearest, wrong
from distsim.grid import on_grid
from distsim.io.files import step_times
from distsim.network import Network
from distsim.selection import Selection

Ids = npt.NDArray[np.int64]
Trains = Callable[[int], dict[str, list[list[float]]]]  # parameters of so many spike generators
REPORTS = ("multimeter_report", "membrane_report", "membrane_potential", "multimeter")
MAX_STEPS = 2**40  # of a run
MAX_NESTED = 64  # node sets of node sets
NAMES = {"v": "V_m", "Vm": "V_m"}  # SONATA's and other spellings


def chosen_nodes(config: Sections, given: object, nodes: Mapping[str, Nodes], where: str) -> dict[str, Ids | None]:
    """The nodes of a set: SONATA population → ids (None: all of it).

    Parameters
    ----------
    given
        The name of a set or a population, a list of these, or conditions that a node has to meet.
    """
    return _Sets(config.section("node_sets"), nodes).chosen(given, where, ())


class _Sets:
    """The node sets of a configuration; each is looked up once, however often others name it."""

    def __init__(self, sets: Mapping[str, Any], nodes: Mapping[str, Nodes]) -> None:
        self._sets, self._nodes = sets, nodes
        self._known: dict[str, dict[str, Ids | None]] = {}

    def chosen(self, given: object, where: str, within: tuple[str, ...]) -> dict[str, Ids | None]:
        """The nodes of `given`, which stands in the sets `within`."""
        nodes, sets = self._nodes, self._sets
        if given is None or given == "all":
            return {name: None for name, n in nodes.items() if not all(p.virtual for p in n.parts)}
        if len(within) > MAX_NESTED:
            raise ConfigError(f"{where}: found node sets of node sets, {len(within)} deep; allowed: {MAX_NESTED}")
        if isinstance(given, str):
            if given in within:
                raise ConfigError(f"{where}: node set {given!r} contains itself")
            if given in sets:
                if given not in self._known:
                    self._known[given] = self.chosen(sets[given], f"node_sets.{given}", (*within, given))
                return self._known[given]
            if given in nodes:
                return {given: None}
            raise ConfigError(f"{where}: unknown node set {given!r}; {nearest(given, [*sets, *nodes])}")
        if isinstance(given, list):
            if not given:
                raise wrong(where, given, "at least one node set")
            joined: dict[str, Ids | None] = {}
            for part in given:
                for name, ids in self.chosen(part, where, (*within, "")).items():
                    before = joined.get(name, np.empty(0, np.int64))
                    joined[name] = None if ids is None or before is None else np.union1d(before, ids)
            return joined
        return _meeting(mapping(given, where), nodes, where)


def _meeting(conditions: Mapping[str, Any], nodes: Mapping[str, Nodes], where: str) -> dict[str, Ids | None]:
    wanted = conditions.get("population")
    names = list(nodes) if wanted is None else wanted if isinstance(wanted, list) else [wanted]
    known: set[str] = {"population", "node_id", "node_ids"}
    found: dict[str, Ids | None] = {}
    for name in names:
        if name not in nodes:
            raise ConfigError(f"{where}.population: unknown population {name!r}; {nearest(str(name), nodes)}")
        here = nodes[name]
        keep = np.ones(here.size, np.bool_)
        for key, value in conditions.items():
            values = value if isinstance(value, list) else [value]
            if key == "population":
                continue
            if key in ("node_id", "node_ids"):
                bad = next((v for v in values if not isinstance(v, int) or not 0 <= v < here.size), None)
                if bad is not None:
                    raise wrong(f"{where}.{key}", bad, f"ids of {name}, 0 to {here.size - 1}")
                listed = np.zeros(here.size, np.bool_)
                listed[np.array(values, np.int64)] = True
                keep &= listed
                continue
            columns = {c for row in here.table.rows.values() for c in row} | {"node_type_id"}
            known |= columns | set(here.attributes)
            if key in here.attributes:
                keep &= np.isin(here.attributes[key], values)
            elif key in columns:
                texts = {str(v) for v in values}
                types = [
                    t
                    for t, row in here.table.rows.items()
                    if (str(t) if key == "node_type_id" else row.get(key)) in texts
                ]
                keep &= np.isin(here.type_of, types)
            else:
                keep[:] = False
        if keep.all():
            found[name] = None
        elif keep.any():
            found[name] = np.flatnonzero(keep)
    for key in conditions:
        if key not in known:
            raise ConfigError(f"{where}.{key}: unknown property of nodes; {nearest(key, known)}")
    if not found:
        raise ConfigError(f"{where}: found no node that meets {shown(dict(conditions))}")
    return found


def selections(chosen: Mapping[str, Ids | None], nodes: Mapping[str, Nodes]) -> list[Selection]:
    """These nodes, population by population."""
    return [s for name, ids in chosen.items() for s in nodes[name].selections(ids)]


def spike_inputs(config: Sections, dt: float) -> dict[str, Trains]:
    """SONATA population → its spike_times (and spike_weights), a list for each of its nodes, when its size is known."""
    found: dict[str, Trains] = {}
    for label, given in config.section("inputs").items():
        where = f"inputs.{label}"
        entry = mapping(given, where)
        if entry.get("input_type") != "spikes" or entry.get("enabled") is False:
            continue
        for name in _populations(config, entry, where):
            if name in found:
                raise ConfigError(f"{where}: a second input of the spikes of {name}; give each population one")
            found[name] = _trains(config, entry, where, name, dt)
    return found


def _populations(config: Sections, entry: Mapping[str, Any], where: str) -> list[str]:
    """The populations whose spikes an input gives: node sets of virtual nodes are whole populations."""
    given = entry.get("node_set")
    if isinstance(given, str):
        given = config.section("node_sets").get(given, given)
    if isinstance(given, dict):
        if set(given) - {"population"}:
            raise wrong(f"{where}.node_set", given, "a whole population of virtual nodes")
        given = given.get("population")
    names = given if isinstance(given, list) else [given]
    return [text(name, f"{where}.node_set") for name in names]


def _trains(config: Sections, entry: Mapping[str, Any], where: str, name: str, dt: float) -> Trains:
    module = entry.get("module", "h5")
    if module not in ("h5", "sonata", "csv"):
        raise wrong(f"{where}.module", module, "h5, sonata or csv")
    if "input_file" not in entry:
        raise ConfigError(f"{where}.input_file: missing; {nearest('input_file', entry)}")
    at = f"{where}.input_file"
    path = config.path(at, entry["input_file"])

    def trains(size: int) -> dict[str, list[list[float]]]:
        data = config.files.read(path, at)
        config.files.forget(path)
        with told_of(at):
            columns = _spikes(data, path, name)
            times, ids = columns.pop("timestamps"), columns.pop("node_ids")
            if ids.size and int(ids.max()) >= size:
                raise wrong(f"{path}: node_ids", int(ids.max()), f"ids of {name}, 0 to {size - 1}")
            if times.size and not float(times.min()) > 0.0:
                raise wrong(f"{path}: timestamps", float(times.min()), "times > 0 ms")
            if times.size and not float(times.max()) / dt < MAX_STEPS:
                raise wrong(
                    f"{path}: timestamps", float(times.max()), f"times before {MAX_STEPS} steps of dt = {dt} ms"
                )
            # As NEST's allow_offgrid_times: a spike within a step is one at its end.
            steps = np.ceil(times / dt - 1e-6).astype(np.uint64)
            order = np.lexsort((steps, ids))
            ends = np.cumsum(np.bincount(ids, minlength=size))[:-1]
            found = {"spike_times": step_times(steps[order], dt)}
            found |= {OPTIONAL[label]: column[order] for label, column in columns.items()}
            return {label: [part.tolist() for part in np.split(column, ends)] for label, column in found.items()}

    return trains


def _spikes(data: bytes, origin: str, name: str) -> dict[str, Any]:
    """float64 arrays by column (int64 node_ids): times, ids, and the weights and multiplicities that are there."""
    if data.startswith(HDF5_MAGIC):
        return sonata_spikes(data, origin, name, or_only=True)
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ConfigError(f"{origin}: neither HDF5 nor a table in UTF-8") from None
    rows = [(k, line.replace(",", " ").split()) for k, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        return {"timestamps": np.empty(0), "node_ids": np.empty(0, np.int64)}
    header = rows[0][1]
    for needed in ("timestamps", "node_ids"):
        if needed not in header:
            raise ConfigError(f"{origin}:1: no column {needed!r}; {nearest(needed, header)}")
    t, i = header.index("timestamps"), header.index("node_ids")
    p = next((header.index(n) for n in ("population", "populations") if n in header), None)
    more = {label: header.index(label) for label in OPTIONAL if label in header}
    found: dict[str, list[float]] = {"timestamps": [], "node_ids": [], **{label: [] for label in more}}
    for line, fields in rows[1:]:
        if len(fields) != len(header):
            raise ConfigError(f"{origin}:{line}: found {len(fields)} fields; expected {len(header)}")
        if p is not None and fields[p] != name:
            continue
        try:
            time, node = float(fields[t]), int(fields[i])
            others = {label: float(fields[k]) for label, k in more.items()}
        except ValueError:
            raise ConfigError(f"{origin}:{line}: found {' '.join(fields)[:60]!r}; allowed: a time and an id") from None
        if not (all(map(math.isfinite, (time, *others.values()))) and 0 <= node < MAX_ID):
            said = ", ".join(fields[k] for k in (t, i, *more.values()))
            raise ConfigError(f"{origin}:{line}: found {said[:60]}; allowed: finite numbers, an id from 0")
        for label, value in {"timestamps": time, "node_ids": node, **others}.items():
            found[label].append(value)
    return {label: np.array(c, np.int64 if label == "node_ids" else np.float64) for label, c in found.items()}


def currents(network: Network, config: Sections, nodes: Mapping[str, Nodes], dt: float) -> None:
    """Current clamps: `amp` pA from `delay` ms on for `duration` ms, as BMTK gives them to NEST."""
    for label, given in config.section("inputs").items():
        where = f"inputs.{label}"
        entry = mapping(given, where)
        kind = entry.get("input_type")
        if entry.get("enabled") is False or kind == "spikes":
            continue
        if kind != "current_clamp":
            raise wrong(f"{where}.input_type", kind, "spikes or current_clamp")
        if entry.get("module", "IClamp") != "IClamp":
            raise wrong(f"{where}.module", entry["module"], "IClamp")
        targets = selections(chosen_nodes(config, entry.get("node_set"), nodes, f"{where}.node_set"), nodes)
        start, length = number(entry, "delay", where, 0.0), number(entry, "duration", where)
        for key, value in (("delay", start), ("duration", length)):
            if not (math.isfinite(value) and value >= 0.0 and on_grid(value, dt) is not None):
                raise wrong(f"{where}.{key}", value, f"a multiple of dt = {dt} ms")
        if length > 0.0:  # NEST's step_current_generator, which BMTK takes, gives the same current
            network.input(
                "dc_generator", targets, name=label, amplitude=number(entry, "amp", where), start=start,
                stop=round(start + length, 9),
            )  # fmt: skip


def reports(network: Network, config: Sections, nodes: Mapping[str, Nodes], dt: float, tstop: float) -> None:
    """Reports of state variables, together for each population: one interval and one set of neurons."""
    asked: dict[str, tuple[Selection, list[str], float, str]] = {}
    for label, given in config.section("reports").items():
        where = f"reports.{label}"
        entry = mapping(given, where)
        if entry.get("enabled") is False:
            continue
        if entry.get("module", REPORTS[0]) not in REPORTS:
            raise wrong(f"{where}.module", entry["module"], ", ".join(REPORTS))
        if "variable_name" not in entry:
            raise ConfigError(f"{where}.variable_name: missing; a state variable, such as V_m")
        several = entry["variable_name"]
        names = [NAMES.get(v, v) for v in ([several] if isinstance(several, str) else listing(several, where))]
        interval = number(entry, "dt", where, dt)
        begin, end = number(entry, "start_time", where, 0.0), number(entry, "end_time", where, tstop)
        if begin > 0.0 or end < tstop:
            network.warnings.append(f"{where}: start_time and end_time are not read; the whole run is recorded")
        for chosen in selections(chosen_nodes(config, entry.get("cells"), nodes, f"{where}.cells"), nodes):
            if chosen.model.name == "spike_generator":
                continue
            selection, variables, every, before = asked.setdefault(chosen.name, (chosen, [], interval, where))
            if (selection, every) != (chosen, interval):
                raise ConfigError(
                    f"{where}: other cells or another dt than {before} for {chosen.name}; allowed: one of each"
                )
            variables += [name for name in names if name not in variables]
    for selection, variables, interval, where in asked.values():
        with told_of(where):
            network.record_states(selection, variables, interval)
