"""A stand-in for the ranks around one: builds rank r of R alone, and knows no MPI.

What the others would send is either the same as what this rank sends (they are its like), or what `answers` says.
It can build a network, not run it: nobody sends a spike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.comm import Collective, Communicator, Counts, Words
from distsim.errors import CommunicationError

Lists = Sequence[npt.NDArray[Any]]


class DryRun(Communicator):
    """One rank of many that are not there.

    Parameters
    ----------
    answers
        Given the lists that this rank sends, one a rank: the lists that it would receive.
    most
        Some other rank has so much, where the largest number of all ranks is asked for.

    Attributes
    ----------
    answering
        Seconds that `answers` took: no rank of a real run spends them.
    sent_words, received_words
        uint32 words that the collective prepared last carries to and from other ranks.
    """

    def __init__(
        self, rank: int, size: int, answers: Callable[[Lists], list[npt.NDArray[Any]]], most: int = 0
    ) -> None:  # fmt: skip
        self.rank, self.size, self._answers, self._most = rank, size, answers, most
        self.answering = 0.0
        self.sent_words = self.received_words = 0

    def exchange_lists(self, lists: Lists) -> list[npt.NDArray[Any]]:
        began = time.perf_counter()
        received = self._answers(lists)
        self.answering += time.perf_counter() - began
        return received

    def prepare(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> Collective:
        others = np.arange(self.size) != self.rank
        self.sent_words, self.received_words = (int(np.asarray(n)[others].sum()) for n in (send_counts, counts))
        return _Nobody()

    def share(self, array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        return [array] * self.size

    def local_rank(self) -> int:
        return 0

    def reduce(self, values: npt.NDArray[Any], how: str) -> npt.NDArray[Any]:
        if how == "max":
            return np.asarray(np.maximum(values, self._most), values.dtype)
        return np.asarray(values * self.size if how == "sum" else values.copy(), values.dtype)

    def broadcast(self, data: bytes) -> bytes:
        return data

    def barrier(self) -> None:
        return None


class _Nobody(Collective):
    """There is nobody at the other ends."""

    def start(self) -> None:
        raise CommunicationError("a dry run exchanges no spikes: nobody else is there")

    def wait(self) -> None:
        raise CommunicationError("a dry run exchanges no spikes: nobody else is there")
