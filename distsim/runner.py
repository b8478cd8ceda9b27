"""One experiment from description to results: builds, runs, writes. Tells a Reporter; prints nothing."""

from __future__ import annotations

import logging
import os
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distsim.backend import Backend
from distsim.build.weights import weight_errors
from distsim.comm import Communicator
from distsim.config import write_document
from distsim.config.describe import described_document
from distsim.engine.digest import by_population, fold
from distsim.engine.recording import StateSamples
from distsim.engine.simulation import Simulation, Sinks
from distsim.experiment import Experiment
from distsim.io import (
    SpikePopulation,
    SpikeSegments,
    StateReport,
    StateSegments,
    merge_spikes,
    merge_states,
    prepare_output,
    write_json,
)
from distsim.kernels.sources import construction_source
from distsim.logs import LOGGER, log_path, log_to_file
from distsim.version import __version__


class Reporter(Protocol):
    """Who is told how a run goes; on rank 0 only."""

    def phase(self, name: str, text: str) -> None:
        """A phase begins or a fact is known."""

    def progress(self, name: str, done: float, total: float, realtime_factor: float | None) -> None:
        """`done` of `total` (ms of biological time, or a share) of the phase."""


class Silent:
    """A reporter for the other ranks, and for Python."""

    def phase(self, name: str, text: str) -> None:
        return None

    def progress(self, name: str, done: float, total: float, realtime_factor: float | None) -> None:
        return None


@dataclass(frozen=True)
class Outcome:
    """What a run left, on every rank.

    Attributes
    ----------
    summary
        The contents of summary.json.
    directory
        Where the results lie; None where nothing was written.
    """

    summary: Mapping[str, Any]
    directory: Path | None


def run_experiment(
    experiment: Experiment, comm: Communicator, backend: Backend, *, document: Mapping[str, Any] | None = None,
    out: Path | None = None, overwrite: bool = False, reporter: Reporter | None = None, sinks: Sinks | None = None,
    log_files: bool = False,
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
    """
    reporter = reporter if reporter is not None and comm.rank == 0 else Silent()
    before = _resident_bytes()
    if out is not None:
        if comm.rank == 0:
            prepare_output(out, overwrite)
        comm.barrier()
        sinks = _files(out, comm.rank, experiment.run.dt)
    with log_to_file(log_path(out, comm.rank) if out is not None and log_files else None):
        LOGGER.info("distsim %s, process %d is rank %d of %d", __version__, os.getpid(), comm.rank, comm.size)
        return _build_and_run(experiment, comm, backend, document, out, reporter, sinks, before)


def _build_and_run(
    experiment: Experiment, comm: Communicator, backend: Backend, document: Mapping[str, Any] | None,
    out: Path | None, reporter: Reporter, sinks: Sinks | None, before: int,
) -> Outcome:  # fmt: skip
    run = experiment.run
    _take_device(comm, backend, reporter)
    _tell(reporter, "build", _describe(experiment, comm, backend))
    simulation = Simulation(
        experiment, comm, backend, sinks, progress=lambda share: reporter.progress("build", share, 1.0, None)
    )
    synapses = comm.total(simulation.rows.n_synapses)
    stored = comm.total(simulation.rows.bytes(run.precision) + simulation.routing.bytes())
    _log_built(simulation)
    _tell(
        reporter, "built",
        f"built {synapses:,} synapses in {simulation.seconds['build']:.2f} s, "
        f"{stored / max(1, synapses):.2f} bytes each; exchange every {simulation.interval * run.dt:g} ms",
    )  # fmt: skip
    _warn_of_rounding(simulation, reporter)
    weight_error = _weight_error(simulation)
    started_after = _process_age()
    warmup = run.steps(run.warmup)
    _advance(simulation, warmup, "warm-up", reporter)
    measured = _Measurement(simulation)
    comm.barrier()
    started = time.perf_counter()
    _advance(simulation, simulation.end, "simulate", reporter)
    comm.barrier()
    simulated = time.perf_counter() - started
    seconds = {**simulation.seconds, **measured.seconds(), "simulate": simulated, "start": started_after}
    _log_simulated(simulation, seconds)
    began = time.perf_counter()
    simulation.flush()
    comm.barrier()
    if out is not None and comm.rank == 0:
        _tell(reporter, "write", f"writing results to {out}")
        _merge(experiment, out)
    seconds["record"] = time.perf_counter() - began
    taken = _peak_bytes() - before + backend.memory_bytes()
    summary = _summary(simulation, seconds, measured.events(), synapses, stored, taken)
    if weight_error is not None:
        summary["weight_error"] = weight_error
    if out is not None:
        if comm.rank == 0:
            write_json(out / "summary.json", summary)
            resolved = document if document is not None else described_document(experiment, out)
            write_document(dict(resolved), out / "experiment.yaml")
            _draw(experiment, out, summary)
        comm.barrier()
    LOGGER.info("done: digest %s, peak memory of this rank %.1f MB", summary["spike_digest"], _peak_bytes() / 1e6)
    return Outcome(summary, out)


def _tell(reporter: Reporter, name: str, text: str) -> None:
    """To whoever watches rank 0, and to the log of every rank."""
    LOGGER.log(logging.WARNING if name == "warning" else logging.INFO, text, extra={"told": True})
    reporter.phase(name, text)


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
    parts = ", ".join(f"{name} {seconds[name]:.3f}" for name in _Measurement.FIELDS)
    LOGGER.info("simulated %g ms in %.3f s (%s)", simulation.experiment.run.duration, seconds["simulate"], parts)


class _Measurement:
    """Times and events of the measured part: differences to the state at its start."""

    FIELDS = ("deliver", "update", "spread", "exchange")

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._start = self._now()
        self._events = int(simulation.loop.synaptic_events)

    def _now(self) -> dict[str, float]:
        loop = self._simulation.loop
        times = {name: float(getattr(loop, f"seconds_{name}")) for name in self.FIELDS}
        times["exchange"] += self._simulation.seconds.get("waited", 0.0)
        return times

    def seconds(self) -> dict[str, float]:
        """Mean over ranks of the seconds of each phase."""
        now = self._now()
        mine = np.array([now[name] - self._start[name] for name in self.FIELDS])
        mean = self._simulation.comm.reduce(mine, "sum") / self._simulation.comm.size
        return dict(zip(self.FIELDS, mean.tolist(), strict=True))

    def events(self) -> int:
        """Synaptic events of all ranks."""
        return self._simulation.comm.total(int(self._simulation.loop.synaptic_events) - self._events)


def _advance(simulation: Simulation, last: int, name: str, reporter: Reporter) -> None:
    dt, first = simulation.experiment.run.dt, simulation.step
    if last <= first:
        return
    LOGGER.info("%s: steps %d to %d", name, first + 1, last)
    started = time.perf_counter()

    def tell(step: int) -> None:
        done = (step - first) * dt
        reporter.progress(name, done, (last - first) * dt, (time.perf_counter() - started) / max(done / 1000.0, 1e-9))

    simulation.run_to(last, tell)


def _files(out: Path, rank: int, dt: float) -> Sinks:
    spikes, states = SpikeSegments(out, rank), StateSegments(out, rank)

    def write_states(samples: StateSamples) -> None:
        states.write(
            samples.recording.population.name, samples.first_sample, samples.data, samples.neurons.astype(np.uint64)
        )

    def write_spikes(steps: npt.NDArray[np.uint64], gids: npt.NDArray[np.uint64]) -> None:
        spikes.write(steps, gids, dt)

    return Sinks(write_spikes, write_states)


def _merge(experiment: Experiment, out: Path) -> None:
    network, run = experiment.network, experiment.run
    merge_spikes(out, [SpikePopulation(p.name, p.first_gid, p.size) for p in network.recorded()], run.dt)
    if network.state_recordings:
        merge_states(out, [_report(experiment, i) for i in range(len(network.state_recordings))])


def _report(experiment: Experiment, index: int) -> StateReport:
    recording, run = experiment.network.state_recordings[index], experiment.run
    every, warmup = run.steps(recording.interval), run.steps(run.warmup)
    first = (warmup // every + 1) * every
    units = tuple(recording.population.model.unit_of(v) for v in recording.variables)
    start = round(first * run.dt, 10)
    return StateReport(recording.population.name, recording.variables, units, start, recording.interval)


def _take_device(comm: Communicator, backend: Backend, reporter: Reporter) -> None:
    """Each rank takes a device, in turn; a warning where some have to share one."""
    mine = backend.assign(comm.local_rank())
    devices = [name.tobytes() for name in comm.share(np.frombuffer(mine.encode(), np.uint8))]
    different = len(set(devices))
    if all(devices) and different < comm.size:
        _tell(
            reporter, "warning",
            f"warning: {comm.size} ranks share {different} GPU{'s' if different > 1 else ''} and wait for one another; "
            f"{different} rank{'s' if different > 1 else ''} would be faster",
        )  # fmt: skip


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
    precision = simulation.experiment.run.precision
    kernels = simulation.backend.compile(construction_source(precision == "double"), f"construct-{precision}")
    errors = weight_errors(network, simulation.planes, simulation.backend, kernels)
    return [None if e is None else {"mean": e.mean, "variance": e.variance} for e in errors]


def _summary(
    simulation: Simulation, seconds: Mapping[str, float], events: int, synapses: int, stored: int, peak: int
) -> dict[str, Any]:
    experiment, comm = simulation.experiment, simulation.comm
    network, run = experiment.network, experiment.run
    sums = simulation.digest_sums()
    digest = fold(sums)
    counts = simulation.spike_counts()
    biological = run.duration / 1000.0
    names = [p.name for p in network.populations]
    neurons = [(i, p) for i, p in enumerate(network.populations) if p.model.is_neuron]
    memory = comm.reduce(np.array([peak], np.int64), "max"), comm.reduce(np.array([peak], np.int64), "sum")
    order = ("start", "compile", "build", "simulate", "update", "deliver", "spread", "exchange", "record")
    return {
        "version": __version__,
        "name": network.name,
        "seed": run.seed,
        "ranks": comm.size,
        "device": simulation.backend.name,
        "precision": run.precision,
        "dt": run.dt,
        "warmup": run.warmup,
        "duration": run.duration,
        "neurons": sum(p.size for _, p in neurons),
        "synapses": synapses,
        "bytes_per_synapse": stored / synapses if synapses else None,
        "memory_bytes": {"per_rank_max": int(memory[0][0]), "total": int(memory[1][0])},
        "exchange_interval": simulation.interval * run.dt,
        "seconds": {name: seconds[name] for name in order},
        "realtime_factor": seconds["simulate"] / biological if biological else None,
        "spikes": int(sum(int(counts[i]) for i, _ in neurons)),
        "synaptic_events": events,
        "rates": {p.name: int(counts[i]) / p.size / biological if biological else 0.0 for i, p in neurons},
        "reference_rates": dict(network.reference_rates),
        "reference_source": network.reference_source,
        "weight_rounding": max(simulation.planes.rounding, default=0.0),
        "spike_digest": str(digest),
        "spike_count": digest.count,
        "populations": {p.name: p.size for p in network.populations},
        "digests": by_population(sums, names),
    }


def _draw(experiment: Experiment, out: Path, summary: Mapping[str, Any]) -> None:
    from distsim.analysis.figures import RasterPopulation, raster

    network, run = experiment.network, experiment.run
    recorded = network.recorded()
    if not recorded or run.duration == 0.0:
        return
    raster(
        out / "spikes.h5", [RasterPopulation(p.name, p.size) for p in recorded], out / "raster.png",
        start=run.warmup, stop=run.warmup + run.duration, reference_rates=network.reference_rates or None,
        reference_source=network.reference_source, title=network.name,
    )  # fmt: skip


def _process_age() -> float:
    """Seconds since this process started (to 10 ms)."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return time.process_time()
    return uptime - started / os.sysconf("SC_CLK_TCK")


def _resident_bytes() -> int:
    """Memory of this process now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _peak_bytes() -> int:
    """The most memory that this process has had (ru_maxrss would count what the process it was forked from had)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
