"""bench: networks that try one limit each, bounds from a known machine, wrong options, and its table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import standin_cupy

from distsim.backend import HostBackend
from distsim.backend.cuda import CudaBackend
from distsim.cli import (
    bench,
    bench_bounds,
    bench_machine,
    bench_models,
    bench_procedural,
    bench_scaling,
    bench_synthetic,
    main,
)
from distsim.cli.bench import Setting
from distsim.cli.bench_bounds import Work, bounds, nearest_bound, operations_of, work_of
from distsim.cli.bench_machine import MachineFigures, Sizes, measure
from distsim.config import load_experiment
from distsim.models import MODELS

SMALL = Sizes(2**20, 2**16, 2**12, 2**10, 64, 16, 10)
# Round figures: 1 µs a launch, 500 ns and 200 ns a load, 4 TB/s, 100 G adds/s, 10 T operations/s.
MACHINE = MachineFigures(1e-6, 1e-5, 5e-7, 2e-7, 4e12, 1e11, 1e13, 50 * 2**20, 4.8e12, "cuda (made up)")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_figure_is_measured(device: str) -> None:
    """On the host, and on the stand-in: it shows that the calls are those of a GPU, not what one can do."""
    backend = HostBackend() if device == "cpu" else CudaBackend(standin_cupy.Cupy())
    found = measure(backend, SMALL)
    for name in ("launch", "round_trip", "latency", "cached_latency", "bandwidth", "atomics", "operations"):
        assert 0.0 < getattr(found, name) < 1e15, name
    assert found.peak_bandwidth == (None if device == "cpu" else 2 * 1e9 * 1024 / 8)
    assert found.cache_bytes >= 0 and found.launch < found.round_trip * 2
    assert len(found.lines()) == 5


def test_a_load_takes_longer_than_a_cached_one() -> None:
    """The chain is one cycle through all places in no order: it can be neither prefetched nor cut short."""
    chain = bench_machine._one_cycle(1000)
    at, seen = 0, set()
    for _ in range(1000):
        seen.add(at)
        at = int(chain[at])
    assert at == 0 and len(seen) == 1000
    assert np.abs(np.diff(chain.astype(np.int64))).mean() > 200


def test_copies_and_adds_are_done() -> None:
    """Catches a figure of a kernel that does nothing: what it leaves is checked, on the host."""
    from distsim.kernels.machine import Machine, machine_source

    kernels = HostBackend().compile(machine_source(), "machine")
    source, target = np.arange(64, dtype=np.uint32), np.zeros(64, np.uint32)
    arguments = Machine(to=target.ctypes.data, n=16)
    setattr(arguments, "from", source.ctypes.data)
    kernels.launch("copy", arguments, 16)
    assert np.array_equal(source, target)
    sums = np.zeros(256, np.uint32)
    kernels.launch("scatter", Machine(to=sums.ctypes.data, n=10, mask=255), 10)
    assert sums.sum() == 2560 and np.count_nonzero(sums) > 200
    chain, end = bench_machine._one_cycle(100), np.zeros(1, np.uint32)
    arguments = Machine(to=end.ctypes.data, rounds=3)
    setattr(arguments, "from", chain.ctypes.data)
    kernels.launch("chase", arguments, 1)
    assert end[0] == chain[chain[chain[0]]]
    numbers = np.zeros(512, np.float32)
    kernels.launch("multiply", Machine(to=numbers.ctypes.data, n=2, rounds=2), 2)
    x = np.float32(5)
    for _ in range(2):
        x = x * np.float32(0.999) + np.float32(0.5)
    assert numbers[5] == numbers[256 + 5] == x


def test_bounds_are_the_arithmetic() -> None:
    work = Work(launches=2, loads=8, memory_loads=2, bytes=8e6, atomics=1e5, operations=2e6)
    found = bounds(work, MACHINE)
    assert found == pytest.approx({
        "launch latency": 2e-6, "dependent latency": 2.6e-6, "bandwidth": 2e-6, "atomics": 1e-6, "compute": 2e-7,
    })  # fmt: skip
    assert nearest_bound(work, MACHINE, 5.2e-6) == "dependent latency (2.6 µs, 50% of the step)"
    assert nearest_bound(replace(work, bytes=4e7), MACHINE, 1e-5) == "bandwidth (10 µs, 100% of the step)"


def summary(**changes: Any) -> dict[str, Any]:
    """Of 1000 steps of a network of 1 G synapses on one GPU."""
    kernels = [{"launches_measured": n} for n in (100, 100, 100, 10)]
    return {
        "device": "cuda", "ranks": 1, "dt": 0.1, "exchange_interval": 6.4, "precision": "single",
        "synapses": 10**9, "bytes_per_synapse": 4.1, "neurons": 10**6,
        "profile": {
            "kernels": kernels, "bytes_estimated": {"update": 40 * 10**9},
            "counts": {"steps": 1000, "synaptic_events": 5 * 10**8, "spikes": 500_000, "runs_estimated": 10**6,
                       "neuron_updates": 10**9},
        },
        **changes,
    }  # fmt: skip


def test_work_of_a_run() -> None:
    """Counts a step; what fits into the cache is no traffic; two ranks share the work."""
    model = MODELS["iaf_psc_exp"]
    found = work_of(summary(), model, 30 * 2**20)
    assert found.launches == pytest.approx(3.1)
    assert found.bytes == pytest.approx((4 * 5e8 + 44 * 1e6 + 64 * 5e5) / 1000)  # 20 MB of states stay in cache
    assert work_of(summary(), model, 2**20).bytes == pytest.approx(found.bytes + 40e6)
    assert work_of(summary(), model, 2**33).bytes == 0 and work_of(summary(), model, 2**33).memory_loads == 0
    assert found.atomics == pytest.approx((5e8 + 1e6 + 5e5) / 1000)
    assert work_of(summary(ranks=2), model, 30 * 2**20).atomics == pytest.approx(found.atomics / 2)
    assert work_of(summary(device="cpu"), model, 1).launches == pytest.approx(1 / 64)
    assert found.operations == pytest.approx(operations_of(model, 0) * 1e6)
    assert 10 < operations_of(model, 0) < 60
    assert operations_of(model, 2) == operations_of(model, 0) + 2 * bench_bounds.POISSON_OPERATIONS


@pytest.mark.parametrize("document", [
    bench_synthetic.floor_document(3, 100.0), bench_synthetic.random_document(1000, 100_000, 1, 100.0),
    bench_synthetic.random_document(1000, 100_000, 4, 100.0),
], ids=["floor", "random", "delays"])  # fmt: skip
def test_documents_are_valid(document: dict[str, Any], tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps(document))
    network = load_experiment(config, []).experiment.network
    assert network.populations[0].size == (15 if document["name"] == "floor" else 1000)


def test_the_large_network_is_described_too(tmp_path: Path) -> None:
    """That of the GPU: the sum of its inputs fits, and rates stay at 5 Hz for any in-degree."""
    (tmp_path / "c.yaml").write_text(json.dumps(bench_synthetic.random_document(10**6, 10**10, 1, 200.0)))
    assert main(["check", str(tmp_path / "c.yaml")]) == 0


def test_the_command_measures_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """All three, small: one table, the same in JSON; `random` and `memory` share their runs."""
    started: list[tuple[str, tuple[str, ...]]] = []
    real = bench.run_document

    def counted(document: dict[str, Any], ranks: int, device: str = "auto", *options: str) -> dict[str, Any]:
        started.append((document["name"], options))
        return real(document, ranks, device, *options)

    monkeypatch.setattr(bench, "run_document", counted)
    monkeypatch.setattr(bench, "measured_machine", lambda device, ranks: MACHINE)
    out, saved = tmp_path / "t.md", tmp_path / "b.json"
    sizes = ["--neurons", "2000", "--synapses", "200000", "--duration", "400", "--repeat", "2"]
    command = ["bench", "floor", "random", "memory", "-n", "1", "--device", "cpu", *sizes]
    assert main([*command, "--out", str(out), "--json", str(saved)]) == 0
    table = capsys.readouterr().out
    assert out.read_text().strip() == table.strip()
    runs = [(name, options) for name in ("floor", "random") for options in (("--profile",), (), ())]
    assert sorted(started) == sorted(runs)
    for word in (
        "step floor, 5 neurons a rank, 1 rank",
        "2,000 neurons, 200,000 synapses",
        "nearest bound",
        "copy 4e+03 GB/s",
    ):
        assert word in table, word
    found = json.loads(saved.read_text())
    assert found["passed"] and found["machine"]["bandwidth"] == 4e12 and len(found["summaries"]) == 4
    rows = {row["what"]: row["figure"] for row in found["rows"]}
    assert rows["… rate (Hz), synapses a run"] == "5, 100", "the ramp fires at 5 Hz, a run is an out-degree"
    assert float(rows["random network, 2,000 neurons, 200,000 synapses, 1 rank: bytes a synapse, all indices"]) < 5.0


def test_another_rate_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network has to be what its figures are for."""
    found = {**summary(), "rates": {"N": 4.0}, "duration": 100.0, "seconds": {"simulate": 1.0}, "synaptic_events": 5}
    found["profile"]["phase_seconds"] = {"deliver": 0.5}
    monkeypatch.setattr(bench, "run_document", lambda *a: found)
    setting = Setting(1, 1, "cpu", kept={"machine": MACHINE})
    rows, good = bench_synthetic.random(setting)
    assert not good and any("of what the device tells" in row.figure for row in rows)
    found["rates"] = {"N": 5.1}
    assert bench_synthetic.random(Setting(1, 1, "cpu", kept={"machine": MACHINE}))[1]


def test_what_is_drawn_again_has_to_be_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The documents are one network and differ in storage; another digest fails."""
    digests = {"stored": "1", "procedural": "1"}

    def run(document: dict[str, Any], *_: Any) -> dict[str, Any]:
        (kind,) = {p.get("storage", "stored") for p in document["projections"]}
        assert all(p["generate"] == "by_source" for p in document["projections"])
        seconds = {"simulate": 1.0 + 3.0 * (kind == "procedural"), "build": 1.0}
        counts = {"synaptic_events": 10, "synapses": 100, "neurons": 20, "bytes_per_synapse": 0.0}
        return {"spike_digest": digests[kind], "seconds": seconds, **counts}

    monkeypatch.setattr(bench, "run_document", run)
    rows, good = bench_procedural.procedural(Setting(1, 1, "cpu", 800))
    assert good and rows[0].figure == "4"
    digests["procedural"] = "2"
    assert not bench_procedural.procedural(Setting(1, 1, "cpu", 800))[1]


@pytest.mark.parametrize(("options", "said"), [
    (["floor", "--repeat", "0"], "--repeat: found 0; allowed: a whole number from 1 on"),
    (["random", "--neurons", "-5"], "--neurons: found -5"),
    (["random", "--neurons", "10", "--synapses", "5"], "--synapses: found 5; allowed: as many as neurons"),
    (["floor", "--duration", "0"], "--duration: found 0; allowed: ms"),
    (["flor"], "did you mean 'floor'?"),
])  # fmt: skip
def test_wrong_options_are_one_line(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *options, "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error


def test_ranks_measure_beside_one_another() -> None:
    """A process each, as ranks; a failure is told in a line."""
    with pytest.raises(Exception, match="bench_machine nowhere failed"):
        bench_machine.measured_machine("nowhere", 2)


def test_models_are_measured_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a model that the benchmark leaves out, a figure that is none, bytes that are not those of the states."""
    monkeypatch.setattr(bench_models, "UPDATES", 2e4)
    monkeypatch.setattr(bench_models, "POPULATIONS", 3)
    chosen = ("iaf_psc_exp", "spike_generator")
    monkeypatch.setattr(bench_models, "MODELS", {name: MODELS[name] for name in chosen})
    rows, good = bench_models.models(Setting(1, 1, "cpu", 64))
    assert good and [r.what.split()[2] for r in rows[:-1]] == [f"{name}," for name in chosen]
    for row in rows:
        assert all(float(figure) > 0.0 for figure in row.figure.split(" / "))
    assert rows[0].bar == "moves 28 / 52 bytes"  # V_m, I_syn_ex, I_syn_in and 16 bits, read and written
    assert "3 populations" in rows[-1].what


def test_weak_scaling_is_judged_by_its_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """One share is built for real; how four of them are compared is shown with shares made from it."""
    found = bench_scaling._dry_run(bench_scaling.scaling_document(64, 50, 500), 64, "cpu")
    assert found["rank"] == 1 and found["neurons"] == 50
    assert found["synapses"] == pytest.approx(500, abs=6 * 500**0.5)

    def grown(document: dict[str, Any], ranks: int, device: str) -> dict[str, Any]:
        assert document["populations"]["E"]["size"] == 40 * ranks
        seconds = {**found["seconds"], "rows": 1.0 if ranks < 16_384 else last}
        return {**found, "seconds": seconds}

    monkeypatch.setattr(bench_scaling, "_dry_run", grown)
    setting = Setting(1, 1, "cpu", 50, 500)
    for last, good in ((1.9, True), (2.1, False)):
        rows, fine = bench_scaling.weak_scaling(setting)
        assert fine is good and len(rows) == 5 and rows[-1].figure == f"{last:.2f}"
