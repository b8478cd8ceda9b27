"""Fixed degrees in space: up to which of its events each neuron that draws connects.

What events are stands in kernels/spatial.cpp. The limits are searched for once; counting and writing then draw each
pair for itself, as for all rules with space, in whatever chunks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend, Module
from distsim.build.selecting import indices, places_to_ids
from distsim.build.spatial import (
    Members,
    Placed,
    Points,
    array_of,
    cells_at,
    cells_of,
    geometry,
    layer,
    located,
    reachable,
)
from distsim.errors import ConfigError
from distsim.rules import FixedIndegree, FixedOutdegree
from distsim.selection import Selection

if TYPE_CHECKING:
    from distsim.build.projections import LocalProjection

ENOUGH = 2**32 - 1  # in place of the number of candidates


@dataclass(frozen=True)
class Limits:
    """For each neuron that draws (local targets, or all sources): float64 and uint64 on the device, see `Space`."""

    limit: Array
    last: Array

    def put_into(self, placed: Placed, backend: Backend) -> Placed:
        """The same space with these limits."""
        placed.space.limit, placed.space.last = backend.pointer(self.limit), backend.pointer(self.last)
        return dataclasses.replace(placed, keep=(*placed.keep, self.limit, self.last))


def find_limits(local: LocalProjection, targets: Sequence[Members], backend: Backend, kernels: Module) -> Limits:
    """The limits of a projection's targets on this rank, or of the sources near them: O(drawing neurons x candidates).

    Parameters
    ----------
    targets
        All local targets of the projection, selection by selection.

    Raises
    ------
    ConfigError
        A neuron has fewer candidates than it needs.
    """
    projection, rule = local.described, local.described.rule
    assert isinstance(rule, (FixedIndegree, FixedOutdegree)) and local.placed is not None
    n = projection.n_sources if projection.by_source else local.selected.count
    limits = Limits(backend.zeros(n, np.float64), backend.zeros(n, np.uint64))
    candidates = backend.to_device(np.full(n, ENOUGH, np.uint32))
    c, keep = local.arguments(backend, 0, 16)
    c.n_rows = 2**62  # whatever the chunk

    def pointer(array: npt.NDArray[Any] | Array) -> int:
        on_device = backend.to_device(array) if isinstance(array, np.ndarray) else array
        keep.append(on_device)
        return backend.pointer(on_device)

    c.space.n_drawing = n
    if projection.by_source:  # among all targets, whoever is local
        drawing = _sources_near(local, targets, backend, kernels)
        c.space.order, c.space.n_drawing = pointer(drawing), drawing.size
        cells = [
            cells_of(
                geometry(projection, s, rule.mask, listed=True), Members.of(s, local.seed),
                layer(s.population, pointer), None, local.seed, backend, kernels, pointer,
            )
            for s in projection.targets
        ]  # fmt: skip
        c.space.cells = array_of(cells, pointer)
    c.space.limit, c.space.last = backend.pointer(limits.limit), backend.pointer(limits.last)
    c.space.candidates = backend.pointer(candidates)
    kernels.launch("find_limits", c, int(c.space.n_drawing))
    found = backend.to_host(candidates)
    lacking = np.flatnonzero(found != ENOUGH)
    if lacking.size:
        _refuse(local, rule, int(lacking[0]), int(found[lacking[0]]))
    return limits


def _sources_near(
    local: LocalProjection, targets: Sequence[Members], backend: Backend, kernels: Module
) -> npt.NDArray[np.uint32]:
    """Sources that may have a candidate on this rank; and, to be refused, those that have none on any.

    Others draw nothing here. These are most where the targets are neighbours in space, none where they are anywhere.
    """
    projection, rule = local.described, local.described.rule
    assert isinstance(rule, FixedOutdegree) and local.placed is not None
    keep: list[Array] = []

    def pointer(array: npt.NDArray[Any] | Array) -> int:
        keep.append(backend.to_device(array) if isinstance(array, np.ndarray) else array)
        return backend.pointer(keep[-1])

    def where(selection: Selection, members: Members) -> list[Points]:
        return list(located(members, layer(selection.population, pointer), local.seed, backend, kernels))

    here = [x for t, mine in zip(projection.targets, targets, strict=True) for x in where(t, mine)]
    anywhere = [x for t in projection.targets for x in where(t, Members.of(t, local.seed))]
    found, offset = [np.empty(0, np.uint32)], 0
    for s in projection.sources:
        g = geometry(projection, s, rule.mask, listed=True)
        near = (reachable(local.placed.space, g, here) | ~reachable(local.placed.space, g, anywhere)).ravel()
        cells = [cells_at(x, g) for x in where(s, Members.of(s, local.seed))]
        found.append((offset + np.flatnonzero(near[np.concatenate(cells)])).astype(np.uint32))
        offset += s.size
    return np.concatenate(found)


def _refuse(local: LocalProjection, rule: FixedIndegree | FixedOutdegree, i: int, candidates: int) -> None:
    if isinstance(rule, FixedOutdegree):
        key, wanted, other, side = "outdegree", rule.outdegree, "target", local.described.sources
        chosen = side[0]
        for chosen in side:
            if i < chosen.size:
                break
            i -= chosen.size
        neuron, name = int(places_to_ids(chosen, np.array([i]), local.seed)[0]), chosen.name
    else:
        key, wanted, other, part = "indegree", rule.indegree, "source", local.part
        neuron = part.first_gid + part.stride * int(indices(local.selected)[i]) - part.population.first_gid
        name = part.population.name
    needed = "1" if rule.multapses else f"{wanted} without multapses"
    raise ConfigError(
        f"projections[{local.number}].rule.{rule.name}.{key}: found {wanted}, but neuron {neuron} of {name!r} has "
        f"{candidates} candidates as {other}; allowed: neurons with at least {needed}; widen the mask or p"
    )
