"""Probability as a function of distance, and drawn positions, against their analytic curves: 1 % would be seen."""

from __future__ import annotations

import numpy as np
import pytest
from readback import connectivity, construction
from scipy import stats

from distsim import Network, PairwiseBernoulli, PairwisePoisson, profiles
from distsim.build.reach import evaluate
from distsim.build.spatial import layer, locate
from distsim.space import Circular, Space, annulus, box, ellipse, grid, sphere

ALPHA = 1e-7  # of each test, two-sided: 1e-6 of the family


@pytest.mark.parametrize("rule", ["bernoulli", "poisson"])
@pytest.mark.parametrize("kernel", ["gaussian", "exponential", "gamma", "linear"])
def test_the_profile_over_distance(rule: str, kernel: str) -> None:
    """Catches a kernel that is off by 1 %: about 3 million connections, so 1 % is 17 standard deviations over all, and
    more than 5 in the fullest of the bins, each of which has its own exact binomial or Poisson number."""
    p = {
        "gaussian": profiles.gaussian(0.15, 0.8), "exponential": profiles.exponential(0.1, 0.9),
        "gamma": profiles.gamma(2.0, 0.08, 0.1), "linear": profiles.linear(0.8, -1.6),
    }[kernel]  # fmt: skip
    n = 72
    net = Network(space=Space.of(extent=[1.0, 1.0], periodic=True))
    net.population("A", n * n, "iaf_psc_exp", positions=grid([n, n]))
    made = (
        PairwiseBernoulli(p, True, Circular(0.45)) if rule == "bernoulli" else PairwisePoisson(p, True, Circular(0.45))
    )
    net.project("A", "A", made)
    s = connectivity(net, seed=11)
    # On a periodic grid the displacement is a pair of whole numbers, and every displacement has n^2 pairs.
    step = np.stack([(s.target % n - s.source % n) % n, (s.target // n - s.source // n) % n])
    found = np.bincount(step[0] * n + step[1], minlength=n * n)
    i, j = (np.minimum(k, n - k) / n for k in np.divmod(np.arange(n * n), n))
    distance = np.hypot(i, j)
    chance = evaluate(p.program, {"distance": distance})
    inside = distance <= 0.45
    assert found[~inside].sum() == 0
    ring = np.round(distance[inside] * 20).astype(int)
    mean = np.bincount(ring, chance[inside]) * n * n
    spread = chance * (1.0 - chance) if rule == "bernoulli" else chance
    deviation = np.sqrt(np.bincount(ring, spread[inside]) * n * n)
    z = (np.bincount(ring, found[inside]) - mean)[mean > 0] / deviation[mean > 0]
    assert np.abs(z).max() < stats.norm.isf(ALPHA / 2 / z.size), z
    total = (found.sum() - mean.sum()) / np.sqrt((deviation**2).sum())
    assert abs(total) < stats.norm.isf(ALPHA / 2)
    assert 0.01 * mean.sum() / np.sqrt((deviation**2).sum()) > 2 * stats.norm.isf(ALPHA / 2), "no power for 1 %"


@pytest.mark.parametrize(("shape", "radial"), [
    (box([2.0, 2.0]), None), (ellipse([2.0, 2.0]), lambda r: r**2), (annulus(0.5, 1.0), lambda r: (r**2 - 0.25) / 0.75),
    (sphere(1.0), lambda r: r**3), (annulus(0.5, 1.0, [0.0] * 3), lambda r: (r**3 - 0.125) / 0.875),
    (box([2.0] * 3), None), (box([2.0]), None),
])  # fmt: skip
def test_drawn_positions_fill_their_shape(shape: object, radial: object) -> None:
    """Catches a density that is not uniform, and axes that depend on each other: chi-square of radius, direction and
    coordinates of 400,000 positions; a slope of 1 % is beyond 6 standard deviations."""
    net = Network()
    n = 400_000
    population = net.population("A", n, "iaf_psc_exp", positions=shape)  # type: ignore[arg-type]
    backend, module = construction("single")
    at = locate(layer(population, lambda a: 0), 0, 1, None, 0, n, 5, backend, module)
    assert population.positions is not None
    d = population.positions.dimensions
    uniform = [(x + 1.0) / 2.0 for x in at[:d]]
    if radial is not None:
        r = np.sqrt((at**2).sum(axis=0))
        assert r.max() <= 1.0
        uniform = [radial(r), (np.arctan2(at[1], at[0]) / (2 * np.pi)) % 1.0]  # type: ignore[operator]
        if d == 3:
            uniform.append((at[2] / r + 1.0) / 2.0)
    for k, u in enumerate(uniform):
        assert u.min() >= 0.0 and u.max() <= 1.0
        assert ALPHA < stats.chisquare(np.bincount((u * 50).astype(int).clip(0, 49), minlength=50)).pvalue < 1.0 - ALPHA
        for v in uniform[:k]:
            cells = (u * 10).astype(int).clip(0, 9) * 10 + (v * 10).astype(int).clip(0, 9)
            assert ALPHA < stats.chisquare(np.bincount(cells, minlength=100)).pvalue < 1.0 - ALPHA
