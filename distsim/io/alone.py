"""One run at a time in a directory: two would remove each other's segments, and neither's result would be whole.

The lock is on run.json, opened for reading. The system lets go of it with the process, however that ends. NFS has no
such lock for a file that is only read, which is well: there one may outlive a machine that stopped, and no run could go
on. What two runs make of a directory is noticed at the latest when it is merged.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from distsim.errors import ConfigError

PATIENCE = 5.0  # seconds for a run that is just ending


class Alone:
    """Held by the one process of a run that writes the directory's description; let go when it is left."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def __enter__(self) -> Alone:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()

    def take(self) -> None:
        """Hold the file that has the name now: again once it was replaced. Where there is none, nothing happens.

        Raises
        ------
        ConfigError
            Another run holds it.
        """
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        if self._file is not None and os.path.sameopenfile(file, self._file):
            os.close(file)
            return
        last = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= last:
                    os.close(file)
                    raise ConfigError(
                        f"output {self._path.parent}: another run is writing there; wait for its end, or stop it"
                    ) from None
                time.sleep(0.2)
            except OSError:  # no locks here
                break
        self._let_go()
        self._file = file

    def _let_go(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
