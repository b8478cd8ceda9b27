"""A results directory as arrays: what `plot` and `compare` look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.errors import ResultError
from distsim.io.spikes import SPIKES_FILE, read_spikes
from distsim.io.summary import SUMMARY_FILE, read_json

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
        Recorded population → (times in ms, population-local ids), by time, then id; in the order of description.
    sizes
        Recorded population → number of neurons.
    start, stop
        What was recorded, in ms: (start, stop].
    """

    directory: Path
    summary: Mapping[str, Any]
    spikes: Mapping[str, tuple[Floats, Ids]]
    sizes: Mapping[str, int]
    start: float
    stop: float


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
    return Results(directory, summary, spikes, {name: sizes[name] for name in spikes}, start, stop)
