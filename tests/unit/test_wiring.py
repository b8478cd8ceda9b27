"""Every way to connect gives one result: digests over ranks, partitions and tiny buffers."""

from __future__ import annotations

from typing import Any

import pytest
import support
from wiring import placed, wired

from distsim import simulate


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("described", [wired, placed])
def test_one_result_however_it_is_laid_out(described: Any, precision: str) -> None:
    """Catches a synapse whose weight, delay or target depends on the layout, as the spikes see it."""
    with support.optimised("-O1"):
        reference = support.run(described(precision))
        assert reference.count > 500
        for ranks, partition in ((2, "round_robin"), (3, "block"), (5, "round_robin"), (3, "populations")):
            found = support.run(described(precision, partition), ranks, support.TINY)
            support.check_same(found, reference, f"{ranks} ranks, {partition}")


def test_the_summary_tells_the_error_of_a_resolution() -> None:
    """Catches an error left out, at another projection, or plain rounding's (5 % with 4 bits)."""
    network = wired().network
    found = simulate(network, duration=1.0).summary["weight_error"]
    assert [e is not None for e in found] == [True, True] + [False] * 10
    assert all(e["mean"] < 2e-3 and e["variance"] < 0.02 for e in found[:2])
    network.projections[:2] = []
    assert "weight_error" not in simulate(network, duration=1.0).summary
