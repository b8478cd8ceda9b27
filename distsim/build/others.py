"""What other ranks are expected to need of one: the requests that `build_routing` receives, without those ranks.

Whether another rank has a row of a neuron is a matter of chance in most rules; its probability follows from the
description (`expected`), and every pair (rank, neuron) is drawn with it once. So totals are those of a real run within
their own scatter: 1 / sqrt(requests). Listed connections are not drawn but looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.build.costs import expected_synapses
from distsim.build.expected import Expectation
from distsim.build.partition import Layout, Partition
from distsim.build.selecting import places_to_ids
from distsim.errors import during
from distsim.experiment import Experiment
from distsim.grid import rounded_to_steps
from distsim.network import Projection
from distsim.rules import Explicit, OneToOne
from distsim.selection import Selection

Ids = npt.NDArray[np.int64]
MOST_KINDS = 64  # of ranks, by how many neurons of each population they have; the rarer ones are taken for the nearest
LOOKED_AT = 65_536  # pairs of one_to_one, which may all lie inside ranks


class Others:
    """The other ranks of a run, as one of them meets them while it builds its routing."""

    @during("expected requests")
    def __init__(self, experiment: Experiment, expectation: Expectation, layout: Layout) -> None:
        self._experiment, self._expectation, self._layout = experiment, expectation, layout
        self._listed = [
            _Listed.of(p, expectation, number, layout.partition, experiment.run.seed)
            for number, p in enumerate(experiment.network.projections)
            if isinstance(p.rule, Explicit) and p.rule.summary.count
        ]

    def answers(self, lists: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """What each rank sends to this one when this one sends `lists`: pairs of a global id here and a row there."""
        layout = self._layout
        ranks, gids = self._requests()
        order = np.lexsort((gids, ranks))
        ranks, gids = ranks[order], gids[order]
        bounds = np.searchsorted(ranks, np.arange(layout.n_ranks + 1))
        received = []
        for rank in range(layout.n_ranks):
            mine = gids[bounds[rank] : bounds[rank + 1]]
            received.append(np.stack([mine, np.arange(mine.size, dtype=np.int64)], axis=1).ravel())
        received[layout.rank] = lists[layout.rank].copy()
        return received

    def _requests(self) -> tuple[Ids, Ids]:
        """(rank, global id) of every neuron here that another rank needs."""
        layout, network = self._layout, self._experiment.network
        kinds, kind_of = self._kinds()
        draws = np.random.default_rng(self._experiment.run.seed)
        ranks: list[Ids] = [np.empty(0, np.int64)]
        gids: list[Ids] = [np.empty(0, np.int64)]
        for kind, counts in enumerate(kinds):
            members = np.flatnonzero(kind_of == kind)
            members = members[members != layout.rank]
            if not members.size or not any(counts):
                continue
            there = Layout(network.populations, int(members[0]), layout.n_ranks, layout.partition)
            sources = self._expectation.rank(there, listed=False).by_source
            for i, source in enumerate(sources):
                part = layout.part(i)
                found = _drawn(draws, members.size * part.count, source.row)
                ranks.append(members[found // max(1, part.count)])
                gids.append(part.first_gid + part.stride * (found % max(1, part.count)))
        for listed in self._listed:
            mine = (listed.source_rank == layout.rank) & (listed.target_rank != layout.rank)
            ranks.append(listed.target_rank[mine])
            gids.append(listed.source[mine])
        pairs = np.stack([np.concatenate(ranks), np.concatenate(gids)], axis=1)
        if self._listed:
            pairs = np.unique(pairs, axis=0)
        return pairs[:, 0], pairs[:, 1]

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
