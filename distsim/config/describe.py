"""A network described in Python, as a document: so that its results, too, come with a file to run again."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from distsim.distributions import Listed, Lognormal, Normal, NormalClipped, Uniform, Value
from distsim.experiment import Experiment
from distsim.network import Network, Projection
from distsim.rules import Explicit


def described_document(experiment: Experiment, directory: Path) -> dict[str, Any]:
    """The experiment in the explicit form; listed connections are written to `directory` as CSV.

    Reading it back gives the same network, the same digest, and resolves to the same document: long forms throughout.
    """
    network, run = experiment.network, experiment.run
    files: dict[str, str] = {}
    document: dict[str, Any] = {
        "name": network.name,
        "run": _without_none(dataclasses.asdict(run)),
        "populations": {},
        "inputs": {
            i.name: {
                "type": "poisson", "targets": [t.name for t in i.targets], "rate": i.rate, "weight": i.weight,
                **({"receptor": i.receptor} if i.receptor is not None else {}),
            }
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
        params = {k: [list(row) for row in v] if k in vectors else _value(v) for k, v in p.params.items()}
        document["populations"][p.name] = {
            "model": p.model.name, "size": p.size, "params": params,
            "initial": {k: _value(v) for k, v in p.initial.items()},
        }  # fmt: skip
    if files:
        document["files"] = files
    return document


def _without_none(settings: dict[str, Any]) -> dict[str, Any]:
    return {k: _without_none(v) if k == "checkpoint" and v else v for k, v in settings.items() if v is not None}


def _value(value: Value) -> Any:
    if isinstance(value, Uniform):
        return {"uniform": {"low": value.low, "high": value.high}}
    if isinstance(value, Normal):
        return {"normal": {"mean": value.mean, "std": value.std}}
    if isinstance(value, Lognormal):
        return {"lognormal": {"mean": value.mean, "std": value.std}}
    if isinstance(value, NormalClipped):
        bounds = {"min": value.minimum, "max": value.maximum}
        finite = {k: v for k, v in bounds.items() if v is not None and abs(v) != float("inf")}
        return {"normal_clipped": {"mean": value.mean, "std": value.std, **finite}}
    if isinstance(value, Listed):
        return list(value.values)
    assert isinstance(value, float)
    return value


def _projection(projection: Projection, number: int, directory: Path, files: dict[str, str]) -> dict[str, Any]:
    rule = projection.rule
    document: dict[str, Any] = {
        "source": [p.name for p in projection.sources],
        "target": [p.name for p in projection.targets],
    }
    if isinstance(rule, Explicit):
        path = directory.absolute() / f"edges-{number}.csv"
        _write_edges(rule, path)
        files[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        document["rule"] = {"explicit": {"file": str(path)}}
    else:
        document["rule"] = {rule.name: dataclasses.asdict(rule)}
        document["weight"], document["delay"] = _value(projection.weight), _value(projection.delay)
    if projection.receptor is not None:
        document["receptor"] = projection.receptor
    return document


def _write_edges(rule: Explicit, path: Path) -> None:
    edges = rule.read()
    ports = edges.receptor.tolist()
    columns = [edges.source.tolist(), edges.target.tolist(), edges.weight.tolist(), edges.delay.tolist()]
    with open(path, "w", encoding="utf-8") as file:
        file.write("source,target,weight,delay" + (",receptor\n" if ports else "\n"))
        for row in zip(*columns, *([ports] if ports else []), strict=True):
            file.write(",".join(x if isinstance(x, str) else repr(x) for x in row) + "\n")


def _record(network: Network) -> dict[str, Any]:
    spikes: Any = "all" if network.record_spikes is None else list(network.record_spikes)
    states = {
        r.population.name: {
            "variables": list(r.variables), "interval": r.interval,
            **({"neurons": list(r.neurons)} if r.neurons is not None else {}),
        }
        for r in network.state_recordings
    }  # fmt: skip
    return {"spikes": spikes, "states": states}
