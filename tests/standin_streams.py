"""Streams, events and graphs of the stand-in for CuPy; see standin_cupy.py.

STANDIN_PACE=early has each operation run as soon as it is queued, mixed some of them, by chance: a device may be as
quick as it is slow, and then it is the host that comes too late with what it changes or reads.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable

PACE = {"late": 0.0, "mixed": 0.3, "early": 1.0}[os.environ.get("STANDIN_PACE", "late")]
CHANCE = random.Random(1)


class CUDARuntimeError(RuntimeError):
    pass


class Stream:
    """Operations that run, in order, when the host waits for them; see the module's docstring."""

    current = threading.local()

    def __init__(self, non_blocking: bool = False, current: Callable[[], int] = lambda: 0) -> None:
        assert non_blocking, "a stream that waits for the default stream cannot be captured beside other libraries"
        self.device, self._current = current(), current
        self.ptr = id(self)
        self.queue: list[Callable[[], None]] = []
        self.captured: list[Callable[[], None]] | None = None
        self.log: list[str] = []
        self.clock = 0.0  # kernels that ran
        STREAMS[self.ptr] = self

    def __enter__(self) -> Stream:
        assert self.device == self._current(), "the stream is one of another device"
        Stream.current.__dict__.setdefault("stack", []).append(self)
        return self

    def __exit__(self, *_: object) -> None:
        Stream.current.stack.pop()

    def put(self, name: str, work: Callable[[], None], capturable: bool = True) -> None:
        if self.captured is not None:
            if not capturable:
                raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported")
            self.captured.append(work)
        else:
            self.log.append(name)
            self.queue.append(work)
            if PACE and CHANCE.random() < PACE:
                self.run_until(lambda: False)

    def synchronize(self) -> None:
        if self.captured is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported")
        self.log.append("synchronize")
        self.run_until(lambda: False)

    def run_until(self, done: Callable[[], bool]) -> None:
        """Work off the queue, up to what makes `done` true."""
        while self.queue and not done():
            self.queue.pop(0)()

    def wait_event(self, event: Event) -> None:
        self.put("wait", event.happen)

    def begin_capture(self) -> None:
        self.captured = []

    def end_capture(self) -> Graph:
        assert self.captured is not None
        graph = Graph(self.captured)
        self.captured = None
        return graph


class Event:
    """A point of a stream; one that is polled happens by itself, but not at once."""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.timing = not disable_timing
        self.time: float | None = None
        self.kernels = 0.0  # that had run by then
        self._stream: Stream | None = None
        self._polled = 0

    def record(self, stream: Stream) -> None:
        self.time, self._stream, self._polled = None, stream, 0

        def happened() -> None:
            self.time, self.kernels = time.perf_counter(), stream.clock

        stream.put("event", happened)

    def happen(self) -> None:
        if self._stream is not None and self.time is None:
            self._stream.run_until(lambda: self.time is not None)

    @property
    def done(self) -> bool:
        self._polled += 1
        if self._polled > 1:
            self.happen()
        return self.time is not None

    def synchronize(self) -> None:
        self.happen()


def get_elapsed_time(start: Event, end: Event) -> float:
    assert start.timing and end.timing and start.time is not None and end.time is not None, "not synchronised"
    return (end.time - start.time) * 1000.0


def kernels_between(start: Event, end: Event) -> float:
    """For `Cupy.elapsed`, where a test has to know the time: a kernel takes 1 ms."""
    assert get_elapsed_time(start, end) >= 0.0
    return end.kernels - start.kernels


class Graph:
    def __init__(self, works: list[Callable[[], None]]) -> None:
        self._works = works

    def launch(self, stream: Stream) -> None:
        works = list(self._works)

        def run() -> None:
            for work in works:
                work()

        stream.put(f"graph of {len(works)}", run)


STREAMS: dict[int, Stream] = {}


def current_stream() -> Stream:
    stack: list[Stream] = getattr(Stream.current, "stack", [])
    assert stack, "outside of the backend's stream: this would run on the default stream"
    return stack[-1]
