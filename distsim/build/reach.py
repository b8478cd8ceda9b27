"""How many synapses a rule with space leads to, from the description alone: bounds for quanta, means for estimates."""

from __future__ import annotations

import math
import weakref

import numpy as np
import numpy.typing as npt

from distsim.elements import Projection
from distsim.expressions import NAMES, Program
from distsim.lengths import AXES
from distsim.masks import AnyMask
from distsim.rules import FixedIndegree, FixedOutdegree, PairwiseBernoulli, PairwisePoisson, chance_of, is_spatial
from distsim.selection import Selection
from distsim.space import Ellipse, Grid, PositionList

Floats = npt.NDArray[np.float64]
SAMPLES = 2**17  # pairs by which a mean is estimated


def spatial_bound(projection: Projection) -> int:
    """A bound of the synapses onto one target: by the sources within the mask's window.

    Strict for grids and lists; where positions are drawn, the bound lies 16 standard deviations and 64 above the mean,
    as for other rules that leave a share to chance. Of fixed_outdegree with multapses all may go to one target.
    """
    rule = projection.rule
    assert is_spatial(rule)
    candidates = sum(_within(s, rule.mask) for s in projection.sources)
    if isinstance(rule, (FixedIndegree, FixedOutdegree)):
        return candidates * rule.outdegree if isinstance(rule, FixedOutdegree) and rule.multapses else candidates
    most = max(0.0, chance_of(rule).support()[1])
    mean = candidates * (min(most, 1.0) if isinstance(rule, PairwiseBernoulli) else most)
    spread = math.ceil(mean + 16.0 * math.sqrt(mean) + 64.0) if mean else 0
    return min(candidates, spread) if isinstance(rule, PairwiseBernoulli) else spread


def _within(selection: Selection, mask: AnyMask | None) -> int:
    """The most sources of a selection that one target can have in its window."""
    positions, size = selection.population.positions, selection.size
    assert positions is not None
    if mask is None or isinstance(positions, PositionList):
        return size
    window = mask.window(positions.dimensions)
    widths = [high - low for low, high in window]
    if isinstance(positions, Grid):
        points = (
            min(n, math.floor(w / step * (1.0 + 1e-9) + 1e-9) + 1)
            for n, w, step in zip(positions.shape, widths, positions.steps, strict=True)
        )
        return min(size, math.prod(points))
    share = math.prod(min(1.0, w / e) for w, e in zip(widths, positions.extent, strict=True))
    if isinstance(positions, Ellipse):
        d = positions.dimensions
        whole = (math.pi / 4.0 if d == 2 else math.pi / 6.0) * (1.0 - positions.hollow**d)
        share = min(1.0, share / whole)
    mean = size * share
    return min(size, math.ceil(mean + 16.0 * math.sqrt(mean) + 64.0))


_means: dict[int, tuple[weakref.ref[Projection], float]] = {}  # by the id of a projection that is still there


def mean_number(projection: Projection) -> float:
    """The mean of p (or of the number of connections) over all pairs, estimated from 2^17 of them: for planning.

    Planning asks again for each population and rank; a projection's number is estimated once.
    """
    key = id(projection)
    if key not in _means or _means[key][0]() is not projection:
        _means[key] = weakref.ref(projection, lambda _: _means.pop(key, None)), _mean(projection)
    return _means[key][1]


def _mean(projection: Projection) -> float:
    rule = projection.rule
    assert isinstance(rule, (PairwiseBernoulli, PairwisePoisson))
    random = np.random.default_rng(1)
    total = pairs = 0.0
    for source in projection.sources:
        for target in projection.targets:
            count = float(source.size) * target.size
            total += count * _mean_between(projection, rule.mask, source, target, random)
            pairs += count
    return total / pairs


def _mean_between(
    projection: Projection, mask: AnyMask | None, source: Selection, target: Selection, random: np.random.Generator
) -> float:
    rule, space = projection.rule, projection.space
    assert isinstance(rule, (PairwiseBernoulli, PairwisePoisson))
    a, b = source.population.positions, target.population.positions
    assert a is not None and b is not None
    dimensions = a.dimensions
    values: dict[str, Floats] = {}
    square, inside, volume = np.zeros(SAMPLES), np.ones(SAMPLES, bool), 1.0
    for axis in range(dimensions):
        (low, high), (left, right) = a.box()[axis], b.box()[axis]
        period = space.period(axis) if space is not None else 0.0
        t = random.uniform(left, right, SAMPLES)
        least, most = left - high, right - low
        if mask is not None:
            window = mask.window(dimensions)[axis]
            least, most = window if period else (max(least, window[0]), min(most, window[1]))
        elif period:
            least, most = -0.5 * period, 0.5 * period
        if not most > least:
            most = least + 1e-9
        d = random.uniform(least, most, SAMPLES)
        s = t - d
        d = d - period * np.round(d / period) if period else d
        edge = high - low
        if period:
            s = low + np.mod(s - low, period)
        inside &= (s >= low) & (s <= high)
        volume *= (most - least) / (edge if edge > 0.0 else most - least)
        name = AXES[axis]
        values[f"d{name}"], values[f"source.{name}"], values[f"target.{name}"] = d, s, t
        square += d * d
    values["distance"] = np.sqrt(square)
    p = evaluate(chance_of(rule).program, values)
    p = np.clip(p, 0.0, 1.0 if isinstance(rule, PairwiseBernoulli) else np.inf)
    return float(np.mean(np.where(inside, p, 0.0)) * volume)


def evaluate(program: Program, values: dict[str, Floats]) -> Floats:
    """A program in NumPy: for estimates and tests, not for what is built."""
    stack: list[Floats] = []
    size = next(iter(values.values())).shape
    with np.errstate(all="ignore"):
        for step in program:
            if step.operation == "constant":
                stack.append(np.full(size, step.value))
            elif step.operation == "name":
                stack.append(values[NAMES[int(step.value)]])
            elif step.operation in _UNARY:
                stack.append(_UNARY[step.operation](stack.pop()))
            else:
                b, a = stack.pop(), stack.pop()
                stack.append(np.asarray(_BINARY[step.operation](a, b), np.float64))
    return stack.pop()


_UNARY = {"negate": np.negative, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos,
          "abs": np.abs, "square": np.square}  # fmt: skip
_BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "less": np.less,
    "less_equal": np.less_equal, "greater": np.greater, "greater_equal": np.greater_equal, "equal": np.equal,
    "unequal": np.not_equal, "min": np.minimum, "max": np.maximum, "pow": np.power,
    "whole_pow": np.power,
}  # fmt: skip
