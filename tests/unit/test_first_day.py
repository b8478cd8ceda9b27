"""What someone who knows NEST types on the first day: it works, or one line says how it is written here."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import distsim
from distsim.devices import DEVICES
from distsim.models import MODELS
from distsim.nest_names import CURRENTS, GENERATORS
from distsim.rules import RULES


def network() -> distsim.Network:
    net = distsim.Network("day", space=distsim.space.Space.of(extent=[1.0, 1.0]))
    net.population("E", 20, "iaf_psc_exp", positions=distsim.space.grid([4, 5]))
    net.population("I", 5, "iaf_psc_exp", positions=distsim.space.box())
    return net


def rule(net: distsim.Network, given: Any) -> object:
    return net.project("E", "I", given)


Act = Callable[[distsim.Network], object]
REFUSED: list[tuple[Act, str, str]] = [
    (lambda n: n.population("X", 1, "iaf_psc_exp", V_m=-60.0), "populations.X.params.V_m", "stands under initial"),
    (lambda n: n.population("X", 1, "iaf_psc_exp", initial={"E_L": -60.0}), "initial.E_L", "stands under params"),
    (lambda n: n.population("X", 1, "iaf_psc_exp", V_th="-50 + normal()"), "params.V_th", "distsim.Normal(mean, std)"),
    (lambda n: n.population("X", 1, "iaf_psc_exp", V_th={"normal": [1, 2]}), "params.V_th", "distsim.Normal(mean"),
    (lambda n: n.population("X", 1, "dc_generator"), "populations.X.model", "net.input('dc_generator', targets)"),
    (lambda n: n.population("X", 1, "voltmeter"), "populations.X.model", "net.record_states"),
    (lambda n: n.input("spike_generator", "E"), "inputs.type", "net.population(NAME, size, 'spike_generator')"),
    (lambda n: n.input("multimeter", "E"), "inputs.type", "net.record_states"),
    (lambda n: n.poisson("E", 100.0, distsim.Normal(1.0, 0.1)), "inputs.poisson0.weight", "one number for all"),
    (lambda n: n.input("dc", "E", amplitude=1.0, start="late"), "inputs.dc0.start", "one number"),
    (lambda n: rule(n, "one_to_one"), "projections[0].rule", "such as distsim.OneToOne()"),
    (lambda n: rule(n, {"rule": "fixed_indegree", "indegree": 3}), "rule", "distsim.FixedIndegree(indegree=…)"),
    (lambda n: rule(n, {"pairwise_bernoulli": 0.1}), "rule", "distsim.PairwiseBernoulli(p=…)"),
    (lambda n: rule(n, distsim.FixedTotalNumber), "rule", "distsim.FixedTotalNumber(N=…)"),
    (lambda n: rule(n, {1: 2}), "rule", "distsim.AllToAll()"),
    (lambda n: rule(n, distsim.PairwiseBernoulli(0.1, mask={"circular": 0.5})), "pairwise_bernoulli.mask", "Circular"),
    (lambda n: n.project("E", "I", distsim.AllToAll(), "normal"), "projections[0].weight", "unknown name 'normal'"),
    (lambda n: n.project("E", "I", distsim.Explicit([1], [2], 3.0), 5.0), "[0].weight", "with the rule explicit"),
    (lambda n: n.record_states(["E", "I"], ["V_m"]), "record.states", "one population at a time"),
    (lambda n: n.record_states("E", ["V_m"], interval="1"), "record.states.E.interval", "a time in ms > 0"),
    (lambda n: n.record_states("E", ["V_m"], neurons=3), "record.states.E.neurons", "a list of local ids"),
    (lambda n: n.record_rates("x"), "record.rates.bin", "a time in ms > 0"),
    (lambda n: n.record_rates(1.0, n["E"][:3]), "population", "a whole population, or its name"),  # type: ignore[arg-type]
    (lambda n: n.record_spikes([3]), "population", "a whole population, or its name"),  # type: ignore[list-item]
    (lambda n: n.record_states("E", None), "record.states.E.variables", "names of state"),  # type: ignore[arg-type]
    (lambda n: n.select(["E", "I"], fraction=0.5), "select", "one population at a time"),
    (lambda n: distsim.simulate(n["E"], 1.0), "network", "a distsim.Network"),
    (lambda n: n["E"][18:40:-1], "E[…].slice", "start < stop"),
    (lambda n: n["E"][[3, 1]], "E[…].neurons", "ascending"),
    (lambda n: n["E"][20], "E[…].neurons", "0 to 19"),
    (lambda n: n["E"][1.5], "E[…]", "a slice, or a list"),  # type: ignore[index]
    (lambda n: distsim.simulate(n, 1.0, seeds=3), "run.seeds", "did you mean 'seed'"),
    (lambda n: distsim.simulate(n, "1.0"), "run.duration", "a number"),  # type: ignore[arg-type]
    (lambda n: distsim.Simulator(n, warmup=10.0), "run.warmup", "first stretch"),
    (lambda n: distsim.Network(space=distsim.space.Space(extent=(1.0,), periodic=(True, True))), "periodic", "each"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "key", "says"), REFUSED, ids=[f"{k}-{s[:20]}" for _, k, s in REFUSED])
def test_the_way_is_said(act: Act, key: str, says: str) -> None:
    net = network()
    before = len(net.populations), len(net.projections), len(net.inputs)
    with pytest.raises(distsim.ConfigError) as error:
        act(net)
    message = str(error.value)
    assert key in message and says in message and "\n" not in message
    assert before == (len(net.populations), len(net.projections), len(net.inputs))


def test_names_that_are_pointed_at_are_there() -> None:
    devices = {device.name for device in DEVICES}
    assert set(CURRENTS) == {device.name for device in DEVICES if device.gives == "current"}
    assert set(GENERATORS) == {name for name, m in MODELS.items() if name.endswith("_generator")} - devices


def test_a_population_is_indexed_as_in_python() -> None:
    net = network()
    e = net["E"]
    assert len(e) == 20 and len(e[:7]) == 7
    assert e[:7] == net.select(e, slice=[0, 7]) == net.select(e, slice=slice(7))
    assert e[-5:] == net.select(e, slice=[15, 20]) and e[::2] == net.select(e, slice=[0, 20, 2])
    assert e[np.int64(-1)] == net.select(e, neurons=[19]) and e[[1, 5]] == net.select(e, neurons=np.array([1, 5]))
    assert e[np.array([1, 5])] == e[[1, 5]] and e[range(3)] == e[[0, 1, 2]]
    assert e[:] == net.select(e) and e[:].is_whole
    with pytest.raises(TypeError):
        list(e)  # type: ignore[call-overload]


def test_what_a_notebook_shows_fits_on_a_line() -> None:
    net = network()
    shown = [
        net, net["E"], net["E"][:3], net.project("E", ["E", "I"], distsim.FixedIndegree(2)),
        net.input("dc_generator", "E", amplitude=list(range(20))), net.record_states("E", "V_m"),
        net.record_rates(1.0),
    ]  # fmt: skip
    assert all(len(repr(x)) < 120 for x in shown), shown
    assert repr(shown[3]) == "<Projection E to E, I: fixed_indegree>"
    assert net.state_recordings[0].variables == ("V_m",)


def test_listed_connections_may_share_a_weight() -> None:
    given = distsim.Explicit(np.array([0, 1]), np.array([2, 2]), 3.0, np.float64(1.5))
    assert given == distsim.Explicit([0, 1], [2, 2], [3.0, 3.0], [1.5, 1.5])
    assert distsim.Explicit([0], [1]) == distsim.Explicit([0], [1], [1.0], [1.0])


def test_settings_may_come_from_numpy() -> None:
    """A sweep is a loop over arrays; numbers of NumPy print otherwise and must not reach a decimal."""
    run = distsim.RunSettings(np.float32(20.0), dt=np.float64(0.1), seed=np.int64(3), warmup=np.int32(2))  # type: ignore[arg-type]
    assert run == distsim.RunSettings(20.0, dt=0.1, seed=3, warmup=2)
    assert {type(run.duration), type(run.dt), type(run.seed), type(run.warmup)} == {float, int}
    assert repr(run.dt) == "0.1"


def test_space_from_lists_is_a_space() -> None:
    given = distsim.space.Space(extent=[2.0, 1.0], periodic=True)  # type: ignore[arg-type]
    assert distsim.Network(space=given).space == distsim.space.Space.of(extent=[2.0, 1.0], periodic=True)


def test_results_in_a_directory_are_those_in_memory(tmp_path: Path) -> None:
    """Catches columns of states that are mixed up, times off by a sample, and ids that count the recorded neurons."""
    net = distsim.Network("day")
    e = net.population("E", 20, "iaf_psc_exp", I_e=distsim.Uniform(380.0, 500.0))
    net.record_spikes([e[5:15]])
    net.record_states(e[3:7], ["I_syn_ex", "V_m"], interval=0.3)
    net.record_rates(2.5)
    in_memory = distsim.simulate(net, 60.0, warmup=30.3)
    written = distsim.simulate(net, 60.0, warmup=30.3, out=tmp_path / "out")
    assert not written.spikes and not written.states
    with pytest.raises(KeyError, match="load_results"):
        written.spikes["E"]
    with pytest.raises(KeyError, match="load_results"):
        written.to_pandas()
    loaded = distsim.load_results(tmp_path / "out")
    assert loaded.rates == in_memory.rates and loaded.rates["E"] > 0.0
    assert np.array_equal(loaded.rate_bins["E"].rates, in_memory.rate_bins["E"].rates)
    assert loaded.spike_digest == in_memory.spike_digest
    assert loaded.to_pandas().equals(in_memory.to_pandas()) and len(loaded.to_pandas()) > 0
    a, b = loaded.states["E"], in_memory.states["E"]
    assert np.array_equal(a.times, b.times) and a.times.size == 200 and a.neurons.tolist() == [3, 4, 5, 6]
    assert list(a.values) == ["I_syn_ex", "V_m"]
    for name, values in b.values.items():
        assert np.array_equal(a.values[name], values) and values.shape == (200, 4)
    assert not (a.values["I_syn_ex"] == a.values["V_m"]).any()
    for damage in ((np.nan, 90.3, 0.3), (-1.0, 90.3, 0.3), (30.6, 90.3, 0.0), None):
        with h5py.File(tmp_path / "out" / "states.h5", "r+") as file:
            if damage is None:
                del file["report/E/data"].attrs["variables"]
            else:
                file["report/E/mapping/time"][...] = damage
        with pytest.raises(distsim.DistsimError, match=r"found samples|variables: missing"):
            _ = distsim.load_results(tmp_path / "out").states


def simulator() -> distsim.Simulator:
    net = network()
    net.project("E", "I", distsim.FixedIndegree(2), 10.0)
    return distsim.Simulator(net, seed=2)


def test_what_was_built_can_be_looked_at() -> None:
    sim = simulator()
    grid = sim.positions("E")
    assert grid.shape == (20, 2) and np.allclose(grid[0], [-0.375, -0.4]) and np.allclose(grid[5], [-0.125, -0.2])
    drawn = sim.positions("I")
    assert drawn.shape == (5, 2) and (np.abs(drawn) <= 0.5).all() and len(np.unique(drawn)) == 10
    frame = sim.connections("E", "I").to_pandas()
    assert list(frame) == ["source", "target", "weight", "delay", "receptor"] and len(frame) == 10
    assert (np.bincount(frame["target"]) == 2).all()


def test_a_simulator_refuses_what_it_would_take_for_something_else() -> None:
    sim = simulator()
    net = sim._network
    for act, says in (
        (lambda: sim.connections(["E"], "I"), "a population, its name, or a selection of it"),  # type: ignore[arg-type]
        (lambda: sim.get(["E"], "V_m"), "a population, its name, or a selection of it"),  # type: ignore[arg-type]
        (lambda: sim.set("E", V_m=distsim.Uniform(-70.0, -60.0)), "one number per neuron"),
        (lambda: sim.set("E", V_m=[1.0, 2.0]), "one number for each of 20 neurons"),
        (lambda: sim.set("E", V=1.0), "did you mean 'V_m'"),
        (lambda: sim.simulate(None), "found None; allowed: a multiple of dt"),  # type: ignore[arg-type]
        (lambda: sim.get("F", "V_m"), "allowed: E, I"),
    ):
        with pytest.raises(distsim.ConfigError, match=re.escape(says)):
            act()
    for change in (lambda: net.record_spikes(["I"]), lambda: net.record_states("E", "V_m")):
        change()
        with pytest.raises(distsim.ConfigError, match="changed after it was built"):
            sim.simulate(1.0)
        net.spike_recording = None


def test_the_page_on_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/python.md from its first block to its last, as one session."""
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "python.md"
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```py\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    assert len(blocks) == 4 and (np.diff(names["rates"]) >= 0).all() and names["rates"][-1] > 50.0 > names["rates"][0]
    assert names["potential"].shape == (10000, 3) and names["trace"].times.shape == (10000,)
    assert np.allclose(names["heights"] / names["weights"], names["heights"][0], rtol=0.05)
    assert names["in_degrees"].sum() == len(names["found"]) > 0 and names["where"].shape == (100, 2)
    assert names["first"].rates["E"] == len(names["first"].spikes["E"][0]) / 40.0  # of 400 neurons in 0.1 s
    assert names["sim"].time == 200.0 and list(names["counts"].index) == [0, 1, 2]
    assert names["loaded"].rates["E"] > 0.0


def test_classes_of_the_page_on_python_are_all_there_are() -> None:
    text = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    for given in (*RULES.values(), *distsim.distributions.Drawn.__args__, distsim.NormalClipped):
        assert f"`{given.__name__}(" in text, given
    for name in ("grid", "box", "ellipse", "sphere", "annulus", "listed", "Circular", "Doughnut", "Rectangular"):
        assert f"`{name}`" in text and hasattr(distsim.space, name), name
    assert all(f"`{name}`" in text or f"profiles.{name}(" in text for name in distsim.profiles.PROFILES)


def test_what_is_recorded_is_said_once(tmp_path: Path) -> None:
    net = distsim.Network()
    e, i = net.population("E", 20, "iaf_psc_exp"), net.population("I", 5, "iaf_psc_exp")
    first = net.project(e, i, distsim.AllToAll(), 1.0, 1.0)
    second = net.project(i, e, distsim.AllToAll(), -1.0, 1.0)
    assert [s.name for s in net.recorded_neurons()] == ["E", "I"]
    with pytest.raises(distsim.ConfigError, match="unknown population 'X'"):
        net.record_spikes(["E", "X"])
    net.record_spikes([e[:3], "I"])
    assert [s.size for s in net.recorded_neurons()] == [3, 5]
    with pytest.raises(distsim.ConfigError, match=r"record\.spikes: described twice"):
        net.record_spikes(e)
    none = distsim.Network()
    none.population("E", 20, "iaf_psc_exp")
    none.record_spikes([])
    assert none.recorded_neurons() == ()
    with pytest.raises(AttributeError):
        net.record_spikes = ["E"]  # type: ignore[method-assign, assignment]  # as if it were a list
    for wrong in (7, True, distsim.Network().project):
        with pytest.raises(distsim.ConfigError, match=r"record\.connections: found .*0 to 1"):
            net.record_connections(wrong)  # type: ignore[arg-type]
    net.record_connections([second, 0])
    assert net.connection_recording == (1, 0) and net.projections[0] is first
    with pytest.raises(distsim.ConfigError, match=r"record\.connections: described twice"):
        net.record_connections()
    distsim.simulate(net, 1.0, out=tmp_path / "out")
    assert (tmp_path / "out" / "edges.h5").is_file()
