"""Going on: which checkpoint of a directory a run continues from, and what of its results counts then."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.comm import Communicator
from distsim.config.identity import check_same
from distsim.errors import ConfigError, DistsimError, ResultError, during
from distsim.experiment import RunSettings
from distsim.io import checkpoints
from distsim.io.checkpoints import Manifest
from distsim.io.checksums import is_whole
from distsim.io.outdir import hardly_begun
from distsim.io.spikes import SPIKES_FILE, merged_until
from distsim.io.summary import SUMMARY_FILE, read_json
from distsim.logs import LOGGER
from distsim.runinfo import RUN_FILE, read_info
from distsim.version import __version__


@dataclass(frozen=True)
class Continuation:
    """What a run continues from.

    Attributes
    ----------
    parts
        The files of the checkpoint that this rank has read; together the ranks have them all.
    merged
        The last step of what is merged already and stays the base; 0 where nothing is.
    skipped
        Why newer checkpoints were not taken, one line each.
    """

    manifest: Manifest
    parts: tuple[Mapping[str, npt.NDArray[Any]], ...]
    merged: int
    skipped: tuple[str, ...] = ()


def check_resume(directory: Path, config: Mapping[str, Any], run: RunSettings) -> None:
    """Raise ConfigError where the results in `directory` cannot become those of `config`; before MPI starts.

    A directory that is not there, is empty, or of a run that died as it made it, is no error: the run starts.
    """
    if not directory.is_dir() or hardly_begun(directory):
        return
    if not (directory / RUN_FILE).is_file():
        raise ConfigError(
            f"resume {directory}: found no {RUN_FILE}; allowed: a directory of `distsim run`, or an empty one"
        )
    try:
        check_same(read_info(directory).config, config, str(directory))
        manifests = [m for m in map(_readable, checkpoints.folders(directory)) if m is not None]
    except ResultError as error:
        raise ConfigError(f"resume {directory}: {error}") from error
    if manifests:
        _check_manifest(manifests[0], config, run, directory)
    elif (directory / SUMMARY_FILE).is_file() and finished(directory, run) is None:
        if not all(is_whole(directory, name) for name in (SUMMARY_FILE, SPIKES_FILE)):
            raise ConfigError(
                f"resume {directory}: its results are not as they were written (see `distsim verify`), and it has no "
                "checkpoint to go on from; start anew with --overwrite"
            )
        raise ConfigError(
            f"run.duration: found {run.duration:g}; {directory} is finished and has no checkpoint to go on from; "
            "run it again into another directory with --set run.checkpoint={}, which keeps the end"
        )


def finished(directory: Path, run: RunSettings) -> dict[str, Any] | None:
    """The summary of a run that is complete as asked for, else None."""
    try:
        if not all(is_whole(directory, name) for name in (SUMMARY_FILE, SPIKES_FILE)):
            return None
        summary = read_json(directory / SUMMARY_FILE)
        return summary if run.steps(float(summary["duration"])) == run.steps(run.duration) else None
    except (ResultError, KeyError, TypeError, ValueError):
        return None


@during("resume")
def find(
    directory: Path, config: Mapping[str, Any], run: RunSettings, results: Sequence[str], comm: Communicator
) -> Continuation | None:
    """The newest valid checkpoint, read; None where there has been none yet (every rank must call).

    What was computed after it is removed from the directory: later segments, and newer checkpoints, which are
    damaged. `results` are the files that the run's segments are merged into.

    Raises
    ------
    ResultError
        There are checkpoints, and none of them is valid.
    ConfigError
        The checkpoint is of another experiment, or another version of distsim.
    """
    told = _on_first(comm, lambda: _candidates(directory, results))
    base, names = int(told["base"]), [str(name) for name in told["names"]]
    skipped: list[str] = []
    for name in names:
        folder = directory / checkpoints.CHECKPOINTS / name
        error: DistsimError | None = None
        manifest: Manifest | None = None
        parts: tuple[Mapping[str, npt.NDArray[Any]], ...] = ()
        try:
            manifest = checkpoints.read_manifest(folder)
            _check_results(directory, manifest, base, comm)
            mine = range(comm.rank, len(manifest.files), comm.size)
            parts = tuple(checkpoints.read_part(folder, manifest, i) for i in mine)
        except ResultError as found:
            error = found
        if comm.minimum(int(error is None)):
            assert manifest is not None
            _check_manifest(manifest, config, run, directory)
            if base > run.end:
                raise ConfigError(
                    f"run.duration: found {run.duration:g}; the results in {directory} are longer already"
                )
            comm.first_alone(partial(_clean, directory, manifest, base))
            return Continuation(manifest, parts, base, tuple(skipped))
        reasons = comm.share(np.frombuffer(str(error or "").encode(), np.uint8))
        skipped.append(next(r.tobytes() for r in reasons if r.size).decode())  # of the first rank that found one
        LOGGER.log(logging.WARNING, "checkpoint %s is not taken: %s", name, error or skipped[-1])
    if names:
        raise ResultError(
            f"resume {directory}: no checkpoint of {len(names)} is valid: {skipped[0]}; "
            "restore one, or start anew with --overwrite"
        )
    return None


def _candidates(directory: Path, results: Sequence[str]) -> dict[str, Any]:
    """Folders that once had a manifest, the newest first, and up to where results are merged and whole."""
    base = 0
    if all(is_whole(directory, name) for name in results):
        # One may be newer, where a run died while it replaced them: segments go when both are in place.
        base = min(merged_until(directory / name) for name in results)
    names = [f.name for f in checkpoints.folders(directory) if (f / checkpoints.MANIFEST).exists()]
    return {"base": base, "names": names}


def _check_results(directory: Path, manifest: Manifest, base: int, comm: Communicator) -> None:
    """Raise ResultError unless what was recorded up to the checkpoint is there."""
    if base >= manifest.step > 0:
        return  # merged, all of it
    if manifest.merged != base and manifest.merged:
        raise ResultError(f"{directory / SPIKES_FILE}: is not what was merged up to step {manifest.merged}")
    checkpoints.check_segments(directory, manifest, comm.rank, comm.size)


def _clean(directory: Path, manifest: Manifest, base: int) -> None:
    checkpoints.drop_later_segments(directory, None if base >= manifest.step > 0 else manifest)
    for folder in checkpoints.folders(directory):
        if int(folder.name) > manifest.step:
            checkpoints.remove_checkpoint(folder)


def _check_manifest(manifest: Manifest, config: Mapping[str, Any], run: RunSettings, directory: Path) -> None:
    if manifest.version != __version__:
        raise ConfigError(
            f"resume {directory}: was computed by distsim {manifest.version}, this is {__version__}; "
            "another version may compute other bits: go on with the same"
        )
    check_same(manifest.config, config, str(directory))
    if run.end < manifest.step:
        done = round(manifest.step * run.dt - run.warmup, 10)
        raise ConfigError(
            f"run.duration: found {run.duration:g}; {directory} has computed {done:g} ms; allowed: no less"
        )


def _readable(folder: Path) -> Manifest | None:
    try:
        return checkpoints.read_manifest(folder)
    except ResultError:
        return None


def _on_first(comm: Communicator, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do it on rank 0, tell all."""
    told: dict[str, Any] = json.loads(comm.broadcast(json.dumps(comm.first_alone(work)).encode()))
    return told


def segment_counts(found: Continuation | None, size: int) -> dict[str, npt.NDArray[np.int64]]:
    """Kind → segments of each rank that count so far, for at least `size` ranks."""
    counts = {}
    for kind in checkpoints.KINDS:
        there = [] if found is None or found.merged >= found.manifest.step > 0 else found.manifest.segments[kind]
        counts[kind] = np.zeros(max(size, len(there)), np.int64)
        counts[kind][: len(there)] = there
    return counts
