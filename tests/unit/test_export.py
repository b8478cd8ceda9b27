"""`distsim export`: a built network as a SONATA circuit, the same from any ranks, that runs to the same spikes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import continuing
import h5py
import libsonata
import numpy as np
import pytest
from places import positions
from sonata_circuit import edit
from support import run

import distsim
from distsim.backend import open_backend
from distsim.cli import main
from distsim.comm import Communicator, Serial, Threads
from distsim.config import load_experiment
from distsim.config.identity import check_same, identity
from distsim.engine.simulation import Simulation
from distsim.experiment import Experiment, RunSettings
from distsim.export import export_circuit


def described() -> Experiment:
    """Populations whose names are not in the order of their ids; drawn parameters; a receptor by name; inputs of all
    kinds, those that SONATA can say between others, so that numbers of streams and sums depend on their order."""
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
    some = [network.select(i, slice=[2, 9, 3]), network.select(e, fraction=0.5, draw=3)]
    network.input("noise_generator", e, mean=5.0, std=40.0, shared=True)
    network.poisson(some, 4000.0, 20.0)
    network.input("dc_generator", network.select(e, slice=[0, 10]), amplitude=80.0, start=20.0, stop=60.0)
    network.poisson([i, e], distsim.Uniform(500.0, 4000.0), -10.0)
    network.poisson(some, [100.0 * k for k in range(23)], 5.0, receptor="inhibitory")
    network.input("ac_generator", network.select(e, neurons=[3, 17]), amplitude=90.0, frequency=33.0, phase=20.0)
    network.input("step_current_generator", i, amplitude_times=[10.0, 50.1], amplitude_values=[60.0, -30.0], stop=80.0)
    network.input("dc_generator", [i, e], amplitude=20.0, weight=0.7, name="spikes_of_stim")
    network.input("dc_generator", i, amplitude=20.0, start=110.0, name="later than the run")
    network.record_states(network.select(e, neurons=[3, 17]), ["V_m"], 0.5)
    return Experiment(network, RunSettings(100.0, warmup=10.0, seed=12))


def exported(comm: Communicator, out: Path) -> list[str]:
    return export_circuit(Simulation(described(), comm, open_backend("cpu")), out)


@pytest.fixture(scope="module")
def circuit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distsim.export.LONG_LIST", 20)  # so that a list of our size becomes a file
        assert exported(Serial(), out) == []
        yield out


def test_it_runs_again_to_the_same_spikes(circuit: Path) -> None:
    expected = run(described())
    loaded = load_experiment(circuit / "simulation_config.json")
    assert expected.count > 100 and loaded.experiment.run == RunSettings(100.0, warmup=10.0, seed=12)
    before, after = (
        [(i.name, i.start, min(i.stop, 1e8)) for i in e.network.inputs] for e in (described(), loaded.experiment)
    )
    assert after == before  # also for a longer run
    for ranks in (1, 2, 3):
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
        "inputs: {noise: {type: poisson, targets: E, rate: 100.0, weight: 1.0}}\n"
        "projections: [{source: E, target: E, rule: all_to_all, weight: 50.0, delay: 1.0},\n"
        "  {source: E, target: E, rule: all_to_all, weight: 0.1, delay: 1.0}]\n"
        "record: {spikes: [E], rates: {bin: 1.0}, connections: [0]}\n"  # spikes: all neurons by their names
    )
    arguments = ["export", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "circuit")]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        f"distsim: warning: {said}; left out" for said in (
            "projections 0, 1: in E_to_E_excitatory the finer resolution of weights that are 2^7 smaller",
            "record.rates: SONATA has no such report", "record.connections: SONATA has no such report",
        )
    ]  # fmt: skip
    assert "distsim run" in said.out
    assert json.loads((tmp_path / "circuit" / "simulation_config.json").read_text())["run"]["tstop"] == 10.0
    assert main(arguments) == 2
    assert "circuit" in capsys.readouterr().err


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(("change", "says"), [
    (lambda d: d.update(input={}), "input: unknown key 'input'; did you mean 'inputs'?"),
    (lambda d: d["inputs"]["poisson1"].update(rat=1.0), "inputs.poisson1.rat: unknown parameter of poisson_generator"),
    (lambda d: d["inputs"]["poisson1"].update(rate="1"), "inputs.poisson1.rate: found '1'; allowed: a number"),
    (lambda d: d["inputs"]["poisson1"].update(stop=None), "inputs.poisson1.stop: found null"),
    (lambda d: d["inputs"]["poisson1"].update(targets=["e"]), "inputs.poisson1.targets: unknown population 'e'"),
    (lambda d: d["inputs"]["poisson4"]["rate"].update(file="../a.csv"), "inputs.poisson4.rate.file: found"),
    (lambda d: d["inputs"].update(dc2=d["inputs"]["ac5"]), "inputs.dc2: found in inputs, too"),
    (lambda d: d["input_order"].append("no"), "input_order[9]: unknown input 'no'"),
    (lambda d: d["input_order"].append("dc2"), "input_order[9]: input 'dc2' stands twice"),
    (lambda d: d["input_order"].remove("dc2"), "input_order: 'dc2' is missing"),
])  # fmt: skip
def test_our_section_is_read_as_strictly_as_an_experiment_file(circuit: Path, change: Change, says: str) -> None:
    config = circuit / "simulation_config.json"
    before = config.read_text()
    try:
        edit(config, lambda d: change(d["distsim"]))
        with pytest.raises(distsim.ConfigError) as error:
            load_experiment(config)
    finally:
        config.write_text(before)
    assert f"network.config: distsim.{says}" in str(error.value) and "\n" not in str(error.value)


def test_inputs_of_our_section_count_for_going_on_and_its_run_does_not(circuit: Path) -> None:
    config = circuit / "simulation_config.json"
    before, said = identity(load_experiment(config).document), config.read_text()
    changes: list[Change] = [
        lambda d: d["inputs"]["poisson1"].update(rate=4001.0), lambda d: d["input_order"].reverse(),
    ]  # fmt: skip
    try:
        edit(config, lambda d: d["distsim"]["run"].update(duration=200.0))
        check_same(before, identity(load_experiment(config).document), "it")
        for change in changes:
            edit(config, lambda d, change=change: change(d["distsim"]))
            with pytest.raises(distsim.ConfigError, match=r"network\.config\.distsim: found contents with"):
                check_same(before, identity(load_experiment(config).document), "it")
            config.write_text(said)
    finally:
        config.write_text(said)
