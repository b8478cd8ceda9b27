"""The linear models again: their equations as a matrix that SciPy propagates; and networks that several files run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.linalg

from distsim import AllToAll, Experiment, FixedIndegree, Network, Normal, RunSettings, Uniform

DT = 0.1
UNIT = 2.0**-24  # rounding of float32
FLOOR = 1e-20  # of decaying states: models/common.py


# ---- Replicas: the equations as a matrix, propagated by SciPy


@dataclass(frozen=True)
class Linear:
    """x' = A x + b between spikes; x[0] is V relative to E_L.

    `ports`: where input of a receptor enters (state, factor). `adds` (jumps of the threshold at a spike) stands for
    no reset. `instant`: input enters x[0] before the threshold is asked.
    """

    names: tuple[str, ...]
    A: np.ndarray
    b: np.ndarray
    ports: Mapping[str, tuple[int, float]]
    threshold: np.ndarray  # V - threshold @ x >= theta is a spike
    theta: float
    t_ref: float
    reset: float = 0.0
    adds: Mapping[int, float] = field(default_factory=dict)
    instant: bool = False
    kept: bool = False

    def step_matrices(self) -> tuple[np.ndarray, np.ndarray]:
        n = len(self.b)
        whole = scipy.linalg.expm(DT * np.block([[self.A, self.b[:, None]], [np.zeros((1, n + 1))]]))
        return whole[:n, :n], whole[:n, n]


def system(model: str, p: Mapping[str, Any]) -> Linear:
    """The equations of a model's documentation, by their physics and not by its propagators."""
    ports: dict[str, tuple[int, float]] = {}
    names, rows = ["V_m"], [[-1.0 / p["tau_m"]]]
    C = p["C_m"]

    def add(name: str, row: Mapping[int, float]) -> int:
        k = len(names)
        names.append(name)
        for r in rows:
            r.append(0.0)
        rows.append([row.get(i, 0.0) for i in range(k)] + [row[k]])
        return k

    taus = [p[f"tau_syn_{k}"] for k in range(1, 99) if f"tau_syn_{k}" in p]
    ends = [(str(k + 1), str(k + 1), tau) for k, tau in enumerate(taus)]
    if not ends and model != "iaf_psc_delta":
        ends = [("excitatory", "ex", p["tau_syn_ex"]), ("inhibitory", "in", p["tau_syn_in"])]
    for port, end, tau in ends:
        k = add(f"I_syn_{end}", {len(names): -1.0 / tau})
        rows[0][k] = 1.0 / C
        ports[port] = (k, 1.0)
        if "alpha" in model:
            slope = add(f"dI_{end}", {len(names): -1.0 / tau})
            rows[k][slope] = 1.0
            ports[port] = (slope, math.e / tau)
    adds, threshold = {}, []
    theta = p.get("V_th", 0.0) - p["E_L"]
    if "mat2" in model:
        theta = p["omega"] - p["E_L"]
        for k in "12":
            at = add(f"V_th_alpha_{k}", {len(names): -1.0 / p[f"tau_{k}"]})
            adds[at] = p[f"alpha_{k}"]
            threshold.append(at)
    if model == "amat2_psc_exp":
        slope = add("V_th_dv", {0: -p["beta"] / p["tau_m"], len(names): -1.0 / p["tau_v"]})
        for port in ports.values():
            rows[slope][port[0]] = p["beta"] / C
        at = add("V_th_v", {slope: 1.0, len(names): -1.0 / p["tau_v"]})
        threshold.append(at)
    if model == "iaf_psc_delta":
        ports["spikes"] = (0, 1.0)
    A = np.array(rows)
    b = np.zeros(len(names))
    b[0] = p["I_e"] / C
    if model == "amat2_psc_exp":
        b[names.index("V_th_dv")] = p["beta"] * p["I_e"] / C
    weights = np.zeros(len(names))
    weights[threshold] = 1.0
    return Linear(
        tuple(names), A, b, ports, weights, theta, p["t_ref"], p.get("V_reset", 0.0) - p["E_L"], adds,
        model == "iaf_psc_delta", bool(p.get("refractory_input", False)),
    )  # fmt: skip


def replica(
    s: Linear,
    inputs: Mapping[int, list[tuple[str, float]]],
    steps: int,
    given: set[int] | None = None,
    quantum: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """States [step, variable] after each step, how far float32 can be from each, and the steps of spikes.

    Errors: an operation rounds by u = 2^-24 of its result, a coefficient is off by u. A state is a sum of at most
    n + 1 products: with |terms| the sum of their magnitudes it is off by |P| e + (n + 4) u |terms| (coefficient,
    product, n + 1 sums, drive), plus half a quantum and 3 u |w| for what arrives. A reset makes V the rounded reset; a
    jump of the threshold adds u of it. 1.001 covers second order, the floor what falls below it. The steps of spikes
    are those `given`, if each is one in which the threshold is reached, up to that error, and no other is.
    """
    P, q = s.step_matrices()
    n = len(s.b)
    x, e = np.zeros(n), np.zeros(n)
    held, waiting, waiting_off = 0, 0.0, 0.0
    states, bounds, spikes = np.zeros((steps, n)), np.zeros((steps, n)), []
    for k in range(steps):
        step = k + 1
        terms = np.abs(P) @ np.abs(x) + np.abs(q)
        moved, off = P @ x + q, 1.001 * (np.abs(P) @ e + (n + 4) * UNIT * terms) + FLOOR
        refractory = held > 0 and not s.adds
        arriving = [(*s.ports[port], w) for port, w in inputs.get(step, ())]
        if refractory:
            moved[0], off[0] = x[0], e[0]
        for at, factor, w in arriving:
            size = factor * (quantum / 2 + 3 * UNIT * abs(w))
            if s.instant and refractory:
                waiting, waiting_off = waiting + w, waiting_off + size
                continue
            moved[at] += factor * w
            off[at] += size
        if s.instant and refractory:
            waiting, waiting_off = waiting * P[0, 0], waiting_off * P[0, 0] + 3 * UNIT * abs(waiting)
        elif s.instant:
            if s.kept:
                moved[0], off[0] = moved[0] + waiting, off[0] + waiting_off + UNIT * abs(waiting)
            waiting = waiting_off = 0.0
        x, e = moved, off
        above = x[0] - s.threshold @ x - s.theta
        slack = e[0] + s.threshold @ e + 4 * UNIT * (abs(x[0]) + s.threshold @ np.abs(x) + abs(s.theta))
        if given is not None:  # where it is not for rounding to say, they are the model's
            assert above >= -slack if step in given else above < slack or held > 0, (
                f"step {step}: {above} mV above V_th"
            )
        if step in given if given is not None else held == 0 and above >= 0.0:
            spikes.append(step)
            for at, jump in s.adds.items():
                x[at] += jump
                e[at] += 2 * UNIT * abs(x[at])
            if not s.adds:
                x[0], e[0] = s.reset, UNIT * abs(s.reset)
            held = round(s.t_ref / DT)
        else:
            held = max(0, held - 1)
        states[k], bounds[k] = x, e
    return states, bounds, spikes


# ---- Networks


def tum_network(precision: Any) -> Experiment:
    network = Network("tum")
    before = network.population(
        "before", 5, "iaf_tum_2000", I_e=[450.0, 500.0, 600.0, 700.0, 900.0], tau_fac=[0.0, 100.0, 1000.0, 50.0, 10.0],
        tau_rec=[400.0, 2.0, 800.0, 100.0, 20.0], U=[0.5, 0.2, 0.05, 0.9, 1.0], initial={"x": 0.3, "y": 0.1, "u": 0.2},
    )  # fmt: skip
    after = network.population("after", 3, "iaf_tum_2000", tau_syn_ex=3.0)
    plain = network.population("plain", 1, "iaf_psc_exp", tau_syn_ex=3.0)
    network.project(before, after, AllToAll(), 128.0, 1.5, receptor="1")
    network.project(before, after, AllToAll(), -64.0, 0.7, receptor="1")
    network.project(before, plain, AllToAll(), 128.0, 1.5)
    network.project(after, after, AllToAll(), -50.0, 0.3, receptor="1_inhibitory")
    network.record_states(after, ["I_syn_ex", "I_syn_in"], interval=DT)
    network.record_states(plain, ["I_syn_ex"], interval=DT)
    return Experiment(network, RunSettings(500.0, precision=precision))


def everything(precision: Any = "single", duration: float = 100.0) -> Experiment:
    """Every linear model, busy, connected at random; both forms of those that have two."""
    network = Network("linear")
    drive = Uniform(400.0, 900.0)
    forms: list[tuple[str, dict[str, Any], str | None]] = [
        ("iaf_psc_exp", {"delta": Uniform(0.0, 2.0), "rho": 50.0}, None),
        ("iaf_psc_alpha", {"V_min": -80.0}, None),
        ("iaf_psc_delta", {}, None),
        ("iaf_psc_delta", {"refractory_input": True}, None),
        ("iaf_psc_alpha_multisynapse", {"tau_syn": [2.0, 5.0, 1.0]}, "2"),
        ("iaf_psc_exp_multisynapse", {"tau_syn": [2.0, 0.5]}, "2"),
        ("mat2_psc_exp", {}, None),
        ("amat2_psc_exp", {"beta": -0.1}, None),
        ("iaf_tum_2000", {"U": Uniform(0.1, 0.9)}, None),
        ("iaf_tum_2000", {"delta": 1.0}, None),
    ]
    populations = [
        (network.population(f"{model} {k}", 23, model, params={**params, "I_e": drive}), port)
        for k, (model, params, port) in enumerate(forms)
    ]
    clocks = network.population("clocks", 11, "ignore_and_fire", phase=Uniform(0.0, 1.0), rate=Uniform(20.0, 200.0))
    network.project(populations[0][0], clocks, FixedIndegree(3), 1.0, 0.5)
    for k, (population, port) in enumerate(populations):
        weight = Normal(1.0, 0.3) if "delta" in population.model.name else Normal(100.0, 30.0)
        network.project(clocks, population, FixedIndegree(4), weight, Uniform(0.1, 3.0), receptor=port)
        before = populations[k - 1][0]
        sender = before.model.name == population.model.name == "iaf_tum_2000"
        network.project(
            before, population, FixedIndegree(5), weight, Uniform(0.1, 3.0), receptor="1" if sender else port
        )
        network.poisson(population, 2000.0, 0.5 if "delta" in population.model.name else 30.0, receptor=port)
        network.record_states(population, list(population.model.recordables), interval=0.7, neurons=[0, 22])
    return Experiment(network, RunSettings(duration, precision=precision))
