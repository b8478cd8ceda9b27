"""Draws docs/pictures/space.png: the targets of one neuron of a sheet, for masks and kernels, built by distsim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import distsim
from distsim import PairwiseBernoulli, profiles
from distsim.comm import Serial
from distsim.engine.readback import read_connections
from distsim.engine.simulation import Simulation
from distsim.space import Circular, Doughnut, Elliptical, Space, grid

OUT = Path(__file__).with_name("pictures") / "space.png"
N = 41
PANELS: list[tuple[str, Any, bool]] = [
    ("circular mask", PairwiseBernoulli(0.7, mask=Circular(0.3)), False),
    ("gaussian, periodic", PairwiseBernoulli(profiles.gaussian(0.15)), True),
    ("gaussian in a doughnut", PairwiseBernoulli(profiles.gaussian(0.4), mask=Doughnut(0.2, 0.4)), False),
    ("elliptical mask, 30°", PairwiseBernoulli(0.9, mask=Elliptical(0.8, 0.3, None, 30.0)), False),
    ("gabor", PairwiseBernoulli(profiles.gabor(0.2, 0.25, 30.0)), False),
]


def targets(rule: Any, periodic: bool) -> list[int]:
    """Targets of the neuron in the middle (periodic: near a corner)."""
    net = distsim.Network("picture", space=Space.of("mm", [1.0, 1.0], None, periodic))
    net.population("E", N * N, "iaf_psc_exp", positions=grid([N, N]))
    net.project("E", "E", rule)
    run = distsim.RunSettings(duration=1.0, seed=7)
    simulation = Simulation(distsim.Experiment(net, run), Serial(), distsim.backend.open_backend("cpu"))
    found = read_connections(simulation, 0, 0)
    source = 5 * N + 5 if periodic else N * N // 2
    return [int(t) for t in found.target[found.source == source]]


if __name__ == "__main__":
    figure, axes = plt.subplots(1, len(PANELS), figsize=(2.0 * len(PANELS), 2.3), dpi=70)
    for axis, (title, rule, periodic) in zip(axes, PANELS, strict=True):
        chosen = targets(rule, periodic)
        axis.plot([t % N for t in chosen], [t // N for t in chosen], "k.", markersize=2)
        at = 5 if periodic else N // 2
        axis.plot([at], [at], "r+", markersize=7)
        axis.set(title=title, xlim=(-1, N), ylim=(-1, N), aspect="equal", xticks=[], yticks=[])
        axis.title.set_fontsize(9)
    figure.tight_layout()
    figure.savefig(OUT, metadata={"Software": None}, pil_kwargs={"optimize": True})
