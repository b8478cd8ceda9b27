"""Solutions of the conductance based and adaptive exponential neurons by SciPy at a tolerance of 1e-12.

Written from the equations, apart from the package: no propagator, scheme or kernel of it is used here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_ivp

DT = 0.1
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """V_m at the end of each step (float64[steps], mV), and the step of each spike."""

    v: Array
    spikes: list[int]


@dataclass(frozen=True)
class Input:
    """A synaptic variable: `kick` of the first state per weight; it decays by `first` into the second by `second`."""

    first: float
    second: float | None
    reversal: float | None  # None: a current
    kick: float
    sign: float = 1.0


def beta_kick(first: float, second: float) -> float:
    """Found by a search for the peak, not by its formula."""
    if first == second:
        return math.e / first
    t = np.linspace(0, 10 * max(first, second), 400_001)
    course = (np.exp(-t / first) - np.exp(-t / second)) / (1 / second - 1 / first)
    k = int(np.argmax(course))
    fit = np.polyfit(t[k - 1 : k + 2] - t[k], course[k - 1 : k + 2], 2)
    return float(1 / (fit[2] - fit[1] ** 2 / (4 * fit[0])))


def inputs_of(model: str, p: dict[str, Any]) -> list[Input]:
    """The ports of a model, in the order of the weights' signs or of the receptors."""
    if "multisynapse" in model:
        firsts = p.get("tau_rise", p.get("tau_syn"))
        seconds = p.get("tau_decay", p.get("tau_syn"))
        return [Input(a, b, e, beta_kick(a, b)) for a, b, e in zip(firsts, seconds, p["E_rev"], strict=True)]
    if model == "aeif_psc_delta":
        return []
    reversals = (None, None) if "_psc_" in model else (p["E_ex"], p["E_in"])
    sides = zip(("ex", "in"), reversals, (1.0, -1.0 if "_psc_" in model else 1.0), strict=True)
    if model == "iaf_cond_beta":
        return [
            Input(p[f"tau_decay_{s}"], p[f"tau_rise_{s}"], e, beta_kick(p[f"tau_decay_{s}"], p[f"tau_rise_{s}"]), sign)
            for s, e, sign in sides
        ]
    if "_exp" in model:
        return [Input(p[f"tau_syn_{s}"], None, e, 1.0, sign) for s, e, sign in sides]
    return [Input(p[f"tau_syn_{s}"], p[f"tau_syn_{s}"], e, math.e / p[f"tau_syn_{s}"], sign) for s, e, sign in sides]


class Neuron:
    """States: V, w, then (first, second) of each input; after them the model's own conductances in the same form."""

    def __init__(self, model: str, p: dict[str, Any]) -> None:
        self.model, self.p = model, p
        self.adaptive = model.startswith("aeif")
        self.inputs = inputs_of(model, p)
        if model == "iaf_cond_exp_sfa_rr":
            self.inputs += [Input(p[f"tau_{x}"], None, p[f"E_{x}"], p[f"q_{x}"]) for x in ("sfa", "rr")]
        if model == "iaf_chxk_2008":
            self.inputs += [Input(p["tau_ahp"], p["tau_ahp"], p["E_ahp"], p["g_ahp"] * math.e / p["tau_ahp"])]
        self.clamped = False
        self.rising = False  # y[0] is exp(-(V - V_th) / Delta_T), which stays tame where V explodes

    def potential(self, first: Any) -> Any:
        """V of y[0] in either form; never above V_peak where it rises."""
        if not self.rising:
            return first
        p = self.p
        return np.minimum(p["V_th"] - p["Delta_T"] * np.log(np.maximum(first, 1e-300)), p["V_peak"])

    def exploded(self, v: float) -> float:
        return math.exp(-(v - self.p["V_th"]) / self.p["Delta_T"])

    def value(self, y: Any, k: int) -> Any:
        return y[2 + 2 * k] if self.inputs[k].second is None else y[3 + 2 * k]

    def slopes(self, _t: float, y: Array) -> Array:
        p, f = self.p, np.zeros_like(y)
        v = p["V_reset"] if self.clamped else float(self.potential(y[0]))
        current = p["I_e"] - p["g_L"] * (v - p["E_L"])
        for k, x in enumerate(self.inputs):
            current += x.sign * self.value(y, k) * (1.0 if x.reversal is None else x.reversal - v)
            f[2 + 2 * k] = -y[2 + 2 * k] / x.first
            if x.second is not None:
                f[3 + 2 * k] = y[2 + 2 * k] - y[3 + 2 * k] / x.second
        if self.adaptive:
            if p["Delta_T"] and not self.rising:
                current += p["g_L"] * p["Delta_T"] * math.exp((v - p["V_th"]) / p["Delta_T"])
            current -= y[1]
            f[1] = (p["a"] * (v - p["E_L"]) - y[1]) / p["tau_w"]
        f[0] = 0.0 if self.clamped else current / p["C_m"]
        if self.rising:
            f[0] = -y[0] * f[0] / p["Delta_T"] - p["g_L"] / p["C_m"]
        return f

    def advance(self, y: Array, begin: float, end: float, event: Callable[..., float] | None = None) -> Any:
        """From `begin` to `end` (ms), or to where `event` first rises through 0; samples on the grid."""
        if event is not None:
            event.terminal, event.direction = True, 1  # type: ignore[attr-defined]
        first, last = math.floor(begin / DT + 1e-9) + 1, math.floor(end / DT + 1e-9)
        grid = np.minimum(np.arange(first, last + 1) * DT, end)
        return solve_ivp(self.slopes, (begin, end), y, "DOP853", grid, events=event, rtol=1e-12, atol=1e-12)


def solve(model: str, p: dict[str, Any], arrivals: dict[int, list[tuple[int, float]]], steps: int) -> Solution:
    """The neuron for `steps` steps; `arrivals` maps a step to (port, weight) of what is added at its end."""
    neuron = Neuron(model, p)
    y = np.zeros(2 + 2 * len(neuron.inputs))
    y[0] = p["E_L"]
    v = np.full(steps + 1, np.nan)
    spikes: list[int] = []
    refractory = round(p.get("t_ref", 0.0) / DT)
    free_from, now = 0, 0.0  # step at whose end the clamp ends; time
    stops = sorted({k for k in arrivals if k <= steps} | {steps})
    grid_reset = not neuron.adaptive or not p["Delta_T"]
    level = p["V_th"] if grid_reset else p["V_peak"]

    def spike(step: int) -> None:
        nonlocal free_from
        spikes.append(step)
        y[0], y[1] = p["V_reset"], y[1] + p.get("b", 0.0)
        if model == "iaf_cond_exp_sfa_rr":
            y[6] += p["q_sfa"]
            y[8] += p["q_rr"]
        free_from, neuron.clamped = step + refractory, refractory > 0

    while True:
        step = round(now / DT) if abs(now / DT - round(now / DT)) < 1e-9 else math.floor(now / DT)
        if step >= steps:
            break
        stop = next(k for k in stops if k > step)
        if neuron.clamped:
            stop = min(stop, max(free_from, step + 1))
        goal = level
        if not grid_reset:  # in two legs: V up to the upstroke, then the form that does not explode
            turn = p["V_th"] + 3 * p["Delta_T"]
            neuron.rising = not neuron.clamped and y[0] >= turn - 1e-9
            goal = min(turn, level)
            if neuron.rising:
                y[0], goal = neuron.exploded(y[0]), -neuron.exploded(level)
        sign = -1.0 if neuron.rising else 1.0
        if y[0] * sign >= goal:  # it has to fall first
            stop = step + 1

        def event(_t: float, x: Array, goal: float = goal, sign: float = sign) -> float:
            return float(sign * x[0] - goal)

        found = neuron.advance(y, now, stop * DT, None if neuron.clamped or y[0] * sign >= goal else event)
        ks = np.rint(np.asarray(found.t, float) / DT).astype(int)
        if ks.size:
            v[ks] = neuron.potential(found.y[0])
        if found.status == 1:
            te, y = float(found.t_events[0][0]), found.y_events[0][0].copy()
            end = math.ceil(te / DT - 1e-12)
            v[end:] = np.nan
            if not grid_reset:
                y[0] = neuron.potential(y[0])
                if neuron.rising or goal == level:
                    spike(end)
                neuron.rising, now = False, te
                continue
            before = y[0] if end - 1 == 0 else v[end - 1]
            before = p["E_L"] if end == 1 else before
            if te < end * DT:
                rest = neuron.advance(y, te, end * DT)
                y = rest.y[:, -1].copy()
            v[end], now, stop = y[0], end * DT, end
            if y[0] >= level:
                if model == "iaf_chxk_2008":
                    spikes.append(end)
                    since = DT * (y[0] - level) / (y[0] - before)
                    kick = neuron.inputs[2].kick * math.exp(-since / p["tau_ahp"])
                    y[6] += kick
                    y[7] += kick * since
                else:
                    spike(end)
                    v[end] = y[0]
        else:
            y, now = found.y[:, -1].copy(), stop * DT
            y[0] = neuron.potential(y[0])
            neuron.rising = False
            if neuron.clamped and stop >= free_from:
                neuron.clamped = False
            if not neuron.clamped and grid_reset and y[0] >= level and model != "iaf_chxk_2008":
                spike(stop)
                v[stop] = y[0]
        for port, weight in arrivals.get(stop, ()) if now == stop * DT else ():
            if model == "aeif_psc_delta":
                if stop > free_from or refractory == 0:
                    y[0] += weight
                    v[stop] = y[0]
                    if y[0] >= level:
                        spike(stop)
                        v[stop] = y[0]
            else:
                y[2 + 2 * port] += neuron.inputs[port].kick * abs(weight)
    return Solution(v[1:], spikes)
