"""What the file of one rank in a checkpoint holds, by name; checked before any of it counts.

A file that is what its manifest says may still be wrong in itself: written by other code, or made up. Then it is
refused here, in one line, before memory is taken for what it claims and before a kernel reads an index of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.errors import ResultError

Arrays = Mapping[str, npt.NDArray[Any]]
HISTORY = ("history.step", "history.gid", "history.multiplicity", "history.sent")
SUMS = ("sums.digest", "sums.spike_counts")  # over all ranks, kept by rank 0
SUMMED = 5  # numbers of a digest
MOST_NEURONS = 2**40
MOST_NUMBER = 2**32 - 1  # of spikes at once, and of what they carry


def layout_name(model: str) -> str:
    """Array of (first gid, stride, count) of each population's neurons of a model, int64[n, 3]."""
    return f"layout.{model}"


def state_name(model: str, state: str) -> str:
    """Array of a state, in the order of the layout, in its stored dtype."""
    return f"state.{model}.{state}"


def neurons_of(arrays: Arrays) -> int:
    """How many neurons the (checked) file of a rank has."""
    return sum(int(rows[:, 2].sum()) for name, rows in arrays.items() if name.startswith(layout_name("")))


def check_part(arrays: Arrays, step: int, first: bool, origin: str) -> None:
    """Raise ResultError where an array is missing, of another kind or length, or out of range.

    Parameters
    ----------
    step
        The last step computed.
    first
        Whether this is the file of rank 0.
    """
    try:
        _check_history([_array(arrays, name, np.int64, 1) for name in HISTORY], step)
        if first:
            digest, counts = _array(arrays, SUMS[0], np.uint64, 3), _array(arrays, SUMS[1], np.uint64, 1)
            if digest.shape[0] != counts.size or digest.shape[2] != SUMMED:
                raise ResultError(f"{SUMS[0]}: found {list(digest.shape)} for {counts.size} populations")
        elif any(name in arrays for name in SUMS):
            raise ResultError(f"{SUMS[0]}: found in another file than rank 0's")
        _check_states(arrays)
    except ResultError as error:
        raise ResultError(f"{origin}: {error}") from error


def _array(arrays: Arrays, name: str, dtype: npt.DTypeLike, dimensions: int) -> npt.NDArray[Any]:
    if name not in arrays:
        raise ResultError(f"{name}: missing")
    found = arrays[name]
    if found.dtype != dtype or found.ndim != dimensions:
        raise ResultError(
            f"{name}: found {found.dtype}{list(found.shape)}; allowed: {np.dtype(dtype)}, {dimensions} dimensions"
        )
    return found


def _check_history(columns: list[npt.NDArray[Any]], step: int) -> None:
    """Spikes that were emitted up to `step`."""
    ranges = ((1, step), (0, MOST_NEURONS - 1), (1, MOST_NUMBER), (0, MOST_NUMBER))
    for name, column, (low, high) in zip(HISTORY, columns, ranges, strict=True):
        if column.size != columns[0].size:
            raise ResultError(f"{name}: found {column.size} numbers; {HISTORY[0]} has {columns[0].size}")
        if column.size and not (int(column.min()) >= low and int(column.max()) <= high):
            raise ResultError(f"{name}: found {int(column.min())} to {int(column.max())}; allowed: {low} to {high}")


def _check_states(arrays: Arrays) -> None:
    """Every state belongs to a layout, and is as long as that says."""
    states = {name for name in arrays if name.startswith("state.")}
    for name in arrays:
        model = name.removeprefix(layout_name(""))
        if model == name:
            continue
        rows = _array(arrays, name, np.int64, 2)
        if rows.shape[1] != 3:
            raise ResultError(f"{name}: found {list(rows.shape)}; allowed: three columns")
        size = 0
        for begin, stride, count in rows.tolist():  # whole numbers of any size: nothing overflows
            last = begin + stride * (count - 1)
            if begin < 0 or stride < 1 or count < 0 or last >= MOST_NEURONS:
                raise ResultError(f"{name}: found the neurons {begin} to {last}, {count} of them")
            size += count
        own = {s for s in states if s.startswith(state_name(model, ""))}
        wrong = next((s for s in sorted(own) if arrays[s].shape != (size,)), None)
        if wrong is not None:
            raise ResultError(f"{wrong}: found {list(arrays[wrong].shape)} for {size} neurons")
        states -= own
    if states:
        raise ResultError(f"{min(states)}: belongs to no model of this file")
