"""What other ranks are expected to need of one: what `build_routing` receives, without those ranks.

Whether another rank has a row of a neuron is a matter of chance in most rules; its probability follows from the
description (`expected`), and every pair (rank, neuron) is drawn with it once. So totals are those of a real run within
their own scatter: 1 / sqrt(requests). Listed connections are not drawn but looked up. Which sources of other ranks are
broadcast is drawn likewise, given which of them this rank needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.build.costs import expected_synapses
from distsim.build.expected import Expectation
from distsim.build.partition import Layout, Partition, WholePopulations
from distsim.build.routing import broadcast_pays
from distsim.build.selecting import places_to_ids
from distsim.edges import is_among
from distsim.elements import Projection
from distsim.errors import during
from distsim.experiment import Experiment
from distsim.grid import rounded_to_steps
from distsim.rules import Explicit, OneToOne
from distsim.selection import Selection

Ids = npt.NDArray[np.int64]
MOST_KINDS = 64  # of ranks, by how many neurons of each population they have; the rarer ones are taken for the nearest
LOOKED_AT = 65_536  # pairs of one_to_one, which may all lie inside ranks


class Others:
    """The other ranks of a run, as one of them meets them while it is built (an `Around` of comm_dry.py)."""

    @during("expected requests")
    def __init__(self, experiment: Experiment, expectation: Expectation, layout: Layout) -> None:
        self._experiment, self._expectation, self._layout = experiment, expectation, layout
        self._listed = [
            _Listed.of(p, expectation, number, layout.partition, experiment.run.seed)
            for number, p in enumerate(experiment.network.projections)
            if isinstance(p.rule, Explicit) and p.rule.summary.count
        ]
        self._draws = np.random.default_rng(experiment.run.seed)
        self._asked: list[Ids] = []  # of this rank's neurons, by each other rank
        self._needed: list[Ids] = []  # of each other rank's neurons, by this rank
        self._own: Ids = np.empty(0, np.int64)
        self._largest_asked = 0
        self.broadcast_sources: Ids = np.empty(0, np.int64)  # of all other ranks

    def exchange_lists(self, lists: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """First the neurons here that each rank asks for; then the numbers of its rows that are not broadcast."""
        if not self._asked:
            self._needed = [np.asarray(mine, np.int64) for mine in lists]
            ranks, gids = self._requests()
            order = np.argsort(ranks, kind="stable")
            bounds = np.concatenate(([0], np.cumsum(np.bincount(ranks, minlength=self._layout.n_ranks))))
            gids = gids[order]
            self._asked = [gids[a:b] for a, b in pairwise(bounds.tolist())]
            return list(self._asked)
        counts = [int(np.isin(asked, self._own, invert=True).sum()) for asked in self._asked]
        return [np.arange(n).astype(lists[0].dtype) for n in counts]

    def share(self, array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """The broadcast sources of each rank; `array` has this one's."""
        layout, how = self._layout, self._experiment.run.routing
        self._own = np.asarray(array, np.int64)
        nothing = np.empty(0, array.dtype)
        if how == "listed" or layout.n_ranks == 1:
            return [array if rank == layout.rank else nothing for rank in range(layout.n_ranks)]
        found = []
        for rank in range(layout.n_ranks):
            found.append(array if rank == layout.rank else self._broadcast_of(rank).astype(array.dtype))
        self.broadcast_sources = np.concatenate([f for r, f in enumerate(found) if r != layout.rank]).astype(np.int64)
        return found

    def largest(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """First the longest delay of all ranks, then the most neighbours."""
        self._largest_asked += 1
        if self._largest_asked > 1:
            return np.asarray(np.maximum(values, self._most_neighbours()), values.dtype)
        n = len(self._experiment.network.projections)
        longest = max((self._expectation.delays_of(i).last for i in range(n)), default=1)
        return np.asarray(np.maximum(values, longest), values.dtype)

    def _most_neighbours(self) -> int:
        """Of any rank, to or from it: where ranks have whole populations, else this rank has as many as others."""
        network = self._experiment.network
        ids = {p.name: i for i, p in enumerate(network.populations)}
        partition, pairs = self._layout.partition, np.empty((0, 2), np.int64)
        if isinstance(partition, WholePopulations):
            joined = [
                (partition.ranks[ids[s.name]], partition.ranks[ids[t.name]])
                for p in network.projections if expected_synapses(p) for s in p.sources for t in p.targets
            ]  # fmt: skip
            pairs = np.unique(np.array(joined, np.int64).reshape(-1, 2), axis=0)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        return max(int(np.bincount(pairs[:, side], minlength=1).max()) for side in (0, 1))

    def _requests(self) -> tuple[npt.NDArray[np.int32], Ids]:
        """(rank, global id) of every neuron here that another rank needs."""
        layout = self._layout
        ranks = [np.empty(0, np.int32)]
        gids: list[Ids] = [np.empty(0, np.int64)]
        for members, chances in self._chances:
            others = members[members != layout.rank]
            for i, chance in enumerate(chances):
                part = layout.part(i)
                found = _drawn(self._draws, others.size * part.count, chance)
                ranks.append(others.astype(np.int32)[found // max(1, part.count)])
                gids.append(part.first_gid + part.stride * (found % max(1, part.count)))
        for listed in self._listed:
            mine = (listed.source_rank == layout.rank) & (listed.target_rank != layout.rank)
            ranks.append(listed.target_rank[mine].astype(np.int32))
            gids.append(listed.source[mine])
        if not self._listed:
            return np.concatenate(ranks), np.concatenate(gids)
        pairs = np.unique(np.stack([np.concatenate(ranks), np.concatenate(gids)], axis=1), axis=0)
        return pairs[:, 0].astype(np.int32), pairs[:, 1]

    @cached_property
    def _chances(self) -> list[tuple[Ids, tuple[float, ...]]]:
        """Ranks that are alike, and by population the probability that a neuron has a row on one of them."""
        layout, network = self._layout, self._experiment.network
        kinds, kind_of = self._kinds()
        found = []
        for kind, counts in enumerate(kinds):
            members, chances = np.flatnonzero(kind_of == kind), (0.0,) * len(network.populations)
            if members.size and counts.any():
                there = Layout(network.populations, int(members[0]), layout.n_ranks, layout.partition)
                chances = tuple(s.row for s in self._expectation.rank(there, listed=False).by_source)
            found.append((members, chances))
        return found

    @cached_property
    def _row(self) -> npt.NDArray[np.float64]:
        """[kind, population]: these probabilities."""
        return np.array([chances for _, chances in self._chances])

    @cached_property
    def _members(self) -> Ids:
        """How many ranks are of each kind."""
        return np.array([members.size for members, _ in self._chances], np.int64)

    @cached_property
    def _kind_of(self) -> Ids:
        """The kind of each rank."""
        found = np.empty(self._layout.n_ranks, np.int64)
        for kind, (members, _) in enumerate(self._chances):
            found[members] = kind
        return found

    def _broadcast_of(self, rank: int) -> Ids:
        """The broadcast sources of another rank, ascending."""
        layout, always = self._layout, self._experiment.run.routing == "broadcast"
        # Ranks of each kind but this one and the owner: which of them need a source is as good as independent.
        others, owner = self._members.copy(), int(self._kind_of[rank])
        for kind in (owner, int(self._kind_of[layout.rank])):
            others[kind] -= 1
        mean, variance = others @ self._row, others @ (self._row * (1.0 - self._row))
        most = np.minimum(np.ceil(mean + 6.0 * variance**0.5), others.sum()).astype(np.int64)
        likely = most >= 0 if always else broadcast_pays(1 + most, np.ones(most.size, np.bool_), layout.n_ranks)
        found: list[Ids] = [np.empty(0, np.int64)]
        for i in np.flatnonzero(likely).tolist():
            first, stride, count = layout.partition.sequence(i, rank)
            if not count:
                continue
            gids = first + stride * np.arange(count, dtype=np.int64)
            number = is_among(gids, self._needed[rank]).astype(np.int64)
            for n, chance in zip(others.tolist(), self._row[:, i].tolist(), strict=True):
                number += self._draws.binomial(n, min(chance, 1.0), count) if n and chance else 0
            own = self._draws.random(count) < self._row[owner, i]
            found.append(gids[number > 0 if always else broadcast_pays(number, own, layout.n_ranks)])
        for listed in self._listed:
            found.append(listed.broadcast(rank, layout.n_ranks, always))
        return np.unique(np.concatenate(found))

    def _kinds(self) -> tuple[Ids, Ids]:
        """The distinct numbers of neurons by population, int64[kind, population], and the kind of each rank."""
        layout, n = self._layout, len(self._experiment.network.populations)
        counts = np.array(
            [[layout.partition.sequence(i, rank)[2] for i in range(n)] for rank in range(layout.n_ranks)], np.int64
        )
        kinds, kind_of, members = np.unique(counts, axis=0, return_inverse=True, return_counts=True)
        kind_of = kind_of.ravel()
        if len(kinds) <= MOST_KINDS:
            return kinds, kind_of
        common = np.sort(np.argsort(-members, kind="stable")[:MOST_KINDS])
        nearest = np.array([np.abs(kinds[common] - kind).sum(axis=1).argmin() for kind in kinds])
        return kinds[common], nearest[kind_of]

    def shortest(self) -> int | None:
        """The smallest delay in steps that is expected on some synapse between two ranks; None where there is none."""
        return shortest_between(self._experiment, self._expectation, self._layout.partition, self._listed)


class _Listed:
    """Connections of one list: global ids of the sources, ranks of both ends, delays in steps."""

    def __init__(self, source: Ids, source_rank: Ids, target_rank: Ids, steps: Ids) -> None:
        self.source, self.source_rank, self.target_rank, self.steps = source, source_rank, target_rank, steps

    @cached_property
    def _pairs(self) -> tuple[Ids, Ids, Ids, npt.NDArray[np.bool_]]:
        """Of each source: its global id and rank, on how many other ranks it has a row, and whether on its own."""
        sources, at = np.unique(self.source, return_index=True)
        pairs = np.unique(np.stack([self.source, self.target_rank], axis=1), axis=0)
        row = np.searchsorted(sources, pairs[:, 0])
        home = self.source_rank[at][row] == pairs[:, 1]
        own = np.bincount(row[home], minlength=sources.size) > 0
        return sources, self.source_rank[at], np.bincount(row[~home], minlength=sources.size), own

    def broadcast(self, rank: int, n_ranks: int, always: bool) -> Ids:
        """Sources of a rank that are broadcast, as far as this list goes."""
        sources, owner, number, own = self._pairs
        pays = number > 0 if always else broadcast_pays(number, own, n_ranks)
        return np.asarray(sources[pays & (owner == rank)])

    @staticmethod
    def of(projection: Projection, expectation: Expectation, number: int, partition: Partition, seed: int) -> _Listed:
        edges = expectation.edges_of(number)
        source = _gids(projection.sources, edges.source.astype(np.int64), seed)
        target = _gids(projection.targets, edges.target.astype(np.int64), seed)
        steps = rounded_to_steps(edges.delay, expectation.experiment.run.dt).astype(np.int64)
        return _Listed(source, partition.owner(source), partition.owner(target), steps)


def shortest_between(
    experiment: Experiment, expectation: Expectation, partition: Partition, listed: Sequence[_Listed] = ()
) -> int | None:
    """See `Others.shortest`."""
    found: list[int] = []
    for number, projection in enumerate(experiment.network.projections):
        total = expected_synapses(projection)
        if isinstance(projection.rule, Explicit) or not total:
            continue
        if _meets_no_other_rank(projection, partition, experiment.run.seed):
            continue
        steps = expectation.delays_of(number)
        # Of so many synapses the first step that at least one is expected to have; a list of delays has them all.
        likely = np.flatnonzero(steps.share * total >= 0.5)
        found.append(steps.first + int(likely[0] if likely.size else np.argmax(steps.share)))
    for edges in listed:
        between = edges.source_rank != edges.target_rank
        found += [int(edges.steps[between].min())] if between.any() else []
    return min(found, default=None)


def _meets_no_other_rank(projection: Projection, partition: Partition, seed: int) -> bool:
    """Whether all sources and their targets stand on one rank, as far as can be told from some of them."""
    ends = []
    for side in (projection.sources, projection.targets):
        size = sum(s.size for s in side)
        chosen = np.unique(np.linspace(0, size - 1, min(size, LOOKED_AT)).astype(np.int64))
        ends.append(partition.owner(_gids(side, chosen, seed)))
    if isinstance(projection.rule, OneToOne):
        return bool((ends[0] == ends[1]).all())
    return bool((np.concatenate(ends) == ends[0][0]).all())


def _gids(side: Sequence[Selection], places: Ids, seed: int) -> Ids:
    """Global ids at places of a side."""
    gids, begin = np.empty(places.size, np.int64), 0
    for selection in side:
        here = (places >= begin) & (places < begin + selection.size)
        if here.any():
            gids[here] = selection.population.first_gid + places_to_ids(selection, places[here] - begin, seed)
        begin += selection.size
    return gids


def _drawn(draws: np.random.Generator, n: int, chance: float) -> Ids:
    """Which of n trials come true, each with the same chance; work and memory go with those that do."""
    if n == 0 or chance <= 0.0:
        return np.empty(0, np.int64)
    if chance >= 1.0:
        return np.arange(n, dtype=np.int64)
    places = np.empty(0, np.int64)
    while not places.size or places[-1] < n - 1:
        last = int(places[-1]) if places.size else -1
        expected = (n - last) * chance
        gaps = draws.geometric(chance, int(expected + 4.0 * expected**0.5 + 16.0))
        # Beyond n all are alike; the clamp keeps the sum in range.
        places = np.concatenate([places, last + np.cumsum(np.minimum(gaps, n + 1))])
    return np.asarray(places[places < n])
