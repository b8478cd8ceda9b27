"""Names of NEST's that are none where they were given, and what stands in their place here: the end of an error."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

CURRENTS = ("dc_generator", "ac_generator", "step_current_generator", "noise_generator")
GENERATORS = ("spike_generator", "gamma_sup_generator", "mip_generator", "pulsepacket_generator")
RECORDERS = ("spike_recorder", "spike_detector", "multimeter", "voltmeter")


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
        return f"it is a population: net.population(NAME, size, {name!r}), connected to its targets by a projection"
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
