"""Wheel and ring: two ways for a spike to wait until it is due, one result."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import support
from support import BY_RING, BY_WHEEL, TINY

from distsim import AllToAll, Experiment, Network, RunSettings, simulate
from distsim.comm import Serial, Threads
from distsim.engine.delivery import RING_FREE, delivers_by_ring
from distsim.engine.simulation import Simulation, Tuning
from distsim.errors import ConfigError

TINY_RING = dataclasses.replace(TINY, delivery="ring")


@pytest.mark.parametrize("precision", ["single", "double"])
def test_ring_and_wheel_are_one_network(precision: str) -> None:
    """A run that goes to a wrong slot, plane or block, a slot that is not cleared, a multiple spike taken for one."""
    experiment = support.varied(precision, duration=30.0)
    reference = support.run(experiment, 1, BY_WHEEL)
    assert reference.count > 300
    for ranks in (1, 2, 3):
        for tuning in (BY_RING, TINY_RING)[: 1 + (ranks == 3)]:
            support.check_same(support.run(experiment, ranks, tuning), reference, f"{ranks} ranks, {tuning}")


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("delay", [0.1, 2.0])
def test_bursts(ranks: int, delay: float) -> None:
    """All at once, with multiplicities up to 150: nothing grows, nothing is lost."""
    experiment, expected = support.avalanche(delay=delay)
    support.check_same(support.run(experiment, ranks, TINY_RING), expected, f"{ranks} ranks")


def test_events_are_counted_when_they_are_due() -> None:
    """Not when spikes arrive: that depends on the exchange, and what is on its way at the end has not happened."""
    experiment = support.varied(duration=12.0)

    def events(comm: Any, tuning: Tuning, last: int) -> int:
        simulation = Simulation(experiment, comm, support.open_backend("cpu"), tuning=tuning)
        simulation.run_to(last)
        return comm.total(int(simulation.loop.synaptic_events))

    for last in (77, 120):
        found = [events(Serial(), BY_WHEEL, last)]
        found += Threads.run(3, lambda comm, n=last: events(comm, BY_RING, n))  # type: ignore[misc]
        assert len(set(found)) == 1 and found[0] > 0


def test_a_rank_chooses_by_the_length_of_its_runs() -> None:
    """Short runs: the ring, unless it would be out of proportion to the synapses; said is said."""
    small = RING_FREE
    assert delivers_by_ring("auto", 149, 10, small, 0) and not delivers_by_ring("auto", 150, 10, small, 0)
    assert not delivers_by_ring("auto", 149, 10, small + 1, 4 * small)
    assert delivers_by_ring("auto", 149, 10, small + 1, 4 * small + 4)
    assert not delivers_by_ring("wheel", 1, 1, 1, 1) and delivers_by_ring("ring", 1e9, 1, 1e12, 1)
    assert not delivers_by_ring("auto", 0, 0, 1, 0), "nothing to deliver"


def test_the_summary_says_what_was_chosen() -> None:
    network = Network()
    n = network.population("N", 40, "iaf_psc_exp", I_e=500.0)
    network.project(n, n, AllToAll(), 1.0, 1.5)
    digests = set()
    for asked, chosen in (("auto", "wheel"), ("ring", "ring"), ("wheel", "wheel")):  # 40 synapses a run
        summary = simulate(network, duration=30.0, delivery=asked, comm=Serial()).summary
        assert summary["delivery"] == {"wheel": int(chosen == "wheel"), "ring": int(chosen == "ring")}
        digests.add((summary["spike_digest"], summary["synaptic_events"]))
    assert len(digests) == 1
    with pytest.raises(ConfigError, match=r"run.delivery: found 'wheels'.*auto, wheel, ring"):
        Experiment(network, RunSettings(1.0, delivery="wheels"))  # type: ignore[arg-type]
