"""Masks with and without anchors, in two and three dimensions, against all pairs; what a shift must not change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from places import SEED, Floats, positions, two
from readback import connectivity

from distsim import ConfigError, Network, PairwiseBernoulli
from distsim.config.convert_space import to_mask
from distsim.config.schema_space import CircularSpec
from distsim.space import AnyMask, Circular, Doughnut, Elliptical, Rectangular, Space, box, listed

EDGE = 2.0


def inside(mask: AnyMask, e: Floats) -> Any:
    """Which displacements from its centre a mask lets through: float64[dimensions, n] → bool[n]."""
    r = np.sqrt((e**2).sum(axis=0))
    if isinstance(mask, Circular):
        return r <= mask.radius
    if isinstance(mask, Doughnut):
        return (r >= mask.inner_radius) & (r <= mask.outer_radius)
    if isinstance(mask, Rectangular):
        ends = np.array(mask.lower_left)[:, None], np.array(mask.upper_right)[:, None]
        return ((e >= ends[0]) & (e <= ends[1])).all(axis=0)
    turn = np.radians(mask.azimuth_angle)
    along, across = e[0] * np.cos(turn) + e[1] * np.sin(turn), e[1] * np.cos(turn) - e[0] * np.sin(turn)
    third = (e[2] / (mask.polar_axis / 2)) ** 2 if mask.polar_axis is not None else 0.0
    return (along / (mask.major_axis / 2)) ** 2 + (across / (mask.minor_axis / 2)) ** 2 + third <= 1.0


def by_hand(net: Network, mask: AnyMask) -> set[tuple[int, int]]:
    """All pairs (source in A, target in B) within a mask."""
    a, b = (positions(p) for p in net.populations)
    d = a.shape[0] if net.populations[0].positions is None else net.populations[0].positions.dimensions
    e = b[:d, None, :] - a[:d, :, None] - np.array(mask.anchor or (0.0,) * d)[:, None, None]
    for axis in range(d):
        period = net.space.period(axis) if net.space else 0.0
        e[axis] -= period * np.round(e[axis] / period) if period else 0.0
    source, target = np.nonzero(inside(mask, e.reshape(d, -1)).reshape(e.shape[1:]))
    return set(zip(source.tolist(), (target + a.shape[1]).tolist(), strict=True))


SPACES = {
    "open": None, "periodic": Space.of(extent=[EDGE] * 2, periodic=True),
    "3-D": None, "3-D periodic": Space.of(extent=[EDGE] * 3, periodic=[True, False, True]),
}  # fmt: skip
MASKS: dict[int, list[AnyMask]] = {
    2: [
        Circular(0.3), Circular(0.4, anchor=(0.9, -0.2)), Doughnut(0.2, 0.7, anchor=(-0.8, 0.8)),
        Rectangular((-0.1, -0.9), (0.3, 0.2), anchor=(0.5, -0.5)),
        Elliptical(1.2, 0.5, None, 30.0, anchor=(-0.9, 0.1)),
    ],
    3: [
        Circular(0.6), Doughnut(0.3, 0.9, anchor=(0.5, -0.3, -0.8)),
        Rectangular((-0.5, -0.3, 0.0), (0.2, 0.4, 0.9), anchor=(0.8, 0.0, 0.4)),
        Elliptical(1.4, 0.8, 1.0, -60.0, anchor=(0.9, 0.4, 0.0)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("where", SPACES)
def test_a_mask_holds_the_pairs_that_it_should(where: str) -> None:
    """Catches a candidate that the cells miss or that a mask takes wrongly: with p = 1 the pairs are the candidates,
    counted by hand. An anchor beyond half of the box, and on the wrong side, would show."""
    space, d = SPACES[where], 3 if where.startswith("3") else 2
    for mask in MASKS[d]:
        for generate in ("by_target", "by_source"):
            net = two(space, box([EDGE] * d), box([0.3 * EDGE] * d, [0.4] * d), (170, 140))  # far from some cells
            net.project("A", "B", PairwiseBernoulli(1.0, mask=mask), generate=generate)  # type: ignore[arg-type]
            found = connectivity(net, seed=SEED, n_ranks=2)
            pairs = set(zip(found.source.tolist(), found.target.tolist(), strict=True))
            expected = by_hand(net, mask)
            assert len(pairs) == found.n > 100
            assert pairs == expected, (mask, generate, len(pairs ^ expected))


@pytest.mark.parametrize("d", [2, 3])
def test_a_shift_of_all_positions_changes_nothing(d: int) -> None:
    """Catches an edge of the periodic box that can be seen: all positions are moved by one vector, by whole parts of
    1024, so that distances stay the same to the bit; then so does every synapse, its weight and delay."""
    rng = np.random.default_rng(4)
    space = Space.of(extent=[EDGE] * d, center=[0.5 * EDGE] * d, periodic=True)
    mask = Circular(0.5, anchor=(0.75, *(0.0,) * (d - 1)))
    a, b = (rng.integers(0, 2048, (n, d)) for n in (150, 160))
    found = []
    for shift in (np.zeros(d, int), rng.integers(1, 2048, d)):
        net = two(space, *(listed(((x + shift) % 2048) / 1024.0) for x in (a, b)), (150, 160))
        net.project("A", ["A", "B"], PairwiseBernoulli("1 - 0.5 * distance", mask=mask), "distance", "0.2 + distance")
        found.append(connectivity(net, precision="double"))
    assert found[0].n > 200
    assert found[0].same(found[1])


def test_masks_that_do_not_fit_are_refused() -> None:
    """Catches an anchor of another dimension or beyond half of the box, and a mask larger than the box."""
    torus = Space.of(extent=[EDGE] * 2, periodic=[True, False])
    for mask, message in (
        (Circular(0.5, anchor=(1.0,)), "2 numbers, one for each dimension"),
        (Circular(0.5, anchor=(1.1, 0.0)), "anchor: found .1.1, 0.0.; allowed: at most 1 to either side along x"),
        (Circular(0.5, anchor=(float("nan"), 0.0)), "a displacement"),
        (Circular(1.1, anchor=(0.1, 0.0)), "half of the periodic box"),
        (Rectangular((-1.5, 0.0), (0.0, 1.0), anchor=(0.5, 0.0)), "half of the periodic box"),
    ):
        net = two(torus, box(), box(), (20, 20))
        with pytest.raises(ConfigError, match=message) as caught:
            net.project("A", "B", PairwiseBernoulli(0.5, mask=mask))
        assert "\n" not in str(caught.value) and "mask" in str(caught.value)
    net = two(torus, box(), box(), (20, 20))
    net.project("A", "B", PairwiseBernoulli(0.5, mask=Circular(0.5, anchor=(0.0, 1.9))))  # open along y
    long = "+".join(["distance"] * 90)
    with pytest.raises(ConfigError, match="at most 200 operations"):
        net.project("A", "B", PairwiseBernoulli(f"0.001 * ({long})", mask=MASKS[2][3]))


def test_an_anchor_stands_beside_its_mask() -> None:
    """Catches an anchor that is lost between file, description and document."""
    spec = CircularSpec.model_validate({"circular": {"radius": 0.4}, "anchor": [0.1, -0.2]})
    mask = to_mask(spec)
    assert mask == Circular(0.4, anchor=(0.1, -0.2))
    assert mask is not None and mask.document() == {"circular": {"radius": 0.4}, "anchor": [0.1, -0.2]}
