"""Checks of projections that depend on positions, and the bounds of their expressions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from distsim.errors import ConfigError, wrong
from distsim.expressions import Expression, Interval, program_of
from distsim.lengths import AXES
from distsim.masks import AnyMask, Doughnut
from distsim.rules import DegreeRule, PairRule, PairwiseBernoulli, PairwisePoisson, chance_of, is_spatial, pair_value
from distsim.space import Space

if TYPE_CHECKING:
    from distsim.elements import Projection
    from distsim.selection import Selection


def with_space(projection: Projection, where: str) -> Projection:
    """The projection with bounds for its expressions; as it is where nothing depends on positions.

    Raises
    ------
    ConfigError
        Positions are missing or of several dimensions, a mask does not fit, or an expression is not defined everywhere.
    """
    rule = projection.rule
    expressions = [k for k in ("weight", "delay") if isinstance(getattr(projection, k), Expression)]
    if not expressions and not is_spatial(rule):
        return projection
    for key in expressions:  # what is no expression at all is not missing a place
        program_of(getattr(projection, key).text, f"{where}.{key}")
    at = f"{where}.{expressions[0]}" if expressions else f"{where}.rule.{rule.name}"
    for key in expressions:  # before the lack of positions is what counts: it may be meant as something else
        given: Expression = getattr(projection, key)
        given.check(f"{where}.{key}")
        if not given.names and any(s.population.positions is None for s in (*projection.sources, *projection.targets)):
            raise wrong(f"{where}.{key}", given.text, "a number without quotes, or an expression of positions")
    boxes = [[_box(s, at) for s in side] for side in (projection.sources, projection.targets)]
    dimensions = {len(b) for side in boxes for b in side}
    if len(dimensions) != 1:
        raise wrong(at, f"positions of {sorted(dimensions)} dimensions", "as many dimensions on both sides")
    (dimension,) = dimensions
    mask: AnyMask | None = None
    if is_spatial(rule) and rule.mask is not None:
        mask = rule.mask
        mask.check(dimension, f"{where}.rule.{rule.name}.mask")
        _check_window(mask, projection.space, dimension, f"{where}.rule.{rule.name}.mask")
        space = projection.space
        mask = mask.within([space.period(a) if space is not None else 0.0 for a in range(dimension)])
        rule = dataclasses.replace(rule, mask=mask)
    reach = domain(boxes[0], boxes[1], projection.space, mask)
    changes: dict[str, Any] = {}
    for key in expressions:
        changes[key] = getattr(projection, key).bounded(reach, f"{where}.{key}")
    if is_spatial(rule):
        rule = _bounded_rule(rule, reach, where)
    return dataclasses.replace(projection, rule=rule, **changes)


def _box(selection: Selection, at: str) -> tuple[Interval, ...]:
    positions = selection.population.positions
    if positions is None:
        raise ConfigError(
            f"{at}: population {selection.name!r} has no positions; give it the key positions, such as "
            "{box: {extent: [1.0, 1.0]}}"
        )
    return positions.box()


def _check_window(mask: AnyMask, space: Space | None, dimensions: int, where: str) -> None:
    for axis, (low, high) in enumerate(mask.span(dimensions)):
        period = space.period(axis) if space is not None else 0.0
        half = f"{0.5 * period:g} to either side along {AXES[axis]}, half of the periodic box"
        if period and abs(mask.offset(axis)) > 0.5 * period:
            raise wrong(f"{where}.anchor", list(mask.anchor or ()), f"at most {half}")
        if period and max(-low, high) > 0.5 * period * (1.0 + 1e-12):
            raise wrong(where, [low, high], f"at most {half}")


def _bounded_rule(rule: PairRule | DegreeRule, reach: dict[str, Interval], where: str) -> PairRule | DegreeRule:
    value = pair_value(rule)
    key = "pairwise_avg_num_conns" if isinstance(rule, PairwisePoisson) else "p"
    program_of(chance_of(rule).text, f"{where}.rule.{rule.name}.{key}")  # with the mask it may be too long
    if not isinstance(value, Expression):
        return rule
    bounded = value.bounded(reach, f"{where}.rule.{rule.name}.{key}")
    low, high = bounded.support()
    most = 1.0 if isinstance(rule, PairwiseBernoulli) else math.inf
    if isinstance(rule, (PairwiseBernoulli, PairwisePoisson)) and (high < 0.0 or low > most):  # as of a number
        allowed = "a probability that is within 0 to 1" if most == 1.0 else "a mean that is at least 0"
        raise wrong(f"{where}.rule.{rule.name}.{key}", f"{low:g} to {high:g}", f"{allowed} for some pairs")
    if isinstance(rule, PairwisePoisson):
        return dataclasses.replace(rule, pairwise_avg_num_conns=bounded)
    return dataclasses.replace(rule, p=bounded)


def domain(source_boxes: Sequence[Sequence[Interval]], target_boxes: Sequence[Sequence[Interval]],
           space: Space | None, mask: AnyMask | None) -> dict[str, Interval]:  # fmt: skip
    """Between which numbers the names of an expression lie, over all pairs that can be connected."""
    dimensions = len(source_boxes[0])
    found: dict[str, Interval] = {}
    furthest = nearest_square = 0.0
    window = mask.window(dimensions) if mask is not None else ((-math.inf, math.inf),) * dimensions
    for axis in range(dimensions):
        sources, targets = [b[axis] for b in source_boxes], [b[axis] for b in target_boxes]
        low, high = min(s[0] for s in sources), max(s[1] for s in sources)
        left, right = min(t[0] for t in targets), max(t[1] for t in targets)
        least, most = left - high, right - low
        period = space.period(axis) if space is not None else 0.0
        if period and (least < -0.5 * period or most > 0.5 * period):
            least, most = -0.5 * period, 0.5 * period
        slack = 1e-9 * max(abs(low), abs(high), abs(left), abs(right), most - least)
        least, most = least - slack, most + slack
        if not (period and max(-window[axis][0], window[axis][1]) > 0.5 * period):  # else of images on both sides
            least, most = max(least, window[axis][0]), min(most, window[axis][1])
        least, most = min(least, most), max(least, most)
        found[f"d{AXES[axis]}"] = (least, most)
        found[f"source.{AXES[axis]}"] = (low - slack, high + slack)
        found[f"target.{AXES[axis]}"] = (left - slack, right + slack)
        furthest += max(abs(least), abs(most)) ** 2
        nearest_square += 0.0 if least <= 0.0 <= most else min(abs(least), abs(most)) ** 2
    reach = math.sqrt(furthest) * (1.0 + 1e-12)
    if mask is not None and mask.reach():
        reach = min(reach, mask.reach())
    closest = math.sqrt(nearest_square) * (1.0 - 1e-12)
    if isinstance(mask, Doughnut) and mask.anchor is None:
        closest = max(closest, mask.inner_radius)
    found["distance"] = (min(closest, reach), reach)
    return found
