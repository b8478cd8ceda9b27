"""Numbers that multiply the weights of a source's connections, spike by spike: `spike_weights` of a spike_generator.

Connections from such a population are stored as weight * `row_scale`, and a spike carries its weight / `row_scale`,
from 0 to 1 (kernels/sent.h). The scale is a power of two, so that nothing is rounded by either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from distsim.grid import round_to_steps
from distsim.models.base import Model
from distsim.models.vectors import Repeated


def row_scale(model: Model, params: Mapping[str, Any]) -> float:
    """The smallest power of two that no number of the population exceeds; 1 where its spikes carry none to a row."""
    if not model.weighs:
        return 1.0
    largest = max((x for row in distinct(params[model.weighs]) for x in row), default=0.0)
    if largest == 0.0:
        return 1.0
    share, exponent = math.frexp(largest)  # largest = share * 2^exponent, 1/2 <= share < 1
    return math.ldexp(1.0, exponent - (share == 0.5))


def lists_in_code(model: Model, params: Mapping[str, Any], vector: str) -> Sequence[tuple[float, ...]]:
    """A vector parameter as the model's code reads it, a list for each neuron."""
    rows: Sequence[tuple[float, ...]] = params[vector]
    if vector != model.weighs:
        return rows
    scale = row_scale(model, params)
    shares = [tuple(x / scale for x in row) for row in distinct(rows)]
    return Repeated(shares[0], rows.size) if isinstance(rows, Repeated) else shares


def numbers_at_once(model: Model, params: Mapping[str, Any], dt: float) -> int:
    """How many different numbers the spikes of one neuron may carry in one step: at least 1."""
    if not model.weighs:
        return 1
    times, numbers = params["spike_times"], params[model.weighs]
    whole = isinstance(times, Repeated) and isinstance(numbers, Repeated)
    most = 1
    for i in range(1 if whole else len(times)):
        last, found = None, 0
        for t, x in zip(times[i], numbers[i], strict=True):
            step = round_to_steps(t, dt)
            if last is not None and last[0] == step:
                found += x != last[1]
            else:
                found = 1
            last, most = (step, x), max(most, found)
    return most


def distinct(rows: Sequence[tuple[float, ...]]) -> Sequence[tuple[float, ...]]:
    """The lists, without repeating the one that all neurons have."""
    return (rows.row,) if isinstance(rows, Repeated) else rows
