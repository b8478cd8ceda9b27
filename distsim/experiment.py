"""An experiment: a network and how to run it. Pure description."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from distsim.errors import wrong
from distsim.grid import on_grid
from distsim.network import Network

PartitionName = Literal["round_robin", "block", "populations"]
MAX_RANKS = 2**24


@dataclass(frozen=True)
class RunSettings:
    """How long, how fine and how to run; times in ms from the start of the warm-up.

    `partition` says which rank computes which neurons, never what they compute: round_robin (neuron by
    neuron), block (each population in contiguous blocks), populations (whole populations, shared out by
    their expected cost), or a rank for each population by name.
    """

    duration: float
    warmup: float = 0.0
    dt: float = 0.1
    seed: int = 1
    precision: Literal["single", "double"] = "single"
    partition: PartitionName | Mapping[str, int] = "round_robin"
    exchange_interval: float | None = None  # None: as long as the delays across ranks allow

    def __post_init__(self) -> None:
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
        self._check_partition()
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

    def steps(self, time: float) -> int:
        """Whole steps in `time` ms (which lies on the grid)."""
        return math.floor(time / self.dt + 0.5)


@dataclass(frozen=True)
class Experiment:
    """A network and its run settings."""

    network: Network
    run: RunSettings
