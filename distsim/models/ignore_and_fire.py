"""A neuron that fires at a fixed rate, whatever arrives: for benchmarks."""

from __future__ import annotations

from decimal import Decimal

from distsim.models.base import Constant, Model, Parameter, State
from distsim.models.common import currents, whole_steps

# Integers of a single-precision table are exact to 2^24.
PERIOD = Constant(
    "period", ("rate",), lambda p, dt: whole_steps(Decimal(1000) / p["rate"], dt),
    integer=True, at_least=1, at_most=2**24,
)  # fmt: skip
FIRST = Constant("first", ("phase", "rate"), lambda p, dt: whole_steps(p["phase"] * 1000 / p["rate"], dt), integer=True)

ignore_and_fire = Model(
    name="ignore_and_fire",
    doc="""Fires every 1000 / rate ms, the first time after that times phase, and ignores its input.

    As NEST's ignore_and_fire. Input is delivered to it as to any neuron, so that the cost of a network can be measured
    with a traffic that is known beforehand. Times count in whole steps, rounded up.""",
    parameters=(
        Parameter("phase", 1.0, "1", "time to the first spike, in periods", at_least=0.0, at_most=1.0),
        Parameter("rate", 10.0, "Hz", "firing rate", above=0.0),
    ),
    states=(State("steps_left", "steps", "steps before the one of the next spike", "first", kind="int32"),),
    receptors=currents,
    constants=(PERIOD, FIRST),
    update="""
        (void)I_stim;  // taken, and ignored
        const bool due = steps_left == 0;
        spikes = due ? 1 : 0;
        steps_left = due ? period - 1 : steps_left - 1;
    """,
)
