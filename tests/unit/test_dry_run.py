"""The dry run of one rank against the same rank of a real run; what it refuses; its table."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from distsim import (
    Experiment,
    Explicit,
    FixedIndegree,
    FixedTotalNumber,
    Network,
    NormalClipped,
    OneToOne,
    RunSettings,
)
from distsim.backend import open_backend
from distsim.build.capacity import parse_size, smallest_ranks
from distsim.build.estimate import estimate
from distsim.build.others import _drawn
from distsim.cli import main
from distsim.comm import Communicator, Threads
from distsim.comm_dry import DryRun
from distsim.dry_run import dry_run
from distsim.engine.footprint import Footprint, footprint
from distsim.engine.simulation import Simulation
from distsim.errors import CapacityError, CommunicationError, ConfigError


def network(**run: object) -> Experiment:
    """Rules whose needs are drawn, known for certain and listed; 203 and 97 divide by no number of ranks."""
    net = Network("dry")
    e, i = net.population("E", 203, "iaf_psc_exp"), net.population("I", 97, "iaf_psc_exp")
    s = net.population("S", 203, "parrot_neuron")
    net.project(e, [e, i], FixedIndegree(5), 1.0, NormalClipped(1.5, 0.75))
    net.project(i, e, FixedTotalNumber(900), -1.0, NormalClipped(0.8, 0.4))
    net.project(s, e, OneToOne(), 1.0, 1.0)
    net.project(s, i, Explicit(tuple(range(90)), tuple(range(90, 0, -1)), (1.0,) * 90, (2.0,) * 90))
    return Experiment(net, RunSettings(duration=10.0, **run))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n_ranks", "run"),
    [
        (2, {}),
        (3, {"partition": "block"}),
        (3, {"partition": {"E": 0, "I": 1, "S": 1}}),
        (4, {"partition": "balanced"}),
    ],
)
def test_it_is_that_rank_of_a_real_run(n_ranks: int, run: dict[str, object]) -> None:
    """All that is local to the byte; what others need within five standard deviations of a Poisson number."""
    experiment = network(**run)

    def real(comm: Communicator) -> tuple[Footprint, int, int, int, int, int]:
        s = Simulation(experiment, comm, open_backend("cpu"))
        where = s.routing
        return footprint(s), s.rows.n_runs, s.rows.gids.size, s.interval, where.rank.size, where.destinations.size

    for rank, (memory, runs, rows, interval, needed, ranks) in enumerate(Threads.run(n_ranks, real)):
        found = dry_run(experiment, rank, n_ranks, open_backend("cpu"))
        for kind in ("neurons", "synapses", "runs", "rows", "buffers", "recording"):
            assert getattr(found.memory, kind) == getattr(memory, kind), (rank, kind)
        assert (found.runs, found.rows, found.traffic.interval) == (runs, rows, interval)
        assert abs(found.entries - needed) <= 5.0 * needed**0.5
        assert abs(found.memory.routing - memory.routing) <= 8 * 5.0 * needed**0.5
        assert found.traffic.ranks_out == ranks


@pytest.mark.parametrize("how", ["auto", "listed", "broadcast"])
def test_broadcast_sources(how: Any) -> None:
    """Sources that most ranks need: entries, and the empty rows of others' sources, to a tenth."""
    net = Network("broadcast")
    s, e = net.population("S", 600, "parrot_neuron"), net.population("E", 240, "iaf_psc_exp")
    net.project(s, e, FixedIndegree(70), 1.0, NormalClipped(1.5, 0.75))
    net.project(e, e, Explicit((0, 0, 0, 9), (1, 2, 3, 10), (-1.0,) * 4, (1.0,) * 4))
    experiment = Experiment(net, RunSettings(duration=1.0, routing=how))

    def real(comm: Communicator) -> tuple[int, int, int]:
        built = Simulation(experiment, comm, open_backend("cpu"))
        return built.routing.rank.size, built.rows.n_empty, footprint(built).rows

    def dry(rank: int) -> tuple[int, int, int]:
        found = dry_run(experiment, rank, 8, open_backend("cpu"))
        each = 34 if how == "listed" else 38  # rows have numbers where some are broadcast
        return found.entries, (found.memory.rows - each * found.rows) // 24, found.memory.rows

    totals = np.sum(Threads.run(8, real), axis=0)
    found = np.sum([dry(rank) for rank in range(8)], axis=0)
    assert bool(totals[1]) == (how != "listed")
    assert np.abs(found[::2] / totals[::2] - 1.0).max() < 0.1 and abs(found[1] - totals[1]) <= 5.0 * totals[1] ** 0.5


def test_listed_needs_are_exact() -> None:
    net = Network("listed")
    s, e = net.population("S", 40, "parrot_neuron"), net.population("E", 60, "iaf_psc_exp")
    edges = [(k % 40, (7 * k) % 60) for k in range(120)]
    net.project(s, e, Explicit(*(tuple(x) for x in zip(*edges, strict=True)), (1.0,) * 120, (1.0,) * 120))
    net.project(e, e, Explicit((0,), (1,), (-1.0,), (1.0,)))
    experiment = Experiment(net, RunSettings(duration=1.0))

    def real(comm: Communicator) -> int:
        return int(Simulation(experiment, comm, open_backend("cpu")).routing.rank.size)

    needed = Threads.run(4, real)
    assert [dry_run(experiment, rank, 4, open_backend("cpu")).entries for rank in range(4)] == needed


def test_messages_follow_rate_and_interval() -> None:
    """Every entry of the routing table is a message for each spike."""
    experiment = network()
    found = [dry_run(experiment, 1, 2, open_backend("cpu"), rate).traffic for rate in (10.0, 40.0)]
    entries = dry_run(experiment, 1, 2, open_backend("cpu")).entries
    assert found[0].messages_out == pytest.approx(entries * 10.0 * found[0].interval * 1e-4)
    assert found[1].messages_in == pytest.approx(4.0 * found[0].messages_in)
    alone = dry_run(experiment, 0, 1, open_backend("cpu"))
    assert (alone.entries, alone.traffic.messages_out, alone.traffic.words_out) == (0, 0.0, 0)


@pytest.mark.parametrize(("n", "chance"), [(100_000, 0.3), (10**9, 1e-6), (1000, 1.0), (1000, 0.0), (0, 0.5)])
def test_drawn_pairs(n: int, chance: float) -> None:
    """Ascending, in range, and as many as a binomial number is within five standard deviations."""
    found = _drawn(np.random.default_rng(1), n, chance)
    assert (np.diff(found) > 0).all() and (not found.size or 0 <= found[0] <= found[-1] < n)
    assert abs(found.size - n * chance) <= 5.0 * (n * chance * (1.0 - chance)) ** 0.5
    if found.size > 1000:
        assert abs(found.mean() / n - 0.5) < 5.0 / (12.0 * found.size) ** 0.5


class Alike:
    """Others who say what this rank says."""

    def exchange_lists(self, lists: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        return list(lists)

    def share(self, array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        return [array] * 3

    def largest(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return values + 1


def test_nobody_else_is_there() -> None:
    comm = DryRun(1, 3, Alike())
    words, counts = np.zeros(3, np.uint32), np.array([1, 1, 1])
    prepared = comm.prepare(words, counts, counts, words, 2 * counts, counts)
    assert (comm.sent_words, comm.received_words) == (2, 4)
    near = comm.neighbours(np.array([1, 2]), np.array([1]))
    near.prepare(words, counts[:1], counts, words, 5 * counts[:2], counts)
    assert (comm.sent_words, comm.received_words) == (0, 5)
    assert comm.total(5) == 15 and comm.minimum(5) == 5 and comm.reduce(counts, "max")[0] == 2
    with pytest.raises(CommunicationError, match="nobody else"):
        prepared.run()


def test_the_smallest_number_of_devices() -> None:
    net = Network("large")
    e = net.population("E", 100_000, "iaf_psc_exp")
    net.project(e, e, FixedIndegree(1000), 1.0, NormalClipped(1.5, 0.75))
    experiment = Experiment(net, RunSettings(duration=10.0))
    fewest = smallest_ranks(experiment, 50 * 10**6)
    assert fewest is not None

    def needed(ranks: int) -> float:
        largest = estimate(experiment, ranks).largest
        return 1.05 * (largest.running + largest.construction)

    assert needed(fewest) <= 50e6 < needed(fewest - 1)
    assert smallest_ranks(experiment, 10**5) is None
    assert smallest_ranks(experiment, 10**12) == 1
    mapped = dataclasses.replace(experiment, run=dataclasses.replace(experiment.run, partition={"E": 2}))
    assert smallest_ranks(mapped, 10**12) == 3


@pytest.mark.parametrize(
    ("text", "found"), [("141GB", 141 * 10**9), ("80 GiB", 80 * 2**30), ("1.5TB", 15 * 10**11), ("4096", 4096)]
)
def test_sizes(text: str, found: int) -> None:
    assert parse_size(text, "x") == found


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "12 apples", "0", "1e9", "5 kb"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(ConfigError, match=r"x: found .* such as 141GB"):
        parse_size(text, "x")


def test_table_and_json(repo_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["estimate", "--dry-run", "--ranks", "64", str(repo_root / "configs/balanced.yaml")]
    assert main([*command, "--rank", "7", "--device-memory", "100MB"]) == 0
    out = capsys.readouterr().out
    assert "rank 7 of 64, built alone" in out and "messages" in out and "every neuron at 5 Hz" in out
    assert "devices of 100 MB: 1 is expected to do" in out
    assert main([*command, "--rank", "7", "--json", "--rate", "8"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ranks"] == 64 and found["memory"]["synapses"] == 4 * found["synapses"]
    assert found["traffic"]["interval_ms"] == pytest.approx(0.1 * found["traffic"]["interval"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dry-run", "--ranks", "4", "--rank", "4"], "rank: found 4; allowed: a rank of 4, counted from 0"),
        (["--rank", "1"], "estimate --rank: found without --dry-run; allowed: with it"),
        (["--rate", "-1"], "estimate --rate: found -1; allowed: Hz, from 0 to 1,000,000"),
        (["--device-memory", "much"], "estimate --device-memory: found 'much'; allowed: a number of bytes"),
    ],
)
def test_wrong_options(
    options: list[str], message: str, repo_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["estimate", *options, str(repo_root / "configs/balanced.yaml")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_share_that_does_not_fit_here(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distsim.dry_run.available_bytes", lambda: 10**6)
    with pytest.raises(CapacityError, match="1 rank in a dry run"):
        dry_run(network(), 0, 2, open_backend("cpu"))
    assert dry_run(network(), 0, 2, open_backend("cpu"), ignore_memory=True).synapses > 0


def test_rate_bins_and_written_connections_are_estimated() -> None:
    """Each adds what it needs and nothing else: 2 to 3 MiB of bins, 180 bytes for each connection in a window."""
    plain, counted, dumped = network(), network(), network()
    counted.network.record_rates(1.0)
    dumped.network.record_connections(0)
    base, bins, edges = (estimate(x, 1).largest for x in (plain, counted, dumped))
    assert 2 * 2**20 <= bins.recording - base.recording <= 3 * 2**20
    assert edges.recording == base.recording
    quiet = [dataclasses.replace(x, run=RunSettings(duration=0.0)) for x in (plain, dumped)]
    writing = [estimate(x, 1).largest.writing for x in quiet]
    assert writing == [0.0, 180.0 * 5 * 300]
