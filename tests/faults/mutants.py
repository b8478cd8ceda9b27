"""Our own code, made wrong in one place: the checks of the test suite must fail.

The mutants of kernels, exchange and recording stand in tests/unit/test_faults.py, which plants all of them at every
run of the suite. Those here are in what keeps a run's state and takes it up again. Each check first passes.
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import support
from continuing import check_continued, check_same_results, run, stop_after

from distsim import Experiment
from distsim.backend import HostBackend
from distsim.backend.base import Module
from distsim.engine import checkpoint
from distsim.engine.history import History, Spikes
from distsim.engine.recording import StateBuffers
from distsim.engine.simulation import Simulation
from distsim.errors import DistsimError
from distsim.io import checkpoints, streams
from distsim.io.arrays import Stored
from distsim.io.parts import HISTORY
from faults import network
from faults.campaign import Campaign, Case, Failed, expect, unit_test
from faults.elastic import varied
from faults.failing import spoil

Check = Callable[[], None]
Patch = pytest.MonkeyPatch


# ---- Checks: those of tests/unit/test_checkpoint.py, test_resume.py and test_damage.py


def continued() -> None:
    """Every model and rule, from 2 ranks to 3."""
    experiment, reference = varied()
    check_continued(experiment, reference, 2, 3, 123)


@functools.cache
def late() -> tuple[Experiment, support.Outcome]:
    experiment = support.late_spikes()
    return experiment, support.run(experiment)


def in_flight() -> None:
    """Stopped in each of the steps in which one of those spikes is emitted or arrives."""
    for stop in (9, 10, 11, 40, 41, 42, 43):
        check_continued(*late(), 1, 2, stop)


def in_flight_by_wheel() -> None:
    """The same where spikes wait on the time wheel; networks as small as this take the ring."""
    for stop in (9, 10, 11, 40, 41, 42, 43):
        check_continued(*late(), 1, 2, stop, support.BY_WHEEL)


def continued_by_wheel() -> None:
    check_continued(*varied(), 2, 3, 123, support.BY_WHEEL)


def results() -> None:
    """The files of a run that was stopped on two ranks, went on on three, and was then made longer."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, patch = Path(name), pytest.MonkeyPatch()
        stack.callback(patch.undo)
        out = folder / "out"
        stop_after(patch, 300)
        assert run(folder, out, 2, config=network.PATIENT, overrides=["run.duration=40.0"]).stopped
        with_later_segments(out)
        stop_after(patch, None)
        run(folder, out, 3, resume=True, config=network.PATIENT, overrides=["run.duration=40.0"])
        run(folder, out, 2, resume=True, config=network.PATIENT)
        check_same_results(out, reference())
        network.check_sound(out)


def with_later_segments(out: Path) -> None:
    """As if the run had gone on after its newest checkpoint, and died: a segment that must not count."""
    last = sorted((out / "segments").glob("spikes.rank0000.*.h5"))[-1]
    shutil.copy(last, last.with_name("spikes.rank0000.0099.h5"))


@functools.cache
def reference() -> Path:
    """In one piece, computed without a mutant."""
    return network.reference(Path(tempfile.mkdtemp(prefix="distsim-mutants-")))


def changed(pattern: str, position: int, mutate: Callable[[bytes], bytes] | None = None) -> Check:
    """A stopped run of which one file is changed: no other result may come of it."""

    def check() -> None:
        with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
            folder, patch = Path(name), pytest.MonkeyPatch()
            stack.callback(patch.undo)
            stop_after(patch, 300)
            run(folder, folder / "out", 1, config=network.PATIENT)
            stop_after(patch, None)
            path = sorted(p for p in (folder / "out").glob(pattern) if p.stat().st_size > 100)[-1]
            data = bytearray(path.read_bytes())
            if mutate is None:
                data[position % len(data)] ^= 4
            else:
                data = bytearray(mutate(bytes(data)))
            path.write_bytes(data)
            try:
                run(folder, folder / "out", resume=True, config=network.PATIENT)
            except DistsimError:
                return
            check_same_results(folder / "out", reference())

    return check


changed_part = changed("checkpoints/*/rank0000.npz", 0, lambda data: flip_state(data))
changed_segment = changed("segments/spikes.*", -8)  # the last neuron of the last segment
changed_manifest = changed("checkpoints/*/manifest.json", 0, lambda data: data.replace(b'"events": ', b'"events": 1'))


def flip_state(data: bytes) -> bytes:
    """A bit of some membrane potentials, with the archive's own checksum made to fit."""
    import io
    import zipfile

    image = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(image, "w") as new:
        for entry in old.infolist():
            content = bytearray(old.read(entry))
            if entry.filename == "state.iaf_psc_exp.V_m.npy":
                for k in range(2, 100, 4):  # one neuron may be refractory: many
                    content[-k] ^= 0x10
            new.writestr(entry, bytes(content))
    return image.getvalue()


def another_seed() -> None:
    """A run cannot go on with another seed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, folder / "out", config=network.PATIENT, overrides=["run.duration=20.0"])
        try:
            run(folder, folder / "out", resume=True, config=network.PATIENT, overrides=["run.seed=5"])
        except DistsimError:
            return
        raise Failed("a run went on with another seed")


def kept() -> None:
    """The newest checkpoints stay, as many as asked for."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, folder / "out", config=network.PATIENT)
        found = [int(f.name) for f in checkpoints.folders(folder / "out")]
        expect(found == [700, 680, 510], f"checkpoints {found}")


def numbers() -> None:
    """A state that is no number ends the run."""
    experiment, _ = varied()
    from distsim.backend import open_backend
    from distsim.comm import Serial

    simulation = Simulation(experiment, Serial(), open_backend("cpu"))
    simulation.run_to(10)
    spoil(simulation)
    try:
        simulation.run_to(simulation.end)
        simulation.flush()
    except DistsimError:
        return
    raise Failed("a NaN was not noticed")


# ---- Mutants


@dataclass(frozen=True)
class Mutant:
    """One change: `plant` makes it, `check` has to notice."""

    name: str
    plant: Callable[[Patch], None]
    check: Check


def before(owner: Any, name: str, change: Callable[..., Any]) -> Callable[[Patch], None]:
    """`owner.name` wrapped: change(original, *arguments)."""

    def plant(patch: Patch) -> None:
        original = getattr(owner, name)
        patch.setattr(owner, name, lambda *arguments, **named: change(original, *arguments, **named))

    return plant


def in_kernel(text: str, instead: str) -> Callable[[Patch], None]:
    """One place of the kernels."""

    def plant(patch: Patch) -> None:
        compile_as_it_is = HostBackend.compile

        def compile_changed(self: HostBackend, source: str, label: str) -> Module:
            assert source.count(text) <= 1, text
            return compile_as_it_is(self, source.replace(text, instead), label)

        patch.setattr(HostBackend, "compile", compile_changed)

    return plant


def nothing(*arguments: Any, **named: Any) -> None:
    return None


def _shorter(original: Any, history: History) -> None:
    history.steps -= 1
    original(history)
    history.steps += 1


def _only_once(original: Any, simulation: Any, spikes: Spikes, step: int) -> None:
    original(simulation, dataclasses.replace(spikes, multiplicity=np.minimum(spikes.multiplicity, 1)), step)


def _one_lost(original: Any, simulation: Any, spikes: Spikes, step: int) -> None:
    original(simulation, spikes.of(np.arange(max(0, spikes.step.size - 1))), step)


def _rolled(original: Any, simulation: Any, group: Any, parts: Any) -> None:
    original(simulation, group, parts)
    for array in group.states.values():
        values = simulation.backend.to_host(array)
        simulation.backend.copy_into(array, np.roll(values, 1))


def _last_state_fresh(original: Any, simulation: Any, group: Any, parts: Any) -> None:
    fresh = [simulation.backend.to_host(a).copy() for a in group.states.values()]
    original(simulation, group, parts)
    if fresh:
        simulation.backend.copy_into(list(group.states.values())[-1], fresh[-1])


def _no_phase(original: Any, simulation: Any, parts: Any, step: int) -> None:
    original(simulation, parts, step)
    simulation.loop.draw_poisson = 0


def _digest_lost(original: Any, simulation: Any, parts: Any) -> None:
    original(simulation, [{k: v for k, v in part.items() if k != "sums.digest"} for part in parts])


def _counts_lost(original: Any, simulation: Any, parts: Any) -> None:
    original(simulation, [{k: v for k, v in part.items() if k != "sums.spike_counts"} for part in parts])


def _one_segment_less(original: Any, keeper: Any, kind: str, here: list[int]) -> Any:
    return original(keeper, kind, [max(0, n - 1) for n in here])


def _twice(original: Any, *arguments: Any) -> None:
    original(*arguments)
    original(*arguments)


def _less(original: Any, streams: Any, window: int) -> Any:
    found = original(streams, window)
    return None if found is None else (found[0][:-1], found[1][:-1]) if len(found[0]) > 1 else found


def _unchecked(original: Any, directory: Path, stored: Stored) -> bytes:
    return (directory / stored.name).read_bytes()


def _oldest_stay(original: Any, directory: Path, keep: int) -> None:
    for folder in sorted(checkpoints.folders(directory), reverse=False)[keep:]:
        checkpoints.remove_checkpoint(folder)


def _doubled(original: Any, simulation: Any, columns: Any) -> Any:
    found = original(simulation, columns)
    return [np.concatenate([c, c[-1:]]) for c in found] if len(columns) == 1 + len(HISTORY) else found


def _no_seals(patch: Patch) -> None:
    """They are looked at twice: when a run goes on, and when its results are merged."""
    for module in (checkpoints, streams):
        patch.setattr(module, "check_seal", nothing)


def build() -> tuple[Mutant, ...]:
    """Those of going on; the first five are the short form."""
    from distsim import checkpointing, resuming
    from distsim.io import spikes
    from distsim.kernels import update

    return (
        Mutant("history is a step short", before(History, "empty_buffer", _shorter), in_flight),
        Mutant("the digest is not restored", before(checkpoint, "_restore_sums", _digest_lost), continued),
        Mutant("a segment is not counted", before(checkpointing.Keeper, "_counts", _one_segment_less), results),
        Mutant("what was merged is merged again", before(spikes, "_copy", _twice), results),
        Mutant("seals are not looked at", _no_seals, results_of_a_changed_segment),
        Mutant("spike counts are not restored", before(checkpoint, "_restore_sums", _counts_lost), continued),
        Mutant("spikes in flight are lost", before(checkpoint, "_put_on_wheel", nothing), continued),
        Mutant("one spike in flight is lost", before(checkpoint, "_put_on_wheel", _one_lost), in_flight),
        Mutant("one spike in flight comes twice", before(checkpoint, "_to_owners", _doubled), in_flight),
        Mutant("a multiple spike goes on as one", before(checkpoint, "_put_on_wheel", _only_once), in_flight),
        Mutant("a spike that was delivered is delivered again",
               in_kernel("if (due_step > a.computed)", "if (due_step >= a.computed)"), in_flight_by_wheel),
        Mutant("a spike due in the next step is lost",
               in_kernel("if (due_step > a.computed)", "if (due_step > a.computed + 1)"), continued_by_wheel),
        Mutant("a spike that was delivered is added to the ring again",
               in_kernel("if (due <= computed) continue;", "if (due < computed) continue;"), in_flight),
        Mutant("a spike due in the next step is not added to the ring",
               in_kernel("if (due <= computed) continue;", "if (due <= computed + 1) continue;"), continued),
        Mutant("states go to the neighbour", before(checkpoint, "_restore_states", _rolled), continued),
        Mutant("a state begins anew", before(checkpoint, "_restore_states", _last_state_fresh), continued),
        Mutant("a block of Poisson counts is not drawn", before(checkpoint, "restore", _no_phase), results),
        Mutant("samples are counted from the start", before(StateBuffers, "start_after", nothing), results),
        Mutant("later segments stay", before(checkpoints, "drop_later_segments", nothing), results),
        Mutant("a merged spike is lost", before(spikes, "advance", _less), results),
        Mutant("parts are not compared with hashes", before(checkpoints, "read_stored", _unchecked), changed_part),
        Mutant("a manifest is not compared with its hash",
               before(checkpoints, "_hash", lambda original, text: "0" * 64), manifest_that_lies),
        Mutant("another experiment may go on", before(resuming, "check_same", nothing), another_seed),
        Mutant("the oldest checkpoints stay", before(checkpointing, "prune", _oldest_stay), kept),
        Mutant("NaN is not looked for", before(update, "check_of_states", lambda original, model: ""), numbers),
    )  # fmt: skip


def results_of_a_changed_segment() -> None:
    """The spikes of a damaged segment must not be taken for those of the run."""
    changed_segment()


def manifest_that_lies() -> None:
    """Events that were never counted must not come into the summary."""
    changed_manifest()


# ---- The campaign


@functools.cache
def all_mutants() -> tuple[Mutant, ...]:
    """Those here, then those of test_faults.py, each with the first check that has to notice it."""
    module = unit_test("test_faults")
    kernels = [Mutant(f.name, in_kernel(f.text, f.instead), f.noticed_by[0]) for f in module.FAULTS]
    engine = [Mutant(plant.__name__, plant, checks[0]) for plant, checks in module.ENGINE_FAULTS]
    return (*build(), *kernels, *engine)


@functools.cache
def passes(check: Check) -> bool:
    """Whether the check passes without a mutant, else what it says."""
    check()
    return True


def total(folder: Path) -> int:
    return len(all_mutants())


def run_case(case: Case) -> str:
    mutant, patch = all_mutants()[case.number % len(all_mutants())], pytest.MonkeyPatch()
    with support.optimised("-O1"):
        reference()
        varied()
        assert passes(mutant.check)
        mutant.plant(patch)
        try:
            mutant.check()
        except (AssertionError, DistsimError, ValueError, IndexError):
            return "caught"
        finally:
            patch.undo()
    raise Failed(f"{mutant.name}: not noticed by {mutant.check.__name__}")


CAMPAIGN = Campaign("mutants", 5, 0, run_case, total)
