"""--profile: kernels and phases add up, nothing of the result changes, and a normal run pays nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import standin_cupy
import standin_streams
import support

from distsim import Experiment, Network, RunSettings
from distsim.backend import Backend, HostBackend, cuda_profile
from distsim.backend.cuda import CudaBackend
from distsim.backend.cuda_profile import CudaProfiler
from distsim.backend.profile import Profiler, phase_of
from distsim.cli import main
from distsim.cli.profile_table import profile_table
from distsim.comm import Serial, Threads
from distsim.engine.simulation import Simulation
from distsim.kernels.sources import LOOP_KERNELS
from distsim.runner import run_experiment


def summaries(experiment: Experiment, ranks: int, profile: bool, make: Any = HostBackend) -> list[dict[str, Any]]:
    """The summary on every rank."""

    def work(comm: Any) -> dict[str, Any]:
        return dict(run_experiment(experiment, comm, make(), profile=profile).summary)

    with support.optimised("-O1"):
        return [work(Serial())] if ranks == 1 else Threads.run(ranks, work)


def on_stand_in() -> Backend:
    cupy = standin_cupy.Cupy()
    cupy.elapsed = standin_streams.kernels_between
    return CudaBackend(cupy, loop="graph")


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_host_measures_every_kernel(ranks: int) -> None:
    """Every kernel as often as there were steps or intervals; phases and the rest are the run; the same result."""
    experiment = support.varied(duration=30.0)
    plain = summaries(experiment, ranks, False)[0]
    found = summaries(experiment, ranks, True)
    assert "profile" not in plain and all(x["spike_digest"] == plain["spike_digest"] for x in found)
    for part in ("kernels", "counts", "bytes_estimated", "construction_seconds"):
        assert all(x["profile"][part] == found[0]["profile"][part] for x in found), f"ranks tell different {part}"
    profile, seconds = found[0]["profile"], found[0]["seconds"]["simulate"]
    launches = {k["name"]: k["launches_measured"] for k in profile["kernels"]}
    models = ("iaf_psc_exp", "parrot_neuron", "spike_generator")
    stepwise = ["deliver", "spread", "settle", *(f"update_{m}" for m in models)]
    assert {launches[k] for k in stepwise} == {300 * ranks}
    if ranks > 1:
        assert launches["close_interval"] == 300 * ranks  # the shortest delay is a step
    kernels = sum(k["seconds"] for k in profile["kernels"])
    assert 0.0 < kernels <= seconds
    phases = profile["phase_seconds"]
    assert sum(phases.values()) == pytest.approx(seconds) and min(phases.values()) >= 0.0
    for phase in ("deliver", "update"):  # the loop's own clocks, which run always, agree
        assert phases[phase] == pytest.approx(found[0]["seconds"][phase], rel=0.2, abs=1e-3)
    counts = profile["counts"]
    assert counts["steps"] == 300 and counts["synaptic_events"] == found[0]["synaptic_events"] > 0
    assert counts["neuron_updates"] == 300 * sum(p.size for p in experiment.network.populations)
    assert json.loads(json.dumps(profile)) == profile


def test_the_warm_up_is_left_out() -> None:
    experiment = support.varied(duration=10.0)
    later = Experiment(experiment.network, RunSettings(duration=10.0, warmup=20.0, seed=11))
    (found,) = summaries(later, 1, True)
    assert {k["launches_measured"] for k in found["profile"]["kernels"] if k["name"] == "deliver"} == {100}


def test_nobody_measures_in_a_normal_run() -> None:
    """Catches a clock read after every kernel, and wrapped calls, where nobody asked."""
    simulation = Simulation(support.varied(duration=5.0), Serial(), HostBackend())
    assert not simulation.loop.profile and not simulation.profiler.active
    call = simulation.run_to
    assert simulation.profiler.ranged("x", call) == call


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_gpu_measures_some_stretches(ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events around each launch of every third stretch, scaled to all steps; the other stretches stay graphs."""
    monkeypatch.setattr(cuda_profile.CudaProfiler.__init__, "__defaults__", (3,))
    experiment = support.varied(duration=30.0)
    plain = summaries(experiment, ranks, False)[0]
    found = summaries(experiment, ranks, True, on_stand_in)[0]
    assert found["spike_digest"] == plain["spike_digest"]
    kernels = {k["name"]: k for k in found["profile"]["kernels"]}
    assert {"deliver_step", "step_models", "settle_steps"} <= set(kernels)
    assert all(k["microseconds_a_launch"] == pytest.approx(1000.0) for k in kernels.values()), (
        "the stand-in's kernel takes 1 ms"
    )
    deliver = kernels["deliver_step"]
    assert 0 < deliver["launches_measured"] < 300 * ranks
    assert deliver["seconds"] == pytest.approx(0.3, rel=1e-6), "300 steps of 1 ms, from those measured"
    phase = sum(k["seconds"] for k in kernels.values() if k["phase"] == "deliver")
    assert found["seconds"]["deliver"] == pytest.approx(phase), "the phase has its time from the kernels"


def test_graphs_stay_between_measured_stretches() -> None:
    cupy = standin_cupy.Cupy()
    network = Network()
    network.population("N", 20, "iaf_psc_exp", I_e=800.0)
    backend = CudaBackend(cupy, loop="graph")
    profiler = CudaProfiler(backend, every=4)
    with support.optimised("-O1"):
        simulation = Simulation(
            Experiment(network, RunSettings(duration=204.8)), Serial(), backend, profiler=profiler
        )  # fmt: skip
        simulation.run_to(simulation.end)
    log = cupy.streams[0].log
    assert log.count("hold") == 2, "stretches 2 and 6 of 8"
    assert log.count("deliver_step") == 3 * 256 and len([x for x in log if x.startswith("graph")]) == 5
    assert [k.launches for k in profiler.kernels() if k.name == "deliver_step"] == [512]
    assert "build: rows" in cupy.ranges and "interval" in cupy.ranges and not cupy.open_ranges
    assert set(profiler.construction) >= {"compile loop", "projections", "rows", "routing", "states", "loop"}


def test_an_interrupted_stretch_is_not_measured() -> None:
    """After a full buffer kernels return at once; their times would pull the mean down."""
    backend = CudaBackend(standin_cupy.Cupy())
    profiler = CudaProfiler(backend, every=1)
    with support.optimised("-O1"):
        with backend.at_work():
            profiler.begin(1)
            profiler.launch("deliver", lambda: None)
            backend.stream.synchronize()
        profiler.end(1, complete=False)
    assert profiler.kernels() == () and not profiler.sampling


def test_every_kernel_has_a_phase() -> None:
    phases = {name: phase_of(name) for name in (*LOOP_KERNELS, "update_x", "admit")}
    assert phases["update_x"] == phases["step_models"] == "update" and phases["deliver_step"] == "deliver"
    assert phases["receive"] == "exchange" and phases["admit"] == "spread"
    assert Profiler().kernels() == ()


def test_the_command_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the command line: the table, and the same figures in summary.json."""
    config = tmp_path / "c.yaml"
    config.write_text(
        "network: {builder: balanced, neurons: 200, in_degree: 50}\nrun: {duration: 50.0}\n"
    )  # fmt: skip
    out = tmp_path / "out"
    with support.optimised("-O1"):
        assert main(["run", str(config), "--device", "cpu", "--out", str(out), "--profile"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    said = capsys.readouterr().out
    assert profile_table(summary["profile"], summary["seconds"]["simulate"]) in said
    lines = [line for line in said.splitlines() if line.strip().startswith("update_iaf_psc_exp")]
    assert len(lines) == 1 and "µs a launch" in said and "500 steps" in said
