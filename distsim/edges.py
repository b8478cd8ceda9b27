"""Listed connections: the list itself, and what has to be known of it before it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


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
                raise TypeError("ids of connections are whole numbers")
        return EdgeList(
            ids[0].astype(np.int64), ids[1].astype(np.int64), np.asarray(weight, np.float64),
            np.asarray(delay, np.float64), np.asarray(receptor, np.str_),
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EdgeList):
            return NotImplemented
        mine, theirs = vars(self), vars(other)
        return all(np.array_equal(mine[column], theirs[column]) for column in mine)

    def summary(self) -> EdgeSummary:
        n = self.source.size
        if not n:
            return EdgeSummary(0, -1, -1, 0, (0.0, 0.0), (1.0, 1.0), 0, (), (), True)
        ports = np.unique(self.receptor).tolist()
        return EdgeSummary(
            n,
            int(self.source.max()),
            int(self.target.max()),
            int(min(self.source.min(), self.target.min())),
            (float(self.weight.min()), float(self.weight.max())),
            (float(self.delay.min()), float(self.delay.max())),
            int(np.unique(self.target, return_counts=True)[1].max()),
            tuple(ports),
            tuple((float(w.min()), float(w.max())) for w in (self.weight[self.receptor == port] for port in ports)),
            bool(np.isfinite(self.weight).all() and np.isfinite(self.delay).all()),
        )
