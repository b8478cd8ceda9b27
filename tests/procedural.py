"""A network of every rule that can be drawn source by source, stored or not."""

from __future__ import annotations

from typing import Any

from distsim import (
    AllToAll,
    Experiment,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    Lognormal,
    Network,
    Normal,
    NormalClipped,
    OneToOne,
    PairwiseBernoulli,
    PairwisePoisson,
    RunSettings,
    Uniform,
    UniformInt,
)
from distsim.profiles import gaussian, linear_distance
from distsim.space import Circular, Elliptical, Space, ellipse, grid


def drawn(storage: Any, precision: Any = "single", partition: Any = "round_robin", parrots: bool = True) -> Experiment:
    """Selections, several populations on a side, both signs, resolutions, a scaled delay, rows with stored synapses;
    masks and kernels in a space that is periodic along y."""
    network = Network("drawn", space=Space.of("mm", [1.0, 1.0], None, [False, True]))
    current = Uniform(380.0, 700.0, min=400.0)
    a = network.population(
        "A",
        260,
        "iaf_psc_exp",
        I_e=current,
        initial={"V_m": Uniform(-75.0, -56.0)},
        positions=grid([20, 13], [1.0, 1.0]),
    )
    b = network.population("B", 75, "iaf_psc_exp", I_e=current, positions=ellipse())
    if parrots:  # spikes of multiplicities
        p = network.population("P", 9, "parrot_neuron")
        network.project(a, p, FixedTotalNumber(90), 1.0, UniformInt(1, 3), generate="by_source", storage=storage)
        network.project(p, b, AllToAll(), Normal(2.0, 3.0), Uniform(0.1, 4.0), generate="by_source", storage=storage)
    delay, weight = NormalClipped(1.5, 0.75), Normal(10.0, 40.0)
    part, some = network.select(a, slice=[3, 260, 4]), network.select(b, fraction=0.4)
    few = network.select(b, neurons=[0, 1, 7, 22, 39, 74])
    made = {"generate": "by_source", "storage": storage}
    network.project(a, [b, a], FixedIndegree(20), weight, delay)
    network.project([b, a], [b, a], FixedOutdegree(35, False, False), weight, delay, weight_bits=4, **made)
    network.project([part, b], [some, a], FixedOutdegree(130), Lognormal(2.0, 0.4, max=20.0), 0.7, **made)
    network.project([a, some], [b, part], FixedTotalNumber(2500, False), weight, delay, **made)
    network.project([b, a], [a, b], FixedTotalNumber(1500, False, False), -20.0, Uniform(0.1, 9.0), **made)
    network.project(some, part, PairwisePoisson(0.3, False), UniformInt(-9, 30), delay, **made)
    network.project(part, a, PairwiseBernoulli(0.4, False), 12.0, UniformInt(1, 5), **made)
    network.project(few, [few, a], AllToAll(False), weight, delay, **made)
    network.project(few, network.select(b, slice=[0, 6]), OneToOne(False), weight, delay, **made)
    network.project(a, a, FixedOutdegree(3), "9 - 10 * distance", "0.2 + abs(dx)", **made)
    near, later = Circular(0.3), linear_distance(0.1, 0.3)
    network.project([a, b], [b, a], PairwiseBernoulli(gaussian(0.2), False, near), "9 - 40 * distance", later, **made)
    ahead = Elliptical(0.5, 0.3, anchor=(0.4, 0.0))
    network.project([some, part], [part, b], PairwisePoisson(0.3, mask=ahead), weight, delay, weight_bits=4, **made)
    network.project(part, a, PairwiseBernoulli("0.1 + 0.1 * target.x"), "20 * source.x - 5 * dy", 0.5, **made)
    network.project([b, a], [a, some], FixedOutdegree(3, p="0.6 + dx"), 12.0, later, **made)
    return Experiment(network, RunSettings(duration=40.0, seed=23, precision=precision, partition=partition))
