"""The spike digest once more, in NumPy and without the kernels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distsim.streams import Stream


def philox(counters: npt.NDArray[np.uint64], key: tuple[int, int]) -> npt.NDArray[np.uint64]:
    """Philox4x32-10 in NumPy: uint64[n, 4] counter words to uint64[n, 4] random words, all below 2^32."""
    low = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    c0, c1, c2, c3 = (counters[:, k] & low for k in range(4))
    k0, k1 = key
    for _ in range(10):
        a, b = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (b >> shift) ^ c1 ^ np.uint64(k0), b & low, (a >> shift) ^ c3 ^ np.uint64(k1), a & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1)


def digest_of(spikes: npt.NDArray[np.int64]) -> str:
    """The digest of (step, gid) pairs as README.md defines it, without the kernels."""
    step, gid = spikes[:, 0].astype(np.uint64), spikes[:, 1].astype(np.uint64)
    shift = np.uint64(32)
    words = philox(np.stack([step, step >> shift, gid, gid >> shift], axis=1), (0, int(Stream.SPIKE_DIGEST)))
    totals = [int(words[:, k].sum(dtype=np.uint64)) for k in range(4)]
    return f"{sum(total << (32 * k) for k, total in enumerate(totals)) % 2**128:032x}"
