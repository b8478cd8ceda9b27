"""The verbs that every backend has. Nothing outside this package asks which backend it talks to."""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from distsim.backend.profile import Profiler

# A backend's own array type: numpy.ndarray on the host, cupy.ndarray on a GPU.
Array = Any


class Module(ABC):
    """Compiled kernels."""

    @abstractmethod
    def launch(self, kernel: str, arguments: ctypes.Structure, n: int) -> None:
        """Run `kernel` on one structure of arguments, for `n` items (or groups)."""

    @abstractmethod
    def seconds(self, kernel: str, arguments: ctypes.Structure, n: int, times: int) -> float:
        """Seconds a launch, over `times` launches in a row on arguments that lie there already; complete on return."""


class Mirror(ABC):
    """Something that host and kernels both read and write: one place on the host, where it is one, or two.

    Attributes
    ----------
    host
        The host's side: a structure (or array of structures) or a NumPy array. Valid after `fetch`; what is
        changed here is seen by kernels launched after `store`.
    address
        The kernels' side.
    """

    host: Any
    address: int

    @abstractmethod
    def store(self) -> None:
        """Host to kernels. The host's side must not change until the next `fetch` of any mirror."""

    @abstractmethod
    def fetch(self, columns: int | None = None) -> None:
        """Kernels to host, complete on return; of a two-dimensional array only the first `columns`, where given."""


class Stepper(ABC):
    """The loop over steps, compiled: see kernels/host_loop.cpp for its invariants.

    Between `finish` and the next `start` the mirror of the loop is current on the host, and what the host
    changes there is seen by the next steps. Then no spike is pending: all are on the wheel, in the messages and
    in the records.

    Attributes
    ----------
    most_steps
        As many steps are worth a call, where no delay asks for fewer.
    collect
        Called when everything that `finish` waits for has been launched (on the host: is done): copies to the
        host that are complete when `finish` returns.
    """

    most_steps: int
    collect: Callable[[], None] | None = None

    @abstractmethod
    def start(self, last: int, complete: bool = True) -> None:
        """Begin to go on to the end of step `last`.

        Where the loop's phase is RECEIVE and the messages are not `complete` before `finish` is called, only what
        does not need them is begun.
        """

    @abstractmethod
    def finish(self) -> int:
        """Get to the end of what was started; returns the loop's status (see kernels/loop.py).

        On a status other than RUNNING a buffer has to grow or be emptied; the next call of `start` goes on
        where this one stopped.
        """

    def advance(self, last: int) -> int:
        """Start and finish."""
        self.start(last)
        return self.finish()

    @abstractmethod
    def watch(self, profiler: Profiler) -> None:
        """Tell `profiler`, from now on, what each kernel takes."""


class Messages(ABC):
    """Words that MPI sends or receives, seen from both sides.

    Attributes
    ----------
    words
        What MPI is given: uint32, one-dimensional, in memory that it can read and write.
    address
        The kernels' side.
    """

    words: Any
    address: int

    @abstractmethod
    def collector(self, source: Array, width: int) -> Callable[[], None]:
        """What copies the first `width` words of each row of the two-dimensional `source`; for `Stepper.collect`."""

    @abstractmethod
    def store(self) -> None:
        """What MPI received is seen by kernels launched after this."""

    @abstractmethod
    def read(self) -> npt.NDArray[Any]:
        """A copy of the words for the host."""

    @abstractmethod
    def write(self, words: npt.NDArray[Any]) -> None:
        """Put `words` in place of all, as if MPI had received them."""


class Later(ABC):
    """A copy to the host that is under way while kernels go on."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether `take` would not wait."""

    @abstractmethod
    def take(self) -> list[npt.NDArray[Any]]:
        """The arrays; waits for them."""


class Backend(ABC):
    """A device: memory, copies, compilation."""

    name: str
    lanes: int  # of a group: the most neurons of an update chunk
    runs_beside: bool  # kernels run while the host does something else
    lists_input: bool  # input for later steps is listed by step before it is added: see kernels/ring.h

    @abstractmethod
    def check(self) -> None:
        """Raise BackendError, in one line, where what this backend needs is not there."""

    @abstractmethod
    def assign(self, local_rank: int) -> str:
        """Take the device for the `local_rank`-th rank of this machine, before anything is allocated.

        Returns what tells the device from all others, or "" where ranks do not share one.
        """

    @abstractmethod
    def describe(self) -> str:
        """The backend and its device in words."""

    @abstractmethod
    def peak_bandwidth(self) -> float | None:
        """Bytes a second between the device and its memory, as the device tells it; None where it does not."""

    @abstractmethod
    def cache_bytes(self) -> int:
        """Size of the largest cache; 0 where it is not known."""

    @abstractmethod
    def memory_bytes(self) -> int:
        """The most memory taken so far, besides the process's own."""

    @abstractmethod
    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array: ...

    @abstractmethod
    def zeros(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array: ...

    @abstractmethod
    def to_device(self, array: npt.NDArray[Any]) -> Array: ...

    @abstractmethod
    def copy_into(self, array: Array, content: npt.NDArray[Any]) -> None:
        """Overwrite all of a device array from the host; complete on return."""

    @abstractmethod
    def to_host(self, array: Array) -> npt.NDArray[Any]: ...

    @abstractmethod
    def pointer(self, array: Array) -> int:
        """Address of the array's first element, for a structure of arguments."""

    @abstractmethod
    def mirror(self, content: Any) -> Mirror:
        """A mirror of a structure, an array of structures or a NumPy array; its contents are stored already."""

    @abstractmethod
    def profiler(self) -> Profiler:
        """A profiler that measures, for the device that `assign` took."""

    @abstractmethod
    def messages(self, words: int, direct: bool) -> Messages:
        """Room for so many words. `direct`: MPI is given the device's memory, where the device has its own."""

    @abstractmethod
    def fetch_later(self, arrays: Sequence[Array]) -> Later:
        """Begin to copy to the host; the arrays must not change until the copy was taken."""

    @abstractmethod
    def available_bytes(self, local_rank: int) -> tuple[int, int] | None:
        """(bytes free, devices on this machine) of the device that `assign` would take.

        None where the network lies in the host's own memory.
        """

    @abstractmethod
    def release(self) -> None:
        """Give back the memory that construction took and nobody holds any more."""

    @abstractmethod
    def exclusive_sum(self, array: Array) -> int:
        """Replace each element by the sum of those before it; return the sum of all."""

    @abstractmethod
    def compile(self, source: str, label: str) -> Module: ...

    @abstractmethod
    def stepper(self, module: Module, loop: Mirror, groups: Sequence[tuple[str, Mirror]]) -> Stepper:
        """The loop over steps of a mirrored Loop, all of whose arrays are set.

        Parameters
        ----------
        groups
            Name of each group's model, in the order of the source, and its mirrored arguments.
        """
