"""`distsim models`: the models there are, or all about one of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from distsim.cli.table import table
from distsim.models import MODELS
from distsim.models.page import page, summary


def main(options: argparse.Namespace) -> int:
    """A line for each model; for a name, its page of docs/models.md."""
    if options.model is None:
        rows = [["model", "what"], *([name, summary(model)] for name, model in MODELS.items())]
        sys.stdout.write(table(rows))
        return 0
    from distsim.config.files import FileStore
    from distsim.config.user_files import model_of

    sys.stdout.write(page(model_of(options.model, "MODEL", FileStore(Path.cwd(), {})), "#"))
    return 0
