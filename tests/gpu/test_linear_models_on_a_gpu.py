"""The linear models: what a GPU computes is what the host computes."""

from __future__ import annotations

from typing import Any

import pytest
import support
from linear_models import everything
from test_same_on_a_gpu import on_gpu


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("ranks", [1, 2])
def test_every_linear_model(ranks: int, precision: Any) -> None:
    experiment = everything(precision, 60.0)
    support.check_same(on_gpu(experiment, ranks), support.run(experiment), f"{ranks} ranks")
