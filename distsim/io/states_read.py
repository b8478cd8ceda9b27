"""Reads the SONATA report of recorded states, states.h5, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.errors import ResultError
from distsim.io.files import step_times
from distsim.io.safe_hdf5 import child, dataset, names, open_hdf5, texts, whole

# (times in ms float64[samples], population-local ids int64[neurons], variable → [samples, neurons])
StateArrays = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], Mapping[str, npt.NDArray[Any]]]


def read_states(path: Path | str) -> dict[str, StateArrays]:
    """All samples of all populations, as distsim wrote them.

    Raises
    ------
    ResultError
        The file is missing or no report of distsim's.
    """
    found: dict[str, StateArrays] = {}
    with open_hdf5(path) as file:
        for name in names(child(file, "report")):
            data = whole(file, f"report/{name}/data", "f", 2)
            nodes = whole(file, f"report/{name}/mapping/node_ids", "ui").astype(np.int64)
            time = whole(file, f"report/{name}/mapping/time", "f")
            variables = texts(child(file, f"report/{name}/data"), "variables")
            if data.shape[1] != len(nodes) * len(variables) or time.shape != (3,):
                raise ResultError(
                    f"{path}: report/{name}: found {data.shape[1]} columns of {len(nodes)} neurons; "
                    f"allowed: one for each of {len(variables)} variables of a neuron"
                )
            if not (time[2] > 0.0 and 0.0 <= time[0] / time[2] < 2.0**53):
                raise ResultError(
                    f"{path}: report/{name}: found samples from {time[0]} ms on, every {time[2]} ms; "
                    "allowed: times from 0 on, and an interval above 0"
                )
            first = np.uint64(round(time[0] / time[2]))  # samples are multiples of the interval
            times = step_times(first + np.arange(data.shape[0], dtype=np.uint64), time[2])
            values = data.reshape(data.shape[0], len(nodes), len(variables))
            found[name] = times, nodes, {v: values[:, :, k] for k, v in enumerate(variables)}
    return found


def state_units(path: Path | str) -> dict[str, dict[str, str]]:
    """Population → variable → unit, of the same file."""
    with open_hdf5(path) as file:
        root = child(file, "report")
        found = {name: dataset(child(root, name), "data", "f", 2) for name in names(root)}
        return {n: dict(zip(texts(d, "variables"), texts(d, "variable_units"), strict=True)) for n, d in found.items()}
