"""Memory that a GPU and the host share by copies: mirrors, messages for MPI, and copies that run beside the kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distsim.backend.base import Array, Later, Messages, Mirror

if TYPE_CHECKING:
    from distsim.backend.cuda import CudaBackend


class CudaMirror(Mirror):
    """The host's side in pinned memory, the kernels' in device memory; copies in the stream's order."""

    def __init__(self, backend: CudaBackend, content: Any) -> None:
        cupy = backend.cupy
        self._backend, self._runtime = backend, cupy.cuda.runtime
        array = content if isinstance(content, np.ndarray) else np.frombuffer(content, np.uint8)
        self._bytes = int(array.nbytes)
        with backend.at_work():
            pinned = np.ndarray((max(1, self._bytes),), np.uint8, cupy.cuda.alloc_pinned_memory(max(1, self._bytes)))
            self.device = cupy.empty(max(1, self._bytes), np.uint8)
        pinned[: self._bytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        if isinstance(content, np.ndarray):
            self.host: Any = pinned[: self._bytes].view(array.dtype).reshape(array.shape)
            self._width = self._bytes // array.shape[0] if array.ndim == 2 and array.shape[0] else self._bytes
        else:
            self.host = type(content).from_buffer(pinned)
            self._width = self._bytes
        self._pinned, self._item = int(pinned.ctypes.data), int(array.itemsize)
        self.address = backend.pointer(self.device)
        with backend.at_work():
            self.enqueue_store()
            backend.stream.synchronize()

    def store(self) -> None:
        with self._backend.at_work():
            self.enqueue_store()

    def fetch(self, columns: int | None = None) -> None:
        with self._backend.at_work():
            self.enqueue_fetch(columns)
            self._backend.stream.synchronize()

    def enqueue_store(self) -> None:
        """Host to device, in the stream's order; the caller is at work already."""
        if self._bytes:
            self._runtime.memcpyAsync(
                self.address, self._pinned, self._bytes, self._runtime.memcpyHostToDevice, self._backend.stream.ptr
            )

    def enqueue_fetch(self, columns: int | None = None) -> None:
        """Device to host, in the stream's order; valid after the stream is synchronised."""
        runtime, stream = self._runtime, self._backend.stream.ptr
        width = self._width if columns is None else columns * self._item
        if not self._bytes or not width:
            return
        if width == self._width:
            runtime.memcpyAsync(self._pinned, self.address, self._bytes, runtime.memcpyDeviceToHost, stream)
        else:
            runtime.memcpy2DAsync(
                self._pinned, self._width, self.address, self._width, width, self._bytes // self._width,
                runtime.memcpyDeviceToHost, stream,
            )  # fmt: skip


class CudaMessages(Messages):
    """Words in pinned memory, and where the kernels read them a copy in device memory; or in device memory alone."""

    def __init__(self, backend: CudaBackend, words: int, direct: bool) -> None:
        cupy = backend.cupy
        self._backend, self._runtime, self._direct, self._bytes = backend, cupy.cuda.runtime, direct, 4 * words
        self._device = backend.zeros(max(1, words), np.uint32)
        self.address = backend.pointer(self._device)
        self.words = self._device
        self._host = self.address
        if not direct:
            with backend.at_work():
                pinned = np.ndarray((max(1, words),), np.uint32, cupy.cuda.alloc_pinned_memory(max(4, 4 * words)))
            pinned[:] = 0
            self.words = pinned[:words]
            self._host = int(pinned.ctypes.data)

    def collector(self, source: Array, width: int) -> Callable[[], None]:
        rows, columns = source.shape
        assert rows * width * 4 == self._bytes
        kind = self._runtime.memcpyDeviceToDevice if self._direct else self._runtime.memcpyDeviceToHost
        return partial(
            self._runtime.memcpy2DAsync, self._host, width * 4, self._backend.pointer(source), columns * 4, width * 4,
            rows, kind, self._backend.stream.ptr,
        )  # fmt: skip

    def store(self) -> None:
        if self._direct or not self._bytes:
            return
        with self._backend.at_work():
            self._runtime.memcpyAsync(
                self.address, self._host, self._bytes, self._runtime.memcpyHostToDevice, self._backend.stream.ptr
            )

    def read(self) -> npt.NDArray[Any]:
        return self._backend.to_host(self._device) if self._direct else self.words.copy()

    def write(self, words: npt.NDArray[Any]) -> None:
        if self._direct:
            self._backend.copy_into(self._device, words)
        else:
            self.words[:] = words


class CudaLater(Later):
    """Copies to pinned memory on a stream of their own, after what the other stream has done so far."""

    def __init__(self, backend: CudaBackend, copies: Any, arrays: Sequence[Array]) -> None:
        cupy = backend.cupy
        runtime = cupy.cuda.runtime
        self._backend, self._arrays = backend, list(arrays)  # kept alive
        self._pinned: list[npt.NDArray[Any]] = []
        with backend.at_work():
            before = cupy.cuda.Event(disable_timing=True)
            before.record(backend.stream)
            copies.wait_event(before)
            for array in arrays:
                memory = cupy.cuda.alloc_pinned_memory(max(1, int(array.nbytes)))
                self._pinned.append(np.ndarray(array.shape, array.dtype, memory))
                if array.nbytes:
                    runtime.memcpyAsync(
                        int(self._pinned[-1].ctypes.data), backend.pointer(array), int(array.nbytes),
                        runtime.memcpyDeviceToHost, copies.ptr,
                    )  # fmt: skip
            self._done = cupy.cuda.Event(disable_timing=True)
            self._done.record(copies)

    def ready(self) -> bool:
        return bool(self._done.done)

    def take(self) -> list[npt.NDArray[Any]]:
        with self._backend.at_work():
            self._done.synchronize()
        return self._pinned
