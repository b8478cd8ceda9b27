"""Room for the spikes that a rank's neurons emit in one step."""

from __future__ import annotations

from distsim.build.partition import Layout
from distsim.models.weighing import numbers_at_once


def emission_room(layout: Layout, dt: float) -> int:
    """The most entries of a step: one a neuron, and more for generators whose spikes of one step differ in weight."""
    parts = [part for group in layout.groups for part in group.parts]
    more = (part.count * (numbers_at_once(part.population.model, part.population.params, dt) - 1) for part in parts)
    return max(1, layout.n_local + sum(more))
