"""Writing checkpoints of a run: its state on every rank, the count of its segments, its totals so far."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.engine.checkpoint import capture
from distsim.engine.simulation import Simulation
from distsim.errors import during
from distsim.io.arrays import Stored, write_arrays
from distsim.io.checkpoints import KINDS, Manifest, Totals, clear_folder, part_path, prune, write_manifest
from distsim.logs import LOGGER
from distsim.output import SegmentFiles
from distsim.version import __version__

TIDY_EVERY = 100  # checkpoints


class Keeper:
    """Writes the checkpoints of one run.

    Parameters
    ----------
    config
        What of the experiment decides its results.
    segments
        Kind → segments of each rank that counted when the run began (see resuming.segment_counts).
    merged
        The last step of results that are merged already.
    written
        The step of the checkpoint that the run goes on from: it need not be written again.
    """

    def __init__(
        self, out: Path, simulation: Simulation, files: SegmentFiles, config: Mapping[str, Any],
        segments: Mapping[str, npt.NDArray[np.int64]], merged: int, written: int | None,
    ) -> None:  # fmt: skip
        self._out, self._simulation, self._files, self._config = out, simulation, files, config
        self._segments, self._merged, self._written = segments, merged, written
        wanted = simulation.experiment.run.checkpoint
        self._every = simulation.experiment.run.steps(wanted.every) if wanted and wanted.every else 0
        self._keep = wanted.keep if wanted else 2
        self._made = 0

    def next_step(self, step: int) -> int | None:
        """The next step after `step` at which a checkpoint is due by biological time."""
        return (step // self._every + 1) * self._every if self._every else None

    def is_due(self, step: int) -> bool:
        """Whether one is due at `step` by biological time."""
        return bool(self._every) and step % self._every == 0

    @during("checkpoint")
    def write(self, totals: Totals) -> float:
        """Close the segments, write the checkpoint; returns the seconds it took (every rank must call).

        Raises
        ------
        ResultError
            A rank cannot write; the checkpoints before stay valid.
        """
        simulation, comm = self._simulation, self._simulation.comm
        step, started = simulation.step, time.perf_counter()
        if step == self._written:
            return 0.0
        comm.together(simulation.flush)
        arrays = capture(simulation)
        comm.first_alone(lambda: clear_folder(self._out, step))
        stored = comm.together(lambda: write_arrays(part_path(self._out, step, comm.rank), arrays))
        parts = tuple(Stored(*x) for x in self._everyones([stored.name, stored.bytes, stored.sha256]))
        manifest = Manifest(__version__, step, self._config, parts, self.segments(), self._merged, totals)
        comm.first_alone(lambda: write_manifest(self._out, manifest))
        comm.first_alone(lambda: prune(self._out, self._keep))
        self._written = step
        self._made += 1
        if self._made % TIDY_EVERY == 0:
            # Python keeps thousands of freed tuples of each length for later; a full collection lets go of them. Each
            # checkpoint frees some, and the memory of a run of hours would grow by a megabyte or two.
            gc.collect()
        seconds = time.perf_counter() - started
        LOGGER.info("checkpoint of step %d in %.3f s, %d bytes of this rank", step, seconds, stored.bytes)
        return seconds

    def segments(self) -> dict[str, list[int]]:
        """Kind → how many segments each rank has closed so far; also ranks of before (every rank must call)."""
        here = self._everyones(self._files.written())
        return {kind: self._counts(kind, [written[kind] for written in here]) for kind in KINDS}

    def _counts(self, kind: str, here: list[int]) -> list[int]:
        """Segments of the ranks of now, and of ranks that were there only before."""
        counts = self._segments[kind].tolist()
        counts[: len(here)] = here
        return [int(n) for n in counts]

    def _everyones(self, mine: Any) -> list[Any]:
        """What each rank says, in types of JSON, on every rank."""
        said = np.frombuffer(json.dumps(mine).encode(), np.uint8)
        return [json.loads(x.tobytes()) for x in self._simulation.comm.share(said)]
