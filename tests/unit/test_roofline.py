"""The predictions of docs/benchmarks.md are the arithmetic that they show, and no outcome is made up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from distsim import Experiment, RunSettings
from distsim.backend import HostBackend
from distsim.cli.bench_bounds import operations_of
from distsim.comm import Serial
from distsim.engine.simulation import Simulation
from distsim.models import MODELS
from distsim.profile import DUE, RUN, Counts, bytes_moved
from distsim.published import microcircuit

NEURONS, SPIKES, EVENTS, RUNS_A_ROW = 77_169, 25, 96_000, 66
CACHE, MEMORY, BOUNDARY = 0.13, 0.35, 0.9  # µs
TEXT = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
SECTION = TEXT[TEXT.index("## One H200") : TEXT.index("## Where a step of the full-scale")]


def shown(number: str) -> bool:
    return number in SECTION


def test_work_of_a_step() -> None:
    runs = SPIKES * RUNS_A_ROW
    length = EVENTS / runs
    assert shown(f"{runs:,} of {length:.0f} synapses")
    assert shown(f"{runs * (round(length) * 4 + 32) / 1e3:.0f} kB")
    assert shown(f"{runs * RUN / 1e3:.0f} kB, 2 × {runs * DUE / 1e3:.0f} kB")
    assert shown(f"{(EVENTS + runs + 6 * SPIKES) / 1e3:.1f}".replace(".", ",") + "00")
    assert shown(f"{operations_of(MODELS['iaf_psc_exp'], 1) * NEURONS / 1e6:.2f} M")


def test_bytes_of_the_update_are_those_of_the_network() -> None:
    """Each neuron of the microcircuit moves as much at any scale."""
    simulation = Simulation(Experiment(microcircuit(0.02), RunSettings(1.0)), Serial(), HostBackend())
    n = simulation.layout.n_local
    counts = Counts(steps=1, spikes=0, synaptic_events=0, neuron_updates=n, runs=0.0)
    each = bytes_moved(simulation, counts)["update"] / n
    assert shown(f"{each:.0f} bytes a neuron") and shown(f"{each * NEURONS / 1e6:.2f} MB")


def test_kernels_and_rows_add_up() -> None:
    rate = 132 * 128 * 1.98e9
    adds = (EVENTS + SPIKES * RUNS_A_ROW + 6 * SPIKES) / 100e9 * 1e6
    deliver = BOUNDARY + 3 * CACHE + MEMORY + adds + CACHE
    update = BOUNDARY + 4 * CACHE + 0.15 + 3.55e6 / 5.5e12 * 1e6
    graph = 15 / 64
    assert shown(f"{rate / 1e12:.1f} T/s") and shown(f"= {deliver:.2f} µs") and shown(f"= {update:.2f} µs")
    step = deliver + update + graph
    assert shown(f"**{step:.1f} µs**") and shown(f"makes it {step * 1.05:.1f} µs")
    floor = BOUNDARY + 5 * CACHE + BOUNDARY + 4 * CACHE + 0.15 + graph
    assert shown(f"| {floor:.1f} |")
    big = 5e6 / 100e9 * 1e6
    whole = big + 2 * BOUNDARY + 44e6 / 4.3e12 * 1e6
    assert shown(f"= {whole:.0f} µs") and shown(f"| {5e6 / whole / 1e3:.0f} |")
    assert shown(f"| {250 * 0.055 / 0.96:.0f} |")


@pytest.mark.parametrize("row", [line for line in SECTION.splitlines() if re.search(r"\| (≤|≥|report)|events/s", line)])
def test_no_outcome_without_a_gpu(row: str) -> None:
    """Outcomes are pasted from launch/gpu-check; as long as the page says that no GPU ran, they are empty."""
    if "No GPU has been had so far" in " ".join(SECTION.split()):
        assert row.split("|")[-2].strip() == "", row
