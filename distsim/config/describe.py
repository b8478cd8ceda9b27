"""A network described in Python, as a document: so that its results, too, come with a file to run again."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from pathlib import Path
from typing import Any

from distsim.distributions import (
    Drawn,
    Exponential,
    Gamma,
    Listed,
    Lognormal,
    Normal,
    NormalClipped,
    Uniform,
    UniformInt,
    Value,
)
from distsim.elements import Input, Population, Projection
from distsim.experiment import Experiment
from distsim.expressions import Expression
from distsim.models import GIVEN_IN_PYTHON, MODELS, Model
from distsim.network import Network
from distsim.rules import Explicit
from distsim.selection import Selection
from distsim.space import Ellipse, Grid, PositionList, Positions, Space


def described_document(experiment: Experiment, directory: Path) -> dict[str, Any]:
    """The experiment in the explicit form; listed connections are written to `directory` as CSV.

    Reading it back gives the same network, the same digest, and resolves to the same document: long forms throughout.
    """
    network, run = experiment.network, experiment.run
    files: dict[str, str] = {}
    document: dict[str, Any] = {
        "name": network.name,
        "run": _without_none(dataclasses.asdict(run)),
        **({"space": _space(network.space)} if network.space is not None else {}),
        "populations": {},
        "inputs": {
            i.name: input_document(i)
            for i in network.inputs
        },
        "projections": [_projection(p, k, directory, files) for k, p in enumerate(network.projections)],
        "record": _record(network),
    }  # fmt: skip
    partition = document["run"]["partition"]
    if not isinstance(partition, str):
        document["run"]["partition"] = dict(partition)
    for p in network.populations:
        vectors = {v.name for v in p.model.vector_parameters}
        given = p.params if p.model.form is None else p.model.form.gathered(p.params)
        params = {k: [list(row) for row in v] if k in vectors else _value(v) for k, v in given.items()}
        document["populations"][p.name] = {
            "model": _model(p), "size": p.size, "params": params,
            "initial": {k: _value(v) for k, v in p.initial.items()},
            **({"positions": _positions(p.positions)} if p.positions is not None else {}),
        }  # fmt: skip
    if files:
        document["files"] = files
    return document


def _model(population: Population) -> str:
    """The name of a built-in model; one that says what it is where the declaration came with the script."""
    model = population.model
    known = MODELS.get(model.name)
    if model.form is not None:
        built_in = model.form.family is known
    else:
        built_in = isinstance(known, Model) and known.chosen(population.params) is model
    return model.name if built_in else model.name + GIVEN_IN_PYTHON


def _without_none(settings: dict[str, Any]) -> dict[str, Any]:
    return {k: _without_none(v) if k == "checkpoint" and v else v for k, v in settings.items() if v is not None}


def input_document(described: Input) -> dict[str, Any]:
    """As an input stands in an experiment file, in full."""
    params = {k: list(v) if isinstance(v, tuple) else _value(v) for k, v in described.params.items()}
    optional = {"receptor": described.receptor, "stop": described.stop if math.isfinite(described.stop) else None}
    return {
        "type": described.device.name, "targets": [t.document() for t in described.targets],
        "weight": described.weight, "start": described.start,
        **{k: v for k, v in optional.items() if v is not None}, **params,
    }  # fmt: skip


def _space(space: Space) -> dict[str, Any]:
    box = {"extent": space.extent, "center": space.center}
    known = {k: list(v) for k, v in box.items() if v is not None}
    return {"unit": space.unit, **known, **({"periodic": list(space.periodic)} if space.periodic else {})}


_NAMES: dict[type, str] = {
    Uniform: "uniform", UniformInt: "uniform_int", Normal: "normal", Lognormal: "lognormal",
    Exponential: "exponential", Gamma: "gamma",
}  # fmt: skip


def _value(value: Value | list[float] | bool) -> Any:
    if isinstance(value, NormalClipped):
        bounds = {"min": value.min, "max": value.max}
        finite = {k: v for k, v in bounds.items() if v is not None and abs(v) != float("inf")}
        return {"normal_clipped": {"mean": value.mean, "std": value.std, **finite}}
    if isinstance(value, Drawn):
        given = dataclasses.asdict(value)
        optional = {k: given.pop(k) for k in ("min", "max", "bounds", "factor", "offset") if k in given}
        finite = {k: v for k, v in optional.items() if v is not None and v not in (math.inf, -math.inf)}
        return {_NAMES[type(value)]: {**given, **finite}}
    if isinstance(value, Listed):
        return list(value.values)
    if isinstance(value, Expression):
        return value.text
    assert isinstance(value, (float, list, bool))  # the last two: parameters of a family
    return value


def _positions(positions: Positions) -> dict[str, Any]:
    if isinstance(positions, PositionList):
        return {"listed": [list(row) for row in positions.values]}
    where = {"extent": list(positions.extent), "center": list(positions.center)}
    if isinstance(positions, Grid):
        return {"grid": {"shape": list(positions.shape), **where}}
    if isinstance(positions, Ellipse) and positions.inner_radius:
        radii = {"inner_radius": positions.inner_radius, "outer_radius": 0.5 * positions.extent[0]}
        return {"annulus": {**radii, "center": list(positions.center)}}
    return {positions.name: where}


def _rule(rule: Any) -> dict[str, Any]:
    given = {f.name: getattr(rule, f.name) for f in dataclasses.fields(rule)}
    mask = given.pop("mask", None)
    kept = {k: v.text if isinstance(v, Expression) else v for k, v in given.items() if v is not None}
    return {rule.name: {**kept, **({"mask": mask.document()} if mask is not None else {})}}


def _projection(projection: Projection, number: int, directory: Path, files: dict[str, str]) -> dict[str, Any]:
    rule = projection.rule
    document: dict[str, Any] = {
        "source": [s.document() for s in projection.sources],
        "target": [s.document() for s in projection.targets],
    }
    if isinstance(rule, Explicit):
        path = directory.absolute() / f"edges-{number}.csv"
        _write_edges(rule, path)
        files[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        document["rule"] = {"explicit": {"file": str(path)}}
    else:
        document["rule"] = _rule(rule)
        document["weight"], document["delay"] = _value(projection.weight), _value(projection.delay)
    if projection.receptor is not None:
        document["receptor"] = projection.receptor
    if projection.by_source:
        document["generate"] = "by_source"
    if projection.weight_bits is not None:
        document["weight_bits"] = projection.weight_bits
    if projection.storage != "stored":
        document["storage"] = projection.storage
    return document


def _write_edges(rule: Explicit, path: Path) -> None:
    header = "source,target,weight,delay" + (",receptor\n" if rule.summary.receptors else "\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write(header)
        for block in rule.blocks(None):
            ports = [block.receptor.tolist()] if rule.summary.receptors else []
            columns = [block.source.tolist(), block.target.tolist(), block.weight.tolist(), block.delay.tolist()]
            for row in zip(*columns, *ports, strict=True):
                file.write(",".join(x if isinstance(x, str) else repr(x) for x in row) + "\n")


def _record(network: Network) -> dict[str, Any]:
    spikes: Any = "all" if network.spike_recording is None else [s.document() for s in network.recorded_neurons()]
    states = {
        r.population.name: {
            "variables": list(r.variables), "interval": r.interval, "draw": 0,
            **_which(r.selection),
        }
        for r in network.state_recordings
    }  # fmt: skip
    rates = network.rate_recording
    counted = {"rates": {"bin": rates.bin, "populations": [p.name for p in rates.populations]}} if rates else {}
    return {"spikes": spikes, "states": states, **counted, "connections": list(network.connection_recording)}


def _which(selection: Selection) -> dict[str, Any]:
    """The keys of a selection beside its population."""
    said = selection.document()
    return {k: v for k, v in said.items() if k != "population"} if isinstance(said, dict) else {}
