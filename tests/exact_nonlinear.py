"""Nonlinear and conductance based neurons solved by SciPy to 1e-12, step by step, independent of the kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import nest_data
import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_ivp

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """Spike times (ms) and states at the ends of the steps 1, 2, …, float64[steps] each."""

    spikes: list[float]
    states: dict[str, Numbers]


def advanced(slope: Callable[[float, Numbers], Numbers], y: Numbers, dt: float) -> Numbers:
    """`y` after dt, to 1e-12 relative and absolute."""
    solved = solve_ivp(slope, (0.0, dt), y, method="DOP853", rtol=1e-12, atol=1e-12)
    assert solved.success
    return np.asarray(solved.y[:, -1])


def squid_rates(v: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """alpha and beta of m, h, n in hh_psc_alpha (1/ms), as NEST writes them."""
    opening = (
        0.1 * (v + 40) / (1 - np.exp(-(v + 40) / 10)),
        0.07 * np.exp(-(v + 65) / 20),
        0.01 * (v + 55) / (1 - np.exp(-(v + 55) / 10)),
    )
    return opening, (4 * np.exp(-(v + 65) / 18), 1 / (1 + np.exp(-(v + 35) / 10)), 0.125 * np.exp(-(v + 65) / 80))


def traub_rates(u: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """alpha and beta of m, h, n in hh_cond_exp_traub (1/ms) at V - V_T."""
    opening = (
        0.32 * (13 - u) / np.expm1((13 - u) / 4),
        0.128 * np.exp((17 - u) / 18),
        0.032 * (15 - u) / np.expm1((15 - u) / 5),
    )
    closing = (
        0.28 * (u - 40) / np.expm1((u - 40) / 5),
        4 / (1 + np.exp((40 - u) / 5)),
        0.5 * np.exp((10 - u) / 40),
    )
    return opening, closing


def hodgkin_huxley(protocol: nest_data.Protocol, steps: int) -> Solution:
    """hh_psc_alpha and hh_cond_exp_traub under a protocol, for so many steps."""
    population = protocol.experiment.network["neuron"]
    model, p, dt = population.model, population.params, protocol.experiment.run.dt
    alpha = model.name == "hh_psc_alpha"
    names = [s.name for s in model.states if s.kind == "real"]
    y = np.array([p[s.initial] if isinstance(s.initial, str) else s.initial for s in model.states if s.kind == "real"])
    ports = [names.index(n) for n in (("dI_syn_ex", "dI_syn_in") if alpha else ("g_ex", "g_in"))]
    jump = (np.e / p["tau_syn_ex"], np.e / p["tau_syn_in"]) if alpha else (1.0, -1.0)

    def slope(_: float, y: Numbers) -> Numbers:
        v, m, h, n = y[:4]
        opening, closing = squid_rates(v) if alpha else traub_rates(v - p["V_T"])
        current = p["I_e"] - p["g_Na"] * m**3 * h * (v - p["E_Na"]) - p["g_K"] * n**4 * (v - p["E_K"])
        if alpha:
            rest = [-y[4] / p["tau_syn_ex"], y[4] - y[5] / p["tau_syn_ex"]]
            rest += [-y[6] / p["tau_syn_in"], y[6] - y[7] / p["tau_syn_in"]]
            current += y[5] + y[7]
        else:
            rest = [-y[4] / p["tau_syn_ex"], -y[5] / p["tau_syn_in"]]
            current -= y[4] * (v - p["E_ex"]) + y[5] * (v - p["E_in"])
        moved = [a * (1 - x) - b * x for a, b, x in zip(opening, closing, (m, h, n), strict=True)]
        return np.array([(current - p["g_L"] * (v - p["E_L"])) / p["C_m"], *moved, *rest])

    spikes: list[float] = []
    rows, left = [], 0
    for step in range(1, steps + 1):
        before = y[0]
        y = advanced(slope, y, dt)
        for weight in protocol.weights.get(step, ()):
            side = 0 if weight > 0 else 1
            y[ports[side]] += jump[side] * weight
        if left:
            left -= 1
        elif y[0] >= (0.0 if alpha else p["V_T"] + 30.0) and before > y[0]:
            left = round(p["t_ref"] / dt)
            spikes.append(round(step * dt, 9))
        rows.append(y)
    return Solution(spikes, dict(zip(names, np.array(rows).T, strict=True)))


def silent_membrane(
    arrivals: dict[int, list[tuple[int, float]]], steps: int, dt: float, leak: tuple[float, float, float],
    current: float, ports: list[tuple[float, float]], alpha: bool,
) -> Numbers:  # fmt: skip
    """V of a leaky membrane with conductances that never spikes, float64[steps].

    The current flows from the second step on, as that of a device that starts at 0 in NEST.
    `arrivals`: step → (port, weight in nS); `leak`: (conductance, reversal, capacitance); `ports`: (time constant,
    reversal); alpha-shaped conductances (peak 1 nS per nS of weight) or exponential ones.
    """
    conductance, rest, capacity = leak
    n = len(ports)

    def slope(_: float, y: Numbers) -> Numbers:
        v, g, rise = y[0], y[1 : n + 1], y[n + 1 :]
        total = flowing - conductance * (v - rest) - sum(x * (v - e) for x, (_, e) in zip(g, ports, strict=True))
        taus = np.array([tau for tau, _ in ports])
        return np.concatenate([[total / capacity], (rise if alpha else 0) - g / taus, -rise / taus])

    y = np.zeros(2 * n + 1)
    y[0] = rest
    flowing = 0.0
    found = []
    for step in range(1, steps + 1):
        flowing = current if step > 1 else 0.0
        y = advanced(slope, y, dt)
        for port, weight in arrivals.get(step, ()):
            y[(n if alpha else 0) + 1 + port] += weight * (np.e / ports[port][0] if alpha else 1.0)
        found.append(y[0])
    return np.array(found)
