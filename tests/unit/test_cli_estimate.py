"""distsim estimate against what runs allocate; and the refusal of what cannot fit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support import varied

from distsim import (
    AllToAll,
    Experiment,
    Explicit,
    Exponential,
    FixedIndegree,
    Lognormal,
    Network,
    Normal,
    NormalClipped,
    OneToOne,
    RunSettings,
    Uniform,
    UniformInt,
)
from distsim.backend import open_backend
from distsim.build import capacity
from distsim.build.estimate import Estimate, estimate
from distsim.build.expected_delays import delay_steps
from distsim.build.sampling import delays
from distsim.cli import main
from distsim.comm import Communicator, Serial, Threads
from distsim.config import load_experiment
from distsim.engine.simulation import Simulation
from distsim.errors import CapacityError
from distsim.kernels.sources import construction_source


def built(experiment: Experiment, n_ranks: int) -> list[Simulation]:
    def one(comm: Communicator) -> Simulation:
        return Simulation(experiment, comm, open_backend("cpu"))

    return [one(Serial())] if n_ranks == 1 else Threads.run(n_ranks, one)


def check(experiment: Experiment, n_ranks: int, tolerance: float) -> Estimate:
    """Synapses, runs, rows, routing and state of all ranks within `tolerance`."""
    found, simulations = estimate(experiment, n_ranks), built(experiment, n_ranks)
    double = experiment.run.precision == "double"
    synapses = sum(s.rows.n_synapses for s in simulations)
    runs, rows = sum(s.rows.n_runs for s in simulations), sum(s.rows.gids.size for s in simulations)
    routing = sum(s.routing.bytes() for s in simulations)
    assert found.synapses == pytest.approx(synapses, rel=tolerance)
    assert found.runs == pytest.approx(runs, rel=tolerance)
    assert found.rows == pytest.approx(rows, rel=tolerance)
    assert found.total.synapses == pytest.approx(synapses * (8 if double else 4), rel=tolerance)
    assert found.total.runs == pytest.approx(12 * runs, rel=tolerance)
    assert found.total.routing == pytest.approx(routing, rel=tolerance)
    stored = sum(s.rows.bytes(experiment.run.precision) for s in simulations) + routing
    assert found.bytes_per_synapse == pytest.approx(stored / synapses, rel=tolerance)
    state = sum(x.nbytes for s in simulations for g in s.groups for x in (*g.states.values(), *g.offsets.values()))
    state += sum(s.input.slot_bytes for s in simulations)
    assert state <= found.total.neurons
    return found


@pytest.mark.parametrize(("scale", "n_ranks"), [(0.1, 1), (0.1, 3), (0.3, 2)])
def test_the_microcircuit_to_half_a_percent(repo_root: Path, scale: float, n_ranks: int) -> None:
    loaded = load_experiment(repo_root / "configs/quickstart.yaml", [f"network.scale={scale}"])
    check(loaded.experiment, n_ranks, 0.005)


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("n_ranks", [1, 2])
def test_every_rule_distribution_and_model_at_once(precision: str, n_ranks: int) -> None:
    check(varied(precision, scale=6), n_ranks, 0.05)


def test_many_blocks_of_targets() -> None:
    """Sparse rows onto more than 65,536 targets: a run for each block."""
    network = Network()
    e = network.population("E", 150_000, "iaf_psc_exp")
    s = network.population("S", 300, "parrot_neuron")
    network.project(s, e, FixedIndegree(2), 1.0, NormalClipped(1.5, 0.75))
    found = check(Experiment(network, RunSettings(duration=1.0)), 1, 0.01)
    assert found.runs / found.rows > 1.5 * 63 * 0.8


def test_connections_known_for_certain() -> None:
    network = Network()
    a, b = network.population("a", 40, "parrot_neuron"), network.population("b", 40, "iaf_psc_exp")
    network.project(a, b, AllToAll(), 1.0, 0.5)
    network.project(a, b, OneToOne(), -1.0, 2.0)
    listed = Explicit((0, 0, 39), (1, 2, 3), (1.0, 1.0, -1.0), (3.0, 3.0, 4.0))
    network.project(b, b, listed)
    found = estimate(Experiment(network, RunSettings(duration=1.0)), 1)
    assert (round(found.synapses), round(found.runs), round(found.rows)) == (1643, 40 + 40 + 2, 40 + 2)
    assert check(Experiment(network, RunSettings(duration=1.0)), 2, 0.2).ranks == 2


@pytest.mark.parametrize(
    "value",
    [
        1.5, Uniform(0.1, 2.0), Normal(5.0, 0.4), NormalClipped(1.5, 0.75, 0.05), NormalClipped(0.75, 0.375, 0.05),
        NormalClipped(2.0, 1.0, 1.0, 2.5), Lognormal(0.5, 0.3), 0.5 + Exponential(1.0, max=4.0),
        4.0 - Lognormal(0.5, 0.3, max=3.0), 4.0 - UniformInt(0, 3),
    ],
)  # fmt: skip
def test_delays_have_the_steps_that_construction_gives_them(value: object) -> None:
    backend = open_backend("cpu")
    kernels = backend.compile(construction_source(False), "construct-single")
    table = delays(backend, kernels, value, 0.1)  # type: ignore[arg-type]
    ours = delay_steps(value, 0.1)  # type: ignore[arg-type]
    assert (ours.first, ours.last) == (table.first, table.last)
    words = np.concatenate(([0], backend.to_host(table.thresholds)[:-1].astype(float), [2.0**32]))
    np.testing.assert_allclose(ours.share, np.diff(words) / 2.0**32, atol=1e-6)


def run_and_measure(config: Path, out: Path, *arguments: str) -> int:
    """The peak of a run's process in bytes, figure included, as it logs it at its end."""
    command = [sys.executable, "-m", "distsim", "run", str(config), "--device", "cpu", "--out", str(out), "--log-file"]
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("PMI", "OMPI_", "SLURM_", "DISTSIM_RANKS"))}
    subprocess.run([*command, *arguments], stdout=subprocess.DEVNULL, env=environment, check=True)
    found = re.search(r"peak memory of this rank ([0-9.]+) MB", (out / "log.rank0000.txt").read_text())
    assert found
    return round(float(found[1]) * 1e6)


@pytest.mark.parametrize("scale", [0.1, 0.3])
def test_the_peak_of_a_run_to_a_tenth(repo_root: Path, tmp_path: Path, scale: float) -> None:
    config = repo_root / "configs/quickstart.yaml"
    peak = run_and_measure(config, tmp_path / "out", "--set", f"network.scale={scale}")
    command = [sys.executable, "-m", "distsim", "estimate", "--json", str(config), "--set", f"network.scale={scale}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["largest"]["peak"] == pytest.approx(peak, rel=0.1)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert found["bytes_per_synapse"] == pytest.approx(summary["bytes_per_synapse"], rel=0.005)
    assert found["synapses"] == summary["synapses"]


@pytest.mark.parametrize("n_ranks", [2, 64, 16384])
def test_it_is_quick_at_full_scale(repo_root: Path, n_ranks: int) -> None:
    experiment = load_experiment(repo_root / "configs/microcircuit.yaml").experiment
    began = time.perf_counter()
    found = estimate(experiment, n_ranks)
    assert time.perf_counter() - began < 2.0
    assert found.synapses == pytest.approx(298_880_968, rel=0.01)
    assert found.looked_at <= 64


def test_the_table(repo_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "-n", "2", str(repo_root / "configs/microcircuit.yaml")]) == 0
    out = capsys.readouterr().out
    assert "77,169 neurons, 298,880,968 synapses" in out
    assert "4.23 bytes a synapse" in out
    for words in ("synapses", "runs", "construction besides", "peak", "all ranks"):
        assert words in out


def test_a_wrong_number_of_ranks(repo_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "-n", "0", str(repo_root / "configs/balanced.yaml")]) == 2
    assert capsys.readouterr().err == "distsim: estimate -n: found 0; allowed: a number of ranks from 1 on\n"


def write_giant(path: Path) -> Path:
    path.write_text(
        "run: {duration: 1.0}\npopulations:\n  E: {model: iaf_psc_exp, size: 20000000}\n"
        "projections: [{source: E, target: E, rule: {fixed_indegree: 10000}}]\n"
    )
    return path


def test_what_cannot_fit_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_giant(tmp_path / "giant.yaml")
    began = time.perf_counter()
    assert main(["run", str(config), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    assert time.perf_counter() - began < 5.0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "memory: giant needs" in error and "200,000,000,000 synapses" in error and "--ignore-memory" in error
    assert re.search(r"needs \d+ GB for 1 rank here", error) and "available" in error
    assert not (tmp_path / "out").exists()


def test_what_fits_is_not_refused(repo_root: Path) -> None:
    experiment = load_experiment(repo_root / "configs/microcircuit.yaml").experiment
    capacity.check_fits(experiment, 2, 2, 10**13, 0)  # by the rough bound
    capacity.check_fits(experiment, 2, 2, int(1.5e9), 10**8)  # by the estimate
    with pytest.raises(CapacityError, match=r"for 2 ranks here .* found 1.3 GB"):
        capacity.check_fits(experiment, 2, 2, int(1.3e9), 10**8)
    with pytest.raises(CapacityError, match="1 rank here of 2"):
        capacity.check_fits(experiment, 2, 1, int(6e8), 10**8)


def test_ignoring_the_memory(repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distsim.cli.run.available_bytes", lambda: 10**5)
    short = ["--set", "run.duration=1.0", "--set", "run.warmup=0.0", "--device", "cpu", "-q"]
    command = ["run", str(repo_root / "configs/balanced.yaml"), *short]
    assert main([*command, "--out", str(tmp_path / "a")]) == 2
    assert main([*command, "--out", str(tmp_path / "b"), "--ignore-memory"]) == 0
    monkeypatch.setenv("DISTSIM_IGNORE_MEMORY", "1")
    assert main([*command, "--out", str(tmp_path / "c")]) == 0


def test_ranks_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_STEP_TASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)
    assert capacity.ranks_on_this_machine(8) == 8
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "4(x2)")
    assert capacity.ranks_on_this_machine(8) == 4
    monkeypatch.setenv("MPI_LOCALNRANKS", "2")
    assert capacity.ranks_on_this_machine(8) == 2


def test_memory_of_this_machine() -> None:
    available, total = capacity.available_bytes(), capacity.total_bytes()
    assert available is not None and total is not None
    assert 0 < available <= total
    assert 10**7 < capacity.resident_bytes() < total


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 B"), (1234, "1.23 kB"), (999_600, "1,000 kB"), (4.2e9, "4.2 GB"), (3.5e15, "3,500 TB")]
)
def test_sizes(n: float, text: str) -> None:
    assert capacity.size(n) == text
