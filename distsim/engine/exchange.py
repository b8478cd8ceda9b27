"""Exchange of spikes between ranks at the end of each interval.

One collective carries, from each rank to each other, a header and room for `pair` messages: enough in the
common case, so an interval costs one collective. Where some pair has more, a bit in every header tells all
ranks; a second collective brings exactly the rest, and the pair's room grows. Sender and receiver see the
same count, so they agree on the new room without talking.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distsim.backend import Backend
from distsim.comm import Communicator

FIRST_ROOM = 62  # messages a pair; 64 words with the header of a one-step interval


class SpikeExchange:
    """Buffers and prepared collectives of one rank.

    The send buffer has one region a destination, `header + capacity` words; the receive buffer likewise a
    region a source.
    """

    def __init__(self, comm: Communicator, backend: Backend, loop: Any, interval: int, room: int = FIRST_ROOM) -> None:
        self._comm, self._backend, self._loop = comm, backend, loop
        self._header = 1 + interval
        size = comm.size
        self.out_pair = np.full(size, room, np.uint32)
        self.in_pair = np.full(size, room, np.uint32)
        self.out_pair[comm.rank] = self.in_pair[comm.rank] = 0
        self.growths = 0
        loop.n_ranks, loop.rank, loop.header = size, comm.rank, self._header
        self._out_count = backend.zeros(size, np.uint32)
        loop.out_count = backend.pointer(self._out_count)
        self._out = backend.zeros(0, np.uint32)
        self._in = backend.zeros(0, np.uint32)
        self._in_begin = np.zeros(size, np.uint64)
        loop.out_capacity = 0
        self.grow_out(max(4 * room, 256), prepare=False)
        self._grow_in()
        self._prepare()

    @property
    def bytes(self) -> int:
        return int(self._out.nbytes + self._in.nbytes)

    def grow_out(self, capacity: int, prepare: bool = True) -> None:
        """Room for `capacity` messages to each destination; what is packed already is kept."""
        size, header, old = self._comm.size, self._header, int(self._loop.out_capacity)
        grown = self._backend.zeros(size * (header + capacity), np.uint32)
        if old:
            grown.reshape(size, -1)[:, : header + old] = self._out.reshape(size, -1)
        self._out = grown
        self._loop.out, self._loop.out_capacity = self._backend.pointer(grown), capacity
        if prepare:
            self._stale = True

    def run(self) -> None:
        """Send and receive headers and the first messages of the interval that was just computed."""
        if self._stale:
            self._prepare()
        self._collective.run()
        loop = self._loop
        loop.received_start = loop.interval_start
        loop.phase = 0

    def fetch_rest(self) -> None:
        """Bring what the first collective had no room for, and make room for as much next time."""
        comm, header = self._comm, self._header
        begin = self._in_begin.astype(np.int64)
        incoming = (self._in[begin] & np.uint32(0x7FFFFFFF)).astype(np.int64)
        incoming[comm.rank] = 0
        outgoing = self._out_count.astype(np.int64)
        outgoing[comm.rank] = 0
        arrived, sent = self.in_pair.astype(np.int64), self.out_pair.astype(np.int64)
        self.in_pair = np.maximum(self.in_pair, _room(incoming, arrived)).astype(np.uint32)
        self._grow_in()
        begin = self._in_begin.astype(np.int64)
        stride = header + int(self._loop.out_capacity)
        rest_out, rest_in = np.maximum(outgoing - sent, 0), np.maximum(incoming - arrived, 0)
        comm.prepare(
            self._out, rest_out, np.arange(comm.size) * stride + header + np.minimum(sent, outgoing),
            self._in, rest_in, begin + header + np.minimum(arrived, incoming),
        ).run()  # fmt: skip
        self.out_pair = np.maximum(self.out_pair, _room(outgoing, sent)).astype(np.uint32)
        if int(self.out_pair.max()) > self._loop.out_capacity:
            self.grow_out(int(self.out_pair.max()))
        self._loop.rest_received = 1
        self._loop.out_pair = self._backend.pointer(self.out_pair)
        self.growths += 1
        self._stale = True

    def _grow_in(self) -> None:
        """A receive buffer with the pairs' room; received words are kept."""
        sizes = self._header + self.in_pair.astype(np.int64)
        begin = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        grown = self._backend.zeros(int(sizes.sum()), np.uint32)
        if self._in.size:
            old = self._in_begin.astype(np.int64)
            ends = np.append(old[1:], self._in.size)
            for a, b, at in zip(old, ends, begin, strict=True):
                grown[at : at + b - a] = self._in[a:b]
        self._in, self._in_begin = grown, begin.astype(np.uint64)
        loop = self._loop
        # `in` is a word of Python: hence setattr.
        setattr(loop, "in", self._backend.pointer(grown))
        loop.in_begin = self._backend.pointer(self._in_begin)

    def _prepare(self) -> None:
        header, size = self._header, self._comm.size
        stride = header + int(self._loop.out_capacity)
        out_words = header + self.out_pair.astype(np.int64)
        in_words = header + self.in_pair.astype(np.int64)
        self._loop.out_pair = self._backend.pointer(self.out_pair)
        self._collective = self._comm.prepare(
            self._out, out_words, np.arange(size, dtype=np.int64) * stride,
            self._in, in_words, self._in_begin.astype(np.int64),
        )  # fmt: skip
        self._stale = False


def _room(needed: np.ndarray[Any, Any], room: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The next power of two above 3/2 of what was needed, where it did not fit."""
    grown = np.array([1 << int(3 * n // 2).bit_length() for n in needed], np.int64)
    return np.where(needed > room, grown, room)
