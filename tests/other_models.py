"""A network of every model of tests/reference/test_models_other.py, for the tests of sameness."""

from __future__ import annotations

from typing import Any

from distsim import Experiment, FixedIndegree, Network, RunSettings, Uniform

_ALL = {"spike_dependent_threshold": True, "after_spike_currents": True, "adapting_threshold": True}


def mixed(precision: Any = "single", duration: float = 40.0) -> Experiment:
    """Fourteen populations, connected at random, each busy; a state or probe of most is recorded."""
    network = Network("others")
    start = {"V_m": Uniform(-75.0, -56.0)}
    described: tuple[tuple[str, int, dict[str, Any], float, str | None], ...] = (
        ("izhikevich", 23, {"I_e": 10.0, "d": Uniform(2.0, 8.0)}, 2.0, None),
        ("izhikevich", 19, {"I_e": 10.0, "consistent_integration": False}, 2.0, None),
        ("hh_psc_alpha", 17, {"I_e": Uniform(500.0, 900.0)}, 100.0, None),
        ("hh_cond_exp_traub", 13, {"I_e": 300.0}, 1.0, None),
        ("glif_psc", 21, {"tau_syn": [2.0, 4.0], **_ALL}, 40.0, "2"),
        ("glif_psc", 11, {"asc_init": [1.0], "asc_decay": [0.1], "asc_amps": [-9.0], "asc_r": [0.5],
                          "after_spike_currents": True}, 40.0, "1"),
        ("glif_cond", 15, {"C_m": Uniform(50.0, 60.0), **_ALL}, 3.0, "1"),
        ("glif_psc_double_alpha", 12, {"spike_dependent_threshold": True}, 40.0, "1"),
        ("gif_psc_exp", 33, {"V_T_star": -50.0, "I_e": 99.0, "tau_sfa": [20.0, 90.0], "q_sfa": [1.0, 2.0]}, 20.0, None),
        ("gif_cond_exp", 31, {"V_T_star": -50.0, "I_e": 100.0, "tau_stc": [50.0], "q_stc": [5.0]}, 3.0, None),
        ("pp_psc_delta", 37, {"c_2": 100.0, "tau_sfa": [34.0], "q_sfa": [7.0]}, 1.0, None),
        ("pp_psc_delta", 21, {"c_2": 900.0, "c_3": 0.05, "dead_time": 0.0}, 1.0, None),
        ("pp_psc_delta", 21, {"c_2": 900.0, "c_3": 0.0, "dead_time_random": True, "dead_time_shape": 3}, 1.0, None),
    )  # fmt: skip
    populations = []
    for number, (model, size, params, weight, port) in enumerate(described):
        initial = {} if model == "pp_psc_delta" else start
        made = network.population(f"p{number}", size, model, params=params, initial=initial)
        populations.append((made, weight, port))
        if model.startswith("glif"):
            network.input("dc_generator", made, amplitude=350.0)
        network.record_states(made, list(made.model.recordables), interval=0.3)
    sources = [made for made, _, _ in populations]
    for target, weight, port in populations:
        network.project(sources, target, FixedIndegree(7), weight=weight, delay=Uniform(0.1, 2.0), receptor=port)
        if port is None:
            network.project(sources, target, FixedIndegree(3), weight=-weight, delay=0.4)
    return Experiment(network, RunSettings(duration, seed=21, precision=precision))
