"""What the machine can do, each thing alone, measured by small kernels: the bounds of a step.

`python -m distsim.cli.bench_machine DEVICE [LOCAL_RANK]` prints one process's figures as JSON; `bench` starts as
many at once as there are ranks, so that they share the memory as ranks do.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from distsim.backend import Backend, Module, open_backend
from distsim.errors import ConfigError
from distsim.kernels.machine import Machine, machine_source

MOST_LANES = 256  # that any device has in a group
ROUNDS = 5  # of each measurement; the best one counts, since others only take away


@dataclass(frozen=True)
class MachineFigures:
    """One rank's machine.

    Attributes
    ----------
    launch
        Seconds from one kernel to the next, where many are launched together.
    round_trip
        Seconds of a launch and the wait for its end.
    latency, cached_latency
        Seconds of a load that the next load waits for, from memory and from the second-level cache.
    bandwidth
        Bytes a second that a copy moves, read and written ones.
    atomics
        Atomic adds a second into an array of `atomics_words` words.
    operations
        Multiplications and additions a second, in single precision, as kernels do them: never fused.
    cache_bytes
        Of the largest cache; 0 where it is not known.
    peak_bandwidth
        As the device tells it; None where it does not.
    """

    launch: float
    round_trip: float
    latency: float
    cached_latency: float
    bandwidth: float
    atomics: float
    operations: float
    cache_bytes: int = 0
    peak_bandwidth: float | None = None
    device: str = ""

    def lines(self) -> list[str]:
        """In words, one figure a line."""
        told = "" if self.peak_bandwidth is None else f" (the device tells {self.peak_bandwidth / 1e9:,.0f})"
        return [
            f"launch {self.launch * 1e6:.3g} µs, launch and wait {self.round_trip * 1e6:.3g} µs",
            f"dependent load {self.latency * 1e9:.3g} ns, in the second-level cache {self.cached_latency * 1e9:.3g} ns",
            f"copy {self.bandwidth / 1e9:,.3g} GB/s{told}",
            f"atomic adds {self.atomics / 1e9:.3g} G/s",
            f"operations {self.operations / 1e9:,.3g} G/s",
        ]


@dataclass(frozen=True)
class Sizes:
    """Of the arrays: several times the caches; tests make them small."""

    copy_bytes: int
    chase_bytes: int
    cached_bytes: int
    scatter_words: int
    groups: int
    rounds: int
    launches: int


SIZES = {
    "cpu": Sizes(256 * 2**20, 128 * 2**20, 2**18, 2**16, 2**14, 4096, 1000),
    "cuda": Sizes(4 * 2**30, 512 * 2**20, 2**23, 2**20, 2**18, 4096, 1000),
}


def measure(backend: Backend, sizes: Sizes | None = None) -> MachineFigures:
    """The figures of the device that `backend` took."""
    sizes = sizes or SIZES[backend.name]
    kernels = backend.compile(machine_source(), "machine")
    launch = _best(kernels, "nothing", Machine(), 1, sizes.launches)
    round_trip = _best(kernels, "nothing", Machine(), 1, 1)
    small = backend.zeros(max(sizes.scatter_words, sizes.groups * MOST_LANES), np.uint32)
    to = backend.pointer(small)

    items = sizes.copy_bytes // 16
    source, target = backend.zeros(items * 4, np.uint32), backend.zeros(items * 4, np.uint32)
    for read, written in ((target, source), (source, target)):  # the first one writes what the second one reads
        arguments = Machine(to=backend.pointer(written), n=items)
        setattr(arguments, "from", backend.pointer(read))
        bandwidth = 32 * items / _best(kernels, "copy", arguments, items // backend.lanes, 1)
    del source, target

    latencies = [
        _latency(backend, kernels, sizes.chase_bytes // 4, 20_000, to, again=False),
        _latency(backend, kernels, sizes.cached_bytes // 4, 100_000, to, again=True),
    ]
    arguments = Machine(to=to, n=sizes.groups, mask=sizes.scatter_words - 1)
    atomics = 256 * sizes.groups / _best(kernels, "scatter", arguments, sizes.groups, 1)
    groups = min(sizes.groups, 256) if backend.lanes > 32 else sizes.groups
    arguments = Machine(to=to, n=groups, rounds=sizes.rounds)
    operations = 2 * backend.lanes * groups * sizes.rounds / _best(kernels, "multiply", arguments, groups, 1)
    return MachineFigures(
        launch,
        round_trip,
        latencies[0],
        latencies[1],
        bandwidth,
        atomics,
        operations,
        backend.cache_bytes(),
        backend.peak_bandwidth(),
        backend.describe(),
    )


def _best(kernels: Module, kernel: str, arguments: Any, n: int, times: int) -> float:
    """Seconds a launch, the least of several rounds after one that warms up."""
    kernels.seconds(kernel, arguments, n, times)
    return min(kernels.seconds(kernel, arguments, n, times) for _ in range(ROUNDS))


def _latency(backend: Backend, kernels: Module, places: int, loads: int, to: int, again: bool) -> float:
    """Seconds of a load along a cycle: from the same place every time, or each time where nobody has been."""
    chain = backend.to_device(_one_cycle(places))
    found = []
    for start in np.linspace(0, places - 1, ROUNDS + 1).astype(int).tolist():
        arguments = Machine(to=to, rounds=loads, n=0 if again else start)
        setattr(arguments, "from", backend.pointer(chain))
        found.append(kernels.seconds("chase", arguments, 1, 1) / loads)
    return min(found[1:])


def _one_cycle(n: int) -> np.ndarray:
    """uint32[n]: from each place to the next of one random cycle through all of them."""
    order = np.random.default_rng(1).permutation(n)
    following = np.empty(n, np.uint32)
    following[order] = np.roll(order, -1)
    return following


def measured_machine(device: str, ranks: int) -> MachineFigures:
    """One rank's figures while as many others measure beside it: the mean over them."""
    command = [sys.executable, "-m", "distsim.cli.bench_machine", device]
    started = [
        subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for rank in range(ranks)
    ]
    ended = [process.communicate() for process in started]
    for process, (_, said) in zip(started, ended, strict=True):
        if process.returncode:
            raise ConfigError(f"bench: {' '.join(command)} failed: {said.decode(errors='replace').strip()[-300:]}")
    found = [MachineFigures(**json.loads(text)) for text, _ in ended]
    means = {
        name: sum(getattr(x, name) for x in found) / len(found)
        for name in ("launch", "round_trip", "latency", "cached_latency", "bandwidth", "atomics", "operations")
    }
    return replace(found[0], **means)


def main(arguments: list[str]) -> int:
    """One process's figures as JSON."""
    backend = open_backend(arguments[0] if arguments else "auto")
    backend.assign(int(arguments[1]) if len(arguments) > 1 else 0)
    json.dump(asdict(measure(backend)), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
