"""Checks that need more than one part of a description: projections, inputs and the run together."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from distsim.distributions import (
    MAX_MAGNITUDE,
    Listed,
    Lognormal,
    Normal,
    NormalClipped,
    Uniform,
    Value,
    check_magnitude,
    support,
)
from distsim.errors import ConfigError, nearest, wrong
from distsim.expressions import Expression
from distsim.grid import on_grid, round_to_steps
from distsim.models import Model
from distsim.models.weighing import row_scale
from distsim.rules import AllToAll, Explicit, FixedIndegree, OneToOne, Sides, check_rule, is_spatial
from distsim.selection import shared_neurons
from distsim.spatial import with_space

if TYPE_CHECKING:
    from distsim.elements import Input, Projection
    from distsim.experiment import Experiment, RunSettings

MAX_DELAY_STEPS = 2**15  # delays are 16-bit in a run


def check_projection(projection: Projection, where: str) -> Projection:
    """The projection with the bounds of clipped distributions filled in, or ConfigError."""
    for target in projection.targets:
        if not target.model.receptors:
            raise ConfigError(f"{where}.target: population {target.name!r} ({target.model.name}) takes no input")
        if not (isinstance(projection.rule, Explicit) and projection.rule.summary.receptors):  # each names its own
            receptor_names(target.model, projection.receptor, f"{where}.receptor")
    projection = with_space(projection, where)
    _check_sides(projection, where)
    _check_scaled(projection, where)
    weight, delay = projection.weight, projection.delay
    if isinstance(weight, NormalClipped):
        weight = weight.within(0.0, math.inf) if weight.mean >= 0.0 else weight.within(-math.inf, 0.0)
    for key, value in (("weight", weight), ("delay", delay)):
        check_magnitude(value, f"{where}.{key}")
        _check_listed(value, projection, f"{where}.{key}")
    low = support(delay)[0]
    if not isinstance(delay, NormalClipped) and low <= 0.0:
        raise wrong(f"{where}.delay", low, "delays of at least dt (clip the distribution: normal_clipped)")
    if isinstance(projection.rule, Explicit) and projection.rule.summary.receptors:
        for target in projection.targets:
            for port in projection.rule.summary.receptors:
                receptor_names(target.model, port, f"{where}.rule.explicit.receptor")
    return dataclasses.replace(projection, weight=weight)


def _check_sides(projection: Projection, where: str) -> None:
    """The rule is possible between the two sides, and the options fit it."""
    sources, targets = projection.sources, projection.targets
    for key, side in (("source", sources), ("target", targets)):
        drawn = [s.name for s in side if s.fraction is not None and not s.is_whole]
        if drawn and isinstance(projection.rule, Explicit):
            raise wrong(f"{where}.{key}", f"a random fraction of {drawn[0]}", "listed neurons with the rule explicit")
    shared = shared_neurons(sources, targets)
    sides = Sides(projection.n_sources, projection.n_targets, shared, sources == targets)
    check_rule(projection.rule, sides, where)
    bits = projection.weight_bits
    if bits is not None and (isinstance(bits, bool) or bits not in (4, 8, 16)):
        raise wrong(f"{where}.weight_bits", bits, "16, 8 or 4")
    if bits is not None and isinstance(projection.weight, Expression):
        raise wrong(f"{where}.weight_bits", bits, "weights that are no expression of positions")


def _check_scaled(projection: Projection, where: str) -> None:
    """Scaled ports get spikes that carry a number, and no others; a sender onto its own model needs such a port."""
    listed = isinstance(projection.rule, Explicit) and projection.rule.summary.receptors
    key = f"{where}.rule.explicit.receptor" if listed else f"{where}.receptor"
    for port in listed or (projection.receptor,):
        for target in projection.targets:
            ports = target.model.receptors
            scaled = any(ports[i].scaled for i in receptor_names(target.model, port, key))
            names = sorted({p.name.partition("_")[0] for p in ports if p.scaled})
            if not any(ports[i].counts for i in receptor_names(target.model, port, key)):
                _check_weighing(projection, where)
            for source in projection.sources:
                if scaled and (source.model.weighs or not source.model.sends):
                    raise wrong(
                        key, port, f"on {target.model.name}, only for sources of its kind, not {source.model.name}"
                    )
                if source.model.sends and source.model.name == target.model.name and not scaled:
                    raise wrong(key, port, f"between neurons of {source.model.name}: receptor {', '.join(names)}")


def _check_weighing(projection: Projection, where: str) -> None:
    """Weights are stored for the largest spike_weights of the sources: one scale for all of a projection."""
    scales = {row_scale(s.model, s.population.params): s for s in reversed(projection.sources)}
    if len(scales) > 1:
        largest = scales[max(scales)]
        one = largest if largest.model.weighs else next(s for s in scales.values() if s.model.weighs)
        raise wrong(
            f"{where}.source", f"{one.name} with {one.model.weighs} beside others",
            "a projection of its own for each population that has them",
        )  # fmt: skip
    scale = max(scales)
    if scale == 1.0:
        return
    check_magnitude(projection.weight, f"{where}.weight")
    largest_weight = max(abs(bound) for bound in support(projection.weight))
    if largest_weight * scale > MAX_MAGNITUDE:
        raise wrong(f"{where}.weight", largest_weight, f"at most {MAX_MAGNITUDE:g} when multiplied by spike_weights")


def receptor_names(model: Model, receptor: str | None, where: str) -> tuple[int, int]:
    """Receptor indices for positive and for negative weights of a connection onto `model`."""
    names = [r.name for r in model.receptors]
    if receptor is not None:
        pair = [f"{receptor}_excitatory", f"{receptor}_inhibitory"]
        if all(name in names for name in pair):
            return names.index(pair[0]), names.index(pair[1])
        if receptor not in names:
            raise ConfigError(f"{where}: unknown receptor {receptor!r} of {model.name}; {nearest(receptor, names)}")
        return names.index(receptor), names.index(receptor)
    unnamed = [i for i, r in enumerate(model.receptors) if not r.by_name]
    if len(unnamed) == 1:
        return unnamed[0], unnamed[0]
    if "excitatory" in names and "inhibitory" in names:
        return names.index("excitatory"), names.index("inhibitory")
    raise ConfigError(f"{where}: missing; {model.name} has the receptors {', '.join(names)}")


def check_input(described: Input, where: str) -> None:
    """Raise ConfigError where an input's targets do not take it, or its weight or times are out of range."""
    check_magnitude(described.weight, f"{where}.weight")
    if not (math.isfinite(described.start) and described.start >= 0.0):
        raise wrong(f"{where}.start", described.start, "a time in ms >= 0")
    if not described.stop > described.start:
        raise wrong(f"{where}.stop", described.stop, f"a time after start = {described.start:g} ms")
    if described.device.gives == "current":
        if described.receptor is not None:
            raise ConfigError(f"{where}.receptor: not allowed with {described.device.name}; a current has no receptor")
        for target in described.targets:
            if not target.model.takes_current:
                raise ConfigError(
                    f"{where}.targets: population {target.name!r} ({target.model.name}) takes no current input"
                )
        return
    for target in described.targets:
        if not target.model.receptors:
            raise ConfigError(f"{where}.targets: population {target.name!r} ({target.model.name}) takes no input")
        ports = receptor_names(target.model, described.receptor, f"{where}.receptor")
        if any(target.model.receptors[i].scaled for i in ports):
            raise wrong(f"{where}.receptor", described.receptor, "a receptor whose weights no spike has to scale")


def check_experiment(experiment: Experiment) -> None:
    """Checks that need dt: delays, generator times and recording intervals against the grid."""
    run, network = experiment.run, experiment.network
    if not network.populations:
        raise ConfigError("populations: missing; a network has at least one population")
    _check_partition(experiment)
    for i, projection in enumerate(network.projections):
        where = f"projections[{i}].delay"
        delay = delay_distribution(projection.delay, run.dt)
        if not isinstance(delay, float):
            delay.check(where)
        low, high = support(delay)
        drawn = isinstance(projection.delay, (Normal, NormalClipped, Lognormal, Uniform))
        if round_to_steps(low, run.dt) < 1 or (not drawn and low < run.dt * (1 - 1e-9)):
            raise wrong(where, low, f"delays of at least dt = {run.dt} ms")
        if round_to_steps(high, run.dt) > MAX_DELAY_STEPS:
            raise wrong(where, high, f"delays of at most {MAX_DELAY_STEPS} steps of dt = {run.dt} ms")
    for population in network.populations:
        population.model.check_grid(population.params, run.dt, f"populations.{population.name}.params")
    for described in network.inputs:
        where = f"inputs.{described.name}"
        described.device.check_grid(described.params, run.dt, where)
        for key in ("start", "stop"):
            time = getattr(described, key)
            if math.isfinite(time) and on_grid(time, run.dt) is None:
                raise wrong(f"{where}.{key}", time, f"a multiple of dt = {run.dt} ms")
    for recording in network.state_recordings:
        if on_grid(recording.interval, run.dt) is None:
            where = f"record.states.{recording.population.name}.interval"
            raise wrong(where, recording.interval, f"a multiple of dt = {run.dt} ms")
    rates = network.rate_recording
    if rates is not None and not on_grid(rates.bin, run.dt):
        raise wrong("record.rates.bin", rates.bin, f"a multiple of dt = {run.dt} ms")
    for number in network.connection_recording:
        n = len(network.projections)
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < n:
            raise wrong("record.connections", number, f"numbers of projections, 0 to {n - 1}")
    if len(set(network.connection_recording)) != len(network.connection_recording):
        raise wrong("record.connections", list(network.connection_recording), "each projection once")


def _check_partition(experiment: Experiment) -> None:
    """A mapping to ranks names every population, and nothing else."""
    partition = experiment.run.partition
    if not isinstance(partition, Mapping):
        return
    names = [p.name for p in experiment.network.populations]
    for name in partition:
        if name not in names:
            raise ConfigError(f"run.partition.{name}: unknown population {name!r}; {nearest(name, names)}")
    missing = [name for name in names if name not in partition]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ConfigError(
            f"run.partition: population {missing[0]!r} has no rank{more}; name a rank for each population"
        )


def check_ranks(run: RunSettings, n_ranks: int) -> None:
    """Raise ConfigError where a population is mapped to a rank that was not started."""
    if not isinstance(run.partition, Mapping):
        return
    for name, rank in run.partition.items():
        if rank >= n_ranks:
            started = "1 rank was" if n_ranks == 1 else f"{n_ranks} ranks were"
            raise wrong(
                f"run.partition.{name}", rank, f"0 to {n_ranks - 1}, since {started} started; start at least {rank + 1}"
            )


def delay_distribution(delay: Value, dt: float) -> Value:
    """`delay` with the lower bound of a clipped normal filled in: half a step (rounds to one step)."""
    return delay.within(0.5 * dt, math.inf) if isinstance(delay, NormalClipped) else delay


def _check_listed(value: Value, projection: Projection, where: str) -> None:
    if not isinstance(value, Listed):
        return
    rule = projection.rule
    if isinstance(rule, OneToOne) and rule.autapses:
        expected = projection.n_targets
    elif isinstance(rule, AllToAll) and rule.autapses:
        expected = projection.n_targets * projection.n_sources
    elif isinstance(rule, FixedIndegree) and rule.multapses and not is_spatial(rule):
        expected = projection.n_targets * rule.indegree
    else:
        raise wrong(where, "a list", f"a number or a distribution with the rule {rule.name}")
    if len(value.values) != expected:
        raise wrong(where, f"a list of {len(value.values)}", f"{expected} numbers, one a connection, target by target")
