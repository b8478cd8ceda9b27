"""The linear models against NEST 3.10, sample by sample, and against matrix exponentials without our formulas."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import nest_data
import numpy as np
import pytest
import support
from linear_models import DT, UNIT, replica, system

from distsim import Experiment, Network, OneToOne, RunSettings
from distsim.models import MODELS, Family

ENTRIES = (
    "iaf_psc_alpha", "iaf_psc_alpha_multisynapse", "iaf_psc_exp_multisynapse", "iaf_psc_delta",
    "iaf_psc_delta_refractory_input", "mat2_psc_exp", "amat2_psc_exp", "iaf_tum_2000",
)  # fmt: skip
PROTOCOLS = [(entry, which) for entry in ENTRIES for which in ("const_current", "single_epsp", "train")]


def check_nest_spikes(expected: nest_data.Protocol, found: support.Outcome, entry: str) -> None:
    """NEST's spikes. Its recorder takes the number that a spike of iaf_tum_2000 carries for an offset of its time."""
    if entry != "iaf_tum_2000":
        return nest_data.check_spikes(found, expected.spikes)
    names = ["x", "u", *expected.states]
    states = dict(zip(names, found.states["neuron"][:, 0].T, strict=True))
    sent = {}
    for step, _ in found.spikes.tolist():
        x, u = float(states["x"][step - 1]), float(states["u"][step - 1])
        sent[step] = u * x / (1.0 - u)  # x after the spike is x before it, less this
    ours = [round(step * DT - sent[step], 1) for step, gid in found.spikes.tolist() if gid == expected.gid]
    assert ours == [time for time, _ in expected.spikes]
    return None


def run_of(entry: str, which: str, precision: str) -> tuple[nest_data.Protocol, support.Outcome]:
    expected = nest_data.protocol(entry, which, precision)
    if entry == "iaf_tum_2000":
        recording = expected.experiment.network.state_recordings[0]
        network = expected.experiment.network
        network.state_recordings.clear()
        network.record_states(recording.population, ["x", "u", *expected.states], interval=recording.interval)
    return expected, support.run(expected.experiment)


@pytest.fixture(autouse=True)
def _compiled_fast() -> Iterator[None]:
    with support.optimised("-O0"):
        yield


@pytest.mark.parametrize(("entry", "which"), PROTOCOLS)
def test_double_precision_is_nest(entry: str, which: str) -> None:
    """Order of update, threshold, reset, refractoriness, clamping and input, every propagator; see test_nest_spikes.py
    for what rounding leaves of 1e-9."""
    expected, found = run_of(entry, which, "double")
    check_nest_spikes(expected, found, entry)
    if entry == "iaf_tum_2000":
        found.states["neuron"] = found.states["neuron"][:, :, 2:]
    nest_data.check_states(expected, found, 1e-9)


def inputs_of(entry: str, which: str) -> dict[int, list[tuple[str, float]]]:
    run = nest_data.reference_data("single_neuron")["models"][entry][which]
    listed = run.get("inputs_[t,weight,delay,receptor]", [])
    if which == "single_epsp":
        listed = [[run["t_spike"], run["weight"], run["delay"], run.get("receptor_type", 0)]]
    found: dict[int, list[tuple[str, float]]] = {}
    for time, weight, delay, receptor in listed:
        port = str(receptor) if receptor else "excitatory" if weight > 0 else "inhibitory"
        found.setdefault(round((time + delay) / DT), []).append(("spikes" if "delta" in entry else port, weight))
    return found


@pytest.mark.parametrize(("entry", "which"), [x for x in PROTOCOLS if x[1] != "const_current"])
def test_single_precision_is_within_its_rounding(entry: str, which: str) -> None:
    """The float32 kernel and 16-bit weights, against the matrix exponential: within what rounding can add up to."""
    expected, found = run_of(entry, which, "single")
    population = expected.experiment.network["neuron"]
    params = dict(population.params)
    if population.model.form is not None:
        params |= dict(population.model.form.flags)
    s = system(population.model.name, params)
    inputs = inputs_of(entry, which)
    largest = max((abs(w) for each in inputs.values() for _, w in each), default=1.0)
    spikes = {step for step, gid in found.spikes.tolist() if gid == expected.gid}
    steps = len(expected.times)
    quantum = 2.0 ** (math.ceil(math.log2(largest)) - 15)
    states, bounds, _ = replica(s, inputs, steps, spikes, quantum)
    recorded = found.states["neuron"][:steps, 0].astype(np.float64)
    for column, name in enumerate(n for r in expected.experiment.network.state_recordings for n in r.variables):
        if name in ("x", "u"):
            continue
        if name == "I_syn":
            parts = [k for k, other in enumerate(s.names) if other.startswith("I_syn_")]
            exact, bound = (
                states[:, parts].sum(axis=1),
                (bounds[:, parts] + 4 * UNIT * np.abs(states[:, parts])).sum(axis=1),
            )
        elif name == "V_th":
            exact = states @ s.threshold + s.theta + params["E_L"]
            bound = bounds @ s.threshold + 4 * UNIT * (np.abs(states) @ s.threshold + abs(s.theta + params["E_L"]))
        else:
            offset = params["E_L"] if name == "V_m" else 0.0
            exact = states[:, s.names.index(name)] + offset
            bound = bounds[:, s.names.index(name)] + UNIT * np.abs(exact)
        assert bound.max() < 0.1  # not vacuous: mV and pA of tens and thousands
        worst = np.abs(recorded[:, column] - exact) - bound
        assert np.all(worst <= 0.0), f"{name} at {DT * (1 + worst.argmax()):.1f} ms: {worst.max():g} beyond its bound"


def driven(model: str, params: Mapping[str, Any], names: list[str], I_e: float = 300.0) -> None:
    """A neuron under random input and current against its replica, which finds the spikes by itself."""
    random = np.random.default_rng(3)
    network = Network("driven")
    neuron = network.population("neuron", 1, model, params={**params, "I_e": I_e})
    inputs: dict[int, list[tuple[str, float]]] = {}
    for port in ("excitatory", "inhibitory"):
        times = sorted(int(t) for t in random.integers(5, 2900, 40))
        source = network.population(f"to {port}", 1, "spike_generator", spike_times=[t / 10 for t in times])
        weight = float(random.uniform(300.0, 600.0)) * (-1.0 if port == "inhibitory" else 1.0)
        weight = round(weight)  # exact in quanta
        network.project(source, neuron, OneToOne(), weight, 0.5, receptor=port)
        for t in times:
            inputs.setdefault(t + 5, []).append((port, weight))
    network.record_states(neuron, names, interval=DT)
    found = support.run(Experiment(network, RunSettings(300.0, precision="double")))
    s = system(model, neuron.params)
    states, _, spikes = replica(s, inputs, 3000)
    assert [step for step, gid in found.spikes.tolist() if gid == 0] == spikes and len(spikes) > 1
    offset = np.array([neuron.params["E_L"] if name == "V_m" else 0.0 for name in names])
    exact = states[:, [s.names.index(name) for name in names]] + offset
    assert np.abs(found.states["neuron"][:, 0] - exact).max() < 1e-8  # expm itself: 1e-13 a step, remembered 1000 steps


@pytest.mark.parametrize(
    "taus",
    [
        {}, {"tau_v": 10.0}, {"tau_syn_ex": 10.0}, {"tau_syn_in": 5.0}, {"tau_syn_ex": 10.0, "tau_v": 10.0},
        {"tau_v": 10.000001}, {"tau_v": 0.05, "tau_syn_in": 0.02},
    ],
)  # fmt: skip
def test_amat2_follows_the_potential(taus: dict[str, float]) -> None:
    """NEST's data have beta = 0; and where NEST refuses equal time constants, the limits hold."""
    names = ["V_m", "V_th_v", "V_th_alpha_1", "I_syn_ex", "I_syn_in"]
    driven("amat2_psc_exp", {"beta": -0.3, "alpha_2": 1.0, **taus}, names)


@pytest.mark.parametrize("tau", [10.0, 9.9999999, 0.01])
def test_any_time_constants(tau: float) -> None:
    names = ["V_m", "I_syn_ex", "I_syn_in"]
    driven("iaf_psc_alpha", {"tau_syn_ex": tau, "tau_m": 10.0}, names, 1000.0)
    driven("mat2_psc_exp", {"tau_syn_in": tau, "tau_m": 10.0}, names, 1000.0)


@pytest.mark.parametrize(
    ("model", "time", "params"),
    [("iaf_psc_alpha", 2.04, {}), ("mat2_psc_exp", 2.0006, {"alpha_1": 0.0, "alpha_2": 0.0})],
)
def test_refractory_time_is_rounded_up(model: str, time: float, params: dict[str, float]) -> None:
    """NEST's Time: to microseconds, then up to whole steps."""

    def digest(t_ref: float) -> str:
        network = Network("n")
        network.population("n", 1, model, I_e=900.0, t_ref=t_ref, params=params)
        return support.run(Experiment(network, RunSettings(200.0))).digest

    assert digest(time) == digest(2.1) != digest(2.0)
    assert digest(2.0004) == digest(2.0)


def test_lower_bound() -> None:
    """V_min holds V_m, and what held it is forgotten."""
    network = Network("n")
    for model in ("iaf_psc_alpha", "iaf_psc_delta", "iaf_psc_alpha_multisynapse"):
        n = network.population(model, 2, model, I_e=[-500.0, 100.0], V_min=-75.0)
        network.record_states(n, ["V_m"], interval=1.0)
    found = support.run(Experiment(network, RunSettings(100.0, precision="double")))
    for states in found.states.values():
        assert states[:, 0].min() == states[-1, 0] == -75.0 and states[:, 1].min() > -70.0


def test_every_linear_model_is_here() -> None:
    """The list of the issue, and what each records in NEST."""
    for name in (*ENTRIES, "iaf_psc_exp", "ignore_and_fire", "parrot_neuron"):
        model = MODELS[name.removesuffix("_refractory_input")]
        model = model.example if isinstance(model, Family) else model
        data = nest_data.reference_data("single_neuron")["models"].get(name, {}).get("single_epsp", {}).get("trace", {})
        assert {n for n in data if n not in ("t0", "dt", "n")} <= set(model.recordables)
