"""A built network as a SONATA circuit, from all ranks: `distsim export`.

What SONATA can say is said so that it runs again to the same spikes: weights and delays as simulated, parameters and
initial values that were drawn as numbers of the nodes, spike generators as virtual nodes with their spikes. Inputs that
it has no words for (Poisson backgrounds and the like) stand in our own section, which others pass over. What else it
cannot say is told.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.build.locations import located
from distsim.build.sampling import population_values
from distsim.build.selecting import selected_ids
from distsim.config.describe import input_document
from distsim.distributions import Listed
from distsim.elements import Input, Population
from distsim.engine.edges_dump import Dump, dump_connections, dumped
from distsim.engine.simulation import Simulation
from distsim.io.circuit import (
    CIRCUIT,
    COMPONENTS,
    EDGE_TYPES,
    NODE_TYPES,
    NODES_FILE,
    SIMULATION,
    SPIKE_INPUTS,
    WINDOW,
    NodeKind,
    NodesWriter,
    Trains,
    circuit_document,
    write_json,
    write_spike_inputs,
    write_table,
)
from distsim.io.edges import EDGES_FILE
from distsim.io.new_hdf5 import new_hdf5
from distsim.lengths import AXES
from distsim.models import MODELS
from distsim.network import Network
from distsim.rules import Explicit
from distsim.selection import Selection
from distsim.space import Space

FIRST_TYPE = 100  # ids of types, as BMTK counts them
LONG_LIST = 1000  # longer lists of an input are files
COLUMN = "value"  # of theirs
ALWAYS = 1e9  # ms: how long a current without an end lasts


def export_circuit(simulation: Simulation, out: Path) -> list[str]:
    """Write the circuit of a simulation that has computed nothing into the folder `out` (every rank must call).

    Returns
    -------
    list of str
        What SONATA cannot say of it, a line each.

    Raises
    ------
    ResultError
        A file cannot be written.
    """
    experiment, comm = simulation.experiment, simulation.comm
    network = experiment.network
    left_out: list[str] = []
    kinds = [_kind(p, left_out) for p in network.populations]
    comm.first_alone(lambda: (out / COMPONENTS).mkdir(parents=True, exist_ok=True))
    _write_nodes(simulation, kinds, out / NODES_FILE)
    every = tuple(range(len(network.projections)))
    dumps = _typed(network, dumped(network, every)) if every else []
    left_out += [text for dump in dumps for text in _merged(simulation, dump)]
    if dumps:
        dump_connections(simulation, every, out / EDGES_FILE, dumps=dumps)
    trains = {p.name: _spike_trains(p) for p in network.populations if p.model.name == "spike_generator"}
    columns: dict[str, Listed] = {}
    simulated = _simulation(simulation, trains, columns, left_out)

    def write_documents() -> None:
        write_table(out / NODE_TYPES, [_node_row(i, k, out) for i, k in enumerate(kinds)])
        names = [d.population.name for d in dumps]
        if dumps:
            write_table(out / EDGE_TYPES, [row for d in dumps for row in _edge_rows(network, d, out)])
        if trains:
            write_spike_inputs(out / SPIKE_INPUTS, trains)
        for file, numbers in columns.items():
            write_table(out / COMPONENTS / file, [{COLUMN: repr(x)} for x in numbers.values])
        write_json(out / CIRCUIT, circuit_document(kinds, names, EDGES_FILE))
        write_json(out / SIMULATION, simulated)

    comm.first_alone(write_documents)
    return left_out


def _kind(population: Population, left_out: list[str]) -> NodeKind:
    model = population.model
    axes = tuple(AXES[: population.positions.dimensions]) if population.positions is not None else ()
    if model.name == "spike_generator":
        return NodeKind(population.name, population.size, "", axes=axes)
    if model.name not in MODELS:
        left_out.append(f"populations.{population.name}: {model.name} is a model of your own, unknown elsewhere")
    params: dict[str, Any] = {}
    each: list[str] = []
    for parameter in model.scalar_parameters:
        value = population_values(population, parameter.name)
        params[parameter.name] = value
        if not isinstance(value, float):
            each.append(parameter.name)
    shared = params if model.form is None else model.form.gathered(params)
    shared = {name: value for name, value in shared.items() if name not in each}
    for vector in model.vector_parameters:
        rows = [list(row) for row in population.params[vector.name]]
        if any(row != rows[0] for row in rows):
            left_out.append(f"populations.{population.name}.params.{vector.name}: lists that differ between neurons")
        else:
            shared[vector.name] = rows[0]
    for name, value in population.initial.items():
        if isinstance(value, float):
            shared[name] = value
        else:
            each.append(name)
    return NodeKind(population.name, population.size, f"nest:{model.name}", shared, tuple(each), axes)


def _write_nodes(simulation: Simulation, kinds: Sequence[NodeKind], path: Path) -> None:
    """Rank 0 writes what all bring, a window of nodes of one parameter at a time."""
    comm = simulation.comm
    places = [(p, k, name, at) for p, k in enumerate(kinds) for name in k.each for at in range(0, k.size, WINDOW)]
    blocks = (_block(simulation, p, name, at, min(WINDOW, k.size - at)) for p, k, name, at in places)
    if comm.rank:
        for _ in blocks:
            pass
        comm.first_alone(lambda: None)
        return
    with new_hdf5(path) as (file, check):
        writer = NodesWriter(file)
        for i, kind in enumerate(kinds):
            writer.population(kind, FIRST_TYPE + i)
        for (_, kind, name, at), values in zip(places, blocks, strict=True):
            writer.write(kind.name, f"dynamics_params/{name}", at, values)
            check()
        _write_positions(simulation, writer, check)
    comm.first_alone(lambda: None)


def _write_positions(simulation: Simulation, writer: NodesWriter, check: Callable[[], None]) -> None:
    """x, y and z in micrometres, as SONATA has them; one rank finds those of any neuron."""
    experiment, backend = simulation.experiment, simulation.backend
    space = experiment.network.space or Space()
    scale = {"mm": 1000.0, "um": 1.0}[space.unit]
    for population in experiment.network.populations:
        for at, found in located(population, experiment.run.seed, experiment.run.precision, backend, WINDOW):
            for axis, values in zip(AXES, scale * found, strict=False):
                writer.write(population.name, axis, at, values)
            check()


def _block(simulation: Simulation, p: int, name: str, at: int, n: int) -> npt.NDArray[np.float64]:
    """A parameter or state of the nodes `at` … `at` + `n` - 1 of a population, from all ranks."""
    part = simulation.layout.part(p)
    positions = np.asarray(part.positions(), np.int64)
    here = np.flatnonzero((positions >= at) & (positions < at + n))
    group = simulation.groups[simulation.layout.group_of(p).index]
    own = group.read(part, name)[here]
    ids, values = simulation.comm.share(positions[here]), simulation.comm.share(own)
    block = np.zeros(n)
    block[np.concatenate(ids) - at] = np.concatenate(values)
    return block


def _node_row(i: int, kind: NodeKind, out: Path) -> dict[str, str]:
    row = {"node_type_id": str(FIRST_TYPE + i), "model_type": "point_neuron" if kind.template else "virtual",
           "model_name": kind.name}  # fmt: skip
    if not kind.template:
        return row
    file = f"node_{FIRST_TYPE + i}.json"
    write_json(out / COMPONENTS / file, kind.params)
    return {**row, "model_template": kind.template, "dynamics_params": file}


def _typed(network: Network, dumps: Sequence[Dump]) -> list[Dump]:
    """Each population of edges with types of its own, one for each receptor of its target."""
    typed, first = [], FIRST_TYPE
    for dump in dumps:
        typed.append(dataclasses.replace(dump, population=dataclasses.replace(dump.population, first_type=first)))
        first += len(dump.population.receptors)
    return typed


def _merged(simulation: Simulation, dump: Dump) -> list[str]:
    """Where the synapses of one population of edges lie in several planes: read back, they are one list in one."""
    planes, population = simulation.planes, dump.population
    model = simulation.experiment.network.populations[dump.target].model
    receptors = np.repeat(np.arange(len(model.receptors)), planes.per_receptor[model.symbol])
    used = {
        plane.index
        for (number, target, _), endpoint in planes.endpoints.items() if target == dump.target
        and number in population.projections for plane in (endpoint.positive, endpoint.negative)
        if plane is not None
    }  # fmt: skip
    mine = [r for r in receptors[sorted(used)].tolist() if dump.receptors is None or r in dump.receptors]
    if len(set(mine)) == len(mine):
        return []
    numbers = ", ".join(str(number) for number in population.projections)
    return [f"projections {numbers}: in {population.name} the finer resolution of weights that are 2^7 smaller"]


def _edge_rows(network: Network, dump: Dump, out: Path) -> list[dict[str, str]]:
    """The types of a population of edges; a receptor is named where the sign of the weight does not say it."""
    population, rows = dump.population, []
    assert population.first_type is not None
    joined = [network.projections[k] for k in population.projections]
    by_name = any(p.receptor is not None or (isinstance(p.rule, Explicit) and p.rule.summary.receptors) for p in joined)
    for r, port in enumerate(population.receptors):
        type_id = population.first_type + r
        params: dict[str, Any] = {"receptor_type": int(port) if port.isdecimal() else port} if by_name else {}
        file = f"edge_{type_id}.json"
        write_json(out / COMPONENTS / file, params)
        rows.append(
            {"edge_type_id": str(type_id), "model_template": "static_synapse", "dynamics_params": file,
             "target_query": "*", "source_query": "*"}
        )  # fmt: skip
    return rows


def _spike_trains(population: Population) -> Trains:
    """The spikes that a population of generators emits."""
    params, weighs = population.params, population.model.weighs

    def number(name: str, i: int) -> float:
        value = params.get(name, next(p.default for p in population.model.parameters if p.name == name))
        return float(value if isinstance(value, float) else value.values[i])

    times, weights = [], []
    for i, row in enumerate(params["spike_times"]):
        origin, start, stop = (number(name, i) for name in ("origin", "start", "stop"))
        active = [k for k, t in enumerate(row) if start < t <= stop]
        times.append([round(origin + row[k], 9) for k in active])
        weights.append([params[weighs][i][k] for k in active] if weighs else [])
    return Trains(times, weights if weighs else ())


def _clamp(given: Input, dt: float) -> dict[str, Any] | None:
    """An input as SONATA's current clamp; None where it is another."""
    amplitude = given.params.get("amplitude")
    if given.device.name != "dc_generator" or not isinstance(amplitude, float):
        return None
    length = ALWAYS if math.isinf(given.stop) else given.stop - given.start
    return {
        "input_type": "current_clamp", "module": "IClamp", "amp": amplitude * given.weight, "delay": given.start,
        "duration": round(math.floor(length / dt + 0.5) * dt, 9),
    }  # fmt: skip


def _own_input(given: Input, number: int, columns: dict[str, Listed]) -> dict[str, Any]:
    """An input in the words of our files; long lists become files of `columns`."""
    document = input_document(given)
    for name, value in given.params.items():
        if isinstance(value, Listed) and len(value.values) > LONG_LIST:
            file = f"input_{number}_{name}.csv"
            columns[file] = value
            document[name] = {"file": f"./{COMPONENTS}/{file}", "column": COLUMN}
    return document


def _free(label: str, taken: Container[str]) -> str:
    """`label`, or more of it where that name is taken."""
    while label in taken:
        label += "_"
    return label


def _simulation(
    simulation: Simulation, trains: Mapping[str, Any], columns: dict[str, Listed], left_out: list[str]
) -> dict[str, Any]:
    experiment = simulation.experiment
    network, run = experiment.network, experiment.run
    names = [given.name for given in network.inputs]
    inputs: dict[str, Any] = {}
    for name in trains:
        inputs[_free(f"spikes_of_{name}", [*names, *inputs])] = {
            "input_type": "spikes", "module": "h5", "input_file": f"./{SPIKE_INPUTS}", "node_set": name,
        }  # fmt: skip
    sets: dict[str, Any] = {}

    def added(label: str, value: Any) -> str:
        label = _free(label, sets)
        sets[label] = value
        return label

    def node_set(label: str, chosen: Sequence[Selection]) -> str:
        parts = [_as_set(s, run.seed) for s in chosen]
        return added(label, parts[0] if len(parts) == 1 else [added(f"{label}_{i}", p) for i, p in enumerate(parts)])

    own_inputs: dict[str, Any] = {}
    for number, given in enumerate(network.inputs):
        clamp = _clamp(given, run.dt)
        if clamp is None:
            own_inputs[given.name] = _own_input(given, number, columns)
        else:
            inputs[given.name] = {"node_set": node_set(f"onto_{given.name}", given.targets), **clamp}
    reports: dict[str, Any] = {}
    for recording in network.state_recordings:
        cells = node_set(f"recorded_of_{recording.population.name}", [recording.selection])
        for variable in recording.variables:
            reports[f"{recording.population.name}_{variable}"] = {
                "module": "membrane_report", "sections": "soma", "variable_name": variable, "cells": cells,
                "dt": recording.interval,
            }  # fmt: skip
    neurons = {p.name for p in network.populations if p.model.is_neuron}
    if neurons != {s.name if s.is_whole else None for s in network.recorded_neurons()}:
        left_out.append("record.spikes: SONATA writes the spikes of all neurons")
    if network.rate_recording is not None:
        left_out.append("record.rates: SONATA has no such report")
    if network.connection_recording:
        left_out.append("record.connections: SONATA has no such report")
    own: dict[str, Any] = {
        "run": {"duration": run.duration, "warmup": run.warmup, "seed": run.seed, "precision": run.precision}
    }
    if own_inputs:
        own["inputs"] = own_inputs
        if len(own_inputs) < len(network.inputs):
            own["input_order"] = names
    return {
        "version": 2, "manifest": {"$OUTPUT_DIR": "./output"}, "network": f"./{CIRCUIT}", "target_simulator": "NEST",
        "run": {"tstart": 0.0, "tstop": round(run.end * run.dt, 9), "dt": run.dt},
        "node_sets": sets, "inputs": inputs, "reports": reports,
        "output": {"output_dir": "$OUTPUT_DIR", "spikes_file": "spikes.h5"}, "distsim": own,
    }  # fmt: skip


def _as_set(selection: Selection, seed: int) -> dict[str, Any]:
    whole = {"population": selection.name}
    return whole if selection.is_whole else {**whole, "node_id": selected_ids(selection, seed).tolist()}
