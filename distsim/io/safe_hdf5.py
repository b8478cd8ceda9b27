"""Reading HDF5 as data and nothing else: every HDF5 file that distsim reads goes through here.

Refused: links out of the file (external and soft links), data that lie in other files (external storage, virtual
datasets), references and objects, and datasets that claim more than the file can hold. Sizes are checked
before anything is allocated. A file that HDF5 cannot read is a ResultError, in one line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
import numpy.typing as npt

from distsim.errors import DistsimError, ResultError

MOST_COMPRESSED = 1100  # gzip shrinks by at most 1032
_KINDS = {"iu": "whole numbers", "ui": "whole numbers", "u": "whole numbers from 0", "SU": "texts of a fixed length"}
SMALL = 2**20  # bytes of a dataset that need no proof: what an empty or constant one may claim


@contextmanager
def open_hdf5(path: Path | str | BinaryIO, origin: str = "") -> Iterator[h5py.File]:
    """The HDF5 file `path`, read-only; what HDF5 says of it, here or later, becomes ResultError.

    `origin` is what it is called there, where `path` is the bytes of a file.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        if isinstance(error, DistsimError):
            raise
        raise ResultError(f"{origin or path}: cannot be read as HDF5 ({' '.join(str(error).split())})") from error


def child(group: h5py.Group, name: str) -> Any:
    """The group or dataset at `name` (a path below `group`), reached by hard links alone.

    Raises
    ------
    ResultError
        It is not there, lies behind a link, or is a dataset with data in other files.
    """
    found: Any = group
    for part in str(name).strip("/").split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if link is None:
            raise ResultError(f"{group.file.filename}: found no {found.name.rstrip('/')}/{part}")
        if not isinstance(link, h5py.HardLink):
            kind = "an external" if isinstance(link, h5py.ExternalLink) else "a soft"
            raise ResultError(
                f"{group.file.filename}: {found.name.rstrip('/')}/{part}: found {kind} link; allowed: data"
            )
        found = found[part]
    if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
        raise ResultError(f"{group.file.filename}: {found.name}: found data in other files; allowed: data in this one")
    return found


def dataset(group: h5py.Group, name: str, kinds: str = "iuf", dimensions: int | None = None) -> h5py.Dataset:
    """The dataset at `name`, of a numeric dtype of `kinds`, whose size the file can hold.

    Raises
    ------
    ResultError
        As for `child`; or it is no dataset, of another kind or shape, or larger than what is stored allows.
    """
    found = child(group, name)
    where = f"{group.file.filename}: {found.name}"
    if not isinstance(found, h5py.Dataset):
        raise ResultError(f"{where}: found a group; allowed: a dataset")
    if found.dtype.kind not in kinds or found.dtype.fields is not None or found.dtype.subdtype is not None:
        raise ResultError(f"{where}: found {found.dtype}; allowed: {_KINDS.get(kinds, 'numbers')}")
    if found.shape is None or (dimensions is not None and found.ndim != dimensions):
        raise ResultError(f"{where}: found shape {found.shape}; allowed: {dimensions} dimensions")
    if excess := claimed(found):
        raise ResultError(f"{where}: {excess}")
    return found


def claimed(found: h5py.Dataset) -> str:
    """What a dataset claims beyond what the file can hold; empty where it is honest."""
    stored = int(found.id.get_storage_size())
    plain = found.id.get_create_plist().get_nfilters() == 0
    honest = found.nbytes <= max(stored * (1 if plain else MOST_COMPRESSED), SMALL)
    return "" if honest else f"claims {found.nbytes} bytes; {stored} are stored"


def whole(group: h5py.Group, name: str, kinds: str = "iuf", dimensions: int | None = 1) -> npt.NDArray[Any]:
    """All of the dataset at `name`; see `dataset`."""
    return np.asarray(dataset(group, name, kinds, dimensions)[()])


def names(group: h5py.Group) -> list[str]:
    """The members of a group, each reached by a hard link."""
    if not isinstance(group, h5py.Group):
        raise ResultError(f"{group.file.filename}: {group.name}: found a dataset; allowed: a group")
    found = list(group)
    for name in found:
        child(group, name)
    return found


def number(owner: h5py.Group | h5py.Dataset, name: str) -> float:
    """The attribute `name`, one number."""
    return float(_attribute(owner, name, "iuf"))


def text(owner: h5py.Group | h5py.Dataset, name: str) -> str:
    """The attribute `name`, a text."""
    value = _attribute(owner, name, "OSU")
    if isinstance(value, bytes):
        value = value.decode("utf-8", "strict")
    if not isinstance(value, str):
        raise ResultError(f"{owner.file.filename}: attribute {name}: found {type(value).__name__}; allowed: text")
    return value


def texts(owner: h5py.Group | h5py.Dataset, name: str) -> list[str]:
    """The attribute `name`, a list of texts."""
    where = f"{owner.file.filename}: {owner.name}: attribute {name}"
    if name not in owner.attrs:
        raise ResultError(f"{where}: missing")
    attribute = owner.attrs.get_id(name)
    if len(attribute.shape or ()) != 1 or h5py.check_string_dtype(attribute.dtype) is None:
        raise ResultError(f"{where}: found {attribute.dtype}{list(attribute.shape or ())}; allowed: a list of texts")
    return [x.decode("utf-8", "strict") if isinstance(x, bytes) else str(x) for x in owner.attrs[name]]


def _attribute(owner: h5py.Group | h5py.Dataset, name: str, kinds: str) -> Any:
    where = f"{owner.file.filename}: {owner.name}: attribute {name}"
    if name not in owner.attrs:
        raise ResultError(f"{where}: missing")
    attribute = owner.attrs.get_id(name)
    is_text = h5py.check_string_dtype(attribute.dtype) is not None
    if attribute.shape not in ((), (1,)) or attribute.dtype.kind not in kinds or ("O" in kinds and not is_text):
        raise ResultError(f"{where}: found {attribute.dtype}{list(attribute.shape or ())}; allowed: one value")
    return np.asarray(owner.attrs[name]).reshape(-1)[0] if attribute.shape else owner.attrs[name]


def confined(directory: Path, name: str) -> Path:
    """`directory`/`name` for a name that a data file gives; it stays below the directory, links resolved.

    Raises
    ------
    ResultError
        The name is absolute, climbs out, or leads out through a link.
    """
    base = Path(directory).resolve()
    path = (base / name).resolve() if name and "\0" not in name else base
    if Path(name).is_absolute() or base not in path.parents:
        raise ResultError(
            f"{directory}: found the path {name!r} in a data file; allowed: paths below the file's folder"
        )
    return path
