"""What construction will find on a rank, from the description alone: synapses, runs and rows, as expectations.

A source's synapses of one projection onto one local population are `trials` independent draws that each come
true with probability `chance`; a cell (delay, plane, block) takes its share of the chance. So a cell stays empty
with probability (1 - chance * share)^trials, and the expected number of runs is the sum over cells of what is left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from distsim.build.expected_delays import DelaySteps, delay_steps, histogram, probability_below
from distsim.build.partition import Layout, Part
from distsim.build.projections import LocalProjection
from distsim.build.quanta import PlaneTable
from distsim.build.reach import mean_number
from distsim.build.sampling import Delays
from distsim.build.selecting import LocalSelection, local_selection, places_to_ids
from distsim.checks import delay_distribution
from distsim.edges import EdgeList
from distsim.elements import Projection
from distsim.experiment import Experiment
from distsim.grid import rounded_to_steps
from distsim.kernels.connect import LONGEST_RUN
from distsim.rules import (
    AllToAll,
    Explicit,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    OneToOne,
    PairwisePoisson,
    SymmetricPairwiseBernoulli,
    is_spatial,
    plain_value,
)
from distsim.selection import Selection

Floats = npt.NDArray[np.float64]
LISTED = 2**20  # connections that are counted; of longer lists numbers are expected, as of drawn ones


@dataclass(frozen=True)
class _Draws:
    """How many synapses a single source gets: Binomial(trials, chance)."""

    trials: float
    chance: float


_FINE = 1024.0  # Poisson numbers as binomial ones of so many trials for each expected


def _draws(projection: Projection, n_local: int) -> _Draws:
    """Of one source of `projection`, onto the `n_local` local targets of one selection."""
    rule, n_sources = projection.rule, max(1, projection.n_sources)
    share = n_local / projection.n_targets
    if isinstance(rule, FixedIndegree):
        return _Draws(float(rule.indegree) * n_local, 1.0 / n_sources)
    if isinstance(rule, FixedOutdegree):
        return _Draws(float(rule.outdegree), share)
    if isinstance(rule, FixedTotalNumber):
        return _Draws(float(rule.N), share / n_sources)
    if isinstance(rule, Explicit):
        return _Draws(float(rule.summary.count), share / n_sources)
    if isinstance(rule, OneToOne):
        return _Draws(1.0, share)
    if is_spatial(rule):
        # As if partners lay anywhere: the numbers of synapses are right, those of runs and rows an upper estimate.
        return _Draws(float(n_local) * mean_number(projection) * _FINE, 1.0 / _FINE)
    if isinstance(rule, PairwisePoisson):
        return _Draws(float(n_local) * plain_value(rule) * _FINE, 1.0 / _FINE)
    if isinstance(rule, AllToAll):
        return _Draws(float(n_local), 1.0)
    return _Draws(float(n_local), rule.p if isinstance(rule, SymmetricPairwiseBernoulli) else plain_value(rule))


def _local_count(target: Selection, part: Part) -> int:
    """Selected neurons of a part: exact for sequences, expected for lists and random fractions."""
    if target.is_affine:
        return local_selection(target, part, 0).count
    return round(part.count * target.size / target.population.size)


@dataclass(frozen=True)
class Sources:
    """What one source of a population is expected to have on a rank."""

    synapses: float = 0.0
    runs: float = 0.0
    row: float = 0.0  # the probability that it has a row
    drawn: float = 0.0  # synapses that are not stored: see build/procedural.py


@dataclass(frozen=True)
class RankConnectivity:
    """Expected connectivity of one rank.

    Attributes
    ----------
    by_source
        For each population what one of its neurons has here.
    local
        The rank's projections, for planning chunks.
    columns
        Their columns (plane and block).
    listed
        Listed connections onto this rank.
    """

    experiment: Experiment
    layout: Layout
    by_source: tuple[Sources, ...]
    local: tuple[LocalProjection, ...]
    columns: Mapping[int, frozenset[int]]
    listed: int

    def _total(self, pick: str) -> float:
        populations = self.experiment.network.populations
        return float(sum(p.size * getattr(s, pick) for p, s in zip(populations, self.by_source, strict=True)))

    @cached_property
    def synapses(self) -> float:
        return self._total("synapses")

    @cached_property
    def drawn(self) -> float:
        return self._total("drawn")

    @cached_property
    def runs(self) -> float:
        return self._total("runs")

    @cached_property
    def rows(self) -> float:
        return self._total("row")

    def columns_of(self, projection: LocalProjection) -> set[int]:
        return set(self.columns[id(projection)])


@dataclass
class Expectation:
    """Expects what each rank of an experiment will hold; what ranks share is computed once."""

    experiment: Experiment
    planes: PlaneTable
    planes_per_group: Sequence[int]
    block_bits: int = 16
    _delays: dict[int, DelaySteps] = field(default_factory=dict)
    _edges: dict[int, EdgeList] = field(default_factory=dict)

    def delays_of(self, number: int) -> DelaySteps:
        """Delays of projection `number`."""
        if number not in self._delays:
            projection, dt = self.experiment.network.projections[number], self.experiment.run.dt
            if _is_counted(projection):
                steps = rounded_to_steps(self.edges_of(number).delay, dt).astype(np.int64)
                self._delays[number] = histogram(steps if steps.size else np.ones(1, np.int64))
            else:
                self._delays[number] = delay_steps(delay_distribution(projection.delay, dt), dt)
        return self._delays[number]

    def edges_of(self, number: int) -> EdgeList:
        """The listed connections of projection `number`."""
        if number not in self._edges:
            rule = self.experiment.network.projections[number].rule
            assert isinstance(rule, Explicit)
            self._edges[number] = rule.read()
        return self._edges[number]

    def rank(self, layout: Layout, listed: bool = True) -> RankConnectivity:
        """What the rank of `layout` will hold; its listed connections not, where `listed` is false."""
        network, run = self.experiment.network, self.experiment.run
        ids = {p.name: i for i, p in enumerate(network.populations)}
        blocks = [max(1, -(-g.size // 2**self.block_bits)) for g in layout.groups]
        first_column = np.concatenate(
            ([0], np.cumsum([n * b for n, b in zip(self.planes_per_group, blocks, strict=True)]))
        ).astype(int)
        local: list[LocalProjection] = []
        columns: dict[int, frozenset[int]] = {}
        cells = [_Cells() for _ in network.populations]
        found = 0
        for number, projection in enumerate(network.projections):
            steps = self.delays_of(number)
            for index, target in enumerate(projection.targets):
                part, group = layout.part(ids[target.name]), layout.group_of(ids[target.name]).index
                n_local = _local_count(target, part)
                draws = _draws(projection, n_local)
                for port in _ports(projection):
                    endpoint = self.planes.endpoints.get((number, ids[target.name], port))
                    if endpoint is None or not n_local or not draws.trials * draws.chance:
                        continue
                    made = LocalProjection(
                        projection, number, part, index, LocalSelection(n_local, 0, 1, 0, 1), endpoint,
                        Delays(steps.first, steps.last), run.seed,
                    )  # fmt: skip
                    here = [
                        int(first_column[group]) + plane * blocks[group] + block
                        for plane in made.planes for block in range(blocks[group])
                    ]  # fmt: skip
                    columns[id(made)] = frozenset(here)
                    local.append(made)
                    if _is_counted(projection):
                        continue
                    share = np.outer(_plane_shares(made), _block_shares(part, blocks[group], self.block_bits)).ravel()
                    for source in projection.sources:
                        chosen = source.size / source.population.size
                        own = _Draws(draws.trials * chosen, draws.chance)
                        stored = projection.storage != "procedural"
                        cells[ids[source.name]].parts.append((own, steps, here, share, stored))
            if listed and _is_counted(projection):
                found += self._count_listed(number, projection, layout, cells, ids)
        return RankConnectivity(
            self.experiment, layout, tuple(c.sources() for c in cells), tuple(local), columns, found
        )

    def _count_listed(
        self, number: int, projection: Projection, layout: Layout, cells: Sequence[_Cells], ids: Mapping[str, int]
    ) -> int:
        """Listed connections are not expected but counted (as if no other projection had its runs beside theirs)."""
        edges, dt, found = self.edges_of(number), self.experiment.run.dt, 0
        steps = rounded_to_steps(edges.delay, dt).astype(np.int64)
        kind = (edges.weight < 0.0).astype(np.int64)
        if edges.receptor.size:
            kind += 2 * np.unique(edges.receptor, return_inverse=True)[1]
        offset = 0
        for target in projection.targets:
            mine = (edges.target >= offset) & (edges.target < offset + target.size)
            gid = np.zeros(mine.size, np.int64)
            gid[mine] = target.population.first_gid + places_to_ids(target, edges.target[mine] - offset, 0)
            mine[mine] = layout.owned(gid[mine])
            offset += target.size
            block = np.zeros(gid.size, np.int64)
            if mine.any():
                group = layout.group_of(ids[target.name])
                block[mine] = (layout.local_index(gid[mine]) - group.begin) >> self.block_bits
            begin = 0
            for source in projection.sources:
                own = mine & (edges.source >= begin) & (edges.source < begin + source.size)
                rows = np.stack([edges.source[own], steps[own], kind[own], block[own]], axis=1)
                begin += source.size
                if len(rows):
                    runs, sources = len(np.unique(rows, axis=0)), len(np.unique(rows[:, 0]))
                    size = source.population.size
                    cells[ids[source.name]].count(len(rows) / size, runs / size, sources / size)
                    found += len(rows)
        return found


def _is_counted(projection: Projection) -> bool:
    return isinstance(projection.rule, Explicit) and projection.rule.summary.count <= LISTED


class _Cells:
    """The cells of one source of a population: log of the probability that each stays empty."""

    def __init__(self) -> None:
        self.parts: list[tuple[_Draws, DelaySteps, list[int], Floats, bool]] = []
        self._synapses = self._runs = 0.0
        self._no_row = 1.0

    def count(self, synapses: float, runs: float, row: float) -> None:
        self._synapses += synapses
        self._runs += runs
        self._no_row *= 1 - row

    def sources(self) -> Sources:
        if not self.parts:
            return Sources(self._synapses, self._runs, 1.0 - self._no_row)
        first = min(s.first for _, s, *_ in self.parts)
        last = max(s.last for _, s, *_ in self.parts)
        columns = sorted({c for _, _, here, *_ in self.parts for c in here})
        empty = np.zeros((last - first + 1, len(columns)))
        mean = np.zeros_like(empty)
        synapses, drawn, no_row = self._synapses, 0.0, math.log(self._no_row) if self._no_row else -math.inf
        with np.errstate(divide="ignore"):
            for draws, steps, here, share, stored in self.parts:
                no_row += draws.trials * float(np.log1p(-min(draws.chance, 1.0)))
                if not stored:
                    drawn += draws.trials * draws.chance
                    continue
                chance = np.minimum(draws.chance * np.outer(steps.share, share), 1.0)
                places = np.searchsorted(columns, here)
                empty[steps.first - first : steps.last - first + 1, places] += draws.trials * np.log1p(-chance)
                mean[steps.first - first : steps.last - first + 1, places] += draws.trials * chance
                synapses += draws.trials * draws.chance
        more = np.maximum(np.ceil(mean / LONGEST_RUN) - 1.0, 0.0).sum()  # long ones are cut
        runs = self._runs + float(-np.expm1(empty).sum() + more)
        return Sources(synapses, runs, -math.expm1(no_row), drawn)


def _ports(projection: Projection) -> Sequence[str | None]:
    if isinstance(projection.rule, Explicit) and projection.rule.summary.receptors:
        return projection.rule.summary.receptors
    return [projection.receptor]


def _plane_shares(made: LocalProjection) -> Floats:
    """Which share of the weights falls to each of the projection's planes, in their order."""
    planes = made.planes
    if len(planes) < 2:
        return np.ones(len(planes))
    negative = probability_below(made.described.weight, 0.0)
    return np.array([negative if plane == made.negative_plane else 1.0 - negative for plane in planes])


def _block_shares(part: Part, blocks: int, block_bits: int) -> Floats:
    """Which share of a part's neurons lies in each block of its group."""
    edges = np.clip(np.arange(blocks + 1) << block_bits, part.begin, part.begin + part.count)
    return np.asarray(np.diff(edges) / max(1, part.count))
