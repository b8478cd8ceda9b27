"""`distsim models`: the models and inputs there are, or all about one of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from distsim.cli.table import table
from distsim.devices import DEVICES
from distsim.devices_page import device_page, device_summary
from distsim.models import MODELS
from distsim.models.page import page, summary


def main(options: argparse.Namespace) -> int:
    """A line for each model and input; for a name, its page of docs/models.md."""
    if options.model is None:
        rows = [["model", "what"], *([name, summary(model)] for name, model in MODELS.items())]
        inputs = [["input", "what"], *([device.name, device_summary(device)] for device in DEVICES)]
        sys.stdout.write(f"{table(rows)}\n{table(inputs)}")
        return 0
    pages = [device_page(d, "#") for d in DEVICES if options.model in (d.name, *d.aliases)]
    if pages and options.model not in MODELS:
        sys.stdout.write(pages[0])
        return 0
    from distsim.config.files import FileStore
    from distsim.config.user_files import model_of

    shown = [page(model_of(options.model, "MODEL", FileStore(Path.cwd(), {})), "#"), *pages]
    sys.stdout.write("\n".join(shown))
    return 0
