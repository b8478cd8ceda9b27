"""The microcircuit at 0.1 against NEST 3.10: rates, irregularity and correlations of every population."""

from __future__ import annotations

import nest_data
import numpy as np
import pytest
import support

from distsim import Experiment, RunSettings
from distsim.analysis.statistics import population_statistics
from distsim.published import microcircuit

SEEDS = (1, 2, 3, 4, 5)
WARMUP, DURATION = 1000.0, 10000.0
STATISTICS = ("rate_mean", "cv_mean", "cc_mean")
STANDARD_ERRORS = 4.0


def statistics_of(seed: int) -> dict[str, dict[str, float]]:
    """Population → statistic → value, of one run."""
    network = microcircuit(0.1)
    found = support.run(Experiment(network, RunSettings(duration=DURATION, warmup=WARMUP, seed=seed)))
    times, gids = found.spikes[:, 0] * 0.1, found.spikes[:, 1]
    result = {}
    for population in network.populations:
        mine = (gids >= population.first_gid) & (gids < population.first_gid + population.size)
        values = population_statistics(
            times[mine], gids[mine] - population.first_gid, population.size, WARMUP, WARMUP + DURATION
        )
        result[population.name] = {name: getattr(values, name) for name in STATISTICS}
    return result


@pytest.fixture(scope="module")
def runs() -> list[dict[str, dict[str, float]]]:
    return [statistics_of(seed) for seed in SEEDS]


@pytest.mark.slow
@pytest.mark.parametrize("statistic", STATISTICS)
def test_means_over_seeds_agree(runs: list[dict[str, dict[str, float]]], statistic: str) -> None:
    """A wrong in-degree, weight, delay or Poisson rate of any projection moves some population's statistics.

    The standard error combines the seeds' variances of both sides, (s1^2 + s2^2) / 5: neither side's own is
    trusted alone, because five seeds can happen to lie close together. With its eight degrees of freedom chance
    exceeds four standard errors in 0.4 % of comparisons, so where a change of the random streams makes one of the
    24 fail, take ten other seeds for that one before believing either answer. The
    seeds are fixed: what passes once passes always.
    """
    nest = nest_data.reference_data("microcircuit_0.1")["per_seed"]
    lines, ratios = [], []
    for population in runs[0]:
        ours = np.array([r[population][statistic] for r in runs])
        theirs = np.array([nest[seed][population][statistic] for seed in nest])
        error = np.sqrt(ours.var(ddof=1) / ours.size + theirs.var(ddof=1) / theirs.size)
        ratios.append((ours.mean() - theirs.mean()) / error)
        both = " and ".join(f"{x.mean():.5g} +- {x.std(ddof=1):.2g}" for x in (ours, theirs))
        lines.append(f"{population}: ours and NEST's {both}: {ratios[-1]:+.2f} standard errors")
    print("\n".join(lines))
    assert np.all(np.abs(ratios) <= STANDARD_ERRORS), "\n".join(lines)
