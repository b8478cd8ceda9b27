"""izhikevich, hh_*, glif_* and gif_* against NEST 3.10 and against exact solutions."""

from __future__ import annotations

import functools
from typing import Any

import nest_data
import numpy as np
import numpy.typing as npt
import pytest
import support
from exact_nonlinear import Solution, hodgkin_huxley, silent_membrane

from distsim import ConfigError, Experiment, Explicit, Network, RunSettings

PROTOCOLS = ("const_current", "single_epsp", "train")
VARIANTS = ("LIF", "LIF_R", "LIF_ASC", "LIF_R_ASC", "LIF_R_ASC_A")
IZHIKEVICH = ("izhikevich", "izhikevich_fs", "izhikevich_published_numerics")
GLIF_PSC = tuple(f"glif_psc_{v}" for v in VARIANTS)
GLIF_COND = tuple(f"glif_cond_{v}" for v in VARIANTS)
HODGKIN_HUXLEY = ("hh_psc_alpha", "hh_cond_exp_traub")


@functools.cache
def both(entry: str, which: str, precision: Any) -> tuple[nest_data.Protocol, support.Outcome]:
    expected = nest_data.protocol(entry, which, precision)
    with support.optimised("-O0"):
        return expected, support.run(expected.experiment)


def recorded(entry: str, which: str, precision: Any, name: str = "V_m") -> npt.NDArray[np.float64]:
    expected, found = both(entry, which, precision)
    column = list(expected.states).index(name)
    return found.states["neuron"][: len(expected.times), 0, column].astype(np.float64)


@pytest.mark.parametrize("which", PROTOCOLS)
@pytest.mark.parametrize("entry", [*IZHIKEVICH, *GLIF_PSC])
def test_models_without_integration_error(entry: str, which: str) -> None:
    """Every spike and every recordable to 1e-9: order of update, threshold, reset, refractoriness and input."""
    expected, found = both(entry, which, "double")
    nest_data.check_spikes(found, expected.spikes)
    nest_data.check_states(expected, found, 1e-9)


@pytest.mark.parametrize("which", PROTOCOLS)
@pytest.mark.parametrize("entry", GLIF_COND)
def test_conductances_of_glif(entry: str, which: str) -> None:
    """Every spike, and states within NEST's own tolerance of 1e-3 (mV, nS) a step."""
    expected, found = both(entry, which, "double")
    nest_data.check_spikes(found, expected.spikes)
    nest_data.check_states(expected, found, 1e-3)


@functools.cache
def solved(entry: str, which: str, steps: int) -> Solution:
    return hodgkin_huxley(nest_data.protocol(entry, which), steps)


# Steps solved by SciPy (3 ms each): a spike or several within them. What Model.accuracy declares, mV: double, single.
SOLVED = {("hh_psc_alpha", "const_current"): 500, ("hh_psc_alpha", "train"): 250,
          ("hh_cond_exp_traub", "single_epsp"): 250, ("hh_cond_exp_traub", "train"): 300}  # fmt: skip
DECLARED = {"hh_psc_alpha": (0.0004, 0.08), "hh_cond_exp_traub": (0.04, 0.5)}


@pytest.mark.parametrize(("entry", "which"), SOLVED)
def test_hodgkin_huxley_against_an_exact_solution(entry: str, which: str) -> None:
    """Within what the model declares, and nearer to the truth than NEST."""
    steps = SOLVED[entry, which]
    truth = solved(entry, which, steps)
    expected, found = both(entry, which, "double")
    assert [t for t, gid in found.trains() if gid == expected.gid and t < steps / 10 + 0.05] == truth.spikes
    for column, name in enumerate(expected.states):
        ours = np.abs(found.states["neuron"][:steps, 0, column] - truth.states[name])
        nests = np.abs(expected.states[name][:steps] - truth.states[name])
        assert ours.max() <= nests.max() + 1e-9 or ours.max() < 1e-3 * np.abs(truth.states[name]).max(), name
    for precision, bound in zip(("double", "single"), DECLARED[entry], strict=True):
        assert np.abs(recorded(entry, which, precision)[:steps] - truth.states["V_m"]).max() < bound


@pytest.mark.parametrize("which", PROTOCOLS)
@pytest.mark.parametrize("entry", HODGKIN_HUXLEY)
def test_hodgkin_huxley_spikes_as_in_nest(entry: str, which: str) -> None:
    """As many spikes, each within a step: NEST's tolerance moves one of hh_cond_exp_traub."""
    for precision in ("double", "single"):
        expected, found = both(entry, which, precision)
        ours = [t for t, gid in found.trains() if gid == expected.gid]
        assert len(ours) == len(expected.spikes)
        assert all(abs(t - u) < 0.15 for t, (u, _) in zip(ours, expected.spikes, strict=True))
        if precision == "double" and (entry, which) != ("hh_cond_exp_traub", "const_current"):
            nest_data.check_spikes(found, expected.spikes)


@pytest.mark.parametrize(("model", "bounds"), [("glif_cond", (3e-5, 1e-3)), ("gif_cond_exp", (2e-7, 1e-3))])
def test_conductances_against_an_exact_solution(model: str, bounds: tuple[float, float]) -> None:
    """A membrane that never spikes under 60 inputs: the declared accuracy is met, and not by much more than tenfold."""
    random = np.random.default_rng(1)
    port, weight = random.integers(0, 2, 60), random.uniform(5.0, 30.0, 60)
    step = random.integers(10, 1400, 60)
    alpha = model == "glif_cond"
    taus = [(0.2, 0.0), (2.0, -85.0)] if alpha else [(2.0, 0.0), (2.0, -85.0)]
    arrivals: dict[int, list[tuple[int, float]]] = {}
    for s, p, w in zip(step.tolist(), port.tolist(), weight.tolist(), strict=True):
        arrivals.setdefault(s, []).append((p, w))
    leak = (9.43, -78.85, 58.72) if alpha else (4.0, -70.0, 80.0)
    truth = silent_membrane(arrivals, 1499, 0.1, leak, 100.0, taus, alpha)
    for precision, bound in zip(("double", "single"), bounds, strict=True):
        network = Network()
        neuron = network.population("n", 1, model, **({"V_th": 1000.0} if alpha else {"lambda_0": 0.0}))
        inputs = network.population("i", 60, "spike_generator", spike_times=[[s / 10 - 0.1] for s in step.tolist()])
        sign = np.ones(60) if alpha else 1.0 - 2.0 * port
        edges = (tuple(range(60)), (0,) * 60, tuple((weight * sign).tolist()), (0.1,) * 60)
        network.project(
            inputs, neuron, Explicit(*edges, *([tuple(str(p + 1) for p in port.tolist())] if alpha else []))
        )
        network.input("dc_generator", neuron, amplitude=100.0)
        network.record_states(neuron, ["V_m"], interval=0.1)
        found = support.run(Experiment(network, RunSettings(150.0, precision=precision)))
        error = np.abs(found.states["n"][:1499, 0, 0].astype(np.float64) - truth).max()
        assert bound / 20 < error < bound


def refused(model: str, match: str, **params: Any) -> None:
    with pytest.raises(ConfigError, match=match):
        Network().population("n", 2, model, params=params)


def test_bad_parameters() -> None:
    """Every bound of a declaration, and every combination of switches that is no variant, is refused by name."""
    for model in ("glif_psc", "glif_cond", "glif_psc_double_alpha"):
        refused(model, "adapting_threshold true.*LIF_R_ASC_A", adapting_threshold=True)
        refused(model, "LIF_R_ASC_A", adapting_threshold=True, after_spike_currents=True)
        refused(model, "LIF_R_ASC_A", adapting_threshold=True, spike_dependent_threshold=True)
        refused(model, "n.params.V_reset", V_reset=-50.0)
        refused(model, r"asc_r_1.*<= 1", asc_r=[1.5, 1.0])
        refused(model, "asc_amps.*as many as asc_decay", asc_decay=[0.1], asc_amps=[1.0, 2.0])
        refused(model, r"voltage_reset_fraction.*<= 1", voltage_reset_fraction=1.1)
        refused(model, "t_ref.*> 0", t_ref=0.0)
    refused("glif_cond", "E_rev.*as many", tau_syn=[1.0], E_rev=[0.0, 0.0])
    refused("izhikevich", "consistent_integration.*true or false", consistent_integration=1)
    refused("hh_psc_alpha", "g_Na.*>= 0", g_Na=-1.0)
    refused("hh_cond_exp_traub", "tau_syn_ex.*> 0", tau_syn_ex=0.0)
    refused("gif_psc_exp", "q_sfa.*as many", tau_sfa=[1.0], q_sfa=[])
    refused("gif_cond_exp", "Delta_V.*> 0", Delta_V=0.0)
    refused("gif_psc_exp", "lambda_0.*>= 0", lambda_0=-1.0)
    refused("pp_psc_delta", "dead_time_shape.*whole", dead_time_shape=1.5)
    refused("pp_psc_delta", "dead_time.*>= 0", dead_time=-1.0)
    refused("pp_psc_delta", "repeated", repeated=True)


def test_double_alpha_is_the_sum_of_two_ports() -> None:
    """glif_psc_double_alpha as glif_psc with a port for the fast and one for the slow part."""
    found = []
    for model, lists in (
        ("glif_psc", {"tau_syn": [2.0, 5.0]}),
        ("glif_psc_double_alpha", {"tau_syn_fast": [2.0], "tau_syn_slow": [5.0], "amp_slow": [0.5]}),
    ):
        network = Network()
        switches = {"spike_dependent_threshold": True, "after_spike_currents": True, "adapting_threshold": True}
        neuron = network.population("n", 1, model, params={**lists, **switches})
        inputs = network.population("i", 1, "spike_generator", spike_times=[[5.0, 9.0, 14.3, 20.1, 20.5, 33.0]])
        network.project(inputs, neuron, Explicit((0,), (0,), (500.0,), (1.0,), ("1",)))
        if model == "glif_psc":
            network.project(inputs, neuron, Explicit((0,), (0,), (250.0,), (1.0,), ("2",)))
        network.record_states(neuron, ["V_m", "I_syn", "threshold", "ASCurrents_sum"], interval=0.1)
        found.append(support.run(Experiment(network, RunSettings(60.0, precision="double"))))
    assert len(found[0].spikes) >= 5
    assert np.array_equal(found[0].spikes[:, 0], found[1].spikes[:, 0])
    assert np.abs(found[0].states["n"] - found[1].states["n"]).max() < 1e-9


def test_synaptic_response_of_gif_psc_exp() -> None:
    """As NEST: what arrives in a step decays from that step's start on, unlike in iaf_psc_exp."""
    network = Network()
    neuron = network.population("n", 1, "gif_psc_exp", lambda_0=0.0, tau_syn_in=5.0)
    inputs = network.population("i", 1, "spike_generator", spike_times=[[1.0]])
    network.project(inputs, neuron, Explicit((0, 0), (0, 0), (40.0, -30.0), (1.0, 2.0)))
    network.record_states(neuron, ["V_m"], interval=0.1)
    found = support.run(Experiment(network, RunSettings(30.0, precision="double"))).states["n"][:, 0, 0]
    times = 0.1 * np.arange(1, len(found) + 1)
    expected = np.full(len(found), -70.0)
    for arrival, weight, tau in ((2.0, 40.0, 2.0), (3.0, -30.0, 5.0)):
        t = np.maximum(times - arrival + 0.1, 0.0)
        expected += weight / (4.0 - 80.0 / tau) * (np.exp(-t / tau) - np.exp(-t / 20.0))
    assert np.abs(found - expected).max() < 1e-9
