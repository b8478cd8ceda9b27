"""`fixed_total_number`: how many of the total fall to each neuron that draws.

The total is split along a binary tree over the positions of one side. Each split is drawn from the node's identity,
so every rank walks the paths to its own neurons and needs nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend, Module
from distsim.build.quanta import share_bound
from distsim.build.selecting import Shared, shared_places
from distsim.elements import Projection
from distsim.errors import BuildError
from distsim.kernels import connect as structs
from distsim.rules import FixedTotalNumber, Rule
from distsim.selection import Selection

if TYPE_CHECKING:
    from distsim.build.projections import LocalProjection


@dataclass(frozen=True)
class _Wanted:
    """Positions of the neurons whose shares a rank needs: first + stride t, or listed."""

    count: int
    first: int
    stride: int
    listed: npt.NDArray[np.uint64] | None = None


def target_shares(local: LocalProjection, rule: FixedTotalNumber, backend: Backend, kernels: Module) -> Array:
    """How many of the total fall to each local target: uint64[selected.count] on the device."""
    selected, offset = local.selected, local.target_offset
    wanted = _Wanted(selected.count, offset + selected.first_place, selected.place_step)
    if selected.place is not None:
        wanted = _Wanted(selected.count, 0, 1, (offset + selected.place).astype(np.uint64))
    described = local.described
    counts = _shares(
        local.number, rule, described.targets, described.sources, wanted, backend, kernels, local.seed
    )  # fmt: skip
    most, bound = int(backend.to_host(counts).max()), share_bound(described)
    if most > bound:
        raise BuildError(
            f"projections[{local.number}]: a target drew {most} synapses; the plan of weights allows {bound}; "
            "change run.seed"
        )
    return counts


def source_shares(
    number: int, projection: Projection, rule: Rule, backend: Backend, kernels: Module, seed: int
) -> Array | None:
    """How many of the total fall to each source, where sources draw: uint64[n_sources] on the device."""
    if not (isinstance(rule, FixedTotalNumber) and projection.by_source):
        return None
    wanted = _Wanted(projection.n_sources, 0, 1)
    counts = _shares(number, rule, projection.sources, projection.targets, wanted, backend, kernels, seed)
    most = int(backend.to_host(counts).max())
    if most >= 2**31:
        raise BuildError(f"projections[{number}]: a source drew {most} synapses; allowed: fewer than 2^31 by_source")
    return counts


def _shares(
    number: int, rule: FixedTotalNumber, drawing: Sequence[Selection], others: Sequence[Selection], wanted: _Wanted,
    backend: Backend, kernels: Module, seed: int,
) -> Array:  # fmt: skip
    """The total split over the neurons of one side: uint64[wanted.count] on the device."""
    size = sum(s.size for s in drawing)
    shared = Shared((), (), (), np.empty(0, np.int64)) if rule.autapses else shared_places(drawing, others, seed)

    def on_device(values: Sequence[int] | npt.NDArray[Any]) -> Array:
        return backend.to_device(np.array(values if len(values) else [0], np.uint64))

    begin, end, step, listed = (on_device(x) for x in (shared.begin, shared.end, shared.step, shared.listed))
    counts = backend.empty(wanted.count, np.uint64)
    positions = None if wanted.listed is None else backend.to_device(wanted.listed)
    arguments = structs.Shares(
        seed=seed, projection=number, n_targets=size, n_sources=sum(s.size for s in others),
        overlap_begin=backend.pointer(begin), overlap_end=backend.pointer(end), overlap_step=backend.pointer(step),
        overlap_list=backend.pointer(listed), n_listed=shared.listed.size, n_overlaps=len(shared.begin),
        distinct=int(not rule.multapses), n_local=wanted.count, first_position=wanted.first, stride=wanted.stride,
        positions=None if positions is None else backend.pointer(positions), counts=backend.pointer(counts),
    )  # fmt: skip
    # Whole levels while they hold no more nodes than this rank has targets; below, only its own paths.
    depth = (size - 1).bit_length()
    whole = max(0, min(depth, wanted.count.bit_length() - 1))
    above = backend.to_device(np.array([rule.N], np.uint64))
    for level in range(whole):
        below = backend.empty(2 ** (level + 1), np.uint64)
        arguments.level, arguments.above, arguments.below = level, backend.pointer(above), backend.pointer(below)
        kernels.launch("split_level", arguments, 2**level)
        above = below
    arguments.level, arguments.above = whole, backend.pointer(above)
    kernels.launch("split_to_targets", arguments, wanted.count)
    return counts
