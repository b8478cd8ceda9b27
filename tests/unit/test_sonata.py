"""SONATA circuits as BMTK writes them: the network that they say, on any ranks, and results that others read."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import h5py
import jsonschema
import libsonata
import numpy as np
import pytest
from sonata_circuit import CORTEX, edit, unpack
from support import check_same, run

import distsim
from distsim.cli import main
from distsim.config import load_experiment
from distsim.config.identity import identity
from distsim.config.json_schema import experiment_schema
from distsim.experiment import Experiment, RunSettings
from distsim.io.safe_hdf5 import open_hdf5
from distsim.io.sonata_edges import populations
from distsim.io.spikes import read_spikes
from distsim.resuming import check_resume


def _types(path: Path) -> dict[int, dict[str, str]]:
    with open(path) as file:
        rows = list(csv.reader(file, delimiter=" "))
    return {int(r[0]): dict(zip(rows[0], r, strict=True)) for r in rows[1:]}


def _naive(folder: Path) -> Experiment:
    """The same circuit, read edge by edge and described in Python."""
    network = distsim.Network("naive")
    params = [json.loads((folder / f"components/point_neuron_models/{n}.json").read_text()) for n in ("exc", "inh")]
    each = [{"I_e": 0.0, **params[0 if i < 12 else 1]} for i in range(16)]
    start = [p.pop("V_m") for p in each]
    network.population(
        "cortex", 16, "iaf_psc_exp", params={k: [p[k] for p in each] for k in each[0]}, initial={"V_m": start}
    )
    with h5py.File(folder / "inputs/lgn.h5") as file:
        times, ids = file["spikes/lgn/timestamps"][:], file["spikes/lgn/node_ids"][:]
    trains = [sorted(np.ceil(times[ids == i] * 10).astype(int)) for i in range(5)]
    network.population("lgn", 5, "spike_generator", spike_times=[[k / 10 for k in train] for train in trains])
    for source in ("lgn", "cortex"):
        types = _types(folder / f"network/{source}_cortex_edge_types.csv")
        with h5py.File(folder / f"network/{source}_cortex_edges.h5") as file:
            edges = file[f"edges/{source}_to_cortex"]
            kinds = [types[i] for i in edges["edge_type_id"][:]]
            own = edges["0"]["syn_weight"][:] if source == "lgn" else [float(k["syn_weight"]) for k in kinds]
            count = edges["0"]["nsyns"][:] if "nsyns" in edges["0"] else 1
            rule = distsim.Explicit(
                edges["source_node_id"][:], edges["target_node_id"][:], np.asarray(own) * count,
                [float(k["delay"]) for k in kinds],
            )  # fmt: skip
        network.project(source, "cortex", rule)
    network.input(
        "step_current_generator", "cortex", amplitude_times=[20.0, 70.0], amplitude_values=[200.0, 0.0]
    )  # fmt: skip
    network.record_states("cortex", ["V_m"], 0.1)
    return Experiment(network, RunSettings(200.0))


@pytest.fixture(scope="module")
def circuit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The circuit, and its results in output/."""
    config = unpack(tmp_path_factory.mktemp("circuit"))
    assert main(["run", str(config), "-q"]) == 0
    return config.parent


def test_the_circuit_is_the_network_that_its_files_say_on_any_number_of_ranks(circuit: Path) -> None:
    expected = run(_naive(circuit))
    assert expected.count > 100
    for ranks, partition in ((1, "round_robin"), (3, "round_robin"), (2, "block")):
        experiment = load_experiment(circuit / "config.json", [f"run.partition={partition}"]).experiment
        check_same(run(experiment, ranks), expected, f"{ranks} ranks, {partition}")


def test_the_experiment_that_was_written_runs_again_to_the_same_digest(circuit: Path, tmp_path: Path) -> None:
    assert main(["run", str(circuit / "output/experiment.yaml"), "-q", "--out", str(tmp_path / "again")]) == 0
    first, again = (json.loads((d / "summary.json").read_text()) for d in (circuit / "output", tmp_path / "again"))
    assert again["spike_digest"] == first["spike_digest"] and first["spikes"] > 100


def test_a_circuit_that_changed_is_no_more_the_experiment_that_was_written(tmp_path: Path) -> None:
    config = unpack(tmp_path)
    loaded = load_experiment(config)
    document = tmp_path / "experiment.yaml"
    document.write_text(json.dumps(loaded.document))
    jsonschema.validate(loaded.document, experiment_schema())
    assert load_experiment(document).document == loaded.document
    edit(tmp_path / "components/point_neuron_models/exc.json", lambda d: d.update(C_m=251.0))
    with pytest.raises(distsim.ConfigError, match=r"exc\.json has changed since the experiment was written"):
        load_experiment(document)


def test_components_beside_the_circuit_are_read_where_the_user_says_so(
    circuit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """BMTK's examples share `../point_components`."""
    config = unpack(tmp_path / "a" / "circuit")
    (config.parent / "components").rename(tmp_path / "a" / "components")
    edit(
        config,
        lambda d: d["manifest"].update({"$COMPONENTS_DIR": "$BASE_DIR/../components"}),
    )
    assert main(["run", str(config), "-q"]) == 2
    assert "--set network.root=.." in capsys.readouterr().err
    for root in ("../..", ".."):  # a place, and no part of the network: the second finds all done
        assert main(["run", str(config), "-q", "--set", f"network.root={root}", "--resume"]) == 0
    for name in ("spikes.h5", "states.h5"):
        assert (config.parent / "output" / name).read_bytes() == (circuit / "output" / name).read_bytes()
    assert main(["check", str(config.parent / "output" / "experiment.yaml")]) == 0
    assert main(["run", str(config), "-q", "--set", "network.root=output"]) == 2
    assert "found 'output'; allowed: a directory that holds" in capsys.readouterr().err


def test_a_run_goes_on_to_another_tstop_of_the_same_configuration(tmp_path: Path) -> None:
    """To the digest of a straight run; any other change of the file is refused by its section's name."""
    config, out = unpack(tmp_path), tmp_path / "output"
    edit(config, lambda d: d["run"].update(tstop=60.0))
    assert main(["run", str(config), "-q", "--out", str(tmp_path / "straight")]) == 0
    edit(config, lambda d: d["run"].update(tstop=30.0))
    assert main(["run", str(config), "-q", "--set", "run.checkpoint={every: 30.0}"]) == 0
    edit(config, lambda d: d["run"].update(tstop=60.0))
    changes: list[tuple[Any, str]] = [
        (lambda d: d["inputs"]["current_clamp"].update(amp=201.0), r"network\.config\.inputs: found contents with"),
        (lambda d: d["inputs"].update(current_clamp=d["inputs"].pop("current_clamp")), r"network\.config\.inputs"),
        (lambda d: d["run"].update(dt=0.05), r"run\.dt: found 0\.05"),
        (lambda d: d.update(distsim={"run": {"seed": 2}}), r"run\.seed: found 2"),
        (lambda d: d["components"].update(more="."), r"network\.config\.components"),
    ]
    document = config.read_text()
    for change, message in changes:
        edit(config, change)
        with pytest.raises(distsim.ConfigError, match=message):
            check_resume(out, identity(load_experiment(config).document), RunSettings(60.0))
        config.write_text(document)
    edit(config, lambda d: d.update(distsim={"run": {"partition": "block"}}))
    assert main(["run", str(config), "-q", "--resume"]) == 0
    straight, longer = (json.loads((tmp_path / d / "summary.json").read_text()) for d in ("straight", "output"))
    assert longer["spike_digest"] == straight["spike_digest"] and straight["spikes"] > 30


def test_libsonata_reads_the_results(circuit: Path) -> None:
    reader = libsonata.SpikeReader(str(circuit / "output/spikes.h5"))
    assert reader.get_population_names() == ["cortex"]
    pairs = reader["cortex"].get()
    expected = run(_naive(circuit))
    assert sorted((round(t, 9), i) for i, t in pairs) == sorted(expected.trains())
    report = libsonata.ElementReportReader(str(circuit / "output/states.h5"))["cortex"].get()
    assert np.array_equal(np.asarray(report.data)[:, :, None], expected.states["cortex"])


def test_bmtk_reads_the_spikes(circuit: Path) -> None:
    bmtk = pytest.importorskip("bmtk.utils.reports.spike_trains")
    frame = bmtk.SpikeTrains.load(str(circuit / "output/spikes.h5")).to_dataframe()
    times, ids = read_spikes(circuit / "output/spikes.h5")["cortex"]
    found = zip(frame["timestamps"], frame["node_ids"], strict=True)
    assert sorted(found) == sorted(zip(times, ids, strict=True)) and len(times) > 100


def test_a_rank_reads_its_own_edges_through_the_index(circuit: Path) -> None:
    with open_hdf5(circuit / CORTEX) as file:
        (edges,) = populations(file, None)
        index = edges.index(16)
        assert index is not None
        wanted = np.array([1, 4, 7, 15])
        source, target = file["edges/cortex_to_cortex/source_node_id"][:], edges.columns["target_node_id"][:]
        for size in (1, 5, 2**18):
            found = [(b.source[at], b.target[at]) for at, _, b in index.blocks(wanted, size)]
            mine = np.isin(target, wanted)
            assert sorted(zip(*map(np.concatenate, zip(*found, strict=True)), strict=True)) == sorted(
                zip(source[mine], target[mine], strict=True)
            )


def test_edges_without_an_index_or_in_several_groups_are_the_same(circuit: Path, tmp_path: Path) -> None:
    config = unpack(tmp_path)
    reference = run(load_experiment(circuit / "config.json").experiment)
    rng = np.random.default_rng(1)
    with h5py.File(tmp_path / CORTEX, "a") as file:
        edges = file["edges/cortex_to_cortex"]
        n = edges["edge_type_id"].shape[0]
        order, weight = rng.permutation(n), np.where(edges["edge_type_id"][:] == 100, 120.0, -300.0)
        nsyns = edges["0/nsyns"][:]
        del edges["indices"], edges["0"], edges["edge_group_id"], edges["edge_group_index"]
        for name in ("source_node_id", "target_node_id", "edge_type_id"):
            edges[name][:] = edges[name][:][order]
        group = rng.integers(0, 2, n)  # group 0 takes weights from the types, group 1 has its own
        rank = np.where(group == 0, np.cumsum(group == 0), np.cumsum(group == 1)) - 1
        edges["edge_group_id"], edges["edge_group_index"] = group, rank
        edges["0/nsyns"] = nsyns[order][group == 0]
        edges["1/nsyns"] = nsyns[order][group == 1]
        edges["1/syn_weight"] = weight[order][group == 1]
    edit(config, lambda d: d["inputs"]["lgn_spikes"].update(module="csv", input_file="inputs/lgn.csv"))
    check_same(run(load_experiment(config).experiment, 2), reference)


def test_models_that_alternate_become_populations_one_after_the_other(tmp_path: Path) -> None:
    config = unpack(tmp_path)
    table = tmp_path / "network/cortex_node_types.csv"
    header, *_ = table.read_text().splitlines()
    values = {"node_type_id": "102", "model_template": "nest:parrot_neuron", "model_type": "point_neuron"}
    table.write_text(table.read_text() + " ".join(values.get(n, "NULL") for n in header.split(" ")) + "\n")
    with h5py.File(tmp_path / "network/cortex_nodes.h5", "a") as file:
        types = file["nodes/cortex/node_type_id"][:]
        types[[3, 4, 9]] = 102
        file["nodes/cortex/node_type_id"][:] = types
    edit(config, lambda d: (d["inputs"].pop("current_clamp"), d.pop("reports")))
    network = load_experiment(config).experiment.network
    cortex = [p for p in network.populations if p.name != "lgn"]
    assert [(p.name, p.model.name) for p in cortex] == [
        ("cortex[0:3]", "iaf_psc_exp"), ("cortex[3:5]", "parrot_neuron"), ("cortex[5:9]", "iaf_psc_exp"),
        ("cortex[9:10]", "parrot_neuron"), ("cortex[10:16]", "iaf_psc_exp"),
    ]  # fmt: skip
    found = {}
    for p in network.projections:
        edges = p.rule.read()  # type: ignore[union-attr]
        begin = p.targets[0].population.first_gid
        first = p.sources[0].population.first_gid
        for s, t, w in zip(edges.source + first, edges.target + begin, edges.weight, strict=True):
            found[int(s), int(t)] = found.get((int(s), int(t)), 0.0) + float(w)
    whole: dict[Any, float] = {}
    for p in _naive(tmp_path).network.projections:
        edges = p.rule.read()  # type: ignore[union-attr]
        first = p.sources[0].population.first_gid
        for s, t, w in zip(edges.source + first, edges.target, edges.weight, strict=True):
            whole[int(s), int(t)] = whole.get((int(s), int(t)), 0.0) + float(w)
    assert found == whole


def test_node_sets_reports_and_conditions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = unpack(tmp_path)

    def change(d: Any) -> None:
        d["node_sets"] = {"some": {"population": "cortex", "ei": "i"}, "both": ["some", {"node_id": [1], "x": 1 / 11}]}
        d["reports"]["V_m_report"].update(cells="both", dt=0.5, variable_name="v")
        d["inputs"]["current_clamp"].update(node_set={"population": "cortex", "node_id": [2, 3]}, delay=0.0)
        d["conditions"] = {"v_init": -61.0, "celsius": 34.0}
        d["distsim"] = {"run": {"precision": "double", "seed": 9}}

    edit(config, change)
    edit(tmp_path / "components/point_neuron_models/inh.json", lambda d: d.pop("V_m"))
    with h5py.File(tmp_path / "network/cortex_nodes.h5", "a") as file:
        file["nodes/cortex/0/dynamics_params/C_m"] = np.where(np.arange(16) == 5, 300.0, np.nan)
    experiment = load_experiment(config).experiment
    network = experiment.network
    (recording,) = network.state_recordings
    assert recording.selection.neurons == (1, 12, 13, 14, 15)
    assert (recording.variables, recording.interval) == (("V_m",), 0.5)
    (clamp,) = network.inputs
    assert clamp.targets[0].neurons == (2, 3) and (clamp.start, clamp.stop) == (0.0, 50.0)
    assert network["cortex"].initial["V_m"].values == (-60.0,) * 12 + (-61.0,) * 4
    assert network["cortex"].params["C_m"].values == (250.0,) * 5 + (300.0,) + (250.0,) * 6 + (200.0,) * 4
    edit(config, lambda d: d.pop("conditions"))
    edit(tmp_path / "components/point_neuron_models/inh.json", lambda d: d.update(E_L=-66.0))
    again = load_experiment(config).experiment.network["cortex"]
    assert again.initial["V_m"].values == (-60.0,) * 12 + (-66.0,) * 4  # where NEST starts: at E_L
    edit(config, lambda d: d.update(conditions={"v_init": -61.0, "celsius": 34.0}))
    assert experiment.run.precision == "double" and experiment.run.seed == 9
    assert main(["check", str(config)]) == 0
    assert "warning: conditions.celsius: not read" in capsys.readouterr().out


def test_glif_types_of_other_lists_are_one_population(tmp_path: Path) -> None:
    config = unpack(tmp_path)
    table = tmp_path / "network/cortex_node_types.csv"
    exc, inh = "nest:glif_lif_asc_psc", "nest:glif_psc"
    text = table.read_text()
    first = text.index("nest:iaf_psc_exp")
    table.write_text(
        text[:first] + text[first:].replace("nest:iaf_psc_exp", exc, 1).replace("nest:iaf_psc_exp", inh, 1)
    )
    shared = {"asc_decay": [0.003, 0.1], "tau_syn": [5.5, 8.5, 2.8], "V_dynamics_method": "linear_exact", "V_m": -78.0}
    for name, asc, more in (("exc", -9.0, {}), ("inh", -5.0, {"after_spike_currents": True, "C_m": 60.0})):
        path = tmp_path / f"components/point_neuron_models/{name}.json"
        path.write_text(json.dumps({**shared, "asc_init": [0.0, 1.0], "asc_amps": [asc, -100.0], **more}))
    (tmp_path / "components/synaptic_models/static.json").write_text('{"receptor_type": 3}')
    network = load_experiment(config).experiment.network
    cortex = network["cortex"]
    assert cortex.model.name == "glif_psc" and cortex.size == 16
    assert cortex.params["asc_amps_1"].values == (-9.0,) * 12 + (-5.0,) * 4
    assert (cortex.params["asc_amps_2"], cortex.params["tau_syn_2"]) == (-100.0, 8.5)
    assert cortex.params["C_m"].values == (58.72,) * 12 + (60.0,) * 4
    assert {p.receptor for p in network.projections} == {"3"}
