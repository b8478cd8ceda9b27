"""Weights at a lower resolution: `weight_bits` of a projection.

Weights become 2^bits equally spaced levels. Binning alone changes the variance of a weight (and by a little the
mean), and with it the variance of the summed input to a neuron, which Dasbach et al. 2021
(doi:10.3389/fnins.2021.757790) show to be what the dynamics of a recurrent network depends on. So the levels'
values are not the bins' centres: they are moved and stretched together such that the mean and the variance of a
drawn weight are those of the distribution that was described. Sums over independent inputs then keep both. The
third and higher moments, and the tails (beyond the outermost bins), are not kept. A weight's level is a function of
the weight, thus of the synapse's identity: nothing depends on ranks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distsim.backend import Backend, Module
from distsim.build.quanta import PlaneTable
from distsim.build.sampling import sampler
from distsim.distributions import Listed, support
from distsim.elements import Projection
from distsim.kernels import values as structs
from distsim.network import Network
from distsim.rules import Explicit

Floats = npt.NDArray[np.float64]
SAMPLES = 2**16  # words at equal distances, by which moments and quantiles of a distribution are measured


@dataclass(frozen=True)
class Levels:
    """A weight w gets level i = (w - low) * per_unit, rounded down, within 0 … n - 1: the weight first + step * i."""

    n: int
    low: float
    per_unit: float
    first: float
    step: float
    least: float
    most: float

    def of(self, weights: Floats) -> Floats:
        """`weights` at this resolution (the kernel's arithmetic, one operation after the other)."""
        level = np.floor(np.clip((weights - self.low) * self.per_unit, 0.0, self.n - 1.0))
        return np.clip(self.first + self.step * level, self.least, self.most)


@dataclass(frozen=True)
class WeightError:
    """Relative errors of the mean and the variance of a projection's weights as stored."""

    mean: float
    variance: float


def weight_levels(projection: Projection, backend: Backend, kernels: Module) -> Levels | None:
    """The levels of a projection's weights; None where they stay as they are.

    Moments are sums of exact arithmetic over the same draws on every machine, so all ranks have the same levels.
    """
    bits, weight = projection.weight_bits, projection.weight
    if bits is None or isinstance(weight, float):
        return None
    drawn = np.sort(_weights(projection, backend, kernels))
    low, high = support(weight)
    # Bins reach so far that about half a bin's share lies beyond them on either side.
    beyond = drawn.size >> (bits + 2)
    begin, end = float(drawn[beyond]), float(drawn[-1 - beyond])
    if not end > begin:
        return None
    n = 2**bits
    per_unit = n / (end - begin)
    plain = Levels(n, begin, per_unit, 0.0, 1.0, 0.0, n - 1.0)
    mean, deviation = _moments(drawn)
    level_mean, level_deviation = _moments(plain.of(drawn))
    step = deviation / level_deviation
    least, most = (0.0 if low >= 0.0 else low), (0.0 if high <= 0.0 else high)
    return Levels(n, begin, per_unit, mean - step * level_mean, step, least, most)


def weight_errors(
    network: Network, planes: PlaneTable, backend: Backend, kernels: Module
) -> Sequence[WeightError | None]:
    """For each projection what resolution and quanta do to its weights; None where it has no `weight_bits`."""
    found: list[WeightError | None] = []
    for number, projection in enumerate(network.projections):
        levels = weight_levels(projection, backend, kernels)
        if projection.weight_bits is None:
            found.append(None)
            continue
        drawn = _weights(projection, backend, kernels)
        kept = levels.of(drawn) if levels else drawn.copy()
        ends = [e for (p, _, _), e in planes.endpoints.items() if p == number and not e.counts]
        for negative in (False, True):
            sides = [e.negative if negative else e.positive for e in ends]
            scale = ends[0].scale if ends else 1.0
            quantum = max((s.quantum / scale for s in sides if s is not None), default=0.0)
            mine = (kept < 0.0) == negative
            if quantum:
                kept[mine] = np.trunc(kept[mine] / quantum + (-0.5 if negative else 0.5)) * quantum
        mean, deviation = _moments(drawn)
        kept_mean, kept_deviation = _moments(kept)
        found.append(
            WeightError(
                abs(kept_mean - mean) / max(abs(mean), deviation, 1e-300),
                abs(kept_deviation**2 / deviation**2 - 1.0) if deviation else 0.0,
            )
        )
    return found


def _weights(projection: Projection, backend: Backend, kernels: Module) -> Floats:
    """The projection's weights: those listed, or a distribution's at equally spaced probabilities."""
    weight = projection.weight
    if isinstance(projection.rule, Explicit):
        return np.concatenate([np.empty(0), *(block.weight for block in projection.rule.blocks(None))])
    if isinstance(weight, Listed):
        return np.array(weight.values, np.float64)
    if isinstance(weight, float):
        return np.array([weight])
    drawn = backend.empty(SAMPLES, np.float64)
    arguments = structs.Values(n=SAMPLES, sampler=sampler(weight), drawn=backend.pointer(drawn))
    kernels.launch("spaced_values", arguments, SAMPLES)
    return backend.to_host(drawn)


def _moments(values: Floats) -> tuple[float, float]:
    """Mean and standard deviation; sums are exact, so the same on every machine."""
    mean = math.fsum(values.tolist()) / values.size
    return mean, math.sqrt(math.fsum(((values - mean) ** 2).tolist()) / values.size)
