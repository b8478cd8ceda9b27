"""Chi-square of counts, both tails, made twice: data pass, and would not for a hypothesis that is wrong by 1 %."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

# One false alarm in a million runs of the file, shared by at most so many checks.
CHECKS = 200
LEVEL = 1e-6 / CHECKS
FEWEST = 50.0  # expected counts in a bin

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def p_value(observed: Ints, expected: Floats, constraints: int = 1) -> float:
    """Chi-square of counts; bins with few expected counts are merged with the next."""
    total = []
    o = e = 0.0
    for a, b in zip(observed.tolist(), expected.tolist(), strict=True):
        o, e = o + a, e + b
        if e >= FEWEST:
            total.append((o, e))
            o = e = 0.0
    if total:  # what is left goes to the last bin
        total[-1] = (total[-1][0] + o, total[-1][1] + e)
    assert len(total) > constraints, "too few data for any test"
    found, wanted = np.array(total).T
    return float(stats.chi2.sf(((found - wanted) ** 2 / wanted).sum(), found.size - constraints))


def agrees(observed: Ints, right: Floats, wrong: Floats, what: str = "") -> None:
    """Counts follow the probabilities `right`, and would not pass for `wrong`."""
    n = int(observed.sum())
    p = p_value(observed, right / right.sum() * n)
    assert LEVEL < p < 1.0 - LEVEL, f"{what}: p = {p:.2e}, or 1 - {1.0 - p:.2e}"
    power = p_value(observed, wrong / wrong.sum() * n)
    assert power < LEVEL, f"{what}: {n} counts do not tell a bias of 1 % (p = {power:.2e})"


def tilted(n: int) -> Floats:
    """Equal probabilities but for 1 %: half of the bins have more, half less, bin by bin."""
    return 1.0 + 0.01 * (-1.0) ** np.arange(n)


def sloped(n: int) -> Floats:
    """Equal probabilities but for a slope of 1 % from the middle to either end."""
    return 1.0 + 0.02 * (np.arange(n) + 0.5 - n / 2) / n
