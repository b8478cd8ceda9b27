"""Going on at every step of 200, and over every pair of rank counts from 1 to 4: the same spikes, digest and counts."""

from __future__ import annotations

import functools
from pathlib import Path

import support
from continuing import check_continued

from distsim import Experiment
from faults.campaign import Campaign, Case

STEPS = 200
PAIRS = [(before, after) for before in (1, 2, 3, 4) for after in (1, 2, 3, 4)]


@functools.cache
def varied() -> tuple[Experiment, support.Outcome]:
    """Every model, rule and multiplicity, for 200 steps."""
    experiment = support.varied(duration=STEPS / 10)
    return experiment, support.run(experiment)


def total(folder: Path) -> int:
    """Each step with one pair, and each pair at a step of its own."""
    return STEPS + 1 + len(PAIRS)


def run_case(case: Case) -> str:
    experiment, reference = varied()
    assert reference.count > 100
    index = case.pick(total(case.shared))
    step = index if index <= STEPS else case.draw.randrange(1, STEPS)
    before, after = PAIRS[index % len(PAIRS) if index <= STEPS else index - STEPS - 1]
    tuning = case.draw.choice([None, None, support.TINY])
    check_continued(experiment, reference, before, after, step, tuning)
    return "same"


CAMPAIGN = Campaign("resume", 16, 0, run_case, total)
