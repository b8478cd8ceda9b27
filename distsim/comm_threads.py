"""Ranks that are threads of one process: distribution without a launcher, for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from distsim.comm_base import Collective, Communicator, Counts, Words
from distsim.errors import CommunicationError

T = TypeVar("T")


class Threads(Communicator):
    """One of R ranks that are threads of this process; made by `Threads.run`."""

    def __init__(self, rank: int, size: int, shared: _Shared) -> None:
        self.rank, self.size, self._shared = rank, size, shared

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


class _ThreadCollective(Collective):
    def __init__(
        self, ranks: Threads, send: Words, send_counts: Counts, send_at: Counts,
        receive: Words, counts: Counts, at: Counts,
    ) -> None:  # fmt: skip
        self._ranks, self._send, self._receive = ranks, send, receive
        self._send_counts, self._send_at, self._counts, self._at = send_counts, send_at, counts, at

    def start(self) -> None:
        self._parts = self._sent()
        for a, n in zip(self._at, self._counts, strict=True):
            self._receive[a : a + n] = 0xDEADBEEF  # MPI may write here at any time from now on

    def wait(self) -> None:
        mine = self._ranks.rank
        if any(not np.array_equal(was, is_now) for was, is_now in zip(self._parts, self._sent(), strict=True)):
            raise CommunicationError(f"rank {mine} changed words while they were being sent")
        for source, sent in enumerate(self._ranks._swap(self._parts)):
            part, n, a = sent[mine], self._counts[source], self._at[source]
            if part.size != n:
                raise CommunicationError(f"rank {source} sent {part.size} words to rank {mine}, which expected {n}")
            self._receive[a : a + n] = part

    def _sent(self) -> list[Words]:
        return [self._send[a : a + n].copy() for a, n in zip(self._send_at, self._send_counts, strict=True)]
