"""One projection onto one population's local neurons, as arguments for the connection kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend, Module
from distsim.build.partition import Layout, Part
from distsim.build.quanta import Endpoint, PlaneTable, share_bound
from distsim.build.sampling import Delays, delays, sampler
from distsim.checks import delay_distribution
from distsim.distributions import Listed, support
from distsim.errors import BuildError
from distsim.exact import exact_context
from distsim.grid import rounded_to_steps
from distsim.kernels import connect as structs
from distsim.network import Network, Projection
from distsim.rules import AllToAll, Explicit, FixedIndegree, FixedTotalNumber, OneToOne, PairwiseBernoulli


@dataclass(frozen=True)
class Edges:
    """Listed connections onto one population's local neurons."""

    source: npt.NDArray[np.uint64]  # position on the source side
    target: npt.NDArray[np.uint32]  # index within the target's group
    weight: npt.NDArray[np.float64]
    delay: npt.NDArray[np.int32]  # steps


@dataclass(eq=False)
class LocalProjection:
    """What a rank builds of a projection: its synapses onto the local neurons of one population."""

    described: Projection
    number: int
    part: Part
    target_offset: int  # of the population in the concatenated target side
    endpoint: Endpoint
    delays: Delays
    seed: int
    edges: Edges | None = None
    shares: Array | None = None
    listed_weights: Array | None = None

    @property
    def n_sources(self) -> int:
        return self.described.n_sources

    @property
    def rule_name(self) -> str:
        return self.described.rule.name

    @property
    def n_items(self) -> int:
        return self.edges.source.size if self.edges is not None else self.part.count

    @property
    def positive_plane(self) -> int:
        return self.endpoint.positive.index if self.endpoint.positive else -1

    @property
    def negative_plane(self) -> int:
        return self.endpoint.negative.index if self.endpoint.negative else -1

    @property
    def planes(self) -> tuple[int, ...]:
        """Planes that the weights' signs can reach."""
        low, high = self._signs()
        reached = ([self.positive_plane] if high or not low else []) + ([self.negative_plane] if low else [])
        return tuple(sorted({p for p in reached if p >= 0}))

    def _signs(self) -> tuple[bool, bool]:
        """Can a weight be negative, can it be positive (or zero)?"""
        low, high = support(self.described.weight)
        if self.endpoint.counts:
            return False, True
        return low < 0.0, high >= 0.0

    def arguments(self, backend: Backend, first_source: int, block_bits: int) -> tuple[Any, list[Any]]:
        """The kernel's structure, and the arrays that must outlive it; cells are filled in by the caller."""
        rule, part = self.described.rule, self.part
        keep: list[Any] = []

        def pointer(array: npt.NDArray[Any] | Array) -> int:
            on_device = backend.to_device(array) if isinstance(array, np.ndarray) else array
            keep.append(on_device)
            return backend.pointer(on_device)

        sizes = [p.size for p in self.described.sources]
        gids = np.array([p.first_gid for p in self.described.sources], np.uint64)
        ends = np.cumsum(sizes).astype(np.uint64)
        starts = ends - np.array(sizes, np.uint64)
        c = structs.Connect(
            seed=self.seed, projection=self.number, n_targets=part.count, target_gid=part.first_gid,
            target_position=self.target_offset + part.first_gid - part.population.first_gid,
            target_stride=part.stride, target_local=part.begin, block_bits=block_bits, n_sources=self.n_sources,
            segment_end=pointer(ends), segment_gid=pointer(gids),
            segment_shift=pointer(gids - starts - np.uint64(first_source)), n_segments=len(sizes),
            autapses=int(getattr(rule, "autapses", True)),
        )  # fmt: skip
        if isinstance(rule, FixedIndegree):
            c.indegree = c.items_per_target = rule.indegree
        elif isinstance(rule, AllToAll):
            c.items_per_target = self.n_sources
        elif isinstance(rule, OneToOne):
            c.items_per_target = 1
        elif isinstance(rule, PairwiseBernoulli):
            c.gap_scale = gap_scale(rule.p)
        if self.shares is not None:
            c.shares = pointer(self.shares)
        if self.edges is not None:
            c.edge_source, c.edge_target = pointer(self.edges.source), pointer(self.edges.target)
            c.n_edges = self.edges.source.size
            c.edge_negative = pointer((self.edges.weight < 0.0).astype(np.uint8))
            c.weight_list, c.delay_list = pointer(self.edges.weight), pointer(self.edges.delay)
        self._weights_and_delays(c, pointer)
        return c, keep

    def _weights_and_delays(self, c: Any, pointer: Any) -> None:
        endpoint, weight = self.endpoint, self.described.weight
        if self.edges is None:
            c.delay_first, c.delay_steps = self.delays.first, self.delays.last - self.delays.first + 1
            if self.delays.listed is not None:
                c.delay_list = pointer(self.delays.listed)
            else:
                c.delay_guide = pointer(self.delays.guide)
                c.delay_threshold = pointer(self.delays.thresholds)
        c.positive_per_quantum = 1.0 / endpoint.positive.quantum if endpoint.positive else 0.0
        c.negative_per_quantum = 1.0 / endpoint.negative.quantum if endpoint.negative else 0.0
        below, above = self._signs()
        c.fixed_negative = int(below and not above)
        c.sign_varies = int(below and above and self.positive_plane != self.negative_plane)
        if endpoint.counts:
            c.weight_fixed, c.fixed_quanta, c.fixed_negative = 1, 1, 0
        elif self.edges is not None:
            pass
        elif isinstance(weight, float):
            c.weight_fixed = 1
            scale = c.negative_per_quantum if weight < 0.0 else c.positive_per_quantum
            magnitude = int(abs(weight) * scale + 0.5)
            c.fixed_quanta = -magnitude if weight < 0.0 else magnitude
        elif isinstance(weight, Listed):
            if self.listed_weights is not None:
                c.weight_list = pointer(self.listed_weights)
        else:
            c.weight = sampler(weight)


def gap_scale(p: float) -> float:
    """1 / log(1 - p), correctly rounded; 0 for p = 1, where every gap is empty; at most 1e300 in size."""
    if p >= 1.0:
        return 0.0
    with localcontext(exact_context()):
        x = Decimal(p)
        log = (1 - x).ln() if p > 1e-15 else -x * (1 + x / 2 + x * x / 3)
        return max(float(1 / log), -1e300)


def local_projections(
    network: Network, layout: Layout, planes: PlaneTable, backend: Backend, kernels: Module, seed: int, dt: float
) -> list[LocalProjection]:
    """Everything this rank has to build, projection by projection, target population by population."""
    ids = {p.name: i for i, p in enumerate(network.populations)}
    found: list[LocalProjection] = []
    for number, projection in enumerate(network.projections):
        rule = projection.rule
        if _is_empty(projection):
            continue
        if isinstance(rule, Explicit):
            found += _explicit(number, projection, layout, planes, ids, seed, dt)
            continue
        steps = delays(backend, kernels, delay_distribution(projection.delay, dt), dt)
        listed = None
        if isinstance(projection.weight, Listed):
            listed = backend.to_device(np.array(projection.weight.values, np.float64))
        offset = 0
        for target in projection.targets:
            part = layout.part(ids[target.name])
            endpoint = planes.endpoints[number, ids[target.name], projection.receptor]
            local = LocalProjection(projection, number, part, offset, endpoint, steps, seed, listed_weights=listed)
            offset += target.size
            if not part.count:
                continue
            if isinstance(rule, FixedTotalNumber):
                local.shares = _shares(local, rule, backend, kernels)
            found.append(local)
    return found


def _is_empty(projection: Projection) -> bool:
    rule = projection.rule
    return (
        (isinstance(rule, FixedIndegree) and rule.indegree == 0)
        or (isinstance(rule, FixedTotalNumber) and rule.N == 0)
        or (isinstance(rule, PairwiseBernoulli) and rule.p == 0.0)
        or (isinstance(rule, Explicit) and rule.summary.count == 0)
    )


def _shares(local: LocalProjection, rule: FixedTotalNumber, backend: Backend, kernels: Module) -> Array:
    """How many of the total fall to each local target: uint64[part.count] on the device."""
    n_targets, part = local.described.n_targets, local.part
    overlaps: list[tuple[int, int]] = []
    offset = 0
    for target in local.described.targets:
        if not rule.autapses and any(target is s for s in local.described.sources):
            overlaps.append((offset, offset + target.size))
        offset += target.size
    begin = backend.to_device(np.array([a for a, _ in overlaps] or [0], np.uint64))
    end = backend.to_device(np.array([b for _, b in overlaps] or [0], np.uint64))
    counts = backend.empty(part.count, np.uint64)
    arguments = structs.Shares(
        seed=local.seed, projection=local.number, n_targets=n_targets, n_sources=local.n_sources,
        overlap_begin=backend.pointer(begin), overlap_end=backend.pointer(end), n_overlaps=len(overlaps),
        n_local=part.count,
        first_position=local.target_offset + part.first_gid - part.population.first_gid,
        stride=part.stride, counts=backend.pointer(counts),
    )  # fmt: skip
    # Whole levels while they hold no more nodes than this rank has targets; below, only its own paths.
    depth = (n_targets - 1).bit_length()
    whole = max(0, min(depth, part.count.bit_length() - 1))
    above = backend.to_device(np.array([rule.N], np.uint64))
    for level in range(whole):
        below = backend.empty(2 ** (level + 1), np.uint64)
        arguments.level, arguments.above, arguments.below = level, backend.pointer(above), backend.pointer(below)
        kernels.launch("split_level", arguments, 2**level)
        above = below
    arguments.level, arguments.above = whole, backend.pointer(above)
    kernels.launch("split_to_targets", arguments, part.count)
    most, bound = int(backend.to_host(counts).max()), share_bound(local.described)
    if most > bound:
        raise BuildError(
            f"projections[{local.number}]: a target drew {most} synapses; the plan of weights allows {bound}; "
            "change run.seed"
        )
    return counts


def _explicit(
    number: int, projection: Projection, layout: Layout, planes: PlaneTable, ids: dict[str, int], seed: int, dt: float
) -> list[LocalProjection]:
    rule = projection.rule
    assert isinstance(rule, Explicit)
    edges = rule.read()
    source, target, weight = edges.source, edges.target, edges.weight
    steps = rounded_to_steps(edges.delay, dt).astype(np.int32)
    ports = edges.receptor if edges.receptor.size else None
    wanted: Sequence[str | None] = rule.summary.receptors or [projection.receptor]
    found: list[LocalProjection] = []
    offset = 0
    for population in projection.targets:
        part = layout.part(ids[population.name])
        gid = target - offset + population.first_gid
        mine = (target >= offset) & (target < offset + population.size) & layout.owned(gid)
        offset += population.size
        for port in wanted:
            chosen = np.flatnonzero(mine if ports is None else mine & (ports == port))
            if not chosen.size:
                continue
            within = part.begin + (gid[chosen] - part.first_gid) // part.stride
            own = Edges(source[chosen].astype(np.uint64), within.astype(np.uint32), weight[chosen], steps[chosen])
            span = Delays(int(own.delay.min()), int(own.delay.max()))
            endpoint = planes.endpoints[number, ids[population.name], port]
            found.append(LocalProjection(projection, number, part, 0, endpoint, span, seed, edges=own))
    return found
