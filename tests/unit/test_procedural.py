"""What is drawn again for each spike is what would be stored by_source: to the bit, however it is laid out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import support
from continuing import check_continued
from procedural import drawn

from distsim import (
    AllToAll,
    Experiment,
    Explicit,
    FixedIndegree,
    FixedTotalNumber,
    Network,
    Normal,
    OneToOne,
    RunSettings,
    SymmetricPairwiseBernoulli,
    simulate,
)
from distsim.backend import HostBackend, open_backend
from distsim.build import choosing
from distsim.build.capacity import check_fits_device, smallest_ranks
from distsim.build.estimate import bytes_a_source, estimate
from distsim.build.procedural import regrowing
from distsim.build.spatial import held_bytes
from distsim.comm import Serial, Threads
from distsim.config.describe import described_document
from distsim.config.identity import identity
from distsim.engine import delivery
from distsim.engine.readback import read_connections, read_windows
from distsim.engine.simulation import Simulation, Tuning
from distsim.errors import CapacityError, ConfigError
from distsim.profiles import gaussian
from distsim.rules import is_spatial
from distsim.space import Circular, grid

BY_RING = dataclasses.replace(support.TINY, delivery="ring")


@pytest.fixture(autouse=True)
def quick_compilation() -> Iterator[None]:
    with support.optimised("-O1"):
        yield


@pytest.fixture(scope="module")
def stored() -> support.Outcome:
    with support.optimised("-O1"):
        return support.run(drawn("stored"))


def test_stored_and_drawn_again_are_one_network(stored: support.Outcome) -> None:
    """A draw keyed by rank or row, a weight or delay drawn otherwise, a plane mistaken, a target of another rank."""
    assert stored.count > 1500 and np.bincount(stored.spikes[:, 1], minlength=344)[335:].min() > 10
    support.check_same(support.run(drawn("procedural")), stored, "1 rank")
    for ranks, partition in ((2, "round_robin"), (3, "block"), (3, "populations")):
        experiment = drawn("procedural", partition=partition)
        if ranks == 2:  # rows get other numbers
            experiment = dataclasses.replace(experiment, run=dataclasses.replace(experiment.run, routing="broadcast"))
        found = support.run(experiment, ranks, BY_RING if ranks == 2 else support.TINY)
        support.check_same(found, stored, f"{ranks} ranks, {partition}")


def test_lists_without_room(stored: support.Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of chunks for one list in a dozen: what is listed goes to the spill, or where stored rows use it to the ring.

    Catches a slot whose spill is left out, or added twice, and a list that lost its first chunks.
    """
    monkeypatch.setattr(delivery, "n_chunks", lambda slots, size: 5)
    support.check_same(support.run(drawn("procedural")), stored, "five chunks")
    support.check_same(support.run(drawn("procedural"), 1, support.BY_RING), stored, "five chunks and a ring")


def test_lanes_share_a_row(stored: support.Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: 32 lanes, each on nodes of its own, draw all of a row, and nothing twice."""
    scatter = "scatter(c, d, c.targets, draws_of_source(c, gid, position, own), c.selection, out);\n    batch.flush();"
    changes = (
        ("#define LANE_BITS (WIDTH == 32u ? 5u : 0u)", "static thread_local uint32 lane = 0;\n#define LANE_BITS 5u"),
        ("(node.path ^ LANE)", "(node.path ^ lane)"),
        ("return WIDTH >> node.forks", "return 32u >> node.forks"),
        ("return LANE >> node.forks", "return lane >> node.forks"),
        (scatter, f"for (lane = 0; lane < 32; ++lane) {scatter.splitlines()[0]}\n    batch.flush();"),
    )
    compile_as_it_is = HostBackend.compile

    def compile_for_lanes(self: HostBackend, source: str, label: str) -> Any:
        for text, instead in changes if label.startswith("loop") else ():
            assert source.count(text) == 1, text
            source = source.replace(text, instead)
        return compile_as_it_is(self, source, label)

    monkeypatch.setattr(HostBackend, "compile", compile_for_lanes)
    support.check_same(support.run(drawn("procedural")), stored, "by 32 lanes")


def test_only_rules_of_space_bring_space_into_the_loop() -> None:
    """Networks without any are compiled from what they were."""
    projections = drawn("procedural").network.projections
    texts = [regrowing([p for p in projections if keep(p)]) for keep in (lambda p: not is_spatial(p.rule), bool)]
    assert [("look_along" in t, "#define ROWS_IN_SPACE 1" in t) for t in texts] == [(False, False), (True, True)]
    assert regrowing(drawn("stored").network.projections) == ""


def test_going_on(stored: support.Outcome) -> None:
    """Of spikes in flight those synapses are drawn again that are not due yet, and no others."""
    check_continued(drawn("procedural"), stored, 1, 3, 123)
    check_continued(drawn("procedural"), stored, 2, 1, 58, support.TINY)


def test_connections_and_events() -> None:
    """What is read back, in windows in the order of sources; how much is counted, and when."""

    def look(comm: Any, storage: str) -> tuple[list[Any], int, int, int, int]:
        simulation = Simulation(drawn(storage), comm, open_backend("cpu"), tuning=Tuning(block_bits=4))
        found = [read_connections(simulation, a, b) for a in range(3) for b in range(2)]
        sources, *_ = zip(*read_windows(simulation, 0, 1, 2000), strict=True)
        assert len(sources) > 3 and (np.diff(np.concatenate(sources)) >= 0).all()
        simulation.run_to(311)
        for p in simulation.regrown.local if simulation.regrown is not None else ():
            if p.placed is not None:  # what the estimate says of tables, but for programs and the like
                held = held_bytes(p.described, p.described.targets[p.selection], p.selected.count)
                held += bytes_a_source(p.described) * p.n_sources
                assert held <= sum(int(t.nbytes) for t in p.placed.keep) < held + 1500
        rows, totals = simulation.rows, []
        for mine in (simulation.loop.synaptic_events, rows.synapses, rows.gids.size, rows.n_regrown):
            totals.append(comm.total(int(mine)))
        return found, *totals  # type: ignore[return-value]

    expected, *numbers, regrown = Threads.run(2, lambda comm: look(comm, "stored"))[0]
    found, *same, most = Threads.run(2, lambda comm: look(comm, "procedural"))[0]
    assert same == numbers and regrown == 0 and most > 40000
    for a, b in zip(expected, found, strict=True):
        for field in dataclasses.fields(a):
            assert np.array_equal(getattr(a, field.name), getattr(b, field.name)), field.name


def network(rule: Any, **how: Any) -> Network:
    made = Network("n")
    n = made.population("N", 40, "iaf_psc_exp", positions=grid([8, 5], [1.0, 1.0]), I_e=500.0)
    made.project(n, n, rule, **{"weight": 1.0, "delay": 1.5, "storage": "procedural", **how})
    return made


@pytest.mark.parametrize(
    ("rule", "how", "words"),
    [
        (
            FixedIndegree(3),
            {},
            r"projections\[0\].storage: found 'procedural' with the rule fixed_indegree; its dr",
        ),
        (OneToOne(), {"storage": "auto", "generate": "by_target"}, "auto.* with generate: by_target.*by_source"),
        (SymmetricPairwiseBernoulli(0.1), {}, "symmetric_pairwise_bernoulli; a pair belongs to both"),
        (Explicit((0,), (1,), (1.0,), (1.0,)), {"delay": 1.0}, "explicit; a list of connections is stored already"),
        (OneToOne(), {"generate": "by_target"}, "generate: by_target.*allowed: by_source"),
        (OneToOne(), {"weight": [1.0] * 40}, "a list as weight.*allowed: stored"),
        (OneToOne(), {"storage": "precedural"}, "storage: found 'precedural'; allowed: stored, procedural, auto"),
        (
            FixedIndegree(3, p=gaussian(0.2), mask=Circular(0.3)),
            {},
            "with the rule fixed_indegree.*allowed: stored",
        ),
    ],
)
def test_what_cannot_be_drawn_again(rule: Any, how: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        network(rule, **how)


@pytest.mark.parametrize(
    ("rule", "how"),
    [
        (FixedIndegree(3), {}),
        (FixedIndegree(3), {"generate": "by_target"}),
        (SymmetricPairwiseBernoulli(0.1), {}),
        (Explicit((0,), (1,), (1.0,), (1.0,)), {"delay": 1.0}),
        (AllToAll(), {"weight": [1.0] * 1600}),
        (OneToOne(), {"delay": [1.0] * 40, "generate": "by_target"}),
    ],
)
def test_auto_is_stored_where_it_must_be(rule: Any, how: dict[str, Any], tmp_path: Any) -> None:
    """To the letter what `stored` describes, whatever the memory; and a run of either goes on as the other."""
    asked, plain = (network(rule, **{**how, "storage": storage}) for storage in ("auto", "stored"))
    assert asked.projections == plain.projections
    document = described_document(Experiment(plain, RunSettings(1.0)), tmp_path)
    written = {**document, "projections": [{**document["projections"][0], "storage": "auto"}]}
    assert identity(written) == identity(document)


def test_auto_is_by_source_whatever_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored where it fits, drawn again where some rank has too little; one digest; the same for resuming."""
    how = {"weight": Normal(5.0, 9.0), "storage": "auto"}
    # Room for the rest of a small network, not for the 400 MB that its synapses would take.
    large = Experiment(network(FixedTotalNumber(10**8), **how), RunSettings(duration=1.0))
    rooms = iter((2**62, 3 * 10**8))
    monkeypatch.setattr(choosing, "available_bytes", lambda: next(rooms))
    for expected in ("stored", "procedural"):
        settled = choosing.storage_settled(large, Serial(), open_backend("cpu"))
        assert [p.storage for p in settled.network.projections] == [expected]
    monkeypatch.setattr(choosing, "available_bytes", lambda: 2**62)
    results = {
        storage: simulate(
            network(FixedTotalNumber(500), **{**how, "storage": storage}, generate="by_source"), duration=20.0,
            comm=Serial(), delivery="ring",
        ).summary
        for storage in ("stored", "procedural", "auto")
    }  # fmt: skip
    assert len({(s["spike_digest"], s["synaptic_events"], s["synapses"]) for s in results.values()}) == 1
    assert [s["procedural_synapses"] for s in results.values()] == [0, 500, 0]
    assert results["procedural"]["bytes_per_synapse"] < 0.5 * results["stored"]["bytes_per_synapse"]


def test_resuming_asks_what_is_drawn(tmp_path: Any) -> None:
    """Not whether it is stored."""

    def known(**how: Any) -> Any:
        return identity(
            described_document(Experiment(network(FixedTotalNumber(50), **how), RunSettings(1.0)), tmp_path)
        )

    assert known() == known(storage="auto") == known(storage="stored", generate="by_source")
    assert known() != known(storage="stored")


def test_estimate_of_what_is_not_stored() -> None:
    """Synapses are counted and take nothing; rows and the ring do."""
    for ranks in (1, 4):
        both = [estimate(drawn(storage), ranks) for storage in ("stored", "procedural")]
        assert both[0].synapses == pytest.approx(both[1].synapses) and both[0].rows == pytest.approx(both[1].rows)
        assert both[1].total.synapses < 0.2 * both[0].total.synapses
        assert both[1].total.rows > both[0].total.rows
    made = Simulation(drawn("procedural"), Serial(), open_backend("cpu"), tuning=Tuning(block_bits=4))
    stored = made.rows.bytes("single") + made.routing.bytes()
    assert estimate(drawn("procedural"), 1).bytes_per_synapse == pytest.approx(stored / made.rows.synapses, rel=0.15)


def test_lists_are_counted_for_hosts_alone() -> None:
    """A GPU has a ring and no lists: where the run fits without them it is not refused."""
    host, gpu = (estimate(drawn("procedural"), 1, lists_input=lists).largest for lists in (True, False))
    lists = sum(int(a.nbytes) for a in Simulation(drawn("procedural"), Serial(), open_backend("cpu")).input._lists)
    assert host.buffers - gpu.buffers == pytest.approx(lists, rel=0.02)
    room = int(1.05 * (gpu.running + gpu.construction)) + 1
    assert smallest_ranks(drawn("procedural"), room) == 1
    check_fits_device(drawn("procedural"), 1, 1, room)
    with pytest.raises(CapacityError):
        check_fits_device(drawn("procedural"), 1, 1, room - lists // 2)
    stored = [estimate(drawn("stored"), 1, lists_input=lists).largest for lists in (True, False)]
    assert stored[0] == stored[1]
