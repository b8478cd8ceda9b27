"""Lengths, points and axes of space: their names and what they may be."""

from __future__ import annotations

import math
from typing import Any

from distsim.errors import wrong

AXES = "xyz"
MAX_LENGTH = 1e9


def check_lengths(value: Any, where: str, allowed: str, dimensions: int | None = None, positive: bool = True) -> None:
    ok = isinstance(value, tuple) and 1 <= len(value) <= 3 and all(
        isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x) and abs(x) <= MAX_LENGTH
        and (x > 0.0 or not positive) for x in value
    )  # fmt: skip
    if not ok:
        raise wrong(where, list(value) if isinstance(value, tuple) else value, allowed)
    if dimensions is not None and len(value) != dimensions:
        raise wrong(where, list(value), f"{dimensions} numbers, one for each dimension")


def check_positive(value: Any, where: str) -> None:
    if not (isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 < value <= MAX_LENGTH):
        raise wrong(where, value, f"a length above 0, at most {MAX_LENGTH:g}")
