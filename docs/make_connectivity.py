"""Draws docs/pictures/RULE.png: connection matrices of small networks, built by distsim.

To be run as `python docs/make_connectivity.py [RULE …]`; without names it draws all. A black dot is a connection from
the source in its column to the target in its row, a red one several.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

import distsim
from distsim.comm import Serial
from distsim.engine.readback import read_connections
from distsim.engine.simulation import Simulation

OUT = Path(__file__).with_name("pictures")
SIZE = 24
LIST = [(3 * k) % SIZE for k in range(SIZE)], [(5 * k + k * k) % SIZE for k in range(SIZE)]

# Name of the picture: title and rule, of a population onto itself (or what else `project` takes).
PICTURES: dict[str, list[tuple[str, Any, dict[str, Any]]]] = {
    "one_to_one": [("one_to_one", distsim.OneToOne(), {})],
    "all_to_all": [
        ("all_to_all", distsim.AllToAll(), {}), ("autapses: false", distsim.AllToAll(False), {}),
    ],
    "explicit": [("explicit", distsim.Explicit(*LIST, [1.0] * SIZE, [1.0] * SIZE), {})],
    "pairwise_bernoulli": [
        ("p: 0.2", distsim.PairwiseBernoulli(0.2), {}),
        ("p: 0.2, by_source", distsim.PairwiseBernoulli(0.2), {"generate": "by_source"}),
    ],
    "symmetric_pairwise_bernoulli": [("p: 0.2", distsim.SymmetricPairwiseBernoulli(0.2), {})],
    "pairwise_poisson": [("mean 0.3", distsim.PairwisePoisson(0.3), {})],
    "fixed_total_number": [
        ("N: 120", distsim.FixedTotalNumber(120), {}),
        ("no multapses", distsim.FixedTotalNumber(120, True, False), {}),
    ],
    "fixed_indegree": [
        ("indegree: 5", distsim.FixedIndegree(5), {}),
        ("no multapses, no autapses", distsim.FixedIndegree(5, False, False), {}),
    ],
    "fixed_outdegree": [
        ("outdegree: 5", distsim.FixedOutdegree(5), {}),
        ("no multapses, no autapses", distsim.FixedOutdegree(5, False, False), {}),
    ],
    "selections": [
        ("slice, list", distsim.AllToAll(), {"source": {"slice": [2, 20, 3]}, "target": {"neurons": [1, 2, 8, 9, 20]}}),
        ("fraction: 0.25 each", distsim.AllToAll(),
         {"source": {"fraction": 0.25}, "target": {"fraction": 0.25, "draw": 1}}),
    ],
}  # fmt: skip


def matrix(rule: Any, options: dict[str, Any]) -> np.ndarray:
    """Connections of each (target, source), int64[SIZE, SIZE], of a built network."""
    network = distsim.Network("picture")
    network.population("E", SIZE, "iaf_psc_exp")
    sides = {side: network.select("E", **options.get(side, {})) for side in ("source", "target")}
    network.project(**{**options, **sides}, rule=rule)
    run = distsim.RunSettings(duration=1.0, seed=7)
    simulation = Simulation(distsim.Experiment(network, run), Serial(), distsim.backend.open_backend("cpu"))
    found = read_connections(simulation, 0, 0)
    counts = np.zeros((SIZE, SIZE), np.int64)
    np.add.at(counts, (found.target, found.source), 1)
    return counts


def draw(name: str) -> Path:
    """Write one picture."""
    panels = PICTURES[name]
    figure, axes = plt.subplots(1, len(panels), figsize=(2.6 * len(panels), 2.9), squeeze=False, dpi=80)
    for axis, (title, rule, options) in zip(axes[0], panels, strict=True):
        colours = ListedColormap(["white", "black", "#d03030"])
        axis.imshow(np.minimum(matrix(rule, options), 2), cmap=colours, vmin=0, vmax=2, interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("source", fontsize=8)
        axis.set_ylabel("target", fontsize=8)
        axis.set_xticks([0, SIZE - 1])
        axis.set_yticks([0, SIZE - 1])
        axis.tick_params(labelsize=7)
    figure.tight_layout()
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.png"
    figure.savefig(path, metadata={"Software": None}, pil_kwargs={"optimize": True})
    plt.close(figure)
    return path


if __name__ == "__main__":
    for chosen in sys.argv[1:] or PICTURES:
        print(draw(chosen))
