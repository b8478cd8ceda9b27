"""Energy that a run took, from the counters of processors (RAPL) and GPUs (NVML). Read, never estimated.

Each node's processors are read by one of its ranks, each GPU by one of the ranks that share it. A kind of
counter counts only where it could be read wherever the run was: part of the energy would be no figure. Where
GPUs compute there is none without theirs.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from distsim.comm import Communicator

POWERCAP = Path("/sys/class/powercap")
READ_EVERY = 20.0  # s: RAPL's counters wrap within minutes on large processors
SAMPLE_EVERY = 0.05  # s, where a GPU tells only its power


class Meter(Protocol):
    """Something that knows how much energy has gone through it."""

    every: float  # seconds between two readings that it needs at the least
    source: str

    def joules(self) -> float:
        """Since it was made. Raises OSError where it cannot be read any more."""


class RaplMeter:
    """The processors and memory of this node: packages, and DRAM, which no package contains.

    Raises
    ------
    OSError
        No zone is there, or one of those that count cannot be read.
    """

    every = READ_EVERY

    def __init__(self, root: Path = POWERCAP) -> None:
        zones = _rapl_zones(root)
        if not zones:
            raise FileNotFoundError(f"{root}: no energy counters of processors")
        self._zones = [(z / "energy_uj", int((z / "max_energy_range_uj").read_text())) for z in zones.values()]
        self._last = [int(path.read_text()) for path, _ in self._zones]
        self._microjoules = 0
        self.source = "RAPL (" + ", ".join(dict.fromkeys(name.split("/")[-1] for name in zones)) + ")"

    def joules(self) -> float:
        for i, (path, largest) in enumerate(self._zones):
            now = int(path.read_text())
            passed = now - self._last[i]
            # The counter goes from its largest value to 0.
            self._microjoules += passed if passed >= 0 else passed + largest + 1
            self._last[i] = now
        return self._microjoules / 1e6


def _rapl_zones(root: Path) -> dict[str, Path]:
    """Zones that together count everything once: name → folder."""
    packages: dict[str, Path] = {}
    memories: dict[str, Path] = {}
    for folder in sorted(root.glob("intel-rapl:*")):  # intel-rapl-mmio counts the same packages again
        place = re.fullmatch(r"intel-rapl:(\d+)(?::(\d+))?", folder.name)
        if place is None:
            continue
        name = (folder / "name").read_text().strip()
        if place[2] is None and name.startswith("package"):
            packages[name] = folder
        elif place[2] is not None and name == "dram":
            memories[f"{place[1]}/{name}"] = folder
    return {**packages, **memories}


class NvmlMeter:
    """One NVIDIA GPU, by its counter of energy, or by its power over time where it has none.

    Parameters
    ----------
    pci_bus_id
        As CUDA tells it.

    Raises
    ------
    OSError
        It cannot be read.
    """

    def __init__(self, pci_bus_id: str, nvml: Any = None) -> None:
        try:
            nvml = nvml or import_module("pynvml")
            nvml.nvmlInit()
            self._nvml, self._handle = nvml, nvml.nvmlDeviceGetHandleByPciBusId(pci_bus_id)
        except Exception as error:  # ImportError, or any of NVML's own
            raise FileNotFoundError(f"{pci_bus_id}: {error}") from error
        try:
            self._first = self._read(nvml.nvmlDeviceGetTotalEnergyConsumption)
            self._counts = True
            self.every, self.source = READ_EVERY, "NVML (energy counter)"
        except OSError:  # before Volta, and under some virtualisation
            self._watts = self._read(nvml.nvmlDeviceGetPowerUsage) / 1000.0
            self._counts = False
            self._at, self._sum = time.perf_counter(), 0.0
            self.every, self.source = SAMPLE_EVERY, f"NVML (power, every {SAMPLE_EVERY * 1000:.0f} ms)"

    def joules(self) -> float:
        if self._counts:
            return (self._read(self._nvml.nvmlDeviceGetTotalEnergyConsumption) - self._first) / 1000.0
        now, watts = time.perf_counter(), self._read(self._nvml.nvmlDeviceGetPowerUsage) / 1000.0
        self._sum += (now - self._at) * (watts + self._watts) / 2.0
        self._at, self._watts = now, watts
        return self._sum

    def _read(self, verb: Callable[[Any], int]) -> int:
        try:
            return int(verb(self._handle))
        except Exception as error:
            raise OSError(f"NVML: {error}") from error


@dataclass(frozen=True)
class Energy:
    """What a run took, over all ranks.

    Attributes
    ----------
    joules
        Kind of device (cpu, gpu) → joules.
    source
        Where they were read.
    """

    joules: dict[str, float]
    source: tuple[str, ...]

    def document(self, events: int) -> dict[str, Any] | None:
        """`energy` of summary.json; None where nothing could be read."""
        if not self.joules:
            return None
        total = sum(self.joules.values())
        return {
            "joules": total, **{f"joules_{kind}": found for kind, found in self.joules.items()},
            "source": list(self.source), "nanojoules_per_event": 1e9 * total / events if events else None,
        }  # fmt: skip


class EnergyMeasurement:
    """Reads this rank's share of the meters between its making and `stop`.

    Parameters
    ----------
    device
        What tells this rank's GPU from all others, "node:PCI bus id", or "" where the host computes.
    """

    def __init__(
        self, comm: Communicator, device: str, rapl: Callable[[], Meter] = RaplMeter,
        nvml: Callable[[str], Meter] = NvmlMeter,
    ) -> None:  # fmt: skip
        self._comm = comm
        node = os.uname().nodename
        self._meters: dict[str, Meter | None] = {}
        if _first_of(comm, node):
            self._meters["cpu"] = _opened(rapl)
        if _first_of(comm, device) and device:
            self._meters["gpu"] = _opened(lambda: nvml(device.removeprefix(f"{node}:")))
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._start = {kind: _joules(meter) for kind, meter in self._meters.items()}
        every = min((m.every for m in self._meters.values() if m is not None), default=None)
        self._thread = None
        if every is not None:
            self._thread = threading.Thread(target=self._keep_reading, args=(every,), daemon=True)
            self._thread.start()

    def _keep_reading(self, every: float) -> None:
        while not self._ended.wait(every):
            self._read()

    def _read(self) -> dict[str, float | None]:
        with self._lock:
            return {kind: _joules(meter) for kind, meter in self._meters.items()}

    def stop(self) -> Energy:
        """The energy since the making; every rank calls, after a barrier."""
        found = self._read()
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        joules: dict[str, float] = {}
        source: list[str] = []
        for kind in ("cpu", "gpu"):
            meter, first, last = self._meters.get(kind), self._start.get(kind), found.get(kind)
            read = first is not None and last is not None
            mine = last - first if first is not None and last is not None else 0.0
            known = [1.0, float(read), mine] if kind in self._meters else [0.0, 0.0, 0.0]
            asked, could, total = self._comm.reduce(np.array(known), "sum").tolist()
            named = self._comm.share(np.frombuffer((meter.source if meter and read else "").encode(), np.uint8))
            if asked and asked == could:
                joules[kind] = total
                source += sorted({x.tobytes().decode() for x in named if x.size})
            elif asked and kind == "gpu":  # the host's share alone would pass for the run's
                return Energy({}, ())
        return Energy(joules, tuple(source))


def _first_of(comm: Communicator, name: str) -> bool:
    """Is this the first rank with that name?"""
    names: Sequence[Any] = comm.share(np.frombuffer(name.encode(), np.uint8))
    return all(other.tobytes() != name.encode() for other in names[: comm.rank])


def _opened(meter: Callable[[], Meter]) -> Meter | None:
    try:
        return meter()
    except (OSError, ValueError):
        return None


def _joules(meter: Meter | None) -> float | None:
    try:
        return None if meter is None else meter.joules()
    except (OSError, ValueError):
        return None
