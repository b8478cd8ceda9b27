"""Runs that are stopped and go on, for the tests of checkpoints: in one process, on stand-in ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import support

from distsim import Experiment
from distsim.backend import Backend, open_backend
from distsim.comm import Communicator, Serial, Threads
from distsim.config import load_experiment
from distsim.control import Decision, Watch
from distsim.engine.checkpoint import Arrays, capture, restore
from distsim.engine.simulation import Simulation, Sinks, Tuning
from distsim.io import read_json
from distsim.runner import Outcome, run_experiment

CONFIG = """
name: small
run: {duration: 60.0, warmup: 10.0, seed: 4, checkpoint: {every: 17.0, keep: 3}}
populations:
  E: {model: iaf_psc_exp, size: 53, params: {I_e: {uniform: [300.0, 900.0]}}, initial: {V_m: {uniform: [-75.0, -56.0]}}}
  P: {model: parrot_neuron, size: 5}
  G: {model: spike_generator, size: 2, params: {spike_times: [[0.1, 0.1, 12.0, 33.3, 33.3], [20.0, 44.4, 44.4, 44.4]]}}
inputs:
  noise: {type: poisson, targets: E, rate: 9000.0, weight: 60.0}
projections:
  - {source: E, target: E, rule: {fixed_indegree: 9}, weight: {normal: [40.0, 8.0]}, delay: {uniform: [0.2, 6.0]}}
  - {source: G, target: P, rule: all_to_all, delay: 6.0}
  - {source: P, target: E, rule: {fixed_indegree: 2}, weight: 90.0, delay: {uniform: [0.1, 3.0]}}
record:
  spikes: [E, P, G]
  states: {E: {variables: [V_m, I_syn_ex], interval: 0.7, neurons: [0, 7, 9, 30]}}
"""


def on_ranks(ranks: int, work: Callable[[Communicator], Any]) -> list[Any]:
    """`work` on so many stand-in ranks."""
    return [work(Serial())] if ranks == 1 else Threads.run(ranks, work)


def first_part(
    experiment: Experiment, ranks: int, stop: int, tuning: Tuning | None = None,
    backend: Callable[[], Backend] = lambda: open_backend("cpu"),
) -> list[Any]:  # fmt: skip
    """Compute up to `stop`: for each rank what a checkpoint keeps, and its share of what was recorded."""

    def work(comm: Communicator) -> Any:
        spikes: list[Any] = []
        sinks = Sinks(spikes=lambda steps, gids: spikes.append(np.stack([steps, gids], axis=1).astype(np.int64)))
        simulation = Simulation(experiment, comm, backend(), sinks, tuning, keep_history=True)
        simulation.run_to(stop)
        simulation.flush()
        return capture(simulation), spikes

    return on_ranks(ranks, work)


def second_part(
    experiment: Experiment, ranks: int, parts: Sequence[Arrays], stop: int, tuning: Tuning | None = None,
    backend: Callable[[], Backend] = lambda: open_backend("cpu"), until: int | None = None,
) -> list[Any]:  # fmt: skip
    """Go on from the parts to the end (or `until`): digest, counts, spikes of each rank, and what it would keep."""

    def work(comm: Communicator) -> Any:
        spikes: list[Any] = []
        sinks = Sinks(spikes=lambda steps, gids: spikes.append(np.stack([steps, gids], axis=1).astype(np.int64)))
        simulation = Simulation(experiment, comm, backend(), sinks, tuning, keep_history=True)
        restore(simulation, parts[comm.rank :: comm.size], stop)
        simulation.run_to(simulation.end if until is None else until)
        simulation.flush()
        kept = capture(simulation)
        return str(simulation.digest()), tuple(int(n) for n in simulation.spike_counts()), spikes, kept

    return on_ranks(ranks, work)


def check_continued(
    experiment: Experiment, reference: support.Outcome, before: int, after: int, stop: int,
    tuning: Tuning | None = None, backend: Callable[[], Backend] = lambda: open_backend("cpu"),
) -> None:  # fmt: skip
    """Stop after `stop` on some ranks, go on on others: digest, counts and every spike are the reference's."""
    first = first_part(experiment, before, stop, tuning, backend)
    second = second_part(experiment, after, [kept for kept, _ in first], stop, tuning, backend)
    how = f"{before} ranks to step {stop}, then {after}"
    for digest, counts, _, _ in second:
        assert (digest, counts) == (reference.digest, reference.counts), how
    every = [x for share in (*first, *second) for x in (share[1] if len(share) == 2 else share[2])]
    spikes = np.concatenate([np.empty((0, 2), np.int64), *every])
    assert np.array_equal(spikes[np.lexsort((spikes[:, 1], spikes[:, 0]))], reference.spikes), how


def run(
    folder: Path, out: Path, ranks: int = 1, overrides: Sequence[str] = (), resume: bool = False,
    device: str = "cpu", config: str = CONFIG,
) -> Outcome:  # fmt: skip
    """`distsim run` on stand-in ranks."""
    path = folder / "small.yaml"
    path.write_text(config)
    loaded = load_experiment(path, overrides)
    return on_ranks(
        ranks,
        lambda comm: run_experiment(
            loaded.experiment, comm, open_backend(device), document=loaded.document, out=out, resume=resume
        ),
    )[0]


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int | None) -> None:
    """All meetings say to stop from `step` on; never, where it is None."""
    monkeypatch.undo()
    if step is not None:
        original = Watch.meet

        def meet(self: Watch, now: int) -> Decision:
            decision = original(self, now)
            return Decision("SIGTERM", False) if now >= step else decision

        monkeypatch.setattr(Watch, "meet", meet)
        monkeypatch.setattr("distsim.control.BETWEEN_MEETINGS", 0.0)  # a meeting after each interval


def contents(path: Path) -> dict[str, Any]:
    """Every dataset of an HDF5 file."""
    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def check_same_results(found: Path, reference: Path) -> None:
    """Spikes, states and what the summary says of them: equal to the bit."""
    for name in ("spikes.h5", "states.h5", *(n for n in ("rates.h5", "edges.h5") if (reference / n).exists())):
        ours, theirs = contents(found / name), contents(reference / name)
        assert ours.keys() == theirs.keys()
        for key, values in theirs.items():
            assert ours[key].dtype == values.dtype and np.array_equal(ours[key], values), f"{name}: {key}"
    ours, theirs = read_json(found / "summary.json"), read_json(reference / "summary.json")
    vary = {
        "memory_bytes", "seconds", "realtime_factor", "ranks", "exchange_interval", "delivery", "routing",
        "bytes_per_synapse", "device",
    }  # fmt: skip
    assert {k: v for k, v in ours.items() if k not in vary} == {k: v for k, v in theirs.items() if k not in vary}
    left = {p.name for p in found.iterdir()} - {p.name for p in reference.iterdir()}
    assert left <= {"checkpoints"}, left
