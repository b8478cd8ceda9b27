"""The only module that talks MPI. The rest of distsim calls the verbs of a Communicator.

Three kinds: `Serial` (one process, mpi4py is not even imported), `Mpi`, and `Threads`, a stand-in that
runs R ranks as threads of one process, so that distribution can be tested without a launcher.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from distsim.errors import CommunicationError, DistsimError, ResultError, one_line, phase_of

T = TypeVar("T")
Words = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]


class Collective(ABC):
    """A prepared all-to-all of uint32 words between fixed places of two buffers.

    Between `start` and `wait` nobody may change the one or look into the other.
    """

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def wait(self) -> None: ...

    def run(self) -> None:
        self.start()
        self.wait()


class Communicator(ABC):
    """What distsim asks of the ranks around it."""

    rank: int
    size: int
    patience = 0.0  # seconds that a rank waits to be ended by another that failed
    agreed: BaseException | None = None  # of which all ranks know

    @abstractmethod
    def exchange_lists(self, lists: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Send list r to rank r; return what each rank sent here. All lists have one dtype."""

    @abstractmethod
    def prepare(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> Collective:
        """An all-to-all of `send_counts[r]` words from `send_at[r]`, to be run many times."""

    @abstractmethod
    def reduce(self, values: npt.NDArray[Any], how: str) -> npt.NDArray[Any]:
        """Element-wise "sum", "min" or "max" over all ranks, on every rank."""

    @abstractmethod
    def broadcast(self, data: bytes) -> bytes:
        """Rank 0's bytes, on every rank; what the others pass is not looked at."""

    @abstractmethod
    def barrier(self) -> None: ...

    def leave(self, code: int) -> None:
        """All ranks part in order; nothing can be sent after. Processes of MPI end here, with this exit code."""
        self.barrier()

    def all_end(self) -> bool:
        """Whether every rank has failed and calls this, within a second or so of the others: then all may part."""
        return True

    def share(self, array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Every rank's one-dimensional array (all of one dtype), on every rank."""
        return self.exchange_lists([array] * self.size)

    def local_rank(self) -> int:
        """The position of this rank among those on the same machine: the launcher's word, else by host name."""
        names = self.share(np.frombuffer(os.uname().nodename.encode(), np.uint8))
        mine = names[self.rank].tobytes()
        counted = sum(name.tobytes() == mine for name in names[: self.rank])
        for name in _LOCAL_RANKS:
            if os.environ.get(name, "").isdigit():
                return int(os.environ[name])
        # srun's word counts only where srun started the ranks: other launchers start in a job's script or daemon, and
        # every rank inherits the 0 of that.
        if os.environ.get("SLURM_LOCALID", "").isdigit() and os.environ.get("SLURM_STEP_NUM_TASKS") == str(self.size):
            return int(os.environ["SLURM_LOCALID"])
        return counted

    def minimum(self, value: int) -> int:
        return int(self.reduce(np.array([value], np.int64), "min")[0])

    def total(self, value: int) -> int:
        return int(self.reduce(np.array([value], np.int64), "sum")[0])

    def succeed(self, error: DistsimError | None) -> None:
        """Every rank calls this after work that can fail on one: all go on, or all raise.

        The first rank that failed raises its error. The others raise too, but give it time to end them all, so that
        the reason is said once.
        """
        failed = self.minimum(self.size if error is None else self.rank)
        if failed == self.size:
            return
        self.agreed = error
        if error is not None and failed == self.rank:
            raise error
        time.sleep(self.patience)
        self.agreed = CommunicationError(f"rank {failed} failed, and said why; rank {self.rank} ends with it")
        raise self.agreed

    def together(self, work: Callable[[], T]) -> T:
        """Every rank works; where one fails, none goes on (see `succeed`)."""
        failure: DistsimError | None = None
        try:
            result = work()
        except DistsimError as error:
            failure = error
        except OSError as error:
            failure = ResultError(f"{error.filename or 'a file'}: {error.strerror or error}")
        self.succeed(failure)
        return result

    def first_alone(self, work: Callable[[], T]) -> T | None:
        """Rank 0 works, the others wait; where it fails, none goes on. None on the others."""
        return self.together(lambda: work() if self.rank == 0 else None)


class Serial(Communicator):
    """One rank alone."""

    rank = 0
    size = 1

    def exchange_lists(self, lists: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        return [lists[0].copy()]

    def prepare(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> Collective:
        raise CommunicationError("one rank has nobody to exchange spikes with")

    def reduce(self, values: npt.NDArray[Any], how: str) -> npt.NDArray[Any]:
        return values.copy()

    def broadcast(self, data: bytes) -> bytes:
        return data

    def barrier(self) -> None:
        return None


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


class Threads(Communicator):
    """One of R ranks that are threads of this process; made by `Threads.run`."""

    def __init__(self, rank: int, size: int, shared: _Shared) -> None:
        self.rank, self.size, self._shared = rank, size, shared

    @staticmethod
    def run(size: int, work: Callable[[Communicator], T]) -> list[T]:
        """Call `work` on `size` ranks at once; return their results, or raise the first error."""
        shared = _Shared(size)
        results: list[Any] = [None] * size
        errors: list[tuple[int, BaseException]] = []

        def one(rank: int) -> None:
            try:
                results[rank] = work(Threads(rank, size, shared))
            except threading.BrokenBarrierError:
                return
            except BaseException as error:
                errors.append((rank, error))
                shared.barrier.abort()

        threads = [threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0][1]
        return results

    def _swap(self, value: Any) -> list[Any]:
        """What every rank put down, in rank order; valid until the next call."""
        self._shared.slots[self.rank] = value
        self._shared.barrier.wait()
        everyone = list(self._shared.slots)
        self._shared.barrier.wait()
        return everyone

    def exchange_lists(self, lists: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        everyone = self._swap([x.copy() for x in lists])
        return [sent[self.rank] for sent in everyone]

    def prepare(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> Collective:
        return _ThreadCollective(self, send, send_counts, send_at, receive, counts, at)

    def reduce(self, values: npt.NDArray[Any], how: str) -> npt.NDArray[Any]:
        stacked = np.stack(self._swap(values.copy()))
        operation = {"sum": np.add, "min": np.minimum, "max": np.maximum}[how]
        return np.asarray(operation.reduce(stacked, axis=0), values.dtype)

    def broadcast(self, data: bytes) -> bytes:
        return bytes(self._swap(data)[0])

    def barrier(self) -> None:
        self._swap(None)


class _Shared:
    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=120)
        self.slots: list[Any] = [None] * size


class _ThreadCollective(Collective):
    def __init__(
        self, ranks: Threads, send: Words, send_counts: Counts, send_at: Counts,
        receive: Words, counts: Counts, at: Counts,
    ) -> None:  # fmt: skip
        self._ranks, self._send, self._receive = ranks, send, receive
        self._send_counts, self._send_at, self._counts, self._at = send_counts, send_at, counts, at

    def start(self) -> None:
        self._parts = self._sent()
        for a, n in zip(self._at, self._counts, strict=True):
            self._receive[a : a + n] = 0xDEADBEEF  # MPI may write here at any time from now on

    def wait(self) -> None:
        mine = self._ranks.rank
        if any(not np.array_equal(was, is_now) for was, is_now in zip(self._parts, self._sent(), strict=True)):
            raise CommunicationError(f"rank {mine} changed words while they were being sent")
        for source, sent in enumerate(self._ranks._swap(self._parts)):
            part, n, a = sent[mine], self._counts[source], self._at[source]
            if part.size != n:
                raise CommunicationError(f"rank {source} sent {part.size} words to rank {mine}, which expected {n}")
            self._receive[a : a + n] = part

    def _sent(self) -> list[Words]:
        return [self._send[a : a + n].copy() for a, n in zip(self._send_at, self._send_counts, strict=True)]


def _starts(counts: Counts) -> Counts:
    return np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64)


# Where launchers tell a process its place on its machine.
_LOCAL_RANKS = (
    "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK", "PMI_LOCAL_RANK", "PALS_LOCAL_RANKID",
)  # fmt: skip

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
