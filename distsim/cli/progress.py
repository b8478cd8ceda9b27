"""Progress on a terminal: a bar; elsewhere: plain lines."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from distsim.runner import Reporter

LINE_EVERY = 5.0  # seconds between plain lines
TITLES = {"build": "building", "warm-up": "warm-up", "simulate": "simulating"}


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Lines:
    """One line per phase, and one every few seconds with elapsed, remaining and real-time factor."""

    def __init__(self) -> None:
        self._name = ""
        self._started = self._last = 0.0

    def phase(self, name: str, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def progress(self, name: str, done: float, total: float, realtime_factor: float | None) -> None:
        now = time.monotonic()
        if name != self._name:
            self._name, self._started, self._last = name, now, now
        finished = done >= total
        if not finished and now - self._last < LINE_EVERY:
            return
        if name == "build" and finished:
            return
        self._last = now
        elapsed = now - self._started
        left = "" if finished or not done else f", {_clock(elapsed * (total - done) / done)} left"
        factor = "" if realtime_factor is None else f", real-time factor {realtime_factor:.3g}"
        unit = " ms" if realtime_factor is not None else ""
        amount = f"{done:g} of {total:g}{unit}" if unit else f"{done / total:.0%}"
        self.phase(name, f"{TITLES.get(name, name)}: {amount}, {_clock(elapsed)} elapsed{left}{factor}")

    def close(self) -> None:
        return None


class Bar:
    """A rich progress bar on a terminal."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description:>10}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[factor]}"),
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}
        self._bar.start()

    def phase(self, name: str, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False)

    def progress(self, name: str, done: float, total: float, realtime_factor: float | None) -> None:
        factor = "" if realtime_factor is None else f"real-time factor {realtime_factor:.3g}"
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(TITLES.get(name, name), total=total, factor=factor)
        self._bar.update(self._tasks[name], completed=done, factor=factor)

    def close(self) -> None:
        self._bar.stop()


class Quiet:
    """Warnings alone, on standard error."""

    def phase(self, name: str, text: str) -> None:
        if name == "warning":
            sys.stderr.write(f"distsim: {text}\n")
            sys.stderr.flush()

    def progress(self, name: str, done: float, total: float, realtime_factor: float | None) -> None:
        return None

    def close(self) -> None:
        return None


class JsonLines:
    """One JSON object a line on standard output, for programs."""

    def phase(self, name: str, text: str) -> None:
        self.write({"phase": name, "message": text})

    def progress(self, name: str, done: float, total: float, realtime_factor: float | None) -> None:
        self.write({"phase": name, "done": done, "total": total, "realtime_factor": realtime_factor})

    def write(self, content: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        return None


class Reporting(Reporter, Protocol):
    """A reporter to be closed at the end, also after an error."""

    def close(self) -> None: ...


class ToReporter(logging.Handler):
    """Shows on rank 0 what is logged there, or of that the notices alone."""

    def __init__(self, reporter: Reporter, notices_alone: bool) -> None:
        super().__init__()
        self._reporter, self._notices_alone = reporter, notices_alone

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "notice", False):
            self._reporter.phase("notice", record.getMessage())
        elif not self._notices_alone and not getattr(record, "told", False):  # phases reach the reporter by themselves
            self._reporter.phase("log", f"[{record.levelname.lower()}] {record.getMessage()}")


def open_reporter(kind: str = "auto", quiet: bool = False) -> Reporting:
    """Who shows progress: `kind` is auto (a bar on a terminal, else lines), bar, lines or json."""
    if quiet:
        return Quiet()
    if kind == "json":
        return JsonLines()
    return Bar() if kind == "bar" or (kind == "auto" and sys.stdout.isatty()) else Lines()
