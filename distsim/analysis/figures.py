"""Figures of results, drawn without a display. Matplotlib is imported only when something is drawn."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distsim.errors import ResultError
from distsim.io.files import writing
from distsim.io.safe_hdf5 import child, dataset, open_hdf5
from distsim.results import mean_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]
Spikes = Mapping[str, tuple[Floats, npt.NDArray[np.integer[Any]]]]  # name: (times in ms, population-local ids)

EXCITATORY, INHIBITORY = "#1b4f8a", "#c8402f"
_INK, FAINT = "#22262b", "#8a9099"
_GAP = 0.006  # between populations, of the height; less where there are very many
_LEAST = 0.028  # height of the smallest population, so that its label has room
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif", "font.size": 8.5, "axes.linewidth": 0.7, "axes.edgecolor": _INK, "text.color": _INK,
    "axes.labelcolor": _INK, "xtick.color": _INK, "ytick.color": _INK, "xtick.major.width": 0.7, "xtick.major.size": 3,
}  # fmt: skip


@dataclass(frozen=True)
class RasterPopulation:
    """A population to draw: its name, of how many neurons, and how many of these are recorded (None: all)."""

    name: str
    size: int
    recorded: int | None = None


@dataclass(frozen=True)
class _Band:
    """Where a population stands: from `bottom` up, first neuron on top; `every`-th neuron is drawn."""

    name: str
    bottom: float
    height: float
    size: int
    every: float
    color: str


def raster(
    spikes: Path | str | Spikes,
    populations: Sequence[RasterPopulation],
    out: Path | str,
    *,
    start: float,
    stop: float,
    window: float = 300.0,
    max_neurons: int = 8000,
    reference_rates: Mapping[str, float] | None = None,
    reference_source: str = "",
    title: str = "",
) -> Path:
    """Draw the last spikes of a run, population under population, beside their mean rates.

    Parameters
    ----------
    spikes
        A SONATA spike file (of which only the window is read), or per population (times, ids).
    populations
        Which to draw, from top to bottom.
    out
        The PNG to write (atomically).
    start, stop
        What was recorded, in ms: rates are over (start, stop].
    window
        Length of the raster in ms, up to `stop`.
    max_neurons
        About as many neurons are drawn in all, the same share of each population; rates are of all neurons.
    reference_rates
        Known mean rates in Hz to mark beside ours; `reference_source` says whose.

    Raises
    ------
    ResultError
        No population, an empty recording, or a file that cannot be read or written.
    """
    if not populations or not stop > start:
        raise ResultError(f"raster: found {len(populations)} populations, ({start}, {stop}] ms; allowed: some of both")
    first = max(start, stop - window)
    shown, counts = _select(spikes, populations, first, stop)
    mean_rates = {p.name: mean_rate(counts[p.name], p.recorded or p.size, stop - start) for p in populations}
    bands = _bands(populations, max_neurons)

    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
        figure = Figure(figsize=(8.2, 5.4), dpi=150, layout=layout, facecolor="white")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3.4, 1.0))
        _draw_spikes(left, bands, shown, first, stop)
        _draw_rates(right, bands, mean_rates, reference_rates or {})
        if title:
            left.set_title(title, loc="left", fontsize=9.5, fontweight="bold", pad=8)
        if any(p.name in (reference_rates or {}) for p in populations):
            note = f"black lines: mean rates of {reference_source or 'the publication'}"
            figure.supxlabel(note, x=0.992, ha="right", fontsize=6.5, color=FAINT)
        with writing(Path(out)) as temporary:
            figure.savefig(temporary, format="png")
    return Path(out)


def draw_raster(
    left: Axes, right: Axes, spikes: Spikes, populations: Sequence[RasterPopulation],
    window: tuple[float, float, float], reference_rates: Mapping[str, float], max_neurons: int = 8000,
) -> None:  # fmt: skip
    """Draw a raster into `left` and mean rates into `right`; `window` is (start of recording, first, stop) in ms."""
    start, first, stop = window
    shown, counts = _select(spikes, populations, first, stop)
    mean_rates = {p.name: mean_rate(counts[p.name], p.size, stop - start) for p in populations}
    bands = _bands(populations, max_neurons)
    _draw_spikes(left, bands, shown, first, stop)
    _draw_rates(right, bands, mean_rates, reference_rates)


def is_inhibitory(name: str, position: int) -> bool:
    """By the end of the name (E, exc… or I, inh…); every second population where no name tells."""
    lower = name.lower()
    if name.endswith(("I", "i")) or "inh" in lower:
        return True
    if name.endswith(("E", "e")) or "exc" in lower:
        return False
    return position % 2 == 1


def _select(
    spikes: Path | str | Spikes, populations: Sequence[RasterPopulation], first: float, stop: float
) -> tuple[dict[str, tuple[Floats, npt.NDArray[Any]]], dict[str, int]]:
    """Per population the spikes in (first, stop] ms, and the number of all its spikes."""
    if not isinstance(spikes, (str, Path)):
        shown, counts = {}, {}
        for p in populations:
            times, ids = spikes.get(p.name, (np.empty(0), np.empty(0, np.int64)))
            inside = (times > first) & (times <= stop)
            shown[p.name], counts[p.name] = (times[inside], ids[inside]), len(times)
        return shown, counts
    with open_hdf5(spikes) as file:
        shown, counts = {}, {}
        for p in populations:
            group = child(file, f"spikes/{p.name}")
            times, ids = dataset(group, "timestamps", "f", 1), dataset(group, "node_ids", "ui", 1)
            low = bisect_right(times, first)
            high = bisect_right(times, stop, lo=low)
            shown[p.name] = times[low:high], ids[low:high]
            counts[p.name] = times.shape[0]
        return shown, counts


def _bands(populations: Sequence[RasterPopulation], max_neurons: int) -> list[_Band]:
    """Heights in proportion to sizes, small populations raised to a legible height; from the top (1) down to 0."""
    total = sum(p.size for p in populations)
    every = max(1.0, total / max_neurons)
    share = np.maximum([p.size / total for p in populations], min(_LEAST, 1.0 / len(populations)))
    gap = min(_GAP, 0.2 / len(populations))
    heights = share / share.sum() * (1.0 - gap * (len(populations) - 1))
    bands, top = [], 1.0
    for i, (p, height) in enumerate(zip(populations, heights, strict=True)):
        color = INHIBITORY if is_inhibitory(p.name, i) else EXCITATORY
        bands.append(_Band(p.name, top - float(height), float(height), p.size, every, color))
        top -= float(height) + gap
    return bands


def _draw_spikes(
    axes: Axes, bands: Sequence[_Band], shown: dict[str, tuple[Floats, npt.NDArray[Any]]], first: float, stop: float
) -> None:
    drawn = []
    for band in bands:
        times, ids = shown[band.name]
        # Neuron i is drawn where the count of drawn neurons, i / every, reaches a new whole number.
        ids = ids.astype(np.float64)
        keep = np.floor((ids + 1.0) / band.every) > np.floor(ids / band.every)
        height = band.bottom + band.height * (1.0 - (ids[keep] + 0.5) / band.size)
        drawn.append((times[keep], height, band))
    n = max(1, sum(len(times) for times, _, _ in drawn))
    diameter = float(np.clip(1.6 * (6000.0 / n) ** 0.3, 0.7, 2.2))  # points
    for times, height, band in drawn:
        axes.scatter(times, height, s=diameter**2, color=band.color, marker="o", linewidths=0, rasterized=True)
    _shade(axes, bands)
    axes.set_xlim(first, stop)
    axes.set_ylim(-_GAP, 1.0 + _GAP)
    axes.set_xlabel("time (ms)")
    axes.set_yticks([b.bottom + b.height / 2 for b in bands], [b.name for b in bands])
    axes.tick_params(axis="y", length=0, pad=5, labelsize=_text_size(8.5, bands))
    for label, band in zip(axes.get_yticklabels(), bands, strict=True):
        label.set_color(band.color)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_rates(
    axes: Axes, bands: Sequence[_Band], mean_rates: dict[str, float], reference: Mapping[str, float]
) -> None:
    most = max([*mean_rates.values(), *(reference.get(b.name, 0.0) for b in bands), 1e-9])
    for band in bands:
        middle, rate = band.bottom + band.height / 2, mean_rates[band.name]
        thickness = min(band.height * 0.72, 0.034)
        axes.barh(middle, rate, thickness, color=band.color, alpha=0.88, linewidth=0)
        known = reference.get(band.name)
        if known is not None:
            reach = min(band.height * 0.5, 0.021)
            axes.plot([known, known], [middle - reach, middle + reach], color=_INK, linewidth=1.4, zorder=3)
        end = max(rate, known or 0.0)
        axes.annotate(
            f"{rate:.2f}", (end, middle), (4, 0), textcoords="offset points", va="center",
            fontsize=_text_size(7.0, bands), color=_INK,
        )  # fmt: skip
    _shade(axes, bands)
    axes.set_xlim(0.0, most * 1.3)
    axes.set_xlabel("mean rate (Hz)")
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.spines[["top", "right"]].set_visible(False)


def _text_size(size: float, bands: Sequence[_Band]) -> float:
    """Smaller text where more than 30 populations share the height."""
    return max(1.5, size * min(1.0, 30.0 / len(bands)))


def _shade(axes: Axes, bands: Sequence[_Band]) -> None:
    """A faint ground behind each population in its colour, with white between them."""
    for band in bands:
        axes.axhspan(band.bottom, band.bottom + band.height, color=band.color, alpha=0.045, linewidth=0, zorder=0)
