"""`distsim bench`: speed and memory of published networks, as a table that says where it was measured."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from distsim.backend import open_backend
from distsim.cli import bench_models, bench_procedural, bench_scaling, bench_synthetic
from distsim.cli.bench_machine import MachineFigures, measured_machine
from distsim.errors import ConfigError, nearest
from distsim.io.summary import write_json
from distsim.version import __version__

# Published mean rates of the full-scale microcircuit (Hz): the range over two published runs,
# see docs/benchmarks.md for their sources.
PUBLISHED_RANGES = {
    "L23E": (0.903, 0.943), "L23I": (2.965, 3.026), "L4E": (4.368, 4.414), "L4I": (5.876, 5.882),
    "L5E": (7.569, 7.733), "L5I": (8.633, 8.664), "L6E": (1.096, 1.105), "L6I": (7.829, 7.851),
}  # fmt: skip
RATE_MARGIN = 0.08

# Full scale, by device: (the bar to beat, our aim). cuda: GeNN and NEST GPU on an RTX 4090, see docs/benchmarks.md.
BARS = {
    "cpu": {"factor": ("1.5", "1.0"), "build": ("10", "5"), "bytes": ("4.6", "4.3")},
    "cuda": {"factor": ("0.272", "0.05"), "build": ("0.52", "0.3"), "bytes": ("8.5", "4.5")},
}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    figure: str
    bar: str
    aim: str


@dataclass(frozen=True)
class Setting:
    """How the benchmarks run."""

    ranks: int
    repeat: int
    device: str = "auto"
    neurons: int | None = None  # of random and memory (weak-scaling: a rank), as the next two; None: by device
    synapses: int | None = None
    delays: int = 1
    duration: float | None = None  # ms, of floor, random and memory
    kept: dict[str, Any] = field(default_factory=dict)  # what two benchmarks share

    def runs(self, scale: float, ranks: int, duration: float, warmup: float) -> list[dict[str, Any]]:
        """Summaries of `repeat` runs, after one that compiles."""
        run(scale, ranks, 0.1, 0.0, self.device)
        return [run(scale, ranks, duration, warmup, self.device) for _ in range(self.repeat)]

    def runs_of(self, document: dict[str, Any], ranks: int) -> list[dict[str, Any]]:
        """Summaries of `repeat` runs of a document; the same again for whoever asks again."""
        key = f"runs {ranks} {json.dumps(document)}"
        if key not in self.kept:
            self.kept[key] = [run_document(document, ranks, self.device) for _ in range(self.repeat)]
        found: list[dict[str, Any]] = self.kept[key]
        return found

    def profiled(self, document: dict[str, Any], ranks: int) -> dict[str, Any]:
        """The summary of one run with --profile; it compiles for the others."""
        key = f"profile {ranks} {json.dumps(document)}"
        if key not in self.kept:
            self.kept[key] = run_document(document, ranks, self.device, "--profile")
        found: dict[str, Any] = self.kept[key]
        return found

    def machine(self) -> MachineFigures:
        """What the machine can do, measured once."""
        if "machine" not in self.kept:
            self.kept["machine"] = measured_machine(self.device, self.ranks)
        found: MachineFigures = self.kept["machine"]
        return found

    def device_name(self) -> str:
        return open_backend(self.device).name


def main(options: argparse.Namespace) -> int:
    """Run the chosen benchmarks; exit code 1 where a full-scale rate lies outside its range."""
    chosen = options.benchmarks or ["microcircuit", "microcircuit_0.1", "quickstart_start"]
    for name in chosen:
        if name not in BENCHMARKS:
            raise ConfigError(f"bench: unknown benchmark {name!r}; {nearest(name, BENCHMARKS)}")
    for key in ("ranks", "repeat", "neurons", "synapses", "delays"):
        value = getattr(options, key)
        if value is not None and value < 1:
            said = "-n" if key == "ranks" else f"--{key}"
            raise ConfigError(f"bench: {said}: found {value}; allowed: a whole number from 1 on")
    if options.duration is not None and not 0.1 <= options.duration <= 1e9:
        raise ConfigError(f"bench: --duration: found {options.duration:g}; allowed: ms, from 0.1 on")
    if options.neurons and options.synapses and options.synapses < options.neurons:
        raise ConfigError(
            f"bench: --synapses: found {options.synapses}; allowed: as many as neurons or more ({options.neurons})"
        )
    rows: list[Row] = []
    good = True
    setting = Setting(
        options.ranks, options.repeat, options.device, options.neurons, options.synapses, options.delays,
        options.duration,
    )  # fmt: skip
    for name in chosen:
        sys.stderr.write(f"bench: {name}\n")
        found, fine = BENCHMARKS[name](setting)
        rows += found
        good = good and fine
    machine = setting.kept.get("machine")
    text = table(rows, options.repeat, options.device, machine)
    sys.stdout.write(text)
    if options.json is not None:
        document = {"rows": [asdict(row) for row in rows], "machine": asdict(machine) if machine else None,
                 "ranks": options.ranks, "repeat": options.repeat, "passed": good,
                 "summaries": {k: v for k, v in setting.kept.items() if k != "machine"}}  # fmt: skip
        write_json(options.json, document)
    if options.out is not None:
        with open(options.out, "a", encoding="utf-8") as file:
            file.write("\n" + text)
    return 0 if good else 1


def run(scale: float, ranks: int, duration: float, warmup: float, device: str = "auto") -> dict[str, Any]:
    """The summary of one run of the microcircuit."""
    document = {
        "name": "bench",
        "network": {"builder": "microcircuit", "scale": scale},
        "run": {"duration": duration, "warmup": warmup, "seed": 1},
    }
    return run_document(document, ranks, device)


def run_document(document: dict[str, Any], ranks: int, device: str = "auto", *options: str) -> dict[str, Any]:
    """The summary of one run in processes of its own."""
    with tempfile.TemporaryDirectory(prefix="distsim-bench-") as folder:
        config, out = Path(folder) / "config.yaml", Path(folder) / "out"
        config.write_text(json.dumps(document))  # JSON is YAML
        command = [sys.executable, "-m", "distsim", "run", str(config), "--out", str(out), "--device", device, *options]
        if ranks > 1:
            command = [*launcher(), "-n", str(ranks), sys.executable, "-m", "mpi4py", *command[1:]]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "DISTSIM_RANKS": str(ranks)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise ConfigError(f"bench: {' '.join(command)} failed: {done.stderr.strip()[-300:]}")
        summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
        return summary


def launcher() -> list[str]:
    """The mpiexec beside this Python, else the one on the path."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise ConfigError("bench: no mpiexec found; install the extra mpich or load your cluster's MPI, or use -n 1")
    return [found]


def _median(summaries: Sequence[dict[str, Any]], pick: Callable[[dict[str, Any]], float]) -> float:
    return statistics.median(pick(s) for s in summaries)


def full_scale(setting: Setting) -> tuple[list[Row], bool]:
    """The microcircuit at full scale, one biological second with Poisson input, spikes recorded."""
    ranks = setting.ranks
    runs = setting.runs(1.0, ranks, 1000.0, 500.0)
    bars = BARS[open_backend(setting.device).name]
    where = f"microcircuit, full scale, {ranks} rank{'s' if ranks > 1 else ''}"
    phases = ", ".join(
        f"{p} {_median(runs, lambda s, p=p: s['seconds'][p]):.2f}"  # type: ignore[misc]
        for p in ("update", "deliver", "spread", "exchange")
    )
    factor = _median(runs, lambda s: s["realtime_factor"])
    build = _median(runs, lambda s: s["seconds"]["build"])
    size = _median(runs, lambda s: s["bytes_per_synapse"])
    peak = _median(runs, lambda s: s["memory_bytes"]["total"]) / 1e9
    return [
        Row(f"{where}: real-time factor", f"{factor:.3g}", *bars["factor"]),
        Row("… of which seconds", phases, "", ""),
        Row("… construction, compilation cached (s)", f"{build:.2f}", *bars["build"]),
        Row("… bytes a synapse, all indices", f"{size:.2f}", *bars["bytes"]),
        Row("… peak memory of all ranks over imports (GB)", f"{peak:.2f}", "2.2", "1.6"),
    ], True


def tenth(setting: Setting) -> tuple[list[Row], bool]:
    """The microcircuit at 0.1 on one rank."""
    runs = setting.runs(0.1, 1, 1000.0, 500.0)
    figure = f"{_median(runs, lambda s: s['realtime_factor']):.3f}"
    return [Row("microcircuit at 0.1, one rank: real-time factor", figure, "0.25", "0.15")], True


def start(setting: Setting) -> tuple[list[Row], bool]:
    """From the start of the process to the first step, everything cached."""
    ranks = setting.ranks
    runs = setting.runs(0.1, ranks, 1.0, 0.0)
    figure = f"{_median(runs, lambda s: s['seconds']['start']):.2f}"
    return [Row(f"quickstart, {ranks} ranks: start to first step (s)", figure, "3", "1.5")], True


def full_scale_rates(setting: Setting) -> tuple[list[Row], bool]:
    """Rates at full scale over 10 s against the published ones."""
    rates = run(1.0, setting.ranks, 10_000.0, 500.0, setting.device)["rates"]
    rows, good = [], True
    for name, (low, high) in PUBLISHED_RANGES.items():
        inside = low * (1 - RATE_MARGIN) <= rates[name] <= high * (1 + RATE_MARGIN)
        good = good and inside
        rows.append(Row(f"rate of {name} over 10 s (Hz)", f"{rates[name]:.3f}{'' if inside else ' OUTSIDE'}",
                        f"{low}-{high} ± 8 %", ""))  # fmt: skip
    return rows, good


BENCHMARKS: dict[str, Callable[[Setting], tuple[list[Row], bool]]] = {
    "microcircuit": full_scale,
    "microcircuit_0.1": tenth,
    "quickstart_start": start,
    "full_scale_rates": full_scale_rates,
    "floor": bench_synthetic.floor,
    "random": bench_synthetic.random,
    "memory": bench_synthetic.memory,
    "models": bench_models.models,
    "weak-scaling": bench_scaling.weak_scaling,
    "procedural": bench_procedural.procedural,
}


def table(rows: Sequence[Row], repeat: int, device: str = "cpu", machine: MachineFigures | None = None) -> str:
    """Markdown: where and when, then the figures."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    lines = [
        f"### {now}, distsim {__version__}, commit {_commit()}",
        "",
        f"On {open_backend(device).describe()}; {_processor()}, {os.cpu_count()} cores, {_memory()}, "
        f"Python {platform.python_version()}; "
        f"medians of {repeat} run{'s' if repeat > 1 else ''}, rates from one.",
        *([] if machine is None else ["", f"The machine, a rank of it: {'; '.join(machine.lines())}."]),
        "",
        "| what | measured | bar | aim |",
        "|---|---|---|---|",
    ]
    lines += [f"| {r.what} | {r.figure} | {r.bar} | {r.aim} |" for r in rows]
    return "\n".join(lines) + "\n"


def _commit() -> str:
    root = Path(__file__).parents[2]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), platform.machine())


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
