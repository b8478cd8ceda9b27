"""A state that is NaN or infinite stops the run with one line: who, what, when."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import support

from distsim import Experiment, Network, RunSettings
from distsim.backend import open_backend
from distsim.comm import Serial
from distsim.engine.checkpoint import capture, restore
from distsim.engine.simulation import Simulation
from distsim.errors import SimulationError
from distsim.models import Model, Parameter, State
from distsim.models.base import Dynamics

grower = Model(
    name="grower",
    doc="""A state that is squared in every step.""",
    parameters=(Parameter("start", 0.0, "1", "where it starts"),),
    states=(
        State("steady", "1", "stays"),
        State("grows", "1", "is squared", "start", recordable=True),
        State("rest", "1", "of what grows", recordable=True),
    ),
    update="grows = grows * grows; rest = rest + (grows - grows); steady = (real)0.5;",
)
runaway = Model(
    name="runaway",
    doc="""An equation whose solution is infinite after 1/x ms.""",
    parameters=(),
    states=(State("x", "1", "runs away", 1.0, recordable=True),),
    dynamics=Dynamics(("x",), "d_x = x * x * x;", "euler", (4, 4)),
    update="INTEGRATE;",
)


def network(duration: float, precision: Any = "single") -> Experiment:
    described = Network("grows")
    described.population("other", 300, "iaf_psc_exp", I_e=500.0)
    start = [0.5] * 700
    start[617] = 3.0
    described.population("E", 700, grower, start=start)
    return Experiment(described, RunSettings(duration, precision=precision))


@pytest.mark.parametrize("ranks", [1, 3])
def test_who_what_and_when(ranks: int) -> None:
    """In float32 the square is infinite in step 7 and the rest NaN with it; the look is in step 64."""
    with pytest.raises(SimulationError, match=re.escape("population 'E', neuron 617, grows: infinite at 6.4 ms")):
        support.run(network(20.0), ranks)


def test_at_the_end_of_a_run() -> None:
    """Short runs are looked at, too: in step 5 all is finite, in step 9 not."""
    support.run(network(0.5))
    with pytest.raises(SimulationError, match=re.escape("neuron 617, grows: infinite at 0.9 ms")):
        support.run(network(0.9))
    with pytest.raises(SimulationError, match=re.escape("neuron 617, grows: infinite at 0.9 ms")):
        support.run(network(20.0), stops=[3, 9])


def test_nan_by_name() -> None:
    experiment = network(20.0, "double")
    population = experiment.network["E"]
    population.initial["rest"] = population.initial.get("rest", 0.0)
    with pytest.raises(SimulationError, match=r"neuron 617, (grows: infinite|rest: not a number) at 6\.4 ms"):
        support.run(experiment)
    described = Network("nan")
    only_rest = Model(
        name="only_rest", doc="""0 * infinity.""", parameters=(), states=(State("rest", "1", "", recordable=True),),
        update="const real big = bounded_exp((real)80), more = big * big * big; rest = step > 3 ? more - more : rest;",
    )  # fmt: skip
    described.population("N", 3, only_rest)
    with pytest.raises(SimulationError, match=re.escape("population 'N', neuron 0, rest: not a number at 6.4 ms")):
        support.run(Experiment(described, RunSettings(10.0)))


def test_equations_are_looked_at_every_eighth_step() -> None:
    described = Network("runaway")
    described.population("N", 2, runaway)
    with pytest.raises(SimulationError, match=r"population 'N', neuron 0, x: (infinite|not a number) at 0\.8 ms"):
        support.run(Experiment(described, RunSettings(20.0)))


def test_finite_states_pass() -> None:
    """Power of the other side: numbers near the end of float32 are no fault, nor is a sum of them beyond it."""
    described = Network("large")
    large = Model(
        name="large", doc="""Large numbers.""", parameters=(),
        states=(State("a", "1", "", recordable=True), State("b", "1", "", recordable=True)),
        update="a = (real)3e38; b = (real)3e38;",
    )  # fmt: skip
    described.population("N", 3, large)
    support.run(Experiment(described, RunSettings(10.0)))


def spoiled(simulation: Simulation, value: float) -> None:
    state = simulation.groups[0].states["V_m"]
    values = simulation.backend.to_host(state).copy()
    values[4] = value
    simulation.backend.copy_into(state, values)


def leaky(record: bool = False) -> Simulation:
    """Looked at every 64th step, were nothing recorded and nothing handed on."""
    described = Network("leaky")
    described.population("N", 9, "iaf_psc_exp", I_e=100.0)
    if record:
        described.record_states("N", ["V_m"], interval=0.7, neurons=[1])
    return Simulation(Experiment(described, RunSettings(30.0)), Serial(), open_backend("cpu"), keep_history=True)


def test_where_states_are_sampled() -> None:
    """No sample holds it: in step 7 of the samples all neurons are looked at, whoever is recorded."""
    simulation = leaky(record=True)
    spoiled(simulation, np.nan)
    with pytest.raises(SimulationError, match=re.escape("population 'N', neuron 4, V_m: not a number at 0.7 ms")):
        simulation.run_to(60)


def test_before_anything_is_handed_on_while_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data are handed on when time asks for it; the step before that is looked at, whichever it is."""
    monkeypatch.setattr("distsim.engine.simulation.FLUSH_EVERY", 0.0)
    simulation = leaky()
    simulation._stepper.most_steps, simulation.interval = 1, 5
    simulation.run_to(2)
    spoiled(simulation, np.nan)
    with pytest.raises(SimulationError, match=re.escape("population 'N', neuron 4, V_m: not a number at 0.7 ms")):
        simulation.run_to(60)


def test_no_checkpoint_keeps_it_and_none_brings_it() -> None:
    simulation = leaky()
    simulation.run_to(20)
    good = capture(simulation)
    restore(leaky(), [good], 20)
    name = next(x for x in good if x.endswith(".V_m"))
    bad = {**good, name: good[name].copy()}
    bad[name][4] = np.nan
    with pytest.raises(SimulationError, match=re.escape("population 'N', neuron 4, V_m: not a number at 2 ms")):
        restore(leaky(), [bad], 20)
    spoiled(simulation, np.nan)
    with pytest.raises(SimulationError, match=re.escape("population 'N', neuron 4, V_m: not a number at 2 ms")):
        capture(simulation)


@pytest.mark.parametrize(("value", "what"), [(np.nan, "not a number"), (np.inf, "infinite")])
def test_initial_values(value: float, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What construction gives is looked at before the first step."""
    set_up = Simulation._set_up_loop
    monkeypatch.setattr(Simulation, "_set_up_loop", lambda self, *given: (set_up(self, *given), spoiled(self, value)))
    with pytest.raises(SimulationError, match=re.escape(f"population 'N', neuron 4, V_m: {what} at 0 ms")):
        leaky()
