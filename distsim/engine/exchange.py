"""Exchange of spikes between ranks at the end of each interval.

One collective carries, from each rank to each other, a header and room for `pair` messages: enough in the
common case, so an interval costs one collective. Where some pair has more, a bit in the sender's headers tells all
it sends to; a second exchange brings exactly the rest, and the pair's room grows. Sender and receiver see the
same count, so they agree on the new room without talking.

Who exchanges with whom is one of two things (`meet`). Either all ranks with all: then a header reaches everyone, and
all join in a second all-to-all. Or, where each rank sends to few others, neighbours in the graph of ranks: then those
who are told look for what their own pairs left over; the rest goes from rank to rank, and nobody else waits.

The collective hides behind computing in one of two ways. D is the smallest delay that crosses ranks, in steps.

- *Early delivery*, where one thread does it all: intervals of up to D steps. While the messages of an interval are
  under way, the runs of the next step that are on the wheel already are delivered; those that arrive for this very
  step are added after it. The first step after an interval that began with step s is at most s + D: the earliest
  message is due then, and in no step before.
- *Overlap*, where kernels run by themselves: intervals of up to h = D div 2 steps. The messages of an interval are
  under way while the next is computed, and are scheduled before the one after it. Intervals of a ≤ h and b ≤ h steps,
  the first beginning with step s: the earliest message is due in step s + D, and the third interval begins with step
  s + a + b ≤ s + 2h ≤ s + D, for even D and odd. Each of two sides has buffers and a collective of its own; they
  take turns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend
from distsim.backend.base import Messages, Stepper
from distsim.build.routing import Routing
from distsim.comm import Collective, Communicator, Everyone, Peers
from distsim.errors import during
from distsim.experiment import ExchangeName
from distsim.kernels.loop import EVERYWHERE, RECEIVE

Counts = npt.NDArray[np.int64]
FIRST_ROOM = 62  # messages a pair; 64 words with the header of a one-step interval
# Where no rank has more neighbours than this share of the ranks, only neighbours exchange. An all-to-all costs every
# rank a header to and from each other, whether there are messages or not. A neighbour costs a little more than that:
# its collective is not a persistent one, so it has to save most of the partners.
FEW = 0.25
REST, COUNT = np.uint32(0x80000000), np.uint32(0x7FFFFFFF)  # of a header's first word


@dataclass
class _Side:
    """Buffers of one interval, and the prepared collective that is bound to them.

    Kernels pack into `out`, uint32[rank, header + capacity], which a rank may grow by itself. What the first
    collective carries is copied from there to `send`: all ranks prepare a collective anew together or not at all.
    """

    out: Array
    capacity: int
    out_pair: npt.NDArray[np.int64]  # messages that the collective carries to each rank, and from each
    in_pair: npt.NDArray[np.int64]
    device_out_pair: Array
    send: Messages
    received: Messages
    begin: npt.NDArray[np.int64]  # word of `received` at which each rank's header begins
    device_begin: Array
    collective: Collective
    collect: Callable[[], None] | None = None  # copies from `out` to `send`
    start: int = 0  # the interval's first step


def meet(comm: Communicator, routing: Routing, how: ExchangeName) -> Peers:
    """The ranks that exchange spikes with this one, itself among them (every rank must call)."""
    if how == "alltoall" or (how == "auto" and most_neighbours(comm, routing) > FEW * comm.size):
        return Everyone(comm)
    here = np.array([comm.rank], np.int64)
    return comm.neighbours(np.union1d(routing.sources, here), np.union1d(routing.destinations, here))


def most_neighbours(comm: Communicator, routing: Routing) -> int:
    """The most other ranks that any rank sends to, or receives from (every rank must call)."""
    mine = max(routing.destinations.size, routing.sources.size)
    return int(comm.reduce(np.array([mine], np.int64), "max")[0])


def places(peers: Peers, ranks: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Which of the destinations each rank is; EVERYWHERE stays."""
    found = np.searchsorted(peers.destinations, ranks).astype(np.uint32)
    return np.where(ranks == EVERYWHERE, np.uint32(EVERYWHERE), found)


class SpikeExchange:
    """Messages of one rank.

    Parameters
    ----------
    rank, peers
        This rank, and whom it exchanges spikes with.
    interval
        The most steps of an interval.
    room
        Messages from each rank to each other that the first collective carries to begin with.
    overlap
        See the module's docstring.
    direct
        MPI reads and writes the device's memory.
    """

    def __init__(
        self, rank: int, peers: Peers, backend: Backend, loop: Any, interval: int, room: int = FIRST_ROOM,
        overlap: bool = False, direct: bool = False,
    ) -> None:  # fmt: skip
        assert not (overlap and direct), "the host reads headers while kernels run"
        self.peers, self._backend, self._loop = peers, backend, loop
        self._header, self.overlap, self._direct = 1 + interval, overlap, direct
        self.growths = 0
        loop.header, loop.n_destinations, loop.n_sources = self._header, peers.destinations.size, peers.sources.size
        loop.own_destination = int(np.searchsorted(peers.destinations, rank))
        self._out_count = backend.zeros(peers.destinations.size, np.uint32)
        loop.out_count = backend.pointer(self._out_count)
        out_pair, in_pair = (np.where(r == rank, 0, room) for r in (peers.destinations, peers.sources))
        self._sides = [self._new_side(max(4 * room, 256), out_pair, in_pair) for _ in range(2 if overlap else 1)]
        # What an interval receives after which none came before: headers without messages.
        self._nothing = backend.messages(self._header, False)
        self._all_at_0 = backend.zeros(peers.sources.size, np.uint64)
        self._nothing.store()
        self._turn = 0
        self._flying: _Side | None = None  # its collective is under way
        self._arrived: _Side | None = None  # it is done, and nobody has scheduled the messages
        self._stepper: Stepper | None = None
        self._pack_into(self._sides[0])
        if not overlap:
            self._receive_from(self._sides[0])

    @property
    def bytes(self) -> int:
        return 4 * sum(int(s.out.size + s.send.words.size + s.received.words.size) for s in self._sides)

    def attach(self, stepper: Stepper) -> None:
        """Have the stepper collect what the collective carries; from now on."""
        self._stepper = stepper
        stepper.collect = self._sides[self._turn].collect

    @during("exchange")
    def begin(self) -> None:
        """Send the interval that was just computed; the next one receives what has arrived."""
        side, loop = self._sides[self._turn], self._loop
        assert self._flying is None
        side.start = loop.interval_start
        side.collective.start()
        self._flying = side
        if self.overlap:
            self.hand_over()
            self._turn = 1 - self._turn
            self._pack_into(self._sides[self._turn])
        else:  # the loop knows the one side there is
            loop.received_start, loop.phase = side.start, RECEIVE

    @during("exchange")
    def finish(self) -> None:
        """Wait for what is under way."""
        side = self._flying
        if side is None:
            return
        side.collective.wait()
        self._flying = None
        if self.overlap:
            self._arrived = side
            if (side.received.words[side.begin] & REST).any():
                self._fetch_rest(side)
        side.received.store()

    @property
    def waiting(self) -> bool:
        """Whether something has arrived that the loop cannot know of: it has to receive other messages before."""
        return self._arrived is not None

    def hand_over(self) -> None:
        """The next interval receives what has arrived."""
        self._receive_from(self._arrived)
        self._loop.phase = RECEIVE
        self._loop.rest_received = 1  # overlapping, the host has looked at the headers
        self._arrived = None

    def _receive_from(self, side: _Side | None) -> None:
        loop, pointer = self._loop, self._backend.pointer
        # `in` is a word of Python: hence setattr.
        if side is None:
            setattr(loop, "in", self._nothing.address)
            loop.in_begin = pointer(self._all_at_0)
        else:
            setattr(loop, "in", side.received.address)
            loop.in_begin, loop.received_start = pointer(side.device_begin), side.start

    def close(self) -> None:
        """Give back what MPI holds for it (every rank must call): nothing is exchanged any more."""
        for side in self._sides:
            side.collective.free()
        self.peers.free()

    def grow_out(self, capacity: int) -> None:
        """Room for `capacity` messages to each destination; what is packed already is kept."""
        side = self._sides[self._turn]
        self._grow_out(side, capacity)
        self._pack_into(side)

    @during("exchange")
    def fetch_rest(self) -> None:
        """Where the loop finds that the first collective had no room for everything."""
        assert not self.overlap
        side = self._sides[0]
        self._fetch_rest(side)
        side.received.store()
        self._receive_from(side)
        self._pack_into(side)
        self._loop.rest_received = 1

    def _grow_out(self, side: _Side, capacity: int) -> None:
        packed = self._backend.to_host(side.out)
        grown = np.zeros((self.peers.destinations.size, self._header + capacity), np.uint32)
        grown[:, : packed.shape[1]] = packed
        side.out, side.capacity = self._backend.to_device(grown), capacity
        side.collect = side.send.collector(side.out, self._columns(side))

    def _pack_into(self, side: _Side) -> None:
        loop, pointer = self._loop, self._backend.pointer
        loop.out, loop.out_capacity, loop.out_pair = pointer(side.out), side.capacity, pointer(side.device_out_pair)
        if self._stepper is not None:
            self._stepper.collect = side.collect

    def _fetch_rest(self, side: _Side) -> None:
        """Bring what the first collective had no room for, and make room for as much next time."""
        header = self._header
        received, begin, arrived, sent = side.received.read(), side.begin, side.in_pair, side.out_pair
        packed = self._backend.to_host(side.out)
        incoming = (received[begin] & COUNT).astype(np.int64)
        outgoing = (packed[:, 0] & COUNT).astype(np.int64)
        # Only of this side: the other, where there is one, goes on with what it was prepared for until it overflows
        # itself. Its kernels may be packing for it now, and the other of a pair does not know of other pairs.
        in_pair, out_pair = _room(incoming, arrived), _room(outgoing, sent)
        sizes, old_sizes = header + in_pair, header + arrived
        new_begin = _starts(sizes)
        grown = np.zeros(int(sizes.sum()), np.uint32)
        for a, n, at in zip(begin, old_sizes, new_begin, strict=True):
            grown[at : at + n] = received[a : a + n]
        rest_out, rest_in = np.maximum(outgoing - sent, 0), np.maximum(incoming - arrived, 0)
        self.peers.bring(
            packed.ravel(), rest_out, np.arange(sent.size) * packed.shape[1] + header + np.minimum(sent, outgoing),
            grown, rest_in, new_begin + header + np.minimum(arrived, incoming),
        )  # fmt: skip
        if int(out_pair.max()) > side.capacity:
            self._grow_out(side, int(out_pair.max()))
        self._prepare(side, out_pair, in_pair)
        side.received.write(grown)
        self.growths += 1

    def _columns(self, side: _Side) -> int:
        return self._header + int(side.out_pair.max())

    def _new_side(self, capacity: int, out_pair: Counts, in_pair: Counts) -> _Side:
        backend = self._backend
        out = backend.zeros((self.peers.destinations.size, self._header + capacity), np.uint32)
        nothing = backend.messages(0, False)
        side = _Side(out, capacity, out_pair, in_pair, out, nothing, nothing, in_pair, out, _NEVER)
        self._prepare(side, out_pair, in_pair)
        return side

    def _prepare(self, side: _Side, out_pair: Counts, in_pair: Counts) -> None:
        """Prepare the first collective for so much room of each pair.

        Of an all-to-all every rank does so at the same interval; of neighbours those who were told of the overflow.
        """
        backend, n = self._backend, out_pair.size
        side.out_pair, side.in_pair = out_pair, in_pair
        side.device_out_pair = backend.to_device(side.out_pair.astype(np.uint32))
        in_words = self._header + side.in_pair
        side.begin = _starts(in_words)
        side.device_begin = backend.to_device(side.begin.astype(np.uint64))
        columns = self._columns(side)
        side.send = backend.messages(n * columns, self._direct)
        side.received = backend.messages(int(in_words.sum()), self._direct)
        side.collect = side.send.collector(side.out, columns)
        side.collective.free()
        side.collective = self.peers.prepare(
            side.send.words, self._header + side.out_pair, np.arange(n, dtype=np.int64) * columns,
            side.received.words, in_words, side.begin,
        )  # fmt: skip


class _Never(Collective):
    """Stands where nothing was prepared yet."""

    def start(self) -> None:
        raise AssertionError("not prepared")

    def wait(self) -> None:
        raise AssertionError("not prepared")


_NEVER = _Never()


def _starts(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64)


def _room(needed: npt.NDArray[np.int64], room: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The next power of two above 3/2 of what was needed, where it did not fit."""
    grown = np.array([1 << int(3 * n // 2).bit_length() for n in needed], np.int64)
    return np.where(needed > room, grown, room)
