"""Nonlinear and stochastic models: a GPU computes what the host computes."""

from __future__ import annotations

from typing import Any

import other_models
import pytest
import support

from distsim.backend import open_backend
from distsim.comm import Serial


@pytest.mark.parametrize("precision", ["single", "double"])
def test_every_model_and_every_recordable(precision: Any) -> None:
    """Own functions, draws, sub-steps and probes of all models of one network."""
    experiment = other_models.mixed(precision, 20.0)
    with support.optimised("-O1"):  # of the host
        found = support.put_together([support.run_share(Serial(), experiment, backend=open_backend("cuda"))])
        support.check_same(found, support.run(experiment))
