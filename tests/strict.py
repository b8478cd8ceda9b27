"""Ranks that watch over MPI's rule for persistent collectives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from distsim.comm import Collective, Communicator


class Strict:
    """Stand-in ranks that watch over MPI's rule for persistent collectives: all ranks prepare alike.

    `MPI_Alltoallv_init` is collective: where one rank prepares anew and the others do not, all wait for ever.
    """

    def __init__(self, ranks: Communicator) -> None:
        self._ranks, self._runs = ranks, 0
        self.prepared: list[int] = []  # collectives run before each preparation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ranks, name)

    def prepare(self, *places: Any) -> _Counted:
        self.prepared.append(self._runs)
        return _Counted(self, self._ranks.prepare(*places))


@dataclass(frozen=True)
class _Counted(Collective):
    ranks: Strict
    collective: Any

    def start(self) -> None:
        self.ranks._runs += 1
        self.collective.start()

    def wait(self) -> None:
        self.collective.wait()
