"""Bursts: every neuron fires in ten steps running, onto all, over delays up to the longest; nothing may be lost."""

from __future__ import annotations

from pathlib import Path

import support

from distsim.engine.simulation import Tuning
from faults.campaign import Campaign, Case

# (neurons, parrots, delay in ms); a parrot may relay 255 spikes a step, the longest delay is 2^15 steps.
SIZES = [
    (150, 30, 0.1), (250, 3, 2.0), (30, 5, 25.6), (1, 1, 0.1), (4, 1, 3276.8),
    (255, 1, 0.1), (2, 1, 6.4), (97, 40, 0.7), (200, 20, 12.8), (64, 64, 3.1), (65, 63, 3.2), (128, 16, 6.3),
    (129, 15, 6.5), (16, 16, 51.2), (17, 17, 51.1), (250, 60, 0.1), (40, 40, 102.4), (8, 8, 204.8), (3, 100, 1.0),
    (12, 2, 400.0),
]  # fmt: skip


def total(folder: Path) -> int:
    return len(SIZES)


def run_case(case: Case) -> str:
    neurons, parrots, delay = SIZES[case.number % len(SIZES)]
    experiment, expected = support.avalanche(neurons, parrots, delay)
    assert expected.count == 10 * neurons * (parrots + 1)
    ranks = case.draw.choice([2, 3, 4])
    for size, tuning in ((1, Tuning(due_room=1)), (ranks, support.TINY)):
        support.check_same(support.run(experiment, size, tuning), expected, f"{neurons} neurons on {size} ranks")
    return "nothing lost"


CAMPAIGN = Campaign("bursts", 5, 0, run_case, total)
