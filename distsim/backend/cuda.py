"""An NVIDIA GPU as a device: CuPy arrays, kernels compiled by NVRTC, everything in order on one stream.

The stream is a non-blocking one: nothing of it waits for the legacy default stream, and a graph can be
captured on it. CuPy's memory pool frees in stream order, so an array may be dropped while a kernel that
reads it is still under way. CuPy itself is taken from outside, so that tests can put a stand-in there.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend.base import Array, Backend, Later, Messages, Mirror, Module, Stepper
from distsim.backend.cuda_compile import kept_kernels
from distsim.backend.cuda_machine import THREADS, DeviceFigures, seconds_a_launch
from distsim.backend.cuda_memory import CudaLater, CudaMessages, CudaMirror
from distsim.backend.profile import Profiler
from distsim.errors import BackendError, during

LOOPS = ("auto", "graph", "persistent", "steps")
BLOCKS_PER_PROCESSOR = 8  # fill a multiprocessor's 2048 threads; loops in kernels stride over the rest
WAY_OUT = "install CuPy (DISTSIM_CUDA=13 launch/run --setup; 12 for drivers before 580), or use --device cpu"


def load_cupy() -> ModuleType:
    """The module cupy, or BackendError."""
    try:
        import cupy
    except ImportError as error:
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded ({error})"
        raise BackendError(f"device cuda: CuPy {reason}; {WAY_OUT}") from error
    module: ModuleType = cupy
    return module


def has_driver() -> bool:
    """Is there an NVIDIA driver? Much quicker to ask than to import CuPy."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def count_devices(cupy: Any) -> int:
    """NVIDIA devices that this process sees; BackendError, where there is none, says why."""
    try:
        found = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendError(f"device cuda: no usable NVIDIA driver ({_first_line(error)}); {WAY_OUT}") from error
    if not found:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        hidden = "" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible!r})"
        raise BackendError(f"device cuda: found 0 NVIDIA devices{hidden}; needed: 1; {WAY_OUT}")
    return found


class CudaModule(Module):
    """A loaded module of kernels."""

    def __init__(self, backend: CudaBackend, raw: Any) -> None:
        self._backend, self._raw = backend, raw
        self._loaded: dict[str, Any] = {}

    def launch(self, kernel: str, arguments: ctypes.Structure, n: int) -> None:
        if n > 0:
            on_device = self._backend.to_device(np.frombuffer(bytes(arguments), np.uint8))
            self.start(kernel, on_device, self._backend.blocks_for(n))

    def seconds(self, kernel: str, arguments: ctypes.Structure, n: int, times: int) -> float:
        return seconds_a_launch(self._backend, self.prepared(kernel), arguments, self._backend.blocks_for(n), times)

    def start(self, kernel: str, arguments: Array, blocks: int, threads: int = THREADS) -> None:
        """Launch on arguments that lie on the device."""
        launch = self.prepared(kernel)
        with self._backend.at_work():
            launch((blocks,), (threads,), (arguments,))

    def prepared(self, kernel: str) -> Any:
        """The kernel as CuPy's object, loaded, for launches without a detour."""
        if kernel not in self._loaded:
            with self._backend.at_work():
                self._loaded[kernel] = self._raw.get_function(kernel)
        return self._loaded[kernel]


class CudaBackend(DeviceFigures, Backend):
    """One GPU.

    Parameters
    ----------
    cupy
        The module, or a stand-in for it.
    loop
        How steps are launched: "graph", "persistent", "auto" (whichever is faster) or "steps" (one by one, for
        debuggers); None: what DISTSIM_CUDA_LOOP says, else "auto".
    """

    name = "cuda"
    lanes = 32
    runs_beside = True
    lists_input = False

    def __init__(self, cupy: Any = None, loop: str | None = None) -> None:
        self.cupy: Any = load_cupy() if cupy is None else cupy
        self.loop = loop or os.environ.get("DISTSIM_CUDA_LOOP") or "auto"
        if self.loop not in LOOPS:
            raise BackendError(f"DISTSIM_CUDA_LOOP: found {self.loop!r}; allowed: {', '.join(LOOPS)}")
        self._number = 0
        self._opened = False
        self.processors = 0  # multiprocessors
        self.stream: Any = None
        self._copies: Any = None  # the stream of copies that run beside the kernels
        self._device: Any = None

    def check(self) -> None:
        count_devices(self.cupy)

    def assign(self, local_rank: int) -> str:
        assert not self._opened, "assigned after something was allocated"
        self._number = local_rank % count_devices(self.cupy)
        self._open()
        return f"{os.uname().nodename}:{self._device.pci_bus_id}"

    def describe(self) -> str:
        properties = self.cupy.cuda.runtime.getDeviceProperties(self._number)
        name = properties["name"]
        return f"cuda ({name.decode() if isinstance(name, bytes) else name})"

    def memory_bytes(self) -> int:
        if not self._opened:
            return 0
        with self.at_work():  # the pool answers for the current device
            return int(self.cupy.get_default_memory_pool().total_bytes())

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        with self.at_work():
            return self.cupy.empty(shape, dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        with self.at_work():
            return self.cupy.zeros(shape, dtype)

    def to_device(self, array: npt.NDArray[Any]) -> Array:
        if array.dtype.fields:  # CuPy knows no records
            array = np.ascontiguousarray(array).view(np.uint8)
        with self.at_work():
            on_device = self.cupy.empty(array.shape, array.dtype)
            if array.size:
                # From pageable memory the driver has taken the bytes when this returns.
                on_device.set(np.ascontiguousarray(array))
            return on_device

    def copy_into(self, array: Array, content: npt.NDArray[Any]) -> None:
        with self.at_work():
            array.set(np.ascontiguousarray(content))

    def to_host(self, array: Array) -> npt.NDArray[Any]:
        with self.at_work():
            return np.asarray(array.get())

    def pointer(self, array: Array) -> int:
        assert array.flags.c_contiguous
        return int(array.data.ptr)

    def mirror(self, content: Any) -> Mirror:
        return CudaMirror(self, content)

    def profiler(self) -> Profiler:
        from distsim.backend.cuda_profile import CudaProfiler

        return CudaProfiler(self)

    def messages(self, words: int, direct: bool) -> Messages:
        return CudaMessages(self, words, direct)

    def fetch_later(self, arrays: Sequence[Array]) -> Later:
        self._open()
        return CudaLater(self, self._copies, arrays)

    def available_bytes(self, local_rank: int) -> tuple[int, int] | None:
        devices = count_devices(self.cupy)
        with _errors(self.cupy):
            self.cupy.cuda.Device(local_rank % devices).use()  # and stay there, as at_work
            self.cupy.get_default_memory_pool().free_all_blocks()  # of a network before this one: free as well
            return int(self.cupy.cuda.runtime.memGetInfo()[0]), devices

    def release(self) -> None:
        with self.at_work():  # CuPy's pool keeps what was freed, such as the cells of construction
            self.cupy.get_default_memory_pool().free_all_blocks()

    def exclusive_sum(self, array: Array) -> int:
        if not array.size:
            return 0
        with self.at_work():
            sums = self.cupy.cumsum(array)
            array[1:] = sums[:-1]
            array[:1] = 0
            return int(sums[-1:].get()[0])

    @during("compile")
    def compile(self, source: str, label: str) -> Module:
        nvrtc = self.cupy.cuda.nvrtc
        with self.at_work():
            try:
                kept = kept_kernels(nvrtc, self._device.compute_capability, source, label)
            except (ImportError, OSError, RuntimeError) as error:
                if isinstance(error, BackendError) or "nvrtc" not in str(error).lower():
                    raise
                raise BackendError(f"device cuda: no NVRTC ({_first_line(error)}); {WAY_OUT}") from error
            try:
                raw = self._load(kept)
            except self.cupy.cuda.driver.CUDADriverError:  # cut short or damaged by somebody else: make it anew, once
                kept.unlink(missing_ok=True)
                raw = self._load(kept_kernels(nvrtc, self._device.compute_capability, source, label))
        return CudaModule(self, raw)

    def _load(self, kept: Path) -> Any:
        raw = self.cupy.RawModule(path=str(kept))
        raw.compile()  # loads it
        return raw

    def stepper(self, module: Module, loop: Mirror, groups: Sequence[tuple[str, Mirror]]) -> Stepper:
        from distsim.backend.cuda_loop import CudaStepper

        assert isinstance(module, CudaModule) and isinstance(loop, CudaMirror)
        return CudaStepper(self, module, loop, groups)

    def launches_together(self) -> bool:
        """Whether the device has cooperative launches, whose blocks can wait for one another."""
        self._open()
        return bool(self._device.attributes.get("CooperativeLaunch", 0))

    def blocks_at_once(self, function: int, threads: int = THREADS) -> int:
        """Blocks of a kernel (its address) that the device holds at once."""
        with self.at_work():
            found = self.cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(function, threads, 0)
        return int(found) * self.processors

    def blocks_for(self, n: int) -> int:
        """Blocks of THREADS for `n` items or groups: a warp each, no more than the device holds at once."""
        self._open()
        return max(1, min(-(-n * self.lanes // THREADS), self.processors * BLOCKS_PER_PROCESSOR))

    def _open(self) -> None:
        if self._opened:
            return
        with _errors(self.cupy):
            self._device = self.cupy.cuda.Device(self._number)
            self.processors = int(self._device.attributes["MultiProcessorCount"])
            self._device.use()
            self.stream = self.cupy.cuda.Stream(non_blocking=True)
            self._copies = self.cupy.cuda.Stream(non_blocking=True)
        self._opened = True

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """On this rank's device and stream; CUDA's errors become BackendError.

        The thread stays on the device. Going back to device 0, as `with Device(...)` does, would make a context there
        (cudaSetDevice does so since CUDA 12): half a gigabyte of the first GPU for each rank of the machine.
        """
        self._open()
        with _errors(self.cupy):
            self._device.use()
            with self.stream:
                yield


@contextmanager
def _errors(cupy: Any) -> Iterator[None]:
    try:
        yield
    except cupy.cuda.memory.OutOfMemoryError as error:
        raise BackendError(f"device cuda: {_first_line(error)}; use more ranks or GPUs") from error
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        raise BackendError(f"device cuda: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
