"""Where neurons are, asked of the kernels; two populations in space."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from readback import construction

from distsim import Network
from distsim.build.spatial import layer, locate
from distsim.elements import Population
from distsim.space import Space

Floats = npt.NDArray[np.float64]
SEED = 3


def positions(population: Population, seed: int = SEED) -> Floats:
    """All positions of a population from the kernels: float64[3, size]."""
    backend, module = construction("single")
    keep: list[Any] = []

    def pointer(array: Any) -> int:
        keep.append(backend.to_device(array))
        return backend.pointer(keep[-1])

    made = layer(population, pointer)
    return locate(made, population.first_gid, 1, None, 0, population.size, seed, backend, module)


def two(space: Space | None, a: Any, b: Any, sizes: tuple[int, int]) -> Network:
    net = Network(space=space)
    net.population("A", sizes[0], "iaf_psc_exp", positions=a)
    net.population("B", sizes[1], "iaf_psc_exp", positions=b)
    return net
