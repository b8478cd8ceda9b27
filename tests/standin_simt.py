"""The stand-in for CuPy with CUDA's threads: kernels as NVRTC sees them, on blocks, warps and lanes (see simt.h).

A pytest plugin: `pytest -p standin_simt tests/gpu` runs the GPU tests so, some ten times slower than on the plain
stand-in. It finds what that one cannot: lanes that do another's work or none, a barrier that some pass by, values of
lanes exchanged where lanes have parted, and (by chance: blocks run beside one another) races of a launch. SIMT_SEED
draws another order.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from itertools import count
from pathlib import Path
from typing import Any

import standin_cupy

from distsim.backend import HostBackend, cuda

HEADER = Path(__file__).with_name("simt.h").read_text()
SEED = int(os.environ.get("SIMT_SEED", "1"))
# PTX by hand, in the words of a host.
BY_HAND = (
    (re.compile(r'asm volatile\("red\.relaxed\.gpu\.global\.add\.[su](?:32|64) .*?: "memory"\);'), "atomicAdd(p, x);"),
    (re.compile(r'asm volatile\("mov\.u64 %0, %%globaltimer;" : "=l"\((\w+)\)\);'), r"\1 = simt_nanoseconds();"),
)
LAUNCHES = count()


def as_threads(source: str) -> str:
    """What the host compiles."""
    for pattern, words in BY_HAND:
        source = pattern.sub(words, source)
    assert "asm " not in source, "PTX that nobody has put in a host's words"
    return HEADER + source


class Kernel(standin_cupy.Kernel):
    library: Any

    def call(self, addresses: tuple[int, ...], blocks: int, threads: int, together: bool) -> None:
        given = (ctypes.c_void_p * 24)(*addresses)
        self.library.simt_launch(
            self.name.encode(), ctypes.cast(self._function, ctypes.c_void_p), given, ctypes.c_uint(blocks),
            ctypes.c_uint(threads), ctypes.c_int(together), ctypes.c_ulonglong(next(LAUNCHES) + 1000003 * SEED),
        )  # fmt: skip


class RawModule(standin_cupy.RawModule):
    def built(self) -> Any:
        return HostBackend().compile(as_threads(self._code), "simt")

    def get_function(self, name: str) -> Kernel:
        found = super().get_function(name)
        assert isinstance(found, Kernel)
        found.library = self._library._library
        return found

    kernel = Kernel


class Cupy(standin_cupy.Cupy):
    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.RawModule = lambda path: RawModule(self, path)


def pytest_configure() -> None:
    sys.modules["cupy"] = Cupy()  # type: ignore[assignment]
    cuda.has_driver = lambda: True
