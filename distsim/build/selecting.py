"""Selections made definite: which neurons, and which of them are local. The same on every rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distsim.build.partition import Part
from distsim.selection import Selection, meeting
from distsim.streams import Stream

Ids = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


def selected_ids(selection: Selection, seed: int) -> Ids:
    """Local ids of a listed or drawn selection, ascending: int64[selection.size].

    A fraction is drawn by Floyd's algorithm (Bentley & Floyd 1987, doi:10.1145/30401.315746): every set of `count`
    neurons is equally likely, the work and the memory are proportional to `count`.
    """
    if selection.neurons is not None:
        return np.array(selection.neurons, np.int64)
    if selection.is_affine:
        return selection.start + selection.step * np.arange(selection.count, dtype=np.int64)
    k, n = selection.count, selection.population.size
    gid = selection.population.first_gid
    # The smaller of the selected and the others is drawn.
    fewer = min(k, n - k)
    draws = np.arange(fewer, dtype=np.uint64)
    words = _philox(
        draws, np.uint64(selection.draw), np.uint64(gid & 0xFFFFFFFF), np.uint64(gid >> 32), seed, Stream.SELECTION
    )
    chosen: set[int] = set()
    for j, high, low in zip(range(n - fewer, n), words[0].tolist(), words[1].tolist(), strict=True):
        at = ((high << 32 | low) * (j + 1)) >> 64
        chosen.add(j if at in chosen else at)
    drawn = np.sort(np.fromiter(chosen, np.int64, fewer))
    if fewer == k:
        return drawn
    keep = np.ones(n, bool)
    keep[drawn] = False
    return np.flatnonzero(keep)


def places_to_ids(selection: Selection, places: Ids, seed: int) -> Ids:
    """Local ids at these places of a selection."""
    if selection.is_affine:
        return selection.start + selection.step * places
    return np.asarray(selected_ids(selection, seed)[places])


def _philox(a: Words, b: np.uint64, c: np.uint64, d: np.uint64, seed: int, stream: int) -> list[Words]:
    """Philox4x32-10 of counters (a, b, c, d), as in kernels/arithmetic.h."""
    w = [np.asarray(x, np.uint64) for x in np.broadcast_arrays(a, b, c, d)]
    k0, k1 = seed, int(stream)
    for _ in range(10):
        p, q = w[0] * np.uint64(0xD2511F53), w[2] * np.uint64(0xCD9E8D57)
        w = [(q >> _SHIFT) ^ w[1] ^ np.uint64(k0), q & _LOW, (p >> _SHIFT) ^ w[3] ^ np.uint64(k1), p & _LOW]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return w


@dataclass(frozen=True)
class LocalSelection:
    """The selected among the neurons of a part.

    Either arithmetic: neuron k = first + step * t of the part stands at place first_place + place_step * t of the
    selection, t < count; or listed, in `k` and `place`.
    """

    count: int
    first: int
    step: int
    first_place: int
    place_step: int
    k: Ids | None = None
    place: Ids | None = None


def local_selection(selection: Selection, part: Part, seed: int) -> LocalSelection:
    """Which neurons of `part` are selected: arithmetic for a slice, O(selected) for a list or a fraction."""
    begin = part.first_gid - part.population.first_gid  # local ids of the part: begin + stride * k
    if selection.is_affine:
        m = meeting(begin, part.stride, part.count, selection.start, selection.step, selection.count)
        return LocalSelection(m.count, m.first, m.step, m.other_first, m.other_step)
    ids = selected_ids(selection, seed)
    k, rest = np.divmod(ids - begin, part.stride)
    place = np.flatnonzero((rest == 0) & (k >= 0) & (k < part.count))
    return LocalSelection(place.size, 0, 1, 0, 1, k[place], place)


def indices(chosen: LocalSelection) -> Ids:
    """The selected neurons' places k in their part, ascending: int64[count]."""
    return chosen.first + chosen.step * np.arange(chosen.count, dtype=np.int64) if chosen.k is None else chosen.k


@dataclass(frozen=True)
class Shared:
    """Places of one side whose neurons stand on another side, too: sequences (begin, end, step), and a list."""

    begin: tuple[int, ...]
    end: tuple[int, ...]
    step: tuple[int, ...]
    listed: Ids

    @property
    def count(self) -> int:
        runs = zip(self.begin, self.end, self.step, strict=True)
        return sum(-(-(e - b) // s) for b, e, s in runs) + self.listed.size


def shared_places(side: Sequence[Selection], other: Sequence[Selection], seed: int) -> Shared:
    """Places of `side` (positions in the concatenation) whose neurons are on `other`."""
    runs: list[tuple[int, int, int]] = []
    listed: list[Ids] = []
    offset = 0
    for mine in side:
        for theirs in other:
            if mine.population is not theirs.population:
                continue
            if theirs.is_whole:
                runs.append((offset, offset + mine.size, 1))
            elif mine.is_affine and theirs.is_affine:
                m = meeting(mine.start, mine.step, mine.count, theirs.start, theirs.step, theirs.count)
                if m.count:
                    first = offset + m.first
                    runs.append((first, first + (m.count - 1) * m.step + 1, m.step))
            else:
                listed.append(offset + np.flatnonzero(np.isin(selected_ids(mine, seed), selected_ids(theirs, seed))))
        offset += mine.size
    begin, end, step = zip(*runs, strict=True) if runs else ((), (), ())
    return Shared(begin, end, step, np.concatenate(listed) if listed else np.empty(0, np.int64))


@dataclass(frozen=True)
class SideArrays:
    """A side as the kernels read it: one entry a selection; see `Side` in kernels/connect.py."""

    end: Words
    gid: Words
    shift: Words
    step: Words
    list_begin: Words
    list: Words
    plain: bool

    @staticmethod
    def of(side: Sequence[Selection], seed: int) -> SideArrays:
        ends = np.cumsum([s.size for s in side]).astype(np.uint64)
        starts = ends - np.array([s.size for s in side], np.uint64)
        affine = [s.is_affine for s in side]
        gids = np.array([s.population.first_gid + (s.start if s.is_affine else 0) for s in side], np.uint64)
        lists = [np.empty(0, np.int64) if a else selected_ids(s, seed) for s, a in zip(side, affine, strict=True)]
        before = np.concatenate(([0], np.cumsum([x.size for x in lists])))[:-1].astype(np.uint64)
        steps = np.array([s.step for s in side], np.uint64)
        return SideArrays(
            ends, gids, gids - starts, steps, np.where(affine, ~np.uint64(0), before),
            np.concatenate(lists).astype(np.uint64), all(affine) and bool((steps == 1).all()),
        )  # fmt: skip
