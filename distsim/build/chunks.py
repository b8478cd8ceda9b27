"""Which sources' rows are built at once, and how: by a counter for each cell, or by sorting what there is.

A cell is (source, delay, plane, block). Counters take 4 bytes a cell, whether or not it has synapses, so they suit a
rank on which cells have about one synapse or more. On very many ranks most sources have none here: then synapses are
sorted, in memory and time that go with them and not with the number of all sources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from distsim.build.costs import expected_synapses
from distsim.build.projections import LocalProjection
from distsim.elements import Population

CELL_BUDGET = 256 * 2**20  # bytes of counters, or of keys, of one chunk
CELLS_A_SYNAPSE = 2.0  # more of them, and sorting costs less than counting
SMALL_COUNT = 32 * 2**20  # bytes of counters that are taken without asking how many synapses there are
SORT_BYTES = 5.0  # a synapse while it is sorted, beyond what stays: its key, and a share of its bucket's counters
SMALL_SORT = 64 * 2**20  # what is less is sorted at once; what is more in three chunks at least, to keep the peak low
BUCKET = 32  # synapses that sources are expected to have together that are sorted together
KEY_BITS = 32

Columns = Callable[[LocalProjection], set[int]]


@dataclass(frozen=True)
class Chunk:
    """Sources with global ids low … high - 1, and the projections that may start there.

    Attributes
    ----------
    expected
        Their synapses on this rank, where these are to be sorted; None where cells are counted.
    """

    low: int
    high: int
    projections: tuple[LocalProjection, ...]
    expected: float | None = None

    def cut(self, low: int, high: int) -> Chunk:
        """Its sources from the `low`-th up to the `high`-th."""
        share = (high - low) / (self.high - self.low)
        expected = None if self.expected is None else self.expected * share
        return Chunk(self.low + low, min(self.high, self.low + high), self.projections, expected)


def plan_chunks(
    populations: Sequence[Population], projections: Sequence[LocalProjection], columns_of: Columns, budget: int
) -> list[Chunk]:
    """Cut the sources into chunks whose cells, or keys, fit the budget.

    Populations that stand next to each other and share a projection go together where they fit: a chunk
    draws each of its projections once.
    """
    by_source: dict[str, list[LocalProjection]] = {}
    for projection in projections:
        for source in projection.described.sources:
            by_source.setdefault(source.name, []).append(projection)
    there = [p for p in populations if p.name in by_source]
    cells = {p.name: cells_per_row(by_source[p.name], columns_of) for p in there}
    expected = {p.name: _expected(by_source[p.name], p.name) for p in there}
    crowded = 4 * sum(p.size * cells[p.name] for p in there) > min(budget, SMALL_COUNT)
    sparse = {
        p.name: crowded
        and p.size * cells[p.name] > CELLS_A_SYNAPSE * expected[p.name]
        and cells[p.name] < 2 ** (KEY_BITS - 1)
        for p in there
    }
    to_sort = SORT_BYTES * sum(expected[n] for n, s in sparse.items() if s)
    sort_budget = min(budget, max(SMALL_SORT, int(to_sort / 3.0)))
    chunks: list[Chunk] = []
    for population in there:
        name, mine = population.name, by_source[population.name]
        joined = _joined(chunks[-1], population, mine, expected[name], sparse[name]) if chunks else None
        if joined is not None and _takes(joined, columns_of) <= (sort_budget if sparse[name] else budget):
            chunks[-1] = joined
            continue
        whole = Chunk(
            population.first_gid, population.first_gid + population.size, tuple(mine),
            expected[name] if sparse[name] else None,
        )  # fmt: skip
        if sparse[name]:
            step = -(-population.size // max(1, -(-int(_takes(whole, columns_of)) // sort_budget)))
        else:
            step = max(1, budget // (4 * cells[name]))
        chunks += [whole.cut(start, start + step) for start in range(0, population.size, step)]
    return chunks


def cells_per_row(projections: Sequence[LocalProjection], columns_of: Columns) -> int:
    """Delays times columns that a source's synapses may have."""
    n_delays = max(p.delays.last for p in projections) - min(p.delays.first for p in projections) + 1
    return n_delays * max(1, len(set().union(*(columns_of(p) for p in projections))))


def bucket_bits(chunk: Chunk, n_cells: int) -> int:
    """Sources of a bucket, as a power of two: so many that their cells have keys, and few synapses are sorted together.

    Parameters
    ----------
    n_cells
        Cells of a source.
    """
    n_rows = chunk.high - chunk.low
    wanted = int(BUCKET * n_rows / max(1.0, chunk.expected or 0.0))
    most = KEY_BITS - (n_cells - 1).bit_length()
    return max(0, min(wanted.bit_length() - 1, most, n_rows.bit_length()))


def _expected(projections: Sequence[LocalProjection], name: str) -> float:
    """Synapses on this rank that a population's neurons are the sources of."""
    return sum(
        expected_synapses(p.described) * p.selected.count / p.described.n_targets * source.size / p.n_sources
        for p in projections for source in p.described.sources if source.name == name
    )  # fmt: skip


def _joined(
    last: Chunk, population: Population, mine: Sequence[LocalProjection], expected: float, sparse: bool
) -> Chunk | None:
    """`last` with a population that follows it; None where they have nothing in common."""
    if last.high != population.first_gid or not any(p in last.projections for p in mine):
        return None
    if sparse != (last.expected is not None):
        return None
    together = (*last.projections, *(p for p in mine if p not in last.projections))
    both = (last.expected or 0.0) + expected if sparse else None
    return Chunk(last.low, population.first_gid + population.size, together, both)


def _takes(chunk: Chunk, columns_of: Columns) -> float:
    """Bytes of counters or keys."""
    if chunk.expected is not None:
        return SORT_BYTES * chunk.expected
    return 4.0 * (chunk.high - chunk.low) * cells_per_row(chunk.projections, columns_of)
