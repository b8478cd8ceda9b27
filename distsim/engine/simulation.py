"""A built network that advances: the engine behind `distsim.simulate` and `distsim run`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from distsim import periods
from distsim.backend import Backend, Module
from distsim.backend.profile import Profiler
from distsim.build.chunks import CELL_BUDGET
from distsim.build.emission import emission_room
from distsim.build.kernels import construction_kernels
from distsim.build.partition import Layout
from distsim.build.procedural import add_regrown, is_procedural, regrowing
from distsim.build.projections import local_projections
from distsim.build.quanta import plan_planes
from distsim.build.routing import build_routing
from distsim.build.rows import RowBuilder, build_rows
from distsim.checks import check_experiment
from distsim.comm import Communicator
from distsim.engine.binning import RATE_ROOM_BYTES, RateBuffer, RateCounts
from distsim.engine.complaints import not_finite, too_many_spikes
from distsim.engine.delivery import StepInput, n_slots, scaled_columns, scaled_planes
from distsim.engine.digest import SpikeDigest, fold
from distsim.engine.exchange import FIRST_ROOM, SpikeExchange, meet, places
from distsim.engine.finite import check_finite
from distsim.engine.groups import GroupState, group_shape
from distsim.engine.history import HISTORY_ROOM, History
from distsim.engine.recording import SPIKE_ROOM, FlushTimes, SpikeBuffer, StateBuffers, StateSamples, spike_masks
from distsim.errors import CompileError, SimulationError, during
from distsim.experiment import Delivery, Experiment
from distsim.kernels.loop import (
    DELIVER,
    FETCH_REST,
    FLUSH_HISTORY,
    FLUSH_RATES,
    FLUSH_SPIKES,
    FLUSH_STATES,
    GROW_DUE,
    GROW_OUT,
    NOT_FINITE,
    TOO_MANY_SPIKES,
    Loop,
)
from distsim.kernels.sources import loop_source
from distsim.kernels.update import model_error

FLUSH_EVERY = 10.0  # seconds after which recorded data are handed over, full or not; more in long runs
MAX_INTERVAL = 64  # steps between two returns to Python, where no delay asks for fewer


@dataclass(frozen=True)
class Tuning:
    """Sizes that change speed and memory, never results; tests make them small."""

    block_bits: int = 16
    cell_budget: int = CELL_BUDGET
    due_room: int | None = None  # runs a slot of the wheel; None: 2 MiB in all to begin with
    message_room: int = FIRST_ROOM
    spike_room: int = SPIKE_ROOM
    state_room_bytes: int = 16 * 2**20
    rate_room_bytes: int = RATE_ROOM_BYTES
    max_interval: int = MAX_INTERVAL
    history_room: int = HISTORY_ROOM
    delivery: Delivery | None = None  # None: as run.delivery says
    overlap: bool | None = None  # of exchange and kernels; None: where kernels run beside the host
    direct: bool = field(default_factory=lambda: os.environ.get("DISTSIM_CUDA_AWARE_MPI", "0") not in ("", "0"))

    def wheel_room(self, slots: int) -> int:
        """Runs that each of `slots` of the wheel holds to begin with."""
        return self.due_room or max(16, min(2048, 2**17 // slots))


@dataclass
class Sinks:
    """Where recorded data go when a buffer is full or a run ends."""

    spikes: Callable[[np.ndarray, np.ndarray], None] = field(default=lambda steps, gids: None)
    states: Callable[[StateSamples], None] = field(default=lambda samples: None)
    rates: Callable[[RateCounts], None] = field(default=lambda counts: None)
    silence: Callable[[], None] = field(default=lambda: None)  # no spikes since the last time


class Simulation:
    """One rank's share of a network on its device.

    Parameters
    ----------
    experiment
        What to build and run.
    comm, backend
        The ranks and this rank's device.
    sinks
        Receivers of recorded spikes (steps and gids, uint64), states and rates.
    keep_history
        Remember the spikes of the last steps, which a checkpoint needs.
    profiler
        Who is told what takes how long; by default nobody.
    """

    @during("construct")
    def __init__(
        self, experiment: Experiment, comm: Communicator, backend: Backend, sinks: Sinks | None = None,
        tuning: Tuning | None = None, progress: Callable[[float], None] | None = None,
        keep_history: bool = False, profiler: Profiler | None = None,
    ) -> None:  # fmt: skip
        check_experiment(experiment)
        self.profiler = profiler or Profiler()
        mark = self.profiler.mark
        self.experiment, self.comm, self.backend = experiment, comm, backend
        self.sinks, self.tuning = sinks or Sinks(), tuning or Tuning()
        network, run = experiment.network, experiment.run
        self.seconds: dict[str, float] = {}
        started = time.perf_counter()
        layout = self.layout = Layout.of(experiment, comm.rank, comm.size)
        planes = self.planes = plan_planes(network, run.precision)
        shapes = [group_shape(network, g, planes, run.dt) for g in layout.groups]
        double = run.precision == "double"
        mark("compile construction")
        construction = construction_kernels(network, run.precision, backend)
        mark("compile loop")
        try:
            text = loop_source(double, shapes, regrowing=regrowing(network.projections))
            loop_module = backend.compile(text, f"loop-{run.precision}")
        except CompileError as error:
            raise model_error(error.log, [s.model for s in shapes]) or error from None
        mark("")
        self.seconds["compile"] = time.perf_counter() - started
        comm.barrier()
        started = time.perf_counter()
        mark("projections")
        local = comm.together(
            lambda: local_projections(network, layout, planes, backend, construction, run.seed, run.dt)
        )
        mark("rows")
        stored = [p for p in local if not is_procedural(p.described)]
        planes_per_group = [s.n_planes for s in shapes]
        self._columns = planes_per_group, construction
        self.rows = build_rows(
            network, layout, planes_per_group, stored, backend, construction, run.precision,
            self.tuning.block_bits, self.tuning.cell_budget, progress,
        )  # fmt: skip
        self.regrown = add_regrown(
            network, layout, [p for p in local if is_procedural(p.described)], self.rows,
            backend, construction, self.tuning.cell_budget, [scaled_planes(s) for s in shapes],
        )  # fmt: skip
        del local, stored
        mark("routing")
        self.routing = build_routing(layout, self.rows, comm, run.routing)
        if self.routing.number is not None:
            self.rows.place(self.routing.number, self.routing.n_rows, backend)
        if self.regrown is not None:
            self.regrown.locate(self.rows, backend)
        mark("states")
        backend.release()
        self.max_delay = int(comm.reduce(np.array([self.rows.max_delay], np.int64), "max")[0])
        asked = self.tuning.delivery or run.delivery
        self.input = StepInput(backend, self.rows, self.max_delay, run.precision, asked, self.regrown is not None)
        self.groups = [
            GroupState(
                network, group, shape, planes, backend, construction, run.seed, run.dt, run.precision,
                self.rows.plane_begin[group.index], self.rows.plane_stride[group.index], self.input.pointer,
            )
            for group, shape in zip(layout.groups, shapes, strict=True)
        ]  # fmt: skip
        self.loop_module = loop_module
        self._flushes = FlushTimes(FLUSH_EVERY)
        mark("loop")
        self._set_up_loop(loop_module, keep_history)
        mark("")
        comm.barrier()
        check_finite(self.groups, backend)
        self.seconds["build"] = time.perf_counter() - started

    def row_builder(self) -> RowBuilder:
        """To build rows with columns as they are here."""
        planes_per_group, construction = self._columns
        precision, bits = self.experiment.run.precision, self.tuning.block_bits
        return RowBuilder.of(self.layout, planes_per_group, self.backend, construction, precision, bits)

    def _set_up_loop(self, module: Module, keep_history: bool) -> None:
        network, run, tuning, backend = self.experiment.network, self.experiment.run, self.tuning, self.backend
        asked = run.steps(run.exchange_interval) if run.exchange_interval else tuning.max_interval
        overlap = backend.runs_beside if tuning.overlap is None else tuning.overlap
        overlap = overlap and self.comm.size > 1 and self.routing.interval > 1 and not tuning.direct
        shortest = self.routing.interval // 2 if overlap else self.routing.interval
        self.interval = max(1, min(shortest, asked, tuning.max_interval))
        slots = n_slots(self.max_delay)
        mirror = backend.mirror(Loop(step=1, interval_start=1, phase=DELIVER, draw_poisson=1))
        loop = self.loop = mirror.host  # current between two calls of the stepper
        self._keep: dict[str, object] = {}

        def hold(name: str, array: np.ndarray) -> None:
            if not array.size:
                array = np.zeros(1, array.dtype)
            on_device = backend.to_device(array)
            self._keep[name] = on_device
            setattr(loop, name, backend.pointer(on_device))

        # Nothing comes onto the wheel where rows are added at arrival.
        loop.slot_mask, loop.runs_per_slot = slots - 1, 0 if self.input.at_arrival else self.rows.runs_per_slot
        room = 1 if self.input.at_arrival else tuning.wheel_room(slots)
        self._due = backend.empty((slots * room, 2), np.uint64)
        loop.due, loop.due_capacity = backend.pointer(self._due), room
        hold("due_count", np.zeros(slots, np.uint32))
        loop.rows, loop.column_base = backend.pointer(self.rows.table), backend.pointer(self.rows.column_base)
        loop.ring = self.input.structure
        if self.regrown is not None:
            loop.procedural = self.regrown.structure
        hold("emitted", np.zeros((emission_room(self.layout, run.dt), 4), np.uint64))
        hold("column_scaled", scaled_columns(self.rows, self.groups, backend))
        hold("local_row", self.routing.local_row)
        hold("route_begin", self.routing.begin)
        peers = meet(self.comm, self.routing, run.exchange) if self.comm.size > 1 else None
        hold("route_to", places(peers, self.routing.rank) if peers is not None else self.routing.rank)
        hold("route_row", self.routing.row)
        of_population, of_neuron = spike_masks(network, self.layout, run.seed)
        hold("record_spikes", of_population)
        hold("record_neuron", of_neuron)
        hold("count_in_digest", np.array([p.model.is_neuron for p in network.populations], np.uint8))
        loop.record_after = run.steps(run.warmup)
        self.end = loop.record_after + run.steps(run.duration)
        loop.steps_per_second = run.steps_per_second
        loop.short_periods, loop.seconds_in_long = periods.SHORT_PERIODS, periods.SECONDS_IN_LONG
        loop.n_periods = periods.n_periods(self.end, loop.steps_per_second)
        hold("digest", np.zeros((len(network.populations), loop.n_periods, 5), np.uint64))
        hold("spike_counts", np.zeros(len(network.populations), np.uint64))
        self.spikes = SpikeBuffer(backend, loop, tuning.spike_room)
        self.states = StateBuffers(
            network, self.layout, self.groups, backend, run.dt, run.seed, tuning.state_room_bytes
        )
        self.rates = RateBuffer(network, run, backend, loop, tuning.rate_room_bytes)
        loop.recorders, loop.n_recorders = self.states.records.address, self.states.count
        carries = any(g.shape.is_scaled for g in self.groups)
        self.history = History(backend, loop, self.max_delay, tuning.history_room, carries) if keep_history else None
        loop.sample_every = self.states.every
        loop.n_ranks = self.comm.size
        self.exchange: SpikeExchange | None = None
        if peers is not None:
            self.exchange = SpikeExchange(
                self.comm.rank, peers, backend, loop, self.interval, tuning.message_room, overlap, tuning.direct
            )
        groups = []
        for group in self.groups:
            group.arguments.loop = mirror.address
            group.mirror = backend.mirror(group.arguments)
            groups.append((group.shape.model.symbol, group.mirror))
        self._stepper = backend.stepper(module, mirror, groups)
        self._stepper.watch(self.profiler)
        if self.exchange is not None:
            self.exchange.attach(self._stepper)

    @property
    def step(self) -> int:
        """Steps computed so far."""
        return int(self.loop.step) - 1

    @during("run")
    def run_to(self, last: int, progress: Callable[[int], None] | None = None, every: float = 0.2) -> None:
        """Compute all steps up to and including `last`; `progress` is told the step every so many seconds.

        Invariants: a spike emitted in step t over d steps is in its target's input before the update of
        t + d; when an interval starts, the spikes of all earlier intervals of all ranks are on the wheel;
        nothing is dropped: a full buffer interrupts the loop, grows, and the loop goes on.
        """
        exchange, stepper, clock = self.exchange, self._stepper, time.perf_counter
        interval = self.interval if exchange is not None else max(self.interval, stepper.most_steps)
        complete = exchange is None or exchange.overlap
        finish = self.profiler.ranged("interval", stepper.finish)
        begin = self.profiler.ranged("exchange", exchange.begin) if exchange is not None else None
        waited = self.seconds.get("waited", 0.0)
        next_report = clock() + every
        self._flushes.begin(clock())
        step = int(self.loop.step)
        while step <= last:
            stop = min(step + interval - 1, last)
            flushing = clock() >= self._flushes.next
            self.loop.check_step = stop if flushing else last  # nothing is handed on before its states were looked at
            stepper.start(stop, complete)
            if exchange is not None:
                before = clock()
                exchange.finish()
                waited += clock() - before
            self._mend_and_go_on(finish(), stop)
            if begin is not None:
                before = clock()
                begin()
                waited += clock() - before
            step = stop + 1
            if (recorded := self.spikes.take_some()) is not None:
                self.sinks.spikes(*recorded)
            now = clock()
            if progress is not None and now >= next_report:
                progress(stop)
                next_report = now + every
            if flushing:
                self.flush()
        if exchange is not None:
            exchange.finish()
            if exchange.waiting:  # of two intervals under way the first is scheduled, the second waits for its steps
                self._mend_and_go_on(stepper.advance(last), last)
                exchange.hand_over()
        self.seconds["waited"] = waited
        if progress is not None:
            progress(last)

    def extend(self, last: int) -> None:
        """Make room for the digests of steps up to `last`."""
        self.end = max(self.end, last)
        needed = periods.n_periods(self.end, int(self.loop.steps_per_second))
        old = self.backend.to_host(self._keep["digest"])
        if needed > old.shape[1]:
            grown = np.zeros((old.shape[0], needed, 5), np.uint64)
            grown[:, : old.shape[1]] = old
            self._keep["digest"] = self.backend.to_device(grown)
            self.loop.digest, self.loop.n_periods = self.backend.pointer(self._keep["digest"]), needed

    def flush(self) -> None:
        """Hand over everything recorded so far, unless the kernel has found a state that is no number."""
        started = time.perf_counter()
        if self.loop.bad_count:
            raise SimulationError(not_finite(self.experiment, self.loop))
        steps, gids = self.spikes.take()
        if steps.size:
            self.sinks.spikes(steps, gids)
        else:
            self.sinks.silence()
        for samples in self.states.take():
            self.sinks.states(samples)
        for counts in self.rates.take():
            self.sinks.rates(counts)
        self.seconds["flush"] = self.seconds.get("flush", 0.0) + time.perf_counter() - started
        self.loop.samples_full = 0
        self._flushes.done(time.perf_counter())

    def _mend_and_go_on(self, status: int, stop: int) -> None:
        """Answer the loop's status until step `stop` is done."""
        while status:
            self._mend(status)
            status = self._stepper.advance(stop)

    def _mend(self, status: int) -> None:
        loop = self.loop
        if status == GROW_DUE:
            self._grow_due(2 * int(loop.needed))
        elif status == GROW_OUT:
            assert self.exchange is not None
            self.exchange.grow_out(2 * int(loop.needed))
        elif status in (FLUSH_SPIKES, FLUSH_STATES, FLUSH_RATES):
            self.flush()
        elif status == FLUSH_HISTORY:
            assert self.history is not None
            self.history.empty_buffer()
        elif status == FETCH_REST:
            assert self.exchange is not None
            self.exchange.fetch_rest()
        elif status == TOO_MANY_SPIKES:
            raise SimulationError(too_many_spikes(self.experiment, loop, self.backend.to_host(self._keep["emitted"])))
        elif status == NOT_FINITE:
            raise SimulationError(not_finite(self.experiment, loop))
        else:
            raise SimulationError(f"step {loop.step}: the loop returned an unknown status {status}")

    def reset_wheel(self, room: int) -> None:
        """An empty wheel with room for so many runs a slot, at least what it had."""
        slots = int(self.loop.slot_mask) + 1
        self.backend.copy_into(self._keep["due_count"], np.zeros(slots, np.uint32))
        if room > int(self.loop.due_capacity):
            self._due = self.backend.empty((slots * room, 2), np.uint64)
            self.loop.due, self.loop.due_capacity = self.backend.pointer(self._due), room
        self.loop.due_peak = 0

    def held(self, name: str) -> Any:
        """A device array of the loop, by its name there."""
        return self._keep[name]

    def _grow_due(self, room: int) -> None:
        old, slots = int(self.loop.due_capacity), int(self.loop.slot_mask) + 1
        grown = np.zeros((slots, room, 2), np.uint64)
        grown[:, :old] = self.backend.to_host(self._due).reshape(slots, old, 2)
        self._due = self.backend.to_device(grown)
        self.loop.due, self.loop.due_capacity = self.backend.pointer(self._due), room

    def digest_sums(self) -> np.ndarray:
        """uint64[population, period, 5] over all ranks; see `digest.fold` and periods.py."""
        return self.comm.reduce(self.backend.to_host(self._keep["digest"]), "sum")

    def digest(self) -> SpikeDigest:
        """The digest of all spikes so far, over all ranks (every rank must call)."""
        return fold(self.digest_sums())

    def spike_counts(self) -> np.ndarray:
        """uint64[population]: spikes after the warm-up, over all ranks."""
        return self.comm.reduce(self.backend.to_host(self._keep["spike_counts"]), "sum")
