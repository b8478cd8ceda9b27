"""One rank's share of a run on many ranks, built as it would be there, with nobody else there."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from distsim.backend import Backend
from distsim.backend.profile import HostProfiler
from distsim.build.capacity import available_bytes, refuse_dry_run, resident_bytes
from distsim.build.costs import NOMINAL_RATE
from distsim.build.estimate import estimate
from distsim.build.expected import Expectation
from distsim.build.others import Others
from distsim.build.partition import Layout
from distsim.build.quanta import plan_planes
from distsim.checks import check_ranks
from distsim.comm_dry import DryRun
from distsim.engine.footprint import Footprint, footprint
from distsim.engine.groups import group_shape
from distsim.engine.simulation import Simulation, Tuning
from distsim.errors import wrong
from distsim.experiment import MAX_RANKS, Experiment
from distsim.kernels.loop import EVERYWHERE
from distsim.measurement import peak_bytes

PHASES = ("projections", "rows", "routing", "states", "loop")
MESSAGE_BYTES = 4


@dataclass(frozen=True)
class Traffic:
    """Spikes of one rank across ranks, in an exchange interval, on average.

    Attributes
    ----------
    interval
        Steps between exchanges.
    messages_out, messages_in
        Messages to and from other ranks, at the given rates.
    ranks_out, ranks_in
        Other ranks that this one may send to, and receive from.
    words_out, words_in
        What the collective of every interval carries with its headers and the room it keeps: uint32 words.
    """

    interval: int
    messages_out: float
    messages_in: float
    ranks_out: int
    ranks_in: int
    words_out: int
    words_in: int


@dataclass(frozen=True)
class Share:
    """What a dry run found.

    Attributes
    ----------
    neurons, synapses, runs, rows, entries
        On this rank; `entries`: of the routing table, each for another rank or for all of them (drawn from what is
        expected).
    stored
        Bytes of synapses, runs, rows and routing, as summary.json counts them.
    memory
        By kind, counted from the arrays.
    peak
        The most that this process had while building, over what it had before; 0 where nothing more than before.
    seconds
        By phase of construction, without compilation and without making up the other ranks.
    """

    rank: int
    ranks: int
    neurons: int
    synapses: int
    runs: int
    rows: int
    entries: int
    stored: int
    memory: Footprint
    peak: int
    seconds: dict[str, float]
    traffic: Traffic

    @property
    def build(self) -> float:
        return sum(self.seconds.values())

    @property
    def bytes_per_synapse(self) -> float | None:
        """As in summary.json; None without synapses."""
        return self.stored / self.synapses if self.synapses else None


def dry_run(
    experiment: Experiment, rank: int, n_ranks: int, backend: Backend, rate: float | None = None,
    ignore_memory: bool = False, tuning: Tuning | None = None,
) -> Share:  # fmt: skip
    """Build rank `rank` of `n_ranks`.

    Neurons, synapses, runs and rows are exactly those of the real run. Which of its neurons other ranks need is drawn
    from what is expected of them (see `build.others`).

    Parameters
    ----------
    rate
        Spikes a second of every neuron, for counting messages; None: the network's published rates, else 5 Hz.

    Raises
    ------
    ConfigError
        There is no such rank.
    CapacityError
        The share does not fit into this machine's memory.
    """
    if not 1 <= n_ranks <= MAX_RANKS:
        raise wrong("ranks", n_ranks, f"a number of ranks from 1 to {MAX_RANKS}")
    if not 0 <= rank < n_ranks:
        raise wrong("rank", rank, f"a rank of {n_ranks}, counted from 0")
    check_ranks(experiment.run, n_ranks)
    available = available_bytes()
    if available is not None and not ignore_memory:
        largest = estimate(experiment, n_ranks, lists_input=backend.lists_input).largest
        refuse_dry_run(experiment, largest, available)
    network, run = experiment.network, experiment.run
    layout, planes = Layout.of(experiment, rank, n_ranks), plan_planes(network, run.precision)
    shapes = [group_shape(network, g, planes, run.dt) for g in layout.groups]
    expectation = Expectation(experiment, planes, [s.n_planes for s in shapes], (tuning or Tuning()).block_bits)
    others = Others(experiment, expectation, layout)
    shortest = others.shortest() if n_ranks > 1 else None
    if shortest is not None:  # some other rank has it, whether or not this one does
        asked = run.steps(run.exchange_interval) if run.exchange_interval else shortest
        shortest = max(1, min(asked, shortest // 2 if backend.runs_beside and shortest > 1 else shortest))
        built = dataclasses.replace(run, exchange_interval=shortest * run.dt)
        experiment = dataclasses.replace(experiment, run=built)
    comm, phases, before = DryRun(rank, n_ranks, others), HostProfiler(), resident_bytes()
    simulation = Simulation(experiment, comm, backend, tuning=tuning, profiler=phases)
    seconds = {name: phases.construction.get(name, 0.0) for name in PHASES}
    seconds["routing"] -= comm.answering
    return Share(
        rank, n_ranks, layout.n_local, simulation.rows.n_synapses, simulation.rows.n_runs, simulation.rows.gids.size,
        simulation.routing.rank.size, simulation.rows.bytes(run.precision) + simulation.routing.bytes(),
        footprint(simulation), max(0, peak_bytes() - before), seconds,
        _traffic(simulation, comm, others, rate),
    )  # fmt: skip


def _traffic(simulation: Simulation, comm: DryRun, others: Others, rate: float | None) -> Traffic:
    """Messages of a mean interval."""
    network, layout, routing = simulation.experiment.network, simulation.layout, simulation.routing
    published = network.reference_rates
    rates = np.array([published.get(p.name, NOMINAL_RATE) if rate is None else rate for p in network.populations])
    each = rates * simulation.interval * simulation.experiment.run.dt / 1000.0  # spikes of a neuron, by population
    receivers = np.where(routing.rank == EVERYWHERE, layout.n_ranks - 1, 1).astype(np.int64)
    before = np.concatenate(([0], np.cumsum(receivers)))[routing.begin.astype(np.int64)]
    sent = 0.0
    for i in range(len(network.populations)):
        begin = layout.group_of(i).begin + layout.part(i).begin
        sent += float(each[i] * (before[begin + layout.part(i).count] - before[begin]))
    gids = simulation.rows.gids
    # Of broadcast sources messages come whether they are needed or not.
    foreign = np.union1d(gids[layout.owner(gids) != layout.rank], others.broadcast_sources)
    first = np.array([p.first_gid for p in network.populations])
    counts = np.bincount(np.searchsorted(first, foreign, side="right") - 1, minlength=len(network.populations))
    return Traffic(
        simulation.interval, sent, float(each @ counts), routing.destinations.size, routing.sources.size,
        comm.sent_words, comm.received_words,
    )  # fmt: skip
