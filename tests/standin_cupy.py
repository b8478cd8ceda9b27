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
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from standin_nvrtc import Nvrtc, text_of
from standin_streams import STREAMS, CUDARuntimeError, Event, Stream, current_stream, get_elapsed_time

from distsim.backend import HostBackend

NEW, FREED = 0xCD, 0xDD
H2D, D2H, D2D = 1, 2, 3
THREADS_OF_A_PROCESSOR = 2048


class CUDADriverError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


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

    def __init__(self, name: str, function: Any, arity: int, owner: Cupy) -> None:
        self.name, self._function, self._owner, self.arity = name, function, owner, arity
        function.restype, function.argtypes = None, [ctypes.c_void_p] * arity
        address = int(ctypes.cast(function, ctypes.c_void_p).value or 0)
        owner.functions[address] = self
        self.kernel = SimpleNamespace(ptr=address)

    def __call__(self, grid: tuple[int], block: tuple[int], arguments: tuple[ndarray, ...]) -> None:
        assert len(grid) == 1 and len(block) == 1 and len(arguments) == self.arity
        assert 1 <= grid[0] < 2**31 and 32 <= block[0] <= 1024 and block[0] % 32 == 0, (self.name, grid, block)
        assert all(isinstance(a, ndarray) for a in arguments), "arguments lie on the device"
        self.put(current_stream(), tuple(a.data.ptr for a in arguments), grid[0], block[0])

    def call(self, addresses: tuple[int, ...], blocks: int, threads: int, together: bool) -> None:
        """Run it."""
        self._function(*addresses)

    def put(
        self, stream: Stream, addresses: tuple[int, ...], blocks: int, threads: int, together: bool = False
    ) -> None:  # fmt: skip
        """A launch holds addresses only: neither it nor a graph keeps memory alive."""
        owner, name = self._owner, self.name
        owner.arguments.setdefault(name, set()).add((*addresses, blocks))

        def run() -> None:
            assert all(a in owner.live for a in addresses), f"{name}: its arguments were freed"
            owner.launches[name] = owner.launches.get(name, 0) + 1
            stream.clock += 1.0
            self.call(addresses, blocks, threads, together)

        stream.put(name, run)


class RawModule:
    """Kernels in a file; `code`, which CuPy would compile with options of its own, is not among what it takes."""

    kernel = Kernel

    def __init__(self, owner: Cupy, path: str) -> None:
        self._owner, self._path = owner, path
        self._code = ""
        self._library: Any = None

    def compile(self) -> None:
        try:
            self._code = text_of(Path(self._path).read_bytes())
        except (OSError, ValueError) as error:
            raise CUDADriverError(f"CUDA_ERROR_INVALID_IMAGE: {error}") from error
        self._library = self.built()

    def built(self) -> Any:
        """The host's library: construction is the host's own text, so one serves both; the loop is that of a GPU."""
        if "\nKERNEL run_steps(" in self._code:
            return HostBackend().compile("#define STEP_KERNELS\n" + self._code, "standin")
        double = re.match("#define DISTSIM_DOUBLE ([01])\n", self._code)
        label = f"construct-{('single', 'double')[int(double[1])]}" if double else "standin"
        return HostBackend().compile(self._code, label)

    def get_function(self, name: str) -> Kernel:
        signature = re.search(rf"^KERNEL {name}\(([^)]*)\)", self._code, re.MULTILINE)
        assert signature is not None, f"cudaErrorSymbolNotFound: {name}"
        more = re.search(r"^#define GROUP_PARAMETERS(.*)$", self._code, re.MULTILINE)
        arity = signature[1].count("*")
        if more and "GROUP_PARAMETERS" in signature[1]:
            arity += more[1].count("*")
        return self.kernel(name, getattr(self._library._library, name), arity, self._owner)


class Device:
    """Its current one is each thread's own, at first 0. Whoever makes one current makes a context on it."""

    def __init__(self, number: int, owner: Cupy, count: int) -> None:
        assert 0 <= number < count, "cudaErrorInvalidDevice"
        self.id, self._owner = number, owner
        self.compute_capability = "90"
        self.pci_bus_id = f"0000:{number:02x}:00.0"
        self.attributes = {
            "MultiProcessorCount": 3,
            "CooperativeLaunch": 1,
            "MemoryClockRate": 1_000_000,
            "GlobalMemoryBusWidth": 1024,
            "L2CacheSize": 2**22,
        }

    def use(self) -> Device:
        self._owner.set_device(self.id)
        return self

    def __enter__(self) -> Device:
        before = self._owner.current.__dict__.setdefault("before", [])
        before.append(self._owner.device())
        if self.id != self._owner.device():
            self._owner.set_device(self.id)
        return self

    def __exit__(self, *_: object) -> None:
        self._owner.set_device(self._owner.current.before.pop())


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
    arguments
        What each kernel was launched with: addresses, and blocks.
    fail_capture
        As a device that cannot capture graphs.
    cooperative
        As a device that has cooperative launches.
    free
        Bytes that memGetInfo finds free.
    contexts
        Devices on which this process has a context.
    """

    def __init__(
        self, devices: int = 1, error: str | None = None, fail_capture: bool = False, cooperative: bool = True,
        free: int = 2**40,
    ) -> None:  # fmt: skip
        self.arguments: dict[str, set[tuple[int, ...]]] = {}
        self.functions: dict[int, Kernel] = {}
        self.elapsed: Callable[[Event, Event], float] = get_elapsed_time
        self.live: dict[int, int] = {}
        self.errors: list[str] = []
        self.launches: dict[str, int] = {}
        self.taken = 0
        self.ranges: list[str] = []  # NVTX: all that were opened
        self.open_ranges: list[str] = []
        self.current, self.contexts = threading.local(), set[int]()
        self._devices, self._error = devices, error
        self.ndarray = ndarray
        self.RawModule = lambda **how: RawModule(self, **how)
        runtime = SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError, memcpyHostToDevice=H2D, memcpyDeviceToHost=D2H,
            memcpyDeviceToDevice=D2D,
            memGetInfo=lambda: (self.contexts.add(self.device()) or free, 2**41), getDeviceCount=self._count,
            memcpyAsync=self._copy, memcpy2DAsync=self._copy_2d,
            getDeviceProperties=lambda number: {"name": b"stand-in"},
        )  # fmt: skip
        self.streams: list[Stream] = []

        def stream(non_blocking: bool = False) -> Stream:
            self.contexts.add(self.device())
            made = Stream(non_blocking, self.device)
            if fail_capture:
                made.begin_capture = self._no_capture  # type: ignore[method-assign]
            self.streams.append(made)
            return made

        driver = SimpleNamespace(
            CUDADriverError=CUDADriverError, launchCooperativeKernel=self._launch_together,
            occupancyMaxActiveBlocksPerMultiprocessor=lambda function, threads, shared: (
                THREADS_OF_A_PROCESSOR // threads // 2
            ),
        )  # fmt: skip

        def device(number: int) -> Device:
            made = Device(number, self, self._devices)
            made.attributes["CooperativeLaunch"] = int(cooperative)
            return made

        self.cuda = SimpleNamespace(
            runtime=runtime, driver=driver, Event=Event, get_elapsed_time=lambda a, b: self.elapsed(a, b),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            nvrtc=Nvrtc(), Stream=stream,
            Device=device, alloc_pinned_memory=self._pinned,
            is_available=lambda: True,
            nvtx=SimpleNamespace(RangePush=self._push, RangePop=self._pop),
        )  # fmt: skip

    def device(self) -> int:
        """The current device of this thread."""
        return getattr(self.current, "device", 0)

    def set_device(self, number: int) -> None:
        self.current.device = number
        self.contexts.add(number)

    def _push(self, name: str) -> None:
        self.ranges.append(name)
        self.open_ranges.append(name)

    def _pop(self) -> None:
        self.open_ranges.pop()

    def _no_capture(self) -> None:
        raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported")

    def _launch_together(
        self, function: int, grid: int, grid_y: int, grid_z: int, block: int, block_y: int, block_z: int, shared: int,
        stream: int, parameters: int,
    ) -> None:  # fmt: skip
        assert (grid_y, grid_z, block_y, block_z, shared) == (1, 1, 1, 1, 0) and block % 32 == 0
        if grid > 3 * (THREADS_OF_A_PROCESSOR // block // 2):
            raise CUDADriverError("CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE")
        kernel = self.functions[function]
        places = (ctypes.c_void_p * kernel.arity).from_address(parameters)
        addresses = tuple(int(ctypes.c_void_p.from_address(p or 0).value or 0) for p in places)
        kernel.put(STREAMS[stream], addresses, grid, block, together=True)

    def _count(self) -> int:
        if self._error:
            raise CUDARuntimeError(self._error)
        return self._devices

    def _pinned(self, nbytes: int) -> npt.NDArray[np.uint8]:
        assert nbytes > 0
        return np.full(nbytes, NEW, np.uint8)

    def get_default_memory_pool(self) -> SimpleNamespace:
        return SimpleNamespace(total_bytes=lambda: self.taken, free_all_blocks=lambda: None)

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
        assert kind in (H2D, D2H, D2D) and 0 < width <= min(target_pitch, source_pitch)

        def run() -> None:
            if kind in (H2D, D2D):
                self._on_device(target, target_pitch * (height - 1) + width)
            if kind in (D2H, D2D):
                self._on_device(source, source_pitch * (height - 1) + width)
            for row in range(height):
                ctypes.memmove(target + row * target_pitch, source + row * source_pitch, width)

        STREAMS[stream].put("copy", run)

    def pointers_off_device(self, structure: ctypes.Structure) -> Iterator[str]:
        """Members of a structure that point elsewhere than into live device memory (null is allowed)."""
        for name, kind, *_ in structure._fields_:
            address = getattr(structure, name) if kind is ctypes.c_void_p else None
            if address and not any(
                a <= address <= a + n for a, n in self.live.copy().items()
            ):  # one past the end is none
                yield name
