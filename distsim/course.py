"""The course of a run: from pause to pause, where it may be stopped or its state be kept."""

from __future__ import annotations

import time
from typing import Protocol

from distsim.control import Watch
from distsim.engine.simulation import Simulation
from distsim.io.checkpoints import Totals
from distsim.logs import LOGGER
from distsim.measurement import Measurement, process_age
from distsim.record import Record
from distsim.signals import StopRequests, deadline


class Reporter(Protocol):
    """Who is told how a run goes; on rank 0 only."""

    def phase(self, name: str, text: str) -> None:
        """A phase begins or a fact is known."""

    def progress(self, name: str, done: float, total: float, realtime_factor: float | None) -> None:
        """`done` of `total` (ms of biological time, or a share) of the phase."""


class Silent:
    """A reporter for the other ranks, and for Python."""

    def phase(self, name: str, text: str) -> None:
        return None

    def progress(self, name: str, done: float, total: float, realtime_factor: float | None) -> None:
        return None


class Course:
    """Advances a simulation. Without a record (no results are written) it never pauses.

    Attributes
    ----------
    measured
        Times and events of the part after the warm-up, once `measure` was called.
    """

    measured: Measurement

    def __init__(
        self, simulation: Simulation, reporter: Reporter, record: Record | None, requests: StopRequests
    ) -> None:
        run = simulation.experiment.run
        self._simulation, self._reporter, self._record = simulation, reporter, record
        self._before = record.totals if record is not None else Totals()
        self._measuring = False
        self._watch: Watch | None = None
        if record is not None:
            every_wall = run.checkpoint.wall_seconds if run.checkpoint is not None else None
            limit = deadline(run.wall_limit, process_age())
            self._watch = Watch(simulation.comm, simulation.interval, requests, limit, every_wall)

    def measure(self) -> None:
        """The warm-up is over: what comes now is measured."""
        self.measured, self._measuring = Measurement(self._simulation, self._before), True

    def begin(self) -> str:
        """Why not even one step is computed, or "".

        Where the start has taken all of the time, so it will the next time: a few steps in each of a hundred jobs would
        use up an account. Without a new checkpoint none is requeued.
        """
        if self._watch is None or self._simulation.step >= self._simulation.end or not self._watch.is_over():
            return ""
        return "stopped by the time limit before a step was computed (ask for more time than the start takes)"

    def advance(self, last: int, name: str) -> str:
        """Compute all steps up to `last`; returns why it was stopped before, or ""."""
        simulation, reporter = self._simulation, self._reporter
        dt, first = simulation.experiment.run.dt, simulation.step
        if last <= first:
            return ""
        LOGGER.info("%s: steps %d to %d", name, first + 1, last)
        started = time.perf_counter()

        def tell(step: int) -> None:
            done, taken = (step - first) * dt, time.perf_counter() - started
            reporter.progress(name, done, (last - first) * dt, taken / max(done / 1000.0, 1e-9))

        if self._watch is not None:
            self._watch.start(first)
        while simulation.step < last:
            began = time.perf_counter()
            simulation.run_to(self._pause(last), tell)
            if self._measuring:
                self.measured.simulate += time.perf_counter() - began
            if stopped := self._at_pause(last):
                return stopped
        return ""

    def keep(self) -> None:
        """Write a checkpoint."""
        assert self._record is not None and self._watch is not None
        totals = self.measured.totals() if self._measuring else self._before
        self._watch.wrote(self._record.keeper.write(totals))

    def _pause(self, last: int) -> int:
        """The next step at which something may be asked."""
        if self._watch is None or self._record is None:
            return last
        due = self._record.keeper.next_step(self._simulation.step)
        return min(last, self._watch.next_step, last if due is None else due)

    def _at_pause(self, last: int) -> str:
        if self._watch is None or self._record is None:
            return ""
        step = self._simulation.step
        kept = self._record.keeper.is_due(step) and step < self._simulation.end
        if kept:
            self.keep()
        if step < min(self._watch.next_step, last):
            return ""
        decision = self._watch.meet(step)
        if decision.stop or (decision.checkpoint and not kept):
            self.keep()
        if not decision.stop:
            return ""
        return f"stopped by {decision.stop} after {round(step * self._simulation.experiment.run.dt, 10):g} ms"
