"""Results named on the command line: what is wrong with them is wrong input."""

from __future__ import annotations

from pathlib import Path

from distsim.analysis.results import Results, read_results
from distsim.errors import ConfigError, ResultError


def given_results(directory: Path) -> Results:
    """The results in `directory`, or ConfigError."""
    try:
        return read_results(directory)
    except ResultError as error:
        raise ConfigError(str(error)) from error
