"""Routing tables and the ways in which spikes travel: what each rank is told, what it costs, and one result."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import support
from chain import chain

import distsim
from distsim import (
    AllToAll,
    ConfigError,
    Experiment,
    FixedIndegree,
    Network,
    Normal,
    RunSettings,
    Uniform,
)
from distsim.backend import open_backend
from distsim.build.estimate import estimate
from distsim.build.routing import broadcast_pays
from distsim.comm import Communicator, Everyone, Threads
from distsim.engine.exchange import meet
from distsim.engine.simulation import Simulation, Tuning
from distsim.errors import CommunicationError
from distsim.kernels.loop import EVERYWHERE, NO_ROW


def neurons(size: int, indegree: int) -> Experiment:
    network = Network("random")
    n = network.population("N", size, "iaf_psc_exp", I_e=Uniform(500.0, 2500.0))
    network.project(n, n, FixedIndegree(indegree), Normal(0.0, 150.0), Uniform(2.0, 5.0))
    return Experiment(network, RunSettings(duration=30.0))


def asking(experiment: Experiment, **settings: Any) -> Experiment:
    return dataclasses.replace(experiment, run=dataclasses.replace(experiment.run, **settings))


def built(experiment: Experiment, n_ranks: int) -> list[Simulation]:
    return Threads.run(n_ranks, lambda comm: Simulation(experiment, comm, open_backend("cpu")))


# ---- Tables


@pytest.mark.parametrize(("how", "indegree"), [("auto", 12), ("broadcast", 4), ("listed", 12), ("auto", 30)])
def test_owners_know_every_row_of_their_neurons(how: Any, indegree: int) -> None:
    """Entry by entry against the rows themselves; empty rows where a broadcast source has no synapses."""
    ranks = built(asking(neurons(120, indegree), routing=how), 5)
    number, table = [], []
    for s in ranks:
        numbers = np.arange(s.rows.gids.size) if s.rows.number is None else s.rows.number
        assert np.unique(numbers).size == numbers.size == s.rows.gids.size
        number.append(dict(zip(s.rows.gids.tolist(), numbers.tolist(), strict=True)))
        table.append(np.asarray(s.rows.table)[:, 2] & np.uint64(0xFFFFFFFF))  # runs of each row
        assert len(table[-1]) == s.routing.n_rows == s.rows.gids.size + s.rows.n_empty
        assert (table[-1] == 0).sum() == s.rows.n_empty
    n_broadcast, seen = ranks[0].routing.n_broadcast, set()
    for gid in range(120):
        owner = next(s for s in ranks if s.layout.owned(np.array([gid]))[0])
        rank, routing = owner.comm.rank, owner.routing
        local = int(owner.layout.local_index(np.array([gid]))[0])
        assert routing.local_row[local] == number[rank].get(gid, NO_ROW)
        entries = range(routing.begin[local], routing.begin[local + 1])
        found = [(int(routing.rank[k]), int(routing.row[k])) for k in entries]
        needing = [(r, number[r][gid]) for r in range(5) if r != rank and gid in number[r]]
        pays = broadcast_pays(np.array([len(needing)]), np.array([gid in number[rank]]), 5)[0]
        if needing and {"auto": pays, "broadcast": True, "listed": False}[how]:
            ((to, row),) = found
            assert to == EVERYWHERE and row < n_broadcast and row not in seen
            seen.add(row)
            for r in range(5):
                assert number[r].get(gid, row) == row and (table[r][row] > 0) == (gid in number[r])
        else:
            assert sorted(found) == needing
    assert len(seen) == n_broadcast and (n_broadcast > 0) == (how != "listed")
    for s in ranks:
        sends = {r for r in range(5) if r in s.routing.rank or EVERYWHERE in s.routing.rank} - {s.comm.rank}
        assert set(s.routing.destinations.tolist()) == sends
        assert set(s.routing.sources.tolist()) == {o.comm.rank for o in ranks if s.comm.rank in o.routing.destinations}


def test_broadcasting_pays_where_it_saves_memory() -> None:
    """8 bytes an entry, 24 an empty row: never on two ranks; on very many where three quarters need a source."""

    def pays(needed_by: int, own: bool, n_ranks: int) -> bool:
        return bool(broadcast_pays(np.array([needed_by]), np.array([own]), n_ranks)[0])

    assert not pays(1, True, 2) and not pays(0, True, 1) and not pays(0, False, 5)
    assert pays(2, True, 3) and not pays(2, False, 3) and not pays(1, True, 3)
    assert pays(769, True, 1025) and not pays(768, True, 1025)


def test_a_table_of_64_bytes_a_neuron_on_a_thousand_ranks() -> None:
    """4 M neurons over 1,024 ranks have 4.9 synapses a source and rank: so has this network on 12 ranks.

    The estimate, which says what the 1,024 take, is held to what the twelve have.
    """
    small = neurons(600, 59)
    sizes = {}
    for how in ("auto", "listed"):
        asked = asking(small, routing=how)
        ranks, expected = built(asked, 12), estimate(asked, 12)
        routing = sum(s.routing.bytes() for s in ranks)
        stored = routing + sum(s.rows.bytes("single") for s in ranks)
        assert expected.total.routing == pytest.approx(routing, rel=0.01)
        assert expected.bytes_per_synapse == pytest.approx(stored / (600 * 59), rel=0.01)
        assert expected.looked_at == 12
        sizes[how] = routing / 600, stored
    assert sizes["auto"][0] < 16.2 < 80.0 < sizes["listed"][0]  # 8 + 8, and 8 + 8 for each of nearly 11 ranks
    assert sizes["auto"][1] < sizes["listed"][1]
    large = neurons(4_000_000, 5000)
    assert estimate(large, 1024).total.routing / 4e6 < 64.0
    assert estimate(asking(large, routing="listed"), 1024).total.routing / 4e6 > 8000.0


# ---- Neighbours


def test_neighbours_are_chosen_where_they_are_few() -> None:
    def graph(experiment: Experiment, n_ranks: int) -> list[tuple[bool, list[int], list[int]]]:
        peers = [s.exchange.peers for s in built(experiment, n_ranks) if s.exchange is not None]
        return [(isinstance(p, Everyone), p.sources.tolist(), p.destinations.tolist()) for p in peers]

    found = graph(chain(), 4)
    assert found == [(False, [0], [0, 1]), (False, [0, 1], [1, 2]), (False, [1, 2], [2, 3]), (False, [2, 3], [3])]
    everyone = list(range(4))
    assert graph(asking(chain(), exchange="alltoall"), 4) == [(True, everyone, everyone)] * 4
    assert graph(asking(chain(), partition="round_robin"), 4) == [(True, everyone, everyone)] * 4
    forced = asking(chain(), partition="round_robin", exchange="neighbourhood")
    assert graph(forced, 4) == [(False, everyone, everyone)] * 4
    assert graph(asking(chain(), routing="broadcast"), 4)[3] == (True, everyone, everyone)


def test_interval_of_areas_on_ranks_is_the_delay_between_them() -> None:
    """Delays of 0.1 ms inside an area wait for nobody; the digest is that of any other partition."""
    reference = support.run(chain(), 4)
    assert reference.interval == 20 and reference.count > 500
    spread = support.run(asking(chain(), partition="round_robin"), 3)
    assert spread.interval == 1
    support.check_same(spread, reference, "round robin")

    def said(comm: Communicator) -> Any:
        run = chain().run
        return distsim.simulate(chain().network, 10.0, comm=comm, partition=run.partition, device="cpu").summary

    for summary in Threads.run(4, said):
        assert summary["exchange_interval"] == 2.0
        assert summary["routing"] == {"exchange": "neighbourhood", "most_neighbours": 1, "broadcast_sources": 0}


LAYOUTS = [
    {"exchange": "alltoall"},
    {"exchange": "neighbourhood", "routing": "broadcast"},
    {"exchange": "neighbourhood", "partition": "block"},
    {"partition": "populations", "routing": "broadcast"},
]


@pytest.mark.parametrize("overlap", [False, True])
def test_no_result_depends_on_how_spikes_travel(overlap: bool) -> None:
    """One message a pair in the first collective: neighbours bring the rest and grow without the others."""
    reference = support.run(asking(chain(), partition="round_robin"))
    tuning = dataclasses.replace(support.TINY, overlap=overlap)
    for layout in LAYOUTS:
        found = support.run(asking(chain(), **layout), 4, tuning, stops=(7, 33))
        support.check_same(found, reference, str(layout))
        assert found.growths > 0
    # Broadcast spikes of every rank at once, more than there is room for.
    experiment, expected = support.avalanche(30, 6, delay=1.0)
    for layout in ({"routing": "broadcast"}, {"routing": "broadcast", "exchange": "neighbourhood"}):
        support.check_same(support.run(asking(experiment, **layout), 3, tuning), expected, str(layout))


def test_a_pair_grows_without_the_others() -> None:
    """A rank grows for one neighbour on one side of its buffers, then for another on the other side.

    What it prepares anew then must be as before for the first, who was told nothing of it.
    """
    network = Network("sides")
    a = network.population("A", 3, "spike_generator", spike_times=[[1.5]] * 3)  # second interval of ten steps
    b = network.population("B", 3, "spike_generator", spike_times=[[0.5, 3.5]] * 3)  # first, fourth
    onto_b, onto_c = network.population("onto_B", 2, "parrot_neuron"), network.population("onto_C", 2, "parrot_neuron")
    network.project(a, onto_b, AllToAll(), 1.0, 2.0)
    network.project(b, onto_c, AllToAll(), 1.0, 2.0)
    settings = RunSettings(8.0, partition={"A": 0, "B": 1, "onto_B": 1, "onto_C": 2}, exchange="neighbourhood")
    experiment = Experiment(network, settings)
    reference = support.run(asking(experiment, partition="round_robin"))
    assert reference.count == 2 * 3 + 2 * 6
    found = support.run(experiment, 3, Tuning(message_room=2, overlap=True))
    assert found.interval == 10 and found.growths == 3
    support.check_same(found, reference)


def test_a_neighbour_that_does_not_know_of_it() -> None:
    """A graph whose edge one end alone believes in would hang MPI."""

    def work(comm: Communicator) -> None:
        here = np.array([comm.rank])
        comm.neighbours(here, np.arange(2) if comm.rank == 0 else here)

    with pytest.raises(CommunicationError, match="disagree on being neighbours"):
        Threads.run(2, work)


def test_only_the_two_of_a_pair_bring_the_rest() -> None:
    """Rank 2 takes no part, as over MPI; a collective that it has not begun does not hold the others either."""

    def work(comm: Communicator) -> list[int]:
        routing = built_routing(comm)
        peers = meet(comm, routing, "neighbourhood")
        words, counts = np.arange(9, dtype=np.uint32) + 10 * comm.rank, np.zeros(peers.sources.size, np.int64)
        if comm.rank == 2:
            return []
        counts[peers.sources == 1 - comm.rank] = 3
        received = np.zeros(9, np.uint32)
        peers.bring(words, counts, np.full(counts.size, 2), received, counts, np.full(counts.size, 4))
        return received.tolist()

    def built_routing(comm: Communicator) -> Any:
        return Simulation(neurons(12, 6), comm, open_backend("cpu")).routing

    assert Threads.run(3, work) == [[0] * 4 + [12, 13, 14, 0, 0], [0] * 4 + [2, 3, 4, 0, 0], []]


# ---- Asking for it


@pytest.mark.parametrize(("key", "allowed"), [("routing", "auto, broadcast, listed"), ("exchange", "auto, alltoall,")])
def test_wrong_words_are_refused(key: str, allowed: str) -> None:
    with pytest.raises(ConfigError, match=rf"run\.{key}: found 'some'; allowed: {allowed}"):
        RunSettings(1.0, **{key: "some"})  # type: ignore[arg-type]


def test_ranks_without_each_other() -> None:
    """Two areas that know nothing of one another: no neighbours, nothing but one's own header to exchange."""
    network = Network("apart")
    for name in "AB":
        p = network.population(name, 20, "iaf_psc_exp", I_e=Uniform(500.0, 900.0))
        network.project(p, p, AllToAll(), 5.0, 0.1)
    experiment = Experiment(network, RunSettings(20.0, partition={"A": 0, "B": 1}))
    reference = support.run(asking(experiment, partition="round_robin"))
    for tuning in (None, Tuning(max_interval=3)):
        found = support.run(experiment, 3, tuning)
        support.check_same(found, reference)
        assert found.interval == (3 if tuning else 64)
