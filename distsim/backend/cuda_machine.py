"""What a GPU tells of itself, and how long a kernel takes when it is launched many times in a row."""

from __future__ import annotations

import ctypes
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from distsim.backend.cuda import CudaBackend

THREADS = 256  # of a block


class DeviceFigures(ABC):
    """The part of a CudaBackend that asks its device for figures."""

    _device: Any

    def peak_bandwidth(self) -> float | None:
        told = self._told()  # kHz of a clock with two transfers, bits
        clock, width = told.get("MemoryClockRate"), told.get("GlobalMemoryBusWidth")
        return 2.0 * 1000.0 * clock * width / 8.0 if clock and width else None

    def cache_bytes(self) -> int:
        return int(self._told().get("L2CacheSize", 0))

    def _told(self) -> dict[str, int]:
        self._open()
        told: dict[str, int] = self._device.attributes
        return told

    @abstractmethod
    def _open(self) -> None:
        """Begin to use the device."""


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
        if times > 1 and backend.loop != "steps":
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
