"""A results directory as arrays: what `plot` and `compare` look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from distsim.collect import States
from distsim.errors import ResultError
from distsim.experiment import RunSettings
from distsim.io.checkpoints import Manifest, folders, read_manifest
from distsim.io.files import segments, step_times, times_to_steps
from distsim.io.rates import RATES_FILE, RateBins, RateReport, read_rates, read_rates_so_far
from distsim.io.spikes import SPIKES_FILE, merged_until, read_segment, read_spikes
from distsim.io.states import STATES_FILE
from distsim.io.states_read import read_states
from distsim.io.summary import SUMMARY_FILE, read_json
from distsim.results import mean_rate, spikes_frame
from distsim.runinfo import RUN_FILE, RunInfo, read_info

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Results:
    """What a run left in its directory.

    Attributes
    ----------
    summary
        summary.json.
    spikes
        Recorded population → (times in ms, ids), by time, then id; in the order of description. Ids are local to the
        population; where only some of its neurons were recorded, they count these.
    sizes
        Recorded population → number of recorded neurons.
    start, stop
        What was recorded, in ms: (start, stop].
    complete
        Whether the run is finished; else `spikes` reach up to `stop`, and `summary` has only what was known when the
        run began.

    `states`, `rates`, `rate_bins` and `spike_digest` are those of the Result that `simulate` gives; states and bins are
    read from their files when they are first asked for.
    """

    directory: Path
    summary: Mapping[str, Any]
    spikes: Mapping[str, tuple[Floats, Ids]]
    sizes: Mapping[str, int]
    start: float
    stop: float
    complete: bool = True
    neurons: Mapping[str, Ids] = field(default_factory=dict)  # where some were recorded: their population-local ids

    def local_spikes(self, population: str) -> tuple[Floats, Ids]:
        """Spikes with population-local ids, whichever neurons were recorded."""
        times, ids = self.spikes[population]
        return times, self.neurons[population][ids] if population in self.neurons else ids

    @cached_property
    def states(self) -> Mapping[str, States]:
        """Population → recorded states, read from states.h5; empty where there is none (yet)."""
        path = self.directory / STATES_FILE
        return {name: States(*found) for name, found in read_states(path).items()} if path.is_file() else {}

    @property
    def rates(self) -> Mapping[str, float]:
        """Population → mean rate of its neurons in Hz; of an unfinished run that of those recorded, so far."""
        if self.complete:
            return dict(self.summary["rates"])
        span = self.stop - self.start
        return {name: mean_rate(times.size, self.sizes[name], span) for name, (times, _) in self.spikes.items()}

    @cached_property
    def rate_bins(self) -> Mapping[str, RateBins]:
        """Population → RateBins; empty where no rates were recorded."""
        if not (self.directory / RUN_FILE).is_file() or not read_info(self.directory).rates:
            return {}
        return load_rates(self.directory)

    @property
    def spike_digest(self) -> str:
        """Over all spikes, the warm-up's included; "" before the run is finished."""
        return str(self.summary.get("spike_digest", ""))

    def to_pandas(self) -> Any:
        """Spikes as `distsim.Result.to_pandas` gives them, with population-local ids; needs pandas."""
        return spikes_frame({name: self.local_spikes(name) for name in self.spikes})


def load_results(directory: Path | str) -> Results:
    """What a run has left so far: of a finished run all, of one that goes on or has died what was written last.

    Spikes of an unfinished run are complete up to `stop`, to which every rank has written; later ones are left out.

    Raises
    ------
    ResultError
        The directory holds no results, or they cannot be read.
    """
    directory = Path(directory)
    if not (directory / RUN_FILE).is_file():
        return read_results(directory)
    return _again(lambda: _load(directory))


def _again(work: Callable[[], T]) -> T:
    """Twice, if need be: a run that ends, or goes on, while it is read removes the segments that were just listed."""
    try:
        return work()
    except ResultError:
        return work()


def _load(directory: Path) -> Results:
    info = read_info(directory)
    if _is_complete(directory, info):
        return read_results(directory)
    found = _partial(directory, info)
    return read_results(directory) if _is_complete(directory, info) else found  # its segments may have been half gone


def _is_complete(directory: Path, info: RunInfo) -> bool:
    path = directory / SUMMARY_FILE
    return path.is_file() and read_json(path).get("duration") == info.duration


def _partial(directory: Path, info: RunInfo) -> Results:
    steps, gids, last = _so_far(directory, info)
    order = np.lexsort((gids, steps))
    times, gids = step_times(steps[order], info.dt), gids[order]
    spikes: dict[str, tuple[Floats, Ids]] = {}
    for p in info.written():
        own = (gids >= p.first_gid) & (gids < p.first_gid + p.size)
        spikes[p.name] = times[own], (gids[own] - np.uint64(p.first_gid)).astype(np.int64)
    sizes = {p.name: p.size for p in info.written()}
    summary = {
        "version": info.version, "name": info.name, "dt": info.dt, "warmup": info.warmup, "duration": info.duration,
        "populations": {p.name: p.size for p in info.populations},
    }  # fmt: skip
    stop = float(step_times(np.array([last], np.uint64), info.dt)[0])
    neurons = _count_selected(info, spikes, sizes, directory)
    return Results(directory, summary, spikes, sizes, info.warmup, max(stop, info.warmup), False, neurons)


def load_rates(directory: Path | str) -> dict[str, RateBins]:
    """Spikes counted in bins: population → RateBins; of an unfinished run the bins that are complete so far.

    Raises
    ------
    ResultError
        The directory holds no results, or no rates were recorded.
    """
    directory = Path(directory)
    info = read_info(directory)
    if not info.rates:
        raise ResultError(f"{directory}: no rates were recorded; record: {{rates: {{bin: 10.0}}}} counts them")
    return _again(lambda: _load_rates(directory, info))


def _load_rates(directory: Path, info: RunInfo) -> dict[str, RateBins]:
    if _is_complete(directory, info):
        return read_rates(directory / RATES_FILE)
    run = RunSettings(info.duration, warmup=info.warmup, dt=info.dt)
    sizes = {p.name: p.size for p in info.populations}
    counted = {name: sizes[name] for name in info.rates["populations"]}
    report = RateReport(counted, run.steps(info.rates["bin"]), run.steps(run.warmup), info.dt)
    found = read_rates_so_far(directory, report, info.ranks, info.first_step)
    return read_rates(directory / RATES_FILE) if _is_complete(directory, info) else found


def _so_far(directory: Path, info: RunInfo) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], int]:
    """Steps and global ids of all spikes up to the last step that every rank has written, and that step."""
    steps, gids = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    after = 0
    if (directory / SPIKES_FILE).is_file():  # of a shorter run, which is made longer now
        after = merged_until(directory / SPIKES_FILE)
        first = {p.name: p.first_gid for p in info.populations}
        for name, (times, ids) in read_spikes(directory / SPIKES_FILE).items():
            steps.append(times_to_steps(times, info.dt))
            gids.append(ids + np.uint64(first[name]))
    written = dict.fromkeys(range(info.ranks), info.first_step)
    for segment in segments(directory, "spikes"):
        step, gid, until = read_segment(segment.path)
        later = step > after
        steps.append(step[later])
        gids.append(gid[later])
        if segment.rank in written:
            written[segment.rank] = max(written[segment.rank], until)
    last = max([after, min(written.values()), *(m.step for m in _newest_checkpoint(directory))])
    step, gid = np.concatenate(steps), np.concatenate(gids)
    return step[step <= last], gid[step <= last], last


def _newest_checkpoint(directory: Path) -> list[Manifest]:
    """At a checkpoint every rank has written all."""
    for folder in folders(directory):
        try:
            return [read_manifest(folder)]
        except ResultError:
            continue
    return []


def read_results(directory: Path | str) -> Results:
    """Read the summary and the spikes of a run.

    Raises
    ------
    ResultError
        The directory holds no finished run, or one of a version that did not write the sizes of populations.
    """
    directory = Path(directory)
    path = directory / SUMMARY_FILE
    if not directory.is_dir():
        raise ResultError(f"{directory}: no such directory; allowed: one written by `distsim run --out`")
    if not path.is_file():
        raise ResultError(f"{directory}: found no {SUMMARY_FILE}; allowed: the results of a finished run")
    summary = read_json(path)
    try:
        sizes = {str(name): int(n) for name, n in summary["populations"].items()}
        start = float(summary["warmup"])
        stop = start + float(summary["duration"])
        _ = summary["spike_digest"], summary["digests"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ResultError(f"{path}: found no usable {error}; run again with this version of distsim") from error
    found = read_spikes(directory / SPIKES_FILE)
    unknown = next((name for name in found if name not in sizes), None)
    if unknown is not None:
        raise ResultError(f"{directory / SPIKES_FILE}: found population {unknown!r}; {SUMMARY_FILE} does not have it")
    spikes = {name: (found[name][0], found[name][1].astype(np.int64)) for name in sizes if name in found}
    for name, (_times, ids) in spikes.items():
        if ids.size and int(ids.max()) >= sizes[name]:
            raise ResultError(f"{directory}: {name}: found neuron {int(ids.max())}; allowed: 0 to {sizes[name] - 1}")
    sizes = {name: sizes[name] for name in spikes}
    info = read_info(directory) if (directory / RUN_FILE).is_file() else None
    neurons = _count_selected(info, spikes, sizes, directory) if info is not None else {}
    return Results(directory, summary, spikes, sizes, start, stop, neurons=neurons)


def _count_selected(
    info: RunInfo, spikes: dict[str, tuple[Floats, Ids]], sizes: dict[str, int], directory: Path
) -> dict[str, Ids]:
    """Where only some neurons were recorded, number these and count only them; returns which they are."""
    neurons = info.neurons()
    for name, chosen in neurons.items():
        if name in spikes:
            times, ids = spikes[name]
            at = np.minimum(np.searchsorted(chosen, ids), chosen.size - 1)
            strange = ids[chosen[at] != ids]
            if strange.size:
                raise ResultError(f"{directory}: {name}: found neuron {int(strange[0])}; it was not to be recorded")
            spikes[name], sizes[name] = (times, at), chosen.size
    return neurons
