"""Writes a document as YAML that the strict reader reads back as the same document."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from distsim.config.yaml_reader import plain_scalar
from distsim.errors import ResultError

_TAGS = {bool: "bool", int: "int", float: "float", type(None): "null"}


class _StrictDumper(yaml.SafeDumper):
    """Writes no aliases, and quotes every text that any reader could take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        if kind is not yaml.ScalarNode or not implicit[0]:
            return tag
        try:
            ours = _TAGS.get(type(plain_scalar(value)))
        except ValueError:  # an octal-like number
            ours = "refused"
        return f"tag:yaml.org,2002:{ours}" if ours else tag


def dump_document(document: dict[str, Any]) -> str:
    """`document` (text, numbers, booleans, lists and mappings) as YAML, keys in their order."""
    return yaml.dump(
        document, Dumper=_StrictDumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )


def write_document(document: dict[str, Any], path: Path) -> None:
    """Write `document` to `path` under a temporary name, then rename it: nothing is ever half-written.

    Raises
    ------
    ResultError
        The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            temporary.write_text(dump_document(document), encoding="utf-8", newline="\n")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ResultError(f"{path}: cannot be written: {error.strerror or error}") from None
