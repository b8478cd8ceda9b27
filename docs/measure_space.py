"""Builds a spatial network and says how long it took: mpiexec -n 2 python -m mpi4py docs/measure_space.py [NEURONS].

A million neurons (by default) lie anywhere in a periodic sheet of 4 mm. Each has 3,000 others within its mask and is
joined to 1,000 of them on average, the nearer the likelier; the delay grows with the distance.
"""

from __future__ import annotations

import math
import resource
import sys
import time

from distsim import Experiment, Network, PairwiseBernoulli, RunSettings, profiles
from distsim.backend import open_backend
from distsim.comm import connect
from distsim.engine.simulation import Simulation, Sinks
from distsim.space import Circular, Space, box


def sheet(n: int, in_degree: int = 1000, within: int = 3000) -> Network:
    """The network: in-degree 1,000 of 3,000 within the radius."""
    edge = 4.0
    radius = edge * math.sqrt(within / (math.pi * n))
    std = 0.5 * radius
    peak = in_degree / within / (2.0 * (std / radius) ** 2 * (1.0 - math.exp(-0.5 * (radius / std) ** 2)))
    net = Network("sheet", space=Space.of("mm", [edge, edge], None, True))
    net.population("E", n, "iaf_psc_exp", positions=box())
    p = profiles.gaussian(std, peak)
    net.project(
        "E", "E", PairwiseBernoulli(p, False, Circular(radius)), 1.0, profiles.linear_distance(0.5, 0.3)
    )  # fmt: skip
    return net


if __name__ == "__main__":
    comm = connect()
    network = sheet(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
    start, busy = time.perf_counter(), time.process_time()
    simulation = Simulation(
        Experiment(network, RunSettings(duration=1.0)), comm, open_backend("cpu"),
        Sinks(spikes=lambda steps, gids: None, states=lambda sample: None),
    )  # fmt: skip
    busy = time.process_time() - busy
    seconds, memory = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(
        f"rank {comm.rank} of {comm.size}: {simulation.rows.n_synapses:,} synapses in {seconds:.1f} s "
        f"({busy:.1f} s of it on a core), "
        f"{memory:.2f} GiB at the most\n"
    )
