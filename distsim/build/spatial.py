"""Positions, cells of sources and programs of one projection, as the construction kernels read them.

A population on a grid needs no table: its cells are its points. Of other selections each rank lists the sources that
one of its targets can reach, cell by cell; where all the others are is nobody's business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend, Module
from distsim.build.partition import Part
from distsim.build.selecting import LocalSelection, indices, selected_ids
from distsim.elements import Population, Projection
from distsim.expressions import NAMES, OPERATIONS, Expression, Program
from distsim.kernels import space as structs
from distsim.lengths import AXES
from distsim.masks import AnyMask, Circular
from distsim.rules import chance_of, is_spatial
from distsim.selection import Selection
from distsim.space import Box, Ellipse, Grid, PositionList

Pointer = Callable[[npt.NDArray[Any] | Array], int]
Points = npt.NDArray[np.float64]  # [3, n]
CHUNK = 2**20  # neurons located at once
CELLS_ACROSS = 8  # of the mask's window, where there are sources enough to fill them
MAX_CELLS = 2**24


def layer(population: Population, pointer: Pointer) -> Any:
    """The kernel's structure for the positions of a population."""
    positions = population.positions
    assert positions is not None
    made = structs.Layer(first_gid=population.first_gid, dimensions=positions.dimensions, n_x=1, n_y=1)
    if isinstance(positions, PositionList):
        made.kind, made.table = structs.LISTED, pointer(np.array(positions.values, np.float64))
        return made
    low, size = [edge[0] for edge in positions.box()], list(positions.extent)
    if isinstance(positions, Grid):
        made.kind, size = structs.GRID, list(positions.steps)
        made.n_x = positions.shape[0]
        made.n_y = positions.shape[1] if positions.dimensions > 1 else 1
    elif isinstance(positions, Box):
        made.kind = structs.BOX
    else:
        assert isinstance(positions, Ellipse)
        made.kind, low, size = structs.BALL, list(positions.center), [0.5 * e for e in positions.extent]
        made.inner = positions.hollow
    for axis, (a, b) in zip(AXES, zip(low, size, strict=True), strict=False):
        setattr(made, f"low_{axis}", a)
        setattr(made, f"size_{axis}", b)
    return made


def program(steps: Program, pointer: Pointer) -> Any:
    """The kernel's structure for a program."""
    return structs.Program(
        operation=pointer(np.array([OPERATIONS.index(s.operation) for s in steps], np.uint32)),
        value=pointer(np.array([s.value for s in steps], np.float64)),
        n=len(steps),
    )


def array_of(made: Sequence[Any], pointer: Pointer) -> int:
    """The address of several structures one after the other."""
    return pointer(np.frombuffer(b"".join(bytes(m) for m in made), np.uint8).copy())


def is_placed(projection: Projection) -> bool:
    """Does anything of a projection depend on positions?"""
    depends = isinstance(projection.weight, Expression) or isinstance(projection.delay, Expression)
    return depends or is_spatial(projection.rule)


@dataclass(frozen=True)
class Geometry:
    """Cells of one selection of sources: a function of the description, the same on every rank.

    Attributes
    ----------
    shape, low, per_length
        Cells along x, y and z, where they begin, and cells per unit of length.
    listed
        Are there lists of the cells' members, or is cell number i the place i?
    """

    shape: tuple[int, int, int]
    low: tuple[float, float, float]
    per_length: tuple[float, float, float]
    listed: bool


def geometry(projection: Projection, selection: Selection, mask: AnyMask | None, listed: bool = False) -> Geometry:
    """Cells over `selection`, an eighth of the mask's window wide, but not more than there are neurons."""
    positions, space = selection.population.positions, projection.space
    assert positions is not None
    dimensions = positions.dimensions
    box = list(positions.box())
    periods = [space.period(axis) if space is not None else 0.0 for axis in range(dimensions)]
    aligned = isinstance(positions, Grid) and all(
        not period or edge == space.edges()[axis]  # type: ignore[union-attr]
        for axis, (period, edge) in enumerate(zip(periods, box, strict=True))
    )
    if isinstance(positions, Grid) and aligned and selection.is_whole and not listed:
        shape = [*positions.shape, 1, 1][:3]
        per = [*(1.0 / step for step in positions.steps), 1.0, 1.0][:3]
        return Geometry(_three(shape), _three([e[0] for e in box] + [0.0, 0.0]), _three(per), False)
    for axis, period in enumerate(periods):
        if period:
            assert space is not None
            box[axis] = space.edges()[axis]
    counts = [1] * dimensions
    if mask is not None:
        for axis, ((low, high), (a, b)) in enumerate(zip(box, mask.window(dimensions), strict=True)):
            counts[axis] = max(1, min(2**20, math.ceil(CELLS_ACROSS * (high - low) / (b - a))))
    most = min(MAX_CELLS, max(1, selection.size))
    while math.prod(counts) > most:
        counts = [max(1, n // 2) for n in counts]
    widths = [(high - low) / n if high > low else 1.0 for (low, high), n in zip(box, counts, strict=True)]
    lows = [edge[0] for edge in box]
    return Geometry(
        _three([*counts, 1, 1]), _three([*lows, 0.0, 0.0]), _three([*(1.0 / w for w in widths), 1.0, 1.0]), True
    )


def _three(values: Sequence[Any]) -> tuple[Any, Any, Any]:
    return values[0], values[1], values[2]


@dataclass(frozen=True)
class Placed:
    """What a rank knows of a projection's space: made once for all of its chunks, held on the device."""

    space: Any
    keep: tuple[Any, ...]


def placed(
    projection: Projection, part: Part, selected: LocalSelection, selection: Selection, seed: int, dt: float,
    backend: Backend, kernels: Module,
) -> Placed | None:  # fmt: skip
    """The kernels' view of the space of `projection` onto `selected` of `part`; None where it needs none.

    By source its cells hold the local targets alone: `draw_row` of kernels/spatial.cpp then draws any source's row.
    """
    if not is_placed(projection):
        return None
    keep: list[Any] = []

    def pointer(array: npt.NDArray[Any] | Array) -> int:
        on_device = backend.to_device(array) if isinstance(array, np.ndarray) else array
        keep.append(on_device)
        return backend.pointer(on_device)

    made = structs.Space(dt=dt, target=layer(selection.population, pointer))
    sources = [layer(s.population, pointer) for s in projection.sources]
    made.sources = array_of(sources, pointer)
    for axis, name in enumerate(AXES):
        setattr(made, f"period_{name}", projection.space.period(axis) if projection.space is not None else 0.0)
    if isinstance(projection.weight, Expression):
        made.weight = program(projection.weight.program, pointer)
        made.weight_low, made.weight_high = projection.weight.support()
    if isinstance(projection.delay, Expression):
        made.delay = program(projection.delay.program, pointer)
    rule = projection.rule
    if is_spatial(rule):
        mask = rule.mask
        chance = chance_of(rule, within=isinstance(mask, Circular) and mask.anchor is None)  # `furthest` is that mask
        made.chance, made.most = program(chance.program, pointer), chance.support()[1]
        dimensions = made.target.dimensions
        span = mask.span(dimensions) if mask is not None else ((-math.inf, math.inf),) * dimensions
        for axis, (name, (low, high)) in enumerate(zip(AXES, span, strict=False)):
            setattr(made, f"anchor_{name}", mask.offset(axis) if mask is not None else 0.0)
            setattr(made, f"window_low_{name}", low)
            setattr(made, f"window_high_{name}", high)
        made.radius = mask.sphere() if mask is not None else 0.0
        centred = mask is not None and mask.anchor is None and made.radius > 0.0
        slack = 1.0 if isinstance(mask, Circular) else 1.0 + 1e-9
        made.furthest = largest_square(made.radius * slack) if centred else math.inf
        used = [e for e in (chance, projection.weight, projection.delay) if isinstance(e, Expression)]
        made.names = sum(1 << NAMES.index(name) for name in frozenset().union(*(e.names for e in used)))
        made.by_source = int(projection.by_source)
        mine = Members.local(part, selected)
        g = geometry(projection, selection, mask, listed=True)
        if projection.by_source:
            cells = [cells_of(g, mine, made.target, None, seed, backend, kernels, pointer)]
        else:
            where = cache(lambda: list(located(mine, made.target, seed, backend, kernels)))
            if not isinstance(selection.population.positions, Grid):  # the points of a grid are in order
                made.order = pointer(_by_cell(g, where()))
            cells = []
            for s, source in zip(projection.sources, sources, strict=True):
                g = geometry(projection, s, mask)
                near = reachable(made, g, where()) if g.listed else None
                members = Members.of(s, seed) if g.listed else Members(0, 1, None, np.empty(0, np.uint32))
                cells.append(cells_of(g, members, source, near, seed, backend, kernels, pointer))
        made.cells = array_of(cells, pointer)
    return Placed(made, tuple(keep))


def held_bytes(projection: Projection, selection: Selection, n_local: float) -> float:
    """What the tables of `placed` take by source on a rank with `n_local` targets in `selection`."""
    layers = [selection.population, *(s.population for s in projection.sources)]
    listed = [p.positions for p in layers if isinstance(p.positions, PositionList)]
    tables = sum(8.0 * p.dimensions * len(p.values) for p in listed) if is_placed(projection) else 0.0
    if not is_spatial(projection.rule):
        return tables
    cells = math.prod(geometry(projection, selection, projection.rule.mask, listed=True).shape)
    return tables + 4.0 * (cells + 1.0) + 28.0 * n_local  # who is in which cell, and where


def locate(
    source: Any, gid: int, step: int, ids: npt.NDArray[np.uint64] | None, first: int, n: int, seed: int,
    backend: Backend, kernels: Module,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """Positions of neurons gid + step i (or gid + ids[i]) for first <= i < first + n: float64[3, n]."""
    found = [backend.empty(n, np.float64) for _ in AXES]
    on_device = None if ids is None else backend.to_device(ids)
    arguments = structs.Located(
        layer=source, seed=seed, n=n, first=first, gid=gid, step=step,
        list=None if on_device is None else backend.pointer(on_device),
        x=backend.pointer(found[0]), y=backend.pointer(found[1]), z=backend.pointer(found[2]),
    )  # fmt: skip
    kernels.launch("locate", arguments, n)
    return np.stack([backend.to_host(x) for x in found])


def largest_square(radius: float) -> float:
    """The largest float64 whose root, correctly rounded, is at most `radius`."""
    square = radius * radius
    while math.sqrt(square) > radius:
        square = math.nextafter(square, 0.0)
    while math.sqrt(math.nextafter(square, math.inf)) <= radius:
        square = math.nextafter(square, math.inf)
    return square


def reachable(made: Any, g: Geometry, where: Iterable[Points]) -> npt.NDArray[np.bool_]:
    """Which cells of a geometry some target of those at `where` can reach, and a few more: bool[z, y, x]."""
    # The cells where targets are, then as far around them as the window reaches.
    occupied = np.zeros(g.shape[::-1], bool)
    for at in where:
        occupied[tuple(_cell_along(at[a], g, a) for a in (2, 1, 0))] = True
    for a, name in enumerate(AXES):
        n, axis = g.shape[a], 2 - a
        low, high = getattr(made, f"window_low_{name}"), getattr(made, f"window_high_{name}")
        reach = (max(abs(low), abs(high)) + abs(getattr(made, f"anchor_{name}"))) * g.per_length[a] + 2.0
        if n == 1:
            continue
        if not reach < n:
            occupied[:] = occupied.any(axis=axis, keepdims=True)
            continue
        periodic = getattr(made, f"period_{name}") > 0.0
        before = occupied.copy()
        for shift in range(1, math.ceil(reach) + 1):
            if periodic:
                occupied |= np.roll(before, shift, axis) | np.roll(before, -shift, axis)
            else:
                up, down = [slice(None)] * 3, [slice(None)] * 3
                up[axis], down[axis] = slice(shift, None), slice(None, -shift)
                occupied[tuple(up)] |= before[tuple(down)]
                occupied[tuple(down)] |= before[tuple(up)]
    return occupied


def _cell_along(x: npt.NDArray[np.float64], g: Geometry, axis: int) -> npt.NDArray[np.int64]:
    inside = np.clip(np.floor((x - g.low[axis]) * g.per_length[axis]), 0, g.shape[axis] - 1)
    return np.asarray(inside, np.int64)


@dataclass(frozen=True)
class Members:
    """Neurons that stand in cells: number i has the global id gid + step i or gid + ids[i], and is called labels[i]."""

    gid: int
    step: int
    ids: npt.NDArray[np.uint64] | None
    labels: npt.NDArray[np.uint32]

    @staticmethod
    def of(selection: Selection, seed: int) -> Members:
        """All of a selection, known by their places."""
        gid, labels = selection.population.first_gid, np.arange(selection.size, dtype=np.uint32)
        if selection.is_affine:
            return Members(gid + selection.start, selection.step, None, labels)
        return Members(gid, 1, selected_ids(selection, seed).astype(np.uint64), labels)

    @staticmethod
    def local(part: Part, selected: LocalSelection) -> Members:
        """The selected of a part, known by their numbers there."""
        labels = indices(selected).astype(np.uint32)
        if selected.k is not None:
            return Members(part.first_gid, 1, (selected.k * part.stride).astype(np.uint64), labels)
        return Members(part.first_gid + part.stride * selected.first, part.stride * selected.step, None, labels)


def located(members: Members, at: Any, seed: int, backend: Backend, kernels: Module) -> Iterator[Points]:
    """Where members are, chunk by chunk."""
    for first in range(0, members.labels.size, CHUNK):
        n = min(CHUNK, members.labels.size - first)
        yield locate(at, members.gid, members.step, members.ids, first, n, seed, backend, kernels)


def cells_at(x: Points, g: Geometry) -> npt.NDArray[np.int64]:
    """The number of the cell that each point is in: int64[n]."""
    z, y = _cell_along(x[2], g, 2), _cell_along(x[1], g, 1)
    return (z * g.shape[1] + y) * g.shape[0] + _cell_along(x[0], g, 0)


def _by_cell(g: Geometry, where: Iterable[Points]) -> npt.NDArray[np.uint32]:
    """Numbers of the points, cell by cell: neighbours draw from the same sources, with their rows in the caches."""
    cells = [cells_at(x, g).astype(np.uint32) for x in where]
    return np.argsort(np.concatenate([np.empty(0, np.uint32), *cells]), kind="stable").astype(np.uint32)


def cells_of(
    g: Geometry, members: Members, at: Any, wanted: npt.NDArray[np.bool_] | None, seed: int, backend: Backend,
    kernels: Module, pointer: Pointer,
) -> Any:  # fmt: skip
    """The kernel's structure for the cells of neurons whose layer is `at`; with lists of those in `wanted` cells."""
    cells = structs.Cells()
    for a, name in enumerate(AXES):
        setattr(cells, f"n_{name}", g.shape[a])
        setattr(cells, f"low_{name}", g.low[a])
        setattr(cells, f"per_{name}", g.per_length[a])
    if not g.listed:
        return cells
    labels, where, found = [], [], []
    for i, x in enumerate(located(members, at, seed, backend, kernels)):
        cell = cells_at(x, g)
        near = np.arange(cell.size) if wanted is None else np.flatnonzero(wanted.ravel()[cell])
        labels.append(members.labels[i * CHUNK + near])
        where.append(cell[near].astype(np.uint32))
        found.append(x[:, near])
    cell_of, position = np.concatenate(where), np.concatenate(found, axis=1)
    order = np.argsort(cell_of, kind="stable")
    counts = np.bincount(cell_of, minlength=math.prod(g.shape))
    cells.begin = pointer(np.concatenate(([0], np.cumsum(counts))).astype(np.uint32))
    cells.member = pointer(np.concatenate(labels)[order])
    cells.x, cells.y, cells.z = (pointer(np.ascontiguousarray(x[order])) for x in position)
    return cells
