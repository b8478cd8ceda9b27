"""Networks that try one limit each: the floor of a step, the bandwidth of delivery, memory."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from distsim.cli.bench_bounds import bounds, nearest_bound, work_of
from distsim.models import example_of

if TYPE_CHECKING:
    from distsim.cli.bench import Row, Setting

RATE = 5.0  # Hz
# Neurons and synapses of `random` and `memory`, by device.
SIZES = {"cpu": (20_000, 20_000_000), "cuda": (1_000_000, 10_000_000_000)}
FLOOR_NEURONS = 5  # a rank
BARS = {
    ("floor", 1): ("42", "3"), ("floor", 2): ("71", "30"), ("events", 1): ("", "20"),
    ("bytes", 1): ("8.5 (GeNN), 12.4 (NEST GPU)", "4.5"),
}  # fmt: skip


def floor_document(ranks: int, duration: float) -> dict[str, Any]:
    """Five neurons a rank, all to all, that fire; the shortest delay is a step, so ranks meet in every step."""
    return {
        "name": "floor",
        "run": {"duration": duration, "warmup": 100.0, "seed": 1},
        "populations": {"N": {"model": "iaf_psc_exp", "size": FLOOR_NEURONS * ranks, "params": {"I_e": 450.0}}},
        "projections": [{"source": "N", "target": "N", "rule": "all_to_all", "weight": 1.0, "delay": 0.1}],
    }


def random_document(neurons: int, synapses: int, delays: int, duration: float) -> dict[str, Any]:
    """A uniform random network in which every neuron fires at 5 Hz, whatever arrives.

    The membrane is a straight ramp of 200 ms from reset to threshold, begun at a random height; weights are
    so small that they shift it by a thousandth. So spikes are spread evenly over steps and sources.
    """
    threshold, reset, capacitance = -50.0, -65.0, 250.0
    current = capacitance * (threshold - reset) * RATE / 1000.0
    in_degree = synapses // neurons
    delay = 1.5 if delays == 1 else {"uniform": [0.1, round(0.1 * delays, 10)]}
    # All that arrives in a second, as a mean current, is a thousandth of what drives the neuron.
    weight = 1e-3 * current / (in_degree * RATE * 0.5e-3)
    neuron = {
        "E_L": reset, "V_reset": reset, "V_th": threshold, "C_m": capacitance, "tau_m": 1e5, "t_ref": 0.0,
        "tau_syn_ex": 0.5, "tau_syn_in": 0.5, "I_e": current,
    }  # fmt: skip
    return {
        "name": "random",
        "run": {"duration": duration, "warmup": 20.0, "seed": 1},
        "populations": {
            "N": {
                "model": "iaf_psc_exp", "size": neurons, "params": neuron,
                "initial": {"V_m": {"uniform": [reset, threshold]}},
            }
        },
        "projections": [{
            "source": "N", "target": "N", "rule": {"fixed_indegree": in_degree},
            "weight": {"normal": [weight, 0.1 * weight]}, "delay": delay,
        }],
        "record": {"spikes": []},
    }  # fmt: skip


def floor(setting: Setting) -> tuple[list[Row], bool]:
    """Microseconds a step of five neurons a rank: what is left where there is next to nothing to compute."""
    from distsim.cli.bench import Row

    document = floor_document(setting.ranks, setting.duration or 2000.0)
    runs = setting.runs_of(document, setting.ranks)
    steps = round(runs[0]["duration"] / runs[0]["dt"])
    step = statistics.median(s["seconds"]["simulate"] / steps for s in runs)
    fastest = min(s["seconds"]["simulate"] / steps for s in runs)
    profiled = setting.profiled(document, setting.ranks)
    machine = setting.machine()
    work = work_of(profiled, example_of("iaf_psc_exp"), machine.cache_bytes)
    where = f"{setting.ranks} rank{'s' if setting.ranks > 1 else ''}"
    bars = BARS.get(("floor", setting.ranks), ("", "")) if profiled["device"] == "cuda" else ("", "")
    return [
        Row(f"step floor, 5 neurons a rank, {where} (µs)", f"{step * 1e6:.3g} (least {fastest * 1e6:.3g})", *bars),
        Row("… kernels a step, launched one by one", f"{_kernels(profiled):.3g}", "", ""),
        Row("… nearest bound", nearest_bound(work, machine, step), "", ""),
    ], True


def random(setting: Setting) -> tuple[list[Row], bool]:
    """Synaptic events a second of a uniform random network at 5 Hz."""
    from distsim.cli.bench import Row

    profiled, runs = _random_runs(setting)
    events = statistics.median(s["synaptic_events"] / s["seconds"]["simulate"] for s in runs)
    counts, phases = profiled["profile"]["counts"], profiled["profile"]["phase_seconds"]
    delivered = counts["synaptic_events"] / phases["deliver"] if phases["deliver"] else 0.0
    machine, ranks = setting.machine(), setting.ranks
    steps = round(runs[0]["duration"] / runs[0]["dt"])
    step = statistics.median(s["seconds"]["simulate"] / steps for s in runs)
    work = work_of(profiled, example_of("iaf_psc_exp"), machine.cache_bytes)
    # A synapse and its share of an entry of the wheel: what delivery reads from memory.
    read = (4 * counts["synaptic_events"] + 16 * counts["runs_estimated"]) / phases["deliver"] / ranks
    shares = f"{read / 1e9:,.0f} GB/s, {read / machine.bandwidth:.0%} of a copy's"
    if machine.peak_bandwidth:
        shares += f", {read / machine.peak_bandwidth:.0%} of what the device tells"
    each = ", ".join(f"{name} {t * 1e6:.3g}" for name, t in bounds(work, machine).items())
    bars = BARS["events", 1] if profiled["device"] == "cuda" else ("", "")
    rate = next(iter(profiled["rates"].values()))
    length = counts["synaptic_events"] / max(1, counts["runs_estimated"])
    return [
        Row(f"{_size(profiled)}: synaptic events a second (G/s)", f"{events / 1e9:.3g}", "", ""),
        Row("… in delivery alone (G/s)", f"{delivered / 1e9:.3g}", *bars),
        Row("… read by delivery, a rank", shares, "", ""),
        Row("… rate (Hz), synapses a run", f"{rate:.3g}, {length:.0f}", "5", ""),
        Row("… bounds of a step (µs)", f"{each}; took {step * 1e6:.3g}", "", ""),
        Row("… nearest bound", nearest_bound(work, machine, step), "", ""),
    ], abs(rate / RATE - 1.0) < 0.05


def memory(setting: Setting) -> tuple[list[Row], bool]:
    """Bytes a synapse of the same network: the connectivity, then all that the device and the host took."""
    from distsim.cli.bench import Row

    found, _ = _random_runs(setting)
    synapses, taken = found["synapses"], found["memory_bytes"]
    host = taken["total"] - taken["device"]
    bars = BARS["bytes", 1] if found["device"] == "cuda" else ("", "")
    rows = [Row(f"{_size(found)}: bytes a synapse, all indices", f"{found['bytes_per_synapse']:.3f}", *bars)]
    if taken["device"]:
        rows.append(Row("… on the device, everything (without CUDA's own)", f"{taken['device'] / synapses:.3f}", *bars))
    rows.append(Row("… on the host, peak over imports", f"{host / synapses:.3f}", "", ""))
    share = 4.0 * synapses / (taken["device"] or host)
    rows.append(Row("… nearest bound", f"capacity: the synapses themselves (4 bytes) are {share:.0%}", "", ""))
    return rows, True


def _random_runs(setting: Setting) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A run with --profile, and those without."""
    neurons, synapses = SIZES[setting.device_name()]
    neurons = setting.neurons or neurons
    document = random_document(
        neurons, setting.synapses or synapses, setting.delays, setting.duration or 200.0
    )  # fmt: skip
    return setting.profiled(document, setting.ranks), setting.runs_of(document, setting.ranks)


def _kernels(summary: dict[str, Any]) -> float:
    measured = [k["launches_measured"] for k in summary["profile"]["kernels"]]
    return float(sum(measured) / max(measured))


def _size(summary: dict[str, Any]) -> str:
    neurons, synapses, ranks = summary["neurons"], summary["synapses"], summary["ranks"]
    return f"random network, {neurons:,} neurons, {synapses:,} synapses, {ranks} rank{'s' if ranks > 1 else ''}"
