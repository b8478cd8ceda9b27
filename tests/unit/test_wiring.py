"""Every way to connect gives one result: digests over ranks, partitions and tiny buffers."""

from __future__ import annotations

import pytest
import support
from wiring import wired


@pytest.mark.parametrize("precision", ["single", "double"])
def test_one_result_however_it_is_laid_out(precision: str) -> None:
    """Catches a synapse whose weight, delay or target depends on the layout, as the spikes see it."""
    with support.optimised("-O1"):
        reference = support.run(wired(precision))
        assert reference.count > 1000
        for ranks, partition in ((2, "round_robin"), (3, "block"), (5, "round_robin"), (3, "populations")):
            found = support.run(wired(precision, partition), ranks, support.TINY)
            support.check_same(found, reference, f"{ranks} ranks, {partition}")
