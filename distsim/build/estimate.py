"""Memory of a run before anything of it is allocated: by kind, on every rank.

Follows the order in which a rank allocates: projections, chunk after chunk of rows, routing, state and buffers,
results. Its peak is the largest of these moments. Numbers of synapses, runs and rows come from `expected`.
It looks at the engine's sizes, and nothing of the engine looks at it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distsim.build.chunks import CELL_BUDGET, SORT_BYTES, cells_per_row, plan_chunks
from distsim.build.costs import NOMINAL_RATE, expected_synapses
from distsim.build.emission import emission_room
from distsim.build.expected import Expectation, RankConnectivity
from distsim.build.expected_routing import ExpectedRouting, expected_routing
from distsim.build.partition import Layout, WholePopulations, partition_of
from distsim.build.quanta import PlaneTable, plan_planes
from distsim.build.routing import ENTRY_BYTES
from distsim.build.rows import ROW_BYTES, RUN_BYTES, SYNAPSE_BYTES
from distsim.build.signals import factor_arrays
from distsim.build.spatial import held_bytes
from distsim.distributions import Listed
from distsim.edges import BLOCK_EDGES
from distsim.elements import Projection
from distsim.engine.binning import RATE_ROOM_BYTES
from distsim.engine.delivery import delivers_by_ring, lists_bytes, n_slots
from distsim.engine.edges_dump import WINDOW_SYNAPSES
from distsim.engine.exchange import FIRST_ROOM
from distsim.engine.groups import CHUNK, group_shape
from distsim.engine.recording import SPIKE_ROOM, STATE_ROOM_BYTES
from distsim.engine.simulation import Tuning
from distsim.experiment import Experiment
from distsim.io.spikes import WINDOW_SPIKES
from distsim.kernels.update import GroupShape
from distsim.periods import n_periods
from distsim.rules import Explicit, FixedOutdegree, FixedTotalNumber, is_spatial

# Of more ranks some are looked at and stand for the others: so many, fewer where there are very many projections.
MAX_RANKS_LOOKED_AT, MAX_WORK = 64, 200_000
HOST_ROW_BYTES = 10  # source and first delay of each row, kept on the host
NUMBER_BYTES = 4  # and its number, where some are broadcast
BURST = 4.0  # the busiest step has so many times the spikes of a mean one (microcircuit: 2.3)

# Measured, per item: lists of requests and answers while routing is built; spikes while they are merged and
# sorted; connections while an edge file is parsed, and while they are written to one.
ROUTING_SCRATCH, MERGE_BYTES, PARSE_BYTES, DUMP_BYTES = 16, 72, 125, 180
MPI_BYTES, FIGURE_BYTES = 16 * 10**6, 36 * 10**6  # MPICH after MPI_Init; Matplotlib and one raster


@dataclass(frozen=True)
class RankMemory:
    """Bytes of one rank (or the sum of ranks), by kind.

    Attributes
    ----------
    neurons
        State, parameters, input, Poisson counts.
    synapses, runs, rows, routing
        Connectivity; `rows` with what the host keeps of them.
    buffers
        The time wheel or the input ring, and the messages of an interval.
    recording
        Recorded spikes and states until they are written, digests.
    construction
        What construction takes at its peak beyond the synapses, runs and rows that it leaves; freed after.
    writing
        What putting the results together takes at the end, or writing connections before the first step.
    baseline
        Python, its libraries, MPI, the description.
    peak
        The most at any time.
    """

    neurons: float
    synapses: float
    runs: float
    rows: float
    routing: float
    buffers: float
    recording: float
    construction: float
    writing: float
    baseline: float
    peak: float

    @property
    def running(self) -> float:
        """All that stands while the loop runs, but the baseline."""
        kinds = ("neurons", "synapses", "runs", "rows", "routing", "buffers", "recording")
        return float(sum(getattr(self, kind) for kind in kinds))


@dataclass(frozen=True)
class Estimate:
    """Expected size of a run.

    Attributes
    ----------
    synapses, runs, rows
        Of all ranks.
    bytes_per_synapse
        Synapses, runs, rows and routing, as in summary.json; None without synapses.
    largest, total
        The rank with the highest peak; all ranks together.
    looked_at
        How many ranks were looked at; fewer than `ranks` where these stand for the others.
    """

    ranks: int
    neurons: int
    synapses: float
    runs: float
    rows: float
    bytes_per_synapse: float | None
    largest: RankMemory
    total: RankMemory
    looked_at: int


def estimate(
    experiment: Experiment, n_ranks: int, baseline: int = 0, files: bool = True, lists_input: bool = True
) -> Estimate:  # fmt: skip
    """Estimate the memory of `experiment` on `n_ranks` ranks.

    Parameters
    ----------
    baseline
        Bytes of a process that has imported distsim and read the description.
    files
        Whether results are written (else recorded data stay in memory).
    lists_input
        Whether what is drawn again is listed before it is added: as `Backend.lists_input`, on a host and not on a GPU.
    """
    network, run = experiment.network, experiment.run
    planes = plan_planes(network, run.precision)
    partition = partition_of(experiment, n_ranks)
    most = max(2, min(MAX_RANKS_LOOKED_AT, MAX_WORK // max(1, len(network.projections))))
    owners = partition.ranks.tolist() if isinstance(partition, WholePopulations) else None
    chosen = _chosen_ranks(n_ranks, owners, most)
    layouts = [Layout(network.populations, rank, n_ranks, partition) for rank, _ in chosen]
    weights = np.array([weight for _, weight in chosen])
    shapes = [group_shape(network, g, planes, run.dt) for g in layouts[0].groups]
    expectation = Expectation(experiment, planes, [s.n_planes for s in shapes], Tuning().block_bits)
    found: dict[tuple[int, ...], RankConnectivity] = {}
    connectivity = [_connectivity(expectation, layout, found) for layout in layouts]
    has_row = np.array([[s.row for s in c.by_source] for c in connectivity])
    rows_anywhere = weights @ has_row  # ranks with a row, by population
    routings = [expected_routing(has_row, weights, i, n_ranks, run.routing) for i in range(len(layouts))]
    local = np.array([[layout.part(p).count for p in range(len(network.populations))] for layout in layouts])
    empty = float(sum(w * n @ r.empty for w, n, r in zip(weights, local, routings, strict=True)))  # rows, of all ranks
    ranks: list[RankMemory] = []
    for i, (c, routing) in enumerate(zip(connectivity, routings, strict=True)):
        elsewhere = np.maximum(rows_anywhere - has_row[i], 0.0) * (n_ranks > 1)
        made = _Rank(c, expectation, shapes, planes, elsewhere, routing, empty / n_ranks, n_ranks, files, lists_input)
        ranks.append(made.memory(baseline))
    total = RankMemory(
        **{
            f.name: float(weights @ np.array([getattr(m, f.name) for m in ranks]))
            for f in dataclasses.fields(RankMemory)
        }
    )
    synapses = float(weights @ np.array([c.synapses + c.drawn for c in connectivity]))
    rows = float(weights @ np.array([c.rows for c in connectivity]))
    stored = total.synapses + total.runs + (rows + empty) * ROW_BYTES + total.routing
    stored += float(weights @ np.array([_drawn_rows(c) for c in connectivity]))
    return Estimate(
        n_ranks, sum(p.size for p in network.populations if p.model.is_neuron), synapses,
        float(weights @ np.array([c.runs for c in connectivity])), rows,
        stored / synapses if synapses else None, max(ranks, key=lambda m: m.peak), total, len(chosen),
    )  # fmt: skip


def _chosen_ranks(n_ranks: int, owners: list[int] | None, most: int) -> list[tuple[int, float]]:
    """(rank, how many ranks it stands for): all, or some of very many."""
    if n_ranks <= most:
        return [(rank, 1.0) for rank in range(n_ranks)]
    if owners is not None:  # whole populations: those that own some, and one that owns none for the others
        busy = sorted({0, *owners})
        idle = next((rank for rank in range(n_ranks) if rank not in busy), None)
        return [(r, 1.0) for r in busy] + ([(idle, float(n_ranks - len(busy)))] if idle is not None else [])
    others = np.unique(np.linspace(1, n_ranks - 1, most - 1).astype(int)).tolist()
    return [(0, 1.0)] + [(rank, (n_ranks - 1) / len(others)) for rank in others]


def _connectivity(
    expectation: Expectation, layout: Layout, found: dict[tuple[int, ...], RankConnectivity]
) -> RankConnectivity:
    """Ranks with as many neurons of each population expect the same; listed connections tell them apart."""
    network = expectation.experiment.network
    key = tuple(layout.part(i).count for i in range(len(network.populations)))
    if any(p.rule.name == "explicit" for p in network.projections):
        return expectation.rank(layout)
    if key not in found:
        found[key] = expectation.rank(layout)
    return dataclasses.replace(found[key], layout=layout)


@dataclass(frozen=True)
class _Rank:
    """One rank's memory, moment by moment."""

    connectivity: RankConnectivity
    expectation: Expectation
    shapes: Sequence[GroupShape]
    planes: PlaneTable
    elsewhere: np.ndarray  # by population: on how many other ranks a neuron has a row
    routing: ExpectedRouting
    empty: float  # rows of broadcast sources that have no synapses here
    n_ranks: int
    files: bool
    lists_input: bool

    def memory(self, baseline: int) -> RankMemory:
        c, run = self.connectivity, self.expectation.experiment.run
        synapses, runs = c.synapses * SYNAPSE_BYTES[run.precision], c.runs * RUN_BYTES
        numbered = bool((self.routing.broadcast > 1e-9).any())
        rows = c.rows * (ROW_BYTES + HOST_ROW_BYTES + NUMBER_BYTES * numbered) + self.empty * ROW_BYTES
        rows += _drawn_rows(c) + (HOST_ROW_BYTES * c.rows if c.drawn else 0.0)
        entries = float(np.array(self._local) @ self.routing.entries)
        routing = 8.0 * c.layout.n_local + 4.0 + ENTRY_BYTES * entries
        neurons, starting = self._neurons()
        buffers, recording, writing = self._buffers(), *self._recording()
        building = self._building()
        connected = synapses + runs + rows + routing
        running = connected + neurons + buffers + recording
        base = float(baseline + (MPI_BYTES if self.n_ranks > 1 else 0))
        scratch = ROUTING_SCRATCH * (
            c.rows + float(np.array(self._local) @ self.elsewhere)
        )  # requests, ours and theirs
        peak = max(building, connected + scratch, connected + neurons + starting, running + writing)
        construction = max(0.0, building - synapses - runs - rows)
        return RankMemory(
            neurons, synapses, runs, rows, routing, buffers, recording, construction, writing, base, base + peak
        )

    @property
    def _local(self) -> list[int]:
        """Local neurons by population."""
        populations = self.expectation.experiment.network.populations
        return [self.connectivity.layout.part(i).count for i in range(len(populations))]

    def _rate(self, name: str) -> float:
        return self.expectation.experiment.network.reference_rates.get(name, NOMINAL_RATE)

    def _neurons(self) -> tuple[float, float]:
        """Bytes of all groups, and what their start takes besides."""
        experiment, layout = self.expectation.experiment, self.connectivity.layout
        real = 4 if experiment.run.precision == "single" else 8
        size, starting = 32.0 * emission_room(layout, experiment.run.dt), 0.0
        for group, shape in zip(layout.groups, self.shapes, strict=True):
            stride = -(-group.size // 64) * 64
            each = sum(real if s.kind == "real" else np.dtype(s.kind).itemsize for s in group.model.states)
            each += real * len(shape.per_neuron) + 8 * sum(1 for s in group.model.states if s.relative_to)
            listed = sum(
                len(times)
                for part in group.parts for vector in group.model.vectors if vector in part.population.params
                for times in part.population.params[vector]
            )  # fmt: skip
            size += group.size * (each + 8 * len(group.model.vectors)) + 8 * listed
            size += stride * (real * shape.n_planes + shape.n_poisson * 8 * (4 if shape.wide_counts else 1))
            size += CHUNK.itemsize * (group.size / 256 + len(group.parts))
            size += group.size * real * factor_arrays(experiment.network, group)
            varies = any(constant.name in shape.per_neuron for constant in group.model.constants)
            starting += group.size * (8.0 * len(shape.per_neuron) + 32.0 + (400.0 if varies else 0.0))
        return size, starting

    def _reading(self) -> float:
        """While lists of connections come in: a block of a file, and this rank's own, twice while they are joined."""
        most = 0.0
        for p in self.connectivity.local:
            if isinstance(p.described.rule, Explicit):
                count = p.described.rule.summary.count
                own = count * p.selected.count / p.described.n_targets
                most = max(most, PARSE_BYTES * min(count, BLOCK_EDGES) + 64.0 * own)
        return most

    def _building(self) -> float:
        """The most that is there at once while rows are built."""
        c, network = self.connectivity, self.expectation.experiment.network
        synapse = SYNAPSE_BYTES[self.expectation.experiment.run.precision]
        shares = sum(8.0 * p.part.count for p in c.local if isinstance(p.described.rule, FixedTotalNumber))
        held = shares + 25.0 * c.listed
        held += sum(8.0 * len(p.weight.values) for p in network.projections if isinstance(p.weight, Listed))
        peak = held + self._reading()
        for chunk in plan_chunks(network.populations, c.local, c.columns_of, CELL_BUDGET):
            stays = rows = 0.0
            for population, s in zip(network.populations, c.by_source, strict=True):
                begin, end = population.first_gid, population.first_gid + population.size
                n = max(0, min(chunk.high, end) - max(chunk.low, begin))
                stays += n * (s.synapses * synapse + s.runs * RUN_BYTES)
                rows += n * s.row
            scratch = (chunk.high - chunk.low) * (4.0 * cells_per_row(chunk.projections, c.columns_of) + 24.0)
            if chunk.expected is not None:
                scratch = SORT_BYTES * chunk.expected
            listed = rows * (ROW_BYTES + HOST_ROW_BYTES)
            peak = max(peak, held + stays + listed + scratch)
            held += stays + listed
        return peak

    def _buffers(self) -> float:
        """The wheel (room for a burst in every slot) or the ring, and the messages to and from every rank."""
        c, run, tuning = self.connectivity, self.expectation.experiment.run, Tuning()
        network = self.expectation.experiment.network
        each_step = [self._rate(p.name) * run.dt / 1000.0 for p in network.populations]
        due = sum(
            r * p.size * s.runs for r, p, s in zip(each_step, network.populations, c.by_source, strict=True)
        )  # fmt: skip
        last = max((self.expectation.delays_of(i).last for i in range(len(network.projections))), default=1)
        slots = n_slots(last)
        wheel = slots * max(float(tuning.wheel_room(slots)), BURST * due) * 16.0 + 8.0 * slots
        real = SYNAPSE_BYTES[run.precision]
        planes = zip(c.layout.groups, self.shapes, strict=True)
        ring = (slots - 1.0) * real * sum(-(-g.size // 64) * 64.0 * s.n_planes for g, s in planes)
        stored = c.synapses * real + c.runs * RUN_BYTES + c.rows * ROW_BYTES
        by_ring = delivers_by_ring(run.delivery, c.synapses, c.runs, 0.0 if c.drawn else ring, stored)
        if by_ring or c.drawn:
            wheel = (slots * 24.0 if by_ring else wheel) + ring
        if c.drawn and self.lists_input:
            wheel += lists_bytes(slots, ring / real / (slots - 1.0), run.precision)
        if self.n_ranks == 1:
            return wheel
        firsts = [self.expectation.delays_of(i).first for i in range(len(network.projections))]
        interval = max(1, min([*firsts, tuning.max_interval]))
        sent: float = sum(r * n * e for r, n, e in zip(each_step, self._local, self.elsewhere, strict=True))
        sent *= BURST * interval / max(1, self.n_ranks - 1)
        words = 2.0 * (1 + interval) + max(4.0 * FIRST_ROOM, 256.0, sent) + max(float(FIRST_ROOM), sent)
        return float(wheel + 4.0 * self.n_ranks * words)

    def _recording(self) -> tuple[float, float]:
        """Bytes of what is recorded until it is written, and of putting it together on the first rank."""
        experiment, layout = self.expectation.experiment, self.connectivity.layout
        network, run = experiment.network, experiment.run
        real = 4 if run.precision == "single" else 8
        recorded = {s.name: s.size / s.population.size for s in network.recorded_neurons()}  # share of each
        seconds = run.duration / 1000.0
        mine: float = sum(
            self._rate(p.name) * seconds * n * recorded[p.name]
            for p, n in zip(network.populations, self._local, strict=True) if p.name in recorded
        )  # fmt: skip
        everyone = sum(
            self._rate(p.name) * seconds * p.size * recorded[p.name] for p in network.populations if p.name in recorded
        )
        held = min(mine, SPIKE_ROOM) * 32.0 if self.files else mine * 64.0
        for recording in network.state_recordings:
            population = network.populations.index(recording.population)
            share = self._local[population] / recording.population.size
            chosen = recording.selection.size
            data = run.duration / recording.interval * share * chosen * real * len(recording.variables)
            # The buffers, and at a flush a copy of each variable and of all together.
            held += 3.0 * (min(data, STATE_ROOM_BYTES) if self.files else data)
        if network.rate_recording is not None:
            bins = 8.0 * len(network.rate_recording.populations) * run.duration / network.rate_recording.bin
            # The buffer; at a flush what was counted, and zeros to begin anew.
            held += 2.0 * RATE_ROOM_BYTES + (min(bins, RATE_ROOM_BYTES) if self.files else bins)
        held += 2.0 * 40.0 * n_periods(run.end, run.steps_per_second) * len(network.populations)
        merged = layout.rank == 0 and self.files and run.duration > 0.0 and recorded
        writing = min(everyone, WINDOW_SPIKES) * MERGE_BYTES + FIGURE_BYTES if merged else 0.0
        return held, max(writing, self._dumping() if self.files else 0.0)

    def _dumping(self) -> float:
        """What writing connections takes: a window of this rank's own, on the first rank of everybody's."""
        network = self.expectation.experiment.network
        written = sum(expected_synapses(network.projections[k]) for k in network.connection_recording)
        here = self.connectivity.synapses + self.connectivity.drawn
        mine = written if self.connectivity.layout.rank == 0 else min(written, here)
        return DUMP_BYTES * min(mine, float(WINDOW_SYNAPSES))


def bytes_a_source(projection: Projection) -> float:
    """What a row that is drawn again has to know of each source: its share of a total, its limit in space."""
    rule = projection.rule
    if isinstance(rule, FixedOutdegree) and is_spatial(rule):
        return 16.0
    return 8.0 if isinstance(rule, FixedTotalNumber) else 0.0


def _drawn_rows(c: RankConnectivity) -> float:
    """What rows that are drawn again take on the device: their sources, shares of totals, targets in cells."""
    mine = [p for p in c.local if p.described.storage == "procedural"]
    shares = {p.number: bytes_a_source(p.described) * p.n_sources for p in mine}
    placed = (held_bytes(p.described, p.described.targets[p.selection], p.selected.count) for p in mine)
    return (8.0 * c.rows if c.drawn else 0.0) + sum(shares.values()) + sum(placed)
