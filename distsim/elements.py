"""What a network consists of: populations, projections, inputs. Described by `Network`, changed by nobody."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distsim.devices import Device
from distsim.distributions import Value
from distsim.models import Model
from distsim.rules import Generate, Rule
from distsim.selection import Selection, names_of, some_of
from distsim.space import Positions, Space
from distsim.storage import Storage


@dataclass(frozen=True, repr=False)
class Population:
    """`size` neurons of one model; global ids first_gid … first_gid + size - 1.

    population[:100], population[5] and population[[1, 5]] are selections of it.
    """

    name: str
    size: int
    model: Model
    first_gid: int
    params: Mapping[str, Any] = field(default_factory=dict)  # Value, or lists of lists for vectors
    initial: Mapping[str, Value] = field(default_factory=dict)
    positions: Positions | None = None
    __iter__ = None  # a population is no list of its neurons

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, which: int | slice | Sequence[int]) -> Selection:
        return some_of(self, which)

    def __repr__(self) -> str:
        return f"<Population {self.name}: {self.size:,} {self.model.name}>"


@dataclass(frozen=True, repr=False)
class Projection:
    """Connections of one rule from the concatenation of `sources` to that of `targets`."""

    sources: tuple[Selection, ...]
    targets: tuple[Selection, ...]
    rule: Rule
    weight: Value  # in the unit of the target's receptor
    delay: Value  # ms
    receptor: str | None  # a port name, or None: by the sign of the weight
    generate: Generate = "by_target"  # whose identity the draws belong to
    weight_bits: int | None = None  # resolution of the weights: 16, 8 or 4; None: as they are
    space: Space | None = None  # of the network
    storage: Storage = "stored"  # of its synapses; anything else is by_source

    @property
    def n_sources(self) -> int:
        return sum(p.size for p in self.sources)

    @property
    def n_targets(self) -> int:
        return sum(p.size for p in self.targets)

    @property
    def by_source(self) -> bool:
        return self.generate == "by_source"

    def __repr__(self) -> str:
        return f"<Projection {names_of(self.sources)} to {names_of(self.targets)}: {self.rule.name}>"


@dataclass(frozen=True, repr=False)
class Input:
    """A device on every neuron of `targets`, active at grid times t with start < t <= stop (ms)."""

    name: str
    device: Device
    targets: tuple[Selection, ...]
    params: Mapping[str, Any]  # see Device.check
    weight: float  # spikes: in the receptor's unit; currents: a factor
    receptor: str | None = None
    start: float = 0.0
    stop: float = math.inf

    def __repr__(self) -> str:
        return f"<Input {self.name}: {self.device.name} onto {names_of(self.targets)}>"
