"""`distsim export`: a built network as a SONATA circuit, the same from any ranks, that runs to the same spikes."""

from __future__ import annotations

import json
from pathlib import Path

import continuing
import h5py
import libsonata
import numpy as np
import pytest
from places import positions
from support import run

import distsim
from distsim.backend import open_backend
from distsim.cli import main
from distsim.comm import Communicator, Serial, Threads
from distsim.config import load_experiment
from distsim.engine.simulation import Simulation
from distsim.experiment import Experiment, RunSettings
from distsim.export import export_circuit


def described() -> Experiment:
    """Populations whose names are not in the order of their ids; drawn parameters; a receptor by name."""
    network = distsim.Network("exported", distsim.space.Space.of("mm", [2.0, 1.0]))
    network.population("stim", 3, "spike_generator", spike_times=[[5.0, 5.0, 30.0], [1.0, 12.3], []],
                       spike_weights=[[1.0, 2.5, 0.5], [0.25, 1.0], []])  # fmt: skip
    e = network.population(
        "E", 40, "iaf_psc_exp", I_e=distsim.Uniform(300.0, 500.0), initial={"V_m": distsim.Normal(-60.0, 2.0)}
    )
    i = network.population("I", 11, "iaf_psc_exp", C_m=200.0, I_e=360.0, positions=distsim.space.box())
    network.project("stim", [e, i], distsim.AllToAll(), 300.0, 1.0)
    network.project(e, [e, i], distsim.FixedIndegree(5), distsim.Normal(50.0, 5.0), distsim.Uniform(1.0, 2.0))
    network.project(e, i, distsim.PairwiseBernoulli(0.2), 25.0, 0.7)
    network.project(i, e, distsim.PairwiseBernoulli(0.3), -100.0, 1.0)
    network.project(i, i, distsim.PairwiseBernoulli(0.3), 40.0, 1.5, receptor="inhibitory")
    network.input("dc_generator", network.select(e, slice=[0, 10]), amplitude=80.0, start=20.0, stop=60.0)
    network.record_states(network.select(e, neurons=[3, 17]), ["V_m"], 0.5)
    return Experiment(network, RunSettings(100.0, warmup=10.0, seed=12))


def exported(comm: Communicator, out: Path) -> list[str]:
    return export_circuit(Simulation(described(), comm, open_backend("cpu")), out)


@pytest.fixture(scope="module")
def circuit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported")
    assert exported(Serial(), out) == []
    return out


def test_it_runs_again_to_the_same_spikes(circuit: Path) -> None:
    expected = run(described())
    loaded = load_experiment(circuit / "simulation_config.json")
    assert expected.count > 100 and loaded.experiment.run == RunSettings(100.0, warmup=10.0, seed=12)
    for ranks in (1, 3):
        found = run(loaded.experiment, ranks)
        assert (found.digest, found.count, found.synapses) == (expected.digest, expected.count, expected.synapses)
        assert np.array_equal(found.states["E"], expected.states["E"])


def test_the_same_files_from_any_ranks(circuit: Path, tmp_path: Path) -> None:
    Threads.run(3, lambda comm: exported(comm, tmp_path))
    names = {p.relative_to(circuit) for p in circuit.rglob("*") if p.is_file()}
    assert names == {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
    for name in names:
        if name.suffix == ".h5":
            ours, theirs = continuing.contents(tmp_path / name), continuing.contents(circuit / name)
            assert ours.keys() == theirs.keys() and all(np.array_equal(ours[k], theirs[k]) for k in ours)
        else:
            assert (tmp_path / name).read_bytes() == (circuit / name).read_bytes()


def test_libsonata_reads_it_and_its_indices_find_every_edge(circuit: Path) -> None:
    nodes = libsonata.NodeStorage(str(circuit / "nodes.h5"))
    assert nodes.population_names == {"E", "I", "stim"} and nodes.open_population("E").size == 40
    storage = libsonata.EdgeStorage(str(circuit / "edges.h5"))
    total = 0
    for name in storage.population_names:
        edges = storage.open_population(name)
        every = libsonata.Selection([(0, edges.size)])
        source, target = edges.source_nodes(every), edges.target_nodes(every)
        total += edges.size
        for node in range(50):
            assert edges.afferent_edges([node]).flatten().tolist() == np.flatnonzero(target == node).tolist()
            assert edges.efferent_edges([node]).flatten().tolist() == np.flatnonzero(source == node).tolist()
    assert total > 600
    config = libsonata.CircuitConfig.from_file(str(circuit / "circuit_config.json"))
    assert config.node_populations == {"E", "I", "stim"} and "I_to_E" in config.edge_populations
    with h5py.File(circuit / "nodes.h5") as file:
        assert len(set(file["nodes/E/0/dynamics_params/I_e"][:])) == 40
        for axis, millimetres in zip("xyz", positions(described().network["I"], 12), strict=True):
            assert axis == "z" or np.array_equal(file[f"nodes/I/0/{axis}"][:], 1000.0 * millimetres)
        assert "z" not in file["nodes/I/0"] and "x" not in file["nodes/E/0"]


def test_what_sonata_cannot_say_is_told_and_the_command_writes_only_into_a_free_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(
        "run: {duration: 10.0}\npopulations: {E: {model: iaf_psc_exp, size: 4}}\n"
        "inputs: {noise: {type: poisson, targets: E, rate: 100.0, weight: 1.0}}\nrecord: {spikes: [E]}\n"
    )
    arguments = ["export", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "circuit")]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "inputs.noise: poisson_generator cannot be said in SONATA; left out" in said.err
    assert "record.spikes" not in said.err  # all neurons by their names
    assert "distsim run" in said.out
    assert json.loads((tmp_path / "circuit" / "simulation_config.json").read_text())["run"]["tstop"] == 10.0
    assert main(arguments) == 2
    assert "circuit" in capsys.readouterr().err
