"""The loop over steps on a GPU: the kernels of kernels/host_loop.cpp, launched in its order, with its invariants.

The host stays out of the steps: it launches a whole interval without asking how it goes. A kernel that finds
a buffer too small says so in the loop's status and phase, and every kernel after it returns at once; the host
sees it in the one copy of the loop that it fetches at the end, mends it, and launches the rest from that phase.
No launch has an argument that changes, so the steps of an interval are captured once as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from distsim.backend.base import Mirror, Stepper
from distsim.backend.profile import Profiler
from distsim.kernels.loop import ADMIT, DELIVER, RECEIVE, RUNNING, STATES

if TYPE_CHECKING:
    from distsim.backend.cuda import CudaBackend, CudaMirror, CudaModule

Launch = Callable[[], None]
GRAPHS_KEPT = 4  # different numbers of steps: a whole interval, and what pauses cut off


class CudaStepper(Stepper):
    """Launches of one rank.

    Parameters
    ----------
    loop
        The mirrored Loop; its numbers of ranks and recorders do not change any more.
    groups
        Model name and mirrored arguments of each group.
    """

    def __init__(
        self, backend: CudaBackend, module: CudaModule, loop: CudaMirror, groups: Sequence[tuple[str, Mirror]]
    ) -> None:
        self._backend, self._module, self._loop = backend, module, loop
        self._groups = groups  # kept alive
        self._profiler = Profiler()
        processors = backend.processors
        wide, some = processors * 4, processors
        exchanges = loop.host.n_ranks > 1
        self._open = [self._on_loop("open_interval")]
        if exchanges:
            self._open = [self._on_loop("admit_received"), self._on_loop("receive", some), *self._open]
        self._compute = [self._on_loop("deliver", wide)]
        self._compute += [self._update(name, mirror) for name, mirror in groups if mirror.host.n_chunks]
        self._sample = []
        if loop.host.n_recorders:
            self._sample = [self._on_loop("admit_states"), self._on_loop("sample_states", some),
                            self._on_loop("count_samples")]  # fmt: skip
        self._spread = [self._on_loop("admit"), self._on_loop("spread", some)]
        if exchanges:
            self._spread.append(self._on_loop("close_step"))
        self._spread.append(self._on_loop("next_step"))
        self._close = [self._on_loop("close_interval")] if exchanges else []
        self._whole_step = [*self._compute, *self._sample, *self._spread]
        self._asked: dict[int, int] = {}
        self._captured: dict[int, Launch] = {}

    def _on_loop(self, kernel: str, blocks: int = 0) -> Launch:
        """A kernel on the loop: on so many blocks, or on one warp where it is one thread's work."""
        prepared = self._module.prepared(kernel)
        grid, block = ((blocks,), (256,)) if blocks else ((1,), (32,))
        return partial(self._start, kernel, partial(prepared, grid, block, (self._loop.device,)))

    def _start(self, kernel: str, launch: Launch) -> None:
        self._profiler.launch(kernel, launch)

    def watch(self, profiler: Profiler) -> None:
        self._profiler = profiler

    def _update(self, model: str, mirror: Mirror) -> Launch:
        from distsim.backend.cuda import THREADS, CudaMirror

        assert isinstance(mirror, CudaMirror)
        blocks = self._backend.blocks_for(int(mirror.host.n_chunks))
        kernel = f"update_{model}"
        launch = partial(self._module.prepared(kernel), (blocks,), (THREADS,), (mirror.device,))
        return partial(self._start, kernel, launch)

    def advance(self, last: int) -> int:
        loop = self._loop.host
        with self._backend.at_work():
            loop.status = RUNNING
            self._loop.enqueue_store()
            phase, steps = int(loop.phase), last - int(loop.step) + 1
            self._profiler.begin(int(loop.step))
            if phase == RECEIVE:
                _run(self._open)
            elif phase in (STATES, ADMIT):
                _run([*self._sample, *self._spread] if phase == STATES else self._spread)
                steps -= 1
            self._run_steps(steps)
            _run(self._close)
            self._loop.enqueue_fetch()
            self._backend.stream.synchronize()
            self._profiler.end(int(loop.step), complete=not loop.status)
        assert loop.status or (loop.step == last + 1 and loop.phase == DELIVER)
        return int(loop.status)

    def _run_steps(self, n: int) -> None:
        """Launch `n` whole steps; as a graph, where as many were asked for before."""
        if n <= 0:
            return
        if self._profiler.sampling:
            _run([*self._whole_step] * n)
            return
        if n not in self._captured:
            self._asked[n] = self._asked.get(n, 0) + 1
            if self._backend.graphs and self._asked[n] > 1 and len(self._captured) < GRAPHS_KEPT:
                self._capture(n)
        if n in self._captured:
            self._captured[n]()
        else:
            for _ in range(n):
                _run(self._whole_step)

    def _capture(self, n: int) -> None:
        """Nothing runs while it is captured. Without graphs on this device steps go on one by one."""
        cupy, stream = self._backend.cupy, self._backend.stream
        errors = (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)
        try:
            stream.begin_capture()
            try:
                for _ in range(n):
                    _run(self._whole_step)
            finally:
                graph = stream.end_capture()
        except errors:
            self._backend.graphs = False
            return
        self._captured[n] = partial(graph.launch, stream)


def _run(launches: Sequence[Launch]) -> None:
    for launch in launches:
        launch()
