"""Which device a run takes, and what is said where there is none or it is too small: on a stand-in for CuPy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import standin_cupy
import support

from distsim import BackendError, FixedIndegree, Network, Normal, Simulator, Uniform, simulate
from distsim.backend import cuda, open_backend
from distsim.backend.cuda import CudaBackend
from distsim.backend.cuda_compile import target
from distsim.cli import main
from distsim.errors import CompileError
from distsim.kernels.machine import Machine
from distsim.kernels.sources import words_source


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with support.optimised("-O1"):
        yield


def test_ranks_take_devices_in_turn() -> None:
    """Catches all ranks of a machine on its first GPU, with all they do or with a context only."""
    names = []
    for local_rank in range(5):
        cupy = standin_cupy.Cupy(devices=2)
        backend = CudaBackend(cupy)
        assert backend.available_bytes(local_rank) == (2**40, 2)
        names.append(backend.assign(local_rank))
        assert backend.pointer(backend.zeros(4, np.uint8))
        assert cupy.contexts == {local_rank % 2}
    assert names[0] == names[2] == names[4] != names[1] == names[3]


@pytest.mark.parametrize(("error", "devices", "said"), [
    ("cudaErrorInsufficientDriver: CUDA driver version is insufficient", 1, "driver"), (None, 0, "0 NVIDIA devices"),
])  # fmt: skip
def test_no_driver_or_no_device_is_one_line(error: str | None, devices: int, said: str) -> None:
    with pytest.raises(BackendError) as raised:
        CudaBackend(standin_cupy.Cupy(devices=devices, error=error)).check()
    text = str(raised.value)
    assert said in text and "DISTSIM_CUDA=13 launch/run --setup" in text and "--device cpu" in text and "\n" not in text


def test_no_cupy_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: Any, repo_root: Any) -> None:
    """From the command line: exit code 2, one line, nothing written; and auto takes the host."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    config = str(repo_root / "configs" / "quickstart.yaml")
    assert main(["run", config, "--device", "cuda", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "CuPy" in said and "DISTSIM_CUDA=13 launch/run --setup" in said
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(cuda, "has_driver", lambda: True)
    assert open_backend("auto").name == "cpu"


def test_auto_takes_a_gpu_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole road with `device="auto"`, on a stand-in in place of the module cupy."""
    monkeypatch.setitem(sys.modules, "cupy", standin_cupy.Cupy())  # type: ignore[arg-type]
    monkeypatch.setattr(cuda, "has_driver", lambda: True)
    network = Network()
    n = network.population("N", 30, "iaf_psc_exp", I_e=800.0)
    network.record_states(n, ["V_m"], 1.0, [3])
    found = simulate(network, 30.0)
    assert found.summary["device"] == "cuda"
    expected = simulate(network, 30.0, device="cpu")
    assert (found.spike_digest, found.spike_count) == (expected.spike_digest, expected.spike_count)
    assert expected.spike_count
    assert np.array_equal(found.states["N"].values["V_m"], expected.states["N"].values["V_m"])


def test_a_session_on_the_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches values set on the host alone, and connectivity read from host memory."""
    monkeypatch.setitem(sys.modules, "cupy", standin_cupy.Cupy())  # type: ignore[arg-type]

    def session(device: str) -> list[Any]:
        network = Network()
        n = network.population("N", 40, "iaf_psc_exp", I_e=Uniform(350.0, 450.0))
        network.project(n, n, FixedIndegree(5), Normal(50.0, 5.0), Uniform(1.0, 2.0))
        simulator = Simulator(network, device=device, seed=3)
        first = simulator.simulate(60.0)
        simulator.set("N", I_e=np.linspace(300.0, 500.0, 40), V_m=-64.0, E_L=-71.0)
        last = simulator.simulate(1100.0)  # beyond the second for which digests had room
        wires = simulator.connections("N", "N")
        order = np.lexsort((wires.weight, wires.target, wires.source))
        assert first.spike_count and last.spike_count > first.spike_count
        return [
            first.spike_digest, last.spike_digest, *(simulator.get("N", name).tolist() for name in ("V_m", "I_e")),
            *(column[order].tolist() for column in (wires.source, wires.target, wires.weight, wires.delay)),
        ]  # fmt: skip

    assert session("cuda") == session("cpu")


def test_kernels_are_kept_and_made_anew(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file cut short is no end of a run, an error is the compiler's, and a device can be too new or too old."""
    monkeypatch.setenv("DISTSIM_CACHE", str(tmp_path))
    backend = CudaBackend(standin_cupy.Cupy())
    text = "KERNEL nothing(void*) {}\n"
    head = words_source()
    for _ in range(2):
        backend.compile(head + text, "few").launch("nothing", Machine(), 1)
        (kept,) = tmp_path.glob("few-*.cubin")
        whole = kept.read_bytes()
        kept.write_bytes(whole[:-1])
    with pytest.raises(CompileError, match=r"kernels few do not compile: kernels\.cu\(2\): error: #error"):
        backend.compile("#error wrong\n", "few")
    nvrtc = standin_cupy.Cupy().cuda.nvrtc
    assert target(nvrtc, "90") == ("sm_90", "cubin") and target(nvrtc, "107") == ("compute_100", "ptx")
    with pytest.raises(BackendError, match=r"compute capability 75; NVRTC 0\.0 compiles for 80 and newer"):
        target(nvrtc, "75")


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(BackendError, match="found 'gpu'; allowed: auto, cpu, cuda"):
        open_backend("gpu")


def test_memory_that_is_not_there_is_one_line() -> None:
    """Catches a traceback of CuPy where the network does not fit."""
    cupy = standin_cupy.Cupy()

    def full(*_: object) -> None:
        raise standin_cupy.OutOfMemoryError("Out of memory allocating 4,096 bytes (allocated so far: 0 bytes).")

    cupy.empty = full  # type: ignore[method-assign, assignment]
    with pytest.raises(BackendError, match=r"Out of memory allocating 4,096 bytes.*use more ranks or GPUs"):
        CudaBackend(cupy).empty(1024, np.float32)


def test_a_network_that_the_device_cannot_hold_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: Any, repo_root: Any
) -> None:
    """From the command line: one line with the numbers, before anything is allocated; --ignore-memory insists."""
    cupy = standin_cupy.Cupy(free=10**6)
    monkeypatch.setitem(sys.modules, "cupy", cupy)  # type: ignore[arg-type]
    monkeypatch.setattr(cuda, "has_driver", lambda: True)
    run = ["run", str(repo_root / "configs" / "quickstart.yaml"), "--device", "cuda", "--out", str(tmp_path / "out")]
    assert main(run) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "for 1 rank on a device" in said and "found 1 MB available" in said
    assert not cupy.live and not (tmp_path / "out").exists()
    assert main([*run, "--ignore-memory", "--set", "run.duration=1.0", "--set", "run.warmup=0.0", "-q"]) == 0
