"""A relay: repeats every spike it receives."""

from __future__ import annotations

from distsim.models.base import Model, Receptor

parrot_neuron = Model(
    name="parrot_neuron",
    doc="""Emits every incoming spike again in the step in which it arrives; weights do not matter.

    As NEST's parrot_neuron; at most 255 spikes in one step. Spikes at receptor "1" are not repeated.""",
    parameters=(),
    states=(),
    receptors=(Receptor("spikes", "spikes", counts=True), Receptor("1", "spikes", counts=True, by_name=True)),
    max_multiplicity=255,
    update="spikes = (int32)input_spikes;",
)
