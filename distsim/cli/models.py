"""`distsim models`: the models and inputs there are, or all about one of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from distsim.cli.table import table
from distsim.devices import DEVICES
from distsim.models import MODELS
from distsim.models.page import device_page, page, summary


def main(options: argparse.Namespace) -> int:
    """A line for each model and input; for a name, its page of docs/models.md, or of docs/configuration.md."""
    if options.model is None:
        rows = [["model", "what"], *([name, summary(model)] for name, model in MODELS.items())]
        inputs = [["input", "what"], *([device.name, device.doc.rstrip(".")] for device in DEVICES)]
        sys.stdout.write(table(rows) + "\n" + table(inputs))
        return 0
    device = next((d for d in DEVICES if options.model in (d.name, *d.aliases)), None)
    if device is not None and options.model not in MODELS:
        sys.stdout.write(device_page(device, "#"))
        return 0
    from distsim.config.files import FileStore
    from distsim.config.user_files import model_of

    sys.stdout.write(page(model_of(options.model, "MODEL", FileStore(Path.cwd(), {})), "#"))
    if device is not None:  # of one name: a model, whose train all targets share, and an input
        sys.stdout.write("\nAs an input (under `inputs`):\n\n" + device_page(device))
    return 0
