"""The spike digest: sameness of two runs as one number (see spread.cpp for the hash)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distsim.streams import Stream

MODULUS = 2**128
_CHUNK = 2**20


@dataclass(frozen=True)
class SpikeDigest:
    """Sum modulo 2^128 of the hashes of all spikes emitted by neurons, and their number."""

    value: int
    count: int

    def __str__(self) -> str:
        return f"{self.value:032x}"


def fold(sums: npt.NDArray[np.uint64]) -> SpikeDigest:
    """A digest from [..., 5] sums of hash words 0 to 3 and of spikes."""
    return fold_totals([sum(int(x) for x in sums[..., k].ravel()) for k in range(5)])


def fold_totals(totals: Sequence[int]) -> SpikeDigest:
    """A digest from the sums of hash words 0 to 3 and the number of spikes."""
    value = sum(total << (32 * k) for k, total in enumerate(totals[:4])) % MODULUS
    return SpikeDigest(value, totals[4])


def sums_of(steps: npt.NDArray[np.uint64], gids: npt.NDArray[np.uint64]) -> list[int]:
    """What spread.cpp sums over these spikes, one entry each: hash words 0 to 3 and their number; for checking it."""
    totals = [0, 0, 0, 0]
    for begin in range(0, steps.size, _CHUNK):
        words = _hash(steps[begin : begin + _CHUNK], gids[begin : begin + _CHUNK])
        totals = [total + int(w.sum(dtype=np.uint64)) for total, w in zip(totals, words, strict=True)]
    return [*totals, steps.size]


def _hash(steps: npt.NDArray[np.uint64], gids: npt.NDArray[np.uint64]) -> list[npt.NDArray[np.uint64]]:
    """Philox4x32-10 of (step, gid), in the stream SPIKE_DIGEST, under seed 0 (see arithmetic.h)."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    words = [steps & low, steps >> half, gids & low, gids >> half]
    key = [0, int(Stream.SPIKE_DIGEST)]
    for _ in range(10):
        a, b = words[0] * np.uint64(0xD2511F53), words[2] * np.uint64(0xCD9E8D57)
        words = [
            (b >> half) ^ words[1] ^ np.uint64(key[0]),
            b & low,
            (a >> half) ^ words[3] ^ np.uint64(key[1]),
            a & low,
        ]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return words


def by_population(sums: npt.NDArray[np.uint64], names: Sequence[str]) -> Mapping[str, list[dict[str, object]]]:
    """For each population the digest of every period (of biological time, warm-up included; see periods.py)."""
    return {
        name: [{"digest": str(d), "count": d.count} for d in (fold(sums[i, period]) for period in range(sums.shape[1]))]
        for i, name in enumerate(names)
    }
