"""Logging: distsim's logger says what happens on each rank; who wants to read it attaches a handler.

Nothing is printed by default. `log_to_file` gives a rank a file of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distsim.errors import ResultError

LOGGER = logging.getLogger("distsim")
LOGGER.addHandler(logging.NullHandler())
LOG_FILES = "log.rank*.txt"


def notice(text: str) -> None:
    """Log what whoever waits should know; `distsim run` shows it, although it shows nothing else of the log."""
    LOGGER.info(text, extra={"notice": True})


def log_path(directory: Path, rank: int) -> Path:
    """Where a rank's log lies."""
    return directory / f"log.rank{rank:04d}.txt"


@contextmanager
def log_to_file(path: Path | None) -> Iterator[None]:
    """Write everything that is logged within to `path` (None: nothing is written).

    Raises
    ------
    ResultError
        The file cannot be written.
    """
    if path is None:
        yield
        return
    try:
        handler = logging.FileHandler(path, mode="a", encoding="utf-8")
    except OSError as error:
        raise ResultError(f"{path}: cannot be written ({error.strerror or error})") from error
    formatter = logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
    formatter.converter = time.localtime
    handler.setFormatter(formatter)
    with attached(handler, logging.DEBUG):
        try:
            yield
        except BaseException as error:
            LOGGER.error("%s: %s", type(error).__name__, " ".join(str(error).split()))
            raise
        finally:
            handler.close()


@contextmanager
def attached(handler: logging.Handler, level: int) -> Iterator[None]:
    """Give `handler` what is logged within at `level` and above."""
    handler.setLevel(level)
    before = LOGGER.level
    LOGGER.setLevel(min(level, before) if before else level)
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(before)
