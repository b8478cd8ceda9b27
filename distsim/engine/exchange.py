"""Exchange of spikes between ranks at the end of each interval.

One collective carries, from each rank to each other, a header and room for `pair` messages: enough in the
common case, so an interval costs one collective. Where some pair has more, a bit in every header tells all
ranks; a second collective brings exactly the rest, and the pair's room grows. Sender and receiver see the
same count, so they agree on the new room without talking.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Backend
from distsim.comm import Communicator
from distsim.errors import during
from distsim.kernels.loop import RECEIVE

FIRST_ROOM = 62  # messages a pair; 64 words with the header of a one-step interval


class SpikeExchange:
    """Buffers and prepared collectives of one rank.

    Kernels pack into one region a destination, `header + capacity` words, which a rank may grow by itself.
    What the first collective carries is copied from there to a send buffer of its own: a prepared
    collective is bound to its buffers, and all ranks prepare it anew together or not at all. The receive
    buffer has a region a source. Packed and received words are mirrored: kernels use them on the device,
    MPI on the host.
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
        loop.out_capacity = max(4 * room, 256)
        self._in_begin = np.zeros(size, np.int64)
        self._mirror_out(np.zeros((size, self._header + loop.out_capacity), np.uint32))
        self._grow_in(None)
        self._prepare()

    @property
    def bytes(self) -> int:
        return int(self._out.host.nbytes + self._in.host.nbytes)

    def grow_out(self, capacity: int) -> None:
        """Room for `capacity` messages to each destination; what is packed already is kept."""
        self._out.fetch()
        packed = self._out.host
        grown = np.zeros((self._comm.size, self._header + capacity), np.uint32)
        grown[:, : packed.shape[1]] = packed
        self._loop.out_capacity = capacity
        self._mirror_out(grown)

    @during("exchange")
    def run(self) -> None:
        """Send and receive headers and the first messages of the interval that was just computed."""
        if self._stale:
            self._prepare()
        columns = self._send.shape[1]
        self._out.fetch(columns)
        np.copyto(self._send, self._out.host[:, :columns])
        self._collective.run()
        self._in.store()
        loop = self._loop
        loop.received_start = loop.interval_start
        loop.phase = RECEIVE

    @during("exchange")
    def fetch_rest(self) -> None:
        """Bring what the first collective had no room for, and make room for as much next time."""
        comm, header = self._comm, self._header
        received, begin = self._in.host, self._in_begin
        incoming = (received[begin] & np.uint32(0x7FFFFFFF)).astype(np.int64)
        incoming[comm.rank] = 0
        outgoing = self._backend.to_host(self._out_count).astype(np.int64)
        outgoing[comm.rank] = 0
        arrived, sent = self.in_pair.astype(np.int64), self.out_pair.astype(np.int64)
        self.in_pair = np.maximum(self.in_pair, _room(incoming, arrived)).astype(np.uint32)
        self._grow_in(received)
        begin = self._in_begin
        self._out.fetch()
        stride = header + int(self._loop.out_capacity)
        rest_out, rest_in = np.maximum(outgoing - sent, 0), np.maximum(incoming - arrived, 0)
        comm.prepare(
            self._out.host.ravel(), rest_out, np.arange(comm.size) * stride + header + np.minimum(sent, outgoing),
            self._in.host, rest_in, begin + header + np.minimum(arrived, incoming),
        ).run()  # fmt: skip
        self._in.store()
        self.out_pair = np.maximum(self.out_pair, _room(outgoing, sent)).astype(np.uint32)
        if int(self.out_pair.max()) > self._loop.out_capacity:
            self.grow_out(int(self.out_pair.max()))
        self._loop.rest_received = 1
        self._set_out_pair()
        self.growths += 1
        self._stale = True

    def _mirror_out(self, packed: npt.NDArray[np.uint32]) -> None:
        self._out = self._backend.mirror(packed)
        self._loop.out = self._out.address

    def _set_out_pair(self) -> None:
        self._out_pair = self._backend.to_device(self.out_pair)
        self._loop.out_pair = self._backend.pointer(self._out_pair)

    def _grow_in(self, received: npt.NDArray[np.uint32] | None) -> None:
        """A receive buffer with the pairs' room; words received so far are kept."""
        sizes = self._header + self.in_pair.astype(np.int64)
        begin = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        grown = np.zeros(int(sizes.sum()), np.uint32)
        if received is not None:
            ends = np.append(self._in_begin[1:], received.size)
            for a, b, at in zip(self._in_begin, ends, begin, strict=True):
                grown[at : at + b - a] = received[a:b]
        self._in, self._in_begin = self._backend.mirror(grown), begin
        self._device_in_begin = self._backend.to_device(begin.astype(np.uint64))
        # `in` is a word of Python: hence setattr.
        setattr(self._loop, "in", self._in.address)
        self._loop.in_begin = self._backend.pointer(self._device_in_begin)

    def _prepare(self) -> None:
        """Prepare the first collective; every rank does so at the same interval."""
        out_words = self._header + self.out_pair.astype(np.int64)
        in_words = self._header + self.in_pair.astype(np.int64)
        columns = int(out_words.max())
        self._set_out_pair()
        self._send = np.zeros((self._comm.size, columns), np.uint32)
        self._collective = self._comm.prepare(
            self._send.ravel(), out_words, np.arange(self._comm.size, dtype=np.int64) * columns,
            self._in.host, in_words, self._in_begin,
        )  # fmt: skip
        self._stale = False


def _room(needed: np.ndarray[Any, Any], room: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The next power of two above 3/2 of what was needed, where it did not fit."""
    grown = np.array([1 << int(3 * n // 2).bit_length() for n in needed], np.int64)
    return np.where(needed > room, grown, room)
