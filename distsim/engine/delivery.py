"""How spikes get from their arrival to the step in which they are due: by the time wheel or into the input ring.

The wheel keeps a spike's runs until their step, and the input array is that of one step. The ring has an input array
for each step to come, and a spike is added when it arrives (kernels/ring.h). No result depends on it. A rank chooses
by the mean length of its runs; ranks need not agree. Rows that are drawn again are added to the ring, too, or where the
backend lists input to lists of the steps to come (kernels/lists.h).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend
from distsim.build.rows import Rows
from distsim.engine.groups import GroupState
from distsim.experiment import Delivery
from distsim.kernels.loop import BY_PORT, BY_ROW, CHUNK, Lists, Ring
from distsim.kernels.update import GroupShape

# Synapses a run, below which the ring is faster: 1.21 ns an event against 1.53 at 15, 1.53 against 0.87 at 55.
RING_BELOW = 15.0
# The ring may take so much of memory, or as much as this share of the connectivity that it serves.
RING_FREE, RING_SHARE = 8 * 2**20, 0.25


def n_slots(max_delay: int) -> int:
    """Slots of wheel and ring: a power of two above the longest delay."""
    return 1 << max_delay.bit_length()


def n_chunks(slots: int, size: float) -> int:
    """Chunks of lists for slots of `size` sums: two each, and together a quarter as many entries as there are sums."""
    return 2 * slots + min(int(slots * size) // (4 * CHUNK), 2**23)


def entry_bytes(precision: str) -> int:
    """Of an entry of a list: `Listed` of kernels/synapse.h."""
    return 8 if precision == "single" else 16


def lists_bytes(slots: int, size: float, precision: str) -> float:
    """What lists take beside their spill."""
    return n_chunks(slots, size) * (CHUNK * entry_bytes(precision) + 4.0) + 8.0 * slots


def delivers_by_ring(asked: Delivery, synapses: float, runs: float, ring_bytes: float, connectivity: float) -> bool:
    """Whether a rank with so many synapses and runs adds spikes to the ring when they arrive.

    Parameters
    ----------
    ring_bytes, connectivity
        What the ring would take, and what synapses, runs and rows take. Where the first is out of proportion to the
        second, `auto` stays with the wheel. 0: a ring is there anyway.
    """
    if asked != "auto":
        return asked == "ring"
    if not runs:  # nothing to deliver but what is drawn again
        return ring_bytes == 0
    return synapses < RING_BELOW * runs and ring_bytes <= max(RING_FREE, RING_SHARE * connectivity)


class StepInput:
    """The input array of one rank, with one slot or with one for each step to come.

    Attributes
    ----------
    structure
        The kernels' view.
    at_arrival
        Stored rows are added when spikes arrive, and not put on the wheel. Rows that are drawn again never are on it:
        with `regrows` there is a ring or lists in any case.
    slot_bytes
        Of one slot.
    """

    def __init__(
        self, backend: Backend, rows: Rows, max_delay: int, precision: str, asked: Delivery, regrows: bool
    ) -> None:
        sums = np.dtype(np.int32 if precision == "single" else np.int64)
        slots, size = n_slots(max_delay), max(1, rows.input_size)
        more = 0 if regrows else slots * size * sums.itemsize  # bytes for a ring that is not there anyway
        self.at_arrival = delivers_by_ring(asked, rows.n_synapses, rows.n_runs, more, rows.bytes(precision))
        self.slot_bytes = size * sums.itemsize
        lists = regrows and backend.lists_input
        is_ring = (self.at_arrival and rows.n_runs > 0) if lists else (self.at_arrival or regrows)
        self._sums: Array = backend.zeros(slots * size if is_ring else size, sums)
        self._events: Array = backend.zeros(slots, np.uint64)
        self.structure = Ring(
            input=backend.pointer(self._sums), stride=size if is_ring else 0,
            events=backend.pointer(self._events), slot_mask=slots - 1, at_arrival=int(self.at_arrival),
        )  # fmt: skip
        self._lists: list[Array] = []
        if lists:
            self.structure.lists = self._make_lists(backend, slots, size, precision, is_ring)

    def _make_lists(self, backend: Backend, slots: int, size: int, precision: str, is_ring: bool) -> Any:
        chunks = n_chunks(slots, size)
        spill = self._sums if is_ring else backend.zeros(slots * size, self._sums.dtype)
        self._lists = [
            backend.empty(chunks * CHUNK * entry_bytes(precision), np.uint8), backend.zeros(slots, np.uint32),
            backend.to_device(np.arange(chunks, dtype=np.uint32)), backend.to_device(np.array([chunks], np.uint32)),
            *(() if is_ring else (spill,)), backend.zeros(slots, np.uint32),
        ]  # fmt: skip
        entries, end, free, n_free, *_, spilled = map(backend.pointer, self._lists)
        return Lists(
            entries=entries, end=end, free=free, n_free=n_free, spill=backend.pointer(spill), spill_stride=size,
            spilled=spilled,
        )  # fmt: skip

    @property
    def pointer(self) -> int:
        """Address of the first slot."""
        return int(self.structure.input)

    @property
    def later_bytes(self) -> int:
        """What the slots of later steps take, the counts of what is added to them, and their lists."""
        lists = sum(int(a.nbytes) for a in self._lists)
        return int(self._sums.nbytes) - self.slot_bytes + int(self._events.nbytes) + lists


def scaled_planes(shape: GroupShape) -> list[int]:
    """By plane of a group: which numbers that spikes carry multiply its weights; BY_PORT, BY_ROW or 0."""
    by = [0 if r.counts else BY_PORT if r.scaled else BY_ROW for r in shape.model.receptors]
    return [b for b, n in zip(by, shape.planes, strict=True) for _ in range(n)]


def scaled_columns(rows: Rows, groups: list[GroupState], backend: Backend) -> npt.NDArray[np.uint32]:
    """By column: which numbers that spikes carry multiply the weights of its synapses, as of a plane."""
    base = backend.to_host(rows.column_base).astype(np.int64)
    found = np.zeros(base.size, np.uint32)
    for k, group in enumerate(groups):
        begin, stride = rows.plane_begin[k], rows.plane_stride[k]
        for plane, by in enumerate(scaled_planes(group.shape)):
            found[(base >= begin + plane * stride) & (base < begin + (plane + 1) * stride)] = by
    return found
