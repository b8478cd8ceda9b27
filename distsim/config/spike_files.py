"""Times of spikes in files: comma-separated, or SONATA spikes in HDF5. Nothing outside the file is followed."""

from __future__ import annotations

import io
from typing import Any

from distsim.config.tables import MAX_ID, Kind, Table
from distsim.errors import ConfigError, nearest, wrong

MAX_SPIKES = 2**28
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
COLUMNS = ("timestamps", "node_ids")
OPTIONAL = {"weights": "spike_weights", "multiplicities": "spike_multiplicities"}  # column: parameter


def spike_trains(data: bytes, origin: str, population: str | None, size: int) -> list[list[float]]:
    """One ascending list of times (ms) for each of `size` generators; see `spike_columns`."""
    return spike_columns(data, origin, population, size)["spike_times"]


def spike_columns(data: bytes, origin: str, population: str | None, size: int) -> dict[str, list[list[float]]]:
    """spike_times (ms, ascending), and spike_weights and spike_multiplicities where the file has them.

    Each holds one list for each of `size` generators.

    Parameters
    ----------
    data
        A table with the columns timestamps,node_ids[,weights][,multiplicities], or SONATA with such datasets:
        /spikes/<population>/{timestamps, node_ids}.
    origin
        The file's name, for messages.
    population
        Which of the populations in an HDF5 file; None where there is one.

    Raises
    ------
    ConfigError
        The file is malformed, has no such population, or names a generator that is not there.
    """
    import numpy as np

    if data.startswith(HDF5_MAGIC):
        found = sonata_spikes(data, origin, population)
    else:
        if population is not None:
            raise ConfigError(f"{origin}: key population is for HDF5 files; this one is none")
        table = Table(data, origin)
        more: dict[str, Kind] = {name: "number" for name in OPTIONAL if name in table.names}
        found = table.columns({"timestamps": "number", "node_ids": "id", **more})
    times, ids = found.pop("timestamps"), found.pop("node_ids")
    if ids.size and int(ids.max()) >= size:
        raise wrong(
            f"{origin}: node_ids", int(ids.max()), f"ids from 0 to {size - 1}, since there are {size} generators"
        )
    order = np.lexsort((times, ids))
    ends = np.cumsum(np.bincount(ids.astype(np.int64), minlength=size))[:-1]
    columns = {"spike_times": times, **{OPTIONAL[name]: column for name, column in found.items()}}
    return {name: [part.tolist() for part in np.split(c[order], ends)] for name, c in columns.items()}


def sonata_spikes(data: bytes, origin: str, population: str | None, or_only: bool = False) -> dict[str, Any]:
    """Arrays of a population in a SONATA file, by name: COLUMNS (times in ms), and those of OPTIONAL that are there.

    Parameters
    ----------
    or_only
        Take another population where it is the only one.

    Raises
    ------
    ConfigError
        The file is malformed, or has no such population.
    """
    import h5py
    import numpy as np

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            spikes = _child(file, "spikes", origin, h5py.Group)
            names = list(spikes.keys())
            if population is None or (or_only and len(names) == 1):
                if len(names) != 1:
                    raise ConfigError(f"{origin}: population: missing; the file has {', '.join(names) or 'none'}")
                population = names[0]
            if population not in names:
                raise ConfigError(f"{origin}: no population {population!r}; {nearest(population, names)}")
            group = _child(spikes, population, origin, h5py.Group)
            names = [*COLUMNS, *(name for name in OPTIONAL if name in group)]
            found = {name: _numbers(_child(group, name, origin, h5py.Dataset), name, origin) for name in names}
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{origin}: no readable HDF5: {error}") from None
    ids = found.pop("node_ids")
    found = {name: column.astype(np.float64) for name, column in found.items()}
    for name, column in found.items():
        if column.size != ids.size:
            raise ConfigError(f"{origin}: {column.size} {name} for {ids.size} node_ids; one for each")
    if ids.dtype.kind not in "iu":
        raise ConfigError(f"{origin}: node_ids: found {ids.dtype}; allowed: whole numbers from 0")
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < MAX_ID:
        found_id = int(ids.min()) if int(ids.min()) < 0 else int(ids.max())
        raise wrong(f"{origin}: node_ids", found_id, f"whole numbers from 0 to {MAX_ID - 1}")
    for name, column in found.items():
        if not np.isfinite(column).all():
            what = "times in ms" if name == "timestamps" else "numbers"
            raise ConfigError(f"{origin}: {name}: found NaN or infinity; allowed: finite {what}")
    return {**found, "node_ids": ids.astype(np.int64)}


def _child(parent: Any, name: str, origin: str, kind: Any) -> Any:
    """A member that lies in the file itself."""
    import h5py

    link = parent.get(name, getlink=True)
    if link is None:
        raise ConfigError(
            f"{origin}: no {name!r} in {parent.name}; SONATA has /spikes/<population>/timestamps, node_ids"
        )
    if not isinstance(link, h5py.HardLink):
        raise ConfigError(
            f"{origin}: {name!r} in {parent.name} is a link to elsewhere; store the data in the file itself"
        )
    child = parent[name]
    if not isinstance(child, kind):
        raise ConfigError(f"{origin}: {name!r} in {parent.name} is no {kind.__name__.lower()}")
    return child


def _numbers(dataset: Any, name: str, origin: str) -> Any:
    from distsim.io.safe_hdf5 import claimed

    if dataset.dtype.kind not in "iuf":
        raise ConfigError(f"{origin}: {name}: found entries of type {dataset.dtype}; allowed: numbers")
    if dataset.is_virtual or dataset.external:
        raise ConfigError(f"{origin}: {name} lies in other files; store the data in the file itself")
    if dataset.ndim != 1 or dataset.size > MAX_SPIKES:
        raise ConfigError(
            f"{origin}: {name}: found shape {dataset.shape}; allowed: one dimension of at most {MAX_SPIKES}"
        )
    if excess := claimed(dataset):
        raise ConfigError(f"{origin}: {name}: {excess}")
    units = dataset.attrs.get("units", "milliseconds")
    if name == "timestamps" and str(units) not in ("milliseconds", "ms"):
        raise ConfigError(f"{origin}: timestamps: found units {str(units)!r}; allowed: milliseconds")
    return dataset[()]
