"""The loop over steps on a GPU: the kernels of kernels/step.cpp, launched with the invariants of host_loop.cpp.

The host stays out of the steps: it launches a row of them without asking how it goes. Where a buffer is too small,
the loop on the device stops before anything of the step is committed, and every launch after that does nothing; the
host sees the status in the one copy of the loop that it fetches at the end, mends it, and launches the rest. No
launch has an argument that changes: how far to go is a member of the loop.

A row of steps is launched as a CUDA graph of two kernels a step, or as one cooperative kernel that stays on the
device. Which is faster depends on network, device and driver; the results are the same. `auto` tries both.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distsim.backend.base import Mirror, Stepper
from distsim.backend.profile import Profiler
from distsim.kernels.loop import DELIVER, RECEIVE, RUNNING

if TYPE_CHECKING:
    from distsim.backend.cuda import CudaBackend, CudaModule
    from distsim.backend.cuda_memory import CudaMirror

Launch = Callable[[], None]
GRAPHS_KEPT = 4  # different numbers of steps: a whole interval, and what pauses cut off
# Rows of steps that `auto` tries, after two for warming up and capturing.
TRIALS = ("graph", "graph", *("persistent", "graph") * 4)
WARPS = 8  # of a block


class CudaStepper(Stepper):
    """Launches of one rank.

    Parameters
    ----------
    loop
        The mirrored Loop; its numbers of ranks and recorders do not change any more.
    groups
        Model name and mirrored arguments of each group.
    """

    most_steps = 256

    def __init__(
        self, backend: CudaBackend, module: CudaModule, loop: CudaMirror, groups: Sequence[tuple[str, Mirror]]
    ) -> None:
        from distsim.backend.cuda_memory import CudaMirror

        self._backend, self._module, self._loop = backend, module, loop
        self._groups = groups  # kept alive
        self._profiler = Profiler()
        self._barrier = backend.zeros(64, np.uint32)
        loop.host.barrier = backend.pointer(self._barrier)
        chunks = sum(int(mirror.host.n_chunks) for _, mirror in groups)
        arguments: list[Any] = [loop.device]
        for _, mirror in groups:
            assert isinstance(mirror, CudaMirror)
            arguments.append(mirror.device)
        # A chunk a warp, and a block more for what keep_house does meanwhile. Delivery: a warp a run, whose number
        # nobody knows beforehand; some for each chunk of neurons, up to what the device holds.
        update = backend.blocks_for(chunks) + 1
        wide = min(backend.blocks_for(8 * max(1, chunks)), backend.processors * 4)
        some = min(wide, backend.processors)
        exchanges = loop.host.n_ranks > 1
        self._early = [self._on_loop("deliver_early", wide), self._on_loop("note_delivery", 1)] if exchanges else []
        self._receive = [self._on_loop("admit_received", 1), self._on_loop("receive", some)] if exchanges else []
        self._step = [
            self._on_loop("deliver_step", wide),
            self._profiled("step_models", partial(module.prepared("step_models"), (update,), (256,), tuple(arguments))),
        ]
        self._close = [self._on_loop("close_steps", some), self._on_loop("settle_steps", 1)]
        self._persistent = self._cooperative("run_steps", update, arguments)
        self._mode, self._trial = backend.loop, 0
        if backend.loop == "auto" and self._persistent is None:
            self._mode = "graph"
        if backend.loop == "persistent" and self._persistent is None:
            from distsim.errors import BackendError

            raise BackendError("DISTSIM_CUDA_LOOP: found 'persistent'; this device has no cooperative launches")
        self._times: dict[str, list[float]] = {"graph": [], "persistent": []}
        self._events: tuple[Any, Any] | None = None
        self._asked: dict[tuple[int, bool], int] = {}
        self._captured: dict[tuple[int, bool], Launch] = {}
        self._last, self._launched = 0, False
        self._timed: tuple[str, int] | None = None

    @property
    def mode(self) -> str:
        """How steps are launched now: auto (not decided yet), graph, persistent or steps."""
        return self._mode

    def _on_loop(self, kernel: str, blocks: int) -> Launch:
        return self._profiled(kernel, partial(self._module.prepared(kernel), (blocks,), (256,), (self._loop.device,)))

    def _profiled(self, kernel: str, launch: Launch) -> Launch:
        return partial(self._start, kernel, launch)

    def _start(self, kernel: str, launch: Launch) -> None:
        self._profiler.launch(kernel, launch)

    def watch(self, profiler: Profiler) -> None:
        self._profiler = profiler

    def _cooperative(self, kernel: str, most_blocks: int, arguments: Sequence[Any]) -> Launch | None:
        """A launch whose blocks wait for one another, or None where the device has none."""
        backend = self._backend
        if backend.loop not in ("auto", "persistent") or not backend.launches_together():
            return None
        function = int(self._module.prepared(kernel).kernel.ptr)
        blocks = min(most_blocks, backend.blocks_at_once(function))
        if blocks < 1:
            return None
        values = (ctypes.c_void_p * len(arguments))(*(backend.pointer(a) for a in arguments))
        places = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(values) + 8 * i for i in range(len(arguments))))
        driver, stream = backend.cupy.cuda.driver, backend.stream

        def launch() -> None:
            _ = values  # what `places` points at, kept alive
            driver.launchCooperativeKernel(
                function, blocks, 1, 1, 256, 1, 1, 0, stream.ptr, ctypes.addressof(places)
            )  # fmt: skip

        return launch

    def start(self, last: int, complete: bool = True) -> None:
        loop = self._loop.host
        with self._backend.at_work():
            loop.status, loop.last = RUNNING, last
            self._last, self._launched = last, complete
            self._loop.enqueue_store()
            self._profiler.begin(int(loop.step))
            if complete:
                self._launch()
            elif loop.phase == RECEIVE:
                _run(self._early)

    def finish(self) -> int:
        loop = self._loop.host
        with self._backend.at_work():
            if not self._launched:
                self._launch()
            self._backend.stream.synchronize()
            self._profiler.end(int(loop.step), complete=not loop.status)
            self._note_time(bool(loop.status))
        assert loop.status or (loop.step == self._last + 1 and loop.phase == DELIVER and not loop.pending_step)
        return int(loop.status)

    def _launch(self) -> None:
        """All up to the last step, and the copies that `finish` waits for."""
        loop = self._loop.host
        n, receives = self._last - int(loop.step) + 1, loop.phase == RECEIVE
        mode = self._mode
        if mode == "auto":
            mode = TRIALS[self._trial]
        if self._profiler.sampling:  # neither a graph nor one kernel: each launch by itself
            self._timed = None
            _run(self._row(n, receives))
        elif mode == "persistent" and n:
            assert self._persistent is not None
            self._begin_timing("persistent", n)
            _run([*(self._receive if receives else ()), self._persistent])
        else:
            self._begin_timing("graph", n)
            self._launch_steps(n, receives, mode != "steps")
        self._end_timing()
        if self.collect is not None:
            self.collect()
        self._loop.enqueue_fetch()

    def _row(self, n: int, receives: bool) -> list[Launch]:
        return [*(self._receive if receives else ()), *self._step * n, *self._close]

    def _launch_steps(self, n: int, receives: bool, graphs: bool) -> None:
        """`n` steps and their end: as a graph where as many were asked for before, or not many more."""
        key = (n, receives)
        if graphs and n and key not in self._captured:
            self._asked[key] = self._asked.get(key, 0) + 1
            if self._asked[key] > 1 and len(self._captured) < GRAPHS_KEPT:
                self._capture(key)
        # Steps beyond the last do nothing, and cost less than launches one by one.
        fitting = [k for k in self._captured if n <= k[0] <= 3 * n and (k[1] or not receives)]
        if fitting:
            self._captured[min(fitting)]()
        else:
            _run(self._row(n, receives))

    def _capture(self, key: tuple[int, bool]) -> None:
        """Nothing runs while it is captured. Without graphs on this device steps go on one by one."""
        cupy, stream = self._backend.cupy, self._backend.stream
        errors = (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)
        try:
            stream.begin_capture()
            try:
                _run(self._row(*key))
            finally:
                graph = stream.end_capture()
        except errors:
            self._mode = "steps"
            return
        self._captured[key] = partial(graph.launch, stream)

    def _begin_timing(self, mode: str, n: int) -> None:
        self._timed = None
        if self._mode != "auto" or n < 1:
            return
        if self._events is None:
            event = self._backend.cupy.cuda.Event
            self._events = event(), event()
        self._timed = mode, n
        self._events[0].record(self._backend.stream)

    def _end_timing(self) -> None:
        if self._timed is not None:
            assert self._events is not None
            self._events[1].record(self._backend.stream)

    def _note_time(self, interrupted: bool) -> None:
        """Decide for what is faster, a step, at its best; interrupted rows do not count."""
        if self._timed is None or interrupted or self._mode != "auto":
            return
        (mode, n), self._timed = self._timed, None
        assert self._events is not None
        if self._trial >= 2:
            self._times[mode].append(self._backend.cupy.cuda.get_elapsed_time(*self._events) / n)
        self._trial += 1
        if self._trial == len(TRIALS):
            self._mode = min(self._times, key=lambda tried: min(self._times[tried]))


def _run(launches: Sequence[Launch]) -> None:
    for launch in launches:
        launch()
