"""What a run writes and goes on from: its directory, its segments, its checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.checkpointing import Keeper
from distsim.comm import Communicator
from distsim.config import write_document
from distsim.config.describe import described_document
from distsim.config.files import movable
from distsim.config.identity import identity
from distsim.engine import checkpoint
from distsim.engine.simulation import Simulation
from distsim.errors import during
from distsim.experiment import Experiment
from distsim.io import prepare_output
from distsim.io.alone import Alone
from distsim.io.checkpoints import Totals
from distsim.output import SegmentFiles, result_files
from distsim.resuming import Continuation, check_resume, find, segment_counts
from distsim.runinfo import RUN_FILE, run_info, write_info


@dataclass
class Record:
    """The written side of one rank.

    Attributes
    ----------
    found
        The checkpoint that the run goes on from, if any.
    segments
        Kind → segments of each rank, of now and of then, that count from before.
    made
        Whether the directory was not there before (known to rank 0).
    """

    out: Path
    files: SegmentFiles
    config: Mapping[str, Any]
    found: Continuation | None
    segments: Mapping[str, npt.NDArray[np.int64]]
    made: bool

    @property
    def merged(self) -> int:
        """The last step of results that are merged already; 0 where none are."""
        return self.found.merged if self.found is not None else 0

    @property
    def totals(self) -> Totals:
        """What earlier parts of the run took."""
        return self.found.manifest.totals if self.found is not None else Totals()

    def withdraw(self) -> None:
        """Nothing was computed: leave a directory as it was before, unless an earlier run left something there."""
        if self.found is None:
            for name in ("experiment.yaml", RUN_FILE):
                (self.out / name).unlink(missing_ok=True)
        if self.made:
            with suppress(OSError):  # it holds logs
                self.out.rmdir()

    def begin(self, simulation: Simulation) -> bool:
        """Bring a built simulation to where the run goes on from; returns whether there was something."""
        manifest = self.found.manifest if self.found is not None else None
        if self.found is not None and manifest is not None:
            checkpoint.restore(simulation, self.found.parts, manifest.step)
            simulation.rates.start_after(self.merged)  # spikes before are in the merged counts
            self.found = dataclasses.replace(self.found, parts=())  # the simulation has it now
        self.files.simulation = simulation
        written = manifest.step if manifest is not None else None
        self.keeper = Keeper(self.out, simulation, self.files, self.config, self.segments, self.merged, written)
        return manifest is not None


@during("output")
def open_record(
    experiment: Experiment, comm: Communicator, out: Path, document: Mapping[str, Any] | None, alone: Alone, *,
    overwrite: bool, resume: bool,
) -> Record:  # fmt: skip
    """Prepare the directory, or find in it what the run goes on from (every rank must call).

    Raises
    ------
    ConfigError
        The directory cannot be used, or another run uses it; or, to go on, is of another experiment.
    ResultError
        It has checkpoints, and none is valid.
    """
    comm.first_alone(alone.take)
    found: Continuation | None = None
    made = not out.exists()
    config: Mapping[str, Any] = identity(document) if document is not None else {}
    if resume:
        assert document is not None
        comm.first_alone(lambda: check_resume(out, config, experiment.run))
        found = find(out, config, experiment.run, result_files(experiment.network), comm)
    if found is None:
        comm.first_alone(lambda: prepare_output(out, overwrite or resume))

    def describe() -> Mapping[str, Any]:
        resolved = dict(document) if document is not None else described_document(experiment, out)
        kept = identity(resolved)
        write_document(movable(resolved, out), out / "experiment.yaml")
        write_info(out, run_info(experiment, kept, comm.size, found.manifest.step if found is not None else 0))
        alone.take()
        return kept

    written = comm.first_alone(describe)
    counts = segment_counts(found, comm.size)
    files = SegmentFiles(out, comm.rank, experiment.run.dt, {kind: int(n[comm.rank]) for kind, n in counts.items()})
    return Record(out, files, written if written is not None else config, found, counts, made)
