"""`distsim plot DIR`: the results of a run as one figure."""

from __future__ import annotations

import argparse
import sys

from distsim.analysis.panels import draw
from distsim.cli.results import given_results


def main(options: argparse.Namespace) -> int:
    """Read, draw, say where the figure is."""
    results = given_results(options.directory, so_far=True)
    out = options.out if options.out is not None else options.directory / "figure.png"
    what = [panel.strip() for panel in options.what.split(",") if panel.strip()]
    draw(results, what, out, options.window)
    sys.stdout.write(f"{out}\n" if results.complete else f"{out}: the run so far, up to {results.stop:g} ms\n")
    return 0
