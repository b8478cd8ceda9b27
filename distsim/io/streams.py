"""Many ranks' spikes in order of time, without holding them all.

A rank's segments, one after the other, are a stream that ascends in time. Invariant of `advance`: a step is
handed out only when no stream can still bring a spike of it, so chunks do not overlap in time and each step
is complete in one chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from distsim.errors import ResultError
from distsim.io.safe_hdf5 import dataset, number, open_hdf5
from distsim.io.sealed import check_seal

Array64 = npt.NDArray[np.uint64]
_EMPTY: Array64 = np.empty(0, dtype=np.uint64)


class SpikeStream:
    """The spikes of one rank in steps later than `after`, read block by block; holds no open file between reads."""

    def __init__(self, paths: Sequence[Path], dt: float, after: int = 0) -> None:
        self.dt, self.after = dt, after
        self.paths = list(paths)
        self.offset = 0  # in the first of `paths`
        self.last_read: int | None = None
        self.step, self.gid = _EMPTY, _EMPTY

    @property
    def ended(self) -> bool:
        """Whether all segments have been read (what was read may still be held)."""
        return not self.paths

    def read(self, count: int) -> None:
        """Read on until `count` more spikes are held, or the end."""
        steps, gids = [self.step], [self.gid]
        while self.paths and count > 0:
            step, gid, self.offset, total = self._block(self.paths[0], count)
            later = int(np.searchsorted(step, np.uint64(self.after), side="right"))
            steps.append(step[later:])
            gids.append(gid[later:])
            count -= len(step) - later
            if self.offset == total:
                self.paths.pop(0)
                self.offset = 0
        self.step, self.gid = np.concatenate(steps), np.concatenate(gids)

    def take(self, before: int | None) -> tuple[Array64, Array64]:
        """Hand out the held spikes of steps < `before` (None: all)."""
        n = len(self.step) if before is None else int(np.searchsorted(self.step, np.uint64(before)))
        taken = self.step[:n], self.gid[:n]
        self.step, self.gid = self.step[n:], self.gid[n:]
        return taken

    def _block(self, path: Path, count: int) -> tuple[Array64, Array64, int, int]:
        """Up to `count` spikes of `path` from the offset, where they end, and how many it has."""
        if not self.offset:
            check_seal(path)
        with open_hdf5(path) as file:
            if number(file, "dt") != self.dt:
                raise ResultError(f"{path}: found dt = {number(file, 'dt')} ms; allowed: {self.dt} ms, as in this run")
            steps, gids = dataset(file, "step", "u", 1), dataset(file, "gid", "u", 1)
            total = min(steps.shape[0], gids.shape[0])
            end = min(total, self.offset + count)
            step, gid = steps[self.offset : end], gids[self.offset : end]
        if len(step):
            if self.last_read is not None and int(step[0]) < self.last_read:
                raise ResultError(f"{path}: found step {int(step[0])}; allowed: none before {self.last_read}")
            self.last_read = int(step[-1])
        return step, gid, end, total


def advance(streams: Sequence[SpikeStream], window_spikes: int) -> tuple[Array64, Array64] | None:
    """The next complete steps of all streams together: (step, gid) in no particular order; None at the end.

    About `window_spikes` spikes are held, more only where a single step has more.
    """
    share = max(1, window_spikes // max(1, len(streams)))
    while True:
        for stream in streams:
            if len(stream.step) < share and not stream.ended:
                stream.read(share - len(stream.step))
        # A stream that goes on may bring more spikes of the last step it holds.
        horizon = min((int(s.step[-1]) for s in streams if not s.ended), default=None)
        parts = [s.take(horizon) for s in streams]
        if any(len(step) for step, _ in parts):
            return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        if all(s.ended for s in streams):
            return None
        for stream in streams:  # a single step fills what is held: read on
            if not stream.ended and int(stream.step[-1]) == horizon:
                stream.read(share)
