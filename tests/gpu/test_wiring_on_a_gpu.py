"""What a GPU connects is what the host connects: every kernel of construction."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import support
from procedural import drawn
from strict import Strict
from wiring import placed, wired

from distsim.backend import open_backend
from distsim.comm import Serial, Threads


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("described", [wired, placed])
def test_every_way_to_connect(described: Any, ranks: int, precision: Any) -> None:
    """Catches a lane that places another's synapse, and draws that the two compilers see differently."""

    tuning = dataclasses.replace(support.TINY, delivery="ring" if ranks == 1 else "wheel")

    def share(comm: Any) -> support.Share:
        return support.run_share(comm, described(precision), tuning, backend=open_backend("cuda"))

    shares = [share(Serial())] if ranks == 1 else Threads.run(ranks, lambda comm: share(Strict(comm)))
    support.check_same(support.put_together(shares), support.run(described(precision)), f"{ranks} ranks")


def test_rows_that_are_drawn_again() -> None:
    """Catches a row whose lanes draw a node twice or not at all, and a target that another population has."""
    with support.optimised("-O1"):
        shares = Threads.run(2, lambda comm: support.run_share(comm, drawn("procedural"), backend=open_backend("cuda")))
        support.check_same(support.put_together(shares), support.run(drawn("stored")), "2 ranks")
