"""A network that is wired in every way there is: rules, generation, selections, distributions, resolutions."""

from __future__ import annotations

from typing import Any

from distsim import (
    AllToAll,
    Experiment,
    Exponential,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    Gamma,
    Lognormal,
    Network,
    Normal,
    NormalClipped,
    OneToOne,
    PairwiseBernoulli,
    PairwisePoisson,
    RunSettings,
    SymmetricPairwiseBernoulli,
    Uniform,
    UniformInt,
)
from distsim.profiles import gabor, gaussian
from distsim.space import Circular, Elliptical, Space, ellipse, grid


def wired(precision: Any = "single", partition: Any = "round_robin", duration: float = 40.0) -> Experiment:
    """Three populations that fire, connected by every kernel of construction."""
    network = Network("wired")
    current = Uniform(380.0, 700.0, min=400.0)
    a = network.population("A", 260, "iaf_psc_exp", I_e=current, initial={"V_m": Uniform(-75.0, -56.0)})
    b = network.population("B", 75, "iaf_psc_exp", I_e=Gamma(9.0, 60.0, max=900.0), t_ref=UniformInt(1, 3))
    c = network.population("C", 40, "iaf_psc_exp", I_e=Exponential(200.0, min=300.0, max=800.0, bounds="clip"))
    delay, weight = NormalClipped(1.5, 0.75), Normal(10.0, 40.0)
    part, some = network.select(a, slice=[3, 260, 4]), network.select(b, fraction=0.4)
    few = network.select(c, neurons=[0, 1, 7, 22, 39])
    network.project(a, [b, a], FixedIndegree(50, False, False), weight, delay, weight_bits=8)
    network.project([b, a], [c, a], FixedOutdegree(35, False, False), weight, delay, weight_bits=4)
    network.project([part, b], [some, a], FixedOutdegree(30), Lognormal(2.0, 0.4, max=20.0), delay)
    network.project(b, [a, c], FixedTotalNumber(1500, True, False), -20.0, Exponential(2.0, min=0.1, max=9.0))
    network.project([a, some], [b, part], FixedTotalNumber(1500, False), weight, delay, generate="by_source")
    network.project([c, a], [a, c], FixedTotalNumber(1500, False, False), weight, 0.8, generate="by_source")
    network.project([a, c], [a, c], SymmetricPairwiseBernoulli(0.06), Normal(-3.0, 9.0), Uniform(0.1, 4.0))
    network.project(a, some, PairwisePoisson(0.2), 6.0 - Gamma(2.0, 5.0), delay)
    network.project(some, part, PairwisePoisson(0.3, False), UniformInt(-9, 30), delay, generate="by_source")
    network.project(part, a, PairwiseBernoulli(0.1, False), 12.0, UniformInt(1, 5), generate="by_source")
    network.project(few, [few, b], AllToAll(False), weight, delay, generate="by_source")
    network.project(few, network.select(a, slice=[10, 15]), OneToOne(), weight, delay, generate="by_source")
    return Experiment(network, RunSettings(duration=duration, seed=23, precision=precision, partition=partition))


def placed(precision: Any = "single", partition: Any = "round_robin") -> Experiment:
    """Two sheets and a ball's worth of ways to be near: rules with masks, weights and delays by distance."""
    network = Network("placed", space=Space.of("mm", [1.0, 1.0], None, [True, False]))
    current = Uniform(400.0, 700.0)
    a = network.population("A", 240, "iaf_psc_exp", I_e=current, positions=grid([20, 12]))
    b = network.population("B", 75, "iaf_psc_exp", I_e=current, positions=ellipse())
    near, delay = Circular(0.4), "0.1 + distance / 0.3"
    network.project([a, b], [b, a], PairwiseBernoulli(gaussian(0.2), False, near), "30 * exp(-distance / 0.2)", delay)
    network.project(b, a, PairwisePoisson("0.4 - 0.3 * distance", True), Normal(-20.0, 5.0), delay)
    network.project([a, b], b, PairwiseBernoulli(gabor(0.3, 0.4, 30.0)), "20 * (dx > 0) - 15 * (dy > 0)", 1.5)
    network.project(a, [a, b], FixedOutdegree(9, False, False), "9 - 10 * distance", delay)
    network.project(a, a, SymmetricPairwiseBernoulli(0.03), "target.x * 20", delay)
    network.project(b, [b, a], FixedIndegree(4, True, False), 9.0, "0.2 + abs(dx)")
    ahead = Elliptical(0.5, 0.3, anchor=(0.4, 0.0))
    network.project([a, b], [b, a], PairwiseBernoulli(0.2, mask=ahead), 5.0, delay, generate="by_source")
    network.project([a, b], a, FixedIndegree(3, False, False, gaussian(0.2), near), "9 - 10 * distance", delay)
    network.project([b, a], [a, b], FixedOutdegree(4, p="0.6 + dx"), 8.0, 1.5)
    return Experiment(network, RunSettings(duration=30.0, seed=29, precision=precision, partition=partition))
