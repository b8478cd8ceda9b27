"""Whether a run fits into the memory that is there: asked before anything is built."""

from __future__ import annotations

import copy
import dataclasses
import os
import re
from collections.abc import Iterable
from pathlib import Path

from distsim.build.costs import expected_synapses
from distsim.build.estimate import RankMemory, estimate
from distsim.build.rows import RUN_BYTES, SYNAPSE_BYTES
from distsim.errors import CapacityError, wrong
from distsim.experiment import MAX_RANKS, Experiment
from distsim.storage import Storage

_ROUGH_NEURON, _ROUGH_RANK = 2_000, 10**9  # bytes: safely more than a neuron or a rank takes besides synapses
_MARGIN = 1.05  # the estimate's own uncertainty, and what else the machine does meanwhile
_CONTROL_GROUP = Path("/sys/fs/cgroup")


def check_fits(experiment: Experiment, n_ranks: int, here: int, available: int, baseline: int) -> None:
    """Raise CapacityError where `here` of the `n_ranks` ranks need more memory than is `available` to them.

    Parameters
    ----------
    available
        Bytes for all ranks on this machine, beyond what they hold already.
    baseline
        Bytes that each of them holds already.
    """
    experiment = with_storage(experiment, "procedural")
    if _surely_fits(experiment, here, available):
        return
    found = estimate(experiment, n_ranks, baseline)
    largest = found.largest
    ranks = f"{here} rank{'s' if here > 1 else ''} here"
    if here < n_ranks:
        ranks += f" of {n_ranks}"
    _refuse(experiment, here * (largest.peak - largest.baseline), available, largest, ranks, "more machines")


def check_fits_device(experiment: Experiment, n_ranks: int, sharing: int, available: int) -> None:
    """Raise CapacityError where a device has less than its ranks need.

    Parameters
    ----------
    sharing
        The most ranks that one device serves.
    available
        Bytes that are free on the device that has the least.
    """
    experiment = with_storage(experiment, "procedural")
    if _surely_fits(experiment, sharing, available):
        return
    largest = estimate(experiment, n_ranks, lists_input=False).largest
    ranks = f"{sharing} rank{'s' if sharing > 1 else ''} on a device"
    if sharing < n_ranks:
        ranks += f", {n_ranks} in all"
    needed = sharing * (largest.running + largest.construction)
    _refuse(experiment, needed, available, largest, ranks, "more GPUs")


def with_storage(experiment: Experiment, storage: Storage) -> Experiment:
    """`storage` in place of auto; the least that a network needs has nothing stored that need not be."""
    projections = experiment.network.projections
    if all(p.storage != "auto" for p in projections):
        return experiment
    network = copy.copy(experiment.network)
    network.projections = [dataclasses.replace(p, storage=storage) if p.storage == "auto" else p for p in projections]
    return dataclasses.replace(experiment, network=network)


def refuse_dry_run(experiment: Experiment, share: RankMemory, available: int) -> None:
    """Raise CapacityError where one rank's share does not fit into this machine for a dry run."""
    _refuse(experiment, share.peak - share.baseline, available, share, "1 rank in a dry run", "more ranks")


def smallest_ranks(experiment: Experiment, device_bytes: int) -> int | None:
    """The fewest devices, one rank each, on which the run is expected to fit; None where no number of them would do.

    Raises
    ------
    ConfigError
        A population is mapped to a rank, and these are more than would do.
    """
    found: dict[int, bool] = {}

    def fits(n_ranks: int) -> bool:
        if n_ranks not in found:
            largest = estimate(experiment, n_ranks, lists_input=False).largest
            found[n_ranks] = (largest.running + largest.construction) * _MARGIN <= device_bytes
        return found[n_ranks]

    mapped = experiment.run.partition
    low = 0 if isinstance(mapped, str) else max(mapped.values(), default=0)  # too few, as far as is known
    synapses = sum(expected_synapses(p) for p in experiment.network.projections)
    high = max(low + 1, int(synapses * SYNAPSE_BYTES[experiment.run.precision] / device_bytes))
    low = max(low, high - 1)
    while not fits(high):
        low, high = high, 2 * high
        if high > MAX_RANKS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _surely_fits(experiment: Experiment, ranks: int, available: int) -> bool:
    """Whether there is no need to look closer: no synapse has more than a run of its own."""
    synapses = sum(expected_synapses(p) for p in experiment.network.projections)
    each = SYNAPSE_BYTES[experiment.run.precision] + RUN_BYTES
    return synapses * each + experiment.network.size * _ROUGH_NEURON + ranks * _ROUGH_RANK < available


def _refuse(
    experiment: Experiment, needed: float, available: int, largest: RankMemory, ranks: str, more: str
) -> None:  # fmt: skip
    if needed * _MARGIN <= available:
        return
    synapses = sum(expected_synapses(p) for p in experiment.network.projections)
    raise CapacityError(
        f"memory: {experiment.network.name} needs {size(needed)} for {ranks} ({synapses:,.0f} synapses; a rank: "
        f"synapses {size(largest.synapses)}, runs {size(largest.runs)}, {_other(largest)}), found {size(available)} "
        f"available; allowed: a network that fits; use {more} or a smaller network, see `distsim estimate`, "
        "or insist with --ignore-memory"
    )


def _other(memory: RankMemory) -> str:
    rest = memory.peak - memory.baseline - memory.synapses - memory.runs
    return f"all else {size(rest)}"


_UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "B": 1}


def parse_size(text: str, where: str) -> int:
    """Bytes from "141GB", "80 GiB" or a plain number.

    Raises
    ------
    ConfigError
        It is no size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?) ?([kKMGT]?i?B)?", text.strip())
    unit = (found[2] or "B") if found else ""
    if not found or unit not in _UNITS or not 1 <= float(found[1]) * _UNITS[unit] < 1e18:
        raise wrong(where, text, f"a number of bytes, or one with a unit ({', '.join(_UNITS)}), such as 141GB")
    return int(float(found[1]) * _UNITS[unit])


def size(n: float) -> str:
    """Bytes as people read them (decimal units)."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= factor:
            return f"{n / factor:.3g} {unit}" if n < 999.5 * factor else f"{n / factor:,.0f} {unit}"
    return f"{n:.0f} B"


def available_bytes() -> int | None:
    """Memory that new allocations can have on this machine, and within this process's control group."""
    return _least([_meminfo("MemAvailable"), *_control_group_rooms(used=True)])


def total_bytes() -> int | None:
    """All memory of this machine, or of this process's control group."""
    return _least([_meminfo("MemTotal"), *_control_group_rooms(used=False)])


def resident_bytes() -> int:
    """Memory of this process now."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def ranks_on_this_machine(n_ranks: int) -> int:
    """How many of the ranks the launcher started here; all where it does not say."""
    for name in ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE"):
        if os.environ.get(name, "").isdigit():
            return max(1, min(n_ranks, int(os.environ[name])))
    tasks = re.match(r"\d+", os.environ.get("SLURM_STEP_TASKS_PER_NODE", ""))  # "8(x3),4"
    return max(1, min(n_ranks, int(tasks[0]))) if tasks else n_ranks


def _least(found: Iterable[int | None]) -> int | None:
    return min((n for n in found if n is not None), default=None)


def _meminfo(name: str) -> int | None:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    line = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(line[1]) * 1024 if line else None


def _control_group_rooms(used: bool) -> list[int]:
    """What the control groups of this process allow (less what they use), where there are limits."""
    rooms = []
    for folder in _control_groups():
        for limit, usage in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            try:
                most = int((folder / limit).read_text())
                taken = int((folder / usage).read_text()) if used else 0
                cached = _reclaimable(folder) if used else 0
            except (OSError, ValueError):  # no such file, or "max"
                continue
            rooms.append(max(0, most - max(0, taken - cached)))
    return rooms


def _control_groups() -> list[Path]:
    """The folders of this process's memory control group and of those around it."""
    folders = [_CONTROL_GROUP, _CONTROL_GROUP / "memory"]
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, path = line.split(":", 2)
        root = _CONTROL_GROUP if not controllers else _CONTROL_GROUP / "memory"
        if controllers and "memory" not in controllers.split(","):
            continue
        place = root / path.lstrip("/")
        while place != root:
            folders.append(place)
            place = place.parent
    return folders


def _reclaimable(folder: Path) -> int:
    """File pages in the group's usage that the kernel gives up when asked."""
    text = (folder / "memory.stat").read_text()
    line = re.search(r"^(?:total_)?inactive_file (\d+)", text, re.MULTILINE)
    return int(line[1]) if line else 0
