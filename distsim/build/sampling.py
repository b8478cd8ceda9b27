"""Described distributions made ready for kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend, Module
from distsim.build.partition import Part
from distsim.distributions import (
    Drawn,
    Exponential,
    Listed,
    Lognormal,
    Normal,
    NormalClipped,
    Uniform,
    UniformInt,
    Value,
    support,
)
from distsim.drawn import Placed
from distsim.elements import Population
from distsim.exact import exact_context, log_gamma, normal_cdf
from distsim.expressions import Expression
from distsim.grid import round_to_steps
from distsim.kernels import values as structs
from distsim.kernels.connect import SURE
from distsim.streams import Stream

GUIDE_BITS = 12


def sampler(value: Value) -> Any:
    """The kernel's structure for a number or a distribution (not for a list)."""
    s = structs.Sampler()
    if isinstance(value, float):
        s.kind, s.first = structs.CONSTANT_VALUE, value
        s.low = s.high = value
        return s
    s.low, s.high = support(value)
    s.p_low, s.p_width, s.factor = 0.0, 1.0, 1.0
    if isinstance(value, NormalClipped):
        s.kind, s.first, s.second = structs.NORMAL, value.mean, value.std
        if value.std > 0.0:
            low, high = value.bounds()
            s.p_low = normal_cdf((low - value.mean) / value.std) if math.isfinite(low) else 0.0
            top = normal_cdf((high - value.mean) / value.std) if math.isfinite(high) else 1.0
            s.p_width = top - s.p_low
        return s
    if not isinstance(value, Drawn):
        raise TypeError(f"no sampler for {type(value).__name__}")
    if isinstance(value, Placed):
        s.factor, s.offset, s.mirror = value.factor, value.offset, 0 if value.factor > 0.0 else 0xFFFFFFFF
    if isinstance(value, UniformInt):
        first, last = value.plain.whole_limits()
        s.kind, s.first, s.second = structs.UNIFORM_INT, float(first), float(last - first + 1)
        return s
    s.p_low, s.p_width = value.probabilities()
    if isinstance(value, Uniform):
        s.kind, s.first, s.second = structs.UNIFORM, value.low, value.high - value.low
    elif isinstance(value, Normal):
        s.kind, s.first, s.second = structs.NORMAL, value.mean, value.std
    elif isinstance(value, Lognormal):
        s.kind, s.first, s.second = structs.LOGNORMAL, value.mean, value.std
    elif isinstance(value, Exponential):
        s.kind, s.first = structs.EXPONENTIAL, value.beta
    else:
        s.kind, s.first, s.second = structs.GAMMA, value.scale, value.shape
        with localcontext(exact_context()):
            s.third = float(log_gamma(Decimal(value.shape)))
    return s


def draw(
    backend: Backend, kernels: Module, value: Value, part: Part, seed: int, stream: Stream, index: int
) -> npt.NDArray[np.float64]:
    """One number for each local neuron of a population, float64[part.count], on the host."""
    if isinstance(value, float):
        return np.full(part.count, value)
    if isinstance(value, Listed):
        return np.array(value.values, np.float64)[part.positions()]
    drawn = backend.empty(part.count, np.float64)
    arguments = structs.Values(
        n=part.count, gid=part.first_gid, stride=part.stride, seed=seed, stream=int(stream), index=index,
        sampler=sampler(value), drawn=backend.pointer(drawn),
    )  # fmt: skip
    kernels.launch("draw_values", arguments, part.count)
    return backend.to_host(drawn)


def draw_rows(
    backend: Backend, kernels: Module, value: Value, part: Part, seed: int, stream: Stream, count: int
) -> npt.NDArray[np.float64]:
    """`count` numbers for each local neuron of a population, float64[part.count, count], on the host."""
    drawn = backend.empty(max(1, part.count * count), np.float64)
    if part.count * count:
        arguments = structs.Values(
            n=part.count, gid=part.first_gid, stride=part.stride, seed=seed, stream=int(stream), index=count,
            sampler=sampler(value), drawn=backend.pointer(drawn),
        )  # fmt: skip
        kernels.launch("draw_rows", arguments, part.count * count)
    return backend.to_host(drawn)[: part.count * count].reshape(part.count, count)


@dataclass(frozen=True)
class Delays:
    """A projection's delays in steps: listed, a table from uniform words to steps, or neither (an expression)."""

    first: int
    last: int
    listed: Array | None = None
    guide: Array | None = None
    thresholds: Array | None = None


def delays(backend: Backend, kernels: Module, value: Value, dt: float) -> Delays:
    """Delays on the grid (rounded half up).

    A drawn delay is looked up: thresholds of the uniform word between successive steps are found by
    bisection of the kernel's own sampler, so that the table and a direct evaluation agree.
    """
    if isinstance(value, Listed):
        steps = np.array([round_to_steps(x, dt) for x in value.values], np.int32)
        if not steps.size:
            return Delays(1, 1, listed=backend.to_device(np.ones(1, np.int32)))
        return Delays(int(steps.min()), int(steps.max()), listed=backend.to_device(steps))
    low, high = (round_to_steps(x, dt) for x in support(value))
    low = max(low, 1)
    if isinstance(value, Expression):
        return Delays(low, high)
    words = np.empty(0, np.uint64)
    if high > low:
        found = backend.empty(high - low, np.uint64)
        arguments = structs.Values(
            n=high - low, gid=low, per_unit=1.0 / dt, sampler=sampler(value), thresholds=backend.pointer(found)
        )
        kernels.launch("find_thresholds", arguments, high - low)
        words = backend.to_host(found)
        words = words[words < 2**32]
        # Steps that no word reaches at the lower end.
        unused = int(np.searchsorted(words, 0, side="right"))
        low, words = low + unused, words[unused:]
    cells = np.arange(2**GUIDE_BITS, dtype=np.uint64) << np.uint64(32 - GUIDE_BITS)
    begins = np.searchsorted(words, cells, side="right")
    ends = np.searchsorted(words, cells + np.uint64(2 ** (32 - GUIDE_BITS) - 1), side="right")
    known = (begins == ends) & (begins < SURE)
    guide = np.where(known, begins + SURE, np.minimum(begins, SURE - 1)).astype(np.uint16)
    thresholds = np.append(words, 0).astype(np.uint32)  # one spare, so that the array is never empty
    return Delays(low, low + words.size, guide=backend.to_device(guide), thresholds=backend.to_device(thresholds))


def population_values(population: Population, name: str) -> Value:
    """A population's value of a scalar parameter."""
    value: Value = population.params[name]
    return value
