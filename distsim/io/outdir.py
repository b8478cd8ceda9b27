"""The output directory: made or refused before anything is computed."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from distsim.errors import ConfigError
from distsim.io.checkpoints import remove_all
from distsim.io.checksums import CHECKSUMS_FILE
from distsim.io.edges import EDGES_FILE, remove_parts
from distsim.io.files import SEGMENTS, TEMPORARY, is_segment, remove_empty
from distsim.io.rates import RATES_FILE
from distsim.io.spikes import SPIKES_FILE
from distsim.io.states import STATES_FILE
from distsim.io.summary import SUMMARY_FILE
from distsim.logs import LOG_FILES

# Everything that distsim writes into the directory itself; the folders of segments and checkpoints come besides.
_PUBLISHED = (SPIKES_FILE, STATES_FILE, RATES_FILE, SUMMARY_FILE)
RESULT_FILES = (
    *_PUBLISHED, *(f".{name}.new" for name in _PUBLISHED), EDGES_FILE, "experiment.yaml", "raster.png", "run.json",
    CHECKSUMS_FILE,
)  # fmt: skip


# What a run writes before it has said what it is, and unfinished forms of it.
_FIRST = re.compile(r"experiment\.yaml|\.experiment\.yaml\.\d+\.tmp|run\.json" + re.escape(TEMPORARY))


def check_output(path: Path | str, overwrite: bool = False) -> None:
    """Raise ConfigError where `prepare_output` would, without making or removing anything."""
    directory = Path(path).expanduser().absolute()
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"output {path}: found a file; allowed: a directory, or a name that is free")
    there = directory
    while not there.exists():
        there = there.parent
    try:
        if there != directory:
            if not there.is_dir():
                raise ConfigError(f"output {path}: {there} is a file; allowed: a directory")
            with tempfile.TemporaryFile(dir=there):
                return
        with tempfile.TemporaryFile(dir=directory):
            pass
        _refuse_content(path, directory, overwrite)
    except OSError as error:
        raise ConfigError(f"output {path}: cannot be written ({error.strerror or error}); choose another") from error


def hardly_begun(directory: Path) -> bool:
    """Whether nothing is in the directory but what a run writes before it has said what it is (run.json)."""
    return all(entry.is_file() and _FIRST.fullmatch(entry.name) for entry in directory.iterdir())


def prepare_output(path: Path | str, overwrite: bool = False) -> Path:
    """Make sure that `path` is a directory for the results of one run.

    A directory that does not exist is made, with its parents. With `overwrite` the results of an earlier
    run are removed from it; files that distsim does not write stay.

    Returns
    -------
    Path
        The directory, absolute.

    Raises
    ------
    ConfigError
        A file stands in its place, it is not empty (without `overwrite`), or it cannot be written.
    """
    directory = Path(path).expanduser().absolute()
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"output {path}: found a file; allowed: a directory, or a name that is free")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
        _refuse_content(path, directory, overwrite)
        _remove_results(directory)
    except OSError as error:
        raise ConfigError(f"output {path}: cannot be written ({error.strerror or error}); choose another") from error
    return directory


def _refuse_content(path: Path | str, directory: Path, overwrite: bool) -> None:
    content = sorted(entry.name for entry in directory.iterdir())
    if content and not overwrite:
        shown = ", ".join(content[:3]) + (", ..." if len(content) > 3 else "")
        raise ConfigError(
            f"output {path}: found {shown}; allowed: an empty or new directory, or --overwrite (overwrite=True)"
        )


def _remove_results(directory: Path) -> None:
    """Remove what an earlier run of distsim left, its figures and logs too."""
    for name in RESULT_FILES:
        (directory / name).unlink(missing_ok=True)
        (directory / (name + TEMPORARY)).unlink(missing_ok=True)
    remove_all(directory)
    remove_parts(directory / EDGES_FILE)
    for log in directory.glob(LOG_FILES):
        log.unlink()
    folder = directory / SEGMENTS
    if folder.is_dir():
        for entry in folder.iterdir():
            if is_segment(entry):
                entry.unlink()
        remove_empty(folder)
