"""The tests' own test: a fault planted in a kernel or in the engine makes the checks of the other tests fail.

Each fault names the check that has to notice it; the checks are those of tests/support.py, on the networks
that tests/reference, tests/mpi and test_sameness.py use.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import nest_data
import numpy as np
import pytest
import support
from readback import Synapses, connectivity
from unit.test_connectivity import check_invariants
from wiring import wired

from distsim import FixedIndegree, FixedOutdegree, Network, SymmetricPairwiseBernoulli
from distsim.backend import HostBackend
from distsim.backend.base import Module
from distsim.engine import simulation as engine
from distsim.engine.exchange import SpikeExchange
from distsim.engine.recording import SpikeBuffer
from distsim.errors import SimulationError
from distsim.kernels.sources import construction_source

COUNT = 0x7FFFFFFF  # of the messages in a header's first word

# ---- The checks: what the other tests do


@functools.cache
def relay_network() -> support.Relays:
    return support.relays()


def relays_alone() -> None:
    support.check_relays(relay_network(), support.run(relay_network().experiment))


def relays_on_three_ranks() -> None:
    support.check_relays(relay_network(), support.run(relay_network().experiment, 3))


def relays_in_tiny_buffers() -> None:
    support.check_relays(relay_network(), support.run(relay_network().experiment, 3, support.TINY))


def nest_network() -> None:
    experiment, expected = nest_data.small_network("iaf_psc_exp")
    nest_data.check_spikes(support.run(experiment), expected)


def nest_current() -> None:
    expected = nest_data.protocol("iaf_psc_exp", "const_current")
    nest_data.check_spikes(support.run(expected.experiment), expected.spikes)


def nest_states() -> None:
    expected = nest_data.protocol("iaf_psc_exp", "single_epsp")
    nest_data.check_states(expected, support.run(expected.experiment), 1e-9)


def sameness() -> None:
    support.check_same(support.run(support.varied(), 3), support.run(support.varied()))


def sameness_of_slow_network() -> None:
    support.check_same(support.run(support.slow_delays(), 3), support.run(support.slow_delays()))


def sameness_in_tiny_buffers() -> None:
    support.check_same(support.run(support.varied(), 3, support.TINY), support.run(support.varied()))


def avalanche() -> None:
    experiment, expected = support.avalanche()
    support.check_same(support.run(experiment, 2, support.TINY), expected)


def slow_relays() -> None:
    """One exchange carries 30 steps: buffers grow while they hold messages."""
    network = support.relays((40, 100, 100, 100), steps=200, min_delay=30)
    support.check_relays(network, support.run(network.experiment, 3, support.TINY))


def relays_by_ring() -> None:
    support.check_relays(relay_network(), support.run(relay_network().experiment, 3, support.BY_RING))


def wiring() -> None:
    support.check_same(support.run(wired(), 4, support.TINY), support.run(wired()))


def built(network: Network, n_ranks: int = 1) -> Synapses:
    """The network by kernels that were compiled just now, with the fault that may be in them."""
    backend = HostBackend()
    kernels = backend, backend.compile(construction_source(False), "construct-single")
    return connectivity(network, n_ranks=n_ranks, kernels=kernels)


def invariants() -> None:
    """What rules without replacement and symmetric ones promise exactly."""
    for rule in (FixedIndegree(60, False, False), FixedOutdegree(60, False, False), SymmetricPairwiseBernoulli(0.5)):
        network = Network()
        network.population("A", 70, "iaf_psc_exp")
        network.population("B", 30, "iaf_psc_exp")
        projection = network.project(["B", "A"], ["B", "A"], rule)
        check_invariants(projection, built(network))
    network = Network()
    network.population("A", 45, "iaf_psc_exp")
    network.project("A", "A", FixedOutdegree(10_000))  # so many draws that every target is a node of its own
    for n_ranks in (2, 4):
        assert built(network).same(built(network, n_ranks))


def multapses() -> None:
    """What a rule promises whose draws fall on a target more than once, but never on the source."""
    network = Network()
    network.population("A", 45, "iaf_psc_exp")
    projection = network.project("A", "A", FixedOutdegree(200, autapses=False))
    check_invariants(projection, built(network))


Check = Callable[[], None]
CHECKS: tuple[Check, ...] = (
    relays_alone, relays_on_three_ranks, relays_in_tiny_buffers, nest_network, nest_current, nest_states, sameness,
    sameness_of_slow_network, sameness_in_tiny_buffers, avalanche, slow_relays, relays_by_ring, wiring, invariants,
    multapses,
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick_compilation() -> Iterator[None]:
    with support.optimised("-O0"):
        yield


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_checks_pass_without_a_fault(check: Check) -> None:
    """Else a check that always fails would seem to notice everything."""
    check()


# ---- Faults in kernels


@dataclasses.dataclass(frozen=True)
class Fault:
    """Text of the kernels and what to put in its place."""

    name: str
    text: str
    instead: str
    noticed_by: tuple[Check, ...]


def every(n: int, statement: str) -> str:
    """`statement`, each n-th time not."""
    return f"{{ static uint64 times = 0; if (++times % {n} != 0) {{ {statement} }} }}"


ADD = "add_to(&input[target_in(s)], weight_in(s));"
ROW = "const Row row = l.rows[row_index];"
RECEIVED = "schedule<false>(l, *message, l.received_start + nth, 1, sent, 0);"

FAULTS = (
    Fault("one synaptic event in a million is not added", ADD, every(1_000_000, ADD), (relays_alone,)),
    Fault(
        "one spike in a million is not scheduled", ROW,
        "static uint64 seen = 0; seen += multiplicity;"
        f"if (seen >= 1000000) {{ seen -= 1000000; if (--multiplicity == 0) return 0; }} {ROW}",
        (relays_alone,),
    ),
    # Ranks that are threads count together, and may lose a count: somewhat fewer than a million.
    Fault("one message in 300,000 is not received", RECEIVED, every(300_000, RECEIVED), (relays_on_three_ranks,)),
    Fault(
        "delays are a step too long", "(uint32)(emitted + run.delay)", "(uint32)(emitted + run.delay + 1)",
        (relays_alone, nest_network, nest_states),
    ),
    Fault(
        "the ring takes a multiple spike for one", "weight_in(s) * (Sum)multiplicity);", "weight_in(s));",
        (relays_by_ring,),
    ),
    Fault(
        "messages arrive as of the interval's first step", "l.received_start + nth", "l.received_start",
        (sameness_of_slow_network,),
    ),
    Fault("Poisson keyed by local index", "AT(w0, j) = (uint32)gid;", "AT(w0, j) = c.begin + j;", (sameness,)),
    Fault(
        "connections keyed by local index", "draw_blocks(c, target.gid, k0, m,", "draw_blocks(c, (uint64)t, k0, m,",
        (sameness,),
    ),
    Fault(
        "Bernoulli gaps keyed by local index", "draw_blocks(c, target.gid, k0, LANES,",
        "draw_blocks(c, (uint64)t, k0, LANES,",
        (sameness,),
    ),
    Fault(
        "draws of a source keyed by its row", "{gid, own, 0, c.distinct != 0, true, STREAM_BY_SOURCE}",
        "{(uint64)row, own, 0, c.distinct != 0, true, STREAM_BY_SOURCE}", (wiring,),
    ),
    Fault(
        "a tree's node passed over though its last target is local",
        "low > first + (c.index_count - 1) * stride", "low >= first + (c.index_count - 1) * stride",
        (invariants,),
    ),
    Fault(
        "Floyd's replacement forgotten", "if (chosen[i] == drawn) { drawn = top; break; }", ";", (invariants,),
    ),
    Fault(
        "the forbidden place not passed over", "drawn += drawn >= p.own ? 1 : 0;\n            put(c, d",
        "put(c, d", (invariants,),
    ),
    Fault(
        "the forbidden place not passed over, with multapses", "drawn += drawn >= own ? 1u : 0u;", ";",
        (multapses,),
    ),
    Fault(
        "a symmetric pair's other half drawn anew", "position + 1, true, as_source, STREAM_CONNECTION}",
        "position + 1, true, as_source, as_source ? STREAM_CONNECTION : STREAM_BACK}",
        (invariants,),
    ),
    Fault(
        "parameters keyed by local index", "philox((uint32)gid, (uint32)(gid >> 32), v.index",
        "philox((uint32)i, 0, v.index", (sameness,),
    ),
    Fault(
        "the digest hashes a multiple spike once", "(uint64)h.w0 * e.multiplicity", "(uint64)h.w0", (relays_alone,)
    ),
    Fault(
        "the digest counts a multiple spike once", "atomic_add(&sums[4], (uint64)e.multiplicity);",
        "atomic_add(&sums[4], (uint64)1);", (relays_alone,),
    ),
    Fault(
        "refractoriness ends a step early", "const bool refractory = refractory_steps > 0;",
        "const bool refractory = refractory_steps > 1;", (nest_current, nest_network),
    ),
    Fault(
        "refractoriness lasts a step longer", "refractory_steps = crossed ? refractory_count :",
        "refractory_steps = crossed ? refractory_count + 1 :", (nest_current, nest_network),
    ),
    Fault(
        "input decays in the step in which it arrives", "I_syn_ex = I_syn_ex * decay_tau_syn_ex + input_excitatory;",
        "I_syn_ex = (I_syn_ex + input_excitatory) * decay_tau_syn_ex;", (nest_states, nest_network),
    ),
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_fault_in_a_kernel_is_noticed(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebuilds the kernels with one line changed."""
    compile_as_it_is = HostBackend.compile
    places = []

    def compile_with_fault(self: HostBackend, source: str, label: str) -> Module:
        places.append(source.count(fault.text))
        return compile_as_it_is(self, source.replace(fault.text, fault.instead), label)

    monkeypatch.setattr(HostBackend, "compile", compile_with_fault)
    for check in fault.noticed_by:
        with pytest.raises(AssertionError):
            check()
    assert set(places) in ({0, 1}, {1}), f"{fault.text!r} stands {max(places)} times in a kernel source; mend this test"


# ---- Faults in Python


def rest_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages for which the first collective had no room never arrive."""
    fetch_rest = SpikeExchange._fetch_rest

    def fetch_nothing(self: Any, side: Any) -> None:
        before, begin, pair = side.received.read(), side.begin, side.in_pair
        words = before[begin]
        kept = (words & ~np.uint32(COUNT)) | np.minimum(words & COUNT, pair).astype(np.uint32)
        fetch_rest(self, side)
        after = side.received.read()
        after[side.begin] = kept
        side.received.write(after)

    monkeypatch.setattr(SpikeExchange, "_fetch_rest", fetch_nothing)


def packed_messages_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was packed before the outgoing buffer grew is forgotten."""
    grow_out = SpikeExchange._grow_out

    def grow_empty(self: Any, side: Any, capacity: int) -> None:
        before = side.capacity
        grow_out(self, side, capacity)
        side.out[:, self._header : self._header + before] = 0

    monkeypatch.setattr(SpikeExchange, "_grow_out", grow_empty)


def wheel_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was on the time wheel before it grew is forgotten."""
    grow_due = engine.Simulation._grow_due

    def grow_empty(self: Any, room: int) -> None:
        grow_due(self, room)
        self._due[:] = 0

    monkeypatch.setattr(engine.Simulation, "_grow_due", grow_empty)


def interval_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interval one step longer than the shortest delay across ranks."""
    build_routing = engine.build_routing

    def build(*arguments: Any) -> Any:
        routing = build_routing(*arguments)
        return dataclasses.replace(routing, interval=routing.interval + 1)

    monkeypatch.setattr(engine, "build_routing", build)


def recorded_spike_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recording buffer loses one spike each time it is emptied while the run goes on."""
    take = SpikeBuffer.take

    def take_less(self: Any) -> Any:
        steps, gids = take(self)
        return (steps[1:], gids[1:]) if self.loop.status else (steps, gids)

    monkeypatch.setattr(SpikeBuffer, "take", take_less)


ENGINE_FAULTS: tuple[tuple[Callable[[pytest.MonkeyPatch], None], tuple[Check, ...]], ...] = (
    (rest_is_lost, (relays_in_tiny_buffers, sameness_in_tiny_buffers, avalanche)),
    (packed_messages_are_lost, (slow_relays,)),
    (wheel_is_lost, (relays_in_tiny_buffers, sameness_in_tiny_buffers)),
    (interval_is_too_long, (sameness, sameness_of_slow_network)),
    (recorded_spike_is_lost, (relays_in_tiny_buffers, sameness_in_tiny_buffers, avalanche)),
)


@pytest.mark.parametrize(("plant", "noticed_by"), ENGINE_FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_fault_in_the_engine_is_noticed(
    plant: Callable[[pytest.MonkeyPatch], None], noticed_by: tuple[Check, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each loses or delays spikes only where a buffer grows or an interval ends. (A message to a wrong row may also
    give a parrot more spikes than it may have, which the engine itself refuses.)"""
    plant(monkeypatch)
    for check in noticed_by:
        with pytest.raises((AssertionError, SimulationError)):
            check()
