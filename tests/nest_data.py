"""NEST's numbers (tests/reference/data): networks and protocols, its spikes and states, and the checks against them."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from support import Outcome

from distsim import Experiment, Explicit, Network, RunSettings
from distsim.models import MODELS, Family

REFERENCE_DATA = Path(__file__).parent / "reference" / "data"


def reference_data(name: str) -> Any:
    """A file of tests/reference/data."""
    return json.loads(gzip.decompress((REFERENCE_DATA / f"{name}.json.gz").read_bytes()))


def small_network(which: str, precision: Any = "double") -> tuple[Experiment, list[tuple[float, int]]]:
    """The 100 neurons of small_network.json, and NEST's spikes as (time, gid), sorted."""
    data = reference_data("small_network")
    meta, found = data["meta"], data["networks"][which]
    network = Network(which)
    neurons = network.population(
        "N", meta["N"], found["model"],
        params={**parameters_of(found["model"], found["params"]), "I_e": found["I_e"]},
        initial={"V_m": found["V_m0"]},
    )  # fmt: skip
    columns = [tuple(column) for column in zip(*found["connections"], strict=True)]
    network.project(neurons, neurons, Explicit(*columns))
    settings = RunSettings(duration=meta["T_ms"], dt=meta["resolution_ms"], precision=precision)
    return Experiment(network, settings), sorted((time, int(gid)) for gid, time in found["spikes"])


def check_spikes(found: Outcome, expected: list[tuple[float, int]]) -> None:
    """Every spike as NEST has it, and no other."""
    ours = found.trains()
    if ours != expected:
        differing = sorted(set(ours) ^ set(expected))
        raise AssertionError(
            f"{len(ours)} spikes, NEST has {len(expected)}; {len(differing)} differ, first (time, gid): {differing[:3]}"
        )


@dataclass(frozen=True)
class Protocol:
    """One neuron under one of NEST's three protocols: the experiment, NEST's spikes and states."""

    experiment: Experiment
    spikes: list[tuple[float, int]]
    times: npt.NDArray[np.float64]  # of the samples, ms
    states: dict[str, npt.NDArray[np.float64]]
    gid: int  # of the neuron
    weights: dict[int, list[float]]  # step in which they arrive → weights


def parameters_of(model: str, nest: dict[str, Any]) -> dict[str, Any]:
    """Those of NEST's parameters that the model has here; bounds that NEST leaves open stay out."""
    declared = MODELS[model]
    plain = declared.example if isinstance(declared, Family) else declared
    names = {p.name for p in plain.parameters}
    if isinstance(declared, Family):
        names |= {x.name for x in declared.lists} | {f.name for f in declared.flags}
    return {
        k: v for k, v in nest.items() if k in names and v != "-inf" and not (isinstance(v, float) and abs(v) > 1e300)
    }


def protocol(entry: str, which: str, precision: Any = "double") -> Protocol:
    """`const_current`, `single_epsp` or `train` of an entry of single_neuron.json."""
    found = reference_data("single_neuron")["models"][entry]
    run_of = found[which]
    network = Network(f"{entry}_{which}")
    if which == "const_current":
        inputs: list[Any] = []
    elif which == "single_epsp":
        inputs = [[run_of["t_spike"], run_of["weight"], run_of["delay"], run_of.get("receptor_type", 0)]]
    else:
        inputs = run_of["inputs_[t,weight,delay,receptor]"]
    current, via = run_of.get("I") or run_of.get("I_bg") or 0.0, run_of.get("via") or "I_e"
    params = parameters_of(found["model"], found["params"])
    if via == "I_e" and "I_e" in params:
        params["I_e"] = current
    neuron = network.population("neuron", 1, found["model"], params=params)
    if via.startswith("dc_generator"):
        network.input("dc_generator", neuron, amplitude=current, start=1.0)  # its delay in NEST
    if inputs:
        generators = network.population("inputs", len(inputs), "spike_generator", spike_times=[[i[0]] for i in inputs])
        weight, delay = tuple(i[1] for i in inputs), tuple(i[2] for i in inputs)
        ports = tuple(str(i[3]) for i in inputs) if all(i[3] for i in inputs) else ()
        edges = (tuple(range(len(inputs))), (0,) * len(inputs), weight, delay, *([ports] if ports else []))
        network.project(generators, neuron, Explicit(*edges))
    trace = run_of.get("trace")
    states = {} if trace is None else {k: np.array(v) for k, v in trace.items() if k not in ("t0", "dt", "n")}
    times = np.empty(0)
    if trace is not None:
        network.record_states(neuron, list(states), interval=trace["dt"])
        times = trace["t0"] + trace["dt"] * np.arange(trace["n"])
        assert all(len(v) == trace["n"] for v in states.values())
    arrivals: dict[int, list[float]] = {}
    for time, weight_pa, delay_ms, _ in inputs:
        arrivals.setdefault(round((time + delay_ms) * 10), []).append(weight_pa)
    settings = RunSettings(duration=run_of["T"], precision=precision)
    return Protocol(
        Experiment(network, settings), [(t, neuron.first_gid) for t in run_of["spikes"]], times, states,
        neuron.first_gid, arrivals,
    )  # fmt: skip


def check_states(expected: Protocol, found: Outcome, tolerance: float | dict[str, npt.NDArray[np.float64]]) -> None:
    """Every sample of every recorded state within `tolerance` (per state and sample, where given so) of NEST's."""
    names = list(expected.states)
    if not names:
        return
    recorded = found.states["neuron"][: len(expected.times), 0].astype(np.float64)
    assert len(recorded) == len(expected.times), "samples are missing"
    for column, name in enumerate(names):
        error = np.abs(recorded[:, column] - expected.states[name])
        allowed = tolerance if isinstance(tolerance, float) else tolerance[name]
        worst = int(np.argmax(error - allowed))
        assert np.all(error <= allowed), (
            f"{name} at {expected.times[worst]:.1f} ms: {recorded[worst, column]:.12g}, "
            f"NEST {expected.states[name][worst]:.12g}"
        )
