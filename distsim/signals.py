"""Signals and time limits that ask a run to stop: they are noted here, and obeyed where all ranks meet."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any

from distsim.errors import Stopped

SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
MARGIN = 0.05  # of a time limit that is left for the last checkpoint,
MOST_MARGIN = 60.0  # but no more seconds than this


class StopRequests:
    """Notes the first of the signals USR1, TERM and INT while it is entered; later ones change nothing.

    While `at_once` is set, a signal raises `Stopped` on the spot: before the first step and while results are written,
    when what can be kept is kept already. Otherwise the loop goes on to where all ranks meet.

    Parameters
    ----------
    stay
        The process ends with this: once a signal has come, later ones stay without effect after it is left, too.
    """

    def __init__(self, stay: bool = False) -> None:
        self.name = ""
        self._stay = stay
        self.at_once = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequests:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stay and self.name:
            return  # a second signal would end the process before it has said why, and with another exit code
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        first = not self.name
        self.name = self.name or signal.Signals(number).name
        if first:
            self.check()

    def check(self) -> None:
        """Raise `Stopped` where a signal has come and nothing speaks against ending at once."""
        if self.name and self.at_once:
            self.at_once = False
            raise Stopped(f"stopped by {self.name}; `distsim resume` goes on")


def deadline(wall_limit: float | None, process_age: float, environment: Mapping[str, str] = os.environ) -> float | None:
    """When to stop, on the clock of time.monotonic; None without a limit.

    Parameters
    ----------
    wall_limit
        Seconds from the start of the process, as the description says; else SLURM's end of the job counts.
    process_age
        Seconds since the process started.
    """
    now = time.monotonic()
    if wall_limit is not None:
        return now - process_age + wall_limit - min(MOST_MARGIN, MARGIN * wall_limit)
    try:
        end = float(environment["SLURM_JOB_END_TIME"])
        start = float(environment.get("SLURM_JOB_START_TIME", time.time()))
    except (KeyError, ValueError):
        return None
    margin = min(MOST_MARGIN, MARGIN * max(0.0, end - start))
    return now + (end - time.time()) - margin
