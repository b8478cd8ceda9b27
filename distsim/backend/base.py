"""The verbs that every backend has. Nothing outside this package asks which backend it talks to."""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from typing import Any

import numpy.typing as npt

# A backend's own array type: numpy.ndarray on the host, cupy.ndarray on a GPU.
Array = Any


class Module(ABC):
    """Compiled kernels."""

    @abstractmethod
    def launch(self, kernel: str, arguments: ctypes.Structure, n: int) -> None:
        """Run `kernel` on one structure of arguments, for `n` items (or groups)."""

    @abstractmethod
    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        """A host entry point with more than one argument (the loop); only where the backend has one."""


class Backend(ABC):
    """A device: memory, copies, compilation."""

    name: str
    lanes: int  # of a group: the most neurons of an update chunk

    @abstractmethod
    def check(self) -> None:
        """Raise BackendError, in one line, where what this backend needs is not there."""

    @abstractmethod
    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array: ...

    @abstractmethod
    def zeros(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array: ...

    @abstractmethod
    def to_device(self, array: npt.NDArray[Any]) -> Array: ...

    @abstractmethod
    def to_host(self, array: Array) -> npt.NDArray[Any]: ...

    @abstractmethod
    def pointer(self, array: Array) -> int:
        """Address of the array's first element, for a structure of arguments."""

    @abstractmethod
    def place(self, structure: ctypes.Structure) -> int:
        """Address of a copy of (or of) `structure` that kernels can read; it must be kept alive."""

    @abstractmethod
    def exclusive_sum(self, array: Array) -> int:
        """Replace each element by the sum of those before it; return the sum of all."""

    @abstractmethod
    def compile(self, source: str, label: str) -> Module: ...
