"""Real ranks give what one process gives, bit for bit, however the spikes travel between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import nest_data
import numpy as np
import pytest
import support
from chain import chain
from driven import driven
from packing import pack, unpack

from distsim import Experiment, RunSettings
from distsim.comm import Communicator, Serial
from distsim.engine.simulation import Tuning
from distsim.published import microcircuit

pytestmark = pytest.mark.mpi

LAYOUTS = {
    "default": Tuning(),
    "every-step": Tuning(max_interval=1),
    "one-message": Tuning(message_room=1),
    "tiny": support.TINY,
}


def over(comm: Communicator, experiment: Experiment, tuning: Tuning, stops: tuple[int, ...] = ()) -> support.Outcome:
    """Run on the ranks of `comm`; every rank gets the whole outcome."""
    mine = pack(support.run_share(comm, experiment, tuning, stops))
    return support.put_together([unpack(x.tobytes()) for x in comm.share(np.frombuffer(mine, np.uint8))])


def alone(comm: Communicator, experiment: Experiment) -> support.Outcome:
    """The same in rank 0's process alone, told to all: first, so that the kernels are compiled once."""
    share = comm.broadcast(pack(support.run_share(Serial(), experiment)) if comm.rank == 0 else b"")
    return support.put_together([unpack(share)])


NETWORKS: dict[str, Callable[[], Experiment]] = {
    "varied-single": lambda: support.varied("single"),
    "varied-double": lambda: support.varied("double"),
    "slow": support.slow_delays,
    "microcircuit": lambda: Experiment(microcircuit(0.03), RunSettings(duration=150.0, warmup=50.0, seed=5)),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_same_as_one_process(comm: Communicator, network: str) -> None:
    """Messages lost, doubled, late or sent to the wrong rank or row, in one exchange or with a second for the rest."""
    experiment = NETWORKS[network]()
    reference = alone(comm, experiment)
    assert reference.count > 500
    for name, tuning in LAYOUTS.items():
        found = over(comm, experiment, tuning)
        support.check_same(found, reference, f"{comm.size} ranks, {name}")
        if name == "one-message":
            assert found.growths > 0
        if network == "slow":
            assert found.interval == (1 if name == "every-step" else 20)


@pytest.mark.parametrize("precision", ["single", "double"])
def test_mixed_models_under_all_devices(comm: Communicator, precision: Any) -> None:
    """Eleven models, every device and generator: draws keyed by a rank, a state or an input of a neighbour's rank."""
    with support.optimised("-O1"):  # kernels of tests/unit/test_devices.py
        reference = alone(comm, driven(precision))
        assert all(n > 0 for n in reference.counts), reference.counts
        mapping = {p.name: k % comm.size for k, p in enumerate(driven().network.populations)}
        partitions: tuple[Any, ...] = ("round_robin", "block", "populations", mapping)
        for k, partition in enumerate(partitions):
            found = over(comm, driven(precision, partition=partition), support.TINY if k % 2 else Tuning())
            support.check_same(found, reference, f"{comm.size} ranks, {partition}")


@pytest.mark.parametrize("delay", [0.1, 2.0])
def test_every_neuron_fires_ten_steps_in_a_row(comm: Communicator, delay: float) -> None:
    """The first messages come at once and are many: the second collective and the growth of both sides."""
    experiment, expected = support.avalanche(delay=delay)
    for name, tuning in LAYOUTS.items():
        support.check_same(over(comm, experiment, tuning), expected, f"{comm.size} ranks, {name}")


@pytest.mark.parametrize("min_delay", [1, 30])
def test_relays_emit_what_numpy_foretells(comm: Communicator, min_delay: int) -> None:
    """An oracle that is not distsim: each multiple spike in its step; ranks whose buffers grow at different times."""
    network = support.relays((40, 100, 150, 150), steps=300, min_delay=min_delay)
    for tuning in (Tuning(), support.TINY):
        support.check_relays(network, over(comm, network.experiment, tuning))


def test_small_network_has_every_spike_of_nest(comm: Communicator) -> None:
    """The reference of tests/reference, over real ranks."""
    experiment, expected = nest_data.small_network("iaf_psc_exp")
    nest_data.check_spikes(over(comm, experiment, Tuning()), expected)


def test_areas_that_send_to_their_neighbours(comm: Communicator) -> None:
    """Neighbourhood collectives, by choice and where asked; pairs that grow by themselves; broadcast spikes."""
    areas = chain(comm.size)
    spread = dataclasses.replace(areas, run=dataclasses.replace(areas.run, partition="round_robin"))
    reference = alone(comm, spread)
    forced = dataclasses.replace(spread.run, exchange="neighbourhood", routing="broadcast")
    for experiment in (areas, dataclasses.replace(spread, run=forced)):
        for tuning in (Tuning(), dataclasses.replace(support.TINY, overlap=True)):
            found = over(comm, experiment, tuning, (7, 33))
            support.check_same(found, reference, f"{comm.size} ranks")
            assert (found.growths > 0) == (tuning.message_room == 1)
        assert found.interval == (10 if experiment is areas else 1)


def test_stop_and_continue(comm: Communicator) -> None:
    """Ranks that pause within an interval exchange a shorter one."""
    experiment = support.slow_delays()
    reference = alone(comm, experiment)
    support.check_same(over(comm, experiment, Tuning(), (1, 15, 20, 21, 1000)), reference)


def test_asked_interval(comm: Communicator) -> None:
    """run.exchange_interval shortens the interval and changes nothing else."""
    experiment = support.slow_delays()
    reference = alone(comm, experiment)
    shorter = dataclasses.replace(experiment, run=dataclasses.replace(experiment.run, exchange_interval=0.7))
    found = over(comm, shorter, Tuning())
    assert found.interval == 7
    support.check_same(found, reference)


@pytest.mark.parametrize("tuning", [Tuning(overlap=True), dataclasses.replace(support.TINY, overlap=True)])
def test_messages_under_way_while_the_next_interval_is_computed(comm: Communicator, tuning: Tuning) -> None:
    """As on GPUs: two sides of buffers take turns, each with a collective of its own, and both grow."""
    experiment = support.slow_delays()
    reference = alone(comm, experiment)
    found = over(comm, experiment, tuning, (1, 15, 20, 21, 1000))
    assert found.interval == 10 and (found.growths > 1) == (tuning.message_room == 1)
    support.check_same(found, reference)
