"""The ranks of most tests, which are threads: they meet, they end together, they see what MPI would not forgive."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from distsim.comm_base import Communicator
from distsim.comm_threads import Threads
from distsim.errors import CommunicationError


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_nobody_reads_what_is_of_another_call(size: int) -> None:
    """Catches a rank that runs ahead: it would put down its next value where others still read the one before."""

    def work(comm: Communicator) -> list[tuple[int, list[int]]]:
        draw, found = random.Random(comm.rank), []
        for k in range(300):
            if draw.random() < 0.05:
                time.sleep(0.001 * draw.random())
            (own,) = comm.reduce(np.array([k * (comm.rank + 1)]), "sum")
            lists = comm.exchange_lists([np.array([k, comm.rank, to]) for to in range(comm.size)])
            found.append((int(own), [int(x) for words in lists for x in words]))
        return found

    expected = [
        (k * size * (size + 1) // 2, lambda rank, k=k: [x for source in range(size) for x in (k, source, rank)])
        for k in range(300)
    ]
    for rank, found in enumerate(Threads.run(size, work)):
        assert found == [(total, lists(rank)) for total, lists in expected]


def test_one_error_ends_all() -> None:
    """Those that wait, those that are late, and those that have met often before."""

    def work(comm: Communicator) -> None:
        for _ in range(20):
            comm.barrier()
        if comm.rank == 1:
            raise ValueError("on purpose")
        time.sleep(0.02 * comm.rank)
        comm.barrier()
        raise AssertionError("met a rank that is gone")

    began = time.monotonic()
    with pytest.raises(ValueError, match="on purpose"):
        Threads.run(4, work)
    assert time.monotonic() - began < 30.0


@pytest.mark.parametrize("fault", ["changed", "short", ""])
def test_words_under_way_are_watched(fault: str) -> None:
    def work(comm: Communicator) -> list[int]:
        send, receive = np.arange(6, dtype=np.uint32) + 10 * comm.rank, np.zeros(6, np.uint32)
        counts, at = np.full(2, 3), np.array([0, 3])
        wrong = np.full(2, 2) if fault == "short" else counts
        collective = comm.prepare(send, counts, at, receive, wrong, at)
        for _ in range(2):
            collective.start()
            assert not (receive < 100).all(), "what is to be received can be read before it was"
            if fault == "changed" and comm.rank == 0:
                send[4] += 1
            collective.wait()
        return receive.tolist()

    if not fault:
        assert Threads.run(2, work) == [[0, 1, 2, 10, 11, 12], [3, 4, 5, 13, 14, 15]]
        return
    with pytest.raises(CommunicationError, match="changed words" if fault == "changed" else "which expected 2"):
        Threads.run(2, work)
