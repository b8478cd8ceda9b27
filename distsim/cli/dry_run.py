"""`distsim estimate --dry-run`: one rank's share of a run, built and counted."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from distsim.backend import open_backend
from distsim.build.capacity import size
from distsim.cli.table import number, table
from distsim.dry_run import MESSAGE_BYTES, Share, dry_run
from distsim.experiment import Experiment

if TYPE_CHECKING:
    from distsim.cli.estimate import Devices

KINDS = (
    ("neurons", "neurons and their state"),
    ("synapses", "synapses"),
    ("runs", "runs"),
    ("rows", "rows"),
    ("routing", "routing (who needs it: expected)"),
    ("buffers", "wheel and messages"),
    ("recording", "recording"),
    ("running", "together, while running"),
)


def dry_run_report(experiment: Experiment, options: argparse.Namespace, devices: Devices | None) -> str:
    """Build the rank that the options ask for; the table, or JSON."""
    backend = open_backend(options.device)
    backend.assign(0)
    found = dry_run(experiment, options.rank or 0, options.ranks, backend, options.rate, options.ignore_memory)
    dt = experiment.run.dt
    if options.json:
        content = as_json(found, dt) | ({} if devices is None else {"devices": devices.as_json()})
        return json.dumps(content, indent=2) + "\n"
    text = report(experiment.network.name, found, dt, _rates(experiment, options.rate))
    return text + ("" if devices is None else "\n" + devices.line())


def report(name: str, found: Share, dt: float, rates: str) -> str:
    """What was built, as tables."""
    lines = [
        f"{name}, rank {found.rank:,} of {found.ranks:,}, built alone: {found.neurons:,} neurons, "
        f"{found.synapses:,} synapses in {found.runs:,} runs of {found.rows:,} rows\n",
        table([["memory", ""], *([text, size(getattr(found.memory, kind))] for kind, text in KINDS)], (1,)),
    ]
    if found.bytes_per_synapse is not None:
        lines.append(f"{found.bytes_per_synapse:.2f} bytes a synapse with all indices\n")
    phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in found.seconds.items())
    lines.append(
        f"built in {found.build:.2f} s ({phases}), kernels compiled before; "
        f"at most {size(found.peak)} more than before\n"
    )
    if found.ranks > 1:
        t = found.traffic
        rows = [
            ["an exchange interval", "out", "in"],
            ["other ranks", f"{t.ranks_out:,}", f"{t.ranks_in:,}"],
            ["messages", _mean(t.messages_out), _mean(t.messages_in)],
            ["bytes of messages", *(size(n * MESSAGE_BYTES) for n in (t.messages_out, t.messages_in))],
            ["bytes with headers and room", *(size(n * MESSAGE_BYTES) for n in (t.words_out, t.words_in))],
        ]
        lines += [
            f"exchange every {number(round(t.interval * dt, 10))} ms; {rates}\n",
            table(rows, (1, 2)),
        ]
    return "\n".join(lines)


def as_json(found: Share, dt: float) -> dict[str, object]:
    """Every figure; memory in bytes, intervals in ms."""
    content = dataclasses.asdict(found)
    content["memory"]["running"] = found.memory.running
    content["traffic"]["interval_ms"] = round(found.traffic.interval * dt, 10)
    content["bytes_per_synapse"], content["build_seconds"] = found.bytes_per_synapse, found.build
    return content


def _rates(experiment: Experiment, rate: float | None) -> str:
    if rate is not None:
        return f"every neuron at {number(rate)} Hz"
    return "at published rates" if experiment.network.reference_rates else "every neuron at 5 Hz"


def _mean(value: float) -> str:
    return f"{value:,.0f}" if value >= 100.0 else f"{value:.3g}"
