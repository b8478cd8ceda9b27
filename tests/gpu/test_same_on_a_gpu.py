"""One network, one result: what a GPU computes is what the host computes, bit for bit."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import support
from driven import driven
from linear_models import everything
from strict import Strict
from support import TINY

from distsim import Experiment, FixedIndegree, Network, NormalClipped, RunSettings
from distsim.backend import Backend, open_backend
from distsim.comm import Serial, Threads
from distsim.engine.simulation import Simulation, Tuning
from distsim.kernels.sources import construction_source
from distsim.kernels.values import Values
from distsim.published import microcircuit


def on_gpu(
    experiment: Experiment, ranks: int = 1, tuning: Tuning | None = None, stops: Sequence[int] = ()
) -> support.Outcome:
    """As support.run; stand-in ranks share the device, each on a stream of its own."""

    def share(comm: Any) -> support.Share:
        return support.run_share(comm, experiment, tuning, stops, open_backend("cuda"))

    if ranks == 1:
        return support.put_together([share(Serial())])
    return support.put_together(Threads.run(ranks, lambda comm: share(Strict(comm))))


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("tuning", [None, TINY], ids=["roomy", "tiny"])
def test_every_rule_model_and_recording(ranks: int, tuning: Tuning | None, precision: Any) -> None:
    """Rounding, contraction, races, lost launches: whatever differs shows; tiny buffers stop at every place."""
    experiment = support.varied(precision, scale=4)
    support.check_same(on_gpu(experiment, ranks, tuning), support.run(experiment, ranks), f"{ranks} ranks")


@pytest.mark.parametrize("precision", ["single", "double"])
def test_every_device_and_generator(precision: Any) -> None:
    """Eleven models; waveforms, noise, trains by inversion and rejection, thinning: one arithmetic, one counter."""
    experiment = driven(precision)
    with support.optimised("-O1"):  # the host's kernels of tests/unit/test_devices.py
        support.check_same(on_gpu(experiment, 2), support.run(experiment))


@pytest.mark.parametrize(("ranks", "precision"), [(1, "single"), (2, "double")])
def test_every_linear_model(ranks: int, precision: Any) -> None:
    """Both forms of those that have two, numbers that spikes carry, draws in a model's update."""
    experiment = everything(precision, 60.0)
    support.check_same(on_gpu(experiment, ranks), support.run(experiment, ranks), f"{ranks} ranks")


@pytest.mark.parametrize("repeat", range(5))
def test_again_and_again(repeat: int) -> None:
    """Races show now and then: the same run must not differ from itself."""
    experiment = Experiment(microcircuit(0.1), RunSettings(duration=200.0, warmup=50.0, seed=5))
    support.check_same(on_gpu(experiment, 1 + repeat % 2), support.run(experiment))


def test_stop_and_continue() -> None:
    experiment = support.varied(duration=40.0)
    stops = [1, 2, 3, 17, 18, 31, 45, 59, 150]
    support.check_same(on_gpu(experiment, 2, None, stops), support.run(experiment))


@pytest.mark.parametrize("delay", [0.1, 2.0])
def test_an_avalanche_is_not_lost(delay: float) -> None:
    experiment, expected = support.avalanche(delay=delay)
    support.check_same(on_gpu(experiment, 2, TINY), expected)


def test_relays() -> None:
    """Millions of deliveries that NumPy has foretold."""
    network = support.relays()
    support.check_relays(network, on_gpu(network.experiment, 2))


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("loop", ["graph", "persistent", "steps"])
@pytest.mark.parametrize("tuning", [None, TINY], ids=["roomy", "tiny"])
def test_every_way_to_launch(loop: str, ranks: int, tuning: Tuning | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kernels a step or one for many: blocks that wait for one another, or for the end of a launch."""
    monkeypatch.setenv("DISTSIM_CUDA_LOOP", loop)
    for experiment in (support.varied(scale=4), support.slow_delays()):
        support.check_same(on_gpu(experiment, ranks, tuning), support.run(experiment))


@pytest.mark.parametrize("loop", ["graph", "persistent"])
def test_it_is_launched_as_asked(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a fall back that nobody notices: the device can capture, and it has cooperative launches."""
    monkeypatch.setenv("DISTSIM_CUDA_LOOP", loop)
    simulation = Simulation(support.varied(duration=100.0), Serial(), open_backend("cuda"))
    simulation.run_to(simulation.end)
    stepper: Any = simulation._stepper
    assert stepper.mode == loop and bool(stepper._captured) == (loop == "graph")


def test_auto_decides() -> None:
    simulation = Simulation(support.varied(duration=400.0), Serial(), open_backend("cuda"))
    simulation.run_to(simulation.end)
    stepper: Any = simulation._stepper
    assert stepper.mode in ("graph", "persistent") and all(t > 0.0 for x in stepper._times.values() for t in x)


@pytest.mark.parametrize("function", [0, 1, 2], ids=["exponential", "logarithm", "inverse_normal"])
def test_our_functions_have_the_same_bits(function: int) -> None:
    """A million arguments each, both compilers: contraction or fast division shows here."""
    random = np.random.default_rng(3)
    arguments = (
        random.uniform(-700, 700, 10**6),
        np.exp(random.uniform(-700, 700, 10**6)),
        random.uniform(0, 1, 10**6),
    )

    def evaluated(backend: Backend) -> bytes:
        module = backend.compile(construction_source(True), "construct-double")
        drawn = backend.to_device(arguments[function])
        module.launch("evaluate", Values(n=10**6, index=function, drawn=backend.pointer(drawn)), 10**6)
        return backend.to_host(drawn).tobytes()

    assert evaluated(open_backend("cuda")) == evaluated(open_backend("cpu"))


def test_functions_of_models_have_the_same_bits() -> None:
    """Arguments and results of every size, subnormal ones of single precision too: a compiler that flushes these to
    zero shows here, and nowhere in functions of doubles."""
    random = np.random.default_rng(4)
    sizes = np.exp2(random.uniform(-148.0, 6.0, 100_000)) * random.choice([-1.0, 1.0], 100_000)
    normal = np.exp2(random.uniform(-120.0, 120.0, 100_000))
    assert (np.abs(sizes) < np.finfo(np.float32).tiny).sum() > 1000

    def evaluated(backend: Backend) -> list[bytes]:
        module = backend.compile(construction_source(True), "construct-double")
        found = []
        for function, x in enumerate((sizes, sizes, normal, normal, sizes, sizes, normal, sizes, np.abs(sizes))):
            drawn = backend.to_device(x.copy())
            values = Values(n=x.size, index=function, per_unit=0.7, drawn=backend.pointer(drawn))
            module.launch("evaluate_function", values, x.size)
            found.append(backend.to_host(drawn).tobytes())
        return found

    assert evaluated(open_backend("cuda")) == evaluated(open_backend("cpu"))


def test_sums_and_mirrors() -> None:
    """The verbs that construction and exchange rest on."""
    backend, random = open_backend("cuda"), np.random.default_rng(1)
    for n in (0, 1, 2, 1000, 3_000_001):
        numbers = random.integers(0, 2**33, n).astype(np.uint64)
        array = backend.to_device(numbers)
        assert backend.exclusive_sum(array) == int(numbers.sum())
        assert np.array_equal(backend.to_host(array), np.cumsum(numbers) - numbers)
    table = backend.mirror(np.arange(12, dtype=np.uint32).reshape(3, 4))
    table.host[:] = 0
    table.fetch(2)
    assert table.host.tolist() == [[0, 1, 0, 0], [4, 5, 0, 0], [8, 9, 0, 0]]
    record = backend.mirror(Values(n=3))
    record.host.n = 4
    record.store()
    record.fetch()
    record.host.n = 5
    record.fetch()
    assert record.host.n == 4 and ctypes.sizeof(record.host) == ctypes.sizeof(Values)


def test_uneven_and_long_runs() -> None:
    """Rows from nothing to thousands of synapses, several blocks: each launched once, none cut at a warp's width."""
    network = Network()
    big = network.population("big", 70_000, "iaf_psc_exp", I_e=300.0)
    few = network.population("few", 3, "spike_generator", spike_times=[[1.0, 2.0, 9.0]] * 3)
    network.project(few, big, FixedIndegree(2), NormalClipped(800.0, 200.0), NormalClipped(1.5, 0.75))
    network.project(big, big, FixedIndegree(3), NormalClipped(60.0, 20.0), NormalClipped(1.5, 0.75))
    network.poisson(big, 8000.0, 87.8)
    experiment = Experiment(network, RunSettings(duration=30.0))
    support.check_same(on_gpu(experiment), support.run(experiment))
