"""The files of a run: segments while it goes on, merged and published together at its end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.engine.binning import RateCounts
from distsim.engine.recording import StateSamples
from distsim.engine.simulation import Simulation, Sinks
from distsim.errors import ResultError, during
from distsim.experiment import Experiment, RunSettings
from distsim.io import (
    SpikePopulation,
    SpikeSegments,
    StateReport,
    StateSegments,
    merge_spikes,
    merge_states,
    write_json,
)
from distsim.io.checkpoints import KINDS
from distsim.io.checksums import publish
from distsim.io.edges import EDGES_FILE
from distsim.io.files import delete_segments, segment_path, segments
from distsim.io.rates import RATES_FILE, RateReport, RateSegments, merge_rates
from distsim.io.spikes import SPIKES_FILE
from distsim.io.states import STATES_FILE
from distsim.io.summary import SUMMARY_FILE
from distsim.network import Network
from distsim.recordings import RateRecording

SILENCE = 10.0  # seconds after which a rank without spikes says so
LATE = 90.0  # seconds that a folder may show an older state of itself; a minute is NFS's most by default


class SegmentFiles:
    """The segments of one rank.

    Parameters
    ----------
    there
        Kind → how many of them there are; counted by the checkpoint that the run goes on from, since on a network file
        system a folder may still show what another machine has just removed.
    """

    def __init__(self, out: Path, rank: int, dt: float, there: Mapping[str, int]) -> None:
        self._spikes = SpikeSegments(out, rank, there["spikes"])
        self._states = StateSegments(out, rank, there["states"])
        self._rates = RateSegments(out, rank, there["rates"])
        self._dt = dt
        self._spoke = time.monotonic()
        self.simulation: Simulation | None = None  # once it is built: tells up to which step all is written

    def sinks(self) -> Sinks:
        """Receivers that write."""
        return Sinks(self._write_spikes, self._write_states, self._write_rates, self._write_silence)

    def written(self) -> dict[str, int]:
        """Kind → number of segments of this rank."""
        return dict(zip(KINDS, (self._spikes.index, self._states.index, self._rates.index), strict=True))

    def _write_spikes(self, steps: npt.NDArray[np.uint64], gids: npt.NDArray[np.uint64]) -> None:
        self._spikes.write(steps, gids, self._dt, None if self.simulation is None else self.simulation.spikes.until)
        self._spoke = time.monotonic()

    def _write_silence(self) -> None:
        """An empty segment: who reads along would wait for a rank that says nothing."""
        simulation = self.simulation
        if simulation is None or simulation.step <= simulation.loop.record_after:
            return
        if simulation.experiment.network.recorded() and time.monotonic() >= self._spoke + SILENCE:
            nothing = np.empty(0, np.uint64)
            self._write_spikes(nothing, nothing)

    def _write_states(self, samples: StateSamples) -> None:
        self._states.write(
            samples.recording.population.name, samples.first_sample, samples.data, samples.neurons.astype(np.uint64)
        )

    def _write_rates(self, counts: RateCounts) -> None:
        self._rates.write(counts.first_bin, counts.counts, counts.after, counts.until)


def result_files(network: Network) -> list[str]:
    """What segments are merged into."""
    states = [STATES_FILE] if network.state_recordings else []
    return [SPIKES_FILE, *states, *([RATES_FILE] if network.rate_recording is not None else [])]


@during("merge")
def merge_results(
    experiment: Experiment, out: Path, merged: int, written: Mapping[str, Sequence[int]], emitted: Sequence[int]
) -> dict[str, Path]:  # fmt: skip
    """Merge the segments, after what was `merged` up to some step before: name of each result → the file to be it.

    Parameters
    ----------
    written
        Kind → how many segments each rank has closed.
    emitted
        How many spikes each population had after the warm-up.

    Raises
    ------
    ResultError
        A segment is not there, or spikes were lost or doubled: somebody else wrote or removed files here.
    """
    network, run = experiment.network, experiment.run
    _see_all(out, written)
    fresh = {SPIKES_FILE: out / f".{SPIKES_FILE}.new"}
    populations = [SpikePopulation(p.name, p.first_gid, p.size) for p in network.recorded()]
    base = out / SPIKES_FILE if merged else None
    found = merge_spikes(out, populations, run.dt, last=run.end, base=base, target=fresh[SPIKES_FILE])
    ids = {p.name: i for i, p in enumerate(network.populations)}
    for name in (s.name for s in network.recorded_neurons() if s.is_whole):
        if found[name] != emitted[ids[name]]:
            raise ResultError(
                f"{out}: {name}: found {found[name]} spikes in its segments, of {emitted[ids[name]]}; was another run "
                "writing here? Go on from an older checkpoint, or start anew with --overwrite"
            )
    if network.state_recordings:
        fresh[STATES_FILE] = out / f".{STATES_FILE}.new"
        reports = [_report(experiment, i) for i in range(len(network.state_recordings))]
        merge_states(out, reports, last=run.end, base=out / STATES_FILE if merged else None, target=fresh[STATES_FILE])
    if network.connection_recording:
        fresh[EDGES_FILE] = out / EDGES_FILE  # written when the network was built
    if network.rate_recording is not None:
        fresh[RATES_FILE] = out / f".{RATES_FILE}.new"
        base = out / RATES_FILE if merged else None
        merge_rates(out, rate_report(network.rate_recording, run), run.end, base=base, target=fresh[RATES_FILE])
    return fresh


def _see_all(out: Path, written: Mapping[str, Sequence[int]]) -> None:
    """Wait until the folder shows every segment: on a network file system it may be late with those of other machines.

    What is not listed would be left out of the results, and nobody would notice.
    """
    expected = {
        segment_path(out, kind, rank, i) for kind in written for rank, n in enumerate(written[kind]) for i in range(n)
    }
    last = time.monotonic() + LATE
    while unseen := expected - {name.path for kind in written for name in segments(out, kind)}:
        if time.monotonic() >= last:
            raise ResultError(f"{min(unseen)}: is missing; it was written before ({len(unseen)} of {len(expected)})")
        time.sleep(1.0)


@during("merge")
def publish_results(out: Path, fresh: Mapping[str, Path], summary: Mapping[str, Any]) -> None:
    """Replace all results together. Segments go last: a run that dies before goes on and merges again."""
    written = out / f".{SUMMARY_FILE}.new"
    write_json(written, summary)
    publish(out, {**fresh, SUMMARY_FILE: written})
    for kind in KINDS:
        delete_segments(segments(out, kind))


def tidy(out: Path) -> None:
    """Remove what a run that died in its last moments left beside complete results; where that fails, it stays."""
    with suppress(OSError):
        for kind in KINDS:
            delete_segments(segments(out, kind))
        for name in (SPIKES_FILE, STATES_FILE, RATES_FILE, SUMMARY_FILE):
            (out / f".{name}.new").unlink(missing_ok=True)


def rate_report(recording: RateRecording, run: RunSettings) -> RateReport:
    """What is counted, in steps."""
    sizes = {p.name: p.size for p in recording.populations}
    return RateReport(sizes, run.steps(recording.bin), run.steps(run.warmup), run.dt)


def _report(experiment: Experiment, index: int) -> StateReport:
    recording, run = experiment.network.state_recordings[index], experiment.run
    every, warmup = run.steps(recording.interval), run.steps(run.warmup)
    first = (warmup // every + 1) * every
    units = tuple(recording.population.model.unit_of(v) for v in recording.variables)
    start = round(first * run.dt, 10)
    return StateReport(recording.population.name, recording.variables, units, start, recording.interval)


def draw(experiment: Experiment, out: Path, summary: Mapping[str, Any]) -> None:
    from distsim.analysis.figures import RasterPopulation, raster

    network, run = experiment.network, experiment.run
    recorded = network.recorded_neurons()
    if not recorded or run.duration == 0.0:
        return
    raster(
        out / "spikes.h5", [RasterPopulation(s.name, s.population.size, s.size) for s in recorded], out / "raster.png",
        start=run.warmup, stop=run.warmup + run.duration, reference_rates=network.reference_rates or None,
        reference_source=network.reference_source, title=network.name,
    )  # fmt: skip
