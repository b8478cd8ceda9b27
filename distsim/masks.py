"""Masks: which displacements (target - source) can be connected at all. Pure description."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from distsim.errors import wrong
from distsim.exact import cos_degrees, sin_degrees
from distsim.expressions import Interval
from distsim.lengths import AXES, check_lengths, check_positive

if TYPE_CHECKING:
    from typing import Self  # Python 3.11 has it


@dataclass(frozen=True)
class Mask:
    """What all masks share.

    Attributes
    ----------
    anchor
        Where the centre of the mask lies, as a displacement from the source (NEST's name); None: at the source.
    periods
        Of the box, along each axis (0: open); filled in where the mask becomes part of a projection.
    """

    anchor: tuple[float, ...] | None = field(default=None, kw_only=True)
    periods: tuple[float, ...] = field(default=(), kw_only=True, compare=False, repr=False)
    name: ClassVar[str] = ""
    lengths: ClassVar[tuple[str, ...]] = ()  # its keys that are lengths above 0

    def span(self, dimensions: int) -> tuple[Interval, ...]:
        """The displacements from its centre that can pass, along each axis."""
        raise NotImplementedError

    def sphere(self) -> float:
        """The radius of a sphere around its centre that holds it; 0 where the span is all there is."""
        raise NotImplementedError

    def text(self) -> str:
        """An expression that is 1 within and 0 beyond."""
        raise NotImplementedError

    def check(self, dimensions: int, where: str) -> None:
        """ConfigError where it is no mask in so many dimensions."""
        for key in self.lengths:
            check_positive(getattr(self, key), f"{where}.{key}")
        if self.anchor is not None:
            check_lengths(self.anchor, f"{where}.anchor", "a displacement", dimensions, positive=False)

    def offset(self, axis: int) -> float:
        """Of its centre from the source."""
        return float(self.anchor[axis]) if self.anchor is not None else 0.0

    def window(self, dimensions: int) -> tuple[Interval, ...]:
        """The displacements from the source that can pass, along each axis; beyond half a period: of an image."""
        return tuple(
            (low + self.offset(a), high + self.offset(a)) for a, (low, high) in enumerate(self.span(dimensions))
        )

    def reach(self) -> float:
        """The radius of a sphere around the source that holds it; 0 where the window is all there is."""
        sphere = self.sphere()
        return (sphere + math.hypot(*(self.anchor or (0.0,)))) * (1.0 + 1e-12) if sphere and self.anchor else sphere

    def within(self, periods: Sequence[float]) -> Self:
        """The same in a box that repeats after these lengths (0: does not)."""
        return dataclasses.replace(self, periods=tuple(periods))

    def document(self) -> dict[str, Any]:
        """As in an experiment file."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if not f.kw_only}
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in own.items() if v is not None}
        return {self.name: values, **({"anchor": list(self.anchor)} if self.anchor is not None else {})}

    def _from_centre(self, axis: int) -> str:
        """The displacement from its centre along an axis, as an expression: to the nearest image."""
        name, offset = f"d{AXES[axis]}", self.offset(axis)
        if not offset:
            return name
        shifted = f"({name} - {offset!r})" if offset > 0.0 else f"({name} + {-offset!r})"
        period = self.periods[axis] if axis < len(self.periods) else 0.0
        low, high = self.window(len(self.anchor or ()))[axis]
        if not period or max(-low, high) <= 0.5 * period:
            return shifted
        # dx lies in (-period / 2, period / 2]: what is beyond that is on the side of the anchor.
        if offset > 0.0:
            return f"({shifted} + {period!r} * ({shifted} <= {-0.5 * period!r}))"
        return f"({shifted} - {period!r} * ({shifted} > {0.5 * period!r}))"

    def _distance(self) -> str:
        """The distance from its centre, as an expression."""
        if self.anchor is None:
            return "distance"
        return "sqrt(" + " + ".join(f"{self._from_centre(a)} ** 2" for a in range(len(self.anchor))) + ")"


@dataclass(frozen=True)
class Circular(Mask):
    """Distances of at most `radius`."""

    radius: float
    name = "circular"
    lengths = ("radius",)

    def span(self, dimensions: int) -> tuple[Interval, ...]:
        return ((-self.radius, self.radius),) * dimensions

    def sphere(self) -> float:
        return self.radius

    def text(self) -> str:
        return f"({self._distance()} <= {self.radius!r})"


@dataclass(frozen=True)
class Doughnut(Mask):
    """Distances from `inner_radius` to `outer_radius`."""

    inner_radius: float
    outer_radius: float
    name = "doughnut"
    lengths = ("inner_radius", "outer_radius")

    def span(self, dimensions: int) -> tuple[Interval, ...]:
        return ((-self.outer_radius, self.outer_radius),) * dimensions

    def sphere(self) -> float:
        return self.outer_radius

    def text(self) -> str:
        distance = self._distance()
        return f"({distance} >= {self.inner_radius!r}) * ({distance} <= {self.outer_radius!r})"

    def check(self, dimensions: int, where: str) -> None:
        super().check(dimensions, where)
        if not self.inner_radius < self.outer_radius:
            raise wrong(where, [self.inner_radius, self.outer_radius], "inner_radius < outer_radius")


@dataclass(frozen=True)
class Rectangular(Mask):
    """Displacements from corner to corner, both included."""

    lower_left: tuple[float, ...]
    upper_right: tuple[float, ...]
    name = "rectangular"

    def span(self, dimensions: int) -> tuple[Interval, ...]:
        return tuple(zip(self.lower_left, self.upper_right, strict=True))

    def sphere(self) -> float:
        return 0.0

    def text(self) -> str:
        sides = [(self._from_centre(a), *side) for a, side in enumerate(self.span(0))]
        return " * ".join(f"({d} >= {low!r}) * ({d} <= {high!r})" for d, low, high in sides)

    def check(self, dimensions: int, where: str) -> None:
        super().check(dimensions, where)
        for key in ("lower_left", "upper_right"):
            check_lengths(tuple(getattr(self, key)), f"{where}.{key}", "a corner", dimensions, positive=False)
        if not all(a < b for a, b in zip(self.lower_left, self.upper_right, strict=True)):
            raise wrong(where, [list(self.lower_left), list(self.upper_right)], "lower_left below upper_right")


@dataclass(frozen=True)
class Elliptical(Mask):
    """An ellipse (ellipsoid) of these axes (diameters); the major one is turned by `azimuth_angle` degrees from x."""

    major_axis: float
    minor_axis: float
    polar_axis: float | None = None
    azimuth_angle: float = 0.0
    name = "elliptical"

    def span(self, dimensions: int) -> tuple[Interval, ...]:
        c, s = cos_degrees(self.azimuth_angle), sin_degrees(self.azimuth_angle)
        a, b = 0.5 * self.major_axis, 0.5 * self.minor_axis
        reach = [math.sqrt((a * c) ** 2 + (b * s) ** 2), math.sqrt((a * s) ** 2 + (b * c) ** 2)]
        reach += [0.5 * self.polar_axis] if self.polar_axis is not None else []
        return tuple((-r * (1.0 + 1e-12), r * (1.0 + 1e-12)) for r in reach[:dimensions])

    def sphere(self) -> float:
        return 0.5 * max(self.major_axis, self.minor_axis, self.polar_axis or 0.0)

    def text(self) -> str:
        c, s = cos_degrees(self.azimuth_angle), sin_degrees(self.azimuth_angle)
        a, b = 0.5 * self.major_axis, 0.5 * self.minor_axis
        x, y = self._from_centre(0), self._from_centre(1)
        along, across = f"(({x} * {c!r} + {y} * {s!r}) / {a!r})", f"(({y} * {c!r} - {x} * {s!r}) / {b!r})"
        third = f" + ({self._from_centre(2)} / {0.5 * self.polar_axis!r}) ** 2" if self.polar_axis is not None else ""
        return f"({along} ** 2 + {across} ** 2{third} <= 1.0)"

    def check(self, dimensions: int, where: str) -> None:
        if dimensions == 1 or (self.polar_axis is None) != (dimensions == 2):
            raise wrong(
                where, f"an elliptical mask in {dimensions} dimensions", "two, or three with the key polar_axis"
            )
        super().check(dimensions, where)
        for key in ("major_axis", "minor_axis", *(["polar_axis"] if self.polar_axis is not None else [])):
            check_positive(getattr(self, key), f"{where}.{key}")
        if not (math.isfinite(self.azimuth_angle) and abs(self.azimuth_angle) <= 360.0):
            raise wrong(f"{where}.azimuth_angle", self.azimuth_angle, "degrees from -360 to 360")


AnyMask = Circular | Doughnut | Rectangular | Elliptical
