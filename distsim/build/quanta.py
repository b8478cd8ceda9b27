"""Quanta and planes: how weights become integers whose sums cannot overflow, from the description alone.

Each (population, receptor) has one *plane* of input or more; a plane has a *quantum*, the smallest power
of two in which its largest weight fits. Weights on one receptor that differ by more than 2^7 get planes of
their own, so that small ones keep their precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from distsim.build.reach import spatial_bound
from distsim.checks import receptor_names
from distsim.distributions import support
from distsim.elements import Population, Projection
from distsim.errors import BuildError
from distsim.models.weighing import row_scale
from distsim.network import Network
from distsim.rules import (
    Explicit,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    OneToOne,
    PairwisePoisson,
    is_spatial,
    plain_value,
)
from distsim.selection import shared_neurons

CLASS_SPAN = 2.0**7


@dataclass(frozen=True)
class Plane:
    """One plane of a population: `index` among the planes of its group."""

    index: int
    quantum: float


@dataclass(frozen=True)
class Endpoint:
    """Where a projection's synapses onto one population go, by the sign of the weight."""

    positive: Plane | None
    negative: Plane | None
    counts: bool  # the receptor takes every spike as 1
    scale: float = 1.0  # a stored weight is so many times the described one; see models/weighing.py


@dataclass(frozen=True)
class PlaneTable:
    """Planes of every population.

    Attributes
    ----------
    endpoints
        (projection, population id, port name or None) → Endpoint.
    per_receptor
        Model name → number of planes of each receptor (the most that any population needs).
    quanta
        Population id → quantum of each plane of its group (0.0 where it has none).
    rounding
        Largest relative rounding error of each projection's weights.
    """

    endpoints: dict[tuple[int, int, str | None], Endpoint]
    per_receptor: dict[str, tuple[int, ...]]
    quanta: dict[int, tuple[float, ...]]
    rounding: tuple[float, ...]


@dataclass(frozen=True)
class _Demand:
    projection: int
    receptor: int
    largest: float
    inputs: int  # bound of in-degree times multiplicity


def inputs_bound(projection: Projection) -> int:
    """A bound of the spikes that one target of `projection` can receive in one step.

    Strict, but where a target's share is left to chance (fixed_total_number, fixed_outdegree and pairwise_poisson with
    multapses): there the bound lies 16 standard deviations and 64 above the mean of a binomial or Poisson number, which
    is exceeded with a probability below 1e-50; building checks the shares that it knows.
    """
    rule = projection.rule
    if isinstance(rule, FixedIndegree):
        degree = rule.indegree
    elif isinstance(rule, OneToOne):
        degree = 1
    elif is_spatial(rule):
        degree = spatial_bound(projection)
    elif isinstance(rule, (FixedTotalNumber, FixedOutdegree, PairwisePoisson)):
        degree = share_bound(projection)
    elif isinstance(rule, Explicit):
        degree = rule.summary.max_in_degree
    else:
        degree = projection.n_sources
    return degree * max(p.model.max_multiplicity for p in projection.sources)


def share_bound(projection: Projection) -> int:
    """The most synapses that one target may get where its share is left to chance."""
    rule, n_sources = projection.rule, projection.n_sources
    pairs = n_sources * projection.n_targets
    if not getattr(rule, "autapses", True):
        pairs -= shared_neurons(projection.sources, projection.targets)
    if isinstance(rule, FixedTotalNumber):
        total, most = rule.N, rule.N
    elif isinstance(rule, FixedOutdegree):
        total = most = rule.outdegree * n_sources
        pairs = n_sources * max(1, projection.n_targets - (0 if rule.autapses else 1))
    else:
        assert isinstance(rule, PairwisePoisson)
        mean = plain_value(rule) * n_sources
        return math.ceil(mean + 16.0 * math.sqrt(mean) + 64.0) if mean else 0
    mean = total * n_sources / max(1, pairs)
    bound = min(most, math.ceil(mean + 16.0 * math.sqrt(mean) + 64.0))
    return bound if rule.multapses else min(bound, n_sources)


def plan_planes(network: Network, precision: str) -> PlaneTable:
    """Give every projection its planes and every plane its quantum."""
    bits = 15 if precision == "single" else 47
    ids = {p.name: i for i, p in enumerate(network.populations)}
    demands: dict[int, list[_Demand]] = {i: [] for i in ids.values()}
    wanted: list[tuple[int, int, str | None, int, int, float, float]] = []
    for number, projection in enumerate(network.projections):
        inputs = inputs_bound(projection)
        if inputs == 0:
            continue
        for target in projection.targets:
            for port in _ports(projection):
                scale = source_scale(projection)
                low, high = (scale * bound for bound in _weight_support(projection, port))
                positive, negative = receptor_names(target.model, port, f"projections[{number}].receptor")
                counts = target.model.receptors[positive].counts
                wanted.append((number, ids[target.name], port, positive, negative, low, high))
                top = 1.0 if counts else max(high, 0.0)
                bottom = 0.0 if counts else max(-low, 0.0)
                if positive == negative:
                    top, bottom = max(top, bottom), 0.0
                if top > 0.0 or bottom == 0.0:
                    demands[ids[target.name]].append(_Demand(number, positive, top, inputs))
                if bottom > 0.0:
                    demands[ids[target.name]].append(_Demand(number, negative, bottom, inputs))
    classes = {
        i: [_classes([d for d in demands[i] if d.receptor == r], r) for r in range(len(p.model.receptors))]
        for i, p in enumerate(network.populations)
    }
    per_receptor: dict[str, tuple[int, ...]] = {}
    for i, population in enumerate(network.populations):
        mine = [len(c) for c in classes[i]]
        before = per_receptor.get(population.model.symbol, tuple(0 for _ in mine))
        per_receptor[population.model.symbol] = tuple(max(a, b) for a, b in zip(before, mine, strict=False))
    quanta: dict[int, tuple[float, ...]] = {}
    chosen: dict[tuple[int, int, int], Plane] = {}
    for i, population in enumerate(network.populations):
        planes: list[float] = []
        for receptor, n in enumerate(per_receptor[population.model.symbol]):
            start = len(planes)
            counts = population.model.receptors[receptor].counts
            for k, members in enumerate(classes[i][receptor]):
                quantum = 1.0 if counts else _quantum(members, bits)
                if counts:
                    _check_count_range(population, members, bits)
                planes.append(quantum)
                for demand in members:
                    chosen[demand.projection, i, receptor] = Plane(start + k, quantum)
            planes += [0.0] * (start + n - len(planes))
        quanta[i] = tuple(planes)
    endpoints: dict[tuple[int, int, str | None], Endpoint] = {}
    rounding = [0.0] * len(network.projections)
    for number, i, port, positive, negative, low, high in wanted:
        counts = network.populations[i].model.receptors[positive].counts
        scale = source_scale(network.projections[number])
        endpoint = Endpoint(chosen.get((number, i, positive)), chosen.get((number, i, negative)), counts, scale)
        endpoints[number, i, port] = endpoint
        if not counts:
            rounding[number] = max(rounding[number], _rounding(endpoint, low, high))
    return PlaneTable(endpoints, per_receptor, quanta, tuple(rounding))


def source_scale(projection: Projection) -> float:
    """What the weights of the projection are stored times: that of its sources, one for all unless targets count."""
    return max(row_scale(s.model, s.population.params) for s in projection.sources)


def _ports(projection: Projection) -> Sequence[str | None]:
    if isinstance(projection.rule, Explicit) and projection.rule.summary.receptors:
        return projection.rule.summary.receptors
    return [projection.receptor]


def _weight_support(projection: Projection, port: str | None) -> tuple[float, float]:
    rule = projection.rule
    if isinstance(rule, Explicit) and rule.summary.receptors:
        assert port is not None
        return rule.summary.receptor_ranges[rule.summary.receptors.index(port)]
    return support(projection.weight)


def _classes(demands: list[_Demand], receptor: int) -> list[list[_Demand]]:
    """Demands from large to small, a new class where a weight is 2^7 below the class's largest."""
    classes: list[list[_Demand]] = []
    for demand in sorted(demands, key=lambda d: (-d.largest, d.projection)):
        if not classes or classes[-1][0].largest > CLASS_SPAN * demand.largest > 0.0:
            classes.append([])
        classes[-1].append(demand)
    return classes


def _quantum(members: list[_Demand], bits: int) -> float:
    """The smallest power of two in which weights fit `bits` and a sum of all inputs twice as many.

    With 15 bits and 32-bit sums nothing has to give way up to 65,536 inputs of the largest weight.
    """
    largest = max(d.largest for d in members)
    if largest == 0.0:
        return 1.0
    _, exponent = math.frexp(largest)  # largest = m 2^exponent, 1/2 <= m < 1
    quantum = math.ldexp(1.0, exponent - bits)

    def quanta(weight: float) -> int:
        return math.floor(weight / quantum + 0.5)

    highest_sum = 2 ** (31 if bits == 15 else 63) - 1
    while quanta(largest) >= 2**bits or sum(d.inputs * quanta(d.largest) for d in members) > highest_sum:
        quantum *= 2.0
    return quantum


def _check_count_range(population: Population, members: list[_Demand], bits: int) -> None:
    inputs = sum(d.inputs for d in members)
    if inputs >= 2**31:
        raise BuildError(
            f"population {population.name!r}: up to {inputs} spikes a step reach one {population.model.name}; "
            "allowed: fewer than 2^31"
        )


def _rounding(endpoint: Endpoint, low: float, high: float) -> float:
    """Largest relative error of a weight of typical size: half a quantum, or the constant's own error."""
    worst = 0.0
    for plane, size in ((endpoint.positive, high), (endpoint.negative, -low)):
        if plane is None or size <= 0.0:
            continue
        if low == high:
            worst = max(worst, abs(math.floor(size / plane.quantum + 0.5) * plane.quantum - size) / size)
        else:
            typical = abs(low + high) / 2 or size
            worst = max(worst, plane.quantum / math.sqrt(12.0) / typical)
    return worst
