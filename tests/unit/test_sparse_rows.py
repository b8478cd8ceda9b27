"""Rows that are sorted are those that are counted: on few ranks one way, on very many the other."""

from __future__ import annotations

import pytest
from readback import build

from distsim import (
    AllToAll,
    Experiment,
    Explicit,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    Network,
    Normal,
    NormalClipped,
    OneToOne,
    PairwiseBernoulli,
    RunSettings,
    SymmetricPairwiseBernoulli,
)
from distsim.build import rows as building
from distsim.build.chunks import KEY_BITS, SORT_BYTES, Chunk, bucket_bits, plan_chunks
from distsim.build.expected import Expectation
from distsim.build.partition import Layout
from distsim.build.quanta import plan_planes

BUDGET = 3000  # bytes of counters or keys: some hundred synapses


def sparse_network() -> Network:
    """Every way to draw, few synapses of each source, and a hub whose runs are longer than one may be."""
    net = Network("sparse")
    s, e = net.population("S", 1500, "parrot_neuron"), net.population("E", 700, "iaf_psc_exp")
    spread = NormalClipped(1.5, 0.75)
    net.project(s, e, FixedIndegree(2), Normal(0.0, 1.0), spread)
    net.project(s, e, FixedTotalNumber(800, multapses=False), 1.0, spread)
    net.project(s, e, PairwiseBernoulli(0.001), -1.0, 0.7)
    net.project(s, e, FixedOutdegree(1), 2.0, spread)
    net.project(s, e, PairwiseBernoulli(0.0005), 1.0, spread, generate="by_source")
    net.project(net.select(s, slice=[3, 4]), e, AllToAll(), 1.0, 2.5)
    net.project(e, e, SymmetricPairwiseBernoulli(0.002), 1.0, spread)
    net.project(net.select(s, slice=[0, 700]), e, OneToOne(), 1.0, 3.0)
    net.project(e, s, Explicit((0, 5, 5, 699), (1, 2, 2, 1499), (1.0,) * 4, (1.0, 1.5, 1.5, 3.0)))
    return net


def planned(monkeypatch: pytest.MonkeyPatch) -> list[Chunk]:
    """Fills with the chunks that are built from now on."""
    found: list[Chunk] = []

    def watched(*arguments: object) -> list[Chunk]:
        chunks = plan_chunks(*arguments)  # type: ignore[arg-type]
        found.extend(chunks)
        return chunks

    monkeypatch.setattr(building, "plan_chunks", watched)
    return found


@pytest.mark.parametrize(("n_ranks", "block_bits"), [(1, 16), (3, 5)])
def test_sorted_rows_are_the_counted_ones(n_ranks: int, block_bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every synapse, run, row and first delay; `build` asserts what delivery relies on, such as the order of runs."""
    chunks = planned(monkeypatch)
    counted = build(sparse_network(), n_ranks=n_ranks, block_bits=block_bits)
    assert chunks and all(c.expected is None for c in chunks)
    chunks.clear()
    found = build(sparse_network(), n_ranks=n_ranks, block_bits=block_bits, cell_budget=BUDGET)
    assert sum(c.expected is not None for c in chunks) > 2 * n_ranks
    monkeypatch.setattr("distsim.build.chunks.CELLS_A_SYNAPSE", 1e9)
    chunks.clear()
    by_parts = build(sparse_network(), n_ranks=n_ranks, block_bits=block_bits, cell_budget=50 * BUDGET)
    assert len(chunks) > 5 * n_ranks and all(c.expected is None for c in chunks)
    for a, b, c in zip(counted, found, by_parts, strict=True):
        assert a.n > 600 and a.same(b) and a.same(c)


def test_chunks_of_more_synapses_than_can_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are cut again, whatever was expected of them."""
    chunks, counted = planned(monkeypatch), build(sparse_network())
    monkeypatch.setattr(building, "SYNAPSES_OF_A_CHUNK", 800)
    chunks.clear()
    found = build(sparse_network(), cell_budget=12_000)
    assert any(c.expected is not None and c.expected > 800 for c in chunks)
    assert found[0].same(counted[0])


def chunk(n_sources: int, expected: float) -> Chunk:
    return Chunk(0, n_sources, (), expected)


@pytest.mark.parametrize("n_cells", [1, 80, 65_536, 2**31 - 1])
@pytest.mark.parametrize(
    ("n_sources", "expected"), [(1, 5.0), (1000, 0.0), (10**5, 3e4), (82_000_000, 5e6), (300, 9e9)]
)
def test_buckets(n_sources: int, expected: float, n_cells: int) -> None:
    """Keys fit 32 bits; where cells leave the choice, about 32 synapses are sorted together."""
    bits = bucket_bits(chunk(n_sources, expected), n_cells)
    assert bits >= 0 and 2**bits * n_cells <= 2**KEY_BITS
    together = expected * 2**bits / n_sources
    assert bits == 0 or together <= 32.0
    assert (
        together > 16.0 or 2 ** (bits + 1) * n_cells > 2**KEY_BITS or 2**bits > n_sources or expected > 32.0 * n_sources
    )


@pytest.mark.parametrize("times", [1, 100, 10_000])
def test_work_goes_with_the_synapses_not_with_all_neurons(times: int) -> None:
    """250 neurons and 25,000 synapses a rank: as few chunks, of as many keys, however many neurons are elsewhere."""
    net = Network("weak")
    e = net.population("E", 10_000 * times, "iaf_psc_exp")
    net.project(e, e, FixedIndegree(100), 1.0, NormalClipped(1.5, 0.75))
    experiment = Experiment(net, RunSettings(duration=1.0))
    layout = Layout.of(experiment, 7, 40 * times)
    here = Expectation(experiment, plan_planes(net, "single"), [1]).rank(layout)
    chunks = plan_chunks(net.populations, here.local, here.columns_of, 10**5)
    assert len(chunks) == 2 and chunks[0].low == 0 and chunks[-1].high == e.size
    assert sum(c.expected or 0.0 for c in chunks) == pytest.approx(25_000)
    assert all(c.expected is not None and SORT_BYTES * c.expected <= 10**5 for c in chunks)
