"""The files that an experiment refers to: found, read once, and known by their hash."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from distsim.errors import ConfigError, ResultError, nearest


class FileStore:
    """Reads files relative to the folder of the configuration.

    Parameters
    ----------
    base
        The folder that relative paths start from.
    expected
        Path → SHA-256 (hex) of files that must not have changed.
    """

    def __init__(self, base: Path, expected: Mapping[str, str]) -> None:
        self.base = base
        self.expected = {self.absolute(name): digest for name, digest in expected.items()}
        self.hashes: dict[str, str] = {}
        self._contents: dict[str, bytes] = {}
        self._seen: dict[str, tuple[int, int]] = {}  # path → size and time of change when its hash was taken

    def absolute(self, name: str) -> str:
        """The absolute path of `name`."""
        return os.path.abspath(self.base / name)

    def verify(self) -> None:
        """Read every expected file; ConfigError where one is missing or has changed."""
        for name in self.expected:
            self.hashed(name, "files")

    def read(self, name: str, where: str) -> bytes:
        """The bytes of the file `name`, which `where` (a key) refers to.

        Raises
        ------
        ConfigError
            The file is missing, unreadable, or differs from what `files` says.
        """
        path = self.absolute(name)
        if path in self._contents:
            return self._contents[path]
        with _readable(path, where):
            data = Path(path).read_bytes()
        self._know(path, hashlib.sha256(data).hexdigest(), where)
        self._contents[path] = data
        return data

    def hashed(self, name: str, where: str) -> str:
        """The absolute path of the file `name`, whose hash is taken but whose bytes are not kept: it may be large.

        Raises
        ------
        ConfigError
            As for `read`.
        """
        path = self.absolute(name)
        if path not in self._seen:
            with _readable(path, where), open(path, "rb") as file:
                before = os.fstat(file.fileno())
                digest = _digest(file)
            self._know(path, digest, where)
            self._seen[path] = (before.st_size, before.st_mtime_ns)
        return path

    def check_unchanged(self, path: str, where: str) -> None:
        """ConfigError where a file is no more what it was when its hash was taken, by its size and its time."""
        with _readable(path, where):
            now = os.stat(path)
        if (now.st_size, now.st_mtime_ns) != self._seen[path]:
            raise ConfigError(f"{where}: {path} has changed since it was checked; let it stay as it is during a run")

    def _know(self, path: str, digest: str, where: str) -> None:
        expected = self.expected.get(path)
        if expected is not None and expected != digest:
            raise ConfigError(
                f"{where}: {path} has changed since the experiment was written: "
                f"found sha256 {digest[:16]}…, expected {expected[:16]}…; restore it, or remove its line under files"
            )
        self.hashes[path] = digest

    def forget(self, name: str) -> None:
        """Keep the hash of the file `name`, but not its bytes."""
        self._contents.pop(self.absolute(name), None)


def movable(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A resolved document to write into `folder`: files that lie in it are named from there, so it can be moved."""
    inside = os.path.abspath(folder) + os.sep
    names = {path: path.removeprefix(inside) for path in document.get("files", {}) if path.startswith(inside)}

    def renamed(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {names.get(key, key): renamed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [renamed(item) for item in value] if names else value
        if not isinstance(value, str):
            return value
        path, colon, function = value.rpartition(":")
        return names[path] + colon + function if path in names else names.get(value, value)

    found: dict[str, Any] = renamed(document)
    return found


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest()


@contextmanager
def _readable(path: str, where: str) -> Iterator[None]:
    """What the system says of a file that cannot be read becomes ConfigError."""
    try:
        _check_regular(path, where)
        yield
    except FileNotFoundError:
        folder = Path(path).parent
        if not folder.is_dir():
            raise ConfigError(f"{where}: file {_short(path)} not found; there is no folder {_short(folder)}") from None
        near = nearest(Path(path).name, (p.name for p in folder.iterdir()))
        hint = f"; {near}" if near.startswith("did you mean") else ""
        raise ConfigError(f"{where}: file {_short(path)} not found{hint}") from None
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"{where}: file {_short(path)} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None


def _short(path: str | Path) -> str:
    """A path in a message."""
    text = str(path)
    return repr(text if len(text) <= 300 else f"{text[:200]}…{text[-60:]}")


def _check_regular(path: str, where: str) -> None:
    """ConfigError for what is there but no file: a pipe or a device may never end, and is not the same twice."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"
        raise ConfigError(f"{where}: found {_short(path)}, {kind}; allowed: a file")


@contextmanager
def told_of(where: str) -> Iterator[None]:
    """What is wrong in a file is told of the key that names it, as wrong input."""
    try:
        yield
    except (ConfigError, ResultError) as error:
        raise ConfigError(f"{where}: {error}") from None
