"""How far single precision can be from double, derived: a model's own step in numbers that carry their rounding.

Three things part float32 from float64. (1) Other sub-steps: the step of single precision, computed in double and so
without rounding, gives a course z of its own; z - y is what the sub-steps make. (2) Roundings and weights in quanta:
tests/tracked.h bounds what they move each state of z by in one step, r_n. (3) Growth: with J_n the derivative of the
step (automatic, exact), errors are sum_n J_N … J_{n+1} r_n at most. Products are taken before magnitudes, so that an
error that decays is one that decays; of those older than `KEPT` steps the magnitudes are added up first.
First order in r_n, with a margin of 1 % for what is not. A comparison that roundings could turn round ends the bound
where another outcome means another spike, and adds the difference where it means another way to compute the same.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import open_backend
from distsim.engine.groups import constant_values
from distsim.kernels.integrate import located
from distsim.kernels.sources import _text
from distsim.kernels.update import _update
from distsim.models import Model
from distsim.models.base import name_in_code, names_in

Floats = npt.NDArray[np.float64]
KEPT = 100
TRACKED = Path(__file__).with_name("tracked.h").read_text()
UNIT = 2.0**-24


@dataclass(frozen=True)
class Course:
    """The course of single precision without rounding, and how far rounding can take float32 from it.

    `states`, `off`: float64[steps, real states]; `spikes`: steps; `sure`: steps for which the bound holds.
    """

    states: Floats
    off: Floats
    spikes: list[int]
    sure: int


def _source(model: Model) -> str:
    """One step of one neuron, as the kernel's generator writes it, with `real` a number of tests/tracked.h."""
    reals = [s.name for s in model.states if s.kind == "real"]
    whole = [s.name for s in model.states if s.kind != "real"]
    numbers = [p.name for p in model.scalar_parameters] + [c.name for c in model.constants]
    integer = {c.name for c in model.constants if c.integer}
    begin = ["const real dt = 0.1;", "const struct { double dt; } g = {0.1};", "(void)g;"]
    for k, name in enumerate(numbers):
        if names_in(name_in_code(name), model.code):
            kind = "int32" if name in integer else "real"
            begin.append(f"const {kind} {name_in_code(name)} = ({kind})numbers[{k}];")
    begin += [f"real input_{r.name} = arriving(inputs[{2 * k}], inputs[{2 * k + 1}]);"
              for k, r in enumerate(model.receptors)]  # fmt: skip
    begin.append("const real I_stim = flowing;")
    begin += [f"real {name} = state({k}, real_states[{k}]);" for k, name in enumerate(reals)]
    begin += [f"int32 {name} = whole_states[{k}];" for k, name in enumerate(whole)]
    end = [f"{s.name} = without_traces({s.name}, (real){s.floor!r});" for s in model.states if s.floor is not None]
    end += [f"after[{k}] = {name};" for k, name in enumerate(reals)]
    end += [f"whole_after[{k}] = {name};" for k, name in enumerate(whole)]
    start, stop = "\n".join(begin), "\n".join(end)
    careful = located(model.careful, "careful") if model.careful else ""
    return f"""
#define DISTSIM_DOUBLE 0
#define STATES {len(reals)}
{_text("words.h")}{_text("vectors.h")}{_text("arithmetic.h")}{_text("functions.h")}{TRACKED}
{model.functions}
static Tracked arriving(double x, double off) {{ Tracked r(x); r.e = off; return r; }}
static Tracked state(int k, double x) {{ Tracked r(x); r.e = 0.0; r.d[k] = 1.0; return r; }}
static int quick(const double* numbers, const double* inputs, double flowing, long step, const double* real_states,
                 const int* whole_states, Tracked* after, int* whole_after, int* care) {{
    {start}
    int32 spikes = 0, needs_care = 0;
    {{
{_update(model)}
    {stop}
    }}
    *care = needs_care;
    return spikes;
}}
static int slow(const double* numbers, const double* inputs, double flowing, long step, const double* real_states,
                const int* whole_states, Tracked* after, int* whole_after) {{
    {start}
    int32 spikes = 0;
    {careful}
    {stop}
    return spikes;
}}
""" + _LOOP.replace("WHOLE", str(max(1, len(whole)))).replace("HAS_CARE", "1" if model.careful else "0").replace(
        "PORTS", str(len(model.receptors))
    ).replace("KEPT", str(KEPT))


_LOOP = """
extern "C" long course(const double* numbers, const double* inputs, const double* currents, const int* forced,
                       long steps, double* states, int* whole, double* off, int* spikes, const double* start_off) {
    static double old[STATES][STATES * (KEPT + 1)];
    double x[STATES];
    int count = STATES;
    for (int i = 0; i < STATES; ++i) {
        x[i] = states[i];
        carried[i] = start_off[i];
        for (int k = 0; k < STATES; ++k) old[i][k] = i == k ? start_off[i] : 0.0;
    }
    for (long n = 0; n < steps; ++n) {
        Tracked now[STATES], other[STATES];
        int next[WHOLE], unused[WHOLE], care = 0;
        in_doubt = 0;
        fires = forced && forced[n];
        int fired = quick(numbers, inputs + 2 * PORTS * n, currents[n], n + 1, x, whole, now, next, &care);
        if (HAS_CARE && (care || in_doubt)) {
            const bool doubt = in_doubt > 0;
            const int also = slow(numbers, inputs + 2 * PORTS * n, currents[n], n + 1, x, whole, other, unused);
            if (doubt && !care && also != fired) return n;
            for (int i = 0; i < STATES; ++i) {
                const double apart = __builtin_fabs(other[i].x - now[i].x);
                if (care) now[i] = other[i];
                if (doubt && also == fired) now[i].e += apart;
            }
            if (care) {
                fired = also;
                for (int i = 0; i < WHOLE; ++i) next[i] = unused[i];
            }
        }
        if (count == STATES * (KEPT + 1)) {  // what is old becomes a box
            for (int i = 0; i < STATES; ++i) {
                double sum = 0.0;
                for (int k = 0; k < count; ++k) sum += __builtin_fabs(old[i][k]);
                for (int k = 0; k < STATES; ++k) old[i][k] = i == k ? sum : 0.0;
            }
            count = STATES;
        }
        for (int k = 0; k < count; ++k) {
            double moved[STATES];
            for (int i = 0; i < STATES; ++i) {
                moved[i] = 0.0;
                for (int m = 0; m < STATES; ++m) moved[i] += now[i].d[m] * old[m][k];
            }
            for (int i = 0; i < STATES; ++i) old[i][k] = moved[i];
        }
        for (int i = 0; i < STATES; ++i) {
            for (int k = 0; k < STATES; ++k) old[i][count + k] = i == k ? now[i].e : 0.0;
        }
        count += STATES;
        for (int i = 0; i < STATES; ++i) {
            double sum = 0.0;
            for (int k = 0; k < count; ++k) sum += __builtin_fabs(old[i][k]);
            carried[i] = 1.01 * sum;
            off[n * STATES + i] = carried[i];
            states[n * STATES + i] = x[i] = now[i].x;
        }
        for (int i = 0; i < WHOLE; ++i) whole[i] = next[i];
        spikes[n] = fired;
    }
    return steps;
}
"""


def course(
    model: Model, params: Mapping[str, Any], arrivals: Mapping[int, Sequence[tuple[int, float]]], quantum: float,
    currents: Floats, forced: Sequence[int] | None = None,
) -> Course:  # fmt: skip
    """One neuron under `arrivals` (step → (receptor, weight)) and a current in each step.

    `forced`: the steps in which it spiked, for a model that draws.
    """
    steps = len(currents)
    module = open_backend("cpu").compile(_source(model), "tracked")
    reals = [s for s in model.states if s.kind == "real"]
    single = np.dtype(np.float32)
    known = {p.name: float(params[p.name]) for p in model.scalar_parameters}
    known |= {c.name: float(constant_values(c, params, 0.1, single)) for c in model.constants}
    inputs = np.zeros((steps, max(1, len(model.receptors)), 2))
    for step, weights in arrivals.items():
        for port, weight in weights if step <= steps else ():
            inputs[step - 1, port] += weight, quantum / 2 + UNIT * abs(weight)

    def start(s: Any) -> float:
        value = known[s.initial] if isinstance(s.initial, str) else float(s.initial)
        return value - (known[s.relative_to] if s.relative_to else 0.0)

    states = np.zeros((steps, len(reals)))
    states[0] = [start(s) for s in reals]
    begin = np.abs(states[0] - states[0].astype(np.float32))
    off, spikes = np.zeros_like(states), np.zeros(steps, np.int32)
    whole = np.array([start(s) for s in model.states if s.kind != "real"] or [0.0]).astype(np.int32)
    marks = None
    if forced is not None:
        marks = np.zeros(steps, np.int32)
        marks[np.array([s - 1 for s in forced if s <= steps], int)] = 1

    def at(array: Any) -> ctypes.c_void_p:
        return ctypes.c_void_p(None if array is None else array.ctypes.data)

    numbers = np.array(list(known.values()))
    run = module.function("course", ctypes.c_long)  # type: ignore[attr-defined]
    sure = run(
        at(numbers), at(inputs), at(currents), at(marks), ctypes.c_long(steps), at(states), at(whole), at(off),
        at(spikes), at(begin),
    )  # fmt: skip
    return Course(states, off, (np.flatnonzero(spikes[:sure]) + 1).tolist(), sure)
