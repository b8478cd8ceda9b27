"""The interactive interface: stretches that continue one another, values read and set, connectivity read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distsim
from distsim.backend import open_backend
from distsim.comm import Communicator, Serial, Threads
from distsim.config import load_experiment
from distsim.runner import run_experiment


def network() -> distsim.Network:
    net = distsim.Network()
    e = net.population(
        "E", 50, "iaf_psc_exp", I_e=distsim.Uniform(350.0, 420.0), initial={"V_m": distsim.Normal(-62.0, 3.0)}
    )
    i = net.population("I", 13, "iaf_psc_exp", I_e=380.0)
    net.project(e, [e, i], distsim.FixedIndegree(5), distsim.Normal(50.0, 5.0), distsim.Uniform(1.0, 2.0))
    net.project(i, e, distsim.PairwiseBernoulli(0.3), -100.0, 1.0)
    net.record_states("E", ["V_m"], 1.0, [3, 7])
    return net


def session(comm: Communicator) -> dict[str, Any]:
    sim = distsim.Simulator(network(), comm=comm, seed=4)
    first = sim.simulate(100.0)
    second = sim.simulate(50.0)
    drawn = sim.get("E", "I_e")
    sim.set("I", E_L=-71.0, V_m=-65.0)
    sim.set("E", I_e=np.linspace(300.0, 400.0, 50))
    changed = sim.get("I", "V_m"), sim.get("I", "E_L"), sim.get("E", "I_e")
    last = sim.simulate(1200.0)  # beyond the second for which digests had room
    recurrent = sim.connections("E", "E")
    return {
        "spikes": [stretch.spikes for stretch in (first, second, last)],
        "digests": [(s.spike_digest, s.spike_count) for s in (first, second, last)],
        "drawn": drawn,
        "changed": changed,
        "states": last.states["E"],
        "recurrent": recurrent,
        "time": sim.time,
    }


def test_closed_at_the_end_of_with() -> None:
    def session_of(comm: Communicator) -> float:
        with distsim.Simulator(network(), comm=comm, seed=4) as sim:
            sim.simulate(1.0)
        sim.close()  # twice does no harm
        with pytest.raises(distsim.ConfigError, match="closed"):
            sim.simulate(1.0)
        return float(sim.get("E", "V_m").sum())

    assert len({session_of(Serial()), *Threads.run(2, session_of)}) == 1


def test_a_session_is_the_same_on_any_number_of_ranks() -> None:
    """Catches values or connections that a rank reads or sets by its own numbering."""
    alone = session(Serial())
    for size in (2, 3):
        for together in Threads.run(size, session):
            assert together["digests"] == alone["digests"]
            assert np.array_equal(together["drawn"], alone["drawn"])
            for a, b in zip(together["changed"], alone["changed"], strict=True):
                assert np.array_equal(a, b)
            for a, b in zip(together["spikes"], alone["spikes"], strict=True):
                assert all(np.array_equal(a[p][k], b[p][k]) for p in a for k in (0, 1))
            assert np.array_equal(together["states"].values["V_m"], alone["states"].values["V_m"])
            for column in ("source", "target", "weight", "delay", "receptor"):
                assert np.array_equal(getattr(together["recurrent"], column), getattr(alone["recurrent"], column))
    assert alone["time"] == 1350.0
    assert alone["states"].times[0] == 151.0 and alone["states"].values["V_m"].shape == (1200, 2)
    assert (alone["changed"][0] == -65.0).all() and (alone["changed"][1] == -71.0).all()
    assert np.array_equal(alone["changed"][2], np.linspace(300.0, 400.0, 50).astype(np.float64))


def test_stretches_equal_one_run() -> None:
    whole = distsim.simulate(network(), 150.0, seed=4)
    sim = distsim.Simulator(network(), seed=4)
    parts = [sim.simulate(60.0), sim.simulate(90.0)]
    assert parts[-1].spike_digest == whole.spike_digest
    times = np.concatenate([p.spikes["E"][0] for p in parts])
    assert np.array_equal(times, whole.spikes["E"][0])
    values = np.concatenate([p.states["E"].values["V_m"] for p in parts])
    assert np.array_equal(values, whole.states["E"].values["V_m"])


def test_set_values_take_effect_as_if_described_so() -> None:
    """Catches constants that are not computed anew."""

    def silent(**params: float) -> distsim.Network:
        net = distsim.Network()
        net.population("E", 3, "iaf_psc_exp", I_e=400.0, **params)
        return net

    described = distsim.simulate(silent(tau_m=20.0, E_L=-68.0, t_ref=5.0), 300.0)
    sim = distsim.Simulator(silent())
    sim.set("E", tau_m=20.0, E_L=-68.0, t_ref=5.0, V_m=-68.0)
    assert sim.simulate(300.0).spike_digest == described.spike_digest
    assert described.spike_count > 0


def test_connections_are_those_described() -> None:
    net = distsim.Network()
    a = net.population("a", 4, "parrot_neuron")
    b = net.population("b", 3, "iaf_psc_exp")
    net.project(a, b, distsim.Explicit([0, 3, 3], [2, 0, 0], [1.5, -2.0, 4.0], [1.0, 2.0, 0.3]))
    net.project(a, b, distsim.AllToAll(), 7.0, 1.0)
    found = distsim.Simulator(net, precision="double").connections("a", "b")
    listed = set(zip(found.source.tolist(), found.target.tolist(), found.weight.tolist(), found.delay.tolist(),
                     found.receptor.tolist(), strict=True))  # fmt: skip
    expected = {(s, t, 7.0, 1.0, 0) for s in range(4) for t in range(3)}
    expected |= {(0, 2, 1.5, 1.0, 0), (3, 0, -2.0, 2.0, 1), (3, 0, 4.0, 0.3, 0)}
    assert listed == expected and len(found) == 15


def selected(comm: Communicator) -> list[Any]:
    """What the calls say of some neurons, and what they leave of the others."""
    net = network()
    e, i = net["E"], net["I"]
    sim = distsim.Simulator(net, comm=comm, seed=4)
    sim.simulate(20.3)
    some, drawn = e[40:], net.select(e, fraction=0.3)
    whole, v, current = sim.connections(e, "E"), sim.get(e, "V_m"), sim.get("E", "I_e")
    ids = sim.connections(drawn, e).source
    found = sim.connections(some, e[[3, 7]])
    kept = (whole.source >= 40) & np.isin(whole.target, (3, 7))
    assert np.array_equal(found.weight, whole.weight[kept]) and np.array_equal(found.source, whole.source[kept])
    assert np.array_equal(sim.get(some, "V_m"), v[40:]) and len(sim.connections(i[2], e[[0]])) <= 1
    sim.set(some, V_m=np.linspace(-70.0, -61.0, 10), I_e=300.0)
    changed = sim.get("E", "V_m"), sim.get("E", "I_e")
    assert np.array_equal(changed[0][:40], v[:40]) and np.array_equal(changed[1][:40], current[:40])
    assert changed[0][40] == -70.0 and changed[0][49] == np.float32(-61.0 + 70.0) - 70.0
    assert (changed[1][40:] == 300.0).all()
    return [np.unique(ids), *changed, found.source, sim.simulate(100.0).spike_digest]


def test_some_neurons_are_read_and_set_on_any_ranks() -> None:
    """Catches ids of one side taken for the other's, and neurons beside the selected ones that change."""
    alone = selected(Serial())
    assert alone[0].size > 10
    for there in Threads.run(3, selected):
        for mine, theirs in zip(alone, there, strict=True):
            assert np.array_equal(mine, theirs)


def test_setting_leaves_the_bits_of_others() -> None:
    """Catches a membrane near rest that goes through its absolute value, and is another one then."""
    net = distsim.Network()
    near = (-70.0 + np.linspace(1e-7, 1e-3, 50)).tolist()
    e = net.population("E", 50, "iaf_psc_exp", initial={"V_m": near}, I_e=[0.0] * 49 + [1.0])
    untouched, touched = distsim.Simulator(net), distsim.Simulator(net)
    for sim in (untouched, touched):
        sim.simulate(130.3)
    touched.set(e[49], I_e=2.0)
    states = [sim._simulation.groups[0].states["V_m"] for sim in (untouched, touched)]
    assert np.array_equal(*states) and 0.0 < states[0][0] < 1e-7


def test_wrong_names_and_values_are_refused() -> None:
    net = distsim.Network()
    net.population("E", 3, "iaf_psc_exp")
    sim = distsim.Simulator(net)
    with pytest.raises(distsim.ConfigError, match="did you mean 'V_m'"):
        sim.get("E", "Vm")
    with pytest.raises(distsim.ConfigError, match="V_reset"):
        sim.set("E", V_reset=0.0)
    with pytest.raises(distsim.ConfigError, match="one number"):
        sim.set("E", I_e=[1.0, 2.0, 3.0])
    with pytest.raises(distsim.ConfigError, match="multiple of dt"):
        sim.simulate(0.05)


def test_results_of_a_python_script_can_be_run_again(tmp_path: Path) -> None:
    """experiment.yaml of a network described in Python gives the same digest; catches any value lost on the way."""
    net = network()
    stim = net.population("stim", 2, "spike_generator", spike_times=[[10.0, 20.0], [15.0]])
    lists = net.population(
        "lists", 3, "iaf_psc_exp", C_m=[200.0, 250.0, 300.0], tau_m=distsim.NormalClipped(10.0, 1.0, 8.0)
    )
    net.project(stim, ["I", "E"], distsim.AllToAll(), distsim.Lognormal(3.0, 0.2), 1.0)
    net.project(["E", "I"], lists, distsim.FixedTotalNumber(40), 60.0, 1.5, receptor="inhibitory")
    net.project(stim, lists, distsim.Explicit([0, 1], [2, 0], [500.0, -0.1], [0.5, 1.0], ["excitatory", "inhibitory"]))
    net.poisson(["E", lists], 2000.0, 30.0, name="noise")
    net.record_spikes(("E", "lists"))
    first = distsim.simulate(net, 200.0, warmup=20.0, seed=9, out=tmp_path / "first")
    loaded = load_experiment(tmp_path / "first" / "experiment.yaml")
    again = run_experiment(loaded.experiment, Serial(), open_backend("cpu"))
    assert again.summary["spike_digest"] == first.spike_digest and first.spike_count > 0
    assert [s.name for s in loaded.experiment.network.recorded_neurons()] == ["E", "lists"]


def test_spikes_as_pandas_and_as_neo() -> None:
    result = distsim.simulate(network(), 200.0, seed=4)
    times, ids = result.spikes["E"]
    frame = result.to_pandas()
    excitatory = frame[frame["population"] == "E"]
    assert excitatory["time"].tolist() == times.tolist() and excitatory["neuron"].tolist() == ids.tolist()
    assert len(frame) == sum(len(t) for t, _ in result.spikes.values()) > 0
    trains = result.to_neo("E", stop=200.0)
    assert sum(len(train) for train in trains) == len(times)
    for train in trains:
        assert train.magnitude.tolist() == times[ids == train.annotations["neuron"]].tolist()
