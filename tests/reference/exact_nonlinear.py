"""Hodgkin-Huxley and conductance based neurons solved by SciPy to 1e-12, step by step, independent of the kernels.

Each function takes a protocol of tests/support.py and gives what a perfect integrator would: spikes as times in ms, and
the recorded variables, float64[samples], on the same grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import support
from scipy.integrate import solve_ivp

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """Spike times (ms) and samples at the ends of the steps 1, 2, …"""

    spikes: list[float]
    states: dict[str, Numbers]


def advanced(slope: Callable[[float, Numbers], Numbers], y: Numbers, dt: float) -> Numbers:
    """`y` after dt, to 1e-12 relative and absolute."""
    solved = solve_ivp(slope, (0.0, dt), y, method="DOP853", rtol=1e-12, atol=1e-12)
    assert solved.success
    return np.asarray(solved.y[:, -1])


def parameters(protocol: support.Protocol) -> dict[str, Any]:
    """The neuron's parameters, and the constant current of a device as I_dc."""
    network = protocol.experiment.network
    given = dict(network["neuron"].params)
    return given


def hodgkin_huxley(protocol: support.Protocol) -> Solution:
    """hh_psc_alpha and hh_cond_exp_traub."""
    network, settings = protocol.experiment.network, protocol.experiment.run
    model, p = network["neuron"].model, network["neuron"].params
    alpha = model.name == "hh_psc_alpha"
    threshold = 0.0 if alpha else p["V_T"] + 30.0
    names = [s.name for s in model.states if s.kind == "real"]
    y = np.array([p[s.initial] if isinstance(s.initial, str) else s.initial for s in model.states if s.kind == "real"])
    last = [names.index(n) for n in (("dI_syn_ex", "dI_syn_in") if alpha else ("g_ex", "g_in"))]
    jump = [np.e / p["tau_syn_ex"], np.e / p["tau_syn_in"]] if alpha else [1.0, 1.0]

    def gates(v: float) -> tuple[list[float], list[float]]:
        if alpha:
            return [
                0.1 * (v + 40) / -np.expm1(-(v + 40) / 10), 0.07 * np.exp(-(v + 65) / 20),
                0.01 * (v + 55) / -np.expm1(-(v + 55) / 10),
            ], [4 * np.exp(-(v + 65) / 18), 1 / (1 + np.exp(-(v + 35) / 10)), 0.125 * np.exp(-(v + 65) / 80)]  # fmt: skip
        u = v - p["V_T"]
        return [
            0.32 * (13 - u) / np.expm1((13 - u) / 4), 0.128 * np.exp((17 - u) / 18),
            0.032 * (15 - u) / np.expm1((15 - u) / 5),
        ], [0.28 * (u - 40) / np.expm1((u - 40) / 5), 4 / (1 + np.exp((40 - u) / 5)), 0.5 * np.exp((10 - u) / 40)]  # fmt: skip

    def slope(_: float, y: Numbers) -> Numbers:
        v, m, h, n = y[:4]
        opening, closing = gates(v)
        current = -p["g_Na"] * m**3 * h * (v - p["E_Na"]) - p["g_K"] * n**4 * (v - p["E_K"]) - p["g_L"] * (v - p["E_L"])
        if alpha:
            rest = [-y[4] / p["tau_syn_ex"], y[4] - y[5] / p["tau_syn_ex"]]
            rest += [-y[6] / p["tau_syn_in"], y[6] - y[7] / p["tau_syn_in"]]
            current += y[5] + y[7]
        else:
            rest = [-y[4] / p["tau_syn_ex"], -y[5] / p["tau_syn_in"]]
            current -= y[4] * (v - p["E_ex"]) + y[5] * (v - p["E_in"])
        moved = [a * (1 - x) - b * x for a, b, x in zip(opening, closing, (m, h, n), strict=True)]
        return np.array([(current + p["I_e"]) / p["C_m"], *moved, *rest])

    spikes: list[float] = []
    rows = []
    left = 0
    for step in range(1, round(settings.duration / settings.dt) + 1):
        before = y[0]
        y = advanced(slope, y, settings.dt)
        for weight in protocol.weights.get(step, ()):
            side = 0 if weight > 0 else 1
            y[last[side]] += jump[side] * (weight if alpha or side == 0 else -weight)
        if left:
            left -= 1
        elif y[0] >= threshold and before > y[0]:
            left = round(p["t_ref"] / settings.dt)
            spikes.append(round(step * settings.dt, 9))
        rows.append(y)
    table = np.array(rows)
    return Solution(spikes, {name: table[:, k] for k, name in enumerate(names)})
