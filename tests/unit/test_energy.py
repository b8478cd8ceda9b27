"""Energy is read, counted once, and absent where any of it is missing: on planted counters."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distsim.comm import Serial, Threads
from distsim.energy import Energy, EnergyMeasurement, Meter, NvmlMeter, RaplMeter

RANGE = 1_000_000  # µJ


def zone(root: Path, folder: str, name: str, energy: int, largest: int = RANGE) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    for file, content in (("name", name), ("energy_uj", energy), ("max_energy_range_uj", largest)):
        (path / file).write_text(f"{content}\n")
    return path / "energy_uj"


@pytest.fixture
def server(tmp_path: Path) -> dict[str, Path]:
    """Two packages with cores and memory, the platform's zone, the first package again over MMIO, and its parent."""
    (tmp_path / "intel-rapl").mkdir()
    places = {
        "p0": ("intel-rapl:0", "package-0", 100), "core0": ("intel-rapl:0:0", "core", 40),
        "dram0": ("intel-rapl:0:1", "dram", 999_990), "p1": ("intel-rapl:1", "package-1", 999_000),
        "uncore1": ("intel-rapl:1:0", "uncore", 0), "psys": ("intel-rapl:2", "psys", 0),
        "mmio": ("intel-rapl-mmio:0", "package-0", 100),
    }  # fmt: skip
    return {key: zone(tmp_path, *place) for key, place in places.items()}


def test_packages_and_memory_count_once(server: dict[str, Path], tmp_path: Path) -> None:
    """Cores, the graphics, the platform and MMIO count the same joules again: they are left out."""
    meter = RaplMeter(tmp_path)
    assert meter.source == "RAPL (package-0, package-1, dram)"
    for path in server.values():
        path.write_text(f"{(int(path.read_text()) + 200_000) % (RANGE + 1)}\n")
    assert meter.joules() == pytest.approx(3 * 0.2)


def test_counters_wrap_around(server: dict[str, Path], tmp_path: Path) -> None:
    """Catches a negative energy, and a microjoule lost at each turn."""
    meter = RaplMeter(tmp_path)
    server["p1"].write_text("500\n")
    assert meter.joules() == pytest.approx((RANGE + 1 - 999_000 + 500) / 1e6, abs=1e-12)
    server["p1"].write_text("400\n")  # almost once around
    assert meter.joules() == pytest.approx((2 * (RANGE + 1) - 999_000 + 400) / 1e6, abs=1e-12)
    assert meter.joules() == meter.joules()


@pytest.mark.parametrize("missing", ["p1", "dram0"])
def test_what_cannot_be_read_leaves_no_part(server: dict[str, Path], tmp_path: Path, missing: str) -> None:
    """Since 2020 kernels keep energy_uj from users: then there is no figure, not half of one."""
    server[missing].unlink()
    server[missing].mkdir()  # unreadable for root too
    with pytest.raises(OSError):
        RaplMeter(tmp_path)
    energy = EnergyMeasurement(Serial(), "", lambda: RaplMeter(tmp_path)).stop()
    assert energy == Energy({}, ()) and energy.document(100) is None


def test_no_counters_at_all(tmp_path: Path) -> None:
    assert EnergyMeasurement(Serial(), "", lambda: RaplMeter(tmp_path)).stop().document(1) is None
    zone(tmp_path, "intel-rapl:0", "psys", 5)
    with pytest.raises(OSError, match="no energy counters"):
        RaplMeter(tmp_path)


def gpu(readings: dict[str, list[int]], opened: list[str] | None = None) -> Any:
    """A module like pynvml whose verbs give these readings, one after the other, the last for ever."""

    class NVMLError(Exception):
        pass

    def handle(bus: str) -> str:
        if opened is not None:
            opened.append(bus)
        return bus

    def verb(name: str) -> Callable[[str], int]:
        def read(_: str) -> int:
            if name not in readings:
                raise NVMLError("Not Supported")
            left = readings[name]
            return left.pop(0) if len(left) > 1 else left[0]

        return read

    return SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetHandleByPciBusId=handle,
        nvmlDeviceGetTotalEnergyConsumption=verb("energy"), nvmlDeviceGetPowerUsage=verb("power"),
    )  # fmt: skip


def test_a_gpu_counts_its_energy() -> None:
    meter = NvmlMeter("0000:1b:00.0", gpu({"energy": [5_000, 5_000, 7_500]}))
    assert (meter.joules(), meter.joules()) == (0.0, 2.5) and meter.source == "NVML (energy counter)"


def test_power_over_time_where_there_is_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trapezoids: 1 s from 100 to 300 W, then 2 s at 300 W."""
    now = [10.0]
    monkeypatch.setattr("distsim.energy.time", SimpleNamespace(perf_counter=lambda: now[0]))
    meter = NvmlMeter("x", gpu({"power": [100_000, 300_000]}))
    now[0] = 11.0
    assert meter.joules() == pytest.approx(200.0)
    now[0] = 13.0
    assert meter.joules() == pytest.approx(800.0)
    assert "power" in meter.source and meter.every < 0.1


@pytest.mark.parametrize("readings", [{}, None])
def test_a_gpu_that_tells_nothing(readings: dict[str, list[int]] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No figure for the run: the host's energy alone would pass for it. Without pynvml too."""
    import sys

    monkeypatch.setitem(sys.modules, "pynvml", None if readings is None else gpu(readings))  # type: ignore[arg-type]
    with pytest.raises(OSError):
        NvmlMeter("0000:00:00.0")
    found = EnergyMeasurement(Serial(), f"{os.uname().nodename}:0000:00:00.0", lambda: Fixed(3.0, "RAPL")).stop()
    assert found == Energy({}, ())


class Fixed:
    """A meter that has gone on by so many joules at every second reading."""

    every = 100.0

    def __init__(self, joules: float, source: str) -> None:
        self._joules, self.source, self._readings = joules, source, 0

    def joules(self) -> float:
        self._readings += 1
        return self._joules * (self._readings - 1)


@pytest.mark.parametrize("fails", [None, 2])
def test_each_device_counts_once(fails: int | None) -> None:
    """Four ranks of one node share two GPUs: one reads the node, two a GPU each; one unreadable GPU and all is lost."""
    node = os.uname().nodename
    opened: list[str] = []

    def nvml(bus: str) -> Meter:
        opened.append(bus)
        if fails is not None and bus == "b":
            raise FileNotFoundError(bus)
        return Fixed(10.0 if bus == "a" else 5.0, "NVML (energy counter)")

    def rapl() -> Meter:
        opened.append("node")
        return Fixed(100.0, "RAPL (package-0)")

    def work(comm: Any) -> Energy:
        return EnergyMeasurement(comm, f"{node}:{'ab'[comm.rank % 2]}", rapl, nvml).stop()

    found = Threads.run(4, work)
    assert sorted(opened) == ["a", "b", "node"] and all(x == found[0] for x in found)
    if fails is not None:
        assert found[0] == Energy({}, ())
        return
    assert found[0].joules == {"cpu": 100.0, "gpu": 15.0}
    assert found[0].source == ("RAPL (package-0)", "NVML (energy counter)")
    document = found[0].document(1000)
    assert document is not None
    assert document["joules"] == 115.0 and document["nanojoules_per_event"] == pytest.approx(115e6)


def test_no_events_is_no_energy_an_event() -> None:
    document = Energy({"cpu": 2.0}, ("RAPL",)).document(0)
    assert document is not None and document["joules"] == 2.0 and document["nanojoules_per_event"] is None


def test_a_long_run_is_read_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a counter that goes around several times between two readings."""
    import threading

    class Quick(Fixed):
        every = 0.005

        def joules(self) -> float:
            often.set() if self._readings > 5 else None
            return super().joules()

    often = threading.Event()
    measurement = EnergyMeasurement(Serial(), "", lambda: Quick(1.0, "RAPL"))
    assert often.wait(10.0)
    measurement.stop()
