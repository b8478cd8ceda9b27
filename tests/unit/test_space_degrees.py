"""Fixed in- and out-degrees among the candidates in a mask, against their definition in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from digests import philox
from places import SEED, positions, two
from readback import connectivity
from scipy import stats

from distsim import ConfigError, FixedIndegree, FixedOutdegree, Network, PairwiseBernoulli
from distsim.build import degrees
from distsim.build.quanta import inputs_bound
from distsim.build.reach import evaluate
from distsim.elements import Projection
from distsim.rules import chance_of
from distsim.space import Circular, Space, box, grid, listed
from distsim.streams import Stream

MASK = Circular(0.5)
P = "exp(-distance / 0.2) * (0.5 + 0.5 * (dx > 0))"
PLACES: dict[str, tuple[Space | None, Any, Any]] = {
    "open": (None, box([2.0, 1.5]), box([2.0, 1.5])),
    "periodic": (Space.of(extent=[1.5, 1.2], periodic=True), box(), grid([12, 10])),
    "3-D": (Space.of(extent=[1.1] * 3, periodic=[True, False, True]), box(), box()),
}
SIZES = (130, 120)


def by_definition(net: Network, p: Projection) -> list[tuple[int, int]]:
    """Every pair has events at the times of a Poisson process with its p as rate; the first of each neuron count."""
    sources, targets = (
        np.concatenate([q.population.first_gid + np.arange(q.size) for q in s]) for s in (p.sources, p.targets)
    )
    at = np.concatenate([positions(q) for q in net.populations], axis=1)
    source, target = (x.ravel() for x in np.meshgrid(sources, targets, indexing="ij"))
    values, square = {}, np.zeros(source.size)
    for axis, name in enumerate("xyz"):
        d = at[axis, target] - at[axis, source]
        period = net.space.period(axis) if net.space else 0.0
        values[f"d{name}"] = d - period * np.round(d / period) if period else d
        square += values[f"d{name}"] ** 2
    rule = p.rule
    assert isinstance(rule, (FixedIndegree, FixedOutdegree))
    rate = evaluate(chance_of(rule).program, {**values, "distance": np.sqrt(square)})
    rate[(source == target) & (not rule.autapses)] = 0.0
    source, target, rate = source[rate > 0.0], target[rate > 0.0], rate[rate > 0.0]
    zero = np.zeros_like(source)
    times = []
    degree, who = (rule.indegree, target) if isinstance(rule, FixedIndegree) else (rule.outdegree, source)
    for k in range(degree if rule.multapses else 1):
        words = philox(
            np.stack([source, zero | (k << 8), target, zero], axis=1).astype(np.uint64), (SEED, int(Stream.PAIR))
        )
        u = (((words[:, 0] << np.uint64(20)) | (words[:, 1] >> np.uint64(12))).astype(np.float64) + 0.5) / 2.0**52
        times.append(-np.log(u) / rate)
    time = np.cumsum(times, axis=0)
    drawn: list[tuple[int, int]] = []
    for neuron in np.unique(who):
        mine = np.flatnonzero(who == neuron)
        first = np.argsort(time[:, mine], axis=None)[:degree] % mine.size
        drawn += zip(source[mine[first]].tolist(), target[mine[first]].tolist(), strict=True)
    return sorted(drawn)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("multapses", [True, False])
@pytest.mark.parametrize("rule", [FixedIndegree, FixedOutdegree])
def test_degrees_are_exact_and_partners_those_of_the_definition(rule: type, multapses: bool, place: str) -> None:
    """Catches a degree that is missed, a partner outside of the mask, an order of candidates or cells that matters, and
    what depends on ranks, partition or chunk."""
    net = two(*PLACES[place], SIZES)
    p = net.project(["B", "A"], ["A", "B"], rule(9, False, multapses, P, MASK), "3 - distance", "0.2 + distance")
    one = connectivity(net, seed=SEED)
    by_source = rule is FixedOutdegree
    assert (np.bincount(one.source if by_source else one.target, minlength=sum(SIZES)) == 9).all()
    assert sorted(zip(one.source.tolist(), one.target.tolist(), strict=True)) == by_definition(net, p)
    assert np.bincount(one.target).max() <= inputs_bound(p)
    pairs = np.unique(np.stack([one.source, one.target]), axis=1).shape[1]
    assert pairs < one.n if multapses else pairs == one.n
    for n_ranks, partition in ((3, "block"), (2, "populations")):
        assert one.same(connectivity(net, n_ranks=n_ranks, seed=SEED, partition=partition, cell_budget=9000)), partition


@pytest.mark.parametrize("periodic", [True, False])
def test_limits_are_those_of_sources_near_the_ranks_targets(periodic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a source that is left out although it has a candidate, and ranks that search for all. Along a strip of 60
    a rank of four has 15 rows, and sources up to 4 rows away; cells of 1.5 rows, two of them to spare, add up to 5."""
    found: list[int] = []
    as_it_is = degrees._sources_near

    def near(*arguments: Any) -> Any:
        chosen = as_it_is(*arguments)
        found.append(chosen.size)
        return chosen

    net = Network(space=Space.of(extent=[0.4, 6.0], periodic=[False, periodic]))
    for name in "AB":
        net.population(name, 240, "iaf_psc_exp", positions=grid([4, 60]))
    mask = Circular(0.3, anchor=None if periodic else (0.0, 0.1))
    targets = ["A", net.select("B", slice=[0, 240, 2])]
    net.project(["B", net.select("A", slice=[0, 180])], targets, FixedOutdegree(3, p="0.7 - distance", mask=mask), 2.0)
    one = connectivity(net, seed=SEED)
    assert np.bincount(one.source, minlength=480).tolist() == [3] * 180 + [0] * 60 + [3] * 240
    monkeypatch.setattr(degrees, "_sources_near", near)
    assert one.same(connectivity(net, n_ranks=4, seed=SEED, partition="block"))
    assert len(found) == 4 and max(found) <= 2 * 4 * (15 + 2 * 9) < 420 < sum(found)


@pytest.mark.parametrize("rule", [FixedIndegree, FixedOutdegree])
def test_partners_are_drawn_in_proportion(rule: type) -> None:
    """Catches weights that are off by 1 %: chi-square over the displacements of a periodic grid, 400,000 draws with
    replacement; a factor of 1 % on half of them would be 6 standard deviations."""
    n, degree = 20, 1000
    net = Network(space=Space.of(extent=[1.0, 1.0], periodic=True))
    net.population("A", n * n, "iaf_psc_exp", positions=grid([n, n]))
    p = net.project("A", "A", rule(degree, p="1 - 1.5 * distance", mask=Circular(0.4)))
    s = connectivity(net, seed=11)
    found = np.bincount((s.target % n - s.source % n) % n * n + (s.target // n - s.source // n) % n, minlength=n * n)
    i, j = (np.minimum(k, n - k) / n for k in np.divmod(np.arange(n * n), n))
    distance = np.hypot(i, j)
    weight = evaluate(chance_of(p.rule).program, {"distance": distance})  # type: ignore[arg-type]
    assert found[weight == 0.0].sum() == 0 and found.sum() == degree * n * n
    expected = found.sum() * weight / weight.sum()
    inside = weight > 0.0
    assert 1e-7 < stats.chisquare(found[inside], expected[inside]).pvalue < 1.0 - 1e-7
    near = distance < 0.25
    z = (found[near].sum() - expected[near].sum()) / np.sqrt(
        expected[near].sum() * (1 - weight[near].sum() / weight.sum())
    )
    assert abs(z) < stats.norm.isf(5e-8) < 0.01 * np.sqrt(found.sum())


def test_more_candidates_than_are_remembered() -> None:
    """Catches a search that forgets candidates where the host has no room for all of them."""
    net = two(None, box([1.0, 1.0]), box([1.0, 1.0]), (17_000, 2))
    p = net.project("A", "B", FixedIndegree(40, True, False, P))
    s = connectivity(net, seed=SEED)
    assert sorted(zip(s.source.tolist(), s.target.tolist(), strict=True)) == by_definition(net, p)


def test_all_candidates_and_none() -> None:
    """Catches a search that does not end where all candidates are wanted, and degree 0."""
    net = two(Space.of(extent=[1.0, 1.0], periodic=True), grid([10, 10]), grid([10, 10]), (100, 100))
    net.project("A", "B", FixedIndegree(5, multapses=False, mask=Circular(0.11)))
    s = connectivity(net)
    assert s.n == 500 and (np.bincount(s.target)[100:] == 5).all() and np.unique(s.source * 200 + s.target).size == 500
    net.project("A", "B", FixedOutdegree(0, mask=Circular(0.11)))
    net.project("A", "B", PairwiseBernoulli("0 * distance"))  # never above zero: no planes either
    assert connectivity(net).n == 500


def test_too_few_candidates_are_refused() -> None:
    """Catches a degree that cannot be met and is met with fewer, and a message that does not name the neuron."""
    space = Space.of(extent=[1.0, 1.0], periodic=True)
    for rule, message in (
        (FixedIndegree(6, multapses=False, mask=Circular(0.11)), "fixed_indegree.indegree: found 6, but neuron 0 of "
         "'B' has 5 candidates as source; allowed: neurons with at least 6 without multapses"),
        (FixedOutdegree(6, multapses=False, mask=Circular(0.11)), "neuron 0 of 'A' has 5 candidates as target"),
        (FixedIndegree(2, p="0.0 * distance + (dx > 9)", mask=Circular(0.3)), "above 0 for some pairs"),
        (FixedIndegree(2, p="target.x", mask=Circular(0.3)), "0 candidates as source; allowed: neurons with at least"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message) as caught:
            net = two(space, grid([10, 10]), grid([10, 10]), (100, 100))
            net.project("A", "B", rule)
            connectivity(net)
        assert "\n" not in str(caught.value)
    for n_ranks in (1, 3):  # the last source is far from the targets of any rank
        net = two(
            None, listed([*([0.01 * i, 0.2] for i in range(40)), [9.0, 0.0]]), grid([10, 10], [1.0, 1.0]), (41, 100)
        )
        net.project("A", "B", FixedOutdegree(2, mask=Circular(0.3)))
        with pytest.raises(ConfigError, match="neuron 40 of 'A' has 0 candidates as target"):
            connectivity(net, n_ranks=n_ranks, partition="block")
    net = two(space, grid([10, 10]), grid([10, 10]), (100, 100))
    with pytest.raises(ConfigError, match="a list"):
        net.project("A", "B", FixedIndegree(2, mask=Circular(0.3)), [1.0] * 200)
