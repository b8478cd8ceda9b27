"""What a population costs its rank: the estimate by which whole populations are shared out."""

from __future__ import annotations

from distsim.build.reach import mean_number
from distsim.experiment import Experiment
from distsim.network import Projection
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

# Nanoseconds on one core, from design.md 12; only their ratios matter, and no result depends on them.
UPDATE, POISSON_DRAW, SYNAPTIC_EVENT = 0.34, 1.0, 0.85
NOMINAL_RATE = 5.0  # Hz, of populations without a published rate


def population_costs(experiment: Experiment) -> list[int]:
    """For each population: nanoseconds a second of biological time that its neurons and their synapses take.

    Neurons times (update and Poisson draws) times steps, plus the synaptic events that are expected onto them
    at the published rates of their sources, or at 5 Hz.
    """
    network, steps = experiment.network, 1000.0 / experiment.run.dt
    ids = {p.name: i for i, p in enumerate(network.populations)}
    costs = [UPDATE * p.size * steps for p in network.populations]
    for described in network.inputs:
        for target in described.targets:
            costs[ids[target.name]] += POISSON_DRAW * target.size * steps
    for projection in network.projections:
        rate = sum(network.reference_rates.get(s.name, NOMINAL_RATE) * s.size for s in projection.sources)
        events = expected_synapses(projection) * rate / projection.n_sources
        for side in projection.targets:
            costs[ids[side.name]] += SYNAPTIC_EVENT * events * side.size / projection.n_targets
    return [int(cost) for cost in costs]


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
