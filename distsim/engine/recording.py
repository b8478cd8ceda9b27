"""Buffers for recorded spikes and states between two flushes."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend
from distsim.backend.base import Later
from distsim.build.partition import Layout
from distsim.build.selecting import indices, local_selection
from distsim.engine.groups import GroupState
from distsim.grid import round_to_steps
from distsim.kernels.loop import ALL, NONE, SOME, Recorder
from distsim.network import Network
from distsim.recordings import StateRecording

SPIKE_ROOM = 2**20
STATE_ROOM_BYTES = 16 * 2**20
RARER_AFTER = 1000.0  # s of a run, after which the pauses between two times grow with it
MOST_RARER = 30.0  # times, that they grow at the most

Spikes = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]  # steps and gids


class FlushTimes:
    """When recorded data are handed over though no buffer is full.

    Each time may leave files, and a directory holds no millions of them well. So the pauses grow in a long run: with
    `every` 10 s they are 10 s, later 1 % of the time so far, at most 5 minutes. In a week that makes 2,400 files of
    each kind and rank, not 60,000.

    Attributes
    ----------
    next
        The next time, on the caller's clock.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._begun: float | None = None
        self.next = math.inf

    def begin(self, now: float) -> None:
        """Count from here, unless counting has begun."""
        if self._begun is None:
            self._begun = now
            self.done(now)

    def done(self, now: float) -> None:
        """Everything has just been handed over."""
        ran = now - (now if self._begun is None else self._begun)
        self.next = now + self._every * min(max(1.0, ran / RARER_AFTER), MOST_RARER)


class SpikeBuffer:
    """A ring of steps and global ids of recorded spikes, uint64, in order of steps.

    Kernels write at the head, the host takes from the tail, and while it copies the kernels go on.

    Attributes
    ----------
    until
        The last step of which all spikes were taken.
    """

    def __init__(self, backend: Backend, loop: Any, room: int = SPIKE_ROOM) -> None:
        self._backend, self.loop = backend, loop
        self._later: tuple[Later, int, int] | None = None  # a copy under way, where it ends, and up to which step
        self.until = 0
        self._allocate(room)

    def _allocate(self, room: int) -> None:
        """An empty ring; the power of two makes a place of a count by a mask."""
        self.room = 1 << max(0, room - 1).bit_length()
        self._step = self._backend.empty(self.room, np.uint64)
        self._gid = self._backend.empty(self.room, np.uint64)
        self.loop.recorded_step = self._backend.pointer(self._step)
        self.loop.recorded_gid = self._backend.pointer(self._gid)
        self.loop.record_capacity = self.room

    @property
    def bytes(self) -> int:
        return int(self._step.nbytes + self._gid.nbytes)

    def take(self) -> Spikes:
        """(steps, gids) since the last call; the ring is empty after, and large enough for one step."""
        parts = [self._finish_copy(), self._finish_copy() if self._start_copy() else _nothing()]
        self.until = self._complete()
        if self.loop.status and self.loop.needed > self.room:
            self._allocate(2 * int(self.loop.needed))
        return _joined(parts)

    def take_some(self) -> Spikes | None:
        """What a copy that is done has brought, if any; where half of the ring is full, begins one.

        Never waits: kernels go on meanwhile.
        """
        loop = self.loop
        if self._later is None:
            if 2 * (loop.n_recorded - loop.record_tail) >= self.room:
                self._start_copy()
            return None
        return self._finish_copy() if self._later[0].ready() else None

    def _start_copy(self) -> bool:
        """Whether there was anything to copy. The tail moves on when the copy is done."""
        tail, head = int(self.loop.record_tail), int(self.loop.n_recorded)
        if head == tail:
            return False
        begin, n = tail % self.room, head - tail
        first = min(n, self.room - begin)
        pieces = [slice(begin, begin + first), slice(0, n - first)]
        arrays = [array[piece] for array in (self._step, self._gid) for piece in pieces]
        self._later = self._backend.fetch_later(arrays), head, self._complete()
        return True

    def _complete(self) -> int:
        """The last step of which the ring has had all spikes: those of a pending step are not there yet."""
        return int(self.loop.pending_step or self.loop.step) - 1

    def _finish_copy(self) -> Spikes:
        if self._later is None:
            return _nothing()
        (later, head, self.until), self._later = self._later, None
        steps, more_steps, gids, more_gids = later.take()
        self.loop.record_tail = head
        return np.concatenate([steps, more_steps]), np.concatenate([gids, more_gids])


def _nothing() -> Spikes:
    return np.empty(0, np.uint64), np.empty(0, np.uint64)


def _joined(parts: list[Spikes]) -> Spikes:
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def spike_masks(network: Network, layout: Layout, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """What of a spike is recorded: by population (SOME where it depends on the neuron), and by local neuron.

    The second is empty where nothing depends on it.
    """
    of_population = np.full(len(network.populations), NONE, np.uint8)
    of_neuron = np.empty(0, np.uint8)
    ids = {p.name: i for i, p in enumerate(network.populations)}
    for selection in network.recorded_neurons():
        number = ids[selection.name]
        of_population[number] = ALL if selection.is_whole else SOME
        if not selection.is_whole:
            of_neuron = of_neuron if of_neuron.size else np.zeros(max(1, layout.n_local), np.uint8)
            part = layout.part(number)
            begin = layout.group_of(number).begin + part.begin
            of_neuron[begin + indices(local_selection(selection, part, seed))] = 1
    return of_population, of_neuron


@dataclass(frozen=True)
class StateSamples:
    """States of one population's recorded local neurons: float[samples, neurons, variables]."""

    recording: StateRecording
    first_sample: int
    neurons: npt.NDArray[np.int64]  # population-local ids
    data: npt.NDArray[Any]


class StateBuffers:
    """Samples of every recorded state variable."""

    def __init__(
        self, network: Network, layout: Layout, groups: list[GroupState], backend: Backend, dt: float,
        seed: int, room_bytes: int = STATE_ROOM_BYTES,
    ) -> None:  # fmt: skip
        self._backend = backend
        self._entries: list[tuple[StateRecording, npt.NDArray[np.int64], list[Any], int]] = []
        self._taken: dict[str, int] = {}
        records: list[ctypes.Structure] = []
        self._keep: list[Array] = []
        self._out: list[Array] = []
        ids = {p.name: i for i, p in enumerate(network.populations)}
        for recording in network.state_recordings:
            part = layout.part(ids[recording.population.name])
            group = groups[layout.group_of(ids[recording.population.name]).index]
            within = indices(local_selection(recording.selection, part, seed))
            local = part.first_gid - part.population.first_gid + part.stride * within
            index = part.begin + within
            interval = round_to_steps(recording.interval, dt)
            offsets = []
            for variable in recording.variables:
                neurons = backend.to_device(index.astype(np.uint32))
                room = max(1, room_bytes // max(1, local.size * group.real.itemsize * len(recording.variables)))
                out = backend.empty(max(1, room * local.size), group.real)
                self._keep.append(neurons)
                self._out.append(out)
                records.append(
                    Recorder(
                        state=backend.pointer(group.recordable(variable)), neurons=backend.pointer(neurons),
                        out=backend.pointer(out), n=local.size, capacity=room, interval=interval,
                    )
                )  # fmt: skip
                offset = group.offsets.get(variable)
                offsets.append(None if offset is None else offset[index].astype(group.real))
            self._entries.append((recording, local, offsets, len(records) - len(offsets)))
        self.records = backend.mirror((Recorder * max(1, len(records)))(*records))
        self.count = len(records)
        self.every = math.gcd(*(int(r.interval) for r in records)) or 1

    @property
    def bytes(self) -> int:
        return sum(int(array.nbytes) for array in (*self._keep, *self._out))

    def start_after(self, step: int, record_after: int) -> None:
        """Count samples on as if all up to `step` had been taken; recording began after `record_after`."""
        last = max(step, record_after)
        for recording, _, _, first in self._entries:
            every = int(self.records.host[first].interval)
            self._taken[recording.population.name] = last // every - record_after // every

    def take(self) -> list[StateSamples]:
        """All samples since the last call."""
        taken = []
        self.records.fetch()
        records = self.records.host
        for recording, neurons, offsets, first in self._entries:
            samples = int(records[first].n_samples)
            start = self._taken.get(recording.population.name, 0)
            self._taken[recording.population.name] = start + samples
            columns = []
            for k, offset in enumerate(offsets):
                flat = self._backend.to_host(self._out[first + k][: samples * neurons.size])
                column = flat.reshape(samples, neurons.size).copy()
                columns.append(column if offset is None else column + offset)
                records[first + k].n_samples = 0
            if samples:
                taken.append(StateSamples(recording, start, neurons, np.stack(columns, axis=2)))
        self.records.store()
        return taken
