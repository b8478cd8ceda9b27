"""Space, positions, masks and kernels of distance: from the checked file to the description."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from distsim import profiles, space
from distsim.config import schema_space as forms
from distsim.config.files import FileStore
from distsim.config.tables import Table
from distsim.errors import ConfigError, DistsimError, nearest, wrong
from distsim.expressions import Expression
from distsim.rules import FixedIndegree, FixedOutdegree, PairwiseBernoulli, PairwisePoisson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def to_space(spec: forms.SpaceSpec | None) -> space.Space | None:
    """The space of a network."""
    return None if spec is None else space.Space.of(spec.unit, spec.extent, spec.center, spec.periodic)


def to_positions(spec: Any, size: int, where: str, files: FileStore) -> space.Layout | space.PositionList | None:
    """Positions as distsim.space describes them; those of a file are read."""
    if spec is None:
        return None
    if isinstance(spec, forms.ListedSpec):
        return space.listed(spec.listed)
    if isinstance(spec, forms.PositionFile):
        return _from_file(spec, size, where, files)
    key = next(iter(type(spec).model_fields))
    arguments = getattr(spec, key).model_dump()
    for name in ("radius", "inner_radius", "outer_radius"):
        if name in arguments and not arguments[name] > 0.0:
            raise wrong(f"{where}.{name}", arguments[name], "a length above 0")
    made: space.Layout = getattr(space, key)(**arguments)
    return made


def _from_file(spec: forms.PositionFile, size: int, where: str, files: FileStore) -> space.PositionList:
    path, data = files.absolute(spec.file), files.read(spec.file, f"{where}.file")
    if (spec.columns is None) == (spec.dataset is None):
        raise ConfigError(f"{where}: needs columns (of a CSV file) or dataset (of an HDF5 file), one of them")
    try:
        if spec.columns is not None:
            if not 1 <= len(spec.columns) <= 3 or len(set(spec.columns)) != len(spec.columns):
                raise wrong("columns", spec.columns, "one to three names of columns")
            read = Table(data, path).columns(dict.fromkeys(spec.columns, "number"))
            rows = list(zip(*(read[name].tolist() for name in spec.columns), strict=True))
        else:
            assert spec.dataset is not None
            rows = _dataset(data, spec.dataset, size).tolist()
    except DistsimError as error:
        raise ConfigError(f"{where}: {error}") from None
    files.forget(spec.file)
    if len(rows) != size:
        raise wrong(where, f"{len(rows)} positions in {path}", f"{size}, one a neuron")
    return space.listed(rows, path)


def _dataset(data: bytes, name: str, size: int) -> NDArray[np.float64]:
    """A dataset of plain numbers within the file itself; links and storage outside of it are refused."""
    import h5py
    import numpy as np

    from distsim.io.safe_hdf5 import claimed, open_hdf5

    with open_hdf5(io.BytesIO(data), "the file") as file:
        at: Any = file
        for part in name.strip("/").split("/"):
            if not isinstance(at, h5py.Group) or part not in at:
                names = list(at) if isinstance(at, h5py.Group) else []
                raise ConfigError(f"no dataset {name!r}; {nearest(part, names)}")
            if not isinstance(at.get(part, getlink=True), h5py.HardLink):
                raise wrong(f"dataset {name}", "a link", "a dataset in the file itself")
            at = at[part]
        if (
            not isinstance(at, h5py.Dataset)
            or at.shape is None
            or at.dtype.kind not in "fiu"
            or at.external
            or at.is_virtual
        ):
            raise wrong(f"dataset {name}", "no plain numbers", "a dataset of numbers stored in the file itself")
        shape = at.shape if len(at.shape) == 2 else (*at.shape, 1)
        if len(shape) != 2 or shape[0] != size or not 1 <= shape[1] <= 3:
            raise wrong(f"dataset {name}", list(at.shape), f"[{size}, 1 to 3]: one position a neuron")
        if excess := claimed(at):
            raise ConfigError(f"dataset {name}: {excess}")
        return np.asarray(at[...], np.float64).reshape(shape)


def to_mask(spec: Any) -> space.AnyMask | None:
    """A mask from its form."""
    if spec is None:
        return None
    anchor = None if spec.anchor is None else tuple(spec.anchor)
    if isinstance(spec, (forms.CircularSpec, forms.SphericalSpec)):
        return space.Circular(
            (spec.circular if isinstance(spec, forms.CircularSpec) else spec.spherical).radius, anchor=anchor
        )
    if isinstance(spec, forms.DoughnutSpec):
        return space.Doughnut(spec.doughnut.inner_radius, spec.doughnut.outer_radius, anchor=anchor)
    if isinstance(spec, (forms.RectangularSpec, forms.BoxMaskSpec)):
        corners = spec.rectangular if isinstance(spec, forms.RectangularSpec) else spec.box
        return space.Rectangular(tuple(corners.lower_left), tuple(corners.upper_right), anchor=anchor)
    axes = spec.elliptical if isinstance(spec, forms.EllipticalSpec) else spec.ellipsoidal
    return space.Elliptical(axes.major_axis, axes.minor_axis, axes.polar_axis, axes.azimuth_angle, anchor=anchor)


def to_pair_value(value: Any, where: str) -> float | Expression:
    """A probability or mean: a number, an expression, or a kernel as an expression."""
    if isinstance(value, str):
        return Expression(value)
    if isinstance(value, float):
        return value
    key = next(iter(type(value).model_fields))
    try:
        return profiles.PROFILES[key](**getattr(value, key).model_dump())
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from None


def to_pair_rule(key: str, arguments: Any, where: str) -> PairwiseBernoulli | PairwisePoisson:
    """pairwise_bernoulli or pairwise_poisson."""
    mask = to_mask(arguments.mask)
    if key == "pairwise_bernoulli":
        return PairwiseBernoulli(to_pair_value(arguments.p, f"{where}.p"), arguments.autapses, mask)
    value = to_pair_value(arguments.pairwise_avg_num_conns, f"{where}.pairwise_avg_num_conns")
    return PairwisePoisson(value, arguments.autapses, mask)


def to_degree_rule(key: str, arguments: Any, where: str) -> FixedIndegree | FixedOutdegree:
    """fixed_indegree or fixed_outdegree."""
    p = None if arguments.p is None else to_pair_value(arguments.p, f"{where}.p")
    both = arguments.autapses, arguments.multapses, p, to_mask(arguments.mask)
    if key == "fixed_indegree":
        return FixedIndegree(arguments.indegree, *both)
    return FixedOutdegree(arguments.outdegree, *both)
