"""Results named on the command line: what is wrong with them is wrong input."""

from __future__ import annotations

from pathlib import Path

from distsim.analysis.results import Results, load_results, read_results
from distsim.errors import ConfigError, ResultError


def given_results(directory: Path, so_far: bool = False) -> Results:
    """The results in `directory`, with `so_far` also those of an unfinished run; or ConfigError."""
    try:
        return load_results(directory) if so_far else read_results(directory)
    except ResultError as error:
        raise ConfigError(str(error)) from error
