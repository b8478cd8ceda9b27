"""A network whose graph of ranks is sparse: areas in a row, one on each rank."""

from __future__ import annotations

from distsim import Experiment, FixedIndegree, Network, PairwiseBernoulli, RunSettings, Uniform


def chain(areas: int = 4) -> Experiment:
    """Areas of two populations with delays of 0.1 ms, each projecting to the next over 2 ms; an area on each rank."""
    network = Network("chain")
    before = None
    for k in range(areas):
        e = network.population(f"E{k}", 30, "iaf_psc_exp", I_e=Uniform(300.0, 1200.0))
        i = network.population(f"I{k}", 10, "iaf_psc_exp", I_e=600.0)
        network.project(e, [e, i], FixedIndegree(8), 60.0, Uniform(0.1, 1.0))
        network.project(i, [e, i], PairwiseBernoulli(0.3), -80.0, 0.1)
        if before is not None:
            network.project(before, e, FixedIndegree(8), 90.0, Uniform(2.0, 3.0))
        before = e
    mapping = {p.name: int(p.name[1:]) for p in network.populations}
    return Experiment(network, RunSettings(duration=50.0, partition=mapping))
