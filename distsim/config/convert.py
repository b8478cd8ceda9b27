"""From the checked file to the description: Network and RunSettings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from distsim.config import schema
from distsim.config import schema_values as forms
from distsim.config.convert_space import to_degree_rule, to_pair_rule, to_positions, to_space
from distsim.config.edge_files import listed_in_file
from distsim.config.files import FileStore
from distsim.config.schema_space import LinearDistanceSpec
from distsim.config.spike_files import OPTIONAL, spike_columns
from distsim.config.tables import read_column
from distsim.config.user_files import model_of
from distsim.devices import device_named
from distsim.distributions import (
    Exponential,
    Gamma,
    Listed,
    Lognormal,
    Normal,
    NormalClipped,
    Uniform,
    UniformInt,
)
from distsim.elements import Population
from distsim.errors import ConfigError, nearest, wrong
from distsim.experiment import Checkpoints, RunSettings
from distsim.network import Network
from distsim.profiles import linear_distance
from distsim.rules import RULES, Rule
from distsim.selection import Selection, select


def run_settings(spec: schema.RunSpec) -> RunSettings:
    """The run settings of `spec`, which checks itself."""
    settings = spec.model_dump()
    if spec.checkpoint is not None:
        settings["checkpoint"] = Checkpoints(**spec.checkpoint.model_dump())
    return RunSettings(**settings)


def described_network(spec: schema.ExperimentSpec, name: str, dt: float, files: FileStore) -> Network:
    """The network of a file that describes its populations."""
    network = Network(name, to_space(spec.space))
    for label, population in (spec.populations or {}).items():
        where, size = f"populations.{label}", population.size
        network.population(
            label,
            size,
            model_of(population.model, f"{where}.model", files),
            params=_parameters(population.params, size, f"{where}.params", files),
            initial={k: to_value(v, f"{where}.initial.{k}", files) for k, v in population.initial.items()},
            positions=to_positions(population.positions, population.size, f"{where}.positions", files),
        )
    for label, given in spec.inputs.items():
        described_input(network, given, label, files)
    for i, projection in enumerate(spec.projections):
        _project(network, projection, f"projections[{i}]", dt, files)
    return network


def described_input(network: Network, given: schema.InputSpec, label: str, files: FileStore) -> None:
    """Add the input `label` of a file to the network."""
    where = f"inputs.{label}"
    device_named(given.type, f"{where}.type")  # before its parameters
    targets = _selections(network, given.targets, f"{where}.targets")
    network.input(
        given.type, targets, name=label, weight=given.weight, receptor=given.receptor, start=given.start,
        stop=math.inf if given.stop is None else given.stop,
        params={k: to_value(v, f"{where}.{k}", files) for k, v in given.params.items()},
    )  # fmt: skip


def record(network: Network, spec: schema.RecordSpec) -> None:
    """Replace what `network` records by `spec`."""
    network.spike_recording = None
    if spec.spikes != "all":
        network.record_spikes(_selections(network, spec.spikes, "record.spikes", empty=True))
    network.state_recordings.clear()
    for name, states in spec.states.items():
        if not any(p.name == name for p in network.populations):
            raise _unknown(network, name, f"record.states.{name}")
        which = states.model_dump(include={"slice", "neurons", "fraction", "draw"})
        if which["neurons"] is not None:
            which["neurons"].sort()
        chosen = select(network[name], **which, where=f"record.states.{name}")
        network.record_states(chosen, states.variables, states.interval)
    every = tuple(range(len(network.projections)))
    network.connection_recording = every if spec.connections == "all" else tuple(spec.connections)
    network.rate_recording = None
    if spec.rates is not None:
        names = None if spec.rates.populations == "all" else list(spec.rates.populations)
        if names is not None:
            _side(network, names, "record.rates.populations")
        network.record_rates(spec.rates.bin, names)


_DRAWN: tuple[tuple[type, str, type], ...] = (
    (forms.UniformSpec, "uniform", Uniform),
    (forms.UniformIntSpec, "uniform_int", UniformInt),
    (forms.NormalSpec, "normal", Normal),
    (forms.LognormalSpec, "lognormal", Lognormal),
    (forms.ExponentialSpec, "exponential", Exponential),
    (forms.GammaSpec, "gamma", Gamma),
)


def _parameters(given: Mapping[str, Any], size: int, where: str, files: FileStore) -> dict[str, Any]:
    """Each as by `to_value`; spikes in a file become one list of times for each generator.

    What belongs to the times of a file, weights and multiplicities, comes with its spike_times, and not otherwise.
    """
    params: dict[str, Any] = {}
    for key, value in given.items():
        at = f"{where}.{key}"
        if not isinstance(value, forms.SpikesSpec):
            params[key] = to_value(value, at, files)
            continue
        column = next((c for c, name in OPTIONAL.items() if name == key), None)
        if column is not None:
            raise wrong(at, "a file", f"a list, or a column {column} in the file of spike_times")
        data = files.read(value.file, f"{at}.file")
        try:
            found = spike_columns(data, files.absolute(value.file), value.population, size)
        except ConfigError as error:
            raise ConfigError(f"{at}: {error}") from None
        params[key] = found.pop("spike_times")
        for name, lists in found.items() if key == "spike_times" else ():
            if name in given:
                raise wrong(f"{where}.{name}", "a list", f"none, since {value.file} has a column of them")
            params[name] = lists
    return params


def to_value(value: Any, where: str, files: FileStore) -> Any:
    """A number or list as it is, a distribution as its dataclass, a column as the numbers in it."""
    if isinstance(value, forms.NormalClippedSpec):
        clipped = value.normal_clipped
        return NormalClipped(clipped.mean, clipped.std, clipped.min, clipped.max)
    for form, key, distribution in _DRAWN:
        if isinstance(value, form):
            return distribution(**getattr(value, key).model_dump())
    if isinstance(value, forms.SpikesSpec):
        raise ConfigError(f"{where}.column: missing; name the column of {value.file}")
    if isinstance(value, LinearDistanceSpec):
        try:
            return linear_distance(value.linear_distance.c, value.linear_distance.velocity)
        except ConfigError as error:
            raise ConfigError(f"{where}.{error}") from None
    if isinstance(value, forms.ColumnSpec):
        path = files.absolute(value.file)
        data = files.read(value.file, f"{where}.file")
        try:
            return Listed(read_column(data, path, value.column), f"{path}:{value.column}")
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
    return value


def _project(network: Network, spec: schema.ProjectionSpec, where: str, dt: float, files: FileStore) -> None:
    sources = _selections(network, spec.source, f"{where}.source")
    targets = _selections(network, spec.target, f"{where}.target")
    if isinstance(spec.rule, forms.ExplicitSpec):
        for key in ("weight", "delay"):
            if getattr(spec, key) is not None:
                raise ConfigError(f"{where}.{key}: not allowed with the rule explicit; its file has a column {key}")
        name, at = spec.rule.explicit.file, f"{where}.rule.explicit.file"
        rule: Rule = listed_in_file(name, at, sources, targets, spec.receptor, dt, files)
        network.project(
            sources, targets, rule, receptor=spec.receptor, generate=spec.generate, weight_bits=spec.weight_bits,
            storage=spec.storage,
        )  # fmt: skip
        return
    values = {
        key: to_value(value, f"{where}.{key}", files)
        for key, value in (("weight", spec.weight), ("delay", spec.delay))
        if value is not None
    }
    network.project(
        sources, targets, _rule(spec.rule, where), **values, receptor=spec.receptor, generate=spec.generate,
        weight_bits=spec.weight_bits, storage=spec.storage,
    )  # fmt: skip


def _rule(spec: Any, where: str) -> Rule:
    if isinstance(spec, (forms.PairwiseBernoulliSpec, forms.PairwisePoissonSpec)):
        key = next(iter(type(spec).model_fields))
        return to_pair_rule(key, getattr(spec, key), f"{where}.rule.{key}")
    if isinstance(spec, (forms.FixedIndegreeSpec, forms.FixedOutdegreeSpec)):
        key = next(iter(type(spec).model_fields))
        return to_degree_rule(key, getattr(spec, key), f"{where}.rule.{key}")
    (key, arguments), *_ = spec.model_dump().items()
    rule: Rule = RULES[key](**arguments)
    return rule


def _side(network: Network, names: Sequence[str], where: str, empty: bool = False) -> list[Population]:
    if not names and not empty:
        raise wrong(where, [], "the name of a population, or a list of names")
    for i, name in enumerate(names):
        if not any(p.name == name for p in network.populations):
            raise _unknown(network, name, f"{where}[{i}]" if len(names) > 1 else where)
        if name in names[:i]:
            raise ConfigError(f"{where}[{i}]: population {name!r} stands twice; name each once")
    return [network[name] for name in names]


def _selections(
    network: Network, chosen: Sequence[str | forms.SelectionSpec], where: str, empty: bool = False
) -> list[Selection]:
    """A side of a projection: whole populations by name, and selections."""
    names = [part if isinstance(part, str) else part.population for part in chosen]
    found = []
    for i, (part, population) in enumerate(zip(chosen, _side(network, names, where, empty), strict=True)):
        if isinstance(part, str):
            found.append(Selection.whole(population))
            continue
        which = part.model_dump(exclude={"population"})
        found.append(select(population, **which, where=f"{where}[{i}]" if len(chosen) > 1 else where))
    return found


def _unknown(network: Network, name: str, where: str) -> ConfigError:
    return ConfigError(f"{where}: unknown population {name!r}; {nearest(name, (p.name for p in network.populations))}")
