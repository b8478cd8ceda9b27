"""Spikes that were written, looked at again: whether they can be of a run, and the digest that follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.engine.digest import SpikeDigest, fold_totals, sums_of
from distsim.errors import ResultError
from distsim.experiment import RunSettings
from distsim.io.checkpoints import Manifest
from distsim.io.files import segment_path, step_times, times_to_steps
from distsim.io.safe_hdf5 import child, dataset, names, open_hdf5
from distsim.io.spikes import SPIKES_FILE, SpikePopulation, read_segment
from distsim.periods import bounds, n_periods, period_of
from distsim.runinfo import RunInfo

WINDOW = 2_000_000  # spikes held at once
Sums = dict[int, list[int]]  # period → sums of hash words 0 to 3, and number of spikes
Digests = Mapping[str, Mapping[int, SpikeDigest]]  # of a population, by period
NONE = [0] * 5


def examine(root: Any, population: SpikePopulation, run: RunSettings, per_second: int) -> tuple[Sums, str]:
    """Digest sums of a population's spikes by period, and what is wrong with them, or ""."""
    sums: Sums = {}
    problem, before = "", (run.steps(run.warmup), 2**63)
    for steps, ids, exact in _windows(root, population.name, run.dt):
        problem = problem or _problem(steps, ids, exact, before, run.end, population.size)
        before = int(steps[-1]), int(ids[-1])
        _add(sums, steps, ids + np.uint64(population.first_gid), per_second)
    return sums, problem


def _add(sums: Sums, steps: npt.NDArray[Any], gids: npt.NDArray[Any], per_second: int) -> None:
    """To the sums of their periods those of further spikes, in order of steps."""
    periods = period_of(steps, per_second)
    cuts = np.flatnonzero(np.diff(periods)) + 1
    for begin, end in zip([0, *cuts.tolist()], [*cuts.tolist(), steps.size], strict=True):
        if begin < end:
            period = int(periods[begin])
            fresh = sums_of(steps[begin:end], gids[begin:end])
            sums[period] = [a + b for a, b in zip(sums.get(period, NONE), fresh, strict=True)]


def _windows(root: Any, name: str, dt: float) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any], bool]]:
    """Steps and ids of a population, some at a time, and whether every time is that of a step."""
    times, ids = dataset(root, f"{name}/timestamps", "f", 1), dataset(root, f"{name}/node_ids", "ui", 1)
    if times.shape != ids.shape:
        raise ResultError(f"{name}: found {times.shape[0]} times and {ids.shape[0]} ids")
    for begin in range(0, times.shape[0], WINDOW):
        found = times[begin : begin + WINDOW]
        steps = times_to_steps(found, dt)
        exact = bool(np.array_equal(step_times(steps, dt), found))
        yield steps, ids[begin : begin + WINDOW].astype(np.uint64), exact


def _problem(
    steps: npt.NDArray[Any], ids: npt.NDArray[Any], exact: bool, before: tuple[int, int], last: int, size: int
) -> str:
    """What is wrong with the next spikes, after one `before` (step, id); or ""."""
    if not exact:
        return "a time is not on the grid"
    if int(steps.max()) > last:
        return "a time is after the end"
    pairs = list(zip(steps[:1].tolist(), ids[:1].tolist(), strict=True))
    later = steps[1:] > steps[:-1]
    if pairs[0] < before or not np.all(later | ((steps[1:] == steps[:-1]) & (ids[1:] >= ids[:-1]))):
        return "spikes are not sorted by time, then id, or are in the warm-up"
    return f"found neuron {int(ids.max())}; allowed: 0 to {size - 1}" if int(ids.max()) >= size else ""


def written_digests(directory: Path, info: RunInfo, run: RunSettings, manifest: Manifest, base: int) -> Digests:
    """Of what a checkpoint counts as written: spikes.h5, which ends at step `base`, and its segments.

    Left out are periods that touch the warm-up, whose spikes are not written, and populations of which not all neurons
    are recorded.
    """
    whole = [p for p in info.written() if p.name not in info.selected]
    sums: dict[str, Sums] = {p.name: {} for p in whole}
    if base:
        with open_hdf5(directory / SPIKES_FILE) as file:
            root = child(file, "spikes")
            sums |= {p.name: examine(root, p, run, run.steps_per_second)[0] for p in whole if p.name in names(root)}
    for rank, n in enumerate(manifest.segments["spikes"]):
        for index in range(n):
            steps, gids, _ = read_segment(segment_path(directory, "spikes", rank, index))
            for p in whole:
                own = (steps > base) & (gids >= p.first_gid) & (gids < p.first_gid + p.size)
                _add(sums[p.name], steps[own], gids[own], run.steps_per_second)
    silent = run.steps(run.warmup)
    seen = range(
        n_periods(silent, run.steps_per_second) if silent else 0, n_periods(manifest.step, run.steps_per_second)
    )
    return {name: {period: fold_totals(found.get(period, NONE)) for period in seen} for name, found in sums.items()}


def disagreement(kept: npt.NDArray[np.uint64], known: Digests, info: RunInfo) -> str:
    """Where the sums of a checkpoint (uint64[population, period, 5]) are not the `known` digest, or ""."""
    if kept.shape[0] != len(info.populations):
        return f"its digest is of {kept.shape[0]} populations, the run has {len(info.populations)}"
    for k, population in enumerate(info.populations):
        for period, digest in known.get(population.name, {}).items():
            mine = fold_totals([int(x) for x in kept[k, period]] if period < kept.shape[1] else NONE)
            if mine != digest:
                begin, end = bounds(period)
                where = f"its digest of {population.name} from {begin} to {end} s"
                return f"{where} is {mine} of {mine.count} spikes; allowed: {digest} of {digest.count}"
    return ""
