"""Names of NEST's that are none where they were given, and what stands in their place here: the end of an error."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping

CURRENTS = ("dc_generator", "ac_generator", "step_current_generator", "noise_generator")
GENERATORS = ("spike_generator", "gamma_sup_generator", "mip_generator", "pulsepacket_generator")
RECORDERS = ("spike_recorder", "spike_detector", "multimeter", "voltmeter")


# Words of NEST, PyNN and BMTK for keys of a file, by the first part of its path.
KEYS: dict[str, dict[str, str]] = {
    "run": {
        **dict.fromkeys(("tstop", "t_stop", "simtime", "sim_time", "t_sim", "time"), "duration"),
        **dict.fromkeys(("presim_time", "t_presim"), "warmup"),
        **dict.fromkeys(("resolution", "timestep", "time_step"), "dt"),
        **dict.fromkeys(("rng_seed", "grng_seed", "rng_seeds"), "seed"),
    },
    "populations": {
        **dict.fromkeys(("n", "N", "count", "number"), "size"),
        **dict.fromkeys(("parameters", "model_params", "neuron_params", "cellparams"), "params"),
        **dict.fromkeys(("neuron_model", "cell_type", "celltype"), "model"),
    },
    "projections": {
        **dict.fromkeys(("pre", "presynaptic"), "source"),
        **dict.fromkeys(("post", "postsynaptic"), "target"),
        **dict.fromkeys(("conn_spec", "connector", "connectivity"), "rule"),
        "receptor_type": "receptor",
    },
    "record": {"record_from": "variables", "voltage": "states", "V_m": "states"},
}
THREADS = ("threads", "n_threads", "local_num_threads", "total_num_virtual_procs", "ranks", "n_ranks")


def instead_of_key(section: str, key: str, valid: Collection[str]) -> str:
    """What to do about an unknown `key` of a section of a file, where `valid` ones may stand; "" if unknown."""
    if section == "run" and key in THREADS and "seed" in valid:
        return "ranks are started from outside: launch/run -n RANKS CONFIG"
    if section == "projections" and key in ("synapse_model", "syn_spec") and "rule" in valid:
        return "synapses are static: weight, delay and receptor are all that they have"
    word = KEYS.get(section, {}).get(key)
    return f"it is called {word!r} here" if word in valid else ""


def instead_of_model(name: str) -> str:
    """What to do where `name` was given as a population's model and is none; "" where nothing is known."""
    if name in CURRENTS:
        return f"it is an input: net.input({name!r}, targets), in a file inputs: {{NAME: {{type: {name}}}}}"
    if name in RECORDERS:
        return (
            "recorders are not connected: net.record_spikes and net.record_states, in a file the section record, "
            "say what is recorded"
        )
    return ""


def instead_of_input(name: str) -> str:
    """What to do where `name` was given as the type of an input and is none; "" where nothing is known."""
    if name in GENERATORS:
        return (
            f"it is a population: net.population(NAME, size, {name!r}), in a file populations: {{NAME: "
            f"{{model: {name}}}}}, connected to its targets by a projection"
        )
    return instead_of_model(name) if name in RECORDERS else ""


def rule_meant(found: object, rules: Mapping[str, type]) -> str:
    """How the rule is written in Python that was given as a class, by name, or as a mapping; "" where it is none.

    A mapping is NEST's {"rule": "fixed_indegree", "indegree": 10} or a file's {"fixed_indegree": 10}.
    """
    if isinstance(found, Mapping):
        found = found.get("rule", next(iter(found), ""))
    rule = rules.get(found) if isinstance(found, str) else found
    if not isinstance(rule, type) or rule not in rules.values():
        return ""
    arguments = inspect.signature(rule).parameters.values()
    return f"{rule.__name__}({', '.join(f'{p.name}=…' for p in arguments if p.default is p.empty)})"
