"""Times of kernels on a GPU, by events around each launch, and ranges for NVIDIA's timelines.

A launch takes the host longer than a small kernel takes the device. So that events do not measure the host,
a kernel that waits goes first, and the launches of the stretch queue up behind it. Only every so many
stretches are measured; all others run as in a normal run, as one graph.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from distsim.backend.profile import Call, HostProfiler, KernelTime
from distsim.kernels.machine import Machine, machine_source

if TYPE_CHECKING:
    from distsim.backend.cuda import CudaBackend

EVERY = 16  # stretches; the first one warms up and is not measured
HOLD_A_LAUNCH, HOLD_MOST = 10_000, 5_000_000  # ns: a launch and two events take CuPy about 8 µs


class CudaProfiler(HostProfiler):
    """Events and ranges of one GPU.

    Parameters
    ----------
    every
        Measure each so-manieth stretch of steps.
    """

    def __init__(self, backend: CudaBackend, every: int = EVERY) -> None:
        super().__init__()
        self._backend, self._cupy, self._every = backend, backend.cupy, every
        self._stretches = 0
        self._steps = self._measured_steps = 0
        self._first = 0
        self._times: dict[str, tuple[int, float]] = {}
        self._pending: list[tuple[str, Any, Any]] = []
        self._events: list[Any] = []
        self._launches = 100  # expected in the next stretch
        module = backend.compile(machine_source(), "profile")
        self._hold = backend.mirror(Machine())
        self._wait = module.prepared("hold")  # type: ignore[attr-defined]
        self._nvtx = self._cupy.cuda.nvtx

    def mark(self, phase: str) -> None:
        """Wait for the device, so that a phase has all of its work."""
        with self._backend.at_work():
            self._backend.stream.synchronize()
        if self._phase:
            self._nvtx.RangePop()
        super().mark(phase)
        if phase:
            self._nvtx.RangePush(f"build: {phase}")

    def ranged(self, name: str, call: Call) -> Call:
        @wraps(call)
        def inside(*arguments: Any) -> Any:
            self._nvtx.RangePush(name)
            try:
                return call(*arguments)
            finally:
                self._nvtx.RangePop()

        return inside  # type: ignore[return-value]

    def table(self, kernels: Any) -> int:
        return 0

    def begin(self, step: int) -> None:
        self._first = step
        self._stretches += 1
        self.sampling = self._stretches % self._every == min(2, self._every) % self._every
        if self.sampling:
            self._hold.host.nanoseconds = min(HOLD_A_LAUNCH * self._launches, HOLD_MOST)
            self._hold.enqueue_store()  # type: ignore[attr-defined]
            self._wait((1,), (32,), (self._hold.device,))  # type: ignore[attr-defined]

    def launch(self, kernel: str, start: Callable[[], None]) -> None:
        if not self.sampling:
            start()
            return
        before, after = self._event(), self._event()
        before.record(self._backend.stream)
        start()
        after.record(self._backend.stream)
        self._pending.append((kernel, before, after))

    def end(self, step: int, complete: bool) -> None:
        self._steps += step - self._first
        if not self.sampling:
            return
        self.sampling = False
        if complete:  # after an interruption kernels return at once: not what they take
            self._launches = len(self._pending)
            self._measured_steps += step - self._first
            for kernel, before, after in self._pending:
                n, seconds = self._times.get(kernel, (0, 0.0))
                elapsed = self._cupy.cuda.get_elapsed_time(before, after) / 1000.0
                self._times[kernel] = n + 1, seconds + elapsed
        self._events += [event for _, before, after in self._pending for event in (before, after)]
        self._pending.clear()

    def reset(self) -> None:
        self._times.clear()
        self._steps = self._measured_steps = 0

    def kernels(self) -> tuple[KernelTime, ...]:
        scale = self._steps / self._measured_steps if self._measured_steps else 0.0
        return tuple(KernelTime(name, t * scale, n, t) for name, (n, t) in self._times.items())

    def _event(self) -> Any:
        return self._events.pop() if self._events else self._cupy.cuda.Event()
