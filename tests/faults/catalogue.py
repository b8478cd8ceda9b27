"""All campaigns by name, but for soak, which takes minutes by the clock."""

from __future__ import annotations

from faults import bursts, damage, disks, elastic, failures, fuzz, kills, mutants, stops
from faults.campaign import Campaign

CAMPAIGNS: dict[str, Campaign] = {
    module.CAMPAIGN.name: module.CAMPAIGN
    for module in (kills, stops, disks, damage, elastic, failures, bursts, fuzz, mutants)
}
