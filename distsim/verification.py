"""Checks of what lies in a directory of results: every file against its hash, every spike against what it may be,
and the digests of the summary and of checkpoints against the spikes that were written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.engine.digest import SpikeDigest, fold_totals
from distsim.errors import ConfigError, ResultError
from distsim.experiment import RunSettings
from distsim.io import checkpoints
from distsim.io.checksums import file_hash, read_checksums
from distsim.io.files import segments
from distsim.io.parts import SUMS, neurons_of
from distsim.io.rates import RATES_FILE, read_rates
from distsim.io.safe_hdf5 import child, names, open_hdf5
from distsim.io.sealed import check_seal
from distsim.io.spikes import SPIKES_FILE, merged_until, read_segment
from distsim.io.summary import SUMMARY_FILE, read_json
from distsim.periods import bounds, n_periods, period_of
from distsim.recount import Digests, disagreement, examine, written_digests
from distsim.runinfo import RUN_FILE, RunInfo, read_info


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: right, or not, and what was found."""

    right: bool
    text: str


def verify(directory: Path) -> Iterator[Finding]:
    """Look at everything in `directory`, thing by thing.

    Raises
    ------
    ResultError
        The directory holds no results of distsim.
    """
    if not directory.is_dir():
        raise ResultError(f"{directory}: no such directory; allowed: one written by `distsim run`")
    info = read_info(directory) if (directory / RUN_FILE).is_file() else None
    hashes = _tried(lambda: read_checksums(directory), "checksums.sha256")
    if isinstance(hashes, Finding):
        yield hashes
        hashes = {}
    elif not hashes and info is None:
        raise ResultError(f"{directory}: found no {RUN_FILE}; allowed: a directory written by `distsim run`")
    for name, known in hashes.items():
        found = _tried(lambda name=name: file_hash(directory / name), name)  # type: ignore[misc]
        if isinstance(found, Finding):
            yield found
        else:
            yield Finding(found in known, f"{name}: its SHA-256 is {'' if found in known else 'not '}that of the run")
    if any(len(known) > 1 for known in hashes.values()):
        # Each file is whole, of the shorter run or of the longer one: together they need not be one result.
        yield Finding(True, "the run died while it replaced its results by longer ones: resume completes them")
    elif hashes and info is not None:
        yield from _check_spikes(directory, info)
        if info.rates:
            yield from _check_rates(directory, info)
    elif info is not None:
        yield Finding(True, "the run is not finished: no results to check yet")
    yield from _check_segments(directory, info)
    whole = hashes and all(len(known) == 1 for known in hashes.values())
    summary = _tried(lambda: read_json(directory / SUMMARY_FILE), SUMMARY_FILE) if whole else None
    yield from _check_checkpoints(directory, info, summary if isinstance(summary, Mapping) else None)


def _tried(work: Callable[[], Any], what: str) -> Any:
    try:
        return work()
    except ResultError as error:
        return Finding(False, f"{what}: {error}")


def _check_spikes(directory: Path, info: RunInfo) -> Iterator[Finding]:
    """Order, range and digest of the merged spikes, against summary.json."""
    try:
        summary = read_json(directory / SUMMARY_FILE)
        run = RunSettings(float(summary["duration"]), warmup=float(summary["warmup"]), dt=info.dt)
        per_second = run.steps_per_second
        silent = run.steps(run.warmup)
        hidden = n_periods(silent, per_second) if silent else 0  # periods whose spikes are not all written
        populations = {p.name: p for p in info.populations}
        compared = equal = 0
        total = [0] * 5
        with open_hdf5(directory / SPIKES_FILE) as file:
            root = child(file, "spikes")
            other = sorted(set(names(root)) ^ set(info.recorded))
            there = (
                f"populations {', '.join(other)}: too many, or missing"
                if other
                else f"{len(info.recorded)} population{'s' if len(info.recorded) != 1 else ''}"
            )
            yield Finding(not other, f"{SPIKES_FILE}: {there}")
            for name in names(root):
                sums, problem = examine(root, populations[name], run, per_second)
                yield Finding(not problem, f"{SPIKES_FILE}: {name}: {problem or 'spikes in order and in range'}")
                if name not in summary["rates"] or name in info.selected:
                    continue  # a generator is not in the digest; of some neurons there is none
                for period, stated in list(enumerate(summary["digests"][name]))[hidden:]:
                    mine = fold_totals(sums.get(period, [0] * 5))
                    compared += 1
                    equal += (str(mine), mine.count) == (stated["digest"], stated["count"])
                total = [sum(x) for x in zip(total, *sums.values(), strict=True)]
        text = f"digest: {equal} of {compared} (population, second) recomputed from {SPIKES_FILE} are equal"
        if hidden:
            unseen = bounds(hidden - 1)[1]
            text += f"; spikes of the warm-up are not written, so the first {unseen} s cannot be checked"
        if info.selected:
            text += f"; only some neurons of {', '.join(info.selected)} are recorded"
        yield Finding(equal == compared, text)
        if not hidden and set(summary["rates"]) <= set(info.recorded) - set(info.selected):
            found = fold_totals(total)
            same = (str(found), found.count) == (summary["spike_digest"], summary["spike_count"])
            yield Finding(same, f"digest: of all spikes {found}, {'as' if same else 'not as'} the summary says")
    except (ResultError, ConfigError, KeyError, TypeError, ValueError, IndexError) as error:
        yield Finding(False, f"{SPIKES_FILE}, {SUMMARY_FILE}: {error}")


def _check_rates(directory: Path, info: RunInfo) -> Iterator[Finding]:
    """The counts in bins add up to the spikes that the summary says."""
    try:
        summary = read_json(directory / SUMMARY_FILE)
        for name, bins in read_rates(directory / RATES_FILE).items():
            if name in summary["rates"]:
                said = round(summary["rates"][name] * bins.size * summary["duration"] / 1000.0)
                text = f"{RATES_FILE}: {name}: {int(bins.counts.sum())} spikes; the summary says {said}"
                yield Finding(int(bins.counts.sum()) == said, text)
    except (ResultError, KeyError, TypeError, ValueError) as error:
        yield Finding(False, f"{RATES_FILE}: {error}")


def _check_segments(directory: Path, info: RunInfo | None) -> Iterator[Finding]:
    """Segments are sealed; their steps ascend, their ids are those of recorded populations."""
    spans = [(p.first_gid, p.first_gid + p.size) for p in info.written()] if info is not None else []
    found, wrong = 0, 0
    for kind in checkpoints.KINDS:
        for name in segments(directory, kind):
            found += 1
            try:
                if kind != "spikes":
                    check_seal(name.path)
                    continue
                steps, gids, until = read_segment(name.path)
                inside = np.zeros(gids.shape, bool)
                for low, high in spans:
                    inside |= (gids >= low) & (gids < high)
                if steps.shape != gids.shape or np.any(steps[1:] < steps[:-1]) or not inside.all():
                    raise ResultError(f"{name.path}: steps are out of order, or ids out of range")
                if steps.size and int(steps[-1]) > until:
                    raise ResultError(f"{name.path}: has spikes after step {until}, which it calls its last")
            except ResultError as error:
                wrong += 1
                yield Finding(False, f"segments: {error}")
    if found and not wrong:
        yield Finding(True, f"segments: {found} whole")


def _check_checkpoints(directory: Path, info: RunInfo | None, summary: Mapping[str, Any] | None) -> Iterator[Finding]:
    base = 0
    if (directory / SPIKES_FILE).is_file():
        until = _tried(lambda: merged_until(directory / SPIKES_FILE), SPIKES_FILE)
        base = until if isinstance(until, int) else 0
    for folder in checkpoints.folders(directory):
        if not (folder / checkpoints.MANIFEST).exists():
            yield Finding(True, f"checkpoint {folder.name}: never completed, is not used")
            continue
        try:
            manifest = checkpoints.read_manifest(folder)
            neurons, sums = 0, np.empty((0, 0, 5), np.uint64)
            for i in range(len(manifest.files)):
                part = checkpoints.read_part(folder, manifest, i)
                neurons += neurons_of(part)
                sums = part.get(SUMS[0], sums)
            merged = base >= manifest.step > 0
            if not merged:
                checkpoints.check_segments(directory, manifest)
            problem = ""
            if info is not None:
                known = (
                    _said(summary, manifest.step, info) if merged else _written(directory, info, manifest, base, sums)
                )
                size = sum(p.size for p in info.populations)
                problem = f"found {neurons} neurons of {size}" if neurons != size else disagreement(sums, known, info)
        except (ResultError, ConfigError, KeyError, TypeError, ValueError) as error:
            problem = str(error)
        if problem:
            yield Finding(False, f"checkpoint {folder.name}: {problem}")
            continue
        ranks = len(manifest.files)
        yield Finding(
            True, f"checkpoint {folder.name}: whole, {neurons} neurons of {ranks} rank{'s' if ranks > 1 else ''}"
        )


def _said(summary: Mapping[str, Any] | None, step: int, info: RunInfo) -> Digests:
    """What summary.json says of the periods that were complete at `step`: of all, if the run ended there."""
    if summary is None:
        return {}
    run = RunSettings(float(summary["duration"]), warmup=float(summary["warmup"]), dt=info.dt)
    complete = int(period_of(np.array([step + 1], np.uint64), run.steps_per_second)[0])
    return {
        name: {
            period: SpikeDigest(int(said["digest"], 16), int(said["count"]))
            for period, said in enumerate(periods)
            if period < complete or step == run.end
        }
        for name, periods in summary["digests"].items()
    }


def _written(
    directory: Path, info: RunInfo, manifest: checkpoints.Manifest, base: int, sums: npt.NDArray[np.uint64]
) -> Digests:
    """What follows from the spikes that are written; a generator's are in no digest, and its sums are all zero."""
    run = RunSettings(info.duration, warmup=info.warmup, dt=info.dt)
    known = written_digests(directory, info, run, manifest, base)
    counted = [p.name for p, found in zip(info.populations, sums, strict=False) if found.any()]
    return {name: digests for name, digests in known.items() if name in counted}
