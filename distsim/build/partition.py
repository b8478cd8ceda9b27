"""Which rank owns which neuron, and where a rank keeps its own: arithmetic, not tables.

Under every partition the neurons of one population on one rank are an arithmetic sequence of global ids, and
neurons of one model stand together (a *group*), because one kernel updates them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from distsim.build.costs import population_costs
from distsim.checks import check_ranks
from distsim.elements import Population
from distsim.errors import during
from distsim.experiment import Experiment
from distsim.models import Model

Gids = npt.NDArray[np.int64]


class Partition(ABC):
    """Cuts populations over ranks: for each (population, rank) one arithmetic sequence of global ids."""

    @abstractmethod
    def sequence(self, population_id: int, rank: int) -> tuple[int, int, int]:
        """First global id, stride and count of the neurons of a population on a rank."""

    @abstractmethod
    def owner(self, gids: Gids) -> Gids:
        """The rank that owns each global id."""


class RoundRobin(Partition):
    """Global id g belongs to rank g mod R: every rank has its share of every population."""

    def __init__(self, populations: Sequence[Population], n_ranks: int) -> None:
        self._populations, self._n_ranks = populations, n_ranks

    def sequence(self, population_id: int, rank: int) -> tuple[int, int, int]:
        p, n_ranks = self._populations[population_id], self._n_ranks
        first = p.first_gid + (rank - p.first_gid) % n_ranks
        return first, n_ranks, max(0, -((first - p.first_gid - p.size) // n_ranks))

    def owner(self, gids: Gids) -> Gids:
        return gids % self._n_ranks


class Block(Partition):
    """Each population in R contiguous blocks, each as long as the rank's share under round robin.

    Of n = q R + m neurons, m ranks have q + 1: those from rank `first_gid` mod R on, cyclically. So populations that
    are small beside the number of ranks do not all give their rest to the same ones.
    """

    def __init__(self, populations: Sequence[Population], n_ranks: int) -> None:
        self._populations = populations
        self._first_gids = np.array([p.first_gid for p in populations], np.int64)
        size = np.array([p.size for p in populations], np.int64)
        # Three stretches of ranks [first, end) with blocks of equal length: the middle one has longer ones, or shorter.
        share, rest = size // n_ranks, size % n_ranks
        first = self._first_gids % n_ranks
        wraps = first + rest > n_ranks
        end = (first + rest) % n_ranks + n_ranks * (first + rest == n_ranks)
        zero = np.zeros_like(first)
        self._rank = np.stack([zero, np.where(wraps, end, first), np.where(wraps, first, end)])  # [stretch, population]
        self._length = share + np.stack([wraps, ~wraps, wraps])
        lengths = self._length[:2] * np.diff(self._rank, axis=0)
        self._begin = np.concatenate([zero[np.newaxis], np.cumsum(lengths, axis=0)])  # population-local id
        self._stretches = np.stack([self._rank, self._length, self._begin]).transpose(2, 1, 0).tolist()

    def sequence(self, population_id: int, rank: int) -> tuple[int, int, int]:
        stretches = self._stretches[population_id]  # as lists: asked for once a rank and population
        first, length, begin = stretches[(stretches[1][0] <= rank) + (stretches[2][0] <= rank)]
        return self._populations[population_id].first_gid + begin + length * (rank - first), 1, length

    def owner(self, gids: Gids) -> Gids:
        population = np.searchsorted(self._first_gids, gids, side="right") - 1
        local = gids - self._first_gids[population]
        # The last stretch that begins here or before: those without neurons end where they begin.
        stretch = (self._begin[1, population] <= local).astype(np.int64) + (self._begin[2, population] <= local)
        past = local - self._begin[stretch, population]
        return np.asarray(self._rank[stretch, population] + past // np.maximum(self._length[stretch, population], 1))


class WholePopulations(Partition):
    """Each population on one rank."""

    def __init__(self, populations: Sequence[Population], ranks: Sequence[int]) -> None:
        self._populations = populations
        self._first_gids = np.array([p.first_gid for p in populations], np.int64)
        self.ranks = np.array(ranks, np.int64)  # by population

    def sequence(self, population_id: int, rank: int) -> tuple[int, int, int]:
        p = self._populations[population_id]
        return p.first_gid, 1, p.size if self.ranks[population_id] == rank else 0

    def owner(self, gids: Gids) -> Gids:
        return np.asarray(self.ranks[np.searchsorted(self._first_gids, gids, side="right") - 1])


class Balanced(Partition):
    """All neurons in the order of their global ids, cut into R contiguous stretches of equal cost.

    Neurons of a population cost the same. Laid end to end, each as long as its cost, a neuron belongs to rank r where
    its middle lies in the r-th of R equal parts of the whole. So no rank differs from the mean by more than one neuron.
    What is kept is one number a rank: its first global id.
    """

    def __init__(self, populations: Sequence[Population], costs: Sequence[int], n_ranks: int) -> None:
        self._populations = populations
        each = [max(1, cost // p.size) for p, cost in zip(populations, costs, strict=True)]
        before = [0, *accumulate(p.size * cost for p, cost in zip(populations, each, strict=True))]
        first = [0]
        for rank in range(1, n_ranks):
            i = min(bisect_right(before, before[-1] * rank // n_ranks) - 1, len(populations) - 1)
            # The first k with (before + (k + 1/2) each) >= rank / R of all; whole numbers of any length.
            k = -((n_ranks * (2 * before[i] + each[i]) - 2 * before[-1] * rank) // (2 * each[i] * n_ranks))
            first.append(populations[i].first_gid + min(max(k, 0), populations[i].size))
        self._first = np.array([*first, sum(p.size for p in populations)], np.int64)

    def sequence(self, population_id: int, rank: int) -> tuple[int, int, int]:
        p = self._populations[population_id]
        begin = max(p.first_gid, int(self._first[rank]))
        end = min(p.first_gid + p.size, int(self._first[rank + 1]))
        return (begin, 1, end - begin) if end > begin else (p.first_gid, 1, 0)

    def owner(self, gids: Gids) -> Gids:
        return np.asarray(np.searchsorted(self._first, gids, side="right") - 1)


def partition_of(experiment: Experiment, n_ranks: int) -> Partition:
    """The partition that `run.partition` asks for.

    Raises
    ------
    ConfigError
        A population is mapped to a rank beyond `n_ranks`.
    """
    populations, asked = experiment.network.populations, experiment.run.partition
    check_ranks(experiment.run, n_ranks)
    if asked == "round_robin":
        return RoundRobin(populations, n_ranks)
    if asked == "block":
        return Block(populations, n_ranks)
    if asked == "balanced":
        return Balanced(populations, population_costs(experiment), n_ranks)
    if isinstance(asked, str):
        return WholePopulations(populations, pack(population_costs(experiment), n_ranks))
    return WholePopulations(populations, [asked[p.name] for p in populations])


def pack(costs: Sequence[int], n_ranks: int) -> list[int]:
    """A rank for each cost: from the largest to the smallest, each to the rank that has least so far.

    Equal costs go in their order, equal ranks from 0 on; no rank has more than 4/3 - 1/(3R) times the load
    that the best packing gives to its fullest (Graham 1969, doi:10.1137/0117039).
    """
    loads = [0] * n_ranks
    ranks = [0] * len(costs)
    for i in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        ranks[i] = min(range(n_ranks), key=lambda rank: (loads[rank], rank))
        loads[ranks[i]] += costs[i]
    return ranks


@dataclass(frozen=True)
class Part:
    """The neurons of one population on one rank: gid = first_gid + stride * k, k < count."""

    population: Population
    population_id: int
    first_gid: int
    stride: int
    count: int
    begin: int  # index of the first within its group

    def positions(self) -> Gids:
        """Population-local ids of the neurons, ascending."""
        first = self.first_gid - self.population.first_gid
        return first + self.stride * np.arange(self.count, dtype=np.int64)


@dataclass(frozen=True)
class Group:
    """All local neurons of one model."""

    model: Model
    index: int
    begin: int  # local index of the first
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        return sum(p.count for p in self.parts)


class Layout:
    """The neurons of one rank under a partition."""

    def __init__(self, populations: Sequence[Population], rank: int, n_ranks: int, partition: Partition) -> None:
        self.rank, self.n_ranks, self.partition = rank, n_ranks, partition
        self._first_gids = np.array([p.first_gid for p in populations], np.int64)
        models: dict[str, list[int]] = {}
        for i, population in enumerate(populations):
            models.setdefault(population.model.symbol, []).append(i)
        groups: list[Group] = []
        local = 0
        for index, members in enumerate(models.values()):
            parts: list[Part] = []
            begin = 0
            for i in members:
                first, stride, count = self.partition.sequence(i, rank)
                parts.append(Part(populations[i], i, first, stride, count, begin))
                begin += count
            groups.append(Group(populations[members[0]].model, index, local, tuple(parts)))
            local += begin
        self.groups = tuple(groups)
        self.n_local = local
        self.n_neurons = sum(p.size for p in populations)  # of all ranks
        by_population = {part.population_id: (g, part) for g in groups for part in g.parts}
        self._parts = tuple(by_population[i] for i in range(len(populations)))
        self._local_begin = np.array([g.begin + part.begin for g, part in self._parts], np.int64)
        self._first_local_gid = np.array([part.first_gid for _, part in self._parts], np.int64)
        self._strides = np.array([part.stride for _, part in self._parts], np.int64)

    @classmethod
    @during("partition")
    def of(cls, experiment: Experiment, rank: int, n_ranks: int) -> Layout:
        """The neurons of `rank` under the partition that the experiment asks for."""
        return cls(experiment.network.populations, rank, n_ranks, partition_of(experiment, n_ranks))

    def part(self, population_id: int) -> Part:
        return self._parts[population_id][1]

    def group_of(self, population_id: int) -> Group:
        return self._parts[population_id][0]

    def owner(self, gids: Gids) -> Gids:
        """The rank that owns each global id."""
        return self.partition.owner(gids)

    def local_index(self, gids: Gids) -> Gids:
        """Local index of each global id; all must be owned by this rank."""
        population = np.searchsorted(self._first_gids, gids, side="right") - 1
        within = (gids - self._first_local_gid[population]) // self._strides[population]
        return np.asarray(self._local_begin[population] + within)

    def owned(self, gids: Gids) -> npt.NDArray[np.bool_]:
        return np.asarray(self.owner(gids) == self.rank)
