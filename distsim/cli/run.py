"""`distsim run CONFIG`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from logging import DEBUG, INFO
from pathlib import Path
from typing import Any

from distsim.backend import Backend, open_backend
from distsim.build.capacity import (
    available_bytes,
    check_fits,
    check_fits_device,
    ranks_on_this_machine,
    resident_bytes,
    total_bytes,
)
from distsim.checks import check_ranks
from distsim.cli.profile_table import profile_table
from distsim.cli.progress import JsonLines, ToReporter, open_reporter
from distsim.comm import Communicator, connect, launched_as
from distsim.config import load_experiment
from distsim.config.identity import identity
from distsim.config.load import LoadedExperiment
from distsim.errors import ConfigError, Stopped
from distsim.experiment import Experiment
from distsim.io.alone import Alone
from distsim.io.outdir import check_output
from distsim.logs import attached
from distsim.output import tidy
from distsim.resuming import check_resume, finished
from distsim.runinfo import RUN_FILE
from distsim.runner import run_experiment
from distsim.signals import StopRequests


def main(options: argparse.Namespace) -> int:
    """Validate everything, then start MPI, then build and run."""
    with StopRequests(stay=True) as requests:
        loaded = load_experiment(options.config, options.overrides)
        if options.out is None and loaded.out is not None:
            options.out = loaded.out
            options.overwrite = options.overwrite or (loaded.overwrite and not options.resume)
        if options.resume:
            return go_on(options, loaded, requests)
        return start(options, loaded, requests)


def go_on(options: argparse.Namespace, loaded: LoadedExperiment, requests: StopRequests) -> int:
    """Continue what is in the output directory; nothing, where it is complete."""
    experiment = loaded.experiment
    if options.overwrite:
        raise ConfigError("--resume --overwrite: found both; allowed: one of them")
    if options.out is None:
        options.out = results_directory(experiment.network.name)
    check_resume(options.out, identity(loaded.document), experiment.run)
    summary = finished(options.out, experiment.run) if (options.out / RUN_FILE).is_file() else None
    if summary is None:
        return start(options, loaded, requests)
    if launched_as()[0] == 0:
        with suppress(ConfigError), Alone(options.out / RUN_FILE) as alone:
            alone.take()  # a run that makes it longer has segments there
            tidy(options.out)
        if not options.quiet and options.progress != "json":
            sys.stdout.write(f"{options.out}: complete already, nothing is left to compute\n")
        _close(options, summary, options.out)
    return 0


def start(options: argparse.Namespace, loaded: LoadedExperiment, requests: StopRequests) -> int:
    """Check what is left to check, then build and run."""
    check_ranks(loaded.experiment.run, launched_as()[1])
    if options.out is not None:
        check_output(options.out, options.overwrite or options.resume)
    backend = open_backend(options.device)
    backend.check()
    if not ignores_memory(options):
        check_memory(loaded.experiment, backend)
    comm = connect()
    if not ignores_memory(options):
        check_memory(loaded.experiment, backend, comm)
    out = options.out if options.out is not None else free_directory(loaded.experiment.network.name, comm)
    reporter = open_reporter(options.progress, options.quiet) if comm.rank == 0 else None
    with ExitStack() as stack:
        if reporter is not None:
            stack.callback(reporter.close)
            level = DEBUG if options.verbose > 1 else INFO
            stack.enter_context(attached(ToReporter(reporter, notices_alone=not options.verbose), level))
        outcome = run_experiment(
            loaded.experiment, comm, backend, document=loaded.document, out=out, overwrite=options.overwrite,
            reporter=reporter, log_files=options.log_file, resume=options.resume, requests=requests,
            profile=options.profile,
        )  # fmt: skip
    if outcome.stopped:
        if comm.rank == 0:
            sys.stderr.write(f"distsim: {outcome.stopped}; `distsim resume {out}` goes on\n")
            sys.stderr.flush()
        comm.leave(Stopped.exit_code)
        return Stopped.exit_code
    if comm.rank == 0:
        _close(options, outcome.summary, out)
    return 0


def _close(options: argparse.Namespace, summary: Mapping[str, Any], out: Path) -> None:
    """The last words of a complete run."""
    if options.progress == "json":
        JsonLines().write({"phase": "done", "directory": str(out.absolute()), "summary": summary})
    else:
        sys.stdout.write(digest_line(summary) if options.quiet else report(summary, out))
    sys.stdout.flush()


def ignores_memory(options: argparse.Namespace) -> bool:
    """Whether the user insists, by --ignore-memory or DISTSIM_IGNORE_MEMORY=1."""
    return bool(options.ignore_memory) or os.environ.get("DISTSIM_IGNORE_MEMORY", "0") not in ("", "0")


def check_memory(experiment: Experiment, backend: Backend, comm: Communicator | None = None) -> None:
    """Raise CapacityError where the network cannot fit into this machine's memory, or its devices'.

    Before MPI starts (`comm` None) several ranks ask only for what cannot change between them, the memory of
    the whole machine: all must come to the same answer. With MPI they agree on the least that is available.
    """
    n_ranks = launched_as()[1] if comm is None else comm.size
    here = ranks_on_this_machine(n_ranks)
    if comm is not None and n_ranks == 1:
        return  # asked before
    if backend.name != "cpu":
        if comm is None and n_ranks > 1:
            return  # which device a rank gets, and what others hold there, is known only with MPI
        found = backend.available_bytes(0 if comm is None else comm.local_rank())
        assert found is not None
        check_fits_device(
            experiment, n_ranks, -(-here // found[1]), found[0] if comm is None else comm.minimum(found[0])
        )
        return
    room = available_bytes() if n_ranks == 1 or comm is not None else total_bytes()
    if comm is not None:
        room = comm.minimum(room if room is not None else 2**62)
    if room is not None:
        check_fits(experiment, n_ranks, here, room, resident_bytes())


def results_directory(name: str) -> Path:
    """results/NAME, with what a file name should not have replaced."""
    return Path("results") / "".join(c if c.isalnum() or c in "._-" else "_" for c in name)


def free_directory(name: str, comm: Communicator) -> Path:
    """results/NAME, or results/NAME-2, -3 … where that has results; the same on every rank."""
    base = results_directory(name)
    number = 1
    chosen = base
    while chosen.exists() and (not chosen.is_dir() or any(chosen.iterdir())):
        number += 1
        chosen = base.with_name(f"{base.name}-{number}")
    comm.barrier()
    return Path(os.fsdecode(comm.broadcast(os.fsencode(chosen))))


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
    if summary["energy"] is not None:
        lines.append(energy_line(summary["energy"]))
    if "profile" in summary:
        lines.append(profile_table(summary["profile"], seconds["simulate"]))
    lines.append(digest_line(summary).rstrip())
    lines.append(f"results in {out}")
    return "\n".join(lines) + "\n"


def energy_line(energy: Mapping[str, Any]) -> str:
    """Joules, and what a synaptic event took."""
    each = energy["nanojoules_per_event"]
    an_event = "" if each is None else f", {each:.3g} nJ a synaptic event"
    return f"energy {energy['joules']:.4g} J{an_event}, by {', '.join(energy['source'])}"


def digest_line(summary: Mapping[str, Any]) -> str:
    """Sameness in one line."""
    return f"spike digest {summary['spike_digest']} ({summary['spike_count']:,} spikes, warm-up included)\n"
