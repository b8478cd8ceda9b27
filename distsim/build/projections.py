"""One projection onto one population's local neurons, as arguments for the connection kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend, Module
from distsim.build.degrees import Limits, find_limits
from distsim.build.partition import Layout, Part
from distsim.build.quanta import Endpoint, PlaneTable, inputs_bound
from distsim.build.sampling import Delays, delays, sampler
from distsim.build.selecting import (
    LocalSelection,
    SideArrays,
    indices,
    local_selection,
)
from distsim.build.shares import source_shares, target_shares
from distsim.build.spatial import Members, Placed, placed
from distsim.build.weights import Levels, weight_levels
from distsim.checks import delay_distribution
from distsim.distributions import Listed, Value, support
from distsim.edges import EdgeList, is_among
from distsim.elements import Projection
from distsim.exact import exact_context
from distsim.expressions import Expression
from distsim.grid import rounded_to_steps
from distsim.kernels import connect as structs
from distsim.network import Network
from distsim.rules import (
    AllToAll,
    Explicit,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    OneToOne,
    PairwiseBernoulli,
    PairwisePoisson,
    SymmetricPairwiseBernoulli,
    allows_multapses,
    is_spatial,
    pair_value,
    plain_value,
)


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
    selection: int  # which of the target side's selections this is
    selected: LocalSelection
    endpoint: Endpoint
    delays: Delays
    seed: int
    sides: tuple[SideArrays, SideArrays] | None = None  # sources, targets; None where nothing is built
    edges: Edges | None = None
    shares: Array | None = None
    listed_weights: Array | None = None
    levels: Levels | None = None
    placed: Placed | None = None  # positions, where anything depends on them

    @property
    def n_sources(self) -> int:
        return self.described.n_sources

    @property
    def kernel(self) -> str:
        """What the kernels that draw it are called, after count_ and fill_."""
        rule, by_source = self.described.rule, self.described.by_source
        if is_spatial(rule):
            return "spatial_by_source" if by_source else "spatial"
        if by_source:
            return f"{rule.name}_by_source" if isinstance(rule, (OneToOne, AllToAll)) else "by_source"
        if isinstance(rule, SymmetricPairwiseBernoulli):
            return "symmetric"
        return "distinct" if not getattr(rule, "multapses", True) else rule.name

    def n_items(self, n_rows: int) -> int:
        """What the kernels go over, in a chunk of `n_rows` sources."""
        if self.edges is not None:
            return self.edges.source.size
        scattered = self.kernel in ("by_source", "spatial_by_source")
        rows = n_rows if scattered or self.kernel == "symmetric" else 0
        return rows + (0 if scattered else self.selected.count)

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
        rule, part, selected = self.described.rule, self.part, self.selected
        keep: list[Any] = []

        def pointer(array: npt.NDArray[Any] | Array) -> int:
            on_device = backend.to_device(array) if isinstance(array, np.ndarray) else array
            keep.append(on_device)
            return backend.pointer(on_device)

        offset = self.target_offset
        c = structs.Connect(
            seed=self.seed, projection=self.number, n_targets=selected.count, target_gid=part.first_gid,
            target_stride=part.stride, target_first=selected.first, target_step=selected.step,
            target_position=offset + (0 if selected.k is not None else selected.first_place),
            place_step=selected.place_step, target_local=part.begin, block_bits=block_bits,
            n_sources=self.n_sources, first_source=first_source, selection=self.selection,
            index_first=selected.first_place, index_stride=selected.place_step, index_count=selected.count,
            distinct=int(not allows_multapses(rule)), autapses=int(getattr(rule, "autapses", True)),
        )  # fmt: skip
        assert self.sides is not None
        c.sources, c.targets = (_side(arrays, pointer) for arrays in self.sides)
        c.undivided = structs.Side(end=pointer(np.array([self.n_sources], np.uint64)), n=1, plain=1)
        if selected.k is not None and selected.place is not None:
            c.target_list, c.target_place = (pointer(x.astype(np.uint64)) for x in (selected.k, selected.place))
            if self.kernel in ("by_source", "symmetric") or self.described.storage == "procedural":
                local = np.full(self.described.targets[self.selection].size, 2**32 - 1, np.uint32)
                local[selected.place] = selected.k
                c.index_local = pointer(local)
        self._rule(c)
        if self.shares is not None:
            c.shares = pointer(self.shares)
        if self.edges is not None:
            c.edge_source, c.edge_target = pointer(self.edges.source), pointer(self.edges.target)
            c.n_edges = self.edges.source.size
            c.edge_negative = pointer((self.edges.weight < 0.0).astype(np.uint8))
            c.weight_list, c.delay_list = pointer(self.edges.weight), pointer(self.edges.delay)
        self._weights_and_delays(c, pointer)
        if self.placed is not None:
            c.space = self.placed.space
        return c, keep

    @property
    def target_offset(self) -> int:
        """Where this population's selection begins on the target side."""
        return sum(t.size for t in self.described.targets[: self.selection])

    def _rule(self, c: Any) -> None:
        rule = self.described.rule
        if isinstance(rule, FixedIndegree):
            c.indegree = c.items_per_target = rule.indegree
        elif isinstance(rule, FixedOutdegree):
            c.indegree = rule.outdegree
        elif isinstance(rule, AllToAll):
            c.items_per_target = self.n_sources
        elif isinstance(rule, OneToOne):
            c.items_per_target = 1
        elif is_spatial(rule):
            c.draws = structs.DRAWS_BERNOULLI if isinstance(rule, PairwiseBernoulli) else structs.DRAWS_POISSON
        elif isinstance(rule, (PairwiseBernoulli, SymmetricPairwiseBernoulli)):
            p = plain_value(rule) if isinstance(rule, PairwiseBernoulli) else rule.p
            c.draws, c.chance, c.gap_scale = structs.DRAWS_BERNOULLI, p, gap_scale(p)
        elif isinstance(rule, PairwisePoisson):
            c.draws, c.chance = structs.DRAWS_POISSON, plain_value(rule)

    def _weights_and_delays(self, c: Any, pointer: Any) -> None:
        endpoint, weight = self.endpoint, self.described.weight
        if self.edges is None:
            c.delay_first, c.delay_steps = self.delays.first, self.delays.last - self.delays.first + 1
            if self.delays.listed is not None:
                c.delay_list = pointer(self.delays.listed)
            elif self.delays.guide is not None and self.delays.thresholds is not None:
                c.delay_guide = pointer(self.delays.guide)
                c.delay_threshold = pointer(self.delays.thresholds)
        c.positive_per_quantum = endpoint.scale / endpoint.positive.quantum if endpoint.positive else 0.0
        c.negative_per_quantum = endpoint.scale / endpoint.negative.quantum if endpoint.negative else 0.0
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
        elif not isinstance(weight, Expression):
            c.weight = sampler(weight)
            if self.levels is not None:
                c.levels, c.level_low, c.levels_per_unit = self.levels.n, self.levels.low, self.levels.per_unit
                c.level_first, c.level_step = self.levels.first, self.levels.step
                c.level_least, c.level_most = self.levels.least, self.levels.most


def _side(arrays: SideArrays, pointer: Callable[[npt.NDArray[Any]], int]) -> Any:
    names = ("end", "gid", "shift", "step", "list_begin", "list")
    return structs.Side(
        n=arrays.end.size, plain=int(arrays.plain), **{name: pointer(getattr(arrays, name)) for name in names}
    )


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
    tables: dict[Value, Delays] = {}  # projections share them, and the cache that they are looked up in
    for number, projection in enumerate(network.projections):
        rule = projection.rule
        if _is_empty(projection):
            continue
        sides = (SideArrays.of(projection.sources, seed), SideArrays.of(projection.targets, seed))
        levels = weight_levels(projection, backend, kernels)
        if isinstance(rule, Explicit):
            found += _explicit(number, projection, layout, planes, ids, seed, dt, sides, levels)
            continue
        delay = delay_distribution(projection.delay, dt)
        steps = tables.get(delay) or tables.setdefault(delay, delays(backend, kernels, delay, dt))
        listed = None
        if isinstance(projection.weight, Listed):
            values = np.array(projection.weight.values, np.float64)
            listed = backend.to_device(levels.of(values) if levels else values)
        limits: Limits | None = None
        shares = source_shares(number, projection, rule, backend, kernels, seed)
        parts = [layout.part(ids[target.name]) for target in projection.targets]
        chosen = [local_selection(target, part, seed) for target, part in zip(projection.targets, parts, strict=True)]
        for index, (target, part, selected) in enumerate(zip(projection.targets, parts, chosen, strict=True)):
            endpoint = planes.endpoints[number, ids[target.name], projection.receptor]
            local = LocalProjection(
                projection, number, part, index, selected, endpoint, steps, seed, sides, shares=shares,
                listed_weights=listed, levels=levels,
            )  # fmt: skip
            if not selected.count:
                continue
            local.placed = placed(projection, part, selected, target, seed, dt, backend, kernels)
            if isinstance(rule, (FixedIndegree, FixedOutdegree)) and is_spatial(rule):
                if limits is None or isinstance(rule, FixedIndegree):
                    mine = [Members.local(*ours) for ours in zip(parts, chosen, strict=True)]
                    limits = find_limits(local, mine, backend, kernels)
                local.placed = local.placed and limits.put_into(local.placed, backend)
            if isinstance(rule, FixedTotalNumber) and not projection.by_source:
                local.shares = target_shares(local, rule, backend, kernels)
            found.append(local)
    return found


def _is_empty(projection: Projection) -> bool:
    rule = projection.rule
    return (
        (isinstance(rule, FixedIndegree) and rule.indegree == 0)
        or (isinstance(rule, FixedOutdegree) and rule.outdegree == 0)
        or (isinstance(rule, FixedTotalNumber) and rule.N == 0)
        or (isinstance(rule, SymmetricPairwiseBernoulli) and rule.p == 0.0)
        or (isinstance(rule, (PairwiseBernoulli, PairwisePoisson)) and pair_value(rule) == 0.0)
        or inputs_bound(projection) == 0  # then there are no planes either
    )


def _explicit(
    number: int, projection: Projection, layout: Layout, planes: PlaneTable, ids: dict[str, int], seed: int, dt: float,
    sides: tuple[SideArrays, SideArrays], levels: Levels | None,
) -> list[LocalProjection]:  # fmt: skip
    """Listed connections onto local neurons: the list comes block by block, and no more than these are kept."""
    rule = projection.rule
    assert isinstance(rule, Explicit)
    chosen: list[tuple[Part, LocalSelection, npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
    offset = 0
    for selection in projection.targets:
        part = layout.part(ids[selection.name])
        selected = local_selection(selection, part, seed)
        place = selected.place
        if place is None:
            place = selected.first_place + selected.place_step * np.arange(selected.count, dtype=np.int64)
        chosen.append((part, selected, offset + place, indices(selected)))
        offset += selection.size
    local = np.concatenate([places for _, _, places, _ in chosen])
    edges = EdgeList.joined([block for block in rule.blocks(local) if block.source.size])
    weight = levels.of(edges.weight) if levels else edges.weight
    steps = rounded_to_steps(edges.delay, dt).astype(np.int32)
    found: list[LocalProjection] = []
    for index, (part, selected, places, k) in enumerate(chosen):
        at = np.searchsorted(places, edges.target)
        mine = is_among(edges.target, places)
        for port in rule.summary.receptors or [projection.receptor]:
            here = np.flatnonzero(mine & (edges.receptor == port) if edges.receptor.size else mine)
            if not here.size:
                continue
            within = part.begin + k[at[here]]
            own = Edges(edges.source[here].astype(np.uint64), within.astype(np.uint32), weight[here], steps[here])
            span = Delays(int(own.delay.min()), int(own.delay.max()))
            endpoint = planes.endpoints[number, ids[projection.targets[index].name], port]
            found.append(
                LocalProjection(projection, number, part, index, selected, endpoint, span, seed, sides, edges=own)
            )
    return found
