"""`run.json`: what a directory of results is about, written before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from distsim.build.selecting import selected_ids
from distsim.elements import Population
from distsim.errors import ResultError
from distsim.experiment import Experiment
from distsim.io.spikes import SpikePopulation
from distsim.io.summary import read_json, write_json
from distsim.selection import select
from distsim.version import __version__

RUN_FILE = "run.json"


@dataclass(frozen=True)
class RunInfo:
    """The frame of a run.

    Attributes
    ----------
    populations
        All of them, in the order of description; `recorded` names those whose spikes are written.
    selected
        Of these, the ones of which only some neurons are recorded: the selection as in an experiment file.
    rates
        Where spikes are counted in bins: the bin (ms), and names of populations.
    config
        What of the description decides results; see config/identity.py.
    ranks, first_step
        On how many ranks the run goes on, and after which step.
    """

    version: str
    name: str
    dt: float
    warmup: float
    duration: float
    populations: tuple[SpikePopulation, ...]
    recorded: tuple[str, ...]
    states: tuple[str, ...]
    config: Mapping[str, Any]
    ranks: int
    first_step: int
    selected: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rates: Mapping[str, Any] = field(default_factory=dict)

    def written(self) -> list[SpikePopulation]:
        """The populations whose spikes are written."""
        return [p for p in self.populations if p.name in self.recorded]

    def neurons(self) -> dict[str, npt.NDArray[np.int64]]:
        """Of each population in `selected` the local ids that are recorded, ascending."""
        found = {}
        for population in self.written():
            if population.name in self.selected:
                which = {k: v for k, v in self.selected[population.name].items() if k != "population"}
                # Of a population a selection looks at name, size and first global id alone.
                chosen = select(cast(Population, population), **which, where=RUN_FILE)
                found[population.name] = selected_ids(chosen, int(self.config["run"]["seed"]))
        return found


def run_info(experiment: Experiment, config: Mapping[str, Any], ranks: int, first_step: int) -> RunInfo:
    """The frame of `experiment`, which `config` identifies, on so many ranks after `first_step`."""
    network, run = experiment.network, experiment.run
    counted = network.rate_recording
    rates = {} if counted is None else {"bin": counted.bin, "populations": [p.name for p in counted.populations]}
    return RunInfo(
        __version__, network.name, run.dt, run.warmup, run.duration,
        tuple(SpikePopulation(p.name, p.first_gid, p.size) for p in network.populations),
        tuple(p.name for p in network.recorded()), tuple(r.population.name for r in network.state_recordings), config,
        ranks, first_step, {s.name: s.document() for s in network.recorded_neurons() if not s.is_whole}, rates,
    )  # fmt: skip


def write_info(directory: Path, info: RunInfo) -> None:
    """Write run.json."""
    write_json(directory / RUN_FILE, asdict(info))


def read_info(directory: Path) -> RunInfo:
    """Read run.json, or ResultError."""
    content = read_json(directory / RUN_FILE)
    try:
        populations = tuple(
            SpikePopulation(str(p["name"]), int(p["first_gid"]), int(p["size"])) for p in content["populations"]
        )
        return RunInfo(
            str(content["version"]), str(content["name"]), float(content["dt"]), float(content["warmup"]),
            float(content["duration"]), populations, tuple(map(str, content["recorded"])),
            tuple(map(str, content["states"])), dict(content["config"]), int(content["ranks"]),
            int(content["first_step"]), {str(k): dict(v) for k, v in content.get("selected", {}).items()},
            dict(content.get("rates", {})),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ResultError(f"{directory / RUN_FILE}: found no usable {error}") from error
