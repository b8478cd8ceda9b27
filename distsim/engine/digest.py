"""The spike digest: sameness of two runs as one number (see spread.cpp for the hash)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MODULUS = 2**128


@dataclass(frozen=True)
class SpikeDigest:
    """Sum modulo 2^128 of the hashes of all spikes emitted by neurons, and their number."""

    value: int
    count: int

    def __str__(self) -> str:
        return f"{self.value:032x}"


def fold(sums: npt.NDArray[np.uint64]) -> SpikeDigest:
    """A digest from [..., 5] sums of hash words 0 to 3 and of spikes."""
    totals = [sum(int(x) for x in sums[..., k].ravel()) for k in range(5)]
    value = sum(total << (32 * k) for k, total in enumerate(totals[:4])) % MODULUS
    return SpikeDigest(value, totals[4])


def by_population(sums: npt.NDArray[np.uint64], names: Sequence[str]) -> Mapping[str, list[dict[str, object]]]:
    """For each population the digest of every second (of biological time, warm-up included)."""
    return {
        name: [{"digest": str(d), "count": d.count} for d in (fold(sums[i, second]) for second in range(sums.shape[1]))]
        for i, name in enumerate(names)
    }
