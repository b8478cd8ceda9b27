"""Named arrays in one file: a plain .npz (any NumPy reads it), written without and read without pickle.

A reader knows the file's size and SHA-256 beforehand, and reads nothing that differs; what an array claims to
be is checked against the bytes that are there before it is allocated.
"""

from __future__ import annotations

import hashlib
import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.errors import ResultError
from distsim.io.files import writing

COMPRESS = 1  # level: whole numbers are mostly zeros; real states do not shrink
_BROKEN = (zipfile.BadZipFile, zlib.error, ValueError, TypeError, SyntaxError, tokenize.TokenError, EOFError,
           NotImplementedError, RuntimeError)  # fmt: skip
MOST_COMPRESSED = 1100  # deflate shrinks by at most 1032


@dataclass(frozen=True)
class Stored:
    """A file as it has to be found again."""

    name: str
    bytes: int
    sha256: str


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> Stored:
    """Write `path` atomically.

    Raises
    ------
    ResultError
        The file cannot be written.
    """
    image = io.BytesIO()
    with zipfile.ZipFile(image, "w") as archive:
        for name, array in arrays.items():
            how = zipfile.ZIP_STORED if array.dtype.kind == "f" else zipfile.ZIP_DEFLATED
            entry = zipfile.ZipInfo(f"{name}.npy")  # a fixed date: equal states are equal files
            entry.compress_type = how
            with archive.open(entry, "w", force_zip64=array.nbytes > 2**31) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
    with image.getbuffer() as content:  # a view that goes before the image, also where a write fails
        with writing(path) as temporary, open(temporary, "wb") as out:
            out.write(content)
        return Stored(path.name, len(content), hashlib.sha256(content).hexdigest())


def read_stored(directory: Path, stored: Stored) -> bytes:
    """The bytes of a file, which are those that were written.

    Raises
    ------
    ResultError
        It is missing, or of another size or hash.
    """
    path = directory / stored.name
    try:
        found = path.stat().st_size
        if found != stored.bytes:
            raise ResultError(f"{path}: found {found} bytes; allowed: {stored.bytes}, as its manifest says")
        data = path.read_bytes()
    except OSError as error:
        if isinstance(error, ResultError):
            raise
        raise ResultError(f"{path}: cannot be read ({error.strerror or error})") from error
    if hashlib.sha256(data).hexdigest() != stored.sha256:
        raise ResultError(f"{path}: is damaged: its SHA-256 is not the one in its manifest")
    return data


def parse_arrays(data: bytes, origin: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays in the bytes of a file that `write_arrays` wrote.

    Raises
    ------
    ResultError
        It holds something else: objects, sizes that do not fit, broken members.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                if entry.file_size > entry.compress_size * MOST_COMPRESSED or entry.compress_size > len(data):
                    raise ResultError(f"{origin}: {entry.filename}: claims {entry.file_size} bytes")
                arrays[entry.filename.removesuffix(".npy")] = _parse(archive.read(entry), f"{origin}: {entry.filename}")
    except _BROKEN as error:
        raise ResultError(f"{origin}: cannot be read as .npz ({error})") from error
    return arrays


def _parse(content: bytes, where: str) -> npt.NDArray[Any]:
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ResultError(f"{where}: found another version of .npy; allowed: 1.0")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
    begin = stream.tell()
    if dtype.kind not in "iuf" or by_columns or math.prod(shape) * dtype.itemsize != len(content) - begin:
        raise ResultError(f"{where}: found {dtype}{list(shape)} in {len(content) - begin} bytes")
    return np.frombuffer(content, dtype, offset=begin).reshape(shape).copy()
