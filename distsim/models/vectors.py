"""Vector parameters: one list of numbers for each neuron."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from distsim.errors import wrong

if TYPE_CHECKING:
    from distsim.models.base import Parameter


@dataclass(frozen=True, eq=False)
class Repeated(Sequence[tuple[float, ...]]):
    """The same row for each of `size` neurons, which may be 2^40: kept once. Equals any sequence of such rows."""

    row: tuple[float, ...]
    size: int

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Repeated):
            return (self.row, self.size) == (other.row, other.size)
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(other) == self.size and all(row == self.row for row in other)

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, index: int) -> tuple[float, ...]: ...

    @overload
    def __getitem__(self, index: slice) -> Repeated: ...

    def __getitem__(self, index: int | slice) -> tuple[float, ...] | Repeated:
        if isinstance(index, slice):
            return Repeated(self.row, len(range(*index.indices(self.size))))
        if not -self.size <= index < self.size:
            raise IndexError(index)
        return self.row


def vector(value: Any, size: int, where: str, parameter: Parameter) -> Sequence[tuple[float, ...]]:
    what = "numbers" if parameter.plain else "times in ms"
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise wrong(where, value, f"a list of {what}, or one such list per generator")
    rows: Sequence[Any] = list(value)
    for_all = not rows or not hasattr(rows[0], "__len__")
    if for_all:
        rows = [rows]
    elif len(rows) != size:
        raise wrong(where, f"{len(rows)} lists", f"one list for each of {size} neurons")
    try:
        checked = tuple(tuple(float(x) for x in row) for row in rows)
    except (TypeError, ValueError) as error:
        raise wrong(where, rows, f"lists of {what}") from error
    for i, row in enumerate(checked):
        bad = next((x for x in row if not math.isfinite(x)), None)
        if bad is not None:
            raise wrong(where if for_all else f"{where}[{i}]", bad, f"finite {what}")
        low = parameter.at_least
        bad = next((x for x in row if low is not None and x < low), None)
        if bad is not None:
            raise wrong(where if for_all else f"{where}[{i}]", bad, f"numbers >= {low:g} ({parameter.unit})")
    return Repeated(checked[0], size) if for_all else checked
