"""`distsim bench models`: what the update of a neuron costs, model by model, beside the bytes that it must move."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from distsim.models import MODELS, Model, example_of

if TYPE_CHECKING:
    from distsim.cli.bench import Row, Setting

# Neurons by device: on a processor their states lie in its cache, on a GPU they fill it.
NEURONS = {"cpu": 2048, "cuda": 1_000_000}
UPDATES = 4e6  # of one measurement
# Nanoseconds an update in single precision on one core: the aims.
AIMS = {"iaf_psc_exp": "0.5", "iaf_psc_alpha": "1", "aeif_cond_exp": "15"}
POPULATIONS = 254


def models(setting: Setting) -> tuple[list[Row], bool]:
    """Nanoseconds an update of each model at rest, in single and in double precision; 254 populations against one."""
    from distsim.cli.bench import Row

    neurons = setting.neurons or NEURONS[setting.device_name()]
    rows = []
    for name in MODELS:
        model = example_of(name)
        figures = [_nanoseconds(setting, {"N": neurons}, name, precision) for precision in ("single", "double")]
        moved = [bytes_moved(model, real) for real in (4, 8)]
        rows.append(
            Row(
                f"update of {name}, single / double (ns)", f"{figures[0]:.3g} / {figures[1]:.3g}",
                f"moves {moved[0]} / {moved[1]} bytes", AIMS.get(name, "") if setting.device_name() == "cpu" else "",
            )
        )  # fmt: skip
    size = 300
    one = _nanoseconds(setting, {"N": POPULATIONS * size}, "iaf_psc_exp", "single")
    many = _nanoseconds(setting, {f"N{k}": size for k in range(POPULATIONS)}, "iaf_psc_exp", "single")
    rows.append(
        Row(
            f"iaf_psc_exp, {POPULATIONS} populations of {size} against one (ns)", f"{many:.3g} / {one:.3g}", "", "1 : 1"
        )
    )
    return rows, True


def bytes_moved(model: Model, real: int) -> int:
    """States read and written once a step; parameters are common to a population."""
    sizes = [real if s.kind == "real" else np.dtype(s.kind).itemsize for s in model.states]
    return 2 * sum(sizes)


def _nanoseconds(setting: Setting, populations: dict[str, int], model: str, precision: str) -> float:
    """The median over repeats, of one rank in this process."""
    from distsim.backend import open_backend
    from distsim.comm import Serial
    from distsim.engine.simulation import Simulation
    from distsim.experiment import Experiment, RunSettings
    from distsim.network import Network

    network = Network("models")
    for name, size in populations.items():
        network.population(name, size, model)
    network.spike_recording = ()
    neurons = sum(populations.values())
    steps = max(20, round(UPDATES / neurons))
    settings: dict[str, Any] = {"precision": precision, "duration": (setting.repeat + 1) * steps * 0.1}
    backend = open_backend(setting.device)
    backend.assign(0)
    simulation = Simulation(Experiment(network, RunSettings(**settings)), Serial(), backend)
    simulation.run_to(steps)
    found = []
    for k in range(setting.repeat):
        before, began = simulation.loop.seconds_update, time.perf_counter()
        simulation.run_to((k + 2) * steps)
        # The host's loop has a clock; a GPU's steps are measured whole.
        took = simulation.loop.seconds_update - before or time.perf_counter() - began
        found.append(1e9 * took / (steps * neurons))
    return statistics.median(found)
