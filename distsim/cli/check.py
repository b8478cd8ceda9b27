"""`distsim check CONFIG`: is everything right, and what does it describe?"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys

from distsim.build.costs import expected_synapses
from distsim.cli.table import number, table
from distsim.config import load_experiment
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
    Within,
)
from distsim.doubts import doubts
from distsim.drawn import Placed
from distsim.elements import Input, Population, Projection
from distsim.experiment import Experiment
from distsim.expressions import Expression
from distsim.network import Network
from distsim.rules import (
    Explicit,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    PairwiseBernoulli,
    PairwisePoisson,
    Rule,
    SymmetricPairwiseBernoulli,
    pair_value,
)
from distsim.selection import names_of

SHOWN = 20  # lines of a table; of more the first are shown


def main(options: argparse.Namespace) -> int:
    """Validate the file and all it refers to; print what it describes."""
    loaded = load_experiment(options.config, options.overrides)
    sys.stdout.write(describe(loaded.experiment, every=options.all))
    return 0


def describe(experiment: Experiment, every: bool = False) -> str:
    """The experiment as a few tables."""
    network, run = experiment.network, experiment.run
    neurons = sum(p.size for p in network.populations if p.model.is_neuron)
    synapses = sum(expected_synapses(p) for p in network.projections)
    parts = [
        f"{network.name}: {neurons:,} neurons, {synapses:,.0f} synapses expected\n"
        f"run: {number(run.duration)} ms after {number(run.warmup)} ms of warm-up, dt {number(run.dt)} ms, "
        f"seed {run.seed}, {run.precision} precision\n"
    ]
    parts.append(_section("populations", ["name", "size", "model", "differs from the model's default"], [
        [p.name, f"{p.size:,}", p.model.name, _parameters(p)] for p in network.populations
    ], (1,), every))  # fmt: skip
    if network.inputs:
        parts.append(_section("inputs", ["name", "type", "targets", "parameters", "weight"], [
            [i.name, i.device.label, names_of(i.targets), _settings(i), number(i.weight)] for i in network.inputs
        ], (4,), every))  # fmt: skip
    if network.projections:
        heading = ["", "source", "target", "rule", "weight", "delay (ms)", "synapses", "a target"]
        parts.append(_section("projections", heading, [
            [f"[{i}]", *_projection(p)] for i, p in enumerate(network.projections)
        ], (6, 7), every))  # fmt: skip
    recorded = ", ".join(str(s) for s in network.recorded_neurons()) or "none"
    parts.append(f"recorded: spikes of {recorded}")
    for r in network.state_recordings:
        chosen = f"{r.selection.size:,} of " if not r.selection.is_whole else ""
        parts.append(f"          {', '.join(r.variables)} of {chosen}{r.population.name} every {number(r.interval)} ms")
    if network.rate_recording is not None:
        counted = ", ".join(p.name for p in network.rate_recording.populations)
        parts.append(f"          rates of {counted} in bins of {number(network.rate_recording.bin)} ms")
    if network.connection_recording:
        some = ", ".join(f"[{k}]" for k in network.connection_recording)
        every_one = len(network.connection_recording) == len(network.projections)
        parts.append(f"          connections of {'all projections' if every_one else some}")
    parts += [f"warning: {text}" for text in (*network.warnings, *doubts(network))]
    parts += [f"note: {text}" for text in _alone(network)]
    return "\n".join(parts) + "\n"


def _alone(network: Network) -> list[str]:
    """Populations that nothing drives, and generators that drive nothing: allowed, but seldom meant."""
    reached = {s.name for p in network.projections for s in p.targets} | {
        s.name for i in network.inputs for s in i.targets
    }
    sending = {s.name for p in network.projections for s in p.sources}
    still = [p.params.get("I_e") == 0.0 for p in network.populations if p.model.is_neuron]
    if not network.inputs and len(still) == len(network.populations) and all(still):
        return ["nothing drives the network: it has no inputs, no generators and no current I_e"]
    found = []
    for p in network.populations:
        if not p.model.is_neuron and p.name not in sending:
            found.append(f"populations.{p.name}: a generator that is the source of no projection")
        if p.model.is_neuron and p.name not in reached and p.params.get("I_e") == 0.0:
            found.append(f"populations.{p.name}: the target of no projection and no input, without a current I_e")
    return found


def _section(title: str, heading: list[str], rows: list[list[str]], right: tuple[int, ...], every: bool) -> str:
    shown = rows if every else rows[:SHOWN]
    more = f"  … and {len(rows) - len(shown)} more (--all shows them)\n" if len(shown) < len(rows) else ""
    return f"{title}\n" + table([heading, *shown], right) + more


def _settings(described: Input) -> str:
    shown = []
    for setting in described.device.settings:
        given = described.params[setting.name]
        if isinstance(given, tuple):
            shown.append(f"{setting.name}: {len(given):,}")
        elif given != setting.default:
            shown.append(setting.name if isinstance(given, bool) else f"{setting.name} {value(given)}")
    if described.start:
        shown.append(f"from {number(described.start)} ms")
    if math.isfinite(described.stop):
        shown.append(f"to {number(described.stop)} ms")
    return ", ".join(shown)


def _projection(p: Projection) -> list[str]:
    synapses = expected_synapses(p)
    delay = "listed" if isinstance(p.rule, Explicit) else value(p.delay)
    weight = "listed" if isinstance(p.rule, Explicit) else value(p.weight)
    weight += f" → {p.receptor}" if p.receptor else ""
    return [
        names_of(p.sources), names_of(p.targets), rule(p.rule), weight, delay, f"{synapses:,.0f}",
        f"{synapses / p.n_targets:,.1f}",
    ]  # fmt: skip


def _parameters(population: Population) -> str:
    model = population.model
    changed = [
        f"{p.name} {value(population.params[p.name])}" for p in model.scalar_parameters
        if population.params[p.name] != p.default
    ]  # fmt: skip
    changed += [
        f"{p.name}: {listed:,} in all" for p in model.vector_parameters
        if (listed := sum(len(row) for row in population.params[p.name]))
    ]  # fmt: skip
    changed += [f"{name}(0) {value(start)}" for name, start in population.initial.items()]
    text = ", ".join(changed) or "-"
    return text if len(text) <= 100 else text[:99] + "…"


def value(v: Value) -> str:
    """A number or a distribution in a few characters."""
    if isinstance(v, float):
        return number(v)
    if isinstance(v, Drawn) and v.bounded:
        whole = value(dataclasses.replace(v, min=None, max=None))
        low, high = ("" if x is None else number(x) for x in (v.min, v.max))
        return f"{whole} {'clipped' if v.bounds == 'clip' else 'redrawn'} to [{low}, {high}]"
    if isinstance(v, Placed) and not v.is_plain:
        times = "" if abs(v.factor) == 1.0 else f"{number(abs(v.factor))} "
        if v.offset:
            return f"{number(v.offset)} {'+' if v.factor > 0.0 else '-'} {times}{value(v.plain)}"
        return f"{'' if v.factor > 0.0 else '-'}{times}{value(v.plain)}"
    if isinstance(v, Uniform):
        return f"U[{number(v.low)}, {number(v.high)})"
    if isinstance(v, UniformInt):
        return f"U{{{v.low}, …, {v.high}}}"
    if isinstance(v, Exponential):
        return f"Exp({number(v.beta)})"
    if isinstance(v, Gamma):
        return f"Gamma({number(v.shape)}, {number(v.scale)})"
    if isinstance(v, Lognormal):
        return f"exp N({number(v.mean)}, {number(v.std)})"
    if isinstance(v, Normal):
        return f"N({number(v.mean)}, {number(v.std)})"
    if isinstance(v, NormalClipped):
        return f"N({number(v.mean)}, {number(v.std)}) clipped"
    if isinstance(v, Expression):
        return v.text
    if isinstance(v, (Listed, Within)):
        return f"{len(v.values):,} listed" if isinstance(v, Listed) else "listed"
    raise TypeError(type(v).__name__)


def rule(r: Rule) -> str:
    """A rule with its number."""
    if isinstance(r, FixedIndegree):
        text = f"{r.name} {r.indegree:,}"
    elif isinstance(r, FixedTotalNumber):
        text = f"{r.name} {r.N:,}"
    elif isinstance(r, FixedOutdegree):
        text = f"{r.name} {r.outdegree:,}"
    elif isinstance(r, SymmetricPairwiseBernoulli):
        text = f"{r.name} {number(r.p)}"
    elif isinstance(r, (PairwiseBernoulli, PairwisePoisson)):
        p = pair_value(r)
        text = f"{r.name} {p.text if isinstance(p, Expression) else number(p)}"
        text += f", {r.mask.name} mask" if r.mask is not None else ""
    else:
        text = r.name
    if isinstance(r, (FixedIndegree, FixedOutdegree)):
        text += f", p {r.p.text}" if isinstance(r.p, Expression) else ""
        text += f", {r.mask.name} mask" if r.mask is not None else ""
    if isinstance(r, (Explicit, SymmetricPairwiseBernoulli)):
        return text
    without = [name for name in ("autapses", "multapses") if not getattr(r, name, True)]
    return f"{text}, no {' and no '.join(without)}" if without else text
