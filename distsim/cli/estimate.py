"""`distsim estimate -n RANKS CONFIG`: the memory of a run, before anything is allocated; or one rank built dry."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys

import distsim.runner  # noqa: F401  a run's libraries, so that this process's size is their share
from distsim.build.capacity import available_bytes, parse_size, resident_bytes, size, smallest_ranks
from distsim.build.estimate import Estimate, RankMemory, estimate
from distsim.checks import check_ranks
from distsim.cli.table import table
from distsim.config import load_experiment
from distsim.errors import ConfigError

KINDS = (
    ("neurons", "neurons and their state"),
    ("synapses", "synapses"),
    ("runs", "runs"),
    ("rows", "rows"),
    ("routing", "routing"),
    ("buffers", "wheel and messages"),
    ("recording", "recording"),
    ("running", "together, while running"),
    ("construction", "construction besides, freed before running"),
    ("writing", "putting results together, at the end"),
    ("baseline", "Python, libraries, MPI"),
    ("peak", "peak"),
)


def main(options: argparse.Namespace) -> int:
    """Estimate and print."""
    if options.ranks < 1:
        raise ConfigError(f"estimate -n: found {options.ranks}; allowed: a number of ranks from 1 on")
    if options.rate is not None and not (math.isfinite(options.rate) and 0.0 <= options.rate <= 1e6):
        raise ConfigError(f"estimate --rate: found {options.rate:g}; allowed: Hz, from 0 to 1,000,000")
    if options.rank is not None and not options.dry_run:
        raise ConfigError("estimate --rank: found without --dry-run; allowed: with it")
    memory = parse_size(options.device_memory, "estimate --device-memory") if options.device_memory else None
    experiment = load_experiment(options.config, options.overrides).experiment
    check_ranks(experiment.run, options.ranks)
    if options.rate is not None:
        experiment.network.reference_rates = {p.name: options.rate for p in experiment.network.populations}
    devices = Devices(memory, smallest_ranks(experiment, memory)) if memory else None
    if options.dry_run:
        from distsim.cli.dry_run import dry_run_report

        sys.stdout.write(dry_run_report(experiment, options, devices))
        return 0
    found = estimate(experiment, options.ranks, resident_bytes(), lists_input=devices is None)
    if options.json:
        content = as_json(found) | ({} if devices is None else {"devices": devices.as_json()})
        sys.stdout.write(json.dumps(content, indent=2) + "\n")
        return 0
    sys.stdout.write(report(experiment.network.name, found, available_bytes()))
    if devices is not None:
        sys.stdout.write(devices.line())
    return 0


@dataclasses.dataclass(frozen=True)
class Devices:
    """The smallest number of devices of a given memory on which a run is expected to fit; None: no number does."""

    memory: int
    fewest: int | None

    def line(self) -> str:
        if self.fewest is None:
            return f"devices of {size(self.memory)}: no number of them is expected to do\n"
        number = "1 is" if self.fewest == 1 else f"{self.fewest:,} are"
        return f"devices of {size(self.memory)}: {number} expected to do, a rank on each\n"

    def as_json(self) -> dict[str, int | None]:
        return {"memory": self.memory, "fewest": self.fewest}


def report(name: str, found: Estimate, available: int | None) -> str:
    """The estimate as a table."""
    ranks = f"{found.ranks:,} rank{'s' if found.ranks > 1 else ''}"
    lines = [f"{name} on {ranks}: {found.neurons:,} neurons, {found.synapses:,.0f} synapses\n"]
    if found.ranks > 1:
        rows = [[text, size(_of(found.largest, k)), size(_of(found.total, k))] for k, text in KINDS]
        lines.append(table([["", "largest rank", "all ranks"], *rows], (1, 2)))
    else:
        lines.append(table([[text, size(_of(found.largest, k))] for k, text in KINDS], (1,)))
    if found.bytes_per_synapse is not None:
        lines.append(
            f"{found.bytes_per_synapse:.2f} bytes a synapse with all indices; {found.runs / found.rows:.1f} runs a row"
            + (f", {found.synapses / found.runs:.1f} synapses a run\n" if found.runs else "\n")
        )
    if found.looked_at < found.ranks:
        lines.append(f"({found.looked_at} ranks were looked at; they stand for all)\n")
    if available is not None:
        lines.append(f"available on this machine: {size(available)}\n")
    return "\n".join(lines)


def as_json(found: Estimate) -> dict[str, object]:
    """Every figure, memory in bytes as in summary.json."""
    content = dataclasses.asdict(found)
    for which in ("largest", "total"):
        memory = getattr(found, which)
        content[which] = {kind: round(_of(memory, kind)) for kind, _ in KINDS}
    for which in ("synapses", "runs", "rows"):
        content[which] = round(getattr(found, which))
    return content


def _of(memory: RankMemory, kind: str) -> float:
    return float(getattr(memory, kind))
