"""Writes bmtk_network.zip: a small circuit by BMTK's own builder, its spikes, and its configurations.

To be run as `python make_network.py` where BMTK is installed (pip install bmtk; 1.2.0 made the file that lies here).
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from bmtk.builder.networks import NetworkBuilder
from bmtk.utils.create_environment import create_environment
from bmtk.utils.reports.spike_trains import PoissonSpikeGenerator

HERE = Path(__file__).parent
PARAMS = {
    "exc.json": {"C_m": 250.0, "tau_m": 10.0, "E_L": -65.0, "V_th": -50.0, "V_reset": -65.0, "I_e": 300.0,
                 "V_m": -60.0},
    "inh.json": {"C_m": 200.0, "tau_m": 8.0, "E_L": -65.0, "V_th": -50.0, "V_reset": -65.0, "V_m": -62.0},
}  # fmt: skip


def build(folder: Path) -> None:
    """Everything below `folder`."""
    np.random.seed(5)  # noqa: NPY002  BMTK draws from it
    network = str(folder / "network")
    cortex = NetworkBuilder("cortex")
    point = {"model_type": "point_neuron", "model_template": "nest:iaf_psc_exp"}
    cortex.add_nodes(N=12, pop_name="exc", ei="e", dynamics_params="exc.json", x=np.linspace(0, 1, 12), **point)
    cortex.add_nodes(N=4, pop_name="inh", ei="i", dynamics_params="inh.json", x=np.linspace(0, 1, 4), **point)
    static = {"dynamics_params": "static.json", "model_template": "static_synapse"}
    cortex.add_edges(
        source={"ei": "e"}, target={"pop_name": ["exc", "inh"]}, syn_weight=120.0, delay=1.5,
        connection_rule=lambda s, t: int(np.random.randint(0, 4)), **static,  # noqa: NPY002
    )  # fmt: skip
    cortex.add_edges(source={"ei": "i"}, target={"ei": "e"}, connection_rule=2, syn_weight=-300.0, delay=0.8, **static)
    cortex.build()
    cortex.save(output_dir=network)
    lgn = NetworkBuilder("lgn")
    lgn.add_nodes(N=5, pop_name="lgn", model_type="virtual")
    edges = lgn.add_edges(
        source=lgn.nodes(), target=cortex.nodes(), delay=1.0,
        connection_rule=lambda s, t: int(np.random.rand() < 0.6), **static,  # noqa: NPY002
    )  # fmt: skip
    edges.add_properties("syn_weight", rule=lambda s, t: 500.0 + 100.0 * s.node_id, dtypes=float)
    lgn.build()
    lgn.save(output_dir=network)
    trains = PoissonSpikeGenerator(population="lgn", seed=3)
    trains.add(node_ids=range(5), firing_rate=80.0, times=(0.001, 0.2))
    (folder / "inputs").mkdir()
    trains.to_sonata(str(folder / "inputs" / "lgn.h5"))
    trains.to_csv(str(folder / "inputs" / "lgn.csv"))
    create_environment(
        "pointnet", base_dir=str(folder), network_dir=network, tstop=200.0, dt=0.1, report_vars=["V_m"],
        spikes_inputs=[("lgn", str(folder / "inputs" / "lgn.h5"))], config_file="config.json", overwrite=True,
        current_clamp={"amp": 200.0, "delay": 20.0, "duration": 50.0},
    )  # fmt: skip
    components = folder / "components"
    for name, params in PARAMS.items():
        (components / "point_neuron_models" / name).write_text(json.dumps(params))
    (components / "synaptic_models" / "static.json").write_text("{}")


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "circuit"
        folder.mkdir()
        build(folder)
        with zipfile.ZipFile(HERE / "bmtk_network.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and path.suffix in (".h5", ".csv", ".json"):
                    content = path.read_bytes()
                    if path.suffix == ".json":  # BMTK writes where it was made
                        content = content.replace(str(folder).encode(), b".")
                    archive.writestr(zipfile.ZipInfo(str(path.relative_to(folder))), content, zipfile.ZIP_DEFLATED)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
