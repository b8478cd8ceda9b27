"""Connectivity in space: against all pairs in NumPy, over layouts, at boundaries; expressions; refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from digests import philox
from hypothesis import given, settings
from hypothesis import strategies as st
from places import SEED, positions, two
from readback import Synapses, connectivity

from distsim import Network, PairwiseBernoulli, PairwisePoisson
from distsim.build import spatial
from distsim.build.quanta import inputs_bound
from distsim.build.reach import evaluate
from distsim.build.selecting import selected_ids
from distsim.elements import Projection
from distsim.rules import chance_of
from distsim.space import (
    Circular,
    Doughnut,
    Elliptical,
    Rectangular,
    Space,
    annulus,
    box,
    ellipse,
    grid,
    listed,
)
from distsim.streams import Stream


def all_pairs(net: Network, p: Projection, number: int = 0) -> Synapses:
    """What a spatial projection is, from all pairs: the definition, in NumPy."""
    gids = [np.concatenate([s.population.first_gid + selected_ids(s, SEED) for s in q]) for q in (p.sources, p.targets)]
    at = np.concatenate([positions(q) for q in net.populations], axis=1)
    source, target = (x.ravel() for x in np.meshgrid(*gids, indexing="ij"))
    values, square = {}, np.zeros(source.size)
    for axis, name in enumerate("xyz"):
        d = at[axis, target] - at[axis, source]
        period = net.space.period(axis) if net.space else 0.0
        if period:
            d = np.where(d > period / 2, d - period, d)
            d = np.where(d <= -period / 2, d + period, d)
        values[f"source.{name}"], values[f"target.{name}"], values[f"d{name}"] = at[axis, source], at[axis, target], d
        square = square + d * d
    values["distance"] = np.sqrt(square)
    assert isinstance(p.rule, (PairwiseBernoulli, PairwisePoisson))
    chance = evaluate(chance_of(p.rule).program, values)
    if not p.rule.autapses:
        chance[source == target] = 0.0
    zero = np.zeros_like(source)
    words = philox(
        np.stack([source, zero, target, zero | (number << 8)], axis=1).astype(np.uint64), (SEED, int(Stream.PAIR))
    )
    u = (((words[:, 0] << np.uint64(20)) | (words[:, 1] >> np.uint64(12))).astype(np.float64) + 0.5) / 2.0**52
    if isinstance(p.rule, PairwiseBernoulli):
        n = (u < chance).astype(int)
    else:
        n, mass = np.zeros(source.size, int), np.exp(-chance)
        below = mass.copy()
        for k in range(1, 256):
            n += u > below
            mass = mass * chance / k
            below = below + mass
    pairs = np.repeat(np.arange(source.size), n)
    weight = p.weight if isinstance(p.weight, float) else evaluate(p.weight.program, values)[pairs]
    delay = p.delay if isinstance(p.delay, float) else evaluate(p.delay.program, values)[pairs]
    ones = np.ones(pairs.size)
    steps = np.floor(ones * delay / 0.1 + 0.5 + 1e-9).astype(np.int64)
    return Synapses(source[pairs], target[pairs], ones * weight, steps, steps, steps)


def check_against_all_pairs(net: Network, p: Projection, fewest: int = 50) -> Synapses:
    one = connectivity(net, seed=SEED, precision="double").sorted()
    expected = all_pairs(net, p)
    order, other = (np.lexsort((s.delay, s.target, s.source)) for s in (one, expected))
    for field in ("source", "target", "delay"):
        assert np.array_equal(getattr(one, field)[order], getattr(expected, field)[other]), field
    assert np.allclose(one.weight[order], expected.weight[other], rtol=1e-10, atol=1e-10)
    assert one.n >= fewest, "too few to say anything"
    assert np.bincount(one.target, minlength=1).max() <= inputs_bound(p), "more inputs than quanta were planned for"
    return one


LAYOUTS: dict[str, tuple[Space | None, Any, Any, tuple[int, int]]] = {
    "grids": (None, grid([20, 10], [2.0, 1.0]), grid([15, 10], [2.0, 1.0]), (200, 150)),
    "periodic grids": (Space.of(extent=[2.0, 1.0], periodic=True), grid([20, 10]), grid([15, 10]), (200, 150)),
    "a grid in a larger periodic box": (
        Space.of(extent=[3.0, 1.5], periodic=[True, False]), grid([20, 10], [2.0, 1.0]), box(), (200, 150),
    ),
    "free": (None, box([2.0, 1.0]), box([1.0, 2.0], [0.3, 0.1]), (230, 170)),
    "free, periodic": (Space.of("um", [1.0, 1.0], [5.0, 5.0], True), box(), box(), (230, 170)),
    "discs": (None, ellipse([2.0, 1.5]), annulus(0.3, 1.0), (200, 150)),
    "listed": (None, listed(np.random.default_rng(1).normal(0, 0.5, (120, 2))), box([1.0, 1.0]), (120, 100)),
}  # fmt: skip
RULES_2D: dict[str, Any] = {
    "circle": PairwiseBernoulli(0.4, True, Circular(0.4)),
    "doughnut": PairwiseBernoulli("exp(-distance / 0.5)", False, Doughnut(0.1, 0.45)),
    "rectangle": PairwisePoisson("0.8 * (1.0 - distance)", False, Rectangular((-0.1, -0.3), (0.4, 0.2))),
    "ellipse": PairwiseBernoulli("0.9 - 0.5 * abs(sin(source.x))", True, Elliptical(0.8, 0.4, None, 30.0)),
    "no mask": PairwiseBernoulli("max(0.5 - target.y * dx, 0.1)", False),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rule", RULES_2D)
def test_cells_find_what_all_pairs_do(layout: str, rule: str) -> None:
    """Catches a candidate missed or met twice at the edge of a cell, mask or periodic box, a displacement the wrong way
    round, and a draw that is not keyed by the pair: exact equality with all pairs in NumPy."""
    net = two(*LAYOUTS[layout])
    weight, delay = "3.0 - 8.0 * distance + source.x", "0.2 + distance / 0.4"
    check_against_all_pairs(net, net.project(["B", "A"], ["A", "B"], RULES_2D[rule], weight, delay))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rule", ["doughnut", "rectangle"])
def test_one_network_under_every_layout(layout: str, rule: str) -> None:
    """Catches cells that depend on the rank, the partition or the chunk, and a source that finds other partners than
    its targets do: by_source is the same network."""
    nets = {}
    for generate in ("by_target", "by_source"):
        net = nets[generate] = two(*LAYOUTS[layout])
        some = [net.select("A", fraction=0.7), net.select("B", slice=[3, 90, 2])]
        ends = some, ["B", net.select("A", slice=[0, 101])]
        p = net.project(*ends, RULES_2D[rule], "distance - 0.2", "0.1 + distance", generate=generate)  # type: ignore[arg-type]
    one = connectivity(nets["by_target"], seed=SEED)
    check_against_all_pairs(nets["by_source"], p)
    for n_ranks, partition, generate in (
        (2, "round_robin", "by_target"), (3, "block", "by_source"), (5, "populations", "by_source"),
        (5, "block", "by_target"),
    ):  # fmt: skip
        net = nets[generate]
        found = connectivity(net, n_ranks=n_ranks, seed=SEED, partition=partition, block_bits=5, cell_budget=9000)
        assert one.same(found), (n_ranks, partition, generate)


@st.composite
def masked(draw: st.DrawFn) -> tuple[Network, Projection]:
    """A projection with a random mask between random positions, in one to three dimensions."""
    d = draw(st.integers(1, 3))
    axes = range(d)
    extent = [draw(st.sampled_from([1.0, 1.5, 2.0])) for _ in axes]
    periodic = [draw(st.booleans()) for _ in axes]
    shape = {1: [60], 2: [10, 6], 3: [5, 4, 3]}[d]
    spread = np.random.default_rng(draw(st.integers(0, 99))).uniform(-0.5, 0.5, (60, d)) * extent
    places = st.sampled_from([box(), grid(shape), listed(spread), *([ellipse()] if d > 1 else [])])
    net = two(Space.of(extent=extent, periodic=periodic), draw(places), draw(places), (60, 60))

    def length() -> float:
        """Within half of any period."""
        return draw(st.floats(0.05, 0.5))

    near, far = sorted((length(), length()))
    corner = [-length() for _ in axes], [length() for _ in axes]
    anchor = tuple(draw(st.floats(-0.5, 0.5)) for _ in axes) if draw(st.booleans()) else None
    masks = [Circular(far, anchor=anchor), Rectangular(*map(tuple, corner), anchor=anchor)]
    masks += [Doughnut(near, far, anchor=anchor)] if near < far else []
    third = length() if d == 3 else None
    masks += [Elliptical(2 * far, near, third, draw(st.floats(-360.0, 360.0)), anchor=anchor)] if d > 1 else []
    mask, autapses = draw(st.sampled_from(masks)), draw(st.booleans())
    value = draw(st.sampled_from([0.0, 0.3, 1.0, "exp(-distance)", "0.5 - dx * target.x"]))
    rule = draw(st.sampled_from([PairwiseBernoulli, PairwisePoisson]))(value, autapses, mask)
    sides = [draw(st.sampled_from(["A", ["B", "A"], net.select("A", slice=[1, 50, 3])])) for _ in range(2)]
    return net, net.project(*sides, rule, "2 + distance", "0.2 + distance")


@settings(max_examples=25)
@given(case=masked(), n_ranks=st.sampled_from([2, 3, 5]), partition=st.sampled_from(["round_robin", "block"]))
def test_any_mask_anywhere(case: tuple[Network, Projection], n_ranks: int, partition: str) -> None:
    """Catches what the masks and places above do not meet: a window, an image or a cell at some odd edge."""
    net, projection = case
    one = check_against_all_pairs(net, projection, fewest=0)
    found = connectivity(net, n_ranks=n_ranks, seed=SEED, partition=partition, precision="double", cell_budget=5000)
    assert one.same(found)


def test_every_neuron_is_located_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The selected targets for their order and for the sources that they reach, and each source; nobody else."""
    located: list[tuple[int, int]] = []
    as_it_is = spatial.locate

    def locate(at: Any, gid: int, step: int, ids: Any, first: int, n: int, *more: Any) -> Any:
        located.append((gid, n))
        return as_it_is(at, gid, step, ids, first, n, *more)

    monkeypatch.setattr(spatial, "locate", locate)
    net = two(None, box([1.0, 1.0]), box([1.0, 1.0]), (60, 40))
    rule = PairwiseBernoulli(0.5, mask=Circular(0.3))
    net.project([net.select("A", slice=[0, 60, 3]), "B"], net.select("B", slice=[4, 40, 2]), rule)
    assert connectivity(net).n > 0
    assert located == [(64, 18), (0, 20), (60, 40)]
