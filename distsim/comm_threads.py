"""Ranks that are threads of one process: distribution without a launcher, for tests."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from distsim.comm_base import Collective, Communicator, Counts, Peers, Words
from distsim.errors import CommunicationError

T = TypeVar("T")


class Threads(Communicator):
    """One of R ranks that are threads of this process; made by `Threads.run`."""

    def __init__(self, rank: int, size: int, shared: _Shared) -> None:
        self.rank, self.size, self._shared = rank, size, shared
        self._graphs = 0

    @staticmethod
    def run(size: int, work: Callable[[Communicator], T]) -> list[T]:
        """Call `work` on `size` ranks at once; return their results, or raise the first error."""
        shared = _Shared(size)
        results: list[Any] = [None] * size
        errors: list[tuple[int, BaseException]] = []

        def one(rank: int) -> None:
            try:
                results[rank] = work(Threads(rank, size, shared))
            except threading.BrokenBarrierError:
                return
            except BaseException as error:
                errors.append((rank, error))
                shared.barrier.abort()

        threads = [threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0][1]
        return results

    def _swap(self, value: Any) -> list[Any]:
        """What every rank put down, in rank order; valid until the next call."""
        self._shared.slots[self.rank] = value
        self._shared.barrier.wait()
        everyone = list(self._shared.slots)
        self._shared.barrier.wait()
        return everyone

    def exchange_lists(self, lists: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        everyone = self._swap([x.copy() for x in lists])
        return [sent[self.rank] for sent in everyone]

    def prepare(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> Collective:
        return _ThreadCollective(self, send, send_counts, send_at, receive, counts, at)

    def neighbours(self, sources: Counts, destinations: Counts) -> Peers:
        self._graphs += 1
        for rank, (_, theirs) in enumerate(self._swap((sources, destinations))):
            if (rank in sources) != (self.rank in theirs):
                raise CommunicationError(f"rank {self.rank} and rank {rank} disagree on being neighbours")
        return _ThreadNeighbours(self, self._graphs, sources, destinations)

    def reduce(self, values: npt.NDArray[Any], how: str) -> npt.NDArray[Any]:
        stacked = np.stack(self._swap(values.copy()))
        operation = {"sum": np.add, "min": np.minimum, "max": np.maximum}[how]
        return np.asarray(operation.reduce(stacked, axis=0), values.dtype)

    def broadcast(self, data: bytes) -> bytes:
        return bytes(self._swap(data)[0])

    def barrier(self) -> None:
        self._swap(None)


class _Shared:
    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=120)
        self.slots: list[Any] = [None] * size
        self._letters: dict[tuple[int, str, int, int], queue.Queue[Words]] = {}
        self._lock = threading.Lock()

    def letters(self, place: tuple[int, str, int, int]) -> queue.Queue[Words]:
        """What is under way in a graph, of one kind, from one rank to another."""
        with self._lock:
            return self._letters.setdefault(place, queue.Queue())

    def take(self, place: tuple[int, str, int, int]) -> Words:
        letters, last = self.letters(place), time.monotonic() + 120.0
        while time.monotonic() < last and not self.barrier.broken:
            try:
                return letters.get(timeout=0.2)
            except queue.Empty:
                continue
        raise threading.BrokenBarrierError


class _Sending(Collective):
    """Holds ranks to what MPI asks of them while words are under way."""

    def __init__(
        self, rank: int, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> None:
        self._rank, self._send, self._receive = rank, send, receive
        self._send_counts, self._send_at, self._counts, self._at = send_counts, send_at, counts, at

    def start(self) -> None:
        self._parts = self._sent()
        for a, n in zip(self._at, self._counts, strict=True):
            self._receive[a : a + n] = 0xDEADBEEF  # MPI may write here at any time from now on

    def _check(self) -> None:
        if any(not np.array_equal(was, is_now) for was, is_now in zip(self._parts, self._sent(), strict=True)):
            raise CommunicationError(f"rank {self._rank} changed words while they were being sent")

    def _take(self, nth: int, source: int, part: Words) -> None:
        n, a = self._counts[nth], self._at[nth]
        if part.size != n:
            raise CommunicationError(f"rank {source} sent {part.size} words to rank {self._rank}, which expected {n}")
        self._receive[a : a + n] = part

    def _sent(self) -> list[Words]:
        return [self._send[a : a + n].copy() for a, n in zip(self._send_at, self._send_counts, strict=True)]


class _ThreadCollective(_Sending):
    def __init__(self, ranks: Threads, *places: Any) -> None:
        super().__init__(ranks.rank, *places)
        self._ranks = ranks

    def wait(self) -> None:
        self._check()
        for source, sent in enumerate(self._ranks._swap(self._parts)):
            self._take(source, source, sent[self._rank])


class _ThreadNeighbours(Peers):
    """Letters from rank to rank: neighbours wait for one another, and for nobody else."""

    def __init__(self, ranks: Threads, graph: int, sources: Counts, destinations: Counts) -> None:
        self._ranks, self._graph, self.sources, self.destinations = ranks, graph, sources, destinations

    def prepare(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> Collective:
        return _NeighbourCollective(self, send, send_counts, send_at, receive, counts, at)

    def bring(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> None:
        for to, n, a in zip(self.destinations.tolist(), send_counts.tolist(), send_at.tolist(), strict=True):
            if n:
                self.post("rest", to, send[a : a + n].copy())
        for source, n, a in zip(self.sources.tolist(), counts.tolist(), at.tolist(), strict=True):
            if n:
                receive[a : a + n] = self.take("rest", source)

    def post(self, kind: str, to: int, words: Words) -> None:
        self._ranks._shared.letters((self._graph, kind, self._ranks.rank, to)).put(words)

    def take(self, kind: str, source: int) -> Words:
        return self._ranks._shared.take((self._graph, kind, source, self._ranks.rank))


class _NeighbourCollective(_Sending):
    def __init__(self, peers: _ThreadNeighbours, *places: Any) -> None:
        super().__init__(peers._ranks.rank, *places)
        self._peers = peers

    def start(self) -> None:
        super().start()
        for to, part in zip(self._peers.destinations.tolist(), self._parts, strict=True):
            self._peers.post("collective", to, part)

    def wait(self) -> None:
        self._check()
        for nth, source in enumerate(self._peers.sources.tolist()):
            self._take(nth, source, self._peers.take("collective", source))
