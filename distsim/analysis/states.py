"""Recorded state variables of a finished run, as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distsim.collect import States
from distsim.errors import ResultError
from distsim.io.files import step_times, times_to_steps
from distsim.io.safe_hdf5 import child, dataset, names, open_hdf5, texts, whole
from distsim.io.states import STATES_FILE


def read_states(directory: Path, dt: float) -> dict[str, States]:
    """Population → States, from states.h5; empty where no states were recorded.

    Raises
    ------
    ResultError
        The file cannot be read, or its parts disagree.
    """
    path = Path(directory) / STATES_FILE
    if not path.is_file():
        return {}
    found = {}
    with open_hdf5(path) as file:
        root = child(file, "report")
        for name in names(root):
            report = child(root, name)
            data, neurons = dataset(report, "data", "f", 2), whole(report, "mapping/node_ids", "u")
            variables, time = texts(data, "variables"), whole(report, "mapping/time", "f")
            if time.size != 3 or data.shape[1] != len(variables) * neurons.size:
                shape = f"{data.shape[1]} columns for {neurons.size} neurons"
                raise ResultError(f"{path}: {name}: found {shape}; allowed: {len(variables)} for each")
            first, every = times_to_steps(time[[0, 2]], dt)
            times = step_times(first + every * np.arange(data.shape[0], dtype=np.uint64), dt)
            values = data[()].reshape(data.shape[0], neurons.size, len(variables))
            found[name] = States(times, neurons.astype(np.int64), {v: values[:, :, k] for k, v in enumerate(variables)})
    return found


def state_units(directory: Path) -> dict[str, dict[str, str]]:
    """Population → variable → unit, of a directory that has states."""
    with open_hdf5(Path(directory) / STATES_FILE) as file:
        root = child(file, "report")
        found = {name: dataset(child(root, name), "data", "f", 2) for name in names(root)}
        return {n: dict(zip(texts(d, "variables"), texts(d, "variable_units"), strict=True)) for n, d in found.items()}
