"""Currents and spike trains from devices: exactly what their definition says, on the neurons that were chosen."""

from __future__ import annotations

import math
from typing import Any

import nest_data
import numpy as np
import numpy.typing as npt
import pytest
import support
from digests import philox
from driven import driven
from scipy import special

from distsim import ConfigError, Experiment, Network, RunSettings, Uniform, simulate
from distsim.config import load_experiment
from distsim.config.describe import described_document
from distsim.config.yaml_writer import write_document
from distsim.streams import Stream

Floats = npt.NDArray[np.float64]
STEPS = 400
DT = 0.1


def potentials(network: Network, name: str = "A", **settings: Any) -> Floats:
    """V_m of every neuron after each step, float64[steps, neurons]."""
    network.record_states(name, ["V_m"], interval=DT)
    found = support.run(Experiment(network, RunSettings(duration=STEPS * DT, precision="double", **settings)))
    return found.states[name][:, :, 0]


def passive(size: int = 3) -> tuple[Network, Any]:
    """Neurons that do not reach their threshold."""
    network = Network()
    return network, network.population("A", size, "iaf_psc_exp", V_th=1e6)


def propagated(current: Floats) -> Floats:
    """V_m under a current that is constant in each step: the definition, in NumPy (tau_m 10 ms, C_m 250 pF)."""
    decay = math.exp(-DT / 10.0)
    v, result = 0.0, []
    for x in current:
        v = v * decay + x * 10.0 / 250.0 * (1.0 - decay)
        result.append(v - 70.0)
    return np.array(result)


def given(at: Any, start: float = 0.0, stop: float = 1e9) -> Floats:
    """The current in steps 1 … STEPS of one that is `at(time)`: that of the grid time t acts in the step after t."""
    current = np.zeros(STEPS)
    for step in range(1, STEPS + 1):
        t = step - 1  # in steps
        if round(start / DT) < t <= round(stop / DT):
            current[step - 1] = at((t - 1) * DT)
    return current


def test_direct_current_as_nest_gives_it() -> None:
    """NEST's glif_psc under a dc_generator with delay 1.0 ms is a leaky integrator until its first spike."""
    entry = nest_data.reference_data("single_neuron")["models"]["glif_psc_LIF"]
    run, p = entry["const_current"], entry["params"]
    before = round(run["spikes"][0] / DT) - 1
    network = Network()
    tau = p["C_m"] / p["g"] if isinstance(p["g"], float) and p["g"] else p["C_m"] / p["g_m"]
    n = network.population("A", 1, "iaf_psc_exp", E_L=p["E_L"], V_reset=p["E_L"], C_m=p["C_m"], tau_m=tau, V_th=1e6)
    network.input("dc_generator", n, amplitude=run["I"], start=1.0)
    expected = np.array(run["trace"]["V_m"])[:before]
    assert before > 20
    assert np.abs(potentials(network)[:before, 0] - expected).max() < 1e-9


WAVES: list[tuple[str, dict[str, Any], Any]] = [
    ("dc_generator", {"amplitude": 150.0}, lambda t: 150.0),
    (
        "ac_generator", {"amplitude": 80.0, "offset": 20.0, "frequency": 43.0, "phase": 70.0},
        lambda t: 20.0 + 80.0 * math.sin(2.0 * math.pi * 43.0 * t / 1000.0 + math.radians(70.0)),
    ),
    (
        "step_current_generator", {"amplitude_times": [1.0, 5.5, 20.0], "amplitude_values": [100.0, -30.0, 7.0]},
        lambda t: (0.0, 100.0, -30.0, 7.0)[sum(t >= x - 1e-9 for x in (1.0, 5.5, 20.0))],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "params", "wave"), WAVES, ids=[w[0] for w in WAVES])
@pytest.mark.parametrize(("start", "stop"), [(0.0, math.inf), (3.0, 12.3)])
def test_currents_follow_their_definition(kind: str, params: Any, wave: Any, start: float, stop: float) -> None:
    network, a = passive()
    network.input(kind, a, **params, start=start, stop=stop)
    expected = propagated(given(wave, start, min(stop, 1e9)))
    assert np.abs(potentials(network) - expected[:, None]).max() < 1e-11


def test_a_step_current_changes_in_the_step_after_its_time() -> None:
    """Like start: the amplitude of time 1.0 is given from 1.1 ms on and moves V_m from 1.2 ms on."""
    network, a = passive(1)
    network.input("step_current", a, amplitude_times=[1.0], amplitude_values=[100.0])
    first = int(np.flatnonzero(potentials(network)[:, 0] != -70.0)[0]) + 1
    assert first == 12


@pytest.mark.parametrize("shared", [False, True])
def test_noise_is_the_normal_of_its_counter(shared: bool) -> None:
    """Amplitudes from an independent Philox and SciPy's normal quantile; each lasts 0.5 ms."""
    network, a = passive(3)
    network.input("dc", a, amplitude=0.0)  # so that the noise has position 1
    network.input("noise_generator", a, mean=30.0, std=100.0, std_mod=60.0, frequency=25.0, phase=10.0, dt=0.5,
                  start=2.0, shared=shared)  # fmt: skip
    found = potentials(network, seed=9)
    for gid in range(3):
        current = np.zeros(STEPS)
        for step in range(22, STEPS + 1):
            number = (step - 22) // 5
            identity = 0 if shared else gid
            counter = np.array([[identity, 1 << 8, number, 0]], np.uint64)
            words = philox(counter, (9, int(Stream.NOISE)))[0].tolist()
            u = ((words[0] << 20 | words[1] >> 12) + 0.5) * 2.0**-52
            t = (20 + 5 * number) * DT
            spread = math.sqrt(1e4 + 3600.0 * math.sin(2.0 * math.pi * 25.0 * t / 1000.0 + math.radians(10.0)))
            current[step - 1] = 30.0 + spread * special.ndtri(u)
        assert np.abs(found[:, gid] - propagated(current)).max() < 1e-9


def test_currents_add_up_and_reach_the_chosen_only() -> None:
    network, a = passive(6)
    b = network.population("B", 4, "iaf_psc_exp", V_th=1e6)
    sides = [network.select(a, neurons=[1, 4]), network.select(b, slice=[1, 4, 2])]
    network.input("dc", sides, amplitude=[10.0, 20.0, 30.0, 40.0])
    network.input("dc", network.select(a, slice=[4, 6]), amplitude=5.0, weight=-3.0)
    network.record_states("B", ["V_m"], interval=DT)
    network.record_states("A", ["V_m"], interval=DT)
    found = support.run(Experiment(network, RunSettings(duration=STEPS * DT, precision="double")), 2).states
    for name, expected in (("A", [0.0, 10.0, 0.0, 0.0, 5.0, -15.0]), ("B", [0.0, 30.0, 0.0, 40.0])):
        for i, amplitude in enumerate(expected):
            current = given(lambda t, x=amplitude: x)
            assert np.abs(found[name][:, i, 0] - propagated(current)).max() < 1e-11, (name, i)


def test_a_current_of_one_neuron_leaves_the_others_bit_for_bit() -> None:
    network, a = passive(600)  # more than one chunk
    without, b = passive(600)
    network.input("dc", network.select(a, neurons=[599]), amplitude=100.0)
    with_input, plain = potentials(network), potentials(without)
    assert np.array_equal(with_input[:, :599], plain[:, :599])
    assert with_input[-1, 599] > plain[-1, 599] + 1.0
    assert b.size == 600


def trains(describe: Any, size: int = 300, duration: float = 40.0, ranks: int = 1) -> npt.NDArray[np.int64]:
    network = Network()
    p = network.population("P", size, "parrot_neuron")
    describe(network, p)
    return support.run(Experiment(network, RunSettings(duration=duration)), ranks).spikes


def test_constant_rates_of_a_part_are_those_of_the_whole() -> None:
    """The train of a neuron belongs to the neuron: fewer targets, or a window, remove spikes and add none."""
    whole = trains(lambda n, p: n.poisson(p, 2000.0, 1.0))
    part = trains(
        lambda n, p: n.input("poisson", n.select(p, slice=[7, 290, 4]), rate=2000.0, weight=1.0, start=3.0, stop=21.5)
    )
    chosen = np.isin(whole[:, 1], np.arange(7, 290, 4)) & (whole[:, 0] > 30) & (whole[:, 0] <= 215)
    assert len(part) > 1000
    assert np.array_equal(part, whole[chosen])


def test_trains_of_varying_rate_keep_to_their_times() -> None:
    found = trains(
        lambda n, p: n.input(
            "inhomogeneous_poisson_generator", n.select(p, neurons=[2, 299]), rate_times=[5.0, 10.0, 20.0],
            rate_values=[50000.0, 0.0, 50000.0], weight=1.0, stop=30.0,
        )
    )  # fmt: skip
    steps = set(found[:, 0].tolist())
    assert set(found[:, 1].tolist()) == {2, 299}
    assert steps == {*range(50, 100), *range(200, 301)}  # a mean of 5 in each of them, twice: none stays empty


def test_one_number_for_all_and_a_list_of_it_have_the_same_law_and_a_list_its_order() -> None:
    rates = [0.0, 200000.0, 0.0, 400000.0]
    found = trains(lambda n, p: n.input("poisson", p, rate=rates, weight=1.0), size=4)
    counts = np.bincount(found[:, 1], minlength=4)
    assert counts[0] == counts[2] == 0
    for gid, mean in ((1, 8000.0), (3, 16000.0)):
        assert abs(counts[gid] - mean) < 6.0 * math.sqrt(mean)


def test_silent_inputs_cost_nothing() -> None:
    """No input, no code: the kernel of a network without currents has none."""
    from distsim.build.partition import Layout
    from distsim.build.quanta import plan_planes
    from distsim.engine.groups import group_shape

    network, a = passive()
    network.poisson(a, 100.0, 1.0)
    experiment = Experiment(network, RunSettings(duration=1.0))
    (group,) = Layout.of(experiment, 0, 1).groups
    source = group_shape(network, group, plan_planes(network, "single"), 0.1).source()
    assert "add_currents" not in source and "add_spikes" not in source and "signals" not in source


@pytest.mark.parametrize("precision", ["single", "double"])
def test_the_same_on_any_ranks_and_partition(precision: Any) -> None:
    """Eleven models in one recurrent network under all devices; neurons that spike in every population."""
    with support.optimised("-O1"):
        reference = support.run(driven(precision))
        assert all(n > 0 for n in reference.counts), reference.counts
        scattered = {p.name: k % 3 for k, p in enumerate(driven().network.populations)}
        layouts: tuple[tuple[int, Any], ...] = (
            (2, "round_robin"), (3, "round_robin"), (2, "block"), (3, "block"), (2, "populations"), (3, "populations"),
            (3, scattered),
        )  # fmt: skip
        for ranks, partition in layouts:
            found = support.run(driven(precision, partition=partition), ranks, support.TINY)
            support.check_same(found, reference, f"{ranks} ranks, {partition}")


def test_described_in_python_it_can_be_written_and_read_again(tmp_path: Any) -> None:
    experiment = driven(duration=15.0)
    path = tmp_path / "again.yaml"
    write_document(described_document(experiment, tmp_path), path)
    again = load_experiment(path, []).experiment
    with support.optimised("-O1"):
        support.check_same(support.run(again), support.run(experiment))


WRONG: list[tuple[str, Any, dict[str, Any], str]] = [
    ("ac_generater", "A", {}, "inputs.type: unknown input 'ac_generater'; did you mean 'ac_generator'?"),
    ("dc_generator", "A", {"amplitud": 1.0}, "inputs.dc0.amplitud: unknown parameter of dc_generator; did you mean"),
    ("dc_generator", "P", {"amplitude": 1.0}, "inputs.dc0.targets: population 'P' (parrot_neuron) takes no current"),
    ("dc_generator", "A", {"amplitude": [1.0, 2.0]}, "found 'a list of 2'; allowed: one number for each of 3 targets"),
    ("dc_generator", "A", {"amplitude": math.nan}, "inputs.dc0.amplitude: found nan"),
    ("dc_generator", "A", {"receptor": "excitatory"}, "inputs.dc0.receptor: not allowed with dc_generator"),
    ("dc_generator", "A", {"start": -1.0}, "inputs.dc0.start: found -1.0; allowed: a time in ms >= 0"),
    ("dc_generator", "A", {"start": 5.0, "stop": 5.0}, "inputs.dc0.stop: found 5.0; allowed: a time after start"),
    ("dc_generator", "A", {"start": 0.15}, "inputs.dc0.start: found 0.15; allowed: a multiple of dt"),
    ("ac_generator", "A", {"frequency": Uniform(1.0, 2.0)}, "allowed: one number for all targets"),
    ("ac_generator", "A", {"frequency": -1.0}, "inputs.ac0.frequency: found -1.0; allowed: numbers >= 0"),
    ("poisson", "A", {"rate": -1.0, "weight": 1.0}, "inputs.poisson0.rate: found -1.0; allowed: numbers >= 0"),
    ("poisson", "A", {"rate": Uniform(-1.0, 1.0), "weight": 1.0}, "inputs.poisson0.rate: found -1.0"),
    ("poisson", "A", {"weight": 1.0}, "inputs.poisson0.rate: missing"),
    ("poisson", "A", {"rate": 1.0}, "inputs.poisson0.weight: missing"),
    ("poisson", "A", {"rate": 1.0, "weight": 1.0, "receptor": "x"}, "inputs.poisson0.receptor: unknown receptor 'x'"),
    ("poisson", [], {"rate": 1.0, "weight": 1.0}, "a list of populations is empty"),
    ("step_current", "A", {"amplitude_times": [1.0], "amplitude_values": []},
     "inputs.step_current0.amplitude_values: found '0 numbers'; allowed: one for each of the 1 amplitude_times"),
    ("step_current", "A", {"amplitude_times": [2.0, 1.0], "amplitude_values": [1.0, 2.0]}, "times in ascending order"),
    ("step_current", "A", {"amplitude_times": [2.0, 2.0], "amplitude_values": [1.0, 2.0]}, "times in ascending order"),
    ("step_current", "A", {"amplitude_times": [0.25], "amplitude_values": [1.0]},
     "inputs.step_current0.amplitude_times: found 0.25; allowed: times on the grid of dt = 0.1 ms"),
    ("step_current", "A", {"amplitude_times": [-1.0], "amplitude_values": [1.0]}, "times in ms >= 0"),
    ("step_current", "A", {"allow_offgrid_times": True}, "inputs.step_current0.allow_offgrid_times: not here; time"),
    ("noise_current", "A", {"std": 1.0, "std_mod": 2.0}, "inputs.noise_current0.std_mod: found 2.0; allowed: at most"),
    ("noise_current", "A", {"dt": 0.25}, "inputs.noise_current0.dt: found 0.25; allowed: a multiple of dt"),
    ("noise_current", "A", {"dt": 0.0}, "inputs.noise_current0.dt: found 0.0; allowed: numbers > 0"),
    ("noise_current", "A", {"shared": 1}, "inputs.noise_current0.shared: found 1; allowed: true or false"),
    ("inhomogeneous_poisson", "A", {"rate_times": [1.0], "rate_values": [-1.0], "weight": 1.0},
     "rate_values: found -1.0; allowed: numbers >= 0 (Hz)"),
    ("sinusoidal_poisson", "A", {"rate": 1.0, "individual_spike_trains": False, "weight": 1.0},
     "individual_spike_trains: not here; an input gives each target its own train"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "targets", "params", "message"), WRONG)
def test_wrong_inputs(kind: str, targets: Any, params: dict[str, Any], message: str) -> None:
    network, _ = passive()
    network.population("P", 2, "parrot_neuron")
    with pytest.raises(ConfigError) as caught:
        network.input(kind, targets, **params)
        simulate(network, 1.0)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("which", "message"),
    [({"neurons": [3]}, "found 3; allowed: local ids from 0 to 2"), ({"slice": [0, 4]}, "stop <= 3"),
     ({"fraction": 1.5}, "a share above 0 and up to 1")],
)  # fmt: skip
def test_selections_out_of_range(which: dict[str, Any], message: str) -> None:
    network, a = passive()
    with pytest.raises(ConfigError, match=message):
        network.input("dc", network.select(a, **which), amplitude=1.0)
