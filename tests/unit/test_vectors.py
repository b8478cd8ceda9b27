"""The AVX-512 intrinsics of vectors.h against those of the compiler's header."""

from __future__ import annotations

import ctypes

import numpy as np
from digests import philox

import distsim.backend.host as host
from distsim.backend import HostBackend
from distsim.kernels.sources import _head

VECTORS = """
extern "C" int32 built_in() {
#if defined(BUILT_IN_VECTORS)
    return 1;
#elif defined(__AVX512F__) && __GNUC__ >= 10 && !defined(__clang__)
    return 0;
#else
    return -1;  // not where they would be
#endif
}
extern "C" void use(uint32* w, const uint32* mark) {  // in words: 64 for each array, then what find_marked says
    philox_row(0xFFFFFFF9ull, 21, w, w + 64, w + 128, w + 192, 5, 6, 7, 8);
    uint32 a[24], b[24], c[24], d[24];
    for (uint32 j = 0; j < 24; ++j) a[j] = w[j], b[j] = w[64 + j];
    philox_lanes(21, a, b, c, d, 1, 0xFFFFFFFFu, 0xFFFFFFFFu, 3);
    for (uint32 j = 0; j < 21; ++j) w[256 + j] = a[j], w[320 + j] = b[j], w[384 + j] = c[j], w[448 + j] = d[j];
    alignas(64) uint32 aligned[32];
    for (uint32 j = 0; j < 32; ++j) aligned[j] = mark[j];
    w[512] = find_marked(21, aligned, w + 513);
}
"""


def test_intrinsics_of_our_own_are_the_compilers() -> None:
    """Catches a wrong one in vectors.h, and a compiler that has come to read its whole header again."""
    mark = np.zeros(64, np.uint32)
    mark[[0, 3, 15, 16, 20]] = 1, 2**31, 7, 1, 2**16
    found, own = [], []
    for begin in ("", "#define WHOLE_IMMINTRIN\n"):
        words = np.zeros(640, np.uint32)
        module = HostBackend().compile(begin + _head(False) + VECTORS, "vectors")
        assert isinstance(module, host.HostModule)
        address = ctypes.c_void_p
        module.function("use", None, address, address)(words.ctypes.data, mark.ctypes.data)
        found.append(words)
        own.append(module.function("built_in", ctypes.c_int32)())
    assert found[0][512] == 5 and found[0][513:518].tolist() == [0, 3, 15, 16, 20]
    counters = np.arange(0xFFFFFFF9, 0xFFFFFFF9 + 21)
    counter = np.column_stack([counters & 0xFFFFFFFF, counters >> 32, np.full(21, 5), np.full(21, 6)]).astype(np.uint64)
    assert np.array_equal(found[0][:256].reshape(4, 64)[:, :21].T, philox(counter, (7, 8)))
    for begin in range(0, 512, 64):
        assert np.array_equal(found[0][begin : begin + 21], found[1][begin : begin + 21])
    assert own in ([1, 0], [-1, -1])
