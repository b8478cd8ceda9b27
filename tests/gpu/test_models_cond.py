"""Conductance based and adaptive exponential neurons: the same bits on a GPU, the careful second look included."""

from __future__ import annotations

import pytest
import support
from conductances import mixed

from distsim.backend import open_backend
from distsim.comm import Serial


@pytest.mark.parametrize("precision", ["single", "double"])
def test_same_as_on_the_host(precision: str) -> None:
    """A lane that takes the careful look where another does not, contraction in an upstroke, an input cleared early."""
    experiment = mixed(precision)
    found = support.put_together([support.run_share(Serial(), experiment, None, (), open_backend("cuda"))])
    support.check_same(found, support.run(experiment))
