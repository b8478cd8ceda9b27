"""What a model's Dynamics and its careful code come to: order, exact courses, who gets the second look."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
import support
from scipy.integrate import solve_ivp

from distsim import AllToAll, Experiment, Network, OneToOne, RunSettings
from distsim.errors import ConfigError
from distsim.models import Constant, Dynamics, Model, Parameter, Probe, Receptor, State

TAU, RATE, DRIVE = 0.7, 3.0, 5.0


def decaying(scheme: str, substeps: int) -> Model:
    """dx/dt = DRIVE - (1 + RATE g) x with g = exp(-t / TAU) exact; in the form that the scheme asks for."""
    rate, drive = f"((real)1 + (real){RATE} * y)", f"((real){DRIVE})"
    derivatives = f"d_x = {drive} - {rate} * x;"
    if scheme == "magnus4":
        derivatives = f"rate_x = {rate}; drive_x = {drive};"
    return Model(
        name=f"test_{scheme}_{substeps}",
        doc="A test.",
        parameters=(Parameter("tau", TAU, "ms", "of y", above=0.0),),
        states=(State("x", "mV", "x", recordable=True), State("y", "1", "y", 1.0, recordable=True)),
        constants=(
            Constant("half", ("tau",), lambda p, dt: (-dt / p["tau"]).exp(), parts=(2 * substeps, 2 * substeps)),
        ),
        dynamics=Dynamics(("x",), derivatives, scheme, (substeps, substeps), exact="y = y * half;"),
        update="INTEGRATE;",
    )  # fmt: skip


def error(scheme: str, substeps: int) -> float:
    """Of x after 1 ms in steps of 0.5 ms."""
    network = Network()
    neurons = network.population("N", 3, decaying(scheme, substeps))
    network.record_states(neurons, ["x", "y"], interval=0.5)
    x, y = support.run(Experiment(network, RunSettings(duration=1.0, dt=0.5, precision="double"))).states["N"][-1, 2]
    assert y == pytest.approx(np.exp(-1.0 / TAU), rel=1e-14)  # exact: no scheme touches it

    def slope(t: float, v: np.ndarray) -> np.ndarray:
        return DRIVE - (1 + RATE * np.exp(-t / TAU)) * v

    exact = solve_ivp(slope, (0, 1), [0.0], "DOP853", rtol=1e-13, atol=1e-13).y[0, -1]
    return abs(x - exact)


@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("midpoint", 2), ("rk3", 3), ("rk4", 4), ("magnus4", 4)])
def test_schemes_have_their_order(scheme: str, order: int) -> None:
    """Catches a stage that sees an exact course at another time than its own: the order falls to 1 or 2."""
    with support.optimised("-O1"):
        coarse, fine = error(scheme, 4), error(scheme, 8)
    assert fine > 1e-13
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.35)


def careful(name: str = "test_careful", code: str = "") -> Model:
    """Adds its input to `total`; lanes whose `limit` the quick look passes are done over by the careful one."""
    return Model(
        name=name,
        doc="A test.",
        parameters=(Parameter("limit", 0.0, "pA", "of the quick look"),),
        states=(
            State("total", "pA", "input so far", recordable=True),
            State("visits", "1", "careful looks", recordable=True),
            State("count", "steps", "steps", kind="uint16"),
        ),
        probes=(Probe("steps", "steps", "steps", "(real)count"),),
        receptors=(Receptor("input", "pA"),),
        constants=(Constant("twice", ("limit",), lambda p, dt: 2 * p["limit"] + Decimal(0)),),
        update="""
        total = total + input_input;
        count = count + 1;
        visits = visits + (real)1000;
        visits = visits - (real)1000;
        needs_care = total > limit ? 1 : 0;
        """,
        careful=code
        or """
        for (int32 k = 0; k < 4; ++k) total = total + input_input * (real)0.25;
        count = count + 1;
        visits = visits + (real)1;
        if (total > twice) spikes = 1;
        """,
    )


@pytest.mark.parametrize("precision", ["single", "double"])
def test_the_careful_look_starts_before_the_step(precision: str) -> None:
    """Input counted twice, lost or cleared early; a state of the quick look kept; a spike of the second look lost."""
    size, steps = 300, 40  # more than one chunk of lanes
    limits = [float(k % 50) for k in range(size)]
    network = Network()
    trains = [[0.1 * s for s in range(1, steps - 5) if (s + k) % 3] for k in range(size)]
    source = network.population("S", size, "spike_generator", spike_times=trains)
    target = network.population("N", size, careful(), limit=limits)
    network.project(source, target, OneToOne(), 1.0, 0.1)
    network.record_states(target, ["total", "visits", "steps"], interval=0.1)
    network.project(source, network.population("P", 2, "parrot_neuron"), AllToAll(), 1.0, 1.0)
    with support.optimised("-O1"):
        found = support.run(Experiment(network, RunSettings(duration=0.1 * steps, precision=precision)))  # type: ignore[arg-type]
    total = np.zeros(size)
    visits = np.zeros(size)
    spikes = set()
    for step in range(1, steps + 1):
        total += [round(0.1 * (step - 1), 9) in [round(t, 9) for t in train] for train in trains]
        beyond = total > limits
        visits += beyond
        spikes |= {(step, target.first_gid + int(k)) for k in np.flatnonzero(beyond & (total > 2 * np.array(limits)))}
        states = found.states["N"][step - 1]
        assert np.array_equal(states[:, 0], total) and np.array_equal(states[:, 1], visits), step
        assert np.all(states[:, 2] == step)
    mine = {(s, g) for s, g in found.spikes.tolist() if target.first_gid <= g < target.first_gid + size}
    assert mine == spikes and len(spikes) > 1000


def test_an_error_in_careful_code_names_its_line() -> None:
    network = Network()
    network.population("N", 1, careful("test_wrong", "total = total;\n  total = nonsense;"))
    with pytest.raises(ConfigError, match=r"line 2 of its careful.*nonsense"):
        support.run(Experiment(network, RunSettings(duration=1.0)))
