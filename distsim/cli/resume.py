"""`distsim resume DIR`: the experiment that DIR holds, from its newest valid checkpoint on."""

from __future__ import annotations

import argparse

from distsim.cli import run
from distsim.errors import ConfigError


def main(options: argparse.Namespace) -> int:
    """`distsim run DIR/experiment.yaml --out DIR --resume`."""
    directory = options.directory
    options.config = directory / "experiment.yaml"
    if not options.config.is_file():
        raise ConfigError(f"resume {directory}: found no experiment.yaml; allowed: a directory of `distsim run`")
    options.out, options.resume, options.overwrite = directory, True, False
    return run.main(options)
