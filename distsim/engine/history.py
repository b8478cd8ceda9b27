"""The spikes of the last steps, as many as the longest delay: what is in flight, in terms of who fired when.

A checkpoint keeps them instead of the time wheel, whose contents depend on ranks and device. The kernels append
every emitted spike to a buffer; when it is full the old ones are forgotten. Nothing is done per spike in Python.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Backend

HISTORY_ROOM = 2**18


@dataclass(frozen=True)
class Spikes:
    """Emitted spikes.

    Attributes
    ----------
    step, gid
        int64[n].
    multiplicity
        int64[n]: spikes of this neuron in this step.
    sent
        int64[n]: the number that they carry, as in kernels/sent.h; 0 for none.
    """

    step: npt.NDArray[np.int64]
    gid: npt.NDArray[np.int64]
    multiplicity: npt.NDArray[np.int64]
    sent: npt.NDArray[np.int64]

    def of(self, chosen: npt.NDArray[Any]) -> Spikes:
        """Those at the indices, or where the mask is true."""
        return Spikes(self.step[chosen], self.gid[chosen], self.multiplicity[chosen], self.sent[chosen])


def together(parts: list[Spikes]) -> Spikes:
    """All of them, by step, then gid; those of one step and neuron by what they carry."""
    empty = np.empty(0, np.int64)
    step = np.concatenate([empty, *(p.step for p in parts)])
    gid = np.concatenate([empty, *(p.gid for p in parts)])
    multiplicity = np.concatenate([empty, *(p.multiplicity for p in parts)])
    sent = np.concatenate([empty, *(p.sent for p in parts)])
    return Spikes(step, gid, multiplicity, sent).of(np.lexsort((sent, gid, step)))


@dataclass
class History:
    """The buffer of one rank, and what was taken from it."""

    backend: Backend
    loop: Any
    steps: int  # how many to remember
    room: int = HISTORY_ROOM
    carries: bool = False  # whether spikes carry numbers
    _taken: list[Spikes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._allocate(self.room)

    def _allocate(self, room: int) -> None:
        self.room = room
        self._step = self.backend.empty(room, np.uint64)
        self._gid = self.backend.empty(room, np.uint64)
        self._multiplicity = self.backend.empty(room, np.uint32)
        self._sent = self.backend.zeros(room if self.carries else 1, np.uint32)
        self.loop.history_step = self.backend.pointer(self._step)
        self.loop.history_gid = self.backend.pointer(self._gid)
        self.loop.history_multiplicity = self.backend.pointer(self._multiplicity)
        self.loop.history_sent = self.backend.pointer(self._sent)
        self.loop.history_capacity, self.loop.n_history, self.loop.history_before = room, 0, 0

    def empty_buffer(self) -> None:
        """Take what was emitted, forget what is too old; the buffer is large enough for one step after."""
        n = int(self.loop.n_history)
        arrays = self._step, self._gid, self._multiplicity, *((self._sent,) if self.carries else ())
        columns = [self.backend.to_host(a[:n]).astype(np.int64) for a in arrays]
        fresh = Spikes(*columns, *(() if self.carries else (np.zeros(n, np.int64),)))
        self.loop.n_history = self.loop.history_before = 0
        after = int(self.loop.step) - 1 - self.steps
        kept = [part.of(part.step > after) for part in (*self._taken, fresh)]
        self._taken = [part for part in kept if part.step.size]
        if self.loop.status and self.loop.needed > self.room:
            self._allocate(2 * int(self.loop.needed))

    def spikes(self) -> Spikes:
        """The spikes of the last `steps` steps, by step, then gid; kept here too."""
        self.empty_buffer()
        self._taken = [together(self._taken)]
        return self._taken[0]

    def restore(self, spikes: Spikes) -> None:
        """Remember these, and nothing else."""
        self.loop.n_history = self.loop.history_before = 0
        self._taken = [spikes]
