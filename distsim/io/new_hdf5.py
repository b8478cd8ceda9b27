"""New HDF5 files on disks that may refuse.

HDF5 writes most of a file when it is closed or when a dataset is let go. An error there is lost (h5py cannot raise it),
or crashes the process, and a file with a hole would be published. So HDF5 writes through an object that never fails: it
keeps the first error and, in memory, what could not be written. Who writes asks after each block, and at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from distsim.io.files import writing


class PatientFile:
    """What h5py needs of a file, on plain system calls.

    Attributes
    ----------
    error
        The first that the system gave.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        self._at = 0
        self._refused: list[tuple[int, bytes]] = []
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the error, if there was one."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Let go of the file; an error that comes this late counts too."""
        try:
            os.close(self._file)
        except OSError as error:
            self.error = self.error or error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET:
            end = max([os.fstat(self._file).st_size, *(at + len(data) for at, data in self._refused)])
            offset += self._at if whence == os.SEEK_CUR else end
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at

    def write(self, data: memoryview) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self.error is None:
            try:
                written = os.pwrite(self._file, left, self._at)
            except OSError as error:
                self.error = error
                break
            left, self._at = left[written:], self._at + written
        if left:
            self._refused.append((self._at, bytes(left)))
            self._at += len(left)
        return size

    def readinto(self, buffer: memoryview) -> int:
        into = memoryview(buffer).cast("B")
        try:
            found = os.pread(self._file, len(into), self._at)
        except OSError as error:
            self.error, found = self.error or error, b""
        into[:] = found.ljust(len(into), b"\0")
        for at, data in self._refused:
            first, last = max(at, self._at), min(at + len(data), self._at + len(into))
            if first < last:
                into[first - self._at : last - self._at] = data[first - at : last - at]
        self._at += len(into)
        return len(into)

    def read(self, size: int) -> bytes:
        """By this h5py knows a file; it calls `readinto`."""
        data = bytearray(size)
        self.readinto(memoryview(data))
        return bytes(data)

    def truncate(self, size: int) -> int:
        try:
            os.ftruncate(self._file, size)
        except OSError as error:
            self.error = self.error or error
        return size

    def flush(self) -> None:
        return None


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """A new file that appears as `path` when it is complete, and a function that raises where writing has failed.

    Raises
    ------
    ResultError
        The file system refused; names the file.
    """
    with writing(path) as temporary:
        raw = PatientFile(temporary)
        try:
            with h5py.File(raw, "w") as file:
                yield file, raw.check
        finally:
            raw.close()
        raw.check()
