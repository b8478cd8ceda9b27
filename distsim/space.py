"""Where neurons are: the space of a network and positions of populations. Pure description.

Lengths have the unit of the space, said once. A drawn position is a function of the seed and the neuron's global id.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from distsim.errors import ConfigError, wrong
from distsim.expressions import Interval
from distsim.lengths import AXES, MAX_LENGTH, check_lengths, check_positive

# A script describes positions and masks from one place.
from distsim.masks import AnyMask as AnyMask
from distsim.masks import Circular as Circular
from distsim.masks import Doughnut as Doughnut
from distsim.masks import Elliptical as Elliptical
from distsim.masks import Rectangular as Rectangular

LENGTHS = f"one to three lengths above 0, at most {MAX_LENGTH:g}"


@dataclass(frozen=True)
class Space:
    """The space of a network.

    Attributes
    ----------
    unit
        Of all lengths: mm or um.
    extent, center
        Edges and centre of the box, where there is one; grids and free positions fill it unless they say otherwise.
    periodic
        Which axes of the box close on themselves; distances run the shorter way.
    """

    unit: str = "mm"
    extent: tuple[float, ...] | None = None
    center: tuple[float, ...] | None = None
    periodic: tuple[bool, ...] = ()

    @staticmethod
    def of(
        unit: str = "mm", extent: Sequence[float] | None = None, center: Sequence[float] | None = None,
        periodic: bool | Sequence[bool] = False, where: str = "space",
    ) -> Space:  # fmt: skip
        """From lists; ConfigError where they do not fit together."""
        if unit not in ("mm", "um"):
            raise wrong(f"{where}.unit", unit, "mm or um")
        box = _optional(extent, f"{where}.extent")
        if box is not None:
            check_lengths(box, f"{where}.extent", LENGTHS)
        middle = _optional(center, f"{where}.center")
        if middle is not None:
            if box is None:
                raise wrong(f"{where}.center", list(middle), "center beside extent only")
            check_lengths(middle, f"{where}.center", "a point", len(box), positive=False)
        if isinstance(periodic, bool):
            axes: tuple[bool, ...] = (True,) * len(box or (0,)) if periodic else ()
        else:
            axes = tuple(bool(a) for a in periodic)
        if any(axes) and box is None:
            raise ConfigError(f"{where}.extent: missing; a periodic box has edges")
        if axes and (len(axes) != len(box or ())):
            raise wrong(f"{where}.periodic", list(axes), "true, false, or one of them for each edge of extent")
        if box is not None and middle is None:
            middle = (0.0,) * len(box)
        return Space(unit, box, middle, axes if any(axes) else ())

    @property
    def dimensions(self) -> int | None:
        return None if self.extent is None else len(self.extent)

    def period(self, axis: int) -> float:
        """The length after which an axis repeats; 0 for an open one."""
        periodic = axis < len(self.periodic) and self.periodic[axis]
        return self.extent[axis] if periodic and self.extent is not None else 0.0

    def edges(self) -> tuple[Interval, ...]:
        assert self.extent is not None and self.center is not None
        return _box(self.extent, self.center)


def _box(extent: Sequence[float], center: Sequence[float]) -> tuple[Interval, ...]:
    return tuple((c - 0.5 * e, c + 0.5 * e) for e, c in zip(extent, center, strict=True))


@dataclass(frozen=True)
class _Within:
    """Positions within a box."""

    extent: tuple[float, ...]
    center: tuple[float, ...]

    @property
    def dimensions(self) -> int:
        return len(self.extent)

    def box(self) -> tuple[Interval, ...]:
        """Between which numbers the coordinates lie, along each axis."""
        return _box(self.extent, self.center)


@dataclass(frozen=True)
class Grid:
    """Points of a regular grid of `shape`, each in the middle of its cell; x counts fastest."""

    shape: tuple[int, ...]
    extent: tuple[float, ...]
    center: tuple[float, ...]
    name = "grid"

    @property
    def dimensions(self) -> int:
        return len(self.shape)

    @property
    def steps(self) -> tuple[float, ...]:
        return tuple(e / n for e, n in zip(self.extent, self.shape, strict=True))

    def box(self) -> tuple[Interval, ...]:
        """Between which numbers the coordinates lie, along each axis."""
        return _box(self.extent, self.center)

    def check(self, size: int, where: str) -> None:
        if math.prod(self.shape) != size:
            raise wrong(f"{where}.shape", list(self.shape), f"a shape of {size} points: the population's size")


@dataclass(frozen=True)
class Box(_Within):
    """Uniform in a box."""

    name = "box"

    def check(self, size: int, where: str) -> None:
        return


@dataclass(frozen=True)
class Ellipse(_Within):
    """Uniform in an ellipse or ellipsoid with these axes (diameters); with `inner_radius` a ring or a shell."""

    inner_radius: float = 0.0
    name = "ellipse"

    @property
    def hollow(self) -> float:
        """The share of the axes that is left out inside."""
        return self.inner_radius / (0.5 * self.extent[0])

    def check(self, size: int, where: str) -> None:
        if self.dimensions == 1:
            raise wrong(f"{where}.extent", list(self.extent), "two or three axes")
        if not 0.0 <= self.hollow < 1.0:
            raise wrong(f"{where}.inner_radius", self.inner_radius, "a radius below outer_radius")


@dataclass(frozen=True)
class PositionList:
    """One position a neuron."""

    values: tuple[tuple[float, ...], ...]
    origin: str | None = None  # the file they came from
    name = "listed"

    @property
    def dimensions(self) -> int:
        return len(self.values[0])

    def box(self) -> tuple[Interval, ...]:
        return tuple((min(column), max(column)) for column in zip(*self.values, strict=True))

    def check(self, size: int, where: str) -> None:
        if len(self.values) != size:
            raise wrong(where, f"{len(self.values)} positions", f"{size}, one a neuron")
        for row in self.values:
            check_lengths(row, where, f"positions of one to three finite numbers, at most {MAX_LENGTH:g}", None, False)
            if len(row) != self.dimensions:
                raise wrong(where, list(row), f"{self.dimensions} numbers, as in the first position")


Positions = Grid | Box | Ellipse | PositionList


def _floats(values: Sequence[float] | None, default: tuple[float, ...] | None, where: str) -> tuple[float, ...]:
    if values is None:
        if default is None:
            raise ConfigError(f"{where}: missing; say it here or once in space.extent")
        return default
    return tuple(float(x) if isinstance(x, (int, float)) and not isinstance(x, bool) else math.nan for x in values)


def _middle(center: Sequence[float] | None, extent: tuple[float, ...], space: Space | None) -> tuple[float, ...]:
    if center is None and space is not None and space.center is not None and space.dimensions == len(extent):
        return space.center
    return _floats(center, (0.0,) * len(extent), "center")


@dataclass(frozen=True)
class Layout:
    """Positions as written, before the space fills in what was left out; see the functions below."""

    kind: str
    shape: tuple[int, ...] | None = None
    extent: tuple[float, ...] | None = None
    center: tuple[float, ...] | None = None
    inner: float = 0.0

    def within(self, space: Space | None, where: str) -> Positions:
        """The positions, with extent and centre of the space where they were left out."""
        extent = _floats(self.extent, space.extent if space is not None else None, f"{where}.extent")
        check_lengths(extent, f"{where}.extent", LENGTHS)
        center = _middle(self.center, extent, space)
        check_lengths(center, f"{where}.center", "a point", len(extent), positive=False)
        if self.kind == "box":
            return Box(extent, center)
        if self.kind == "ellipse":
            return Ellipse(extent, center, self.inner)
        shape = self.shape or ()
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in shape) or len(shape) != len(extent):
            raise wrong(f"{where}.shape", list(shape), f"{len(extent)} whole numbers from 1, one for each dimension")
        return Grid(shape, extent, center)


def grid(shape: Sequence[int], extent: Sequence[float] | None = None, center: Sequence[float] | None = None) -> Layout:
    """A regular grid: neuron i + shape[0] j stands in the middle of cell (i, j)."""
    return Layout(
        "grid", _several(shape, "a list of whole numbers, one for each dimension"), _optional(extent), _optional(center)
    )


def box(extent: Sequence[float] | None = None, center: Sequence[float] | None = None) -> Layout:
    """Uniform in a box."""
    return Layout("box", None, _optional(extent), _optional(center))


def ellipse(extent: Sequence[float] | None = None, center: Sequence[float] | None = None) -> Layout:
    """Uniform in an ellipse, or an ellipsoid, with these axes."""
    return Layout("ellipse", None, _optional(extent), _optional(center))


def sphere(radius: float, center: Sequence[float] | None = None) -> Layout:
    """Uniform in a sphere."""
    check_positive(radius, "positions.radius")
    return Layout("ellipse", None, (2.0 * radius,) * 3, _optional(center))


def annulus(inner_radius: float, outer_radius: float, center: Sequence[float] | None = None) -> Layout:
    """Uniform in a ring; with a centre of three numbers in a shell."""
    for name, value in (("inner_radius", inner_radius), ("outer_radius", outer_radius)):
        check_positive(value, f"positions.{name}")
    dimensions = 2 if center is None else len(center)
    return Layout("ellipse", None, (2.0 * outer_radius,) * dimensions, _optional(center), inner_radius)


def listed(values: Sequence[Sequence[float]], origin: str | None = None) -> PositionList:
    """One position a neuron."""
    rows = _several(values, "a list with one position a neuron")
    as_rows: list[Any] = [row if isinstance(row, (list, tuple)) else [row] for row in rows]
    try:
        listed_rows = tuple(tuple(float(x) for x in row) for row in as_rows)
    except (TypeError, ValueError):
        raise wrong("positions", list(rows), "lists of numbers, one a neuron") from None
    if not listed_rows or not listed_rows[0]:
        raise wrong("positions", list(rows), "one position a neuron")
    return PositionList(listed_rows, origin)


def _optional(values: Sequence[float] | None, where: str = "positions") -> tuple[float, ...] | None:
    return None if values is None else _several(values, "a list of numbers, one for each dimension", where)


def _several(values: Any, allowed: str, where: str = "positions") -> tuple[Any, ...]:
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise wrong(where, values, allowed)
    return tuple(values.tolist() if hasattr(values, "tolist") else values)


def check_positions(positions: Positions, size: int, space: Space | None, where: str) -> None:
    """ConfigError where positions do not fit the population or the space."""
    positions.check(size, where)
    if space is None or space.extent is None:
        return
    if positions.dimensions != space.dimensions:
        raise wrong(where, f"{positions.dimensions} dimensions", f"{space.dimensions}, as in space.extent")
    for axis, ((low, high), (left, right)) in enumerate(zip(positions.box(), space.edges(), strict=True)):
        slack = 1e-9 * (right - left)
        if space.period(axis) and (low < left - slack or high > right + slack):
            raise wrong(where, [low, high], f"{AXES[axis]} within the periodic box, {left:g} to {right:g}")
