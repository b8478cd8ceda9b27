"""Memory of a built network on one rank, by kind: counted from its arrays."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from distsim.build.rows import RUN_BYTES, SYNAPSE_BYTES
from distsim.engine.simulation import Simulation


@dataclass(frozen=True)
class Footprint:
    """Bytes of one rank, by kind; the kinds are those of `build.estimate.RankMemory`.

    Attributes
    ----------
    neurons
        States, parameters, inputs, Poisson counts, the list of neurons that emit in a step.
    synapses, runs, rows, routing
        Connectivity; `rows` with what the host keeps of them.
    buffers
        The time wheel, the ring's later steps, and the messages of an interval, before any of them grows.
    recording
        Rings and buffers of what is recorded, digests.
    """

    neurons: int
    synapses: int
    runs: int
    rows: int
    routing: int
    buffers: int
    recording: int

    @property
    def running(self) -> int:
        """All together."""
        return sum(getattr(self, f.name) for f in dataclasses.fields(self))


def footprint(simulation: Simulation) -> Footprint:
    """What this rank's arrays take."""
    rows, loop, precision = simulation.rows, simulation.loop, simulation.experiment.run.precision
    slots = int(loop.slot_mask) + 1
    exchange = simulation.exchange.bytes if simulation.exchange is not None else 0
    held = {name: int(simulation.held(name).nbytes) for name in _HELD}
    synapses, runs = rows.n_synapses * SYNAPSE_BYTES[precision], rows.n_runs * RUN_BYTES
    return Footprint(
        neurons=sum(g.bytes for g in simulation.groups) + simulation.input.slot_bytes + held["emitted"],
        synapses=synapses,
        runs=runs,
        rows=rows.bytes(precision) - synapses - runs + rows.gids.nbytes + rows.first_delay.nbytes
        + (0 if rows.number is None else rows.number.nbytes)
        + (0 if simulation.regrown is None else simulation.regrown.bytes),
        routing=simulation.routing.bytes(),
        buffers=slots * int(loop.due_capacity) * 16 + held["due_count"] + simulation.input.later_bytes + exchange,
        recording=simulation.spikes.bytes + simulation.states.bytes + simulation.rates.bytes
        + sum(held[name] for name in _HELD[2:]),
    )  # fmt: skip


_HELD = ("emitted", "due_count", "record_spikes", "record_neuron", "digest", "spike_counts")
