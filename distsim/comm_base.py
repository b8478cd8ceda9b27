"""What distsim asks of the ranks around it: the verbs of a Communicator, and one rank alone."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from distsim.errors import CommunicationError, DistsimError, ResultError

T = TypeVar("T")
Words = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]

# Where launchers tell a process its place on its machine.
_LOCAL_RANKS = (
    "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK", "PMI_LOCAL_RANK", "PALS_LOCAL_RANKID",
)  # fmt: skip


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

    def free(self) -> None:
        """Give back what MPI holds for it, which does not follow from its being forgotten; it is not started again."""
        return None


class Peers(ABC):
    """Ranks that this one sends words to and receives words from, again and again.

    Attributes
    ----------
    destinations, sources
        int64, ascending; this rank is among both.
    """

    destinations: Counts
    sources: Counts

    @abstractmethod
    def prepare(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> Collective:
        """An exchange of `send_counts[i]` words from `send_at[i]` for destination i; sources alike."""

    @abstractmethod
    def bring(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> None:
        """The same, once. Destinations and sources of this call, who know of it, are all who must call."""

    def free(self) -> None:
        """Give back what MPI holds for them (every rank must call): it has room for some two thousand graphs."""
        return None


class Everyone(Peers):
    """All ranks, by all-to-all: who prepares or brings anything does it on all ranks at once."""

    def __init__(self, ranks: Communicator) -> None:
        self._ranks = ranks
        self.destinations = self.sources = np.arange(ranks.size, dtype=np.int64)

    def prepare(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> Collective:
        return self._ranks.prepare(send, send_counts, send_at, receive, counts, at)

    def bring(
        self, send: Words, send_counts: Counts, send_at: Counts, receive: Words, counts: Counts, at: Counts
    ) -> None:
        once = self.prepare(send, send_counts, send_at, receive, counts, at)
        once.run()
        once.free()


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

    def neighbours(self, sources: Counts, destinations: Counts) -> Peers:
        """Only some ranks, by neighbourhood collectives (every rank must call).

        What is prepared for them belongs to this rank alone: a pair may change its counts without the others.

        Parameters
        ----------
        sources, destinations
            Ranks in ascending order, this one among both. Who sends to a rank is one of its sources.
        """
        raise CommunicationError("one rank has nobody to exchange spikes with")

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
