"""`distsim run CONFIG`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distsim.backend import open_backend
from distsim.cli.progress import open_reporter
from distsim.comm import Communicator, connect
from distsim.config import load_experiment
from distsim.io.outdir import check_output
from distsim.runner import run_experiment


def main(options: argparse.Namespace) -> int:
    """Validate everything, then start MPI, then build and run."""
    loaded = load_experiment(options.config, options.overrides)
    if options.out is not None:
        check_output(options.out, options.overwrite)
    backend = open_backend(options.device)
    backend.check()
    comm = connect()
    out = options.out if options.out is not None else free_directory(loaded.experiment.network.name, comm)
    reporter = open_reporter() if comm.rank == 0 else None
    try:
        outcome = run_experiment(
            loaded.experiment, comm, backend, document=loaded.document, out=out, overwrite=options.overwrite,
            reporter=reporter,
        )  # fmt: skip
    finally:
        if reporter is not None:
            reporter.close()
    if comm.rank == 0:
        sys.stdout.write(report(outcome.summary, out))
        sys.stdout.flush()
    return 0


def free_directory(name: str, comm: Communicator) -> Path:
    """results/NAME, or results/NAME-2, -3 … where that has results; the same on every rank."""
    base = Path("results") / "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
    number = 1
    chosen = base
    while chosen.exists() and (not chosen.is_dir() or any(chosen.iterdir())):
        number += 1
        chosen = base.with_name(f"{base.name}-{number}")
    comm.barrier()
    return comm.broadcast(chosen)


def report(summary: Mapping[str, Any], out: Path) -> str:
    """The closing lines: rates beside the published ones, real-time factor, digest."""
    published = summary["reference_rates"]
    width = max((len(name) for name in summary["rates"]), default=0)
    lines = ["", f"{'':{width}}  rate (Hz)" + ("   published" if published else "")]
    for name, rate in summary["rates"].items():
        beside = f"{published[name]:12.3f}" if name in published else ""
        lines.append(f"{name:{width}}  {rate:9.3f}{beside}")
    if published and summary["reference_source"]:
        lines.append(f"published: {summary['reference_source']}")
    seconds, factor = summary["seconds"], summary["realtime_factor"]
    lines.append("")
    if factor is not None:
        lines.append(
            f"real-time factor {factor:.3g} ({seconds['simulate']:.2f} s for {summary['duration']:g} ms), "
            f"{summary['spikes']:,} spikes, {summary['synaptic_events']:,} synaptic events"
        )
    lines.append(f"spike digest {summary['spike_digest']} ({summary['spike_count']:,} spikes, warm-up included)")
    lines.append(f"results in {out}")
    return "\n".join(lines) + "\n"
