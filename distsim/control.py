"""Where a run stops and keeps its state: at the same step on every rank, whatever each of them has noticed.

A signal may reach one rank alone, and clocks differ. So ranks meet, about five times a second, at a step on which
they agreed at the meeting before; one reduction of a few numbers tells all what any of them knows. Between two
meetings nothing is asked.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass

import numpy as np

from distsim.comm import Communicator
from distsim.signals import StopRequests

BETWEEN_MEETINGS = 0.2  # seconds, about
FASTER = 4.0  # by how much the number of steps between two meetings may grow from one to the next


@dataclass(frozen=True)
class Decision:
    """What all ranks do now: stop (for this reason, else ""), or write a checkpoint."""

    stop: str
    checkpoint: bool


class Watch:
    """Meetings of all ranks.

    Parameters
    ----------
    interval
        Steps of an exchange interval: meetings cut none.
    requests
        Signals noted on this rank.
    deadline
        When to stop, on the clock of time.monotonic.
    every_wall
        Seconds between checkpoints.
    """

    def __init__(
        self, comm: Communicator, interval: int, requests: StopRequests, deadline: float | None,
        every_wall: float | None,
    ) -> None:  # fmt: skip
        self._comm, self._interval, self._requests = comm, interval, requests
        self._deadline, self._every_wall = deadline, every_wall
        self._stride = interval
        self._met = self._kept = time.monotonic()
        self._steps_met = 0
        self._longest_write = 0.0
        self.next_step = 0

    def start(self, step: int) -> None:
        """Begin at `step`; the first meeting is one interval later."""
        self._met, self._steps_met = time.monotonic(), step
        self.next_step = step + self._stride

    def is_over(self) -> bool:
        """Whether the time limit of any rank has passed (every rank must call)."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        return bool(self._comm.reduce(np.array([late], np.float64), "max")[0])

    def meet(self, step: int) -> Decision:
        """Tell the others and learn of them; every rank calls this after the same step."""
        now = time.monotonic()
        number = int(signal.Signals[self._requests.name]) if self._requests.name else 0
        # A checkpoint takes its time too: twice the longest is kept free before the limit.
        late = self._deadline is not None and now + 2.0 * self._longest_write >= self._deadline
        due = self._every_wall is not None and now - self._kept >= self._every_wall
        mine = np.array([number, late, due, (now - self._met) / max(1, step - self._steps_met)], np.float64)
        signalled, time_up, checkpoint, pace = self._comm.reduce(mine, "max").tolist()
        # Every rank computes the same stride from the same numbers.
        asked = min(BETWEEN_MEETINGS / max(pace, 1e-12), FASTER * self._stride)
        self._stride = self._interval * max(1, int(asked) // self._interval)
        self._met, self._steps_met = time.monotonic(), step
        self.next_step = step + self._stride
        reason = signal.Signals(int(signalled)).name if signalled else "the time limit" if time_up else ""
        return Decision(reason, bool(checkpoint))

    def wrote(self, seconds: float) -> None:
        """A checkpoint was written, which took so long.

        Its time counts in the pace: where one is due every few steps, it is most of what passes between two meetings.
        """
        self._kept = time.monotonic()
        self._longest_write = max(self._longest_write, seconds)
