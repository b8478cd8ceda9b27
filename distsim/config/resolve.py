"""The fully resolved document: defaults filled in, absolute paths, and the hash of every file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distsim.config import schema
from distsim.config import schema_values as forms
from distsim.config.files import FileStore
from distsim.config.schema_base import Spec
from distsim.config.schema_space import PositionFile
from distsim.experiment import Experiment


def resolved_document(
    spec: schema.ExperimentSpec, experiment: Experiment, arguments: Mapping[str, Any], files: FileStore
) -> dict[str, Any]:
    """What `spec` means in full, as a document that reads back to the identical experiment.

    Parameters
    ----------
    spec
        The file as checked.
    experiment
        What became of it: gives the defaults of models and of projections.
    arguments
        All arguments of the builder, where there is one.
    files
        What was read: gives absolute paths and hashes.
    """
    network = experiment.network
    document: dict[str, Any] = {"name": network.name, "run": _dumped(spec.run, files)}
    if spec.network is not None:
        builder = spec.network.builder
        if ":" in builder:
            file, _, function = builder.rpartition(":")
            builder = f"{files.absolute(file)}:{function}"
        document["network"] = {"builder": builder, **arguments}
    else:
        if spec.space is not None:
            document["space"] = _dumped(spec.space, files)
        document["populations"] = {}
        for name, given in (spec.populations or {}).items():
            population = _dumped(given, files)
            model = network[name].model
            defaults: dict[str, Any] = {p.name: p.default for p in model.scalar_parameters}
            if model.form is not None:
                defaults = model.form.gathered(defaults)
            population["params"] = {**defaults, **population["params"]}
            if ":" in given.model:
                file, _, declared = given.model.rpartition(":")
                population["model"] = f"{files.absolute(file)}:{declared}"
            document["populations"][name] = population
        document["inputs"] = {}
        for described in network.inputs:
            device, label = described.device, described.name
            document["inputs"][label] = {
                "weight": described.weight, **{s.name: s.default for s in device.settings if s.default is not None},
                **_dumped(spec.inputs[label], files), "type": device.name,
            }  # fmt: skip
        document["projections"] = []
        for connection, made in zip(spec.projections, network.projections, strict=True):
            projection = _dumped(connection, files)
            if "explicit" not in projection["rule"]:
                projection.setdefault("weight", made.weight)
                projection.setdefault("delay", made.delay)
            document["projections"].append(projection)
    if spec.record is not None or spec.network is None:
        document["record"] = _dumped(spec.record or schema.RecordSpec(), files)
    if files.hashes:
        document["files"] = dict(sorted(files.hashes.items()))
    return document


def _dumped(value: Any, files: FileStore) -> Any:
    """`value` as plain lists and mappings, without keys left out, paths absolute."""
    if isinstance(value, (forms.ColumnSpec, forms.EdgeFile, forms.SpikesSpec, PositionFile)):
        return {**value.model_dump(exclude_none=True), "file": files.absolute(value.file)}
    if isinstance(value, Spec):
        return {key: _dumped(item, files) for key, item in value if item is not None}
    if isinstance(value, dict):
        return {key: _dumped(item, files) for key, item in value.items()}
    if isinstance(value, list):
        return [_dumped(item, files) for item in value]
    return value
