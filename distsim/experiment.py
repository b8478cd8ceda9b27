"""An experiment: a network and how to run it. Pure description."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from distsim.errors import ConfigError, nearest, wrong
from distsim.given import is_number, plain
from distsim.grid import on_grid
from distsim.network import Network

Delivery = Literal["auto", "wheel", "ring"]
PartitionName = Literal["block", "round_robin", "populations", "balanced"]
RoutingName = Literal["auto", "broadcast", "listed"]
ExchangeName = Literal["auto", "alltoall", "neighbourhood"]
MAX_RANKS = 2**24
_UNITS = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_CLOCK = re.compile(r"(?:(\d+)-)?(\d{1,4}):(\d{2}):(\d{2})")
_AMOUNT = re.compile(r"(\d+(?:\.\d*)?) ?([a-z]+)")


def wall_seconds(value: float | str, unit: float, where: str) -> float:
    """Wall-clock time in seconds: a number of `unit` seconds, "90 s", "15 min", "2 h", "HH:MM:SS" or "D-HH:MM:SS"."""
    allowed = 'a number > 0, or text such as "15 min", "2 h" or "23:30:00"'
    if isinstance(value, str):
        if clock := _CLOCK.fullmatch(value.strip()):
            days, hours, minutes, seconds = (int(x or 0) for x in clock.groups())
            found = ((days * 24.0 + hours) * 60.0 + minutes) * 60.0 + seconds
        elif (amount := _AMOUNT.fullmatch(value.strip())) and amount[2] in _UNITS:
            found = float(amount[1]) * _UNITS[amount[2]]
        else:
            raise wrong(where, value, allowed)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong(where, value, allowed)
    else:
        found = float(value) * unit
    if not (math.isfinite(found) and 0.0 < found <= 1e9):
        raise wrong(where, value, allowed)
    return found


@dataclass(frozen=True)
class Checkpoints:
    """When a run keeps its state, besides at its end and when it is stopped.

    `every` is biological time in ms, `every_wall` wall-clock time in seconds or as "15 min"; the newest `keep`
    checkpoints stay.
    """

    every: float | None = None
    every_wall: float | str | None = None
    keep: int = 2

    @property
    def wall_seconds(self) -> float | None:
        if self.every_wall is None:
            return None
        return wall_seconds(self.every_wall, 1.0, "run.checkpoint.every_wall")

    def check(self, dt: float) -> None:
        """Raise ConfigError where a number is out of range or off the grid of dt."""
        if self.every is not None and not (math.isfinite(self.every) and self.every > 0.0):
            raise wrong("run.checkpoint.every", self.every, "a time in ms > 0")
        if self.every is not None and not on_grid(self.every, dt):
            raise wrong("run.checkpoint.every", self.every, f"a multiple of dt = {dt} ms")
        if isinstance(self.keep, bool) or not isinstance(self.keep, int) or self.keep < 1:
            raise wrong("run.checkpoint.keep", self.keep, "a whole number >= 1")
        _ = self.wall_seconds


@dataclass(frozen=True)
class RunSettings:
    """How long, how fine and how to run; times in ms from the start of the warm-up.

    `partition` says which rank computes which neurons, never what they compute: block (each population
    in contiguous blocks), round_robin (neuron by neuron), populations (whole populations, shared out by
    their expected cost), balanced (contiguous neurons of all populations together, cut into equal expected costs), or
    a rank for each population by name. `delivery` says how spikes wait until they are due: on the time wheel, in the
    input ring, or as is faster (auto). `routing` says which sources' spikes go to all ranks:
    those that most ranks need (auto), all that another rank needs (broadcast), none (listed). `exchange` says how
    spikes travel: between all ranks in one collective (alltoall), only between ranks that have any for each other
    (neighbourhood), or so where these are few (auto). None of these changes a result. `wall_time` ends a run with a
    checkpoint before it is over: minutes, or text such as "23:30:00" or "90 min".
    """

    duration: float
    warmup: float = 0.0
    dt: float = 0.1
    seed: int = 1
    precision: Literal["single", "double"] = "single"
    partition: PartitionName | Mapping[str, int] = "block"
    exchange_interval: float | None = None  # None: as long as the delays across ranks allow
    delivery: Delivery = "auto"
    routing: RoutingName = "auto"
    exchange: ExchangeName = "auto"
    checkpoint: Checkpoints | None = None
    wall_time: float | str | None = None

    @classmethod
    def given(cls, duration: float, settings: Mapping[str, Any]) -> RunSettings:
        """From the keywords of a script; ConfigError with the nearest name for one that is no setting."""
        known = [f.name for f in fields(cls) if f.name != "duration"]
        for name in settings:
            if name not in known:
                raise ConfigError(f"run.{name}: unknown setting {name!r}; {nearest(name, known)}")
        return cls(duration, **settings)

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        for key in ("dt", "duration", "warmup", "exchange_interval"):
            value = getattr(self, key)
            if not is_number(value) and (key != "exchange_interval" or value is not None):
                raise wrong(f"run.{key}", value, "a number, in ms")
        if not 1e-6 <= self.dt <= 1e3:
            raise wrong("run.dt", self.dt, "a time step in ms from 1e-6 to 1000")
        for key in ("duration", "warmup", "exchange_interval"):
            value = getattr(self, key)
            if value is None:
                continue
            if not (math.isfinite(value) and value >= 0.0):
                raise wrong(f"run.{key}", value, "a time in ms >= 0")
            if on_grid(value, self.dt) is None:
                raise wrong(f"run.{key}", value, f"a multiple of dt = {self.dt} ms")
        if self.exchange_interval is not None and self.exchange_interval < self.dt:
            raise wrong("run.exchange_interval", self.exchange_interval, f"at least dt = {self.dt} ms")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**32:
            raise wrong("run.seed", self.seed, "a whole number from 0 to 2^32 - 1")
        if self.precision not in ("single", "double"):
            raise wrong("run.precision", self.precision, "single or double")
        for key, names in (("delivery", Delivery), ("routing", RoutingName), ("exchange", ExchangeName)):
            if getattr(self, key) not in get_args(names):
                raise wrong(f"run.{key}", getattr(self, key), ", ".join(get_args(names)))
        self._check_partition()
        if self.checkpoint is not None:
            if not isinstance(self.checkpoint, Checkpoints):
                raise wrong(
                    "run.checkpoint", self.checkpoint, "distsim.Checkpoints(every=..., every_wall=..., keep=...)"
                )
            self.checkpoint.check(self.dt)
        _ = self.wall_limit
        if self.steps(self.duration) + self.steps(self.warmup) >= 2**40:
            raise wrong("run.duration", self.duration, "fewer than 2^40 steps")

    def _check_partition(self) -> None:
        if isinstance(self.partition, Mapping):
            for name, rank in self.partition.items():
                if isinstance(rank, bool) or not isinstance(rank, int) or not 0 <= rank < MAX_RANKS:
                    raise wrong(f"run.partition.{name}", rank, "a rank, counted from 0")
        elif self.partition not in get_args(PartitionName):
            names = ", ".join(get_args(PartitionName))
            raise wrong("run.partition", self.partition, f"{names}, or a rank for each population")

    @property
    def wall_limit(self) -> float | None:
        """`wall_time` in seconds."""
        return None if self.wall_time is None else wall_seconds(self.wall_time, 60.0, "run.wall_time")

    @property
    def end(self) -> int:
        """The last step, of warm-up and duration together."""
        return self.steps(self.warmup) + self.steps(self.duration)

    @property
    def steps_per_second(self) -> int:
        """Of biological time; one where dt is longer."""
        return max(1, self.steps(1000.0))

    def steps(self, time: float) -> int:
        """Whole steps in `time` ms (which lies on the grid)."""
        return math.floor(time / self.dt + 0.5)


@dataclass(frozen=True)
class Experiment:
    """A network and its run settings."""

    network: Network
    run: RunSettings

    def __post_init__(self) -> None:
        if not isinstance(self.network, Network):
            raise wrong("network", self.network, "a distsim.Network")
