"""A short form of each campaign (see faults/__init__.py); `launch/faults` runs the long one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from faults import disks, ranks
from faults.campaign import Campaign, Case, Failed, drive, expect, to_stderr
from faults.catalogue import CAMPAIGNS


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in CAMPAIGNS if name != "fuzz"])  # fuzz: tests/unit/test_fuzz_config.py
def test_campaign(name: str, tmp_path: Path) -> None:
    campaign = CAMPAIGNS[name]
    if campaign.needs_mpi and (ranks.MPIEXEC is None or ranks.UNDER_LAUNCHER):
        pytest.skip("no mpiexec on this machine, or under one")
    numbers: Sequence[int] = range(campaign.short)
    if not numbers:
        assert campaign.total
        shared = tmp_path / f"{name}-shared"
        shared.mkdir()
        numbers = disks.short(shared) if name == "disks" else range(campaign.total(shared))
    report = drive(campaign, numbers, 1, tmp_path, to_stderr)
    print(report.line())
    assert not report.failures, "\n".join([report.line(), *report.failures])
    assert report.cases == len(numbers) > 0


def test_a_failing_case_is_counted_and_says_how_to_repeat_it(tmp_path: Path) -> None:
    """Else a campaign that notices nothing would pass."""
    said: list[str] = []

    def run_case(case: Case) -> str:
        expect(case.number != 2, "planted")
        return f"{case.draw.random():.6f}"

    report = drive(Campaign("own", 4, 4, run_case), range(4), 7, tmp_path, said.append)
    assert report.failures == ["case 2: Failed: planted"] and report.cases == 4
    assert any("launch/faults --campaign own --seed 7 --case 2" in line for line in said)
    again = drive(Campaign("own", 4, 4, run_case), [3], 7, tmp_path / "again", said.append)
    assert again.outcomes.keys() < report.outcomes.keys()
    with pytest.raises(Failed):
        expect([], "nothing there")


def test_cases_of_a_counted_campaign_are_all_different(tmp_path: Path) -> None:
    picked = [Case("own", 1, number, tmp_path, tmp_path).pick(50) for number in range(50)]
    assert sorted(picked) == list(range(50)) and picked != sorted(picked)
