"""The compiled kernels of construction that a network needs."""

from __future__ import annotations

from distsim.backend import Backend, Module
from distsim.build.spatial import is_placed
from distsim.kernels.sources import construction_source
from distsim.network import Network


def construction_kernels(network: Network, precision: str, backend: Backend) -> Module:
    """Compiled once for all networks, and once more for those where something depends on place."""
    return _compiled(any(is_placed(p) for p in network.projections), precision, backend)


def space_kernels(precision: str, backend: Backend) -> Module:
    """Those with everything that depends on place."""
    return _compiled(True, precision, backend)


def _compiled(spatial: bool, precision: str, backend: Backend) -> Module:
    return backend.compile(construction_source(precision == "double", spatial), f"construct-{precision}")
