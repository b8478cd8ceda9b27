"""A run's profile as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distsim.cli.table import table

SHOWN_FROM = 0.0005  # of the run: kernels below that are left out


def profile_table(profile: Mapping[str, Any], simulate: float) -> str:
    """Phases, each with its kernels, by decreasing time; then what a step, an event and an update cost."""
    whole = simulate or 1.0
    rows = [("", "seconds", "share", "slowest", "µs a launch", "GB/s")]
    phases, worst, per = profile["phase_seconds"], profile["phase_seconds_of_the_slowest_rank"], profile["per"]
    for phase, seconds in sorted(phases.items(), key=lambda x: -x[1]):
        kernels = [k for k in profile["kernels"] if k["phase"] == phase]
        if not seconds and not kernels:
            continue
        speed = per["gigabytes_a_second"].get(phase)
        rows.append((
            phase, f"{seconds:.4g}", f"{seconds / whole:.1%}", f"{worst.get(phase, seconds):.4g}", "",
            f"{speed:.3g}" if speed else "",
        ))  # fmt: skip
        for k in kernels:
            if k["seconds"] >= SHOWN_FROM * whole:
                each, most = k["microseconds_a_launch"], k["seconds_max"]
                share = f"{k['seconds'] / whole:.1%}"
                rows.append((f"  {k['name']}", f"{k['seconds']:.4g}", share, f"{most:.4g}", f"{each:.3g}", ""))
    rows.append(("simulate", f"{simulate:.4g}", "", "", "", ""))
    built = ", ".join(f"{name} {t:.2g}" for name, t in profile["construction_seconds"].items())
    said = [
        f"{profile['counts'][key]:,} {name}, {per[each]:.3g} {unit}"
        for key, name, each, unit in (
            ("steps", "steps", "microseconds_a_step", "µs each"),
            ("synaptic_events", "synaptic events", "nanoseconds_an_event", "ns each"),
            ("neuron_updates", "neuron updates", "nanoseconds_a_neuron_update", "ns each"),
        )
        if per[each] is not None
    ]
    return f"\n{table(rows, right=range(1, 6))}\n  {'; '.join(said)}\n  built in seconds: {built}\n"
