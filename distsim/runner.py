"""One experiment from description to results: builds, runs, writes. Tells a Reporter; prints nothing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distsim.backend import Backend
from distsim.build.capacity import resident_bytes
from distsim.build.choosing import storage_settled
from distsim.build.kernels import construction_kernels
from distsim.build.weights import weight_errors
from distsim.comm import Communicator
from distsim.course import Course, Reporter, Silent
from distsim.doubts import doubts
from distsim.energy import EnergyMeasurement
from distsim.engine.edges_dump import EDGES_FILE, dump_connections
from distsim.engine.simulation import Simulation, Sinks
from distsim.errors import ConfigError
from distsim.experiment import Experiment
from distsim.io.alone import Alone
from distsim.logs import LOGGER, log_path, log_to_file
from distsim.measurement import Measurement, peak_bytes, process_age, summarise
from distsim.output import draw, merge_results, publish_results
from distsim.record import Record, open_record
from distsim.runinfo import RUN_FILE
from distsim.signals import StopRequests
from distsim.version import __version__

__all__ = ["Outcome", "Reporter", "Silent", "run_experiment"]


@dataclass(frozen=True)
class Outcome:
    """What a run left, on every rank.

    Attributes
    ----------
    summary
        The contents of summary.json; empty where the run was stopped.
    directory
        Where the results lie; None where nothing was written.
    stopped
        Why and when the run was stopped before its end; "" where it was not.
    """

    summary: Mapping[str, Any]
    directory: Path | None
    stopped: str = ""


def run_experiment(
    experiment: Experiment, comm: Communicator, backend: Backend, *, document: Mapping[str, Any] | None = None,
    out: Path | None = None, overwrite: bool = False, reporter: Reporter | None = None, sinks: Sinks | None = None,
    log_files: bool = False, resume: bool = False, requests: StopRequests | None = None, profile: bool = False,
) -> Outcome:  # fmt: skip
    """Build and run `experiment` on the ranks of `comm`; with `out`, write its results there.

    Parameters
    ----------
    document
        The resolved experiment, written as experiment.yaml; without one it is made from the description.
    sinks
        Receivers of the recorded data where no results are written.
    log_files
        Each rank writes a log beside its results (at the level DEBUG).
    resume
        Go on from the newest valid checkpoint in `out`, where there is one; needs `document`.
    requests
        Signals that ask this rank to stop.
    profile
        Measure phases and kernels; `profile` of the summary.
    """
    reporter = reporter if reporter is not None and comm.rank == 0 else Silent()
    before = resident_bytes()
    if out is None and (experiment.run.checkpoint is not None or experiment.run.wall_time is not None):
        raise ConfigError("run.checkpoint, run.wall_time: need an output directory; name one, or leave them out")
    if out is None and experiment.network.connection_recording:
        raise ConfigError("record.connections: need an output directory; name one, or use Simulator.dump_connections")
    record = None
    with ExitStack() as stack:
        if out is not None:
            alone = stack.enter_context(Alone(out / RUN_FILE))
            record = open_record(experiment, comm, out, document, alone, overwrite=overwrite, resume=resume)
            sinks = record.files.sinks()
        stack.enter_context(log_to_file(log_path(out, comm.rank) if out is not None and log_files else None))
        LOGGER.info("distsim %s, process %d is rank %d of %d", __version__, os.getpid(), comm.rank, comm.size)
        return _build_and_run(
            experiment, comm, backend, record, reporter, sinks, before, requests or StopRequests(), profile
        )


def _build_and_run(
    experiment: Experiment, comm: Communicator, backend: Backend, record: Record | None,
    reporter: Reporter, sinks: Sinks | None, before: int, requests: StopRequests, profile: bool,
) -> Outcome:  # fmt: skip
    run, out = experiment.run, record.out if record is not None else None
    requests.at_once = True  # what there is to keep was kept before
    requests.check()
    device = _take_device(comm, backend, reporter)
    experiment = storage_settled(experiment, comm, backend)
    _tell(reporter, "build", _describe(experiment, comm, backend))
    for text in (*experiment.network.warnings, *doubts(experiment.network)):
        _tell(reporter, "warning", f"warning: {text}")
    for reason in record.found.skipped if record is not None and record.found is not None else ():
        _tell(reporter, "warning", f"warning: a checkpoint is not taken: {reason}")
    try:
        simulation = Simulation(
            experiment, comm, backend, sinks, progress=lambda share: reporter.progress("build", share, 1.0, None),
            keep_history=record is not None, profiler=backend.profiler() if profile else None,
        )  # fmt: skip
    except ConfigError as error:
        # Known on every rank, such as a model that does not compile; or found by one, a neuron without partners.
        if record is not None and (comm.rank == 0 or comm.agreed is error):
            record.withdraw()
        raise
    synapses = comm.total(simulation.rows.synapses)
    stored = comm.total(simulation.rows.bytes(run.precision) + simulation.routing.bytes())
    _log_built(simulation)
    exchange = f"exchange every {simulation.interval * run.dt:g} ms, " if comm.size > 1 else ""
    _tell(
        reporter, "built",
        f"built {synapses:,} synapses in {simulation.seconds['build']:.2f} s, {_drawn_again(simulation)}"
        f"{stored / max(1, synapses):.2f} bytes each; {exchange}"
        f"delivery by {_delivery(simulation)}",
    )  # fmt: skip
    if out is not None and experiment.network.connection_recording:
        _tell(reporter, "connections", f"writing connections to {out / EDGES_FILE}")
        dump_connections(simulation, experiment.network.connection_recording, out / EDGES_FILE)
    _warn_of_rounding(simulation, reporter)
    weight_error = _weight_error(simulation)
    started_after = process_age()
    if record is not None and record.begin(simulation):
        _tell(reporter, "resume", f"going on after {round(simulation.step * run.dt, 10):g} ms")
    requests.at_once = False
    course = Course(simulation, reporter, record, requests)
    if stopped := course.begin() or course.advance(run.steps(run.warmup), "warm-up"):
        return Outcome({}, out, stopped)
    course.measure()
    energy = EnergyMeasurement(comm, device)
    comm.barrier()
    if stopped := course.advance(simulation.end, "simulate"):
        return Outcome({}, out, stopped)
    comm.barrier()
    taken_energy = energy.stop()
    seconds = {**simulation.seconds, **course.measured.seconds(), "start": started_after}
    profiled = course.measured.profile(seconds) if profile else None
    if profiled is not None:  # a device has no clock in the loop
        seconds |= {k: v for k, v in profiled["phase_seconds"].items() if k in seconds and not seconds[k]}
    _log_simulated(simulation, seconds)
    began = time.perf_counter()
    simulation.flush()
    comm.barrier()
    if record is not None and run.checkpoint is not None:
        course.keep()
        requests.at_once = True
        requests.check()
    fresh: Mapping[str, Path] = {}
    written, emitted = record.keeper.segments() if record is not None else {}, simulation.spike_counts().tolist()
    if out is not None and record is not None and comm.rank == 0:
        _tell(reporter, "write", f"writing results to {out}")
        fresh = merge_results(experiment, out, record.merged, written, emitted)
    seconds["record"] = time.perf_counter() - began
    taken = peak_bytes() - before + backend.memory_bytes()
    summary = summarise(simulation, seconds, course.measured.events(), synapses, stored, taken, backend.memory_bytes())
    # What an earlier part of the run used, nobody has kept.
    summary["energy"] = taken_energy.document(summary["synaptic_events"]) if course.measured.whole else None
    if profiled is not None:
        summary["profile"] = profiled
    if weight_error is not None:
        summary["weight_error"] = weight_error
    if out is not None:
        if comm.rank == 0:
            publish_results(out, fresh, summary)
            draw(experiment, out, summary)
        comm.barrier()
    if simulation.exchange is not None:
        simulation.exchange.close()  # a program may run thousands of networks
    LOGGER.info("done: digest %s, peak memory of this rank %.1f MB", summary["spike_digest"], peak_bytes() / 1e6)
    return Outcome(summary, out)


def _tell(reporter: Reporter, name: str, text: str) -> None:
    """To whoever watches rank 0, and to the log of every rank."""
    LOGGER.log(logging.WARNING if name == "warning" else logging.INFO, text, extra={"told": True})
    reporter.phase(name, text)


def _drawn_again(simulation: Simulation) -> str:
    drawn = simulation.comm.total(simulation.rows.n_regrown)
    return f"{drawn:,} of them drawn again for each spike, " if drawn else ""


def _delivery(simulation: Simulation) -> str:
    """How spikes wait until they are due, on how many of the ranks."""
    ranks, by_ring = simulation.comm.size, simulation.comm.total(int(simulation.input.at_arrival))
    if 0 < by_ring < ranks:
        return f"input ring on {by_ring} of {ranks} ranks, time wheel on the others"
    return "input ring" if by_ring else "time wheel"


def _log_built(simulation: Simulation) -> None:
    rows, seconds = simulation.rows, simulation.seconds
    LOGGER.info(
        "built: kernels in %.2f s, network in %.2f s; here %d neurons, %d synapses in %d runs of %d rows, %.1f MB",
        seconds["compile"], seconds["build"], simulation.layout.n_local, rows.n_synapses, rows.n_runs, rows.gids.size,
        (rows.bytes(simulation.experiment.run.precision) + simulation.routing.bytes()) / 1e6,
    )  # fmt: skip
    LOGGER.debug(
        "interval %d steps, longest delay %d steps, %d routes to other ranks",
        simulation.interval, rows.max_delay, simulation.routing.rank.size,
    )  # fmt: skip


def _log_simulated(simulation: Simulation, seconds: Mapping[str, float]) -> None:
    parts = ", ".join(f"{name} {seconds[name]:.3f}" for name in Measurement.FIELDS)
    LOGGER.info("simulated %g ms in %.3f s (%s)", simulation.experiment.run.duration, seconds["simulate"], parts)


def _take_device(comm: Communicator, backend: Backend, reporter: Reporter) -> str:
    """Each rank takes a device, in turn; a warning where some have to share one. What tells it from all others."""
    mine = backend.assign(comm.local_rank())
    devices = [name.tobytes() for name in comm.share(np.frombuffer(mine.encode(), np.uint8))]
    different = len(set(devices))
    if all(devices) and different < comm.size:
        _tell(
            reporter, "warning",
            f"warning: {comm.size} ranks share {different} GPU{'s' if different > 1 else ''} and wait for one another; "
            f"{different} rank{'s' if different > 1 else ''} would be faster",
        )  # fmt: skip
    return mine


def _describe(experiment: Experiment, comm: Communicator, backend: Backend) -> str:
    network, run = experiment.network, experiment.run
    neurons = sum(p.size for p in network.populations if p.model.is_neuron)
    ranks = f"{comm.size} rank{'s' if comm.size > 1 else ''}"
    how = f"{backend.describe()}, {run.precision} precision, seed {run.seed}"
    return f"{network.name}: {neurons:,} neurons on {ranks}, {how}"


def _warn_of_rounding(simulation: Simulation, reporter: Reporter) -> None:
    worst = max(simulation.planes.rounding, default=0.0)
    if worst > 0.01:
        number = simulation.planes.rounding.index(worst)
        _tell(
            reporter, "warning",
            f"warning: projections[{number}]: weights are rounded by up to {worst:.1%}; "
            "run.precision: double keeps 47 bits",
        )  # fmt: skip


def _weight_error(simulation: Simulation) -> list[dict[str, float] | None] | None:
    """Relative error of mean and variance of each projection's weights, where one has `weight_bits`; else None."""
    network = simulation.experiment.network
    if all(p.weight_bits is None for p in network.projections):
        return None
    kernels = construction_kernels(network, simulation.experiment.run.precision, simulation.backend)
    errors = weight_errors(network, simulation.planes, simulation.backend, kernels)
    return [None if e is None else {"mean": e.mean, "variance": e.variance} for e in errors]
