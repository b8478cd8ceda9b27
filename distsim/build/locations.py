"""Where the neurons of a population are: found again from their identities, by any rank alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend
from distsim.build.kernels import space_kernels
from distsim.build.spatial import layer, locate
from distsim.elements import Population

WINDOW = 2**20  # neurons located at once


def located(
    population: Population, seed: int, precision: str, backend: Backend, window: int = WINDOW
) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """(first, float64[dimensions, n]): positions of the neurons from the local id `first` on, in the space's unit."""
    if population.positions is None:
        return
    kernels = space_kernels(precision, backend)
    keep: list[Array] = []  # what the layer points to

    def pointer(array: npt.NDArray[Any] | Array) -> int:
        keep.append(backend.to_device(array) if isinstance(array, np.ndarray) else array)
        return backend.pointer(keep[-1])

    placed = layer(population, pointer)
    for first in range(0, population.size, window):
        n = min(window, population.size - first)
        found = locate(placed, population.first_gid, 1, None, first, n, seed, backend, kernels)
        yield first, found[: population.positions.dimensions]
