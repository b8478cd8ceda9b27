"""Listed connections: the list itself, and what has to be known of it before it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.errors import wrong


@dataclass(frozen=True)
class EdgeSummary:
    """What planning needs of a list of connections; the same on every rank, whoever holds the list.

    Ids are positions on the source and target side; `receptors` are the ports named in the list.
    """

    count: int
    max_source: int
    max_target: int
    min_id: int
    weight_range: tuple[float, float]
    delay_range: tuple[float, float]
    max_in_degree: int
    receptors: tuple[str, ...]
    receptor_ranges: tuple[tuple[float, float], ...]  # of the weights onto each of `receptors`
    finite: bool


@dataclass(frozen=True, eq=False)
class EdgeList:
    """Connections, one entry each.

    Attributes
    ----------
    source, target
        int64[n], positions on the source and target side.
    weight
        float64[n], in the unit of the receptor.
    delay
        float64[n], ms.
    receptor
        str[n], port names; empty where the sign of the weight decides.
    """

    source: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]
    delay: npt.NDArray[np.float64]
    receptor: npt.NDArray[np.str_]

    @staticmethod
    def of(
        source: npt.ArrayLike, target: npt.ArrayLike, weight: npt.ArrayLike, delay: npt.ArrayLike,
        receptor: npt.ArrayLike = (),
    ) -> EdgeList:  # fmt: skip
        """From any sequences."""
        ids: list[npt.NDArray[Any]] = [np.asarray(x) for x in (source, target)]
        for x in ids:
            if x.size and not np.issubdtype(x.dtype, np.integer):
                raise wrong("rule.explicit", f"ids of {x.dtype}", "whole numbers")
        return EdgeList(
            ids[0].astype(np.int64), ids[1].astype(np.int64), np.asarray(weight, np.float64),
            np.asarray(delay, np.float64), np.asarray(receptor, np.str_),
        )  # fmt: skip

    @staticmethod
    def joined(parts: list[EdgeList]) -> EdgeList:
        """All of them, one after the other."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return EdgeList.of((), (), (), ())
        return EdgeList(*(np.concatenate([getattr(part, column) for part in parts]) for column in vars(parts[0])))

    def onto(self, targets: Places | None) -> EdgeList:
        """Those onto `targets` (ascending); None: all."""
        if targets is None:
            return self
        mine = is_among(self.target, targets)
        ports = self.receptor[mine] if self.receptor.size else self.receptor
        return EdgeList(self.source[mine], self.target[mine], self.weight[mine], self.delay[mine], ports)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EdgeList):
            return NotImplemented
        mine, theirs = vars(self), vars(other)
        return all(np.array_equal(mine[column], theirs[column]) for column in mine)

    def summary(self) -> EdgeSummary:
        tally = Tally(int(self.target.max()) + 1 if self.target.size and self.target.min() >= 0 else 0)
        tally.add(self)
        return tally.summary()


BLOCK_EDGES = 2**18  # that are read from a file at once
Places = npt.NDArray[np.int64]
Blocks = Callable[[Places | None], Iterator[EdgeList]]  # connections onto these targets (None: all), block by block


def is_among(values: npt.NDArray[Any], ascending: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which of `values` stand in the list."""
    if not ascending.size:
        return np.zeros(values.size, np.bool_)
    at = np.minimum(np.searchsorted(ascending, values), ascending.size - 1)
    return np.asarray(ascending[at] == values)


@dataclass
class Tally:
    """Makes a summary of connections that come block by block, to `n_targets` targets."""

    n_targets: int
    _count: int = 0
    _most: tuple[int, int] = (-1, -1)
    _least: int = 0
    _weights: list[tuple[float, float]] = field(default_factory=list)
    _delays: list[tuple[float, float]] = field(default_factory=list)
    _ports: dict[str, tuple[float, float]] = field(default_factory=dict)
    _finite: bool = True
    _degree: npt.NDArray[np.uint32] = field(init=False)

    def __post_init__(self) -> None:
        self._degree = np.zeros(self.n_targets, np.uint32)

    def add(self, edges: EdgeList) -> None:
        """One more block."""
        if not edges.source.size:
            return
        self._count += edges.source.size
        self._most = (max(self._most[0], int(edges.source.max())), max(self._most[1], int(edges.target.max())))
        self._least = min(self._least if self._weights else 2**62, int(edges.source.min()), int(edges.target.min()))
        self._weights = [_span(edges.weight, self._weights)]
        self._delays = [_span(edges.delay, self._delays)]
        for port in np.unique(edges.receptor).tolist():
            before = [self._ports[port]] if port in self._ports else []
            self._ports[port] = _span(edges.weight[edges.receptor == port], before)
        self._finite = self._finite and bool(np.isfinite(edges.weight).all() and np.isfinite(edges.delay).all())
        if self._least >= 0 and self._most[1] < self.n_targets:
            where, degree = np.unique(edges.target, return_counts=True)
            self._degree[where] += degree.astype(np.uint32)

    def summary(self) -> EdgeSummary:
        """Of all blocks so far."""
        if not self._count:
            return EdgeSummary(0, -1, -1, 0, (0.0, 0.0), (1.0, 1.0), 0, (), (), True)
        ports = sorted(self._ports)
        return EdgeSummary(
            self._count, *self._most, self._least, self._weights[0], self._delays[0],
            int(self._degree.max()) if self._degree.size else 0,
            tuple(ports), tuple(self._ports[port] for port in ports), self._finite,
        )  # fmt: skip


def _span(values: npt.NDArray[np.float64], before: list[tuple[float, float]]) -> tuple[float, float]:
    spans = [*before, (float(values.min()), float(values.max()))]
    return min(s[0] for s in spans), max(s[1] for s in spans)
