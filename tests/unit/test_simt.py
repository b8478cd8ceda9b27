"""The words of kernels on CUDA's threads (simt.h), with more than one block and warps that do not stay together.

The GPU tests run on them by `pytest -p standin_simt tests/gpu`, which takes too long for every day.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import support
from standin_simt import as_threads

from distsim.backend import HostBackend
from distsim.kernels.sources import words_source

KERNELS = """
struct Words { uint64* items; uint64* sums; uint32* barrier; uint64 n; };

// Every item once, whatever `before`; sums over lanes and blocks.
KERNEL shares(Words* w) {
    for (uint64 before = 0; before < 40; before += 13) {
        GROUP_FOR_AFTER(i, before, w->n) { if (LEADER) atomic_add(&w->items[i], (uint64)1); }
    }
    uint64 x = LANE + 1u;
    SUM_TO(x, LANES);
    const uint32 most = block_max((uint32)x + threadIdx.x / 32u);
    block_add(&w->sums[0], x + LAST_OF(x, LANES));
    if (FIRST_OF_BLOCK) atomic_add(&w->sums[1], (uint64)most);
}

// What one block writes in a round all read in the next.
KERNEL rounds(Words* w) {
    for (uint64 round = 0; round < w->n; ++round) {
        if (IN_LAST_BLOCK && FIRST_OF_BLOCK) w->items[0] = round;
        grid_barrier(w->barrier);
        if (w->items[0] != round) atomic_add(&w->sums[0], (uint64)1);
        grid_barrier(w->barrier);
    }
}

KERNEL passed_by(Words* w) {
    if (threadIdx.x == 40) return;
    block_add(&w->sums[0], 1);
}
"""
BLOCKS, THREADS = 3, 64


def launch(kernel: str, n: int) -> tuple[list[int], list[int]]:
    """`items` and `sums` after the kernel."""

    class Words(ctypes.Structure):
        _fields_ = (("items", ctypes.c_void_p), ("sums", ctypes.c_void_p), ("barrier", ctypes.c_void_p),
                    ("n", ctypes.c_uint64))  # fmt: skip

    with support.optimised("-O1"):
        library = HostBackend().compile(as_threads(words_source() + KERNELS), "simt-words")._library  # type: ignore[attr-defined]
    items, sums, barrier = np.zeros(max(n, 1), np.uint64), np.zeros(2, np.uint64), np.zeros(64, np.uint32)
    words = Words(items.ctypes.data, sums.ctypes.data, barrier.ctypes.data, n)
    arguments = (ctypes.c_void_p * 24)(ctypes.addressof(words))
    address = ctypes.cast(getattr(library, kernel), ctypes.c_void_p)
    library.simt_launch(kernel.encode(), address, arguments, BLOCKS, THREADS, 1, ctypes.c_ulonglong(5))
    return items.tolist(), sums.tolist()


def test_items_and_sums() -> None:
    """Catches an item that no group takes or two, and a sum that leaves out a lane or a warp."""
    groups = BLOCKS * THREADS // 32
    for n in (1, groups - 1, groups, 3 * groups + 1):
        items, sums = launch("shares", n)
        assert items == [4] * n
        lanes = sum(k * (k + 1) // 2 + 528 for k in range(1, 33))
        assert sums == [groups * lanes, BLOCKS * (528 + THREADS // 32 - 1)]


def test_blocks_wait_for_one_another() -> None:
    """Catches a barrier over all blocks that lets one go on, or keeps what the last round has left."""
    assert launch("rounds", 30)[1][0] == 0


def test_a_barrier_that_some_pass_by_is_named() -> None:
    """Power: on a GPU this waits forever, or does not."""
    code = "import test_simt; test_simt.launch('passed_by', 1)"
    path = ":".join([str(Path(__file__).parent), *(x for x in sys.path if x)])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode != 0 and "kernel passed_by, block" in done.stderr and "barrier" in done.stderr
