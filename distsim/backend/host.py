"""The host as a device: NumPy arrays, kernels compiled by the host's C++ compiler and loaded by ctypes.

Compiled libraries are cached by the hash of source, flags, compiler and processor. A library is written
under a temporary name and renamed, so that ranks that start together cannot see half of one.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend.base import Array, Backend, Later, Messages, Mirror, Module, Stepper
from distsim.backend.profile import HostProfiler, Profiler
from distsim.errors import BackendError, CompileError, during
from distsim.kernels.sources import profiled_kernels
from distsim.logs import notice

# No contraction to FMA and no fast-math: every operation rounds as written (design: the same arithmetic
# everywhere). -march=native only widens vectors; it cannot change a result under these flags. Threaded jumps
# and hoisted comparisons would leave conditions in the loop over neurons that GCC cannot turn into vectors. GCC 12's
# if-conversion of scalar code with AVX-512 has turned selects of numbers into garbage (tests/unit/test_devices.py).
_VECTORS = ("-mprefer-vector-width=512",) if platform.machine() in ("x86_64", "AMD64") else ()
FLAGS = (
    "-std=c++17", "-O3", "-march=native", *_VECTORS, "-ffp-contract=off", "-fno-math-errno",
    "-fno-trapping-math", "-fno-thread-jumps", "-fno-tree-pre", "-fno-if-conversion", "-fPIC", "-shared", "-w",
)  # fmt: skip
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


class HostModule(Module):
    """A loaded library."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def launch(self, kernel: str, arguments: ctypes.Structure, n: int) -> None:
        if n > 0:
            getattr(self._library, kernel)(ctypes.byref(arguments))

    def seconds(self, kernel: str, arguments: ctypes.Structure, n: int, times: int) -> float:
        call, given = getattr(self._library, kernel), ctypes.byref(arguments)
        started = time.perf_counter()
        for _ in range(times):
            call(given)
        return (time.perf_counter() - started) / times

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        """An entry point that is no kernel; only the host has such."""
        function = getattr(self._library, name)
        function.restype = result
        function.argtypes = list(arguments)
        return function


class HostMirror(Mirror):
    """Host and kernels share one place."""

    def __init__(self, content: Any) -> None:
        self.host = content
        if isinstance(content, np.ndarray):
            assert content.flags.c_contiguous
            self.address = int(content.ctypes.data)
        else:
            self.address = ctypes.addressof(content)

    def store(self) -> None:
        return None

    def fetch(self, columns: int | None = None) -> None:
        return None


class HostStepper(Stepper):
    """An interval is one call into compiled code."""

    most_steps = 64

    def __init__(self, module: HostModule, loop: Mirror, groups: Sequence[tuple[str, Mirror]]) -> None:
        self._groups = (ctypes.c_void_p * max(1, len(groups)))(*(mirror.address for _, mirror in groups))
        self._keep = (loop, groups)
        self._profiler = Profiler()
        loop.host.groups = ctypes.addressof(self._groups)
        self._advance = module.function("advance", ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64)
        self._early = module.function("advance_early", None, ctypes.c_void_p)
        self._address = loop.address
        self._last = 0

    def start(self, last: int, complete: bool = True) -> None:
        self._last = last
        if not complete:
            self._early(self._address)

    def finish(self) -> int:
        status: int = self._advance(self._address, self._last)
        if self.collect is not None and not status:
            self.collect()
        return status

    def watch(self, profiler: Profiler) -> None:
        loop, groups = self._keep
        self._profiler = profiler  # keeps the table alive
        loop.host.profile = profiler.table(profiled_kernels([name for name, _ in groups])) or None


class HostMessages(Messages):
    """One place for all."""

    def __init__(self, words: int) -> None:
        self.words = np.zeros(words, np.uint32)
        self.address = int(self.words.ctypes.data)

    def collector(self, source: Array, width: int) -> Callable[[], None]:
        return partial(np.copyto, self.words.reshape(len(source), width), source[:, :width])

    def store(self) -> None:
        return None

    def read(self) -> npt.NDArray[Any]:
        return np.array(self.words)

    def write(self, words: npt.NDArray[Any]) -> None:
        self.words[:] = words


class HostLater(Later):
    """Copied already."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        self._arrays = [array.copy() for array in arrays]

    def ready(self) -> bool:
        return True

    def take(self) -> list[npt.NDArray[Any]]:
        return self._arrays


class HostBackend(Backend):
    """One rank is one thread of the host."""

    name = "cpu"
    lanes = 256
    runs_beside = False
    lists_input = True

    def check(self) -> None:
        find_compiler()

    def assign(self, local_rank: int) -> str:
        return ""

    def describe(self) -> str:
        return "cpu"

    def peak_bandwidth(self) -> float | None:
        return None

    def cache_bytes(self) -> int:
        sizes = [f.read_text().strip() for f in _CACHES.glob("index*/size")]
        return max((int(x[:-1]) * 1024 for x in sizes if x.endswith("K")), default=0)

    def memory_bytes(self) -> int:
        return 0

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        return np.empty(shape, dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        return np.zeros(shape, dtype)

    def to_device(self, array: npt.NDArray[Any]) -> Array:
        return np.ascontiguousarray(array)

    def copy_into(self, array: Array, content: npt.NDArray[Any]) -> None:
        array[...] = content

    def to_host(self, array: Array) -> npt.NDArray[Any]:
        return np.asarray(array)

    def pointer(self, array: Array) -> int:
        assert array.flags.c_contiguous
        return int(array.ctypes.data)

    def mirror(self, content: Any) -> Mirror:
        return HostMirror(content)

    def profiler(self) -> Profiler:
        return HostProfiler()

    def messages(self, words: int, direct: bool) -> Messages:
        return HostMessages(words)

    def fetch_later(self, arrays: Sequence[Array]) -> Later:
        return HostLater(arrays)

    def available_bytes(self, local_rank: int) -> tuple[int, int] | None:
        return None

    def release(self) -> None:
        return None

    def exclusive_sum(self, array: Array) -> int:
        if not array.size:
            return 0
        total = np.cumsum(array, out=array)[-1]
        array[1:] = array[:-1].copy()
        array[0] = 0
        return int(total)

    @during("compile")
    def compile(self, source: str, label: str) -> Module:
        compiler = find_compiler()
        key = "\0".join((source, *FLAGS, _version(compiler), _processor()))
        digest = hashlib.sha256(key.encode()).hexdigest()[:24]
        library = cache_folder() / f"{label}-{digest}.so"
        make = partial(_compile, compiler, source, library)
        build_once(library, make)
        try:
            return HostModule(ctypes.CDLL(str(library)))
        except OSError:  # cut short or damaged by somebody else: make it anew, once
            library.unlink(missing_ok=True)
            build_once(library, make)
            return HostModule(ctypes.CDLL(str(library)))

    def stepper(self, module: Module, loop: Mirror, groups: Sequence[tuple[str, Mirror]]) -> Stepper:
        assert isinstance(module, HostModule)
        return HostStepper(module, loop, groups)


def cache_folder() -> Path:
    """$DISTSIM_CACHE, or distsim under the user's cache folder."""
    root = os.environ.get("DISTSIM_CACHE") or os.environ.get("XDG_CACHE_HOME")
    folder = Path(root) if root else Path.home() / ".cache"
    return folder if os.environ.get("DISTSIM_CACHE") else folder / "distsim"


@cache
def find_compiler() -> tuple[str, ...]:
    """The words of $CXX, else the first C++ compiler found."""
    named = os.environ.get("CXX", "").split()
    for candidate in (named,) if named else (["g++"], ["c++"], ["clang++"]):
        if shutil.which(candidate[0]):
            return tuple(candidate)
    found = f"CXX={' '.join(named)}, which is not there" if named else "none"
    raise BackendError(
        f"C++ compiler: found {found}; needed: g++ or clang++ with C++17 (Debian: apt-get install g++), or set CXX"
    )


@cache
def _version(compiler: tuple[str, ...]) -> str:
    return subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False).stdout


@cache
def _processor() -> str:
    """What -march=native depends on: the processor's name and features."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return "\n".join(sorted({x for x in lines if x.startswith(("model name", "flags", "Features"))}))


@cache
def _say_compiling(folder: Path) -> None:
    """Once in a process: on the first run of a network's shape this takes longer than all that was said before."""
    notice(f"compiling kernels, which takes seconds: once for each shape of network (kept in {folder})")


def build_once(kept: Path, make: Callable[[], None]) -> None:
    """Have `make` write the file `kept`, unless it is there; of processes that start together one does, others wait."""
    if kept.exists():
        return
    _say_compiling(kept.parent)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with open(kept.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                make()
    except OSError as error:
        raise BackendError(
            f"kernel cache {kept.parent}: {error.strerror}; set DISTSIM_CACHE to a writable folder"
        ) from error


def _compile(compiler: tuple[str, ...], source: str, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=".build-") as folder:
        text, built = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
        text.write_text(source)
        command = [*compiler, *FLAGS, "-o", str(built), str(text)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not built.exists():
            lines = [x.strip() for x in done.stderr.splitlines() if x.strip()]
            first = next((x for x in lines if "error" in x), lines[0] if lines else "it wrote no library")
            message = f"C++ compiler {' '.join(compiler)}: kernels do not compile: {first[:200]}"
            raise CompileError(message, done.stderr)
        os.replace(built, library)
