"""Backends are twins: the same verbs, and CudaBackend on a stand-in for CuPy computes what HostBackend computes."""

from __future__ import annotations

import ctypes
import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import standin_cupy
import support
from strict import Strict
from support import TINY

from distsim import (
    AllToAll,
    BackendError,
    Experiment,
    Network,
    RunSettings,
)
from distsim.backend import base, cuda, cuda_loop, host
from distsim.backend.cuda import CudaBackend
from distsim.comm import Serial, Threads
from distsim.engine.simulation import Simulation, Tuning
from distsim.kernels.loop import Recorder
from distsim.kernels.sources import LOOP_KERNELS

TWINS = [
    (base.Backend, host.HostBackend, cuda.CudaBackend),
    (base.Module, host.HostModule, cuda.CudaModule),
    (base.Mirror, host.HostMirror, cuda.CudaMirror),
    (base.Stepper, host.HostStepper, cuda_loop.CudaStepper),
    (base.Messages, host.HostMessages, cuda.CudaMessages),
    (base.Later, host.HostLater, cuda.CudaLater),
]


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with support.optimised("-O1"):
        yield


def stand_in_run(
    experiment: Experiment, ranks: int = 1, tuning: Tuning | None = None, stops: Sequence[int] = (),
    loop: str | None = None, **how: Any,
) -> tuple[support.Outcome, list[standin_cupy.Cupy]]:  # fmt: skip
    """A run of CudaBackend on stand-in GPUs, one a rank."""
    cupys = [standin_cupy.Cupy(**how) for _ in range(ranks)]

    def share(comm: Any) -> support.Share:
        found = support.run_share(Strict(comm), experiment, tuning, stops, CudaBackend(cupys[comm.rank], loop))
        for stream in cupys[comm.rank].streams:
            stream.synchronize()
        return found

    shares = [share(Serial())] if ranks == 1 else Threads.run(ranks, share)
    assert not [error for cupy in cupys for error in cupy.errors]
    return support.put_together(shares), cupys


def verbs(kind: type) -> dict[str, inspect.Signature]:
    return {n: inspect.signature(f) for n, f in inspect.getmembers(kind, inspect.isfunction) if not n.startswith("_")}


@pytest.mark.parametrize(("declared", "on_host", "on_gpu"), TWINS, ids=lambda kind: kind.__name__)
def test_twins_have_the_same_verbs(declared: type, on_host: type, on_gpu: type) -> None:
    """Catches a verb or an argument that one backend has and the other lacks: the engine would need an `if`."""
    expected = verbs(declared)
    assert expected
    for kind in (on_host, on_gpu):
        assert not inspect.isabstract(kind)
        found = verbs(kind)
        assert {name: found[name] for name in expected} == expected
    assert host.HostBackend.name != CudaBackend.name


def test_nobody_asks_which_backend_it_has(repo_root: Any) -> None:
    """No `if gpu:` outside the backend: the engine, construction and kernels name no backend of their own."""
    for folder in ("engine", "build", "kernels"):
        for path in (repo_root / "distsim" / folder).glob("*.py"):
            text = path.read_text()
            for word in ("cupy", "CudaBackend", "HostBackend", "backend.name", "isinstance(backend"):
                assert word not in text, f"{path}: {word}"


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("loop", ["graph", "persistent"])
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("tuning", [None, TINY], ids=["roomy", "tiny"])
def test_the_stand_in_computes_the_same(ranks: int, tuning: Tuning | None, loop: str, precision: Any) -> None:
    """The central one: every rule, model and recording; with tiny buffers every way of stopping and going on."""
    experiment = support.varied(precision, duration=30.0)
    found, cupys = stand_in_run(experiment, ranks, tuning, loop=loop)
    support.check_same(found, support.run(experiment, ranks, tuning), f"{ranks} ranks")
    used = {"deliver_step", "step_models", "close_steps", "settle_steps"} if loop == "graph" else {"run_steps"}
    if ranks > 1:
        used |= {"admit_received", "receive", "deliver_early", "note_delivery"}
    for cupy in cupys:
        assert used <= {name for name in cupy.launches if name in LOOP_KERNELS}
    if tuning and ranks > 1:
        assert found.growths, "nothing grew: the test lost its point"


@pytest.mark.parametrize("loop", ["graph", "persistent"])
@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("tuning", [None, TINY], ids=["roomy", "tiny"])
def test_exchange_beside_computing(ranks: int, tuning: Tuning | None, loop: str) -> None:
    """Messages of an interval under way while the next is computed: intervals of half the shortest delay, two sides
    of buffers, one synchronisation an exchange. The stand-in's ranks fail where words change while they are sent."""
    experiment = support.slow_delays()
    ways = {"routing": "broadcast", "exchange": "neighbourhood"} if loop == "persistent" else {}
    asked = dataclasses.replace(experiment, run=dataclasses.replace(experiment.run, **ways))
    found, cupys = stand_in_run(asked, ranks, tuning, loop=loop)
    support.check_same(found, support.run(experiment), f"{ranks} ranks")
    assert found.interval == 10
    if tuning:
        assert found.growths >= 2, "both sides have to grow"
    else:
        syncs = cupys[0].streams[0].log.count("synchronize")
        # 200 exchanges; what is more is building the network and reading the results.
        assert 200 < syncs < 230


@pytest.mark.parametrize(("shortest", "overlapping"), [(1, 1), (2, 1), (3, 1), (5, 2), (7, 3)])
def test_intervals_of_even_and_odd_delays(shortest: int, overlapping: int) -> None:
    """The proof in engine/exchange.py, where it is tight: spikes that arrive in the first step they can."""
    network = support.relays((20, 40, 40, 40), steps=120, min_delay=shortest, max_delay=shortest + 3)
    found, _ = stand_in_run(network.experiment, 2, stops=[1, 2, 3, 50, 51])
    support.check_relays(network, found)
    assert found.interval == overlapping
    on_host = support.run(network.experiment, 2, Tuning(overlap=True), stops=[1, 2, 3, 50, 51])
    support.check_relays(network, on_host)
    assert on_host.interval == (overlapping if shortest > 1 else 1)


@pytest.mark.parametrize("ranks", [1, 2])
def test_stop_and_continue(ranks: int) -> None:
    """Pieces of changing length: graphs of other lengths, intervals cut short, one step at a time."""
    experiment = support.varied(duration=20.0)
    stops = [1, 2, 3, 17, 18, 31, 45, 59, 150]
    support.check_same(stand_in_run(experiment, ranks, None, stops)[0], support.run(experiment))


@pytest.mark.parametrize("delay", [0.1, 2.0])
def test_an_avalanche_is_not_lost(delay: float) -> None:
    """Many steps are launched ahead of a full buffer: none of them may do anything, and nothing is dropped."""
    experiment, expected = support.avalanche(40, 10, delay)
    found, _ = stand_in_run(experiment, 2, TINY)
    support.check_same(found, expected)


def quiet_network(duration: float) -> Experiment:
    network = Network()
    network.population("N", 20, "iaf_psc_exp", I_e=800.0)
    network.population("P", 3, "parrot_neuron")
    return Experiment(network, RunSettings(duration=duration))


@pytest.mark.parametrize("loop", ["graph", "persistent"])
def test_nothing_but_launches_inside_a_row_of_steps(loop: str) -> None:
    """Catches launches one by one, copies, allocations and waiting inside, a graph for every interval, a kernel more a
    step, and arguments that change (a graph would keep the old ones)."""
    _, (cupy,) = stand_in_run(quiet_network(256.0), loop=loop)
    log = cupy.streams[0].log
    row = "run_steps" if loop == "persistent" else "graph of 514"  # 256 steps of two kernels, and two to close
    rows = 10 if loop == "persistent" else 9  # of graphs the first row warms up
    at = [i for i, entry in enumerate(log) if entry == row]
    assert len(at) == rows
    for i in at:
        assert log[i - 1 : i + 3] == ["copy", row, "copy", "synchronize"]
    assert {i - j for i, j in zip(at[1:], at, strict=False)} == {4}
    assert all(len(cupy.arguments[name]) == 1 for name in LOOP_KERNELS if name in cupy.arguments)
    if loop == "graph":
        assert log.count("deliver_step") == 256
        assert cupy.launches["deliver_step"] == cupy.launches["step_models"] == 2560


def test_a_graph_serves_fewer_steps() -> None:
    """Steps after the last do nothing: pieces that are cut short need no launches one by one."""
    experiment = quiet_network(256.0)
    found, (cupy,) = stand_in_run(experiment, stops=[256, 512, 700, 956, 2000], loop="graph")
    support.check_same(found, support.run(experiment))
    assert cupy.launches["deliver_step"] > 2560


def test_auto_keeps_the_faster() -> None:
    """Both are tried on the device's clock, some rows each; the results are the same."""
    experiment = quiet_network(26.0)
    expected = support.run(experiment, stops=range(1, 261))
    for slow, kept in ((1.0, "graph"), (0.1, "persistent")):
        cupy = standin_cupy.Cupy()
        backend = CudaBackend(cupy, "auto")
        cupy.elapsed = lambda a, b, cupy=cupy, slow=slow: slow if tried(cupy) == "run_steps" else 0.5  # type: ignore[misc]
        spikes = support.run_share(Serial(), experiment, None, range(1, 261), backend)
        assert (spikes.digest, spikes.count) == (expected.digest, expected.count)
        assert tried(cupy) == ("run_steps" if kept == "persistent" else "graph of 4")
        assert cupy.launches["run_steps"] == (4 if kept == "graph" else 260 - 6)


def tried(cupy: standin_cupy.Cupy) -> str:
    """What advanced the steps last."""
    return next(x for x in reversed(cupy.streams[0].log) if x == "run_steps" or x.startswith("graph"))


@pytest.mark.parametrize("how", ["switched off", "cannot capture"])
def test_without_graphs(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same steps one by one, where graphs are not wanted or not there."""
    monkeypatch.setenv("DISTSIM_CUDA_LOOP", "steps" if how == "switched off" else "graph")
    experiment = support.varied(duration=12.0)
    found, (cupy,) = stand_in_run(experiment, fail_capture=how == "cannot capture")
    support.check_same(found, support.run(experiment))
    assert not [entry for entry in cupy.streams[0].log if entry.startswith("graph")]


def test_without_cooperative_launches() -> None:
    """Graphs instead; and one line where somebody insists."""
    experiment = support.varied(duration=12.0)
    found, (cupy,) = stand_in_run(experiment, loop="auto", cooperative=False)
    support.check_same(found, support.run(experiment))
    assert "run_steps" not in cupy.launches
    with pytest.raises(BackendError, match="DISTSIM_CUDA_LOOP: found 'persistent'; this device has no cooperative"):
        stand_in_run(experiment, loop="persistent", cooperative=False)
    with pytest.raises(BackendError, match="DISTSIM_CUDA_LOOP: found 'fast'; allowed: auto, graph, persistent, steps"):
        CudaBackend(standin_cupy.Cupy(), "fast")


@pytest.mark.parametrize("room", [1, 8, 64])
def test_records_leave_beside_the_kernels(room: int) -> None:
    """A ring that is half full is copied on a stream of its own while steps go on; only a full one stops them."""
    experiment = support.varied(duration=40.0)
    tuning = Tuning(spike_room=room, max_interval=4, overlap=False)
    found, (cupy, *_) = stand_in_run(experiment, 2, tuning)
    support.check_same(found, support.run(experiment))
    beside = cupy.streams[1]
    assert beside.log.count("copy") and "wait" in beside.log
    assert not [x for x in beside.log if x not in ("copy", "wait", "event", "synchronize")]


def test_every_pointer_lies_on_the_device() -> None:
    """Host and stand-in share an address space, where a host pointer in a structure would work unseen."""

    def look(comm: Any) -> list[str]:
        cupy = standin_cupy.Cupy()
        simulation = Simulation(support.varied(duration=5.0), comm, CudaBackend(cupy))
        structures = [simulation.loop, *(group.arguments for group in simulation.groups)]
        structures += list(simulation.states.records.host)
        assert any(isinstance(s, Recorder) for s in structures)
        wrong = [f"{type(s).__name__}.{name}" for s in structures for name in cupy.pointers_off_device(s)]
        table = simulation.backend.to_host(simulation.rows.table)
        inside = [any(a <= x < a + n for a, n in cupy.live.items()) for x in table[:, :2].ravel().tolist()]
        return wrong + ["Row"] * (not all(inside))

    assert Threads.run(2, look) == [[], []]


ROOMY = Tuning(message_room=4096, delivery="wheel")
TIGHT = dataclasses.replace(ROOMY, due_room=1)
PLANTED = {
    "what the host changes is not copied to the device": (ROOMY, cuda.CudaMirror, "enqueue_store", lambda self: None),
    "the loop is not copied back": (ROOMY, cuda.CudaMirror, "enqueue_fetch", lambda self, columns=None: None),
    "nobody waits for the copy back": (ROOMY, standin_cupy.Stream, "synchronize", lambda self: None),
    "what arrived is forgotten": (ROOMY, cuda_loop, "RECEIVE", 99),
    "what MPI received stays on the host": (ROOMY, cuda.CudaMessages, "store", lambda self: None),
}


@pytest.mark.parametrize("fault", [None, *PLANTED])
def test_planted_faults_are_seen(fault: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Power of the stand-in: with any of these in the loop the run fails or differs; without them it does not."""
    experiment = support.varied(duration=8.0)
    tuning, *planted = PLANTED[fault] if fault else (TIGHT,)

    def digest(comm: Any) -> tuple[str, int]:
        simulation = Simulation(experiment, comm, CudaBackend(standin_cupy.Cupy()), tuning=tuning)
        simulation.run_to(1)
        comm.barrier()
        if fault and comm.rank == 0:
            monkeypatch.setattr(*planted)
        comm.barrier()
        simulation.run_to(simulation.end)
        found = simulation.digest()
        return str(found), found.count

    reference = support.run(experiment)
    try:
        same = Threads.run(2, digest)[0] == (reference.digest, reference.count)
    except (AssertionError, BackendError):
        same = False
    assert same == (fault is None)


def test_too_many_spikes_are_named() -> None:
    """The error's words come from device memory."""
    network = Network()
    g = network.population("G", 2, "spike_generator", spike_times=[[1.0] * 200, [1.0] * 200])
    p = network.population("P", 3, "parrot_neuron")
    network.project(g, p, AllToAll(), 1.0, 1.0)
    simulation = Simulation(Experiment(network, RunSettings(duration=5.0)), Serial(), CudaBackend(standin_cupy.Cupy()))
    with pytest.raises(Exception, match=r"'P', neuron \d, time 2 ms: emitted 400 spikes"):
        simulation.run_to(simulation.end)


class OnDevice:
    """Ranks of an MPI that is CUDA-aware: it sends from device memory and receives into it."""

    def __init__(self, ranks: Any) -> None:
        self._ranks, self.direct = ranks, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ranks, name)

    def prepare(self, send: Any, send_counts: Any, send_at: Any, receive: Any, counts: Any, at: Any) -> Any:
        self.direct += isinstance(send, standin_cupy.ndarray) and isinstance(receive, standin_cupy.ndarray)
        send, receive = (x._array if isinstance(x, standin_cupy.ndarray) else x for x in (send, receive))
        return self._ranks.prepare(send, send_counts, send_at, receive, counts, at)


@pytest.mark.parametrize("tuning", [Tuning(), TINY], ids=["roomy", "tiny"])
def test_a_cuda_aware_mpi_gets_device_memory(tuning: Tuning, monkeypatch: pytest.MonkeyPatch) -> None:
    """No word passes through the host, and the kernels are done before MPI looks."""
    monkeypatch.setenv("DISTSIM_CUDA_AWARE_MPI", "1")
    assert Tuning().direct and not tuning.direct
    experiment = support.varied(duration=20.0)
    cupys = [standin_cupy.Cupy() for _ in range(3)]

    def share(comm: Any) -> support.Share:
        ranks = OnDevice(comm)
        direct = dataclasses.replace(tuning, direct=True)
        found = support.run_share(ranks, experiment, direct, (), CudaBackend(cupys[comm.rank]))
        assert ranks.direct
        return found

    support.check_same(support.put_together(Threads.run(3, share)), support.run(experiment))


def test_a_mirror_of_each_kind() -> None:
    """Structures, arrays of structures, arrays of one and two dimensions, nothing at all: there and back."""
    cupy = standin_cupy.Cupy()
    backend = CudaBackend(cupy)
    records = backend.mirror((Recorder * 2)(Recorder(n=3), Recorder(n=4)))
    records.host[1].n = 9
    records.fetch()
    assert [r.n for r in records.host] == [3, 4]
    records.host[1].n = 9
    records.store()
    records.fetch()
    assert [r.n for r in records.host] == [3, 9]
    table = backend.mirror(np.arange(12, dtype=np.uint32).reshape(3, 4))
    table.host[:] = 0
    table.fetch(2)
    assert table.host.tolist() == [[0, 1, 0, 0], [4, 5, 0, 0], [8, 9, 0, 0]]
    table.fetch()
    assert table.host.ravel().tolist() == list(range(12))
    assert backend.mirror(np.empty(0, np.uint32)).host.size == 0
    assert ctypes.sizeof(records.host) == records.device.nbytes
