"""Tests on a real device; without one they are skipped, or fail where DISTSIM_REQUIRE_GPU=1 (see tests/conftest.py).

`pytest -p standin_gpu tests/gpu` runs them on the stand-in, to try the tests themselves; `-p standin_simt` with kernels
as NVRTC sees them, on threads, warps and lanes of the host (minutes; see tests/standin_simt.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test in this folder needs a device."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)
