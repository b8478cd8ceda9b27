"""`--set a.b.c=value`: changes to a document before it is checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distsim.config.messages import one_line, shown_path
from distsim.config.yaml_reader import KeyPath, parse_text
from distsim.errors import ConfigError, nearest

# Mappings whose keys the user chose: an override reaches into what is there.
_CHOSEN_NAMES = {("populations",), ("inputs",)}


def apply_overrides(document: dict[str, Any], overrides: Sequence[str]) -> dict[KeyPath, str]:
    """Change `document` in place; the path and text of each override.

    Each is `path=value`: keys and list indices joined by dots, and a value in YAML. Keys that are not
    in the document are put there (what has a default may be left out); the schema refuses unknown ones.

    Raises
    ------
    ConfigError
        Malformed, or a path that the document does not have.
    """
    changed: dict[KeyPath, str] = {}
    for text in overrides:
        origin = one_line(f"--set {text}")
        path_text, equals, value_text = text.partition("=")
        parts = path_text.strip().replace("[", ".").replace("]", "").split(".")
        if not equals or not all(parts):
            raise ConfigError(f"{origin}: expected path=value, such as run.seed=7")
        value = parse_text(value_text, origin)
        changed[_set(document, parts, value, origin)] = one_line(text)
    return changed


def _set(document: dict[str, Any], parts: list[str], value: Any, origin: str) -> KeyPath:
    path: list[str | int] = []
    container: Any = document
    while True:
        key, parts = _step(container, parts, path, origin)
        if not parts:
            break
        if isinstance(container, dict) and key not in container:
            if tuple(path) in _CHOSEN_NAMES:
                where = shown_path((*path, key))
                raise ConfigError(f"{origin}: {where}: not in the file; {nearest(str(key), container)}")
            container[key] = {}
        path.append(key)
        container = container[key]
    container[key] = value
    return (*path, key)


def _step(container: Any, parts: list[str], path: list[str | int], origin: str) -> tuple[str | int, list[str]]:
    """The key of `container` that `parts` begin with, and the parts after it."""
    if isinstance(container, dict):
        for end in range(len(parts), 0, -1):  # names may have dots
            key = ".".join(parts[:end])
            if key in container:
                return key, parts[end:]
        return parts[0], parts[1:]
    if isinstance(container, list):
        if not parts[0].isdecimal() or int(parts[0]) >= len(container):
            allowed = f"an index from 0 to {len(container) - 1}" if container else "nothing, the list is empty"
            raise ConfigError(f"{origin}: {shown_path(tuple(path))}: found index {parts[0]!r}; allowed: {allowed}")
        return int(parts[0]), parts[1:]
    raise ConfigError(f"{origin}: {shown_path(tuple(path))} is no mapping or list; it has no {parts[0]!r}")
