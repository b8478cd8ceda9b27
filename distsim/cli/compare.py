"""`distsim compare DIR1 DIR2`: the same spikes? If not, where do they part, and how far?"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from distsim.analysis.comparison import (
    ALPHA,
    MEASURES,
    Distance,
    Divergence,
    config_differences,
    distances,
    divergence,
    same_digest,
)
from distsim.analysis.results import Results
from distsim.cli.results import given_results
from distsim.cli.table import table

ABOUT = ("version", "seed", "ranks", "device", "precision", "dt", "warmup", "duration")
SHOWN = 20  # differing keys


def main(options: argparse.Namespace) -> int:
    """Compare; exit code 0 where the digests are equal, else 1."""
    a, b = given_results(options.first), given_results(options.second)
    seeds = [given_results(directory) for directory in options.seeds]
    same = same_digest(a, b)
    lines = [_digests(a, b, same)]
    if not same:
        lines.append(_where(divergence(a, b), a, b))
    lines += [text for text in (_about(a, b), _configurations(a.directory, b.directory)) if text]
    if not same:
        lines.append(_distances(distances(a, b, seeds), len(seeds)))
    sys.stdout.write("\n".join(lines))
    return 0 if same else 1


def _digests(a: Results, b: Results, same: bool) -> str:
    """Both digests, or the one."""
    if same:
        return f"digests are equal: {a.summary['spike_digest']} ({a.summary['spike_count']:,} spikes)\n"
    rows = [[str(r.directory), r.summary["spike_digest"], f"{r.summary['spike_count']:,} spikes"] for r in (a, b)]
    return "digests differ\n" + table(rows, (2,))


def _where(found: Divergence, a: Results, b: Results) -> str:
    names = ", ".join(found.populations[:6]) + (" …" if len(found.populations) > 6 else "")
    if found.seconds is None:
        lines = ["first divergence: in no second of a population that both have"]
    else:
        begin, end = found.seconds
        when = f"second {end}" if end == begin + 1 else f"seconds {begin + 1} to {end}"
        lines = [f"first divergence: {when} ({begin * 1000}-{end * 1000} ms) in {names}"]
    if found.spike is None:
        lines.append(f"first differing spike: none after {max(a.start, b.start):g} ms, where recording starts")
    else:
        time, population, neuron, side = found.spike
        which = (a, b)[side].directory
        lines.append(f"first differing spike: {population}, neuron {neuron}, {time:.10g} ms, only in {which}")
        if found.seconds is not None and time > found.seconds[1] * 1000.0:
            lines.append("(the divergence lies before it: in the warm-up, or among neurons that are not recorded)")
    return "\n".join(lines) + "\n"


def _about(a: Results, b: Results) -> str:
    rows = [[key, str(a.summary.get(key)), str(b.summary.get(key))] for key in ABOUT]
    rows = [row for row in rows if row[1] != row[2]]
    return "runs differ in\n" + table(rows) if rows else ""


def _configurations(a: Path, b: Path) -> str:
    paths = [directory / "experiment.yaml" for directory in (a, b)]
    if not all(path.is_file() for path in paths):
        return ""
    found = config_differences(*paths)
    if not found:
        return "configurations are the same\n"
    more = f"  … and {len(found) - SHOWN} more\n" if len(found) > SHOWN else ""
    return "configurations differ in\n" + table([list(row) for row in found[:SHOWN]]) + more


def _distances(found: dict[str, dict[str, Distance]], seeds: int) -> str:
    if not found:
        return "no population was recorded in both\n"
    rows: list[list[str]] = [["", *(m for measure in MEASURES for m in (measure, "expected", "limit"))]]
    for name, row in found.items():
        rows.append([name, *(text for measure in MEASURES for text in _shown(row[measure]))])
    among = f"runs of {seeds} other seed{'s' if seeds > 1 else ''}" if seeds else "independent neurons"
    large = sum(d.is_large for row in found.values() for d in row.values())
    are = "is" if large == 1 else "are"
    return (
        f"KS distances, and those expected among {among}\n"
        + table(rows, range(1, len(rows[0])))
        + f"{large} of {len(found) * len(MEASURES)} {are} over the limit (*); chance is in {ALPHA:.0%} of tables\n"
    )


def _shown(distance: Distance) -> tuple[str, str, str]:
    if math.isnan(distance.found):
        return "-", "-", "-"
    mark = "*" if distance.is_large else ""
    return f"{mark}{distance.found:.3f}", f"{distance.expected:.3f}", f"{distance.limit:.3f}"
