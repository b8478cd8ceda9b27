"""Runs of the engine and the checks that several test files share.

The checks are functions here, and not asserts in the tests, so that tests/unit/test_faults.py can hold
the same checks against kernels with a planted fault and see them fail.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from digests import digest_of
from strict import Strict

from distsim import (
    AllToAll,
    Experiment,
    Explicit,
    FixedIndegree,
    FixedTotalNumber,
    Lognormal,
    Network,
    Normal,
    NormalClipped,
    OneToOne,
    PairwiseBernoulli,
    RunSettings,
    Uniform,
)
from distsim.backend import Backend, host, open_backend
from distsim.comm import Serial, Threads
from distsim.engine.simulation import Simulation, Sinks, Tuning

# Every buffer too small for what comes: blocks of 16 targets, few sources a chunk, one message a pair.
TINY = Tuning(
    block_bits=4,
    cell_budget=2000,
    due_room=1,
    message_room=1,
    spike_room=1,
    state_room_bytes=1,
    rate_room_bytes=1,
    max_interval=64,
    history_room=1,
    delivery="wheel",
)
BY_WHEEL, BY_RING = Tuning(delivery="wheel"), Tuning(delivery="ring")


@dataclass(frozen=True)
class Share:
    """What one rank knows after a run."""

    digest: str
    count: int
    counts: tuple[int, ...]
    spikes: npt.NDArray[np.int64]  # [n, 2]: step, gid
    samples: tuple[tuple[str, int, npt.NDArray[Any], npt.NDArray[Any]], ...]  # population, first sample, neurons, data
    synapses: int
    interval: int
    growths: int
    prepared: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """What a run computed, put together from all ranks.

    Attributes
    ----------
    digest, count
        The spike digest and its number of spikes.
    counts
        Spikes after the warm-up, by population.
    spikes
        int64[n, 2]: (step, gid) of every recorded spike, sorted.
    states
        Population → float[samples, neurons, variables], neurons in ascending order.
    synapses, interval, growths
        Synapses of all ranks; steps between exchanges; the most growths of message buffers of any rank.
    """

    digest: str
    count: int
    counts: tuple[int, ...]
    spikes: npt.NDArray[np.int64]
    states: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    synapses: int = 0
    interval: int = 0
    growths: int = 0

    def trains(self, dt: float = 0.1) -> list[tuple[float, int]]:
        """(time in ms, gid) of every spike; times rounded to nine digits, as in the files."""
        return [(round(step * dt, 9), gid) for step, gid in self.spikes.tolist()]


def run_share(
    comm: Any, experiment: Experiment, tuning: Tuning | None = None, stops: Sequence[int] = (),
    backend: Backend | None = None,
) -> Share:  # fmt: skip
    """Run `experiment` on the ranks of `comm`, with a pause after each step in `stops`; on the host by default."""
    spikes: list[npt.NDArray[np.int64]] = []
    samples: list[tuple[str, int, npt.NDArray[Any], npt.NDArray[Any]]] = []
    sinks = Sinks(
        spikes=lambda steps, gids: spikes.append(np.stack([steps, gids], axis=1).astype(np.int64)),
        states=lambda s: samples.append((s.recording.population.name, s.first_sample, s.neurons, s.data)),
    )
    simulation = Simulation(experiment, comm, backend or open_backend("cpu"), sinks, tuning or BY_WHEEL)
    for stop in (*stops, simulation.end):
        simulation.run_to(stop)
    simulation.flush()
    digest = simulation.digest()
    return Share(
        str(digest),
        digest.count,
        tuple(int(n) for n in simulation.spike_counts()),
        np.concatenate(spikes) if spikes else np.empty((0, 2), np.int64),
        tuple(samples),
        int(simulation.rows.synapses),
        simulation.interval,
        simulation.exchange.growths if simulation.exchange else 0,
        tuple(getattr(comm, "prepared", ())),
    )


def put_together(shares: Sequence[Share]) -> Outcome:
    """One outcome from the shares of all ranks, which must agree on the digest and the counts."""
    first = shares[0]
    for rank, share in enumerate(shares):
        assert (share.digest, share.count, share.counts) == (first.digest, first.count, first.counts), (
            f"rank {rank} reports another digest or other counts than rank 0"
        )
        assert share.prepared == first.prepared, (
            f"rank {rank} prepares collectives when rank 0 does not: MPI would hang"
        )
    spikes = np.concatenate([s.spikes for s in shares])
    spikes = spikes[np.lexsort((spikes[:, 1], spikes[:, 0]))]
    states: dict[str, npt.NDArray[Any]] = {}
    for name in sorted({sample[0] for share in shares for sample in share.samples}):
        by_rank = []
        for share in shares:
            mine = sorted((s for s in share.samples if s[0] == name), key=lambda s: s[1])
            if mine and mine[0][2].size:
                starts = [s[1] for s in mine]
                ends = np.cumsum([s[3].shape[0] for s in mine])
                assert starts == [0, *ends[:-1].tolist()], "samples overlap or are missing"
                by_rank.append((mine[0][2], np.concatenate([s[3] for s in mine])))
        neurons = np.concatenate([n for n, _ in by_rank])
        states[name] = np.concatenate([data for _, data in by_rank], axis=1)[:, np.argsort(neurons)]
    return Outcome(
        first.digest, first.count, first.counts, spikes, states, sum(s.synapses for s in shares), first.interval,
        max(s.growths for s in shares),
    )  # fmt: skip


def run(experiment: Experiment, ranks: int = 1, tuning: Tuning | None = None, stops: Sequence[int] = ()) -> Outcome:
    """Run on one rank, or on stand-in ranks."""
    if ranks == 1:
        return put_together([run_share(Serial(), experiment, tuning, stops)])
    return put_together(Threads.run(ranks, lambda comm: run_share(Strict(comm), experiment, tuning, stops)))


def check_same(found: Outcome, reference: Outcome, how: str = "") -> None:
    """The central check: nothing that a run computes may differ from the reference, not by a bit."""
    assert found.synapses == reference.synapses, f"{how}: {found.synapses} synapses, reference {reference.synapses}"
    if not np.array_equal(found.spikes, reference.spikes):
        ours, theirs = set(map(tuple, found.spikes.tolist())), set(map(tuple, reference.spikes.tolist()))
        step, gid = min(ours ^ theirs, default=(-1, -1))
        raise AssertionError(
            f"{how}: {len(found.spikes)} recorded spikes, reference {len(reference.spikes)}; the first difference is "
            f"step {step}, gid {gid}, {'only here' if (step, gid) in ours else 'missing here'}"
        )
    assert (found.digest, found.count) == (reference.digest, reference.count), f"{how}: the digest differs"
    assert found.counts == reference.counts, f"{how}: spike counts {found.counts}, reference {reference.counts}"
    assert found.states.keys() == reference.states.keys()
    for name, states in reference.states.items():
        assert np.array_equal(found.states[name], states), f"{how}: recorded states of {name!r} differ"


def check_digest(found: Outcome) -> None:
    """The digest is that of the recorded spikes, each counted as often as it was emitted.

    For runs without warm-up that record every neuron.
    """
    assert found.count == len(found.spikes), (
        f"the digest counts {found.count} spikes, {len(found.spikes)} were recorded"
    )
    assert found.digest == digest_of(found.spikes), "the digest is not that of the recorded spikes"


# ---- Relays: the one network whose every spike NumPy can foretell


@dataclass(frozen=True)
class Relays:
    """Generators → parrots A → B → C over listed connections, and what each parrot has to emit.

    `expected` is int64[step, gid]: spikes of each parrot in each step (step 0 is empty). `scheduled` counts the
    spikes of neurons that have targets, `deliveries` their arrivals.
    """

    experiment: Experiment
    expected: npt.NDArray[np.int64]
    scheduled: int
    deliveries: int


def relays(
    sizes: tuple[int, int, int, int] = (40, 150, 300, 300),
    steps: int = 1000,
    min_delay: int = 1,
    max_delay: int = 37,
    seed: int = 7,
) -> Relays:
    """Random trains (with double spikes), random delays in steps; as called by default about 3 million deliveries."""
    random = np.random.default_rng(seed)
    trains = random.binomial(2, 0.1, (steps + 1, sizes[0]))
    trains[0] = 0
    network = Network("relays")
    times = [[float(t) / 10 for t in np.repeat(np.arange(steps + 1), trains[:, i])] for i in range(sizes[0])]
    source = network.population("G", sizes[0], "spike_generator", spike_times=times)
    expected = [np.zeros_like(trains)]
    arriving, scheduled, deliveries = trains, 0, 0
    for name, size, in_degree in zip("ABC", sizes[1:], (4, 6, 1), strict=True):
        target = network.population(name, size, "parrot_neuron")
        sender = random.integers(0, source.size, in_degree * size)
        if in_degree == 1:
            sender = random.permutation(source.size)[:size]
        receiver = np.repeat(np.arange(size), in_degree)
        delay = random.integers(min_delay, max_delay + 1, sender.size)
        delay[:2] = min_delay, max_delay
        columns = (sender.tolist(), receiver.tolist(), [1.0] * sender.size, (delay / 10).tolist())
        network.project(source, target, Explicit(*(tuple(column) for column in columns)))
        emitted = np.zeros((steps + 1, size), np.int64)
        for s, r, d in zip(sender, receiver, delay, strict=True):
            emitted[d:, r] += arriving[: steps + 1 - d, s]
        assert emitted.max() <= 255
        scheduled += int(arriving.sum())
        deliveries += int(emitted.sum())
        expected.append(emitted)
        source, arriving = target, emitted
    settings = RunSettings(duration=steps / 10)
    return Relays(Experiment(network, settings), np.concatenate(expected, axis=1), scheduled, deliveries)


def check_relays(network: Relays, found: Outcome) -> None:
    """Every spike of every parrot in the step foretold: none lost, twice, early or late, and all in the digest."""
    steps, size = network.expected.shape
    counts = np.bincount(found.spikes[:, 0] * size + found.spikes[:, 1], minlength=steps * size).reshape(steps, size)
    wrong = np.argwhere(counts != network.expected)
    if wrong.size:
        step, gid = wrong[0].tolist()
        raise AssertionError(
            f"{len(wrong)} of {counts.size} counts are wrong, first in step {step}: gid {gid} emitted "
            f"{counts[step, gid]} spikes instead of {network.expected[step, gid]}"
        )
    check_digest(found)


# ---- Variants of the backend


@contextlib.contextmanager
def optimised(level: str) -> Iterator[None]:
    """Compile at `level` (-O0, -O1): small networks start faster, and no result may depend on it."""
    before = host.FLAGS
    assert "-O3" in before
    host.FLAGS = tuple(level if flag == "-O3" else flag for flag in before)
    try:
        yield
    finally:
        host.FLAGS = before


# ---- Networks that several files run


def varied(precision: Any = "single", duration: float = 60.0, seed: int = 11, scale: int = 1) -> Experiment:
    """Every rule, distribution, model and receptor at once; two planes on one receptor; busy, and recorded."""
    network = Network("varied")
    start = {"V_m": Uniform(-75.0, -56.0)}
    e = network.population(
        "E", 83 * scale, "iaf_psc_exp", I_e=Uniform(350.0, 900.0), tau_syn_ex=0.5, tau_syn_in=Normal(2.0, 0.1),
        t_ref=1.0, initial=start,
    )  # fmt: skip
    i = network.population("I", 21 * scale, "iaf_psc_exp", I_e=400.0, tau_m=Uniform(8.0, 12.0), initial=start)
    p = network.population("P", 7, "parrot_neuron")
    trains = [[0.1, 0.1, 3.0 + k, 3.1 + k, 20.5, 33.3, 33.3, 33.3] for k in range(5)]
    g = network.population("G", 5, "spike_generator", spike_times=trains)
    network.poisson([e, i], 9000.0, 87.8)
    network.poisson(e, 3000.0, -60.0)
    network.poisson(p, 700.0, 1.0)
    network.project(e, [e, i], FixedIndegree(12), NormalClipped(60.0, 20.0), NormalClipped(1.5, 0.75))
    network.project(i, [e, i], PairwiseBernoulli(0.3, autapses=False), -40.0, Uniform(0.1, 2.0))
    network.project(e, i, FixedTotalNumber(400 * scale), Normal(10.0, 30.0), Lognormal(0.5, 0.3))
    network.project(p, e, FixedIndegree(3), Lognormal(3.0, 0.3), 0.1)
    network.project([g, p], e, FixedTotalNumber(150 * scale, autapses=False), Uniform(0.1, 0.4), 0.7)
    network.project(g, p, AllToAll(), 1.0, Uniform(0.1, 6.0))
    network.project(
        e, e, OneToOne(), [float(k % 7) for k in range(e.size)], [0.1 * (1 + k % 40) for k in range(e.size)]
    )
    network.project(i, i, AllToAll(autapses=False), Normal(-30.0, 10.0), 5.3)
    network.project(i, p, Explicit((0, 1, 1), (6, 0, 0), (1.0, 1.0, 1.0), (0.1, 0.2, 9.9)))
    network.record_states(e, ["V_m", "I_syn_in"], interval=0.7, neurons=[0, 3, 64, 82])
    network.record_states(i, ["I_syn_ex"], interval=0.1)
    return Experiment(network, RunSettings(duration=duration, seed=seed, precision=precision))


def slow_delays() -> Experiment:
    """No delay below 2 ms: an interval of 20 steps."""
    network = Network("slow")
    n = network.population("N", 101, "iaf_psc_exp", I_e=Uniform(500.0, 2500.0), t_ref=0.5)
    network.project(n, n, FixedIndegree(30), Normal(0.0, 150.0), Uniform(2.0, 5.0))
    network.project(n, n, OneToOne(), 10.0, 2.0)
    network.project(n, n, Explicit((0,), (1,), (1.0,), (2.0,)))
    return Experiment(network, RunSettings(duration=200.0))


def late_spikes() -> Experiment:
    """Spikes on their way over the longest delay and the shortest, some of them multiple."""
    network = Network("late")
    g = network.population("G", 1, "spike_generator", spike_times=[[1.0, 1.0, 1.0, 1.1]])
    p = network.population("P", 3, "parrot_neuron")
    n = network.population("N", 4, "iaf_psc_exp")
    network.project(g, p, AllToAll(), 1.0, 3.2)
    network.project(g, p, AllToAll(), 1.0, 0.1)
    network.project(p, n, AllToAll(), 400.0, Uniform(0.1, 3.2))
    network.record_spikes(("G", "P", "N"))
    return Experiment(network, RunSettings(duration=12.0))


def avalanche(neurons: int = 150, parrots: int = 30, delay: float = 0.1) -> tuple[Experiment, Outcome]:
    """Every neuron fires in each of ten steps in a row, and every spike goes to every neuron and every parrot.

    Returns the experiment and what it has to give: `neurons` spikes in each of ten steps, and each parrot as
    many `delay` later.
    """
    network = Network("avalanche")
    n = network.population("N", neurons, "iaf_psc_exp", t_ref=0.0, tau_syn_ex=0.05, tau_syn_in=0.05)
    p = network.population("P", parrots, "parrot_neuron")
    begin = 101  # step of the first trigger; its current moves V_m in the step after it arrives
    g = network.population("G", 1, "spike_generator", spike_times=[(begin + k) / 10 for k in range(10)])
    # One trigger lifts V_m by 34 mV in the step after it, its remainder by less than 5 mV in the next.
    network.project(g, n, AllToAll(), 200000.0, delay)
    network.project(n, n, AllToAll(), 0.001, delay)
    network.project(n, p, AllToAll(), 1.0, delay)
    late = round(delay * 10)
    fired = np.array([(begin + late + 1 + k, gid) for k in range(10) for gid in range(neurons)])
    relayed = np.array(
        [(begin + 2 * late + 1 + k, neurons + j) for k in range(10) for j in range(parrots) for _ in range(neurons)]
    )
    spikes = np.concatenate([fired, relayed])
    spikes = spikes[np.lexsort((spikes[:, 1], spikes[:, 0]))]
    experiment = Experiment(network, RunSettings(duration=12.5 + 2 * delay))
    counts = (10 * neurons, 10 * neurons * parrots, 10)
    return experiment, Outcome(
        digest_of(spikes), len(spikes), counts, spikes, synapses=neurons * (1 + neurons + parrots)
    )
