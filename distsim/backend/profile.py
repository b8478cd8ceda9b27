"""Where the time of one rank goes: construction by its phases, the loop by its kernels.

The engine and the steppers tell a Profiler what they are about. In normal runs it is the one below, which
does nothing and costs nothing within a step; `distsim run --profile` asks the backend for one that measures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Call = TypeVar("Call", bound=Callable[..., object])

# Which phase of the summary a kernel of the loop belongs to; all others spread spikes.
_PHASES = {
    "update": "update", "deliver": "deliver", "receive": "exchange", "admit_received": "exchange",
    "close_interval": "exchange", "close_steps": "exchange", "note_delivery": "deliver", "step_models": "update",
    "run_steps": "update", "sample_states": "sample",
}  # fmt: skip


@dataclass(frozen=True)
class KernelTime:
    """What one kernel took on this rank since `reset`.

    Attributes
    ----------
    seconds
        In all launches; where only some were measured, these scaled to all steps.
    launches
        Those that were measured.
    measured_seconds
        What these took.
    """

    name: str
    seconds: float
    launches: int
    measured_seconds: float

    @property
    def phase(self) -> str:
        return phase_of(self.name)


def phase_of(kernel: str) -> str:
    """The phase of the loop that a kernel belongs to: deliver, update, sample, spread or exchange."""
    if kernel in _PHASES:
        return _PHASES[kernel]
    return next((_PHASES[word] for word in ("update", "deliver") if kernel.startswith(word)), "spread")


class Profiler:
    """Nobody measures. Every verb does nothing, or just what it is given.

    Attributes
    ----------
    active
        Somebody measures.
    sampling
        Kernels have to be launched one by one now, each through `launch`.
    construction
        Phase of construction → seconds.
    """

    active = False
    sampling = False

    def __init__(self) -> None:
        self.construction: dict[str, float] = {}

    def mark(self, phase: str) -> None:
        """The next phase of construction begins, and the one before it ends; "" ends the last."""

    def ranged(self, name: str, call: Call) -> Call:
        """`call`, shown as a range of that name in a timeline."""
        return call

    def table(self, kernels: Sequence[str]) -> int:
        """Address of a table that compiled code fills: see kernels/profile.h; 0 where nothing is to be filled."""
        return 0

    def begin(self, step: int) -> None:
        """A stretch of steps is about to be launched, from `step` on."""

    def end(self, step: int, complete: bool) -> None:
        """All that was launched since `begin` is done; `complete`: nothing interrupted it before `step`."""

    def launch(self, kernel: str, start: Callable[[], None]) -> None:
        """Start one kernel."""
        start()

    def reset(self) -> None:
        """Forget the loop's times: the measured part of the run begins."""

    def kernels(self) -> tuple[KernelTime, ...]:
        """Every kernel of the loop that ran."""
        return ()


class HostProfiler(Profiler):
    """Clocks of the host: around phases of construction, and read by the compiled loop after each kernel."""

    active = True

    def __init__(self) -> None:
        super().__init__()
        self._phase, self._since = "", 0.0
        self._names: tuple[str, ...] = ()
        # [kernel][seconds, launches] behind a first row whose first number is the clock's last reading.
        self._table = np.zeros((1, 2), np.float64)

    def mark(self, phase: str) -> None:
        now = time.perf_counter()
        if self._phase:
            self.construction[self._phase] = self.construction.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = phase, now

    def table(self, kernels: Sequence[str]) -> int:
        self._names = tuple(kernels)
        self._table = np.zeros((1 + len(kernels), 2), np.float64)
        return int(self._table.ctypes.data)

    def reset(self) -> None:
        self._table[1:] = 0.0

    def kernels(self) -> tuple[KernelTime, ...]:
        found = zip(self._names, self._table[1:].tolist(), strict=True)
        return tuple(KernelTime(name, t, int(n), t) for name, (t, n) in found if n)
