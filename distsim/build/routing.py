"""The routing table: for every local neuron the ranks that need its spikes, and the row index there.

Built in parallel: each rank tells the owners of its rows' sources that it needs them, and they tell everyone which of
them are *broadcast*. A source that most other ranks need has the same row on every rank, an empty one where nobody
needs it, and one entry instead of one for each rank: so the table stays small on thousands of ranks. Then each rank
tells the owners the rows of the others. A message is one uint32, the row at the destination; receiving needs no search.

Lists are as long as a rank has rows; those of broadcast sources, 8 bytes each while it is built, are at most 4/3 as
long as the mean rank has rows (under `auto`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.build.partition import Gids, Layout
from distsim.build.rows import ROW_BYTES, Rows
from distsim.comm import Communicator
from distsim.errors import BuildError, during
from distsim.experiment import RoutingName
from distsim.kernels.loop import EVERYWHERE, NO_ROW

Words = npt.NDArray[np.uint32]
UNBOUNDED = 2**31
MOST_ROWS = 2**31 - 1  # the highest bit of a message says that it is no row (kernels/sent.h)
ENTRY_BYTES = 8
BLOCK = 2**18  # ids that are located at once


@dataclass(frozen=True)
class Routing:
    """Where spikes go.

    Attributes
    ----------
    local_row
        uint32[n_local]: the row of a neuron on its own rank, or NO_ROW.
    begin
        uint32[n_local + 1]: a neuron's entries in `rank` and `row`.
    rank, row
        uint32[n_entries]: another rank, and the row there. EVERYWHERE stands for all other ranks; it is the neuron's
        only entry then.
    interval
        Steps between exchanges: the smallest delay that crosses ranks (UNBOUNDED where none does).
    n_broadcast
        Sources of all ranks with an entry EVERYWHERE: they have the rows 0 … n_broadcast - 1.
    number, n_rows
        uint32: the number that each row of this rank has got, and how many there are with the empty ones. None where
        rows keep the order in which they were built.
    destinations, sources
        int64, ascending: the other ranks that this one may send to and receive from.
    """

    local_row: Words
    begin: Words
    rank: Words
    row: Words
    interval: int
    n_broadcast: int
    number: Words | None
    n_rows: int
    destinations: Gids
    sources: Gids

    def bytes(self) -> int:
        return self.local_row.nbytes + self.begin.nbytes + self.rank.nbytes + self.row.nbytes


def broadcast_pays(
    needed_by: npt.NDArray[np.int64], has_row: npt.NDArray[np.bool_], n_ranks: int
) -> npt.NDArray[np.bool_]:
    """Whether sources that so many other ranks need, and perhaps their own, take less memory as broadcast entries.

    One entry (8 bytes) stands for `needed_by` entries, and every rank that does not need the source gets an empty row
    (24 bytes). On many ranks that is worth it for sources that more than three quarters of the ranks need; then at
    most every fourth message is for nothing.
    """
    empty = n_ranks - needed_by - has_row
    return np.asarray(ENTRY_BYTES * (needed_by - 1) > ROW_BYTES * empty)


@during("routing")
def build_routing(layout: Layout, rows: Rows, comm: Communicator, how: RoutingName = "auto") -> Routing:
    """Tell owners who needs their neurons, and learn the same of our own (every rank must call).

    Parameters
    ----------
    how
        Which sources are broadcast: those where it saves memory (auto), all that another rank needs (broadcast), or
        none (listed). It changes no result.

    Raises
    ------
    BuildError
        This rank has more rows than a message can name.
    """
    # Lists here are as long as all rows or all entries: of 4 bytes each where they can be, and what is done with goes.
    owner = _in_blocks(layout.owner, rows.gids)
    foreign = owner != comm.rank
    shortest = int(rows.first_delay[foreign].min()) if foreign.any() else UNBOUNDED
    del foreign
    ends = np.cumsum(np.bincount(owner, minlength=comm.size))
    needed = np.split(np.argsort(owner, kind="stable").astype(np.uint32), ends[:-1])  # our rows, by owner
    del owner
    own, nothing = needed[comm.rank], np.empty(0, np.uint32)
    elsewhere = [nothing if rank == comm.rank else mine for rank, mine in enumerate(needed)]
    id_type = np.uint32 if layout.n_neurons <= 2**32 else np.int64
    asked = comm.exchange_lists([rows.gids[mine].astype(id_type) for mine in elsewhere])
    sizes = [a.size for a in asked]
    neurons = [_in_blocks(layout.local_index, a) for a in asked]
    own_neuron = _in_blocks(layout.local_index, rows.gids[own])

    everywhere = _broadcast(neurons, own_neuron, layout.n_local, comm.size, how)
    ours = np.unique(np.concatenate([a[everywhere[n]] for a, n in zip(asked, neurons, strict=True)])).astype(np.int64)
    del asked
    shared = comm.share(ours)
    number, n_rows = _number(rows.gids, needed, shared)
    n_broadcast = sum(s.size for s in shared)
    if n_rows > MOST_ROWS:
        raise BuildError(f"rows of rank {comm.rank}: found {n_rows}; allowed: 2^31 - 1; use more ranks")
    local_row = np.full(layout.n_local, NO_ROW, np.uint32)
    local_row[own_neuron] = number[own]
    asks = np.array([mine.size > 0 for mine in elsewhere])
    del own, own_neuron, needed

    answers = [number[mine] for mine in elsewhere]
    del elsewhere
    listed = comm.exchange_lists([rows_there[rows_there >= n_broadcast] for rows_there in answers])
    del answers
    first = sum(s.size for s in shared[: comm.rank])
    neuron = np.concatenate([*(n[~everywhere[n]] for n in neurons), _in_blocks(layout.local_index, ours)])
    del neurons
    by_neuron = np.argsort(neuron, kind="stable")
    begin = np.zeros(layout.n_local + 1, np.uint32)
    begin[1:] = np.cumsum(np.bincount(neuron, minlength=layout.n_local))
    del neuron
    each = np.array([rows_here.size for rows_here in listed])
    row = np.concatenate([*listed, np.arange(first, first + ours.size, dtype=np.uint32)])
    del listed
    row = row[by_neuron]
    asking = np.repeat(np.arange(comm.size, dtype=np.uint32), each)
    rank = np.concatenate([asking, np.full(ours.size, EVERYWHERE, np.uint32)])[by_neuron]
    others = np.delete(np.arange(comm.size), comm.rank)
    return Routing(
        local_row,
        begin,
        rank,
        row,
        comm.minimum(shortest),
        n_broadcast,
        number if n_broadcast else None,
        n_rows,
        destinations=others if ours.size else np.array([r for r in others if sizes[r]], np.int64),
        sources=np.array([r for r in others if shared[r].size or asks[r]], np.int64),
    )


def _in_blocks(function: Callable[[Gids], Gids], gids: npt.NDArray[np.integer[Any]]) -> Words:
    """function(gids), uint32; what it needs for itself is as long as a block."""
    found = np.empty(gids.size, np.uint32)
    for begin in range(0, gids.size, BLOCK):
        found[begin : begin + BLOCK] = function(gids[begin : begin + BLOCK].astype(np.int64))
    return found


def _broadcast(
    neurons: Sequence[Words], own_neuron: Words, n_local: int, n_ranks: int, how: RoutingName
) -> npt.NDArray[np.bool_]:
    """bool[n_local]: which neurons get one entry for all ranks. `neurons` are those that each rank has asked for."""
    needed_by = np.zeros(n_local, np.int64)
    for neuron in neurons:
        needed_by[neuron] += 1  # a rank asks for each once
    if how == "listed":
        return np.zeros(n_local, np.bool_)
    if how == "broadcast":
        return np.asarray(needed_by > 0)
    has_row = np.zeros(n_local, np.bool_)
    has_row[own_neuron] = True
    return broadcast_pays(needed_by, has_row, n_ranks)


def _number(gids: Gids, needed: list[Words], shared: list[Gids]) -> tuple[Words, int]:
    """A number for each row: those of broadcast sources first, as on every rank, the others after them in their order.

    Parameters
    ----------
    gids
        The sources of the rows.
    needed
        Rows by the rank that owns their source.
    shared
        The broadcast sources of each rank, ascending.
    """
    number = np.empty(gids.size, np.uint32)
    is_listed = np.ones(gids.size, np.bool_)
    first = 0
    for mine, theirs in zip(needed, shared, strict=True):
        if mine.size and theirs.size:
            at = np.minimum(np.searchsorted(theirs, gids[mine]), theirs.size - 1)
            found = theirs[at] == gids[mine]
            number[mine[found]] = first + at[found]
            is_listed[mine[found]] = False
        first += theirs.size
    n_rows = first + int(np.count_nonzero(is_listed))
    number[is_listed] = np.arange(first, n_rows, dtype=np.uint32)
    return number, n_rows
