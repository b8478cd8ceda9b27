"""What a population costs its rank: the estimate by which whole populations, or shares of them, are shared out."""

from __future__ import annotations

import re

from distsim.build.reach import mean_number
from distsim.elements import Projection
from distsim.experiment import Experiment
from distsim.kernels.integrate import SCHEMES
from distsim.models import Model
from distsim.rules import (
    AllToAll,
    Explicit,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    OneToOne,
    SymmetricPairwiseBernoulli,
    is_spatial,
    plain_value,
)

# Nanoseconds, measured on one core; only their ratios matter, and no result depends on them. UPDATE is that of
# iaf_psc_exp, whose code has so many operators; other models take as many times of it.
UPDATE, POISSON_DRAW, SYNAPTIC_EVENT = 0.34, 1.0, 0.85
UPDATE_OPERATIONS, FEWEST_OPERATIONS, OPERATIONS_OF_A_CALL = 20, 4, 20
NOMINAL_RATE = 5.0  # Hz, of populations without a published rate


def population_costs(experiment: Experiment) -> list[int]:
    """For each population: nanoseconds a second of biological time that its neurons and their synapses take.

    Neurons times (update of their model, and Poisson draws) times steps, plus the synaptic events that are expected
    onto them at the published rates of their sources, or at 5 Hz.
    """
    network, steps = experiment.network, 1000.0 / experiment.run.dt
    ids = {p.name: i for i, p in enumerate(network.populations)}
    double = experiment.run.precision == "double"
    costs = [UPDATE * relative_update(p.model, double) * p.size * steps for p in network.populations]
    for described in network.inputs:
        for target in described.targets:
            costs[ids[target.name]] += POISSON_DRAW * target.size * steps
    for projection in network.projections:
        rate = sum(network.reference_rates.get(s.name, NOMINAL_RATE) * s.size for s in projection.sources)
        events = expected_synapses(projection) * rate / projection.n_sources
        for side in projection.targets:
            costs[ids[side.name]] += SYNAPTIC_EVENT * events * side.size / projection.n_targets
    return [int(cost) for cost in costs]


def count_operators(code: str) -> int:
    """Operators of C++ without its comments: about as many operations."""
    text = "\n".join(line.split("//")[0] for line in code.splitlines())
    return len(re.findall(r"[-+*/<>?]=?|==", text))


def relative_update(model: Model, double: bool) -> float:
    """How long an update of `model` takes, in those of iaf_psc_exp: by the operations of its declaration.

    Calls of exp, log and the like count as 20 operations; each stage of an integration as its derivatives and four more
    a variable, times the sub-steps of the precision.
    """
    work = _operations(model.update)
    if (dynamics := model.dynamics) is not None:
        stages = len(SCHEMES[dynamics.scheme].stages) if dynamics.scheme in SCHEMES else 3  # magnus4
        stage = _operations(dynamics.derivatives) + _operations(dynamics.exact) + 4 * len(dynamics.variables)
        work += dynamics.substeps[double] * (stages * stage + _operations(dynamics.after_substep))
    return max(work, FEWEST_OPERATIONS) / UPDATE_OPERATIONS


def _operations(code: str) -> int:
    calls = len(re.findall(r"\w*(?:exp|log|pow|sin|cos)\w*\s*\(", code))
    return count_operators(code) + OPERATIONS_OF_A_CALL * calls


def expected_synapses(projection: Projection) -> float:
    """The mean number of synapses of a projection (autapses not subtracted)."""
    rule, n_sources, n_targets = projection.rule, projection.n_sources, projection.n_targets
    if isinstance(rule, OneToOne):
        return n_targets
    if isinstance(rule, FixedIndegree):
        return float(rule.indegree) * n_targets
    if isinstance(rule, FixedOutdegree):
        return float(rule.outdegree) * n_sources
    if isinstance(rule, FixedTotalNumber):
        return rule.N
    if isinstance(rule, Explicit):
        return rule.summary.count
    pairs = float(n_sources) * n_targets
    if is_spatial(rule):
        return mean_number(projection) * pairs
    if isinstance(rule, AllToAll):
        return pairs
    return (rule.p if isinstance(rule, SymmetricPairwiseBernoulli) else plain_value(rule)) * pairs
