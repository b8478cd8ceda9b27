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
        self._graphs = self._turn = 0

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
                shared.meeting.abort()

        threads = [threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0][1]
        return results

    def _swap(self, value: Any) -> list[Any]:
        """What every rank put down, in rank order; valid until the next call.

        Calls take turns with two rows of slots: who puts something down for the second time after this call has met
        the others once more, and all have read by then.
        """
        self._turn = 1 - self._turn
        slots = self._shared.slots[self._turn]
        slots[self.rank] = value
        self._shared.meeting.wait(self.rank)
        return list(slots)

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


class _Meeting:
    """threading.Barrier, of plain locks: that takes five times as long, and tests meet millions of times."""

    def __init__(self, size: int) -> None:
        self._lock, self._gates = threading.Lock(), [threading.Lock() for _ in range(size)]
        for gate in self._gates:
            gate.acquire()
        self._here = self._past = 0
        self.broken = False

    def wait(self, rank: int) -> None:
        """Until all ranks are here; BrokenBarrierError where they never will be."""
        with self._lock:
            if self.broken:
                raise threading.BrokenBarrierError
            met = self._past
            self._here += 1
            if self._here == len(self._gates):
                self._here, self._past = 0, met + 1
                for other, gate in enumerate(self._gates):
                    if other != rank:
                        gate.release()
                return
        if not self._gates[rank].acquire(timeout=120.0):
            self.abort()
        if self._past == met:  # the gate was opened by somebody who gave up
            raise threading.BrokenBarrierError

    def abort(self) -> None:
        """Whoever waits, or will, gets BrokenBarrierError."""
        with self._lock:
            self.broken = True
            for gate in self._gates:
                if gate.locked():
                    gate.release()


class _Shared:
    def __init__(self, size: int) -> None:
        self.meeting = _Meeting(size)
        self.slots: tuple[list[Any], list[Any]] = [None] * size, [None] * size
        self._letters: dict[tuple[int, str, int, int], queue.Queue[Words]] = {}
        self._lock = threading.Lock()

    def letters(self, place: tuple[int, str, int, int]) -> queue.Queue[Words]:
        """What is under way in a graph, of one kind, from one rank to another."""
        with self._lock:
            return self._letters.setdefault(place, queue.Queue())

    def take(self, place: tuple[int, str, int, int]) -> Words:
        letters, last = self.letters(place), time.monotonic() + 120.0
        while time.monotonic() < last and not self.meeting.broken:
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
        self._rank = rank
        self._sends = [send[a : a + n] for a, n in zip(send_at, send_counts, strict=True)]
        self._receives = [receive[a : a + n] for a, n in zip(at, counts, strict=True)]

    def start(self) -> None:
        self._parts = [words.copy() for words in self._sends]
        for words in self._receives:
            words.fill(0xDEADBEEF)  # MPI may write here at any time from now on

    def _check(self) -> None:
        if any(was.tobytes() != is_now.tobytes() for was, is_now in zip(self._parts, self._sends, strict=True)):
            raise CommunicationError(f"rank {self._rank} changed words while they were being sent")

    def _take(self, nth: int, source: int, part: Words) -> None:
        words = self._receives[nth]
        if part.size != words.size:
            raise CommunicationError(
                f"rank {source} sent {part.size} words to rank {self._rank}, which expected {words.size}"
            )
        words[:] = part


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
