"""How long routing tables will be: expected entries of a neuron, and empty rows of broadcast sources.

A neuron of a population has a row on each other rank with that rank's own probability, independently. Its number of
such ranks is then a sum of independent yes and no: exact where every rank was looked at, normal where some stand for
very many.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from distsim.build.routing import broadcast_pays
from distsim.experiment import RoutingName

Floats = npt.NDArray[np.float64]
EXACT_RANKS, QUANTILES = 64, 33


@dataclass(frozen=True)
class ExpectedRouting:
    """What the neurons of one rank make, by population: means of one neuron.

    Attributes
    ----------
    entries
        In its owner's table.
    empty
        Empty rows, on all ranks together.
    broadcast
        The probability that it is broadcast.
    """

    entries: Floats
    empty: Floats
    broadcast: Floats


def expected_routing(
    has_row: Floats, weights: Floats, owner: int, n_ranks: int, how: RoutingName = "auto"
) -> ExpectedRouting:
    """Expect the routing of one rank's neurons.

    Parameters
    ----------
    has_row
        [ranks looked at, populations]: the probability that a neuron of a population has a row there.
    weights
        How many ranks each of these stands for; `n_ranks` in all.
    owner
        The rank, as an index of the ranks looked at.
    """
    others = weights.copy()
    others[owner] -= 1.0
    number, chance = _exact(has_row, owner) if len(has_row) == n_ranks <= EXACT_RANKS else _normal(has_row, others)
    entries, empty, broadcast = (np.zeros(has_row.shape[1]) for _ in range(3))
    for own, probability in ((False, 1.0 - has_row[owner]), (True, has_row[owner])):
        pays = broadcast_pays(number, np.full(number.shape, own), n_ranks)
        if how != "auto":
            pays = (number > 0) & (how == "broadcast")
        entries += probability * (chance * np.where(pays, 1.0, number)).sum(0)
        empty += probability * (chance * np.where(pays, n_ranks - number - own, 0.0)).sum(0)
        broadcast += probability * (chance * pays).sum(0)
    return ExpectedRouting(entries, empty, broadcast)


def _exact(has_row: Floats, owner: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """[k, 1]: 0 … other ranks; [k, population]: the probability of needing a neuron on k of them."""
    chance = np.zeros((len(has_row), has_row.shape[1]))
    chance[0] = 1.0
    for rank, row in enumerate(has_row):
        if rank != owner:
            chance[1:] = chance[1:] * (1.0 - row) + chance[:-1] * row
            chance[0] *= 1.0 - row
    return np.arange(len(has_row))[:, None], chance


def _normal(has_row: Floats, others: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """The same at quantiles of a normal distribution, each as likely as the others."""
    mean = others @ has_row
    deviation = np.sqrt(np.maximum(others @ (has_row * (1.0 - has_row)), 0.0))
    quantiles = [NormalDist().inv_cdf((k + 0.5) / QUANTILES) for k in range(QUANTILES)]
    number = np.rint(mean + np.array(quantiles)[:, None] * deviation).astype(np.int64)
    return np.clip(number, 0, round(float(others.sum()))), np.full(number.shape, 1.0 / QUANTILES)
