"""`summary.json` and other small JSON results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distsim.errors import ResultError
from distsim.io.files import writing

SUMMARY_FILE = "summary.json"


def write_json(path: Path | str, content: Mapping[str, Any]) -> None:
    """Write `content` to `path` atomically; keys keep their order, NaN and infinity become null.

    NumPy scalars and arrays are written as numbers and lists.
    """
    text = json.dumps(_plain(content), indent=2, allow_nan=False, ensure_ascii=False)
    with writing(Path(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path | str) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises
    ------
    ResultError
        The file is missing or holds no JSON object.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise ResultError(f"{path}: found {type(content).__name__}; allowed: a JSON object")
    return content


def _plain(value: Any) -> Any:
    """`value` in the types of JSON."""
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
