"""Recorded state variables of a few neurons over time, one variable of a population above the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from distsim.analysis import figures
from distsim.analysis.results import Results
from distsim.errors import ConfigError
from distsim.io.states import STATES_FILE
from distsim.io.states_read import state_units

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEURONS = 4  # drawn of each population: more hide one another
ROW = 0.85  # inches


def traced(results: Results) -> list[tuple[str, str]]:
    """What can be drawn: (population, variable), in the order of description.

    Raises
    ------
    ConfigError
        No states were recorded.
    """
    order = {name: i for i, name in enumerate(results.summary["populations"])}
    names = sorted(
        (name for name, states in results.states.items() if states.times.size), key=lambda n: order.get(n, 0)
    )
    found = [(name, variable) for name in names for variable in results.states[name].values]
    if not found:
        way = "record: {states: …} records them" if results.complete else "they are there when the run is finished"
        raise ConfigError(f"plot --what: states: {results.directory} has none; {way}")
    return found


def draw_traces(places: Sequence[Axes], results: Results, window: float, colors: Mapping[str, Any]) -> None:
    """Draw each of `traced` into its axes, over the last `window` ms; `colors` by population."""
    units = state_units(results.directory / STATES_FILE)
    first = max(results.start, results.stop - window)
    for axes, (name, variable) in zip(places, traced(results), strict=True):
        states = results.states[name]
        inside = states.times > first
        shown, color = states.neurons[:NEURONS], colors.get(name, figures.EXCITATORY)
        for k in range(shown.size):
            values = states.values[variable][inside, k]
            axes.plot(states.times[inside], values, color=color, linewidth=0.8, alpha=1.0 - 0.7 * k / NEURONS)
        which = f"{name}: neuron{'s' if shown.size > 1 else ''} {', '.join(map(str, shown))}"
        which += f" of {states.neurons.size}" if states.neurons.size > NEURONS else ""
        axes.set_title(which, loc="right", fontsize=6.5, color=figures.FAINT, pad=2)
        axes.set_ylabel(f"{variable} ({units[name][variable]})", fontsize=7.5)
        axes.set_xlim(first, results.stop)
        axes.spines[["top", "right"]].set_visible(False)
        if axes is not places[-1]:
            axes.tick_params(labelbottom=False)
    places[-1].set_xlabel("time (ms)")
    places[0].figure.align_ylabels(list(places))
