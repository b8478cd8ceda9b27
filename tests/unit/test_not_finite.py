"""A state that is NaN or infinite stops the run with one line: who, what, when."""

from __future__ import annotations

import re
from typing import Any

import pytest
import support

from distsim import Experiment, Network, RunSettings
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
