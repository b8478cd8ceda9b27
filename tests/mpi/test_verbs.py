"""MPI's verbs against those of the stand-in ranks: what the unit tests learn there must hold here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distsim.build.capacity import resident_bytes
from distsim.comm import Communicator, Everyone, Threads, connect
from distsim.errors import CommunicationError, ResultError

pytestmark = pytest.mark.mpi


def equal(a: Any, b: Any) -> bool:
    """Equal values, dtypes and shapes, within lists too."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


def both(comm: Communicator, work: Any) -> None:
    """Every rank's result over MPI must be that rank's over threads."""
    here = work(comm)
    there = Threads.run(comm.size, work)[comm.rank]
    assert equal(here, there), f"rank {comm.rank}: MPI gave {here}, the stand-in {there}"


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.uint32, np.float64, np.uint8])
def test_exchange_lists(comm: Communicator, dtype: Any) -> None:
    """Lists of unequal length, some empty: to the right rank, in order, with their dtype."""

    def work(c: Communicator) -> list[Any]:
        lists = [(100 * c.rank + 10 * r + np.arange((c.rank + 2 * r) % 4)).astype(dtype) for r in range(c.size)]
        return c.exchange_lists(lists)

    both(comm, work)


def test_exchange_of_nothing(comm: Communicator) -> None:
    """A network without any connection across ranks."""
    both(comm, lambda c: c.exchange_lists([np.empty(0, np.int64)] * c.size))


def test_exchange_lists_leaves_the_lists_alone(comm: Communicator) -> None:
    """What comes back is no view of what was sent: the sender may reuse its arrays."""

    def work(c: Communicator) -> list[Any]:
        lists = [np.full(3, c.rank, np.int64) for _ in range(c.size)]
        received = c.exchange_lists(lists)
        for x in lists:
            x[:] = -1
        c.barrier()
        return received

    both(comm, work)


@pytest.mark.parametrize("how", ["sum", "min", "max"])
@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.float64])
def test_reduce(comm: Communicator, how: str, dtype: Any) -> None:
    """The digest's sums wrap modulo 2^64 and have three dimensions; the argument stays as it is."""

    def work(c: Communicator) -> list[Any]:
        values = (np.arange(24).reshape(2, 3, 4) * (c.rank + 1)).astype(dtype)
        if dtype is np.uint64:
            values += np.uint64(2**63 - c.rank)
        kept = values.copy()
        result = c.reduce(values, how)
        assert equal(values, kept)
        return [result]

    both(comm, work)


def test_broadcast_minimum_total(comm: Communicator) -> None:
    """Rank 0's bytes everywhere, none of them too, whatever the others pass."""

    def work(c: Communicator) -> list[Any]:
        told = c.broadcast(bytes(range(256)) if c.rank == 0 else b"x" * c.rank)
        nothing = c.broadcast(b"" if c.rank == 0 else b"x")
        c.barrier()
        return [told, nothing, c.minimum(7 - c.rank), c.total(c.rank)]

    both(comm, work)


def test_where_one_fails_all_do(comm: Communicator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank that cannot write says so; the others do not wait for it for ever."""
    monkeypatch.setattr(type(comm), "patience", 0.0)

    def work() -> int:
        if comm.rank == comm.size - 1:
            raise ResultError("a full disk")
        return comm.rank

    assert comm.together(lambda: comm.rank) == comm.rank
    with pytest.raises(ResultError if comm.rank == comm.size - 1 else CommunicationError, match=r"full disk|said why"):
        comm.together(work)
    assert comm.first_alone(lambda: comm.size) == (comm.size if comm.rank == 0 else None)


def test_prepared_collective_runs_again_and_again(comm: Communicator) -> None:
    """Unequal counts, some zero, gaps between the places, new words in the same buffers; nothing else is touched."""

    def work(c: Communicator) -> list[Any]:
        counts = np.random.default_rng(3).integers(0, 5, (c.size, c.size))  # [from, to], the same on every rank
        counts[0, -1] = 0
        send_counts, receive_counts = counts[c.rank].astype(np.int64), counts[:, c.rank].astype(np.int64)
        places = np.arange(c.size, dtype=np.int64) * 7 + 1
        send, receive = np.zeros(7 * c.size + 1, np.uint32), np.full(7 * c.size + 1, 0xFFFFFFFF, np.uint32)
        collective = c.prepare(send, send_counts, places, receive, receive_counts, places)
        other = c.prepare(receive, receive_counts, places, send, send_counts, places)  # two alive at once
        results = []
        for turn in range(20):
            send[:] = 1000 * turn + 100 * c.rank + np.arange(send.size)
            collective.run()
            results.append(receive.copy())
            if turn % 5 == 4:
                other.run()
                results.append(send.copy())
        return results

    both(comm, work)


def test_bringing_leaves_nothing_in_memory(comm: Communicator) -> None:
    """In a run of days pairs overflow thousands of times; MPI keeps 2 kB and more of what is not freed."""
    n = comm.size
    words, counts, at = np.zeros((2, n), np.uint32), np.ones(n, np.int64), np.arange(n, dtype=np.int64)

    def resident_after(times: int) -> int:
        for _ in range(times):
            Everyone(comm).bring(words[0], counts, at, words[1], counts, at)
        return resident_bytes()

    before = resident_after(100)
    assert resident_after(600) - before < 2**18


def test_neighbours(comm: Communicator) -> None:
    """A ring: unequal counts, gaps, several turns; two graphs at once; the rest goes between pairs that have any."""

    def work(c: Communicator) -> list[Any]:
        before, after = (c.rank - 1) % c.size, (c.rank + 1) % c.size
        peers = c.neighbours(np.unique([before, c.rank]), np.unique([c.rank, after]))
        other = c.neighbours(np.array([c.rank]), np.array([c.rank]))
        n_from, n_to = peers.sources.size, peers.destinations.size
        counts, send_counts = 1 + peers.sources + c.rank, 1 + c.rank + peers.destinations
        at, send_at = np.arange(n_from) * 12 + 1, np.arange(n_to) * 12 + 2
        send, receive = np.zeros(40, np.uint32), np.full(40, 0xFFFFFFFF, np.uint32)
        collective = peers.prepare(send, send_counts, send_at, receive, counts, at)
        one = np.zeros(1, np.int64)
        alone = other.prepare(send, one + 3, one, receive, one + 3, one + 30)
        results = []
        for turn in range(6):
            send[:] = 1000 * turn + 100 * c.rank + np.arange(send.size)
            collective.run()
            alone.run()
            results.append(receive.copy())
        # Only from even ranks to odd ones, and only where these follow.
        few_from = np.where((peers.sources == before) & (c.rank % 2 == 1), 4, 0)
        few_to = np.where((peers.destinations == after) & (c.rank % 2 == 0) & (after % 2 == 1), 4, 0)
        peers.bring(send, few_to, send_at, receive, few_from, at)
        peers.free()
        other.free()
        return [*results, receive]

    both(comm, work)


def test_rank_and_size(comm: Communicator) -> None:
    """Ranks 0 … size - 1, each once."""
    assert np.concatenate(comm.share(np.array([comm.rank]))).tolist() == list(range(comm.size))


def test_another_number_of_ranks_than_asked_for(comm: Communicator, monkeypatch: pytest.MonkeyPatch) -> None:
    """`launch/run -n 5` under a launcher of another MPI would run 5 networks of one rank each."""
    monkeypatch.setenv("DISTSIM_RANKS", str(comm.size + 1))
    with pytest.raises(CommunicationError, match=rf"asked for {comm.size + 1}, MPI has {comm.size}"):
        connect()
