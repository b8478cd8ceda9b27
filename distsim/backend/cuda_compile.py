"""Kernels for a GPU: compiled by NVRTC with options of our own, and kept as the host's libraries are.

CuPy's `RawModule(code=...)` is not asked to compile: it adds `-ftz=true` after the options that it is given
(https://github.com/cupy/cupy/issues/9576), which flushes subnormal numbers of single precision that the host keeps, and
it wants the headers of a CUDA toolkit, of which our sources include none. So NVRTC is called through CuPy's thin
bindings, and CuPy loads the file that comes out.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from distsim.backend.host import build_once, cache_folder
from distsim.errors import BackendError, CompileError

# The same arithmetic as on the host: no contraction to FMA, correctly rounded division and root, subnormals
# kept; never --use_fast_math.
OPTIONS = ("--std=c++17", "--fmad=false", "--prec-div=true", "--prec-sqrt=true", "--ftz=false")


def target(nvrtc: Any, capability: str) -> tuple[str, str]:
    """(architecture, kind of code) for a device of this compute capability, such as "90".

    A device newer than the compiler gets PTX, which its driver translates.
    """
    known = sorted(int(number) for number in nvrtc.getSupportedArchs())
    if int(capability) in known:
        return f"sm_{capability}", "cubin"
    older = [number for number in known if number < int(capability)]
    if not older:
        version = ".".join(str(number) for number in nvrtc.getVersion())
        raise BackendError(
            f"device cuda: found compute capability {capability}; NVRTC {version} compiles for {known[0]} and newer; "
            "take an older CUDA (DISTSIM_CUDA=12 launch/run --setup), or use --device cpu"
        )
    return f"compute_{older[-1]}", "ptx"


def kept_kernels(nvrtc: Any, capability: str, source: str, label: str) -> Path:
    """The file with the kernels of `source`; of processes that start together one compiles.

    Raises
    ------
    CompileError
        With NVRTC's log.
    """
    architecture, kind = target(nvrtc, capability)
    key = "\0".join((source, *OPTIONS, architecture, repr(nvrtc.getVersion())))
    kept = cache_folder() / f"{label}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.{kind}"

    def make() -> None:
        unnamed = kept.with_suffix(f".{os.getpid()}")
        unnamed.write_bytes(compiled(nvrtc, source, architecture, kind, label))
        os.replace(unnamed, kept)

    build_once(kept, make)
    return kept


def compiled(nvrtc: Any, source: str, architecture: str, kind: str, label: str = "kernels") -> bytes:
    """The cubin or the PTX of `source`."""
    program = nvrtc.createProgram(source, f"{label}.cu", (), ())
    try:
        try:
            nvrtc.compileProgram(program, (*OPTIONS, f"--gpu-architecture={architecture}"))
        except nvrtc.NVRTCError as error:
            log = str(nvrtc.getProgramLog(program))
            lines = [line.strip() for line in log.splitlines() if line.strip()]
            first = next((line for line in lines if "error" in line), lines[0] if lines else str(error))
            raise CompileError(f"device cuda: kernels {label} do not compile: {first[:200]}", log) from error
        if kind == "cubin":  # CuPy cuts off the last byte, which is no end of a text but the table of segments'
            return bytes(nvrtc.getCUBIN(program)) + b"\0"
        return bytes(nvrtc.getPTX(program))
    finally:
        nvrtc.destroyProgram(program)
