"""One figure of several panels from a run's results: raster, rates, states, intervals, irregularity, power."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distsim.analysis import figures
from distsim.analysis.figures import EXCITATORY, INHIBITORY, RasterPopulation, is_inhibitory
from distsim.analysis.results import Results
from distsim.analysis.spectra import intervals, population_rate, power_spectrum
from distsim.analysis.statistics import cv_isi
from distsim.analysis.traces import ROW, draw_traces, traced
from distsim.errors import ConfigError, nearest
from distsim.io.files import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
PANELS = ("raster", "rates", "states", "isi", "cv", "power")
FORMATS = ("png", "pdf", "svg")
_WIDTH = 8.2  # inches: two columns of most journals
_LEGEND = 12  # populations with a line of their own in the legend; of more there are two, E and I
_LIGHTEST = 0.62  # how far the last population of a kind is mixed with white


@dataclass(frozen=True)
class _Curve:
    """How a population is drawn."""

    name: str
    color: tuple[float, float, float]
    inhibitory: bool


def draw(results: Results, what: Sequence[str], out: Path, window: float = 300.0) -> Path:
    """Draw the panels `what` of a run and write them to `out` (PNG, PDF or SVG by its ending).

    Parameters
    ----------
    window
        Length of the raster and of the states in ms, up to the end of the run.

    Raises
    ------
    ConfigError
        An unknown panel or ending, or nothing (of states: no states) was recorded.
    ResultError
        `out` cannot be written.
    """
    chosen = list(dict.fromkeys(what))
    for panel in chosen:
        if panel not in PANELS:
            raise ConfigError(f"plot --what: unknown panel {panel!r}; {nearest(panel, PANELS)}")
    if not chosen:
        raise ConfigError(f"plot --what: found nothing; allowed: some of {', '.join(PANELS)}")
    kind = out.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise ConfigError(f"plot --out: found {out.name!r}; allowed: a name that ends in .{', .'.join(FORMATS)}")
    if not window > 0.0:
        raise ConfigError(f"plot --window: found {window:g}; allowed: a time in ms > 0")
    if (not results.spikes and set(chosen) != {"states"}) or not results.stop > results.start:
        raise ConfigError(f"{results.directory}: no spikes were recorded; record some populations, for some time")

    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    style = {**figures.STYLE, "pdf.fonttype": 42, "svg.fonttype": "none", "axes.labelsize": 8, "xtick.labelsize": 7.5,
             "ytick.labelsize": 7.5, "xtick.minor.width": 0.5, "xtick.minor.size": 1.8, "ytick.major.width": 0.7,
             "ytick.major.size": 3, "ytick.minor.width": 0.5, "ytick.minor.size": 1.8}  # fmt: skip
    with matplotlib.rc_context(style):
        heights = _heights(chosen, results)
        layout = ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.07, wspace=0.02, hspace=0.03)
        figure = Figure(figsize=(_WIDTH, sum(heights)), dpi=200, facecolor="white", layout=layout)
        _arrange(figure, chosen, heights, results, window)
        with writing(out) as temporary:
            figure.savefig(temporary, format=kind)
    return out


def _heights(chosen: Sequence[str], results: Results) -> list[float]:
    """Inches of each row: raster, rates, states, and the three small panels together."""
    rows, populations = [], len(results.sizes)
    if "raster" in chosen:
        rows.append(min(7.0, max(4.0, 0.16 * populations)))
    if "rates" in chosen:
        rows.append(min(7.0, 0.75 + 0.26 * max(4, populations)))
    if "states" in chosen:
        rows.append(min(9.0, 0.4 + ROW * len(traced(results))))
    if {"isi", "cv", "power"} & set(chosen):
        rows.append(2.35)
    return rows


def _arrange(figure: Figure, chosen: Sequence[str], heights: Sequence[float], results: Results, window: float) -> None:
    curves = _curves(list(results.sizes))
    rows = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    row = 0
    letters = iter("ABCDEFGH")
    if "raster" in chosen:
        grid = rows[row].subgridspec(1, 2, width_ratios=(3.4, 1.0))
        left = figure.add_subplot(grid[0])
        right = figure.add_subplot(grid[1], sharey=left)
        _raster(left, right, results, window)
        _letter(left, next(letters))
        row += 1
    if "rates" in chosen:
        axes = figure.add_subplot(rows[row])
        _rates(axes, results, curves)
        _letter(axes, next(letters))
        row += 1
    if "states" in chosen:
        inner = rows[row].subgridspec(len(traced(results)), 1)
        places = [figure.add_subplot(inner[i]) for i in range(inner.nrows)]
        kinds = {curve.name: INHIBITORY if curve.inhibitory else EXCITATORY for curve in curves}
        draw_traces(places, results, window, kinds)
        _letter(places[0], next(letters))
        row += 1
    small = [panel for panel in PANELS if panel in chosen and panel in _SMALL]
    if small:
        grid = rows[row].subgridspec(1, len(small))
        for i, panel in enumerate(small):
            axes = figure.add_subplot(grid[i])
            _SMALL[panel](axes, results, curves)
            axes.spines[["top", "right"]].set_visible(False)
            _letter(axes, next(letters))
            if i == len(small) - 1:
                _legend(axes, curves)


def _curves(names: Sequence[str]) -> list[_Curve]:
    """Blue and red as in the raster; populations of a kind from dark to light in their order."""
    kinds = [is_inhibitory(name, i) for i, name in enumerate(names)]
    curves = []
    for i, name in enumerate(names):
        of_kind = [k for k, kind in enumerate(kinds) if kind == kinds[i]]
        mixed = _LIGHTEST * of_kind.index(i) / max(1, len(of_kind) - 1)
        base = INHIBITORY if kinds[i] else EXCITATORY
        red, green, blue = (int(base[k : k + 2], 16) / 255.0 for k in (1, 3, 5))
        curves.append(_Curve(name, tuple(c + (1.0 - c) * mixed for c in (red, green, blue)), kinds[i]))  # type: ignore[arg-type]
    return curves


def _letter(axes: Axes, letter: str) -> None:
    axes.set_title(letter, loc="left", fontsize=10, fontweight="bold", pad=5, x=0.0)


def _legend(axes: Axes, curves: Sequence[_Curve]) -> None:
    """Beside the last small panel; two lines where each population cannot have one."""
    from matplotlib.lines import Line2D

    shown: Sequence[tuple[str, Any]] = [(c.name, c.color) for c in curves]
    if len(curves) > _LEGEND:
        shown = [("excitatory", EXCITATORY), ("inhibitory", INHIBITORY)]
    handles = [Line2D([], [], color=color, linewidth=1.8, label=name) for name, color in shown]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.04), frameon=False, fontsize=7,
                handlelength=1.2, labelspacing=0.35, borderaxespad=0.0)  # fmt: skip


def _raster(left: Axes, right: Axes, results: Results, window: float) -> None:
    populations = [RasterPopulation(name, size) for name, size in results.sizes.items()]
    summary, first = results.summary, max(results.start, results.stop - window)
    reference: Mapping[str, float] = summary.get("reference_rates") or {}
    figures.draw_raster(left, right, results.spikes, populations, (results.start, first, results.stop), reference)
    if any(p.name in reference for p in populations):
        source = summary.get("reference_source") or "the publication"
        note = right.annotate(
            f"black: {source}", (1.0, 1.0), (0, 5), xycoords="axes fraction", textcoords="offset points", ha="right",
            fontsize=5.8, color=figures.FAINT,
        )  # fmt: skip
        note.set_in_layout(False)  # it is wider than the axes, and there is room above the raster


def _rates(axes: Axes, results: Results, curves: Sequence[_Curve]) -> None:
    """One trace above the other, each on its own scale; the number is the largest rate of its row."""
    bin_width = _nice_bin((results.stop - results.start) / 400.0)
    step = 1.0 / len(curves)
    for i, curve in enumerate(curves):
        times, _ = results.spikes[curve.name]
        at, rate = population_rate(times, results.sizes[curve.name], results.start, results.stop, bin_width)
        base, most = 1.0 - (i + 1) * step, float(rate.max()) if len(rate) else 0.0
        trace = base + 0.82 * step * rate / max(most, 1e-9)
        color = INHIBITORY if curve.inhibitory else EXCITATORY
        axes.fill_between(at, base, trace, color=color, alpha=0.22, linewidth=0, step="mid")
        axes.step(at, trace, color=color, linewidth=0.7, where="mid")
        axes.axhline(base, color=figures.FAINT, linewidth=0.4, zorder=0)
        axes.annotate(f"{most:.3g} Hz", (1.0, base), (4, 1), xycoords=("axes fraction", "data"),
                      textcoords="offset points", va="bottom", fontsize=6.5, color=figures.FAINT)  # fmt: skip
    axes.set_yticks([1.0 - (i + 0.68) * step for i in range(len(curves))], [c.name for c in curves])
    axes.tick_params(axis="y", length=0, pad=4, labelsize=max(2.0, 8.0 * min(1.0, 26.0 / len(curves))))
    for label, curve in zip(axes.get_yticklabels(), curves, strict=True):
        label.set_color(INHIBITORY if curve.inhibitory else EXCITATORY)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlim(results.start, results.stop)
    axes.set_xlabel(f"time (ms); population rates in bins of {bin_width:g} ms, each trace up to the rate at its right")
    axes.spines[["top", "right", "left"]].set_visible(False)


def _nice_bin(width: float) -> float:
    """1, 2 or 5 times a power of ten, at least 1 ms."""
    for decade in (1.0, 10.0, 100.0, 1000.0, 1e4):
        for digit in (1.0, 2.0, 5.0):
            if digit * decade >= width:
                return digit * decade
    return width


def _log_ticks(axes: Axes, low: float, high: float) -> None:
    """A logarithmic x-axis with plain numbers; matplotlib's own labels overlap where it spans a decade or so."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100.0 * low else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _isi(axes: Axes, results: Results, curves: Sequence[_Curve]) -> None:
    edges = np.logspace(-0.3, 4.0, 48)
    seen: list[float] = []
    for curve in curves:
        found = intervals(*results.spikes[curve.name])
        if len(found) < 10:
            continue
        density = np.histogram(found, edges)[0] / (len(found) * np.diff(np.log10(edges)))
        axes.step(np.sqrt(edges[1:] * edges[:-1]), density, where="mid", color=curve.color, linewidth=1.1)
        seen += [float(found.min()), float(found.max())]
    _log_ticks(axes, max(0.5, 0.7 * min(seen, default=1.0)), min(1e4, 1.3 * max(seen, default=1000.0)))
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("interspike interval (ms)")
    axes.set_ylabel("density (per decade)")


def _cv(axes: Axes, results: Results, curves: Sequence[_Curve]) -> None:
    grid = np.linspace(0.0, 2.0, 241)
    axes.axvline(1.0, color=figures.FAINT, linewidth=0.7, linestyle=(0, (3, 3)), zorder=0)
    for curve in curves:
        found = cv_isi(*results.spikes[curve.name])
        if len(found) >= 5:
            axes.plot(grid, _smooth_density(found, grid), color=curve.color, linewidth=1.1)
    axes.set_xlim(0.0, 2.0)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("CV of the intervals")
    axes.set_ylabel("density")
    axes.annotate("Poisson", (1.0, 1.0), (2, -1), xycoords=("data", "axes fraction"), textcoords="offset points",
                  va="top", fontsize=6.5, color=figures.FAINT)  # fmt: skip


def _smooth_density(values: Floats, grid: Floats) -> Floats:
    """A Gaussian kernel density, with Silverman's width."""
    spread = min(float(values.std()), float(np.subtract(*np.percentile(values, [75, 25]))) / 1.34) or 0.01
    width = max(0.9 * spread * len(values) ** -0.2, 0.01)
    counts, edges = np.histogram(values, np.linspace(-0.5, 3.0, 1401))
    middles = (edges[1:] + edges[:-1]) / 2.0
    kernel = np.exp(-0.5 * ((grid[:, None] - middles[None, :]) / width) ** 2)
    return np.asarray(kernel @ counts / (len(values) * width * np.sqrt(2.0 * np.pi)))


def _power(axes: Axes, results: Results, curves: Sequence[_Curve]) -> None:
    axes.axhline(1.0, color=figures.FAINT, linewidth=0.7, linestyle=(0, (3, 3)), zorder=0)
    lowest, highest = 5.0, 490.0
    for curve in curves:
        times, _ = results.spikes[curve.name]
        frequency, power = power_spectrum(times, results.sizes[curve.name], results.start, results.stop)
        if len(frequency):
            axes.plot(frequency, power, color=curve.color, linewidth=1.0)
            lowest = min(lowest, float(frequency[0]))
    axes.set_yscale("log")
    _log_ticks(axes, lowest, highest)
    axes.set_xlabel("frequency (Hz)")
    axes.set_ylabel("power of the rate / Poisson")


_SMALL: dict[str, Callable[[Any, Results, Sequence[_Curve]], None]] = {"isi": _isi, "cv": _cv, "power": _power}
