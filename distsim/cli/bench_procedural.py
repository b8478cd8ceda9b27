"""The microcircuit with its synapses drawn again for each spike, against the same network stored."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distsim.config.describe import described_document
from distsim.experiment import Experiment, RunSettings
from distsim.published.microcircuit import microcircuit
from distsim.published.microcircuit_tables import derive
from distsim.storage import Storage

if TYPE_CHECKING:
    from distsim.cli.bench import Row, Setting

SLOWER = 6.0  # at most: the bar


def procedural_document(storage: Storage, neurons: int | None, duration: float) -> dict[str, Any]:
    """The microcircuit by source; fewer neurons keep their full in-degrees."""
    whole = sum(derive(1.0, 1.0, True).sizes)
    network = microcircuit(min(1.0, (neurons or whole) / whole), 1.0, storage=storage, generate="by_source")
    network.spike_recording = ()
    experiment = Experiment(network, RunSettings(duration, warmup=50.0))
    with tempfile.TemporaryDirectory(prefix="distsim-bench-") as folder:  # where lists would go; it has none
        return described_document(experiment, Path(folder))


def procedural(setting: Setting) -> tuple[list[Row], bool]:
    """How much longer a run takes that stores nothing; both have to be one network."""
    from distsim.cli.bench import Row

    kinds: tuple[Storage, Storage] = ("stored", "procedural")
    documents = [procedural_document(kind, setting.neurons, setting.duration or 200.0) for kind in kinds]
    for document in documents:  # compiles
        setting.runs_of({**document, "run": {**document["run"], "duration": 0.1, "warmup": 0.0}}, setting.ranks)
    stored, drawn = (setting.runs_of(document, setting.ranks) for document in documents)
    seconds = [statistics.median(s["seconds"]["simulate"] for s in runs) for runs in (stored, drawn)]
    events = drawn[0]["synaptic_events"]
    each = ", ".join(f"{s * 1e9 * setting.ranks / events:.3g}" for s in seconds)
    built = ", ".join(f"{statistics.median(s['seconds']['build'] for s in runs):.2f}" for runs in (stored, drawn))
    same = len({(s["spike_digest"], s["synaptic_events"], s["synapses"]) for s in (*stored, *drawn)}) == 1
    where = f"{drawn[0]['neurons']:,} neurons, {drawn[0]['synapses']:,} synapses, {setting.ranks} ranks"
    ratio = seconds[1] / seconds[0]
    return [
        Row(f"microcircuit, {where}: time procedural over stored", f"{ratio:.3g}", f"{SLOWER:g}", ""),
        Row("… all of it, a synaptic event on a core: stored, procedural (ns)", each, "", ""),
        Row("… construction: stored, procedural (s)", built, "", ""),
        Row("… bytes a synapse, all indices", f"{drawn[0]['bytes_per_synapse']:.3g}", "0 and tables", ""),
        Row("… one network", "yes" if same else "NO: digests differ", "", ""),
    ], same
