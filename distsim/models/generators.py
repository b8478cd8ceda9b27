"""Generators: sources of spikes that are no neurons (their spikes do not enter the digest).

Each has one train for all its targets. A train of its own for every target is an input (distsim/devices.py), or a
generator for each. A spike of multiplicity m is m spikes. All are active at times t with start < t <= stop, both
counted from origin.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from distsim.distributions import MAX_MAGNITUDE, support
from distsim.errors import wrong
from distsim.models.base import NEVER, Constant, DrawnTimes, Model, Parameter, State
from distsim.models.vectors import Repeated
from distsim.models.weighing import distinct

MOST_A_STEP = 100.0  # mean spikes of a generator: more than 255, what a generator may emit, has a chance below 1e-38
LOW_BITS = 20  # a step in two numbers, each exact in single precision

_OFFGRID = "not here; time goes in steps of dt: round the times to the grid, or choose a smaller dt"
REFUSED = (
    ("precise_times", _OFFGRID),
    ("allow_offgrid_times", _OFFGRID),
    ("shift_now_spikes", _OFFGRID),
    ("individual_spike_trains", "not here; a generator has one train for all its targets, an input one for each"),
)
WINDOW = (
    Parameter("start", 0.0, "ms", "active after this time", at_least=0.0, grid=True),
    Parameter("stop", NEVER, "ms", "active up to this time", at_least=0.0, grid=True),
    Parameter("origin", 0.0, "ms", "from where start and stop count", at_least=0.0, grid=True),
)


def _time(name: str, *times: str) -> tuple[Constant, Constant]:
    """The sum of `times` in steps, as <name>_high * 2^20 + <name>_low."""

    def steps(p: Mapping[str, Decimal], dt: Decimal) -> Decimal:
        total = sum((p[t] for t in times), Decimal(0)) / dt
        return min(total, Decimal(2) ** 43).quantize(Decimal(1), rounding=ROUND_HALF_UP)

    size = Decimal(2) ** LOW_BITS
    return (
        Constant(f"{name}_high", times, lambda p, dt: steps(p, dt) // size, integer=True),
        Constant(f"{name}_low", times, lambda p, dt: steps(p, dt) % size, integer=True),
    )


def step_of(name: str) -> str:
    """C++ for the step that `_time` cut in two."""
    return f"(((int64){name}_high << {LOW_BITS}) + {name}_low)"


WINDOW_CONSTANTS = (*_time("first", "start", "origin"), *_time("last", "stop", "origin"))
ACTIVE = f"const bool active = step > {step_of('first')} && step <= {step_of('last')};"
MEAN = "const double mean = active ? (double)rate * 1e-3 * g.dt : 0.0;"


def generator(
    *, parameters: tuple[Parameter, ...], update: str, constants: tuple[Constant, ...] = (),
    refused: tuple[tuple[str, str], ...] = (), **declared: Any,
) -> Model:  # fmt: skip
    """A Model that emits spikes between start and stop: `update` finds whether it is `active`."""
    return Model(
        parameters=(*parameters, *WINDOW),
        constants=(*WINDOW_CONSTANTS, *constants),
        is_neuron=False,
        max_multiplicity=255,
        refused=(*REFUSED, *refused),
        update=f"""
        {ACTIVE}{update}""",
        **declared,
    )


def one_number(params: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    """ConfigError where one of these parameters differs between the generators of a population."""
    for name in names:
        if not isinstance(params[name], float):
            raise wrong(f"{where}.{name}", params[name], "one number for all generators of the population")


def bounded_rate(params: Mapping[str, Any], dt: float, where: str) -> None:
    """At most 100 spikes a step on average."""
    most = MOST_A_STEP / dt * 1000.0
    high = support(params["rate"])[1]
    if high > most:
        raise wrong(f"{where}.rate", high, f"at most {most:g} Hz at dt = {dt} ms; more generators give more spikes")


def same_lengths(times: str, values: str) -> Any:
    """A rewrite that demands one value for each time."""

    def check(params: dict[str, Any], size: int, where: str) -> dict[str, Any]:
        whole = isinstance(params[times], Repeated) and isinstance(params[values], Repeated)
        for i in range(1 if whole else size):
            a, b = len(params[times][i]), len(params[values][i])
            if a != b:
                raise wrong(f"{where}.{values}", f"{b} numbers", f"one for each of the {a} {times}")
        return params

    return check


def _listed(params: dict[str, Any], size: int, where: str) -> dict[str, Any]:
    return _multiplied(_weighted(params, size, where), size, where)


def _given(rows: Sequence[tuple[float, ...]]) -> bool:
    return any(distinct(rows))


def _in_one_form(rows: Sequence[tuple[float, ...]], size: int, whole: bool) -> Sequence[tuple[float, ...]]:
    return Repeated(rows[0], size) if whole else tuple(rows)


def _weighted(params: dict[str, Any], size: int, where: str) -> dict[str, Any]:
    """A weight for each time; 1 for generators that have none beside others that have."""
    rows, times = params["spike_weights"], params["spike_times"]
    if not _given(rows):
        return params
    whole = isinstance(rows, Repeated) and isinstance(times, Repeated)
    filled = [rows[i] or (1.0,) * len(times[i]) for i in range(1 if whole else size)]
    bad = next((w for row in filled for w in row if not 0.0 <= w <= MAX_MAGNITUDE), None)
    if bad is not None:
        allowed = "numbers >= 0; spikes of the other sign come from a generator of their own, over connections of it"
        raise wrong(f"{where}.spike_weights", bad, allowed if bad < 0.0 else f"numbers of at most {MAX_MAGNITUDE:g}")
    params = {**params, "spike_weights": _in_one_form(filled, size, whole)}
    checked: dict[str, Any] = same_lengths("spike_times", "spike_weights")(params, size, where)
    return checked


def _multiplied(params: dict[str, Any], size: int, where: str) -> dict[str, Any]:
    """A spike of multiplicity m is a time, and a weight, that stands m times."""
    rows = params["spike_multiplicities"]
    if not _given(rows):
        return params
    same_lengths("spike_times", "spike_multiplicities")(params, size, where)
    listed = ["spike_times", *(["spike_weights"] if _given(params["spike_weights"]) else [])]
    whole = all(isinstance(params[name], Repeated) for name in ("spike_multiplicities", *listed))
    counts = [rows[i] for i in range(1 if whole else size)]
    bad = next((m for row in counts for m in row if m != int(m)), None)
    if bad is not None:
        raise wrong(f"{where}.spike_multiplicities", bad, "whole numbers of spikes")
    repeated = {
        name: [
            tuple(x for x, m in zip(params[name][i], row, strict=True) for _ in range(int(m)))
            for i, row in enumerate(counts)
        ]
        for name in listed
    }
    return {
        **params,
        **{name: _in_one_form(lists, size, whole) for name, lists in repeated.items()},
        "spike_multiplicities": Repeated((), size),
    }


def _choose(params: Mapping[str, Any]) -> Model:
    weighted = any(w != 1.0 for row in distinct(params["spike_weights"]) for w in row)
    return _weighted_generator if weighted else spike_generator


spike_generator = generator(
    name="spike_generator",
    doc="""Emits spikes at listed times (ms, on the grid, ascending; a time listed k times gives k spikes).

    With spike_multiplicities each time gives so many spikes; times count from origin. With spike_weights the weights of
    the generator's connections are multiplied, spike by spike, by the number that belongs to the time (known to 2^-31
    of the population's largest; in single precision to 2^-24). Relays take no notice of weights, as in NEST. Of a
    population some generators may have weights and others none (an empty list): their spikes have weight 1.""",
    parameters=(
        Parameter("spike_times", 0.0, "ms", "times of the spikes, one list per generator", vector=True),
        Parameter("spike_weights", 0.0, "1", "factor (>= 0) at each time; 1 where left out", vector=True, plain=True),
        Parameter(
            "spike_multiplicities",
            0.0,
            "1",
            "spikes at each time; 1 where left out",
            vector=True,
            plain=True,
            at_least=0.0,
        ),
    ),
    states=(State("next_spike", "1", "index of the next listed time", kind="int32", index_of="spike_times"),),
    constants=_time("origin_step", "origin"),
    rewrite=_listed,
    choose=_choose,
    update=f"""
        while (spike_times_begin + next_spike < spike_times_end &&
               spike_times_at(spike_times_begin + next_spike) + {step_of("origin_step")} == step) {{
            next_spike += 1;
            spikes += active ? 1 : 0;
        }}
    """,
)

# A step's spikes are all emitted, or none is: they are the last that `next_spike` has passed.
_weighted_generator = dataclasses.replace(
    spike_generator,
    variant="weighted",
    weighs="spike_weights",
    on_spike="""
        const int64 first = spike_weights_begin + next_spike - left;
        const double weight = spike_weights_at(first);
        at_once = 1;
        while (at_once < left && spike_weights_at(first + at_once) == weight) at_once += 1;
        sent = (real)weight;
    """,
)

poisson_generator = generator(
    name="poisson_generator",
    doc="""A Poisson train: a Poisson number of spikes in every step, the same train for all targets.

    NEST's poisson_generator gives every target a train of its own: that is the input poisson_generator here.""",
    parameters=(Parameter("rate", 0.0, "Hz", "mean rate", at_least=0.0),),
    states=(),
    fits=bounded_rate,
    update=f"""
        {MEAN}
        spikes = (int32)poisson_draw(0, mean);
    """,
)


def _bounded_values(params: Mapping[str, Any], dt: float, where: str) -> None:
    rows = params["rate_values"]
    for i, row in enumerate((rows.row,) if isinstance(rows, Repeated) else rows):
        for rate in row:
            bounded_rate({"rate": rate}, dt, f"{where}.rate_values[{i}]")


inhomogeneous_poisson_generator = generator(
    name="inhomogeneous_poisson_generator",
    doc="""A Poisson train whose rate is constant between given times, 0 before the first.

    From the step that ends at rate_times[k] on the rate is rate_values[k].""",
    parameters=(
        Parameter("rate_times", 0.0, "ms", "times from which on the rate is another", vector=True),
        Parameter("rate_values", 0.0, "Hz", "the rate from each time on", vector=True, plain=True, at_least=0.0),
    ),
    states=(State("next_rate", "1", "index of the next time", kind="int32", index_of="rate_times"),),
    refused=(("allow_offgrid_spikes", _OFFGRID),),
    rewrite=same_lengths("rate_times", "rate_values"),
    fits=_bounded_values,
    update=f"""
        while (rate_times_begin + next_rate < rate_times_end &&
               rate_times_at(rate_times_begin + next_rate) <= step) next_rate += 1;
        const double rate = next_rate > 0 ? rate_values_at(rate_values_begin + next_rate - 1) : 0.0;
        {MEAN}
        spikes = (int32)poisson_draw(0, mean);
    """,
)


def _bounded_sine(params: Mapping[str, Any], dt: float, where: str) -> None:
    low, high = support(params["amplitude"])
    bounded_rate({"rate": support(params["rate"])[1] + max(-low, high)}, dt, where)


sinusoidal_poisson_generator = generator(
    name="sinusoidal_poisson_generator",
    doc="""A Poisson train of the rate  rate + amplitude sin(2 pi frequency t + phase),  0 where that is negative.""",
    parameters=(
        Parameter("rate", 0.0, "Hz", "mean rate", at_least=0.0),
        Parameter("amplitude", 0.0, "Hz", "amplitude of the sine"),
        Parameter("frequency", 0.0, "Hz", "frequency of the sine", at_least=0.0),
        Parameter("phase", 0.0, "deg", "phase of the sine at t = 0"),
    ),
    states=(),
    fits=_bounded_sine,
    update="""
        const double turns = (double)frequency * 1e-3 * g.dt * (double)step + (double)phase / 360.0;
        const double now = (double)rate + (double)amplitude * sine_of_turns(turns);
        const double mean = active && now > 0.0 ? now * 1e-3 * g.dt : 0.0;
        spikes = (int32)poisson_draw(0, mean);
    """,
)


def _fits_mip(params: Mapping[str, Any], dt: float, where: str) -> None:
    one_number(params, ("rate", "start", "stop", "origin"), where)
    high = support(params["p_copy"])[1]
    if high > 1.0:
        raise wrong(f"{where}.p_copy", high, "a probability from 0 to 1")
    bounded_rate(params, dt, where)


mip_generator = generator(
    name="mip_generator",
    doc="""Correlated Poisson trains: every generator copies each spike of one mother train with probability p_copy.

    Multiple interaction process (Kuhn, Aertsen & Rotter 2003, doi:10.1162/089976603321043702): each train has the
    rate p_copy * rate, and two trains the correlation p_copy. The mother train belongs to the population.""",
    parameters=(
        Parameter("rate", 0.0, "Hz", "rate of the mother train", at_least=0.0),
        Parameter("p_copy", 1.0, "1", "probability of a copy", at_least=0.0),
    ),
    states=(),
    fits=_fits_mip,
    update=f"""
        {MEAN}
        const uint64 mother = shared_poisson_draw(0, mean);
        spikes = (int32)binomial_draw(0, mother, (double)p_copy);
    """,
)


def _pulse_count(params: Mapping[str, Any], i: int) -> int:
    return len(params["pulse_times"][i]) * int(params["activity"])


def _pulse_times(params: Mapping[str, Any], i: int, numbers: Sequence[float]) -> list[float]:
    centres = [t for t in params["pulse_times"][i] for _ in range(int(params["activity"]))]
    return [t + params["sdev"] * x for t, x in zip(centres, numbers, strict=True)]


def _fits_pulse(params: Mapping[str, Any], dt: float, where: str) -> None:
    one_number(params, ("activity", "sdev"), where)
    if params["activity"] != int(params["activity"]) or params["activity"] > 1e6:
        raise wrong(f"{where}.activity", params["activity"], "a whole number of spikes from 0 to 1e6")


pulsepacket_generator = generator(
    name="pulsepacket_generator",
    doc="""Pulse packets: for each pulse `activity` spikes at times that are normal around it with deviation sdev.

    Times go to the nearest step; what would lie before the first step is left out.""",
    parameters=(
        Parameter("pulse_times", 0.0, "ms", "centres of the packets", vector=True),
        Parameter("activity", 0.0, "1", "spikes of a packet", at_least=0.0),
        Parameter("sdev", 0.0, "ms", "standard deviation of the times", at_least=0.0),
    ),
    states=(State("next_spike", "1", "index of the next time", kind="int32", index_of="packet_times"),),
    fits=_fits_pulse,
    drawn=(DrawnTimes("packet_times", _pulse_count, _pulse_times),),
    update="""
        while (packet_times_begin + next_spike < packet_times_end &&
               packet_times_at(packet_times_begin + next_spike) == step) {
            next_spike += 1;
            spikes += active ? 1 : 0;
        }
    """,
)
