"""`distsim info`: what distsim finds on this machine. Missing things are said, never an error; MPI is not started."""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from distsim.build.capacity import available_bytes, size, total_bytes
from distsim.comm import mpi_library
from distsim.version import __version__

PACKAGES = ("numpy", "h5py", "pydantic", "PyYAML", "mpi4py", "rich", "matplotlib", "cupy")
VECTOR_FEATURES = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "amx_tile",
    "asimd",
    "sve",
    "sve2",
)
_DRIVER_FOLDERS = ("", "/usr/local/nvidia/lib64/", "/usr/lib/wsl/lib/")


def main(options: argparse.Namespace) -> int:
    """Print what there is, a line each."""
    lines = [(name, _safely(find)) for name, find in FINDERS.items()]
    width = max(len(name) for name, _ in lines)
    sys.stdout.write("".join(f"{name:{width}}  {text}\n" for name, text in lines))
    return 0


def _safely(find: Callable[[], str]) -> str:
    try:
        return find()
    except Exception as error:  # the command is for machines on which something is wrong
        return f"not found ({type(error).__name__}: {' '.join(str(error).split())[:120]})"


def _python() -> str:
    return f"{platform.python_version()} ({sys.executable})"


def _packages() -> str:
    return ", ".join(f"{name} {_version(name) or 'missing'}" for name in PACKAGES)


def _version(name: str) -> str | None:
    """The version of an installed package; CuPy comes under a name for each CUDA."""
    names = [name] if name != "cupy" else ["cupy", "cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x"]
    for candidate in names:
        try:
            return metadata.version(candidate) + (f" ({candidate})" if candidate != name else "")
        except metadata.PackageNotFoundError:
            continue
    return None


def _mpi() -> str:
    """The MPI library's own words; asking for its version needs no MPI_Init."""
    return mpi_library()


def _launcher() -> str:
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec") or shutil.which("srun")
    return found or "none found: install the extra mpich, or load your cluster's MPI"


def _compiler() -> str:
    from distsim.backend.host import find_compiler

    command = find_compiler()
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False, timeout=20)
    return f"{' '.join(command)}: {(done.stdout or done.stderr).splitlines()[0]}"


def _flags() -> str:
    from distsim.backend.host import FLAGS

    return " ".join(FLAGS)


def _cache() -> str:
    from distsim.backend.host import cache_folder

    folder = cache_folder()
    if not folder.is_dir():
        return f"{folder} (not there yet)"
    files = [f for f in folder.rglob("*") if f.is_file()]
    kernels = sum(f.suffix in (".so", ".cubin") for f in files)
    writable = "" if os.access(folder, os.W_OK) else ", not writable"
    return f"{folder} ({size(sum(f.stat().st_size for f in files))}, {kernels} compiled kernels{writable})"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    entries = {key.strip(): text.strip() for key, _, text in (line.partition(":") for line in lines)}
    have = set((entries.get("flags") or entries.get("Features") or "").split())
    features = " ".join(f for f in VECTOR_FEATURES if f in have) or "no vector features known"
    cores = len(os.sched_getaffinity(0))
    return f"{entries.get('model name', platform.machine())}, {cores} cores usable; {features}"


def _memory() -> str:
    total, free = total_bytes(), available_bytes()
    return f"{size(total)}, {size(free)} available" if total and free else "unknown"


def _driver() -> str:
    """The newest CUDA that the NVIDIA driver serves."""
    for folder in _DRIVER_FOLDERS:
        try:
            driver = ctypes.CDLL(folder + "libcuda.so.1")
        except OSError:
            continue
        version = ctypes.c_int()
        if driver.cuDriverGetVersion(ctypes.byref(version)) == 0:
            return f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"
    return "none"


def _gpus() -> str:
    """Names and memory, as the driver's own tool tells them: no context is opened on a busy GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "none found" if _driver() == "none" else "; ".join(_gpus_by_cupy()) or "none found"
    command = [tool, "--query-gpu=name,memory.total,driver_version,compute_cap", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    found = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return (
        "; ".join(found) if done.returncode == 0 and found else f"none ({done.stdout.strip() or done.stderr.strip()})"
    )


def _gpus_by_cupy() -> Iterator[str]:
    from distsim.backend.cuda import load_cupy

    cupy = load_cupy()
    for i in range(cupy.cuda.runtime.getDeviceCount()):
        properties = cupy.cuda.runtime.getDeviceProperties(i)
        yield f"{properties['name'].decode()}, {size(properties['totalGlobalMem'])}"


FINDERS: dict[str, Callable[[], str]] = {
    "distsim": lambda: f"{__version__} ({Path(__file__).parents[1]})",
    "python": _python,
    "packages": _packages,
    "MPI": _mpi,
    "launcher": _launcher,
    "compiler": _compiler,
    "flags": _flags,
    "kernel cache": _cache,
    "processor": _processor,
    "memory": _memory,
    "system": lambda: f"{platform.system()} {platform.release()}, {platform.machine()}",
    "NVIDIA driver": _driver,
    "GPUs": _gpus,
}
