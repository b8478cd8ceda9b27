"""Connections in arrays, block by block: .npz without pickle, HDF5 without links; sizes are checked first."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from distsim.config.edge_files import Block, array_block
from distsim.config.tables import EDGE_COLUMNS, other_columns
from distsim.edges import BLOCK_EDGES
from distsim.errors import ConfigError, ResultError, nearest
from distsim.io.arrays import MOST_COMPRESSED
from distsim.io.safe_hdf5 import dataset, names, open_hdf5

COLUMNS = (*EDGE_COLUMNS, "receptor")
LONGEST_NAME = 256  # bytes of a port's name
_KINDS = {"id": "iu", "number": "iuf", "name": "SU"}


def npz_blocks(path: str, size: int = BLOCK_EDGES) -> Iterator[Block]:
    """Of an .npz with one array for each column."""
    try:
        with ExitStack() as stack:
            archive = stack.enter_context(zipfile.ZipFile(path))
            columns = {}
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                _known(path, name)
                if entry.file_size > entry.compress_size * MOST_COMPRESSED:
                    raise ConfigError(
                        f"{path}: {name}: claims {entry.file_size} bytes; {entry.compress_size} are there"
                    )
                columns[name] = _Member(path, name, stack.enter_context(archive.open(entry)), entry.file_size)
            n = _length(path, {name: member.shape for name, member in columns.items()})
            for first in range(0, n, size):
                count = min(size, n - first)
                yield array_block(path, {name: member.read(count) for name, member in columns.items()}, first)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        if isinstance(error, (ConfigError, ResultError)):
            raise
        raise ConfigError(f"{path}: cannot be read as .npz ({' '.join(str(error).split())})") from None


class _Member:
    """One array of an archive, read from its beginning to its end."""

    def __init__(self, path: str, name: str, stream: IO[bytes], bytes_there: int) -> None:
        self._where, self._stream = f"{path}: {name}", stream
        head = stream.read(12)  # magic, version, and the header's length
        long = head[6:7] != b"\x01"
        length = int.from_bytes(head[8:12] if long else head[8:10], "little")
        if head[:6] != b"\x93NUMPY" or head[6:7] not in (b"\x01", b"\x02", b"\x03") or length > 10_000:
            raise ConfigError(f"{self._where}: found no .npy array")
        begin = (12 if long else 10) + length
        # As 1.0, whose header's length has two bytes: what it says is the same.
        header = io.BytesIO(length.to_bytes(2, "little") + (b"" if long else head[10:]) + stream.read(begin - 12))
        self.shape, _, self.dtype = np.lib.format.read_array_header_1_0(header)
        _check_column(self._where, name, self.dtype, self.shape)
        if begin + math.prod(self.shape) * self.dtype.itemsize != bytes_there:
            raise ConfigError(f"{self._where}: found {self.dtype}{list(self.shape)} in {bytes_there - begin} bytes")

    def read(self, count: int) -> npt.NDArray[Any]:
        data = self._stream.read(count * self.dtype.itemsize)
        if len(data) != count * self.dtype.itemsize:
            raise ConfigError(f"{self._where}: is shorter than it says")
        return _as_text(np.frombuffer(data, self.dtype), self._where)


def hdf5_blocks(path: str, size: int = BLOCK_EDGES) -> Iterator[Block]:
    """Of an HDF5 file with one dataset for each column at its root."""
    with open_hdf5(path) as file:
        columns = {}
        for name in names(file):
            _known(path, name)
            columns[name] = dataset(file, name, _KINDS[EDGE_COLUMNS.get(name, "name")], 1)
            _check_column(f"{path}: {name}", name, columns[name].dtype, columns[name].shape)
        n = _length(path, {name: column.shape for name, column in columns.items()})
        for first in range(0, n, size):
            here = {
                name: _as_text(np.asarray(column[first : first + size]), f"{path}: {name}")
                for name, column in columns.items()
            }
            yield array_block(path, here, first)


def _known(path: str, name: str) -> None:
    if name not in COLUMNS:
        raise ConfigError(f"{path}: unknown column {name[:80]!r}; {nearest(name[:80], COLUMNS)}")


def _check_column(where: str, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    kinds = _KINDS[EDGE_COLUMNS.get(name, "name")]
    if dtype.kind not in kinds or dtype.itemsize > LONGEST_NAME or dtype.itemsize == 0:
        said = {"iu": "whole numbers", "iuf": "numbers", "SU": "texts of a fixed length"}[kinds]
        raise ConfigError(f"{where}: found {dtype}; allowed: {said}")
    if len(shape) != 1:
        raise ConfigError(f"{where}: found {len(shape)} dimensions; allowed: one")


def _length(path: str, shapes: dict[str, tuple[int, ...]]) -> int:
    for name in EDGE_COLUMNS:
        if name not in shapes:
            raise ConfigError(f"{path}: no column {name!r}; {other_columns(name, shapes)}")
    lengths = {name: shape[0] for name, shape in shapes.items()}
    if len(set(lengths.values())) != 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ConfigError(f"{path}: found columns of different lengths: {said}; one entry a connection")
    return next(iter(lengths.values()))


def _as_text(values: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    if values.dtype.kind != "S":
        return values
    try:
        return np.char.decode(values, "utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: found bytes that are no valid UTF-8") from None
