"""Nonlinear and stochastic models in one network: one result on any number of ranks."""

from __future__ import annotations

import functools
from typing import Any

import other_models
import pytest
import support


@functools.cache
def reference(precision: Any) -> support.Outcome:
    with support.optimised("-O1"):
        return support.run(other_models.mixed(precision))


@pytest.mark.parametrize(("ranks", "precision"), [(2, "single"), (3, "single"), (3, "double")])
def test_one_result_on_any_number_of_ranks(ranks: int, precision: Any) -> None:
    """Spikes, digest and every recordable of every neuron: a draw or an input that depends on the partition shows."""
    assert min(reference(precision).counts) > 10  # every population takes part
    with support.optimised("-O1"):
        found = support.run(other_models.mixed(precision), ranks)
    support.check_same(found, reference(precision), f"{ranks} ranks")
