"""A stand-in for the few calls of CuPy that CudaBackend makes, on the host, for machines without a GPU.

It is stricter than a GPU. Every operation of a stream waits in a queue until the host synchronises, so a
missing synchronisation reads what was there before. Device arrays are no NumPy arrays and cannot be used as
such. New memory is full of 0xCD; freed memory is overwritten once the stream has come to the point where it was
freed, as a pool that frees in stream order may do. Kernels are the same sources compiled by the host's compiler.

Use: `CudaBackend(standin_cupy.Cupy())`. What a stand-in cannot show: real races between threads, rounding on a
GPU, alignment, speed.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import HostBackend

NEW, FREED = 0xCD, 0xDD
H2D, D2H = 1, 2


class CUDARuntimeError(RuntimeError):
    pass


class CUDADriverError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class CompileException(Exception):
    pass


class Stream:
    """Operations that run, in order, when the host waits for them; see the module's docstring."""

    current = threading.local()

    def __init__(self, non_blocking: bool = False) -> None:
        assert non_blocking, "a stream that waits for the default stream cannot be captured beside other libraries"
        self.ptr = id(self)
        self.queue: list[Callable[[], None]] = []
        self.captured: list[Callable[[], None]] | None = None
        self.log: list[str] = []
        self.clock = 0.0  # kernels that ran
        _STREAMS[self.ptr] = self

    def __enter__(self) -> Stream:
        Stream.current.__dict__.setdefault("stack", []).append(self)
        return self

    def __exit__(self, *_: object) -> None:
        Stream.current.stack.pop()

    def put(self, name: str, work: Callable[[], None], capturable: bool = True) -> None:
        if self.captured is not None:
            if not capturable:
                raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported")
            self.captured.append(work)
        else:
            self.log.append(name)
            self.queue.append(work)

    def synchronize(self) -> None:
        if self.captured is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported")
        while self.queue:
            waiting, self.queue = self.queue, []
            for work in waiting:
                work()

    def begin_capture(self) -> None:
        self.captured = []

    def end_capture(self) -> Graph:
        assert self.captured is not None
        graph = Graph(self.captured)
        self.captured = None
        return graph


class Graph:
    def __init__(self, works: list[Callable[[], None]]) -> None:
        self._works = works

    def launch(self, stream: Stream) -> None:
        works = list(self._works)

        def run() -> None:
            for work in works:
                work()

        stream.put(f"graph of {len(works)}", run)


class Event:
    """A point of a stream: its time is `clock`, which counts kernels, so that tests know what comes out."""

    def __init__(self) -> None:
        self.at: float | None = None

    def record(self, stream: Stream) -> None:
        if stream.captured is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported")
        self.at = None

        def run() -> None:
            self.at = stream.clock

        stream.queue.append(run)


def get_elapsed_time(first: Event, last: Event) -> float:
    """ms; a kernel takes one."""
    if first.at is None or last.at is None:
        raise CUDARuntimeError("cudaErrorNotReady")
    return last.at - first.at


_STREAMS: dict[int, Stream] = {}


def current_stream() -> Stream:
    stack: list[Stream] = getattr(Stream.current, "stack", [])
    assert stack, "outside of the backend's stream: this would run on the default stream"
    return stack[-1]


class Memory:
    """A device allocation."""

    def __init__(self, nbytes: int, owner: Cupy) -> None:
        self.bytes = np.full(max(nbytes, 1) + 64, NEW, np.uint8)
        self.stream, self.owner = current_stream(), owner
        self.ptr = int(self.bytes.ctypes.data)
        owner.live[self.ptr] = nbytes
        owner.taken += nbytes

    def __del__(self) -> None:
        content, owner, ptr = self.bytes, self.owner, self.ptr

        def free() -> None:
            if (content[owner.live.pop(ptr) :] != NEW).any():
                owner.errors.append("written beyond the end of an allocation")
            content[:] = FREED

        self.stream.queue.append(free)


class ndarray:
    """A device array: only what CudaBackend uses; NumPy cannot read it."""

    def __init__(self, memory: Memory, array: npt.NDArray[Any]) -> None:
        self._memory, self._array = memory, array
        self.shape, self.dtype, self.size, self.nbytes = array.shape, array.dtype, array.size, array.nbytes
        self.flags = SimpleNamespace(c_contiguous=array.flags.c_contiguous)
        self.data = SimpleNamespace(ptr=int(array.ctypes.data) if array.size else 0)

    def __array__(self, *_: object, **__: object) -> npt.NDArray[Any]:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __len__(self) -> int:
        return len(self._array)

    def set(self, host: npt.NDArray[Any]) -> None:
        assert isinstance(host, np.ndarray) and host.shape == self.shape and host.dtype == self.dtype
        taken = host.copy()  # from pageable memory
        current_stream().put("set", lambda: np.copyto(self._array, taken), capturable=False)

    def get(self) -> npt.NDArray[Any]:
        current_stream().synchronize()
        return self._array.copy()

    def __getitem__(self, key: slice) -> ndarray:
        assert isinstance(key, slice), "an element of a device array is a copy and a synchronisation"
        return ndarray(self._memory, self._array[key])

    def __setitem__(self, key: slice, value: Any) -> None:
        target = self._array[key]

        def assign() -> None:
            target[...] = value._array if isinstance(value, ndarray) else value

        current_stream().put("assign", assign)


class Kernel:
    """A host-compiled kernel; a launch is one call, whatever the grid."""

    def __init__(self, name: str, function: Any, owner: Cupy) -> None:
        self.name, self._function, self._owner = name, function, owner
        function.restype, function.argtypes = None, [ctypes.c_void_p]

    def __call__(self, grid: tuple[int], block: tuple[int], arguments: tuple[ndarray]) -> None:
        assert len(grid) == 1 and len(block) == 1 and len(arguments) == 1
        assert 1 <= grid[0] < 2**31 and 32 <= block[0] <= 1024 and block[0] % 32 == 0, (self.name, grid, block)
        (on_device,) = arguments
        assert isinstance(on_device, ndarray), "arguments lie on the device"
        address, owner, function, name = on_device.data.ptr, self._owner, self._function, self.name

        stream = current_stream()

        def run() -> None:  # holds the address only: neither a launch nor a graph keeps memory alive
            assert address in owner.live, f"{name}: its arguments were freed"
            owner.launches[name] = owner.launches.get(name, 0) + 1
            stream.clock += 1.0
            function(address)

        stream.put(name, run)


class RawModule:
    def __init__(self, owner: Cupy, code: str, options: tuple[str, ...], backend: str) -> None:
        assert backend == "nvrtc" and "--fmad=false" in options and not any("fast" in o for o in options)
        self._owner, self._code = owner, code
        self._library: Any = None

    def compile(self) -> None:
        self._library = HostBackend().compile(self._code, "standin")

    def get_function(self, name: str) -> Kernel:
        return Kernel(name, getattr(self._library._library, name), self._owner)


class Device:
    def __init__(self, number: int, count: int) -> None:
        assert 0 <= number < count, "cudaErrorInvalidDevice"
        self.id = number
        self.pci_bus_id = f"0000:{number:02x}:00.0"
        self.attributes = {
            "MultiProcessorCount": 3,
            "MemoryClockRate": 1_000_000,
            "GlobalMemoryBusWidth": 1024,
            "L2CacheSize": 2**22,
        }

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Cupy:
    """What `import cupy` gives; one for each rank, so that tests can look into it.

    Attributes
    ----------
    live
        Address and size of every device allocation.
    errors
        What went wrong where no exception could be raised.
    launches
        How often each kernel ran.
    fail_capture
        As a device that cannot capture graphs.
    """

    def __init__(self, devices: int = 1, error: str | None = None, fail_capture: bool = False) -> None:
        self.live: dict[int, int] = {}
        self.errors: list[str] = []
        self.launches: dict[str, int] = {}
        self.taken = 0
        self.ranges: list[str] = []  # NVTX: all that were opened
        self.open_ranges: list[str] = []
        self._devices, self._error = devices, error
        self.ndarray = ndarray
        self.RawModule = lambda **how: RawModule(self, **how)
        runtime = SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError, memcpyHostToDevice=H2D, memcpyDeviceToHost=D2H,
            getDeviceCount=self._count, memcpyAsync=self._copy, memcpy2DAsync=self._copy_2d,
            getDeviceProperties=lambda number: {"name": b"stand-in"},
        )  # fmt: skip
        self.streams: list[Stream] = []

        def stream(non_blocking: bool = False) -> Stream:
            made = Stream(non_blocking)
            if fail_capture:
                made.begin_capture = self._no_capture  # type: ignore[method-assign]
            self.streams.append(made)
            return made

        self.cuda = SimpleNamespace(
            runtime=runtime, driver=SimpleNamespace(CUDADriverError=CUDADriverError),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            compiler=SimpleNamespace(CompileException=CompileException), Stream=stream,
            Device=lambda number: Device(number, self._devices), alloc_pinned_memory=self._pinned,
            is_available=lambda: True, Event=Event, get_elapsed_time=get_elapsed_time,
            nvtx=SimpleNamespace(RangePush=self._push, RangePop=self._pop),
        )  # fmt: skip

    def _push(self, name: str) -> None:
        self.ranges.append(name)
        self.open_ranges.append(name)

    def _pop(self) -> None:
        self.open_ranges.pop()

    def _no_capture(self) -> None:
        raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported")

    def _count(self) -> int:
        if self._error:
            raise CUDARuntimeError(self._error)
        return self._devices

    def _pinned(self, nbytes: int) -> npt.NDArray[np.uint8]:
        assert nbytes > 0
        return np.full(nbytes, NEW, np.uint8)

    def get_default_memory_pool(self) -> SimpleNamespace:
        return SimpleNamespace(total_bytes=lambda: self.taken)

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> ndarray:
        kind = np.dtype(dtype)
        if kind.char not in "?bhilqBHILQefdFD":
            raise ValueError(f"Unsupported dtype {kind}")
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        memory = Memory(int(np.prod(sizes, dtype=np.int64)) * kind.itemsize, self)
        n = int(np.prod(sizes, dtype=np.int64)) * kind.itemsize
        return ndarray(memory, memory.bytes[:n].view(kind).reshape(sizes))

    def zeros(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> ndarray:
        array = self.empty(shape, dtype)
        current_stream().put("zeros", lambda: array._array.fill(0))
        return array

    def cumsum(self, array: ndarray) -> ndarray:
        sums = self.empty(array.shape, array.dtype)

        def add() -> None:
            np.cumsum(array._array, out=sums._array)

        current_stream().put("cumsum", add)
        return sums

    def _on_device(self, address: int, nbytes: int) -> None:
        inside = any(a <= address and address + nbytes <= a + n for a, n in self.live.copy().items())
        assert inside, "a copy to or from what is no live device memory"

    def _copy(self, target: int, source: int, nbytes: int, kind: int, stream: int) -> None:
        self._copy_2d(target, nbytes, source, nbytes, nbytes, 1, kind, stream)

    def _copy_2d(
        self, target: int, target_pitch: int, source: int, source_pitch: int, width: int, height: int, kind: int,
        stream: int,
    ) -> None:  # fmt: skip
        assert kind in (H2D, D2H) and 0 < width <= min(target_pitch, source_pitch)

        def run() -> None:
            device, pitch = (target, target_pitch) if kind == H2D else (source, source_pitch)
            self._on_device(device, pitch * (height - 1) + width)
            for row in range(height):
                ctypes.memmove(target + row * target_pitch, source + row * source_pitch, width)

        _STREAMS[stream].put("copy", run)

    def pointers_off_device(self, structure: ctypes.Structure) -> Iterator[str]:
        """Members of a structure that point elsewhere than into live device memory (null is allowed)."""
        for name, kind, *_ in structure._fields_:
            address = getattr(structure, name) if kind is ctypes.c_void_p else None
            if address and not any(
                a <= address <= a + n for a, n in self.live.copy().items()
            ):  # one past the end is none
                yield name
