"""Generators as populations: their trains, their windows, times from files, and what they refuse."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import support

from distsim import AllToAll, ConfigError, Experiment, Network, RunSettings, Uniform, simulate
from distsim.config import load_experiment
from distsim.config.spike_files import spike_columns, spike_trains


def emitted(model: str, size: int = 4, duration: float = 60.0, ranks: int = 1, seed: int = 1, **params: Any) -> Any:
    """Counts of each generator in each step, int64[steps + 1, size]; step 0 is empty."""
    network = Network()
    network.population("G", size, model, params=params)
    network.record_spikes(("G",))
    found = support.run(Experiment(network, RunSettings(duration=duration, seed=seed)), ranks)
    assert found.count == 0  # no neuron: not in the digest
    steps = round(duration * 10) + 1
    return np.bincount(found.spikes[:, 0] * size + found.spikes[:, 1], minlength=steps * size).reshape(steps, size)


def steps_of(counts: npt.NDArray[np.int64], generator: int = 0) -> list[int]:
    return np.repeat(np.arange(len(counts)), counts[:, generator]).tolist()


def test_a_spike_of_multiplicity_m_is_m_spikes() -> None:
    found = emitted("spike_generator", 2, spike_times=[[1.0, 2.5], [3.0]], spike_multiplicities=[[3, 0], [2]])
    assert steps_of(found, 0) == [10, 10, 10]
    assert steps_of(found, 1) == [30, 30]


def test_multiplicities_arrive() -> None:
    network = Network()
    g = network.population("G", 1, "spike_generator", spike_times=[1.0, 2.0], spike_multiplicities=[4, 1])
    p = network.population("P", 1, "parrot_neuron")
    network.project(g, p, AllToAll(), 1.0, 0.5)
    found = support.run(Experiment(network, RunSettings(duration=5.0)))
    assert [s for s, gid in found.spikes.tolist() if gid == 1] == [15] * 4 + [25]


def test_windows_count_from_the_origin() -> None:
    """start < t <= stop."""
    times = [1.0, 2.0, 3.0, 4.0]
    assert steps_of(emitted("spike_generator", 1, spike_times=times, start=1.0, stop=3.0)) == [20, 30]
    shifted = emitted("spike_generator", 1, spike_times=times, start=1.0, stop=3.0, origin=10.0)
    assert steps_of(shifted) == [120, 130]
    many = emitted("poisson_generator", 3, rate=300000.0, start=1.0, stop=2.0, origin=0.5)
    assert np.flatnonzero(many.sum(axis=1)).tolist() == list(range(16, 26))  # a mean of 90 a step: none is empty


def test_windows_far_away_are_exact() -> None:
    """Steps beyond 2^24 are no floats of single precision; the window must not move."""
    from decimal import Decimal, localcontext

    from distsim.exact import exact_context
    from distsim.models.generators import poisson_generator

    with localcontext(exact_context()):
        for steps in (2**24 + 1, 2**31 + 5, 2**40 - 1):
            p = {"start": Decimal(steps) / 10, "stop": Decimal(10) ** 30, "origin": Decimal(0), "rate": Decimal(1)}
            found = {
                c.name: int(c.compute({k: p[k] for k in c.depends}, Decimal("0.1")))
                for c in poisson_generator.constants
            }
            assert (found["first_high"] << 20) + found["first_low"] == steps
            assert np.float32(found["first_low"]) == found["first_low"] < 2**20
            assert np.float32(found["last_high"]) == found["last_high"]


def test_rates_change_in_the_step_of_their_time() -> None:
    found = emitted(
        "inhomogeneous_poisson_generator", 2, rate_times=[[1.0, 2.0, 4.0], [2.0, 3.0, 3.5]],
        rate_values=[[9e5, 0.0, 9e5], [9e5, 0.0, 0.0]],
    )  # fmt: skip
    assert np.flatnonzero(found[:, 0]).tolist() == [*range(10, 20), *range(40, 601)]
    assert np.flatnonzero(found[:, 1]).tolist() == list(range(20, 30))


def test_sines_below_zero_are_silent() -> None:
    found = emitted("sinusoidal_poisson_generator", 1, rate=0.0, amplitude=9e5, frequency=100.0, duration=40.0)
    positive = {t for t in range(1, 401) if math.sin(2.0 * math.pi * 100.0 * t / 1e4) > 0.05}
    negative = {t for t in range(1, 401) if math.sin(2.0 * math.pi * 100.0 * t / 1e4) < -1e-9}
    active = set(np.flatnonzero(found[:, 0]).tolist())
    assert positive <= active
    assert not negative & active


def test_copies_of_a_mother_train() -> None:
    """All copied: one train. With p_copy < 1 no train has more than the mother; two populations have two mothers."""
    alike = emitted("mip_generator", 5, rate=3000.0, p_copy=1.0)
    assert alike[:, 0].sum() > 100
    assert (alike == alike[:, :1]).all()
    some = emitted("mip_generator", 5, rate=3000.0, p_copy=0.4)
    assert (some <= alike).all() and 0 < some.sum() < alike.sum()
    assert emitted("mip_generator", 5, rate=3000.0, p_copy=0.0).sum() == 0


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_mother_is_one_on_all_ranks(ranks: int) -> None:
    one = emitted("mip_generator", 7, rate=3000.0, p_copy=0.5)
    assert np.array_equal(emitted("mip_generator", 7, rate=3000.0, p_copy=0.5, ranks=ranks), one)


def test_packets_hold_all_their_spikes() -> None:
    found = emitted("pulsepacket_generator", 6, pulse_times=[20.0, 40.0], activity=25, sdev=1.5)
    assert (found.sum(axis=0) == 50).all()
    assert not np.array_equal(found[:, 0], found[:, 1])
    sharp = emitted("pulsepacket_generator", 1, pulse_times=[20.0, 40.0], activity=3, sdev=0.0)
    assert steps_of(sharp) == [200] * 3 + [400] * 3
    early = emitted("pulsepacket_generator", 40, pulse_times=[0.1], activity=10, sdev=5.0)
    assert 0.3 < early.sum() / 400 < 0.7  # the half that would lie before the first step is left out


def test_every_stage_of_a_gamma_process_takes_a_step() -> None:
    """With a probability of one the process is a clock: one spike in gamma_shape steps, n_proc of them."""
    found = emitted("gamma_sup_generator", 1, rate=2500.0, gamma_shape=4, n_proc=4)
    assert (found[1:, 0] == 1).all()
    lonely = emitted("gamma_sup_generator", 1, rate=2500.0, gamma_shape=4, n_proc=1)
    assert steps_of(lonely) == list(range(1, 601, 4))  # starts in the last stage, as in NEST


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("poisson_generator", {"rate": -1.0}, "populations.G.params.rate: found -1.0; allowed: numbers >= 0 (Hz)"),
    ("poisson_generator", {"rate": 2e6}, "found 2000000.0; allowed: at most 1e+06 Hz at dt = 0.1 ms; more generators"),
    ("poisson_generator", {"rat": 1.0}, "unknown parameter of poisson_generator; did you mean 'rate'?"),
    ("poisson_generator", {"start": 0.25}, "populations.G.params.start: found 0.25; allowed: times on the grid"),
    ("poisson_generator", {"start": Uniform(0.0, 1.0)}, "allowed: a number, or a list with one for each"),
    ("poisson_generator", {"individual_spike_trains": True}, "one train for all its targets, an input one for each"),
    ("spike_generator", {"spike_times": [0.25]}, "found 0.25; allowed: times on the grid of dt = 0.1 ms"),
    ("spike_generator", {"spike_times": [2.0, 1.0]}, "found 1.0; allowed: times in ascending order"),
    ("spike_generator", {"spike_times": [1.0], "spike_weights": [2.0, 1.0]},
     "spike_weights: found '2 numbers'; allowed: one for each of the 1 spike_times"),
    ("spike_generator", {"spike_times": [1.0], "spike_weights": [[2.0], [-1.0]]},
     "spike_weights: found -1.0; allowed: numbers >= 0; spikes of the other sign come from a generator of their own"),
    ("spike_generator", {"spike_times": [1.0], "spike_weights": [math.nan]}, "found nan; allowed: finite numbers"),
    ("spike_generator", {"spike_times": [1.0], "spike_weights": [1e31]}, "found 1e+31; allowed: numbers of at most"),
    ("spike_generator", {"precise_times": True}, "precise_times: not here; time goes in steps of dt"),
    ("spike_generator", {"allow_offgrid_times": True}, "allow_offgrid_times: not here; time goes in steps of dt"),
    ("spike_generator", {"spike_times": [1.0], "spike_multiplicities": [1, 2]},
     "spike_multiplicities: found '2 numbers'; allowed: one for each of the 1 spike_times"),
    ("spike_generator", {"spike_times": [1.0], "spike_multiplicities": [1.5]}, "found 1.5; allowed: whole numbers"),
    ("spike_generator", {"spike_times": [1.0], "spike_multiplicities": [-1]}, "found -1.0; allowed: numbers >= 0"),
    ("inhomogeneous_poisson_generator", {"rate_times": [1.0], "rate_values": []}, "one for each of the 1 rate_times"),
    ("inhomogeneous_poisson_generator", {"rate_times": [1.0], "rate_values": [-1.0]}, "found -1.0; allowed: numbers"),
    ("inhomogeneous_poisson_generator", {"rate_times": [1.0], "rate_values": [2e6]}, "rate_values[0].rate: found 2"),
    ("mip_generator", {"p_copy": 1.1}, "populations.G.params.p_copy: found 1.1; allowed: a probability from 0 to 1"),
    ("mip_generator", {"rate": [1.0, 2.0]}, "allowed: one number for all generators of the population"),
    ("pulsepacket_generator", {"activity": 1.5}, "found 1.5; allowed: a whole number of spikes"),
    ("pulsepacket_generator", {"sdev": -1.0}, "found -1.0; allowed: numbers >= 0 (ms)"),
    ("gamma_sup_generator", {"gamma_shape": 0}, "gamma_shape: found 0; allowed: a whole number from 1 to 64"),
    ("gamma_sup_generator", {"gamma_shape": 2.5}, "gamma_shape: found 2.5; allowed: a whole number"),
    ("gamma_sup_generator", {"gamma_shape": 2, "rate": 6000.0}, "found 6000.0; allowed: at most 5000 Hz"),
    ("gamma_sup_generator", {"n_proc": 1.5}, "found 1.5; allowed: a whole number of processes"),
    ("gamma_sup_generator", {"gama_shape": 2}, "did you mean 'gamma_shape'?"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "params", "message"), WRONG)
def test_wrong_generators(model: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        network = Network()
        network.population("G", 2, model, params=params)
        simulate(network, 1.0)
    assert message in str(caught.value)


# ---- Times from files


def sonata(path: Path, times: Any = (3.0, 1.0, 2.0), ids: Any = (0, 2, 0), population: str = "X") -> bytes:
    with h5py.File(path, "w") as file:
        group = file.create_group(f"spikes/{population}")
        group["timestamps"], group["node_ids"] = np.asarray(times), np.asarray(ids)
    return path.read_bytes()


def test_tables_and_sonata_files(tmp_path: Path) -> None:
    assert spike_trains(sonata(tmp_path / "s.h5"), "s.h5", None, 3) == [[2.0, 3.0], [], [1.0]]
    table = b"node_ids,timestamps\n0,3.0\n2,1.0\n0,2.0\n"
    assert spike_trains(table, "s.csv", None, 4) == [[2.0, 3.0], [], [1.0], []]
    assert spike_trains(sonata(tmp_path / "n.h5", [], np.empty(0, np.int64)), "n.h5", "X", 1) == [[]]


def test_weights_and_multiplicities_stand_beside_their_times(tmp_path: Path) -> None:
    """The order of the file's equal times stays; all columns are sorted alike."""
    table = b"weights,node_ids,timestamps,multiplicities\n0.5,0,3.0,1\n9.0,2,1.0,2\n4.0,0,2.0,3\n3.0,0,2.0,1\n"
    expected = {
        "spike_times": [[2.0, 2.0, 3.0], [], [1.0]],
        "spike_weights": [[4.0, 3.0, 0.5], [], [9.0]],
        "spike_multiplicities": [[3.0, 1.0, 1.0], [], [2.0]],
    }
    assert spike_columns(table, "s.csv", None, 3) == expected
    (tmp_path / "s.csv").write_bytes(table)
    sonata(tmp_path / "s.h5", (3.0, 1.0, 2.0, 2.0), (0, 2, 0, 0))
    with h5py.File(tmp_path / "s.h5", "a") as file:
        file["spikes/X/weights"], file["spikes/X/multiplicities"] = [0.5, 9.0, 4.0, 3.0], [1, 2, 3, 1]
    assert spike_columns((tmp_path / "s.h5").read_bytes(), "s.h5", None, 3) == expected
    head = "run: {duration: 5.0}\npopulations:\n  A: {model: spike_generator, size: 3, params: {spike_times: "
    for name in ("s.csv", "s.h5"):
        (tmp_path / "e.yaml").write_text(f"{head}{{file: {name}}}}}}}\n")
        a = load_experiment(tmp_path / "e.yaml").experiment.network["A"]
        assert a.params["spike_times"] == ((2.0, 2.0, 2.0, 2.0, 3.0), (), (1.0, 1.0))
        assert a.params["spike_weights"] == ((4.0, 4.0, 4.0, 3.0, 0.5), (), (9.0, 9.0))
    for more, message in (
        (
            "{file: s.csv}, spike_weights: [1.0]",
            "spike_weights: found 'a list'; allowed: none, since s.csv has",
        ),
        (
            "[1.0], spike_weights: {file: s.csv}",
            "spike_weights: found 'a file'; allowed: a list, or a column",
        ),
    ):
        (tmp_path / "e.yaml").write_text(f"{head}{more}}}}}\n")
        with pytest.raises(ConfigError) as caught:
            load_experiment(tmp_path / "e.yaml")
        assert message in str(caught.value)


def test_an_experiment_reads_its_times_from_files(tmp_path: Path) -> None:
    sonata(tmp_path / "s.h5")
    (tmp_path / "s.csv").write_text("timestamps,node_ids\n3.0,0\n1.0,1\n2.0,0\n")
    (tmp_path / "e.yaml").write_text(
        "run: {duration: 5.0}\npopulations:\n"
        "  A: {model: spike_generator, size: 3, params: {spike_times: {file: s.h5, population: X}}}\n"
        "  B: {model: spike_generator, size: 2, params: {spike_times: {file: s.csv}}}\n"
        "  C: {model: pulsepacket_generator, size: 2, params: {pulse_times: [2.0], activity: 2, sdev: 0.0}}\n"
        "record: {spikes: [A, B, C]}\n"
    )
    found = support.run(load_experiment(tmp_path / "e.yaml").experiment)
    assert found.spikes.tolist() == [
        [10, 2],
        [10, 4],
        [20, 0],
        [20, 3],
        *[[20, 5]] * 2,
        *[[20, 6]] * 2,
        [30, 0],
        [30, 3],
    ]


def links(path: Path) -> bytes:
    sonata(path.with_name("other.h5"))
    with h5py.File(path, "w") as file:
        file.create_group("spikes")["X"] = h5py.ExternalLink("other.h5", "/spikes/X")
    return path.read_bytes()


def soft(path: Path) -> bytes:
    sonata(path)
    with h5py.File(path, "a") as file:
        del file["spikes/X/node_ids"]
        file["spikes/X/node_ids"] = h5py.SoftLink("/spikes/X/timestamps")
    return path.read_bytes()


def external(path: Path) -> bytes:
    with h5py.File(path, "w") as file:
        group = file.create_group("spikes/X")
        group.create_dataset("timestamps", (3,), "f8", external=[("/etc/passwd", 0, 24)])
        group["node_ids"] = [0, 0, 0]
    return path.read_bytes()


def objects(path: Path) -> bytes:
    with h5py.File(path, "w") as file:
        group = file.create_group("spikes/X")
        group.create_dataset("timestamps", data=["1.0", "2.0"], dtype=h5py.string_dtype())
        group["node_ids"] = [0, 0]
    return path.read_bytes()


def claims(path: Path) -> bytes:
    with h5py.File(path, "w") as file:
        for name in ("timestamps", "node_ids"):
            file.create_dataset(f"spikes/X/{name}", (2**20,), np.float64, chunks=(1000,))
    return path.read_bytes()


BAD: list[tuple[str, Any, str | None, str]] = [
    ("a link to another file", links, None, "'X' in /spikes is a link to elsewhere; store the data in"),
    ("a soft link", soft, None, "'node_ids' in /spikes/X is a link"),
    ("storage outside", external, None, "timestamps lies in other files"),
    ("more than is stored", claims, None, "timestamps: claims 8388608 bytes; 0 are stored"),
    ("texts", objects, None, "timestamps: found entries of type object; allowed: numbers"),
    ("no such population", sonata, "Y", "no population 'Y'"),
    ("ids beyond", lambda p: sonata(p, ids=(0, 1, 3)), None, "node_ids: found 3; allowed: ids from 0 to 2"),
    ("negative ids", lambda p: sonata(p, ids=(0, -1, 2)), None, "node_ids: found -1; allowed: whole numbers from 0"),
    ("fractions as ids", lambda p: sonata(p, ids=(0.0, 1.0, 2.0)), None, "node_ids: found float64"),
    ("fewer ids", lambda p: sonata(p, ids=(0, 1)), None, "3 timestamps for 2 node_ids"),
    ("NaN", lambda p: sonata(p, times=(1.0, math.nan, 2.0)), None, "timestamps: found NaN or infinity"),
    ("two dimensions", lambda p: sonata(p, times=np.ones((3, 1))), None, "timestamps: found shape (3, 1)"),
    ("cut short", lambda p: sonata(p)[:900], None, "cannot be read as HDF5"),
    ("a table without ids", lambda p: b"timestamps\n1.0\n", None, "no column 'node_ids'"),
    ("a table with a word", lambda p: b"timestamps,node_ids\n1.0,x\n", None, ":2: node_ids: found 'x'"),
    ("a population of a table", lambda p: b"timestamps,node_ids\n1.0,0\n", "X", "key population is for HDF5 files"),
]


@pytest.mark.parametrize(("make", "population", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_files(tmp_path: Path, make: Any, population: str | None, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spike_trains(make(tmp_path / "s.h5"), "s", population, 3)
    assert message in str(caught.value)
