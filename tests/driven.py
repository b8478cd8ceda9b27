"""A network that mixes eleven neuron models and has every device and every generator, for tests of sameness."""

from __future__ import annotations

from typing import Any

from distsim import AllToAll, Experiment, FixedIndegree, Network, Normal, RunSettings, Uniform
from distsim.devices import DEVICES
from distsim.models import MODELS

GENERATORS: dict[str, dict[str, Any]] = {
    "poisson_generator": {"rate": 400.0, "start": 2.0, "stop": 30.0, "origin": 1.0},
    "inhomogeneous_poisson_generator": {"rate_times": [1.0, 10.0, 25.0], "rate_values": [900.0, 0.0, 3000.0]},
    "sinusoidal_poisson_generator": {"rate": 300.0, "amplitude": 500.0, "frequency": 80.0, "phase": 45.0},
    "gamma_sup_generator": {"rate": 40.0, "gamma_shape": 3, "n_proc": 7},
    "mip_generator": {"rate": 2000.0, "p_copy": 0.2},
    "pulsepacket_generator": {"pulse_times": [5.0, 20.0], "activity": 12, "sdev": 3.0},
    "spike_generator": {
        "spike_times": [3.0, 3.0, 9.0],
        "spike_weights": [0.3, 2.5, 1.7],
        "spike_multiplicities": [2, 1, 5],
        "origin": 2.0,
    },
}

# One of each other family, busy, and what a spike is worth to it in its unit (pA, nS, mV).
OTHERS: dict[str, tuple[dict[str, Any], float]] = {
    "iaf_psc_alpha": ({"I_e": Uniform(350.0, 600.0)}, 90.0),
    "iaf_cond_exp": ({"I_e": 320.0}, 5.0),
    "izhikevich": ({"I_e": 10.0, "d": Uniform(2.0, 8.0)}, 2.0),
    "hh_psc_alpha": ({"I_e": Uniform(600.0, 900.0)}, 90.0),
    "glif_psc": ({"tau_syn": [2.0, 4.0], "spike_dependent_threshold": True}, 90.0),
    "gif_psc_exp": ({"I_e": 99.0, "tau_sfa": [20.0, 90.0], "q_sfa": [1.0, 2.0]}, 40.0),
    "pp_psc_delta": ({"c_2": 100.0, "tau_sfa": [34.0], "q_sfa": [7.0]}, 1.0),
}


def driven(precision: Any = "single", duration: float = 40.0, partition: Any = "round_robin") -> Experiment:
    """Every device onto wholes, slices, lists and fractions of eleven recurrent models; every generator as a source."""
    network = Network("driven")
    start = {"V_m": Uniform(-70.0, -56.0)}
    e = network.population("E", 61, "iaf_psc_exp", initial=start, t_ref=1.0)
    a = network.population("A", 23, "aeif_cond_exp", I_e=600.0)
    m = network.population("M", 17, "iaf_psc_exp_multisynapse", tau_syn=[2.0, 0.5])
    p = network.population("P", 19, "parrot_neuron")
    others = [network.population(model, 13, model, params=params) for model, (params, _) in OTHERS.items()]
    for name, params in GENERATORS.items():
        g = network.population(f"G_{name}", 5, name, params=params)
        network.project(g, [e, p], FixedIndegree(2), Uniform(50.0, 200.0), Uniform(0.1, 2.0))
        network.project(g, m, AllToAll(), 20.0, 0.7, receptor="2")
    some = network.select(e, slice=[5, 50, 3])
    few = network.select(a, neurons=[0, 7, 22])
    third = network.select(m, fraction=0.33)
    network.poisson([e, p], 3000.0, 87.8)
    network.input("poisson_generator", some, rate=9000.0, weight=60.0, start=5.0, stop=21.0)
    network.input("poisson_generator", [few, network.select(e, slice=[0, 9])], rate=Uniform(0.0, 90000.0), weight=3.0)
    network.input("poisson_generator", third, rate=800.0, weight=40.0, receptor="1", start=0.7)
    network.input(
        "inhomogeneous_poisson_generator", e, rate_times=[0.0, 10.0, 12.0], rate_values=[100.0, 3e6, 20.0], weight=1.0
    )
    network.input("sinusoidal_poisson_generator", a, rate=5000.0, amplitude=9000.0, frequency=125.0, weight=-2.0)
    network.input("dc_generator", [some, few], amplitude=Normal(200.0, 100.0), start=3.0)
    network.input("ac_generator", e, amplitude=100.0, offset=300.0, frequency=60.0, phase=30.0, weight=2.0)
    network.input(
        "step_current_generator", m, amplitude_times=[0.1, 4.0, 17.3], amplitude_values=[300.0, -50.0, 900.0], stop=35.0
    )
    network.input("noise_generator", [third, a], mean=50.0, std=300.0, std_mod=200.0, frequency=40.0, dt=0.3)
    network.input("noise_generator", [e, a], std=200.0, shared=True, start=8.0)
    network.project(e, [e, a], FixedIndegree(5), Uniform(0.1, 3.0), 1.3)
    network.project(p, e, FixedIndegree(3), 30.0, 0.4)
    for target, generator in zip(others, GENERATORS, strict=True):  # each hears every kind of neuron
        size, port = OTHERS[target.name][1], "2" if target.name == "glif_psc" else None
        network.project([e, a, m, p, *others], target, FixedIndegree(9), size, Uniform(0.1, 3.0), receptor=port)
        network.project(network[f"G_{generator}"], target, AllToAll(), size, 0.9, receptor=port)
        network.record_states(target, ["V_m"], interval=0.6, neurons=[0, 12])
    network.project(others, [e, a], FixedIndegree(4), Uniform(-9.0, -0.5), Uniform(0.3, 2.0))
    network.project(others, p, FixedIndegree(1), 1.0, 1.1)
    network.input("dc_generator", others, amplitude=Uniform(0.0, 90.0), start=1.0, stop=33.0)
    network.record_states(e, ["V_m", "I_syn_ex"], interval=0.4)
    network.record_states(a, ["V_m", "w"], interval=0.5)
    network.record_states(m, ["V_m"], interval=0.1)
    network.record_spikes(tuple(x.name for x in network.populations))
    assert {i.device for i in network.inputs} == set(DEVICES)
    assert len({p.model.name for p in network.populations if p.model.is_neuron}) == 11
    assert set(GENERATORS) == {n for n, x in MODELS.items() if not getattr(x, "example", x).is_neuron}
    return Experiment(network, RunSettings(duration=duration, precision=precision, partition=partition, seed=3))
