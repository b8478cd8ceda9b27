"""What is listed is built as listed: explicit connections, and weights and delays in lists."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from readback import BITS, EXCITATORY, INHIBITORY, Synapses, connectivity, network

from distsim import AllToAll, Explicit, FixedIndegree, OneToOne


def listed(values: npt.NDArray[np.float64], s: Synapses, order: npt.NDArray[np.int64]) -> None:
    """Weights must be `values[order]` where `order` is each synapse's documented place in the list."""
    assert np.allclose(s.weight, values[order], rtol=0, atol=np.abs(values).max() * 2.0**-15)


EDGES = [  # source, target, weight, delay in ms; positions in [C, A] and [B, C, A] with sizes A 3, B 4, C 2
    (0, 0, 1.5, 0.1), (0, 0, 1.5, 0.1), (1, 5, -2.0, 2.5), (4, 8, 0.25, 3276.8), (2, 3, -1e-3, 0.3), (4, 0, 8.0, 0.1),
    (3, 4, 0.0, 1.0),
]  # fmt: skip
EDGE_GIDS = [(7, 3), (7, 3), (8, 8), (2, 2), (0, 6), (2, 3), (1, 7)]


@pytest.mark.parametrize("n_ranks", [1, 2, 5])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_explicit_is_the_list(n_ranks: int, precision: str) -> None:
    """Catches an edge on the wrong side of a list of populations, lost, doubled, or with its neighbour's numbers; the
    longest delay that is allowed; and the receptor by the sign of the weight."""
    net = network(3, 4, 2)
    source, target, weight, delay = zip(*EDGES, strict=True)
    net.project(["C", "A"], ["B", "C", "A"], Explicit(source, target, weight, delay))
    s = connectivity(net, n_ranks=n_ranks, precision=precision)
    found = s.tuples()
    expected = sorted((a, b, w, round(d / 0.1)) for (a, b), w, d in zip(EDGE_GIDS, weight, delay, strict=True))
    tolerance = 8.0 * 2.0 ** -BITS[precision]
    assert [x[:2] + x[3:] for x in sorted(found, key=lambda x: (x[:2], x[3], x[2]))] == [
        x[:2] + x[3:] for x in sorted(expected, key=lambda x: (x[:2], x[3], x[2]))
    ]
    for a, b in zip(sorted(found), expected, strict=True):
        assert abs(a[2] - b[2]) <= tolerance
    assert ((s.weight < -tolerance) <= (s.receptor == INHIBITORY)).all()
    assert ((s.weight > tolerance) <= (s.receptor == EXCITATORY)).all()


@pytest.mark.parametrize("n_ranks", [1, 3])
def test_explicit_with_receptors_goes_to_the_named_port(n_ranks: int) -> None:
    """Catches the sign of the weight deciding where a port is named."""
    net = network(3, 4, 2)
    source, target, weight, delay = zip(*EDGES, strict=True)
    ports = ("inhibitory", "excitatory", "excitatory", "inhibitory", "excitatory", "excitatory", "inhibitory")
    net.project(["C", "A"], ["B", "C", "A"], Explicit(source, target, weight, delay, ports))
    s = connectivity(net, n_ranks=n_ranks, precision="double")
    found = Counter(
        (a, b, d, ("excitatory", "inhibitory")[r], round(w, 9))
        for (a, b, w, d), r in zip(s.tuples(), s.sorted().receptor.tolist(), strict=True)
    )
    assert found == Counter(
        (a, b, round(e[3] / 0.1), port, e[2]) for (a, b), e, port in zip(EDGE_GIDS, EDGES, ports, strict=True)
    )


@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_listed_weights_and_delays_stand_target_by_target(n_ranks: int) -> None:
    """Catches a list read in another order than the documented one (target by target, then source by source), or by a
    rank's own count instead of the identity."""
    for rule, per_target in ((AllToAll(), 5), (FixedIndegree(4), 4)):
        net = network(3, 4, 2)
        n = 6 * per_target  # targets C (2) then B (4)
        weights = 1.0 + np.arange(n) / 64.0
        delays = 0.1 * (1 + np.arange(n))
        net.project(["C", "A"], ["C", "B"], rule, weights.tolist(), delays.tolist())
        s = connectivity(net, n_ranks=n_ranks)
        targets, sources = [7, 8, 3, 4, 5, 6], [7, 8, 0, 1, 2]
        position = np.array([targets.index(t) for t in s.target.tolist()])
        place = s.delay - 1  # delays tell which entry it is; weights must be the same entry's
        assert sorted(place.tolist()) == list(range(n))
        assert np.array_equal(place // per_target, position)
        listed(weights, s, place)
        if isinstance(rule, AllToAll):
            assert [sources[k] for k in (place % per_target).tolist()] == s.source.tolist()


def test_listed_one_to_one() -> None:
    """Catches the list of one_to_one read by global id."""
    net = network(3, 4, 3)
    net.project(["C"], ["A"], OneToOne(), [1.0, -2.0, 3.0], [0.3, 0.2, 0.1])
    for n_ranks in (1, 2):
        found = connectivity(net, n_ranks=n_ranks)
        assert [(a, b, d) for a, b, _, d in found.tuples()] == [(7, 0, 3), (8, 1, 2), (9, 2, 1)]
        assert np.allclose(found.sorted().weight, [1.0, -2.0, 3.0], atol=3.0 * 2.0**-15)
