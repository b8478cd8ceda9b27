"""Generators: sources of spikes that are no neurons (their spikes do not enter the digest)."""

from __future__ import annotations

from distsim.models.base import Model, Parameter, State

spike_generator = Model(
    name="spike_generator",
    doc="""Emits spikes at listed times (ms, on the grid, ascending; a time listed k times gives k spikes).""",
    parameters=(Parameter("spike_times", 0.0, "ms", "times of the spikes, one list per generator", vector=True),),
    states=(State("next_spike", "1", "index of the next listed time", kind="int32"),),
    is_neuron=False,
    max_multiplicity=255,
    update="""
        while (spike_times_begin + next_spike < spike_times_end &&
               spike_times_at(spike_times_begin + next_spike) == step) {
            next_spike += 1;
            spikes += 1;
        }
    """,
)
