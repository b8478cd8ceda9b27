"""How long a kernel takes on a GPU when it is launched many times in a row."""

from __future__ import annotations

import ctypes
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from distsim.backend.cuda import CudaBackend

THREADS = 256


def seconds_a_launch(
    backend: CudaBackend, kernel: Any, arguments: ctypes.Structure, blocks: int, times: int
) -> float:  # fmt: skip
    """Seconds of one of `times` launches: as one graph where there are several, else with the wait for its end."""
    on_device = backend.to_device(np.frombuffer(bytes(arguments), np.uint8))
    with backend.at_work():
        stream = backend.stream

        def launch() -> None:
            for _ in range(times):
                kernel((blocks,), (THREADS,), (on_device,))

        run = launch
        launch()  # loads it
        stream.synchronize()
        if times > 1 and backend.graphs:
            stream.begin_capture()
            try:
                launch()
            finally:
                graph = stream.end_capture()

            def run() -> None:
                graph.launch(stream)

            run()  # uploads it
            stream.synchronize()
        started = time.perf_counter()
        run()
        stream.synchronize()
        return (time.perf_counter() - started) / times
