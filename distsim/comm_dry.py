"""A stand-in for the ranks around one: builds rank r of R alone, and knows no MPI.

What the others would send is what `Around` says. It can build a network, not run it: nobody sends a spike.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distsim.comm_base import Collective, Communicator, Counts, Peers, Words
from distsim.errors import CommunicationError

Array = npt.NDArray[Any]


class Around(Protocol):
    """What other ranks would answer, in the order in which a build asks."""

    def exchange_lists(self, lists: Sequence[Array]) -> list[Array]:
        """Given the lists that this rank sends, one a rank: the lists that it would receive."""

    def share(self, array: Array) -> list[Array]:
        """Given this rank's array: every rank's."""

    def largest(self, values: Array) -> Array:
        """Given this rank's numbers: the largest of all ranks."""


class DryRun(Communicator):
    """One rank of many that are not there.

    Attributes
    ----------
    answering
        Seconds that answers took: no rank of a real run spends them.
    sent_words, received_words
        uint32 words that the collective prepared last carries to and from other ranks.
    """

    def __init__(self, rank: int, size: int, around: Around) -> None:
        self.rank, self.size, self._around = rank, size, around
        self.answering = 0.0
        self.sent_words = self.received_words = 0

    def exchange_lists(self, lists: Sequence[Array]) -> list[Array]:
        began = time.perf_counter()
        received = self._around.exchange_lists(lists)
        self.answering += time.perf_counter() - began
        return received

    def share(self, array: Array) -> list[Array]:
        began = time.perf_counter()
        received = self._around.share(array)
        self.answering += time.perf_counter() - began
        return received

    def prepare(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> Collective:
        ranks = np.arange(self.size)
        return self.prepared(send_counts, ranks, counts, ranks)

    def prepared(self, sent: Counts, destinations: Counts, received: Counts, sources: Counts) -> Collective:
        """Take down how many words a collective carries to and from others."""
        self.sent_words = int(np.asarray(sent)[destinations != self.rank].sum())
        self.received_words = int(np.asarray(received)[sources != self.rank].sum())
        return _Nobody()

    def neighbours(self, sources: Counts, destinations: Counts) -> Peers:
        return _DryPeers(self, sources, destinations)

    def local_rank(self) -> int:
        return 0

    def reduce(self, values: Array, how: str) -> Array:
        if how == "max":
            return np.asarray(self._around.largest(values), values.dtype)
        return np.asarray(values * self.size if how == "sum" else values.copy(), values.dtype)

    def broadcast(self, data: bytes) -> bytes:
        return data

    def barrier(self) -> None:
        return None


class _DryPeers(Peers):
    """Some ranks, none of them there."""

    def __init__(self, ranks: DryRun, sources: Counts, destinations: Counts) -> None:
        self._ranks, self.sources, self.destinations = ranks, sources, destinations

    def prepare(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> Collective:
        return self._ranks.prepared(send_counts, self.destinations, counts, self.sources)

    def bring(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> None:
        _Nobody().start()


class _Nobody(Collective):
    """There is nobody at the other ends."""

    def start(self) -> None:
        raise CommunicationError("a dry run exchanges no spikes: nobody else is there")

    def wait(self) -> None:
        raise CommunicationError("a dry run exchanges no spikes: nobody else is there")
