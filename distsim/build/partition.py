"""Which rank owns which neuron, and where a rank keeps its own: arithmetic, not tables.

On every rank the neurons of one population are an arithmetic sequence of global ids, and neurons of one
model stand together (a *group*), because one kernel updates them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distsim.models import Model
from distsim.network import Population

Gids = npt.NDArray[np.int64]


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
    """The neurons of one rank under round robin: gid belongs to rank gid mod R."""

    def __init__(self, populations: Sequence[Population], rank: int, n_ranks: int) -> None:
        self.rank, self.n_ranks = rank, n_ranks
        self._first_gids = np.array([p.first_gid for p in populations], np.int64)
        models: dict[str, list[int]] = {}
        for i, population in enumerate(populations):
            models.setdefault(population.model.name, []).append(i)
        groups: list[Group] = []
        local = 0
        for index, members in enumerate(models.values()):
            parts: list[Part] = []
            begin = 0
            for i in members:
                p = populations[i]
                first = p.first_gid + (rank - p.first_gid) % n_ranks
                last = p.first_gid + p.size
                count = max(0, -((first - last) // n_ranks))
                parts.append(Part(p, i, first, n_ranks, count, begin))
                begin += count
            groups.append(Group(populations[members[0]].model, index, local, tuple(parts)))
            local += begin
        self.groups = tuple(groups)
        self.n_local = local
        by_population = {part.population_id: (g, part) for g in groups for part in g.parts}
        self._parts = tuple(by_population[i] for i in range(len(populations)))
        self._local_begin = np.array([g.begin + part.begin for g, part in self._parts], np.int64)
        self._first_local_gid = np.array([part.first_gid for _, part in self._parts], np.int64)

    def part(self, population_id: int) -> Part:
        return self._parts[population_id][1]

    def group_of(self, population_id: int) -> Group:
        return self._parts[population_id][0]

    def owner(self, gids: Gids) -> Gids:
        """The rank that owns each global id."""
        return gids % self.n_ranks

    def local_index(self, gids: Gids) -> Gids:
        """Local index of each global id; all must be owned by this rank."""
        population = np.searchsorted(self._first_gids, gids, side="right") - 1
        return self._local_begin[population] + (gids - self._first_local_gid[population]) // self.n_ranks

    def owned(self, gids: Gids) -> npt.NDArray[np.bool_]:
        return np.asarray(self.owner(gids) == self.rank)
