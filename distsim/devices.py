"""Devices that drive neurons inside their update, without sending a spike: backgrounds and currents. Pure description.

Names, parameters and units are NEST's. A device is active at grid times t with start < t <= stop.

- A *current* given at the grid time t acts from t to t + dt. A waveform is that of the time t - dt. Both are what NEST
  gives with a delay of one step; a longer delay d in NEST is `start` (and the phase) later by d - dt.
- A *spike train* adds weight times the number of spikes to the input of the step that ends at t.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from distsim.distributions import Listed, Value, as_value, check_magnitude, support
from distsim.errors import ConfigError, check_names, nearest, wrong
from distsim.grid import on_grid
from distsim.nest_names import instead_of_input


@dataclass(frozen=True)
class Setting:
    """A parameter of a device.

    `kind` number: one number, or with `each` one per target (a distribution or a list); times: ascending times on the
    grid (ms); values: one number for each of the times; flag: true or false.
    """

    name: str
    default: float | bool | None  # None: has to be given
    unit: str
    doc: str
    kind: Literal["number", "times", "values", "flag"] = "number"
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    each: bool = False  # one number per target, if wished
    steps: bool = False  # a time that is a whole number of steps


@dataclass(frozen=True)
class Device:
    """A kind of device: what it gives (spikes onto a receptor, or a current), and its parameters."""

    name: str
    gives: Literal["spikes", "current"]
    doc: str
    settings: tuple[Setting, ...]
    aliases: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The start of the name of an input that was given none."""
        return self.aliases[0] if self.aliases else self.name

    def check(self, given: Mapping[str, Any], n_targets: int, where: str) -> dict[str, Any]:
        """All settings, defaults filled in: numbers as Value, lists as tuples of float.

        Raises
        ------
        ConfigError
            Unknown or missing settings, or values out of range.
        """
        check_names(given, (s.name for s in self.settings), REFUSED, self.name, where)
        checked: dict[str, Any] = {}
        for setting in self.settings:
            at = f"{where}.{setting.name}"
            if setting.name not in given and setting.default is None:
                raise ConfigError(f"{at}: missing; {setting.doc}")
            checked[setting.name] = _checked(setting, given.get(setting.name, setting.default), n_targets, at)
        for times in (s.name for s in self.settings if s.kind == "times"):
            for values in (s.name for s in self.settings if s.kind == "values"):
                if len(checked[times]) != len(checked[values]):
                    raise wrong(f"{where}.{values}", f"{len(checked[values])} numbers",
                                f"one for each of the {len(checked[times])} {times}")  # fmt: skip
        if "std_mod" in checked and checked["std_mod"] > checked["std"]:
            raise wrong(f"{where}.std_mod", checked["std_mod"], f"at most std = {checked['std']:g}")
        return checked

    def check_grid(self, params: Mapping[str, Any], dt: float, where: str) -> None:
        """Times are whole numbers of steps."""
        for setting in self.settings:
            at, value = f"{where}.{setting.name}", params[setting.name]
            if setting.kind == "times":
                bad = next((t for t in value if on_grid(t, dt) is None), None)
                if bad is not None:
                    raise wrong(at, bad, f"times on the grid of dt = {dt} ms")
            elif setting.steps and (on_grid(value, dt) or 0) < 1:
                raise wrong(at, value, f"a multiple of dt = {dt} ms")


_OFFGRID = "not here; time goes in steps of dt: round the times to the grid, or choose a smaller dt"
REFUSED = {
    "precise_times": _OFFGRID,
    "allow_offgrid_times": _OFFGRID,
    "allow_offgrid_spikes": _OFFGRID,
    "shift_now_spikes": _OFFGRID,
    "individual_spike_trains": "not here; an input gives each target its own train, a population of generators one",
}
MAX_RATE = 1e9  # Hz
_FREQUENCY = Setting("frequency", 0.0, "Hz", "frequency of the sine", at_least=0.0, at_most=1e6)
_PHASE = Setting("phase", 0.0, "deg", "phase of the sine at t = 0", at_least=-1e6, at_most=1e6)

DEVICES = (
    Device("poisson_generator", "spikes", "An independent Poisson train onto each target.", (
        Setting("rate", None, "Hz", "mean rate of each train", at_least=0.0, at_most=MAX_RATE, each=True),
    ), ("poisson",)),
    Device("inhomogeneous_poisson_generator", "spikes",
           "An independent Poisson train onto each target, of a rate that is constant between given times; 0 before "
           "the first.", (
        Setting("rate_times", None, "ms", "times from which on the rate is another", "times"),
        Setting("rate_values", None, "Hz", "the rate from each of the times on", "values",
                at_least=0.0, at_most=MAX_RATE),
    ), ("inhomogeneous_poisson",)),
    Device("sinusoidal_poisson_generator", "spikes",
           "An independent Poisson train onto each target, of rate + amplitude sin(2 pi frequency t + phase), "
           "or 0 where that is negative.", (
        Setting("rate", 0.0, "Hz", "mean rate", at_least=0.0, at_most=MAX_RATE),
        Setting("amplitude", 0.0, "Hz", "amplitude of the sine", at_least=-MAX_RATE, at_most=MAX_RATE),
        _FREQUENCY, _PHASE,
    ), ("sinusoidal_poisson",)),
    Device("dc_generator", "current", "A constant current.", (
        Setting("amplitude", 0.0, "pA", "the current", each=True),
    ), ("dc",)),
    Device("ac_generator", "current", "A current offset + amplitude sin(2 pi frequency t + phase).", (
        Setting("amplitude", 0.0, "pA", "amplitude of the sine"),
        Setting("offset", 0.0, "pA", "constant part"),
        _FREQUENCY, _PHASE,
    ), ("ac",)),
    Device("step_current_generator", "current", "A current that is constant between given times; 0 before the first.", (
        Setting("amplitude_times", None, "ms", "times after which the current is another", "times"),
        Setting("amplitude_values", None, "pA", "the current after each of the times", "values"),
    ), ("step_current",)),
    Device("noise_generator", "current",
           "A Gaussian white-noise current: every dt ms each target gets a new amplitude "
           "mean + sqrt(std^2 + std_mod^2 sin(2 pi frequency t + phase)) N, N standard normal.", (
        Setting("mean", 0.0, "pA", "mean of the current"),
        Setting("std", 0.0, "pA", "standard deviation", at_least=0.0),
        Setting("std_mod", 0.0, "pA", "modulation of the standard deviation", at_least=0.0),
        _FREQUENCY, _PHASE,
        Setting("dt", 1.0, "ms", "how long an amplitude lasts", above=0.0, steps=True),
        Setting("shared", False, "", "all targets get the same noise", "flag"),
    ), ("noise_current",)),
)  # fmt: skip
_BY_NAME = {name: device for device in DEVICES for name in (device.name, *device.aliases)}


def device_named(name: str, where: str) -> Device:
    """The device `name` (or one of its short names), or ConfigError with the nearest name."""
    if name not in _BY_NAME:
        way = instead_of_input(name) if isinstance(name, str) else ""
        raise ConfigError(f"{where}: unknown input {name!r}; {way or nearest(str(name), _BY_NAME)}")
    return _BY_NAME[name]


def _checked(setting: Setting, value: Any, n_targets: int, where: str) -> Any:
    if setting.kind == "flag":
        if not isinstance(value, bool):
            raise wrong(where, value, "true or false")
        return value
    if setting.kind in ("times", "values"):
        return _vector(setting, value, where)
    try:
        number: Value = as_value(value)
    except (TypeError, ValueError) as error:
        raise wrong(where, value, "a number" + (", or one per target" if setting.each else "")) from error
    if not isinstance(number, float) and not setting.each:
        raise wrong(where, value, "one number for all targets")
    check_magnitude(number, where)
    _check_bounds(setting, number, n_targets, where)
    return number


def _check_bounds(setting: Setting, number: Value, n_targets: int, where: str) -> None:
    low, high = support(number)
    if setting.at_least is not None and low < setting.at_least:
        raise wrong(where, low, f"numbers >= {setting.at_least:g} ({setting.unit})")
    if setting.above is not None and low <= setting.above:
        raise wrong(where, low, f"numbers > {setting.above:g} ({setting.unit})")
    if setting.at_most is not None and high > setting.at_most:
        raise wrong(where, high, f"numbers <= {setting.at_most:g} ({setting.unit})")
    if isinstance(number, Listed) and len(number.values) != n_targets:
        raise wrong(where, f"a list of {len(number.values)}", f"one number for each of {n_targets} targets")


def _vector(setting: Setting, value: Any, where: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(x) for x in ([value] if isinstance(value, (int, float)) else value))
    except (TypeError, ValueError) as error:
        raise wrong(where, value, "a list of numbers") from error
    for x in numbers:
        if not math.isfinite(x):
            raise wrong(where, x, "finite numbers")
        check_magnitude(x, where)
        _check_bounds(setting, x, 0, where)
    if setting.kind == "times":
        if numbers and numbers[0] < 0.0:
            raise wrong(where, numbers[0], "times in ms >= 0")
        late = next((b for a, b in itertools.pairwise(numbers) if b <= a), None)
        if late is not None:
            raise wrong(where, late, "times in ascending order, each once")
    return numbers
