"""Some neurons of a population: all, a slice, a list, or a random fraction. Pure description.

Sides of projections are tuples of selections; inputs and recordings can use the same. A selection answers as its
population does where only name, size and model matter.
"""

from __future__ import annotations

import builtins
import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distsim.errors import wrong

if TYPE_CHECKING:
    from distsim.elements import Population
    from distsim.models import Model

MAX_LISTED = 2**32


@dataclass(frozen=True, repr=False)
class Selection:
    """Neurons of one population, in ascending order of their local ids.

    Attributes
    ----------
    start, step, count
        Local ids start, start + step, …; the whole population has start 0, step 1.
    neurons
        Local ids, ascending, where they are listed; else None.
    fraction
        The share drawn at random (of all neurons), else None. `count` is exact: fraction times size, rounded half up.
    draw
        Tells random selections apart: the same fraction of the same population with the same number is the same
        neurons wherever it stands, with another number it is drawn anew.
    """

    population: Population
    start: int
    step: int
    count: int
    neurons: tuple[int, ...] | None = None
    fraction: float | None = None
    draw: int = 0

    @staticmethod
    def whole(population: Population) -> Selection:
        """All neurons."""
        return Selection(population, 0, 1, population.size)

    @property
    def name(self) -> str:
        return self.population.name

    @property
    def size(self) -> int:
        """How many neurons are selected."""
        return self.count

    @property
    def model(self) -> Model:
        return self.population.model

    @property
    def is_whole(self) -> bool:
        return self.count == self.population.size

    @property
    def is_affine(self) -> bool:
        """Are the ids an arithmetic sequence, known without a list?"""
        return self.is_whole or (self.neurons is None and self.fraction is None)

    def document(self) -> Any:
        """As it stands in an experiment file."""
        if self.is_whole:
            return self.name
        if self.neurons is not None:
            return {"population": self.name, "neurons": list(self.neurons)}
        if self.fraction is not None:
            drawn = {"draw": self.draw} if self.draw else {}
            return {"population": self.name, "fraction": self.fraction, **drawn}
        last = self.start + (self.count - 1) * self.step + 1
        return {"population": self.name, "slice": [self.start, last, self.step]}

    def __repr__(self) -> str:
        return f"<Selection {self}: {self.count:,} neurons>"

    def __len__(self) -> int:
        return self.count

    def __str__(self) -> str:
        if self.is_whole:
            return self.name
        if self.neurons is not None:
            return f"{self.name}[{self.count} listed]"
        if self.fraction is not None:
            return f"{self.name}[{self.fraction:g} of all]"
        by = f":{self.step}" if self.step > 1 else ""
        return f"{self.name}[{self.start}:{self.start + (self.count - 1) * self.step + 1}{by}]"


def names_of(side: Sequence[Population | Selection]) -> str:
    """A side of a projection in a few words."""
    names = [str(p) if isinstance(p, Selection) else p.name for p in side]
    return ", ".join(names) if len(names) < 5 else f"{names[0]}, … {names[-1]} ({len(names)})"


def some_of(population: Population, which: int | slice | Sequence[int]) -> Selection:
    """population[which]: one neuron, a slice as Python's, or a list of local ids in ascending order.

    Raises
    ------
    ConfigError
        Ids out of range, not in order, or no neuron at all.
    """
    where = f"{population.name}[…]"
    if isinstance(which, slice):
        return select(population, slice=which, where=where)
    try:
        number = operator.index(which)  # type: ignore[arg-type]
    except TypeError:  # also of an array, though it has __index__
        if not hasattr(which, "__iter__"):
            raise wrong(where, which, "a local id, a slice, or a list of local ids") from None
        return select(population, neurons=which, where=where)  # type: ignore[arg-type]
    return select(population, neurons=[number + population.size if number < 0 else number], where=where)


def select(
    population: Population,
    *,
    slice: Sequence[int] | builtins.slice | None = None,
    neurons: Sequence[int] | None = None,
    fraction: float | None = None,
    draw: int = 0,
    where: str = "select",
) -> Selection:
    """Some neurons of `population`: one of a slice, a list and a random fraction (or none: all of them).

    Parameters
    ----------
    slice
        [start, stop] or [start, stop, step] of local ids, stop excluded; or a slice object, as Python means it.
    neurons
        Local ids in ascending order, each once.
    fraction
        Above 0 and up to 1; how many is exact (rounded half up), which ones depends on the seed, the population and
        `draw`.

    Raises
    ------
    ConfigError
        More than one of them, ids out of range, not in order, or no neuron at all.
    """
    size = population.size
    given = [n for n, v in (("slice", slice), ("neurons", neurons), ("fraction", fraction)) if v is not None]
    if len(given) > 1:
        raise wrong(where, given, "one of slice, neurons and fraction")
    if not _whole(draw) or not 0 <= draw < 2**24:
        raise wrong(f"{where}.draw", draw, "a whole number from 0 to 2^24 - 1")
    if draw and fraction is None:
        raise wrong(f"{where}.draw", draw, "draw beside fraction only")
    if slice is not None:
        if isinstance(slice, builtins.slice):
            slice = slice.indices(size)
        bounds = list(slice) if isinstance(slice, Sequence) else [slice]
        if not 2 <= len(bounds) <= 3 or not all(_whole(x) for x in bounds):
            raise wrong(f"{where}.slice", bounds, "[start, stop] or [start, stop, step] of whole numbers")
        start, stop, step = bounds if len(bounds) == 3 else (*bounds, 1)
        if not 0 <= start < stop <= size or step < 1:
            raise wrong(f"{where}.slice", bounds, f"0 <= start < stop <= {size} and step >= 1")
        count = -(-(stop - start) // step)
        return Selection(population, start, step if count > 1 else 1, count)
    if neurons is not None:
        ids = [x.item() if hasattr(x, "item") else x for x in neurons]
        bad = next((x for x in ids if not _whole(x) or not 0 <= x < size), None)
        if bad is not None or not ids or len(ids) >= MAX_LISTED:
            raise wrong(f"{where}.neurons", ids if bad is None else bad, f"local ids from 0 to {size - 1}")
        late = next((b for a, b in itertools.pairwise(ids) if b <= a), None)
        if late is not None:
            raise wrong(f"{where}.neurons", late, "local ids in ascending order, each once")
        return Selection(population, 0, 1, len(ids), neurons=tuple(ids))
    if fraction is not None:
        number = isinstance(fraction, (int, float)) and not isinstance(fraction, bool)
        if not number or not 0.0 < fraction <= 1.0:
            raise wrong(f"{where}.fraction", fraction, "a share above 0 and up to 1")
        count = math.floor(fraction * size + 0.5)
        if count < 1:
            raise wrong(f"{where}.fraction", fraction, f"a share that gives at least one of {size} neurons")
        if MAX_LISTED <= count < size:
            raise wrong(f"{where}.fraction", fraction, "fewer than 2^32 neurons drawn at random")
        return Selection(population, 0, 1, count, fraction=float(fraction), draw=draw)
    return Selection.whole(population)


@dataclass(frozen=True)
class Meeting:
    """Common elements of two arithmetic sequences: the t-th is number first + step t of the one, other_first +
    other_step t of the other, t < count."""

    count: int
    first: int
    step: int
    other_first: int
    other_step: int


def meeting(a: int, a_step: int, a_count: int, b: int, b_step: int, b_count: int) -> Meeting:
    """Where a + a_step k (k < a_count) and b + b_step j (j < b_count) meet, by the extended Euclidean algorithm."""
    common = math.gcd(a_step, b_step)
    each_k, each_j = b_step // common, a_step // common
    if (b - a) % common:
        return Meeting(0, 0, 1, 0, 1)
    k = (b - a) // common * pow(each_j, -1, each_k) % each_k if each_k > 1 else 0
    j = (a + a_step * k - b) // b_step
    if j < 0:  # they meet again every each_k, each_j
        more = -(j // each_j)
        k, j = k + more * each_k, j + more * each_j
    count = min(-((k - a_count) // each_k), -((j - b_count) // each_j))
    return Meeting(count, k, each_k, j, each_j) if count > 0 else Meeting(0, 0, 1, 0, 1)


def shared_neurons(sources: Sequence[Selection], targets: Sequence[Selection]) -> int:
    """Neurons on both sides; the most there can be, where a random fraction meets a part of its population."""
    total = 0
    for s in sources:
        for t in targets:
            if s.population is not t.population:
                continue
            if s.is_whole or t.is_whole or s.fraction is not None or t.fraction is not None:
                total += min(s.size, t.size)
            elif s.is_affine and t.is_affine:
                total += meeting(s.start, s.step, s.count, t.start, t.step, t.count).count
            else:
                total += len(set(_ids(s)) & set(_ids(t)))
    return total


def _ids(selection: Selection) -> Sequence[int]:
    if selection.neurons is not None:
        return selection.neurons
    return range(selection.start, selection.start + selection.step * selection.count, selection.step)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
