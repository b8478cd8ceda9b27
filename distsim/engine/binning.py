"""Spikes of populations counted in bins on the device, without storing one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Backend
from distsim.experiment import RunSettings
from distsim.grid import round_to_steps
from distsim.network import Network

RATE_ROOM_BYTES = 2**20
NO_COLUMN = 0xFFFFFFFF


@dataclass(frozen=True)
class RateCounts:
    """This rank's spikes in the steps after … until.

    Attributes
    ----------
    first_bin
        Of the first row; bins count from the end of the warm-up. The first and the last may be cut by the steps.
    counts
        uint64[bins, populations], the populations as they are listed in the recording.
    """

    after: int
    until: int
    first_bin: int
    counts: npt.NDArray[np.uint64]


class RateBuffer:
    """Counts of as many bins as there is room for; the loop stops before a spike that falls behind them."""

    def __init__(
        self, network: Network, run: RunSettings, backend: Backend, loop: Any, room_bytes: int = RATE_ROOM_BYTES
    ) -> None:
        self._backend, self._loop = backend, loop
        recording = network.rate_recording
        self._record_after = run.steps(run.warmup)
        self._taken = self._record_after  # the last step that was handed over
        self._steps = 0 if recording is None else round_to_steps(recording.bin, run.dt)
        loop.rate_steps = self._steps
        if recording is None:
            return
        columns = {p.name: k for k, p in enumerate(recording.populations)}
        column = np.array([columns.get(p.name, NO_COLUMN) for p in network.populations], np.uint32)
        self._column = backend.to_device(column)
        self._room = max(1, room_bytes // (8 * len(columns)))
        self._counts = backend.zeros((self._room, len(columns)), np.uint64)
        loop.rate_column, loop.rate_counts = backend.pointer(self._column), backend.pointer(self._counts)
        loop.rate_columns, loop.rate_capacity = len(columns), self._room
        loop.rate_after, loop.rate_first = self._record_after, 0

    @property
    def bytes(self) -> int:
        return int(self._column.nbytes + self._counts.nbytes) if self._steps else 0

    def start_after(self, step: int) -> None:
        """Count from the step after `step` on: what is before it has been handed over already."""
        self._taken = max(self._taken, step)
        if self._steps:
            self._loop.rate_after = self._taken
            self._loop.rate_first = self._bin(self._taken + 1)

    def take(self) -> list[RateCounts]:
        """What was counted since the last call, if steps were computed."""
        loop = self._loop
        last = int(loop.pending_step or loop.step) - 1  # nothing of a pending step is counted yet
        if not self._steps or last <= self._taken:
            return []
        first, behind = int(loop.rate_first), self._bin(last) + 1
        # Bins behind the room have no spike: the loop would have stopped.
        used = min(behind - first, self._room)
        counts = np.zeros((behind - first, int(loop.rate_columns)), np.uint64)
        counts[:used] = self._backend.to_host(self._counts[:used])
        taken = RateCounts(self._taken, last, first, counts)
        self._backend.copy_into(self._counts, np.zeros((self._room, counts.shape[1]), np.uint64))
        self._taken, loop.rate_first = last, self._bin(last + 1)
        return [taken]

    def _bin(self, step: int) -> int:
        return (step - self._record_after - 1) // self._steps
