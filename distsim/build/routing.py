"""The routing table: for every local neuron the ranks that need its spikes, and the row index there.

Built in parallel with one all-to-all of lists: each rank tells the owners of its rows' sources which row
belongs to whom. A message is then one uint32, the row at the destination, and receiving needs no search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distsim.build.partition import Layout
from distsim.build.rows import Rows
from distsim.comm import Communicator
from distsim.errors import during
from distsim.kernels.loop import NO_ROW

Words = npt.NDArray[np.uint32]
UNBOUNDED = 2**31


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
        uint32[n_entries]: another rank, and the row there.
    interval
        Steps between exchanges: the smallest delay that crosses ranks (UNBOUNDED where none does).
    """

    local_row: Words
    begin: Words
    rank: Words
    row: Words
    interval: int

    def bytes(self) -> int:
        return self.local_row.nbytes + self.begin.nbytes + self.rank.nbytes + self.row.nbytes


@during("routing")
def build_routing(layout: Layout, rows: Rows, comm: Communicator) -> Routing:
    """Tell owners who needs their neurons, and learn the same of our own."""
    owner = layout.owner(rows.gids)
    order = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[order], np.arange(comm.size + 1))
    requests = []
    for rank in range(comm.size):
        mine = order[bounds[rank] : bounds[rank + 1]]
        requests.append(np.stack([rows.gids[mine], mine], axis=1).astype(np.int64).ravel())
    received = comm.exchange_lists(requests)
    local_row = np.full(layout.n_local, NO_ROW, np.uint32)
    neurons, ranks, remote_rows = [], [], []
    for rank, pairs in enumerate(received):
        gids, row = pairs.reshape(-1, 2).T
        local = layout.local_index(gids)
        if rank == comm.rank:
            local_row[local] = row
            continue
        neurons.append(local)
        ranks.append(np.full(local.size, rank, np.uint32))
        remote_rows.append(row.astype(np.uint32))
    neuron = np.concatenate(neurons) if neurons else np.empty(0, np.int64)
    by_neuron = np.argsort(neuron, kind="stable")
    begin = np.zeros(layout.n_local + 1, np.uint32)
    begin[1:] = np.cumsum(np.bincount(neuron, minlength=layout.n_local))
    foreign = rows.first_delay[owner != comm.rank]
    shortest = int(foreign.min()) if foreign.size else UNBOUNDED
    return Routing(
        local_row,
        begin,
        np.concatenate(ranks)[by_neuron] if ranks else np.empty(0, np.uint32),
        np.concatenate(remote_rows)[by_neuron] if remote_rows else np.empty(0, np.uint32),
        comm.minimum(shortest),
    )
