"""Beyond 2^32 synapses a rank: nothing that adds up over rows is held in 32 bits."""

from __future__ import annotations

import mmap
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import support

from distsim import AllToAll, BuildError, Experiment, FixedIndegree, Network, Normal, RunSettings, Uniform
from distsim.backend import open_backend
from distsim.build import rows
from distsim.comm import Serial
from distsim.engine.simulation import Simulation
from distsim.kernels.connect import LONGEST_RUN

FAR = 2**32 + 2**31  # synapses: 24 GB, of which only touched pages take memory


def network() -> Experiment:
    described = Network()
    n = described.population("N", 60, "iaf_psc_exp", I_e=Uniform(300.0, 900.0))
    described.project(n, n, FixedIndegree(20), Normal(0.0, 60.0), Uniform(0.1, 3.0))
    return Experiment(described, RunSettings(duration=60.0))


def test_rows_lie_anywhere() -> None:
    """Delivery from rows more than 2^32 synapses apart, and from runs that begin near the end of a row of 2^32."""
    expected = support.run(network())
    simulation = Simulation(network(), Serial(), open_backend("cpu"))
    memory = mmap.mmap(
        -1, FAR * 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    )
    far = np.frombuffer(memory, np.int32)
    runs, synapses = simulation.rows.segments
    table = np.asarray(simulation.rows.table)
    run_words = np.asarray(runs).reshape(-1, 3)
    for i, (synapses_at, runs_at, _) in enumerate(table.tolist()):
        first = (runs_at - runs.ctypes.data) // 12
        last = first + (int(table[i, 2]) & 0xFFFFFFFF)
        n = int(run_words[last - 1, 0] + run_words[last - 1, 1])
        row = synapses[(synapses_at - synapses.ctypes.data) // 4 :][:n]
        # Every other row begins at the start of the memory, and its runs near 2^32.
        at, offset = (2**32 - 1000 * (i + 1),) * 2 if i % 2 else (FAR - 1000 * (i + 1), 0)
        far[at : at + n] = row
        table[i, 0] = far.ctypes.data + 4 * (at - offset)
        run_words[first:last, 0] += np.uint32(offset)
    synapses[:] = 0  # nobody may read the old place
    simulation.run_to(simulation.end)
    found = simulation.digest()
    assert (str(found), found.count) == (expected.digest, expected.count) and expected.count
    del far
    simulation.rows.segments.clear()


def test_a_chunk_with_too_many_synapses_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells count with 32 bits: where a chunk of sources has more synapses than that, it becomes several."""
    expected = support.run(network())
    monkeypatch.setattr(rows, "SYNAPSES_OF_A_CHUNK", 150)
    built = Simulation(network(), Serial(), open_backend("cpu"))
    assert len(built.rows.segments) > 2 * 1200 // 150
    assert max(s.size for s in built.rows.segments[1::2]) <= 150 and built.rows.n_synapses == 1200
    built.run_to(built.end)
    assert str(built.digest()) == expected.digest
    monkeypatch.setattr(rows, "SYNAPSES_OF_A_CHUNK", 10)
    with pytest.raises(BuildError, match=r"one source: found \d+ synapses on one rank; allowed: 2\^32 - 1"):
        Simulation(network(), Serial(), open_backend("cpu"))


def test_cuts_add_up_beyond_32_bits() -> None:
    """Ten thousand million synapses, 10,000 a source, without gap or overlap."""
    before = np.arange(10**6, dtype=np.uint64) * np.uint64(10_000)
    cuts = rows._cut(before, 10**10)
    assert cuts[0][0] == 0 and cuts[-1][1] == 10**6
    assert all(a[1] == b[0] for a, b in pairwise(cuts))
    assert all((high - low) * 10_000 < 2**32 for low, high in cuts) and len(cuts) == 3


def test_long_runs_are_cut() -> None:
    """A source with thousands of synapses of one delay: several runs, as many as the wheel makes room for."""
    described = Network()
    n = described.population("N", 3, "iaf_psc_exp", I_e=900.0)
    many = described.population("M", 2000, "iaf_psc_exp")
    described.project(n, many, AllToAll(), 30.0, 1.0)
    experiment = Experiment(described, RunSettings(duration=40.0))
    simulation: Any = Simulation(experiment, Serial(), open_backend("cpu"))
    assert simulation.rows.n_runs == 3 * -(-2000 // LONGEST_RUN) and simulation.rows.runs_per_slot == 4
    simulation.run_to(simulation.end)
    assert simulation.loop.synaptic_events == 2000 * sum(simulation.spike_counts()[:1])
