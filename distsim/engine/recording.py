"""Buffers for recorded spikes and states between two flushes."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend
from distsim.build.partition import Layout
from distsim.engine.groups import GroupState
from distsim.grid import round_to_steps
from distsim.kernels.loop import Recorder
from distsim.network import Network, StateRecording

SPIKE_ROOM = 2**20
STATE_ROOM_BYTES = 16 * 2**20


@dataclass
class SpikeBuffer:
    """Steps and global ids of recorded spikes, uint64, in order of steps."""

    backend: Backend
    loop: Any
    room: int = SPIKE_ROOM

    def __post_init__(self) -> None:
        self._allocate(self.room)

    def _allocate(self, room: int) -> None:
        self.room = room
        self._step = self.backend.empty(room, np.uint64)
        self._gid = self.backend.empty(room, np.uint64)
        self.loop.recorded_step = self.backend.pointer(self._step)
        self.loop.recorded_gid = self.backend.pointer(self._gid)
        self.loop.record_capacity, self.loop.n_recorded = room, 0

    def take(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """(steps, gids) since the last call; the buffer is empty after, and large enough for one step."""
        n = int(self.loop.n_recorded)
        taken = self.backend.to_host(self._step[:n]).copy(), self.backend.to_host(self._gid[:n]).copy()
        self.loop.n_recorded = 0
        if self.loop.status and self.loop.needed > self.room:
            self._allocate(2 * int(self.loop.needed))
        return taken


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
        room_bytes: int = STATE_ROOM_BYTES,
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
            local = part.positions()
            if recording.neurons is not None:
                local = local[np.isin(local, np.array(recording.neurons, np.int64))]
            index = part.begin + (local + part.population.first_gid - part.first_gid) // part.stride
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
