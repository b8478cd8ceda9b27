"""The only module that talks MPI. The rest of distsim calls the verbs of a Communicator.

Three kinds: `Serial` (one process, mpi4py is not even imported), `Mpi`, and `Threads`, a stand-in that
runs R ranks as threads of one process, so that distribution can be tested without a launcher.
"""

from __future__ import annotations

import functools
import os
import sys
import time
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.comm_base import Collective, Communicator, Counts, Everyone, Peers, Serial, Words
from distsim.comm_threads import Threads
from distsim.errors import CommunicationError, DistsimError, one_line, phase_of

__all__ = [
    "Collective", "Communicator", "Counts", "Everyone", "Mpi", "Peers", "Serial", "Threads", "Words", "connect",
    "launched_as", "mpi_library",
]  # fmt: skip


class Mpi(Communicator):
    """Ranks of MPI_COMM_WORLD; initialises MPI at construction and ends all ranks on an exception."""

    patience = 5.0

    def __init__(self) -> None:
        import mpi4py

        mpi4py.rc.initialize = False
        # Else mpi4py leaves it out at exit, and the launcher may kill the ranks that end last.
        mpi4py.rc.finalize = True
        from mpi4py import MPI

        if not MPI.Is_initialized():
            MPI.Init()
        self._mpi = MPI
        self._world = MPI.COMM_WORLD.Dup()
        self.rank = self._world.Get_rank()
        self.size = self._world.Get_size()
        if self.size > 1:
            sys.excepthook = self._end_all_ranks

    def _end_all_ranks(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        phase = f" ({phase_of(error)})" if phase_of(error) else ""
        if isinstance(error, (DistsimError, MemoryError)):  # expected kinds of failure say all in one line
            text = one_line(error) + "\n"
        else:
            text = "failed, ending all ranks\n" + "".join(traceback.format_exception(kind, error, trace))
        os.write(2, f"distsim: rank {self.rank} of {self.size}{phase}: {text}".encode())
        time.sleep(0.2)  # MPICH's launcher ends on an abort at once, and what it has not passed on by then is lost
        self._mpi.COMM_WORLD.Abort(getattr(error, "exit_code", 1))

    def exchange_lists(self, lists: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        counts = np.array([x.size for x in lists], np.int64)
        incoming = np.empty(self.size, np.int64)
        self._world.Alltoall(counts, incoming)
        dtype = lists[0].dtype
        send = np.concatenate(lists) if lists else np.empty(0, dtype)
        receive = np.empty(int(incoming.sum()), dtype)
        kind = self._mpi._typedict[dtype.char]
        self._world.Alltoallv([send, (counts, _starts(counts)), kind], [receive, (incoming, _starts(incoming)), kind])
        return np.split(receive, np.cumsum(incoming)[:-1])

    def prepare(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> Collective:
        kind = self._mpi.UINT32_T
        return _MpiCollective(self._world, [send, (send_counts, send_at), kind], [receive, (counts, at), kind])

    def neighbours(self, sources: Counts, destinations: Counts) -> Peers:
        return _MpiNeighbours(self._mpi, self._world, sources, destinations)

    def reduce(self, values: npt.NDArray[Any], how: str) -> npt.NDArray[Any]:
        result = np.empty_like(values)
        operation = {"sum": self._mpi.SUM, "min": self._mpi.MIN, "max": self._mpi.MAX}[how]
        self._world.Allreduce(values, result, operation)
        return result

    def broadcast(self, data: bytes) -> bytes:
        size = np.array([len(data)], np.int64)
        self._world.Bcast(size, root=0)
        sent = np.frombuffer(data, np.uint8).copy() if self.rank == 0 else np.empty(int(size[0]), np.uint8)
        self._world.Bcast(sent, root=0)
        return sent.tobytes()

    def barrier(self) -> None:
        self._world.Barrier()

    def all_end(self) -> bool:
        # The world itself carries nothing else, so this cannot be taken for another collective of a rank that goes on.
        ending, last = self._mpi.COMM_WORLD.Ibarrier(), time.monotonic() + 1.0
        while not ending.Test():
            if time.monotonic() > last:
                return False
            time.sleep(0.002)
        return True

    def leave(self, code: int) -> None:
        """Does not return.

        When the first rank leaves with a code that is not 0, launchers end the others with a signal, and may take that
        for the job's exit code. So none tarries in the interpreter's clearing up, which takes long with much memory.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        self._world.Barrier()
        self._mpi.Finalize()
        os._exit(code)


class _MpiCollective(Collective):
    """A persistent Alltoallv where the MPI has them (MPI 4), else one made each time."""

    def __init__(self, world: Any, send: list[Any], receive: list[Any]) -> None:
        self._world, self._send, self._receive = world, send, receive
        self._request: Any = None
        self._persistent = True
        try:
            self._request = world.Alltoallv_init(send, receive)
        except NotImplementedError:
            self._persistent = False

    def start(self) -> None:
        if self._persistent:
            self._request.Start()
        else:
            self._request = self._world.Ialltoallv(self._send, self._receive)

    def wait(self) -> None:
        self._request.Wait()

    def free(self) -> None:
        if self._persistent:  # others are freed by waiting for them
            self._request.Free()


class _MpiNeighbours(Peers):
    """A graph of ranks. Its collectives are begun anew each time: persistent ones all ranks would have to remake."""

    def __init__(self, mpi: Any, world: Any, sources: Counts, destinations: Counts) -> None:
        self.sources, self.destinations = sources, destinations
        self._mpi = mpi
        self._graph = world.Create_dist_graph_adjacent(sources.tolist(), destinations.tolist())

    def prepare(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> Collective:
        kind = self._mpi.UINT32_T
        return _NeighbourCollective(self._graph, [send, (send_counts, send_at), kind], [receive, (counts, at), kind])

    def bring(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> None:
        kind, graph, requests = self._mpi.UINT32_T, self._graph, []
        for rank, n, a in zip(self.sources.tolist(), counts.tolist(), at.tolist(), strict=True):
            if n:
                requests.append(graph.Irecv([receive[a : a + n], kind], rank))
        for rank, n, a in zip(self.destinations.tolist(), send_counts.tolist(), send_at.tolist(), strict=True):
            if n:
                requests.append(graph.Isend([send[a : a + n], kind], rank))
        self._mpi.Request.Waitall(requests)

    def free(self) -> None:
        self._graph.Free()


class _NeighbourCollective(Collective):
    def __init__(self, graph: Any, send: list[Any], receive: list[Any]) -> None:
        self._graph, self._send, self._receive = graph, send, receive

    def start(self) -> None:
        self._request = self._graph.Ineighbor_alltoallv(self._send, self._receive)

    def wait(self) -> None:
        self._request.Wait()


def _starts(counts: Counts) -> Counts:
    return np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64)


# What launchers tell a process before MPI starts: (number of ranks, rank).
_LAUNCHERS = (
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)


def launched_as() -> tuple[int, int]:
    """(rank, ranks) as the launcher's environment says, before MPI is initialised; (0, 1) without one."""
    for size, rank in _LAUNCHERS:
        if size in os.environ and rank in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1


@functools.cache
def _mpi() -> Mpi:
    return Mpi()


def connect() -> Communicator:
    """The ranks this process was started with; the same object at every call.

    Raises
    ------
    CommunicationError
        The launcher started another number of ranks than MPI sees (it belongs to another MPI), or than
        `launch/run -n` asked for.
    """
    _, launched = launched_as()
    world: Communicator = _mpi() if launched > 1 or "PMIX_RANK" in os.environ else Serial()
    asked = os.environ.get("DISTSIM_RANKS")
    expected = int(asked) if asked else launched
    if world.size != expected:
        raise CommunicationError(
            f"ranks: asked for {expected}, MPI has {world.size}; the launcher belongs to another MPI than mpi4py: "
            "start with the mpiexec of the MPI that mpi4py uses (see `python -m mpi4py --mpi-library`)"
        )
    return world


def mpi_library() -> str:
    """What the MPI library says of itself; it needs no MPI_Init for that.

    Raises
    ------
    ImportError, RuntimeError
        There is no mpi4py, or no MPI that it can load.
    """
    import mpi4py

    mpi4py.rc.initialize = False
    from mpi4py import MPI

    major, minor = MPI.Get_version()
    return f"{' '.join(MPI.Get_library_version().split(chr(10))[0].split())} (MPI {major}.{minor})"
