"""Sealed HDF5 files: the SHA-256 of the whole stands in the file's own user block, before the HDF5 begins.

A file is put together in memory and written by plain system calls, so that a full disk is an ordinary error;
readers of HDF5 skip the user block. A flipped bit or a missing end is found when the file is first read.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from distsim.errors import ResultError
from distsim.io.files import writing

BLOCK = 512  # the smallest user block
_HEAD = "distsim sealed 1\nsha256 {digest}\nbytes {size}\n"


@contextmanager
def sealing(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file in memory; sealed and written to `path` when the block ends without an error."""
    image = io.BytesIO()
    with h5py.File(image, "w", userblock_size=BLOCK) as file:
        yield file
    # The view goes before the image, also where a write fails: else collecting them complains.
    with image.getbuffer() as content, writing(path) as temporary, open(temporary, "wb") as out:
        out.write(_seal(content[BLOCK:]))
        out.write(content[BLOCK:])


def check_seal(path: Path) -> None:
    """Raise ResultError unless the file is complete and unchanged."""
    try:
        with open(path, "rb") as file:
            head, content = file.read(BLOCK), file.read()
    except OSError as error:
        raise ResultError(f"{path}: cannot be read ({error.strerror or error})") from error
    if head != _seal(memoryview(content)):
        raise ResultError(f"{path}: is damaged: its SHA-256 is not the one it was sealed with")


def _seal(content: memoryview) -> bytes:
    head = _HEAD.format(digest=hashlib.sha256(content).hexdigest(), size=len(content))
    return head.encode().ljust(BLOCK, b"\0")
