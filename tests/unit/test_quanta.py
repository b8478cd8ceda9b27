"""Weights in quanta, read back from the rows: rounding, planes, ports, and sums that never overflow."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from readback import BITS, EXCITATORY, INHIBITORY, connectivity, network

from distsim import (
    AllToAll,
    Experiment,
    FixedIndegree,
    Lognormal,
    Network,
    Normal,
    NormalClipped,
    RunSettings,
    Uniform,
)
from distsim.backend import open_backend
from distsim.build.quanta import plan_planes
from distsim.comm import Serial
from distsim.distributions import support
from distsim.engine.simulation import Simulation


def expected_quantum(largest: float, inputs: int, bits: int) -> float:
    """The contract, word by word: the smallest power of two in which the largest weight fits; beyond 65,536 inputs it
    doubles."""
    quantum = 2.0 ** (math.floor(math.log2(largest)) - bits - 2)
    while round_half_up(largest / quantum) > 2**bits - 1:
        quantum *= 2.0
    while inputs > 2**16:
        inputs, quantum = -(-inputs // 2), 2.0 * quantum
    return quantum


def round_half_up(x: float) -> int:
    return math.floor(x + 0.5) if x >= 0.0 else -math.floor(0.5 - x)


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("weight", [87.8, -351.2, 1.0, 32767.0, 32768.0, 0.9999, 1e-12, -3.3e8, 2.0**-30, 1023.9])
def test_a_constant_weight_is_rounded_to_its_quantum(weight: float, precision: str) -> None:
    """Catches a wrong rounding, a quantum a power too coarse or too fine, and a lost sign."""
    net = network(3, 4)
    net.project("A", "B", AllToAll(), weight, 1.0)
    s = connectivity(net, precision=precision)
    planes = plan_planes(net, precision)
    plane = next(p for p in (planes.endpoints[0, 1, None].positive, planes.endpoints[0, 1, None].negative) if p)
    quantum = plane.quantum
    assert quantum == expected_quantum(abs(weight), 3, BITS[precision])
    assert set(s.weight.tolist()) == {round_half_up(weight / quantum) * quantum}
    assert set(s.receptor.tolist()) == {EXCITATORY if weight > 0.0 else INHIBITORY}
    # 15 (47) bits hold the largest weight: half a quantum is at most 2^-15 (2^-47) of it.
    assert np.abs(s.weight / weight - 1.0).max() <= 2.0 ** -BITS[precision]


def test_listed_weights_are_rounded_half_away_from_zero() -> None:
    """Catches truncation, and rounding of negative weights that is not the mirror of that of positive ones."""
    net = network(8, 1)
    weights = [32767.0, 0.5, 1.5, 2.4999, -0.5, -1.5, -2.4999, -32767.0]
    net.project("A", "B", AllToAll(), weights, 1.0)
    s = connectivity(net).sorted()
    assert s.weight.tolist() == [32767.0, 1.0, 2.0, 2.0, -1.0, -2.0, -2.0, -32767.0]


@settings(max_examples=150)
@given(
    weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=5),
    degrees=st.lists(st.sampled_from([1, 10, 300, 5000, 2**16, 2**17, 2**18 - 1, 2**20]), min_size=5, max_size=5),
    precision=st.sampled_from(["single", "double"]),
)
@example([32767.0], [2**17] * 5, "single")
@example([32767.0], [2**16] * 5, "single")
@example([32765.0, 32767.0, 500.0], [2**16, 2**15, 2**15], "single")
@example([2.0**47 - 1.0], [2**17] * 5, "double")
def test_no_sum_overflows(weights: list[float], degrees: list[int], precision: str) -> None:
    """Catches a quantum too fine for the in-degrees: if every source of every projection fires in one step, the integer
    sum of a plane fits its 32 (64) bits; and weights that differ by more than 2^7 have planes of their own."""
    net = network(4, 1)
    for weight, degree in zip(weights, degrees, strict=False):
        net.project("A", "B", FixedIndegree(degree), weight, 1.0)
    planes = plan_planes(net, precision)
    sums: dict[int, int] = {}
    largest: dict[int, float] = {}
    for number, (weight, degree) in enumerate(zip(weights, degrees, strict=False)):
        plane = planes.endpoints[number, 1, None].positive
        assert plane is not None
        quanta = round_half_up(weight / plane.quantum)
        assert quanta < 2 ** BITS[precision]
        sums[plane.index] = sums.get(plane.index, 0) + degree * quanta
        largest[plane.index] = max(largest.get(plane.index, 0.0), weight)
    assert max(sums.values()) < 2 ** (31 if precision == "single" else 63)
    for number, weight in enumerate(weights):
        plane = planes.endpoints[number, 1, None].positive
        assert plane is not None and largest[plane.index] <= 2.0**7 * weight
    assert len(largest) == planes.per_receptor["iaf_psc_exp"][0]


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("degree", [2**16 - 1, 2**16, 2**16 + 1, 2**17, 2**17 + 1])
def test_the_largest_inputs_at_once_do_not_overflow(degree: int, precision: str) -> None:
    """Catches an overflow in delivery itself: one spike over `degree` synapses of the largest weight onto one neuron,
    all in one step. (With 131,072 inputs a weight of 32,767 quanta is 16,383.5 doubled quanta: rounded up, the sum is
    2^31, one too many.)"""
    net = Network()
    # Fires in step 1 and is refractory then; a neuron emits one spike a step, so the in-degree bounds the inputs.
    net.population("spike", 1, "iaf_psc_exp", initial={"V_m": 0.0}, t_ref=100.0)
    net.population("cell", 1, "iaf_psc_exp", V_th=1e30)
    net.project("spike", "cell", FixedIndegree(degree), 32767.0, 0.1)
    run = RunSettings(duration=2.0, precision=precision)
    sim = Simulation(Experiment(net, run), Serial(), open_backend("cpu"))
    sim.run_to(2)
    assert sim.digest().count == 1
    # Rounding of the weight: half a quantum, at most 2^-14; and one rounding of the sum to float32.
    assert float(sim.groups[0].states["I_syn_ex"][1]) == pytest.approx(32767.0 * degree, rel=2.0**-14)


def test_planes_split_where_weights_differ_by_more_than_2_to_the_7() -> None:
    """Catches small weights that share a quantum with much larger ones (and lose their digits), and planes split where
    one would do."""
    for ratio, n_planes in ((100.0, 1), (128.0, 1), (128.1, 2), (10_000.0, 2)):
        net = network(3, 4)
        net.project("A", "B", AllToAll(), 1000.0, 1.0)
        net.project("A", "B", AllToAll(), 1000.0 / ratio, 1.0)
        net.project("A", "B", AllToAll(), -7.0, 1.0)
        assert plan_planes(net, "single").per_receptor["iaf_psc_exp"] == (n_planes, 1)
        s = connectivity(net, n_ranks=2, block_bits=4)
        both = zip(s.weight.tolist(), s.plane.tolist(), strict=True)
        found = Counter((round(w / 1000.0 * ratio, 1), p) for w, p in both if w > 0)
        assert found == {(round(ratio, 1), 0): 12, (1.0, n_planes - 1): 12}
        small = s.weight[(s.weight > 0) & (s.weight < 999.0)]
        assert np.abs(small / (1000.0 / ratio) - 1.0).max() <= 2.0**-8


def test_a_planned_plane_of_one_population_does_not_reach_another() -> None:
    """Catches quanta mixed up between populations of one model: each has its own, in planes that they share."""
    net = network(3, 4, 5)
    net.project("A", "B", AllToAll(), 1e-3, 1.0)
    net.project("A", "C", AllToAll(), 1e3, 1.0)
    net.project("A", ["B", "C"], AllToAll(), -2.5, 1.0)
    s = connectivity(net, n_ranks=2, block_bits=4)
    for low, high, weight in ((3, 7, 1e-3), (7, 12, 1e3)):
        mine = (s.target >= low) & (s.target < high)
        assert np.allclose(np.unique(s.weight[mine]), [-2.5, weight], rtol=2.0**-15)


def test_double_precision_keeps_47_bits() -> None:
    """Catches weights that pass through 16 or 32 bits on the way: random weights come back to 2^-47 of the largest."""
    rng = np.random.default_rng(6)
    weights = np.concatenate([rng.uniform(-50.0, 50.0, 599), [50.0]])
    net = network(6, 100)
    net.project("A", "B", AllToAll(), weights.tolist(), 1.0)
    s = connectivity(net, precision="double", n_ranks=2)
    place = (s.target - 6) * 6 + s.source
    assert np.abs(s.weight - weights[place]).max() <= 64.0 * 2.0**-48
    assert np.abs(s.weight - weights[place]).max() > 0.0


@pytest.mark.parametrize(
    "weight", [Normal(2.0, 3.0), NormalClipped(-87.8, 8.8), Uniform(-4.0, 1.0), -Lognormal(1.0, 1.0)]
)
@pytest.mark.parametrize("precision", ["single", "double"])
def test_drawn_weights_lie_on_the_grid_and_in_the_support(weight: Any, precision: str) -> None:
    """Catches a drawn weight that is not a multiple of the quantum of its sign's plane, or outside the support for
    which the quantum was planned: 16 bits would wrap."""
    net = network(300, 300)
    p = net.project("A", "B", FixedIndegree(300), weight, 1.0)
    s = connectivity(net, precision=precision)
    low, high = support(p.weight)
    endpoint = plan_planes(net, precision).endpoints[0, 1, None]
    for mine, plane in ((s.receptor == EXCITATORY, endpoint.positive), (s.receptor == INHIBITORY, endpoint.negative)):
        w = s.weight[mine]
        if w.size:
            assert plane is not None
            assert np.array_equal(w, np.round(w / plane.quantum) * plane.quantum)
            assert w.min() >= low - plane.quantum / 2 and w.max() <= high + plane.quantum / 2
            assert np.unique(w).size > 500
    assert ((s.weight > 0) <= (s.receptor == EXCITATORY)).all() and ((s.weight < 0) <= (s.receptor == INHIBITORY)).all()


@pytest.mark.parametrize("port", ["excitatory", "inhibitory"])
def test_a_named_port_takes_both_signs(port: str) -> None:
    """Catches a negative weight that leaves the port it was sent to."""
    net = network(20, 20)
    net.project("A", "B", AllToAll(), Normal(0.5, 1.0), 1.0, receptor=port)
    s = connectivity(net)
    assert set(s.receptor.tolist()) == {("excitatory", "inhibitory").index(port)}
    assert (s.weight < 0).sum() > 50 and (s.weight > 0).sum() > 50


def test_a_port_that_counts_takes_every_spike_as_one() -> None:
    """Catches a parrot that multiplies spikes by a weight, whatever its size or sign."""
    net = network(5, 6, model="parrot_neuron")
    for weight in (3.7, -200.0, Normal(0.0, 5.0)):
        net.project("A", "B", AllToAll(), weight, 1.0)
    s = connectivity(net, n_ranks=2)
    assert s.n == 90 and set(s.weight.tolist()) == {1.0}
