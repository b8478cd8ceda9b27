"""The forms of positions, masks and kernels of distance in an experiment file, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag
from pydantic_core import PydanticCustomError

from distsim.config.schema_base import NotNull, Spec, by_name, kind_of

POSITION_KEYS = ("grid", "box", "ellipse", "sphere", "annulus", "listed", "file")
MASK_KEYS = ("circular", "spherical", "doughnut", "rectangular", "box", "elliptical", "ellipsoidal")
PROFILE_KEYS = ("linear", "exponential", "gaussian", "gaussian2d", "gamma", "gabor")
OptionalLengths = Annotated[list[float] | None, NotNull]


def _axes(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, list) and all(isinstance(a, bool) for a in value)):
        return value
    raise PydanticCustomError("axes", "true, false, or a list of them, one for each edge of extent")


class SpaceSpec(Spec):
    unit: Annotated[str, NotNull] = "mm"
    extent: OptionalLengths = None
    center: OptionalLengths = None
    periodic: Annotated[bool | list[bool], BeforeValidator(_axes)] = False


class GridOf(Spec):
    shape: list[int]
    extent: OptionalLengths = None
    center: OptionalLengths = None


class Extent(Spec):
    extent: OptionalLengths = None
    center: OptionalLengths = None


class Ball(Spec):
    radius: float
    center: OptionalLengths = None


class Ring(Spec):
    inner_radius: float
    outer_radius: float
    center: OptionalLengths = None


class GridSpec(Spec):
    grid: GridOf


class BoxSpec(Spec):
    box: Extent


class EllipseSpec(Spec):
    ellipse: Extent


class SphereSpec(Spec):
    sphere: Ball


class AnnulusSpec(Spec):
    annulus: Ring


class ListedSpec(Spec):
    listed: list[list[float]]


class PositionFile(Spec):
    file: str
    columns: Annotated[list[str] | None, NotNull] = None
    dataset: Annotated[str | None, NotNull] = None


PositionsSpec = Annotated[
    Annotated[GridSpec, Tag("<grid>")]
    | Annotated[BoxSpec, Tag("<box>")]
    | Annotated[EllipseSpec, Tag("<ellipse>")]
    | Annotated[SphereSpec, Tag("<sphere>")]
    | Annotated[AnnulusSpec, Tag("<annulus>")]
    | Annotated[ListedSpec, Tag("<listed>")]
    | Annotated[PositionFile, Tag("<file>")],
    Discriminator(
        kind_of(*POSITION_KEYS, number=False), custom_error_type="form", custom_error_message="positions"
    ),
    by_name("box", "ellipse"),
]  # fmt: skip


class Radius(Spec):
    radius: float


class Radii(Spec):
    inner_radius: float
    outer_radius: float


class Corners(Spec):
    lower_left: list[float]
    upper_right: list[float]


class Axes(Spec):
    major_axis: float
    minor_axis: float
    polar_axis: Annotated[float | None, NotNull] = None
    azimuth_angle: float = 0.0


class Anchored(Spec):
    """A mask, and where its centre lies."""

    anchor: OptionalLengths = None


class CircularSpec(Anchored):
    circular: Radius


class SphericalSpec(Anchored):
    spherical: Radius


class DoughnutSpec(Anchored):
    doughnut: Radii


class RectangularSpec(Anchored):
    rectangular: Corners


class BoxMaskSpec(Anchored):
    box: Corners


class EllipticalSpec(Anchored):
    elliptical: Axes


class EllipsoidalSpec(Anchored):
    ellipsoidal: Axes


MaskSpec = Annotated[
    Annotated[CircularSpec, Tag("<circular>")]
    | Annotated[SphericalSpec, Tag("<spherical>")]
    | Annotated[DoughnutSpec, Tag("<doughnut>")]
    | Annotated[RectangularSpec, Tag("<rectangular>")]
    | Annotated[BoxMaskSpec, Tag("<box>")]
    | Annotated[EllipticalSpec, Tag("<elliptical>")]
    | Annotated[EllipsoidalSpec, Tag("<ellipsoidal>")],
    Discriminator(kind_of(*MASK_KEYS, number=False), custom_error_type="form", custom_error_message="mask"),
]


class LinearOf(Spec):
    c: float = 1.0
    a: float = -1.0


class ExponentialOf(Spec):
    beta: float
    p_center: float = 1.0
    c: float = 0.0


class GaussianOf(Spec):
    std: float
    p_center: float = 1.0
    mean: float = 0.0
    c: float = 0.0


class Gaussian2DOf(Spec):
    std_x: float
    std_y: float
    rho: float = 0.0
    p_center: float = 1.0
    mean_x: float = 0.0
    mean_y: float = 0.0
    c: float = 0.0


class GammaOf(Spec):
    kappa: float
    theta: float
    p_max: float = 1.0


class GaborOf(Spec):
    std: float
    wavelength: float
    theta: float = 0.0
    gamma: float = 1.0
    psi: float = 0.0
    p_center: float = 1.0
    c: float = 0.0


class LinearKernelSpec(Spec):
    linear: LinearOf


class ExponentialKernelSpec(Spec):
    exponential: ExponentialOf


class GaussianKernelSpec(Spec):
    gaussian: GaussianOf


class Gaussian2DKernelSpec(Spec):
    gaussian2d: Gaussian2DOf


class GammaKernelSpec(Spec):
    gamma: GammaOf


class GaborKernelSpec(Spec):
    gabor: GaborOf


PairValue = Annotated[  # a probability, or a mean number of connections
    Annotated[float, Tag("<number>")]
    | Annotated[str, Tag("<text>")]
    | Annotated[LinearKernelSpec, Tag("<linear>")]
    | Annotated[ExponentialKernelSpec, Tag("<exponential>")]
    | Annotated[GaussianKernelSpec, Tag("<gaussian>")]
    | Annotated[Gaussian2DKernelSpec, Tag("<gaussian2d>")]
    | Annotated[GammaKernelSpec, Tag("<gamma>")]
    | Annotated[GaborKernelSpec, Tag("<gabor>")],
    Discriminator(
        lambda value: "<text>" if isinstance(value, str) else _pair_kind(value),
        custom_error_type="form", custom_error_message="pair_value",
    ),
]  # fmt: skip


def _pair_kind(value: Any) -> str | None:
    kind = kind_of(*PROFILE_KEYS)(value)
    return None if kind == "<list>" else kind


class Velocity(Spec):
    c: float
    velocity: float


class LinearDistanceSpec(Spec):
    linear_distance: Velocity


FORMS = {
    "positions": (
        "{grid: {shape: [rows, …]}}, {box: {extent: [1.0, 1.0]}}, {ellipse: {extent: […]}}, {sphere: {radius: R}}, "
        "{annulus: {inner_radius: R, outer_radius: R}}, {listed: [[x, y], …]} or {file: F, columns: [x, y]}",
        POSITION_KEYS,
    ),
    "mask": ("a mask such as {circular: {radius: 0.5}}", MASK_KEYS),
    "pair_value": (
        'a number, an expression in quotes such as "0.5 * exp(-distance / 0.2)", or a kernel such as '
        "{gaussian: {std: 0.2}}",
        PROFILE_KEYS,
    ),
}
