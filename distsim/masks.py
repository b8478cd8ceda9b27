"""Masks: which displacements (target - source) can be connected at all. Pure description."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from distsim.errors import wrong
from distsim.exact import cos_degrees, sin_degrees
from distsim.expressions import Interval
from distsim.lengths import AXES, check_lengths, check_positive


class Mask(Protocol):
    """What all masks answer."""

    name: str

    def window(self, dimensions: int) -> tuple[Interval, ...]:
        """The displacements that can pass, along each axis."""
        ...

    def radius(self) -> float:
        """Of a sphere around the source that holds the mask; 0 where the window is all there is."""
        ...

    def text(self) -> str:
        """An expression that is 1 within and 0 beyond."""
        ...

    def check(self, dimensions: int, where: str) -> None:
        """ConfigError where it is no mask in so many dimensions."""
        ...


@dataclass(frozen=True)
class Circular:
    """Distances of at most `radius`."""

    outer: float
    name = "circular"

    def window(self, dimensions: int) -> tuple[Interval, ...]:
        return ((-self.outer, self.outer),) * dimensions

    def radius(self) -> float:
        return self.outer

    def text(self) -> str:
        return f"(distance <= {self.outer!r})"

    def check(self, dimensions: int, where: str) -> None:
        check_positive(self.outer, f"{where}.radius")

    def document(self) -> dict[str, Any]:
        return {"circular": {"radius": self.outer}}


@dataclass(frozen=True)
class Doughnut:
    """Distances from `inner_radius` to `outer_radius`."""

    inner_radius: float
    outer_radius: float
    name = "doughnut"

    def window(self, dimensions: int) -> tuple[Interval, ...]:
        return ((-self.outer_radius, self.outer_radius),) * dimensions

    def radius(self) -> float:
        return self.outer_radius

    def text(self) -> str:
        return f"(distance >= {self.inner_radius!r}) * (distance <= {self.outer_radius!r})"

    def check(self, dimensions: int, where: str) -> None:
        for key in ("inner_radius", "outer_radius"):
            check_positive(getattr(self, key), f"{where}.{key}")
        if not self.inner_radius < self.outer_radius:
            raise wrong(where, [self.inner_radius, self.outer_radius], "inner_radius < outer_radius")

    def document(self) -> dict[str, Any]:
        return {"doughnut": {"inner_radius": self.inner_radius, "outer_radius": self.outer_radius}}


@dataclass(frozen=True)
class Rectangular:
    """Displacements from corner to corner, both included."""

    lower_left: tuple[float, ...]
    upper_right: tuple[float, ...]
    name = "rectangular"

    def window(self, dimensions: int) -> tuple[Interval, ...]:
        return tuple(zip(self.lower_left, self.upper_right, strict=True))

    def radius(self) -> float:
        return 0.0

    def text(self) -> str:
        sides = zip(AXES, self.lower_left, self.upper_right, strict=False)
        return " * ".join(f"(d{a} >= {low!r}) * (d{a} <= {high!r})" for a, low, high in sides)

    def check(self, dimensions: int, where: str) -> None:
        for key in ("lower_left", "upper_right"):
            check_lengths(tuple(getattr(self, key)), f"{where}.{key}", "a corner", dimensions, positive=False)
        if not all(a < b for a, b in zip(self.lower_left, self.upper_right, strict=True)):
            raise wrong(where, [list(self.lower_left), list(self.upper_right)], "lower_left below upper_right")

    def document(self) -> dict[str, Any]:
        return {"rectangular": {"lower_left": list(self.lower_left), "upper_right": list(self.upper_right)}}


@dataclass(frozen=True)
class Elliptical:
    """An ellipse (ellipsoid) of these axes (diameters); the major one is turned by `azimuth_angle` degrees from x."""

    major_axis: float
    minor_axis: float
    polar_axis: float | None = None
    azimuth_angle: float = 0.0
    name = "elliptical"

    def window(self, dimensions: int) -> tuple[Interval, ...]:
        c, s = cos_degrees(self.azimuth_angle), sin_degrees(self.azimuth_angle)
        a, b = 0.5 * self.major_axis, 0.5 * self.minor_axis
        reach = [math.sqrt((a * c) ** 2 + (b * s) ** 2), math.sqrt((a * s) ** 2 + (b * c) ** 2)]
        reach += [0.5 * self.polar_axis] if self.polar_axis is not None else []
        return tuple((-r * (1.0 + 1e-12), r * (1.0 + 1e-12)) for r in reach[:dimensions])

    def radius(self) -> float:
        return 0.5 * max(self.major_axis, self.minor_axis, self.polar_axis or 0.0)

    def text(self) -> str:
        c, s = cos_degrees(self.azimuth_angle), sin_degrees(self.azimuth_angle)
        a, b = 0.5 * self.major_axis, 0.5 * self.minor_axis
        along, across = f"((dx * {c!r} + dy * {s!r}) / {a!r})", f"((dy * {c!r} - dx * {s!r}) / {b!r})"
        third = f" + (dz / {0.5 * self.polar_axis!r}) ** 2" if self.polar_axis is not None else ""
        return f"({along} ** 2 + {across} ** 2{third} <= 1.0)"

    def check(self, dimensions: int, where: str) -> None:
        if dimensions == 1 or (self.polar_axis is None) != (dimensions == 2):
            raise wrong(
                where, f"an elliptical mask in {dimensions} dimensions", "two, or three with the key polar_axis"
            )
        for key in ("major_axis", "minor_axis", *(["polar_axis"] if self.polar_axis is not None else [])):
            check_positive(getattr(self, key), f"{where}.{key}")
        if not (math.isfinite(self.azimuth_angle) and abs(self.azimuth_angle) <= 360.0):
            raise wrong(f"{where}.azimuth_angle", self.azimuth_angle, "degrees from -360 to 360")

    def document(self) -> dict[str, Any]:
        third = {"polar_axis": self.polar_axis} if self.polar_axis is not None else {}
        axes = {"major_axis": self.major_axis, "minor_axis": self.minor_axis, **third}
        return {"elliptical": {**axes, "azimuth_angle": self.azimuth_angle}}


AnyMask = Circular | Doughnut | Rectangular | Elliptical
