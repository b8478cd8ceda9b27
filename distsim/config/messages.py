"""From errors of the schema and of the description to one line that names the key as the user wrote it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from distsim.config.yaml_reader import KeyPath
from distsim.errors import ConfigError, nearest, with_advice
from distsim.nest_names import instead_of_key

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_ALLOWED = {
    "int_type": "a whole number (without point, exponent or quotes)",
    "int_from_float": "a whole number (without point, exponent or quotes)",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text (numbers as names in quotes)",
    "list_type": "a list",
    "dict_type": "a mapping {key: value, …}",
    "model_type": "a mapping {key: value, …}",
}
_WHERE_NAMES_ARE_ALLOWED = {"source", "target", "targets"}


@dataclass(frozen=True)
class Source:
    """What the user wrote: the document, and where each key of it stands."""

    origin: str
    document: Mapping[str, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    overridden: Mapping[KeyPath, str] = field(default_factory=dict)  # path → the text after --set

    def place(self, message: str) -> ConfigError:
        """`message` (which begins with a key's path) with file and line in front, as one line."""
        path, rest = self._written(message)
        place = self._place(path)
        if not path and "network" in self.document and re.match(r"(space|populations|projections|inputs)\b", message):
            rest = f"network.builder: {rest}"
        return ConfigError(one_line(f"{place}: {shown_path(path)}{rest}"))

    def _place(self, path: KeyPath) -> str:
        """The override that set `path`, or the line of the file where it stands."""
        for changed, text in self.overridden.items():
            added_with_it = path not in self.lines and changed[: len(path)] == path != ()
            if path[: len(changed)] == changed or added_with_it:
                return f"--set {text}"
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return f"{self.origin}:{self.lines[path[:end]]}"
        return self.origin

    def _written(self, message: str) -> tuple[KeyPath, str]:
        """The path at the start of `message` as far as it was written, and the rest of the message."""
        path: list[str | int] = []
        value: Any = self.document
        rest = message
        while True:
            tail = rest[1:] if path and rest.startswith(".") else rest
            if isinstance(value, dict) and (rest is not tail or not path):
                keys = [key for key in value if re.match(re.escape(key) + r"(?=[.:\[ ]|$)", tail)]
                if not keys:
                    return tuple(path), rest
                key = max(keys, key=len)
                value, rest = value[key], tail[len(key) :]
                path.append(key)
            elif isinstance(value, list) and (found := re.match(r"\[(\d+)\]", rest)) and int(found[1]) < len(value):
                value, rest = value[int(found[1])], rest[found.end() :]
                path.append(int(found[1]))
            else:
                break
        # A short form was written: {fixed_indegree: 10} has no key `indegree`.
        if rest.startswith(".") and ": " in rest:
            rest = rest[rest.index(": ") :]
        return tuple(path), rest


def one_line(message: str) -> str:
    """`message` with every line break and control character escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)


def shown_path(path: KeyPath) -> str:
    """`path` as in projections[0].rule."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: Any) -> str:
    """`value` as it stands in YAML, shortened."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list) and len(value) > 20:
        text = f"a list of {len(value)}"
    else:
        text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def validation_message(error: ValidationError, document: Mapping[str, Any]) -> str:
    """The first of pydantic's errors as one line, and how many more there are."""
    details = error.errors(include_url=False)
    more = len(details) - 1 + sum(d.get("ctx", {}).get("more", 0) for d in details)
    return _detail(details[0], document) + (f" (and {more} more)" if more else "")


def _detail(detail: ErrorDetails, document: Mapping[str, Any]) -> str:
    path = _path(detail["loc"], document, missing=detail["type"] == "missing")
    kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        similar = difflib.get_close_matches(str(path[-1]), found, n=1, cutoff=0.8) if isinstance(found, dict) else []
        way = f"found {similar[0]!r} in its place" if similar else "it has no default"
        return f"{shown_path(path)}: missing; {way}"
    if kind == "unknown_key":
        key = context["key"]
        section, valid = str(path[0]) if path else "", context["valid"]
        way = _elsewhere(path, key, found) or instead_of_key(section, key, valid) or nearest(key, valid)
        return f"{shown_path((*path, key))}: unknown key {key!r}; {way}"
    if kind == "form":
        return _form(shown_path(path), found, detail["msg"])
    if kind == "literal_error" and isinstance(found, str):
        names = re.findall(r"'([^']*)'", context["expected"])
        return f"{shown_path(path)}: found {found!r}; allowed: {', '.join(names)}"
    allowed = _ALLOWED.get(kind, detail["msg"])
    if kind == "literal_error":
        allowed = context["expected"].replace("'", "")
    if kind == "list_type" and path[-1:] and path[-1] in _WHERE_NAMES_ARE_ALLOWED:
        allowed = "the name of a population, or a list of names"
    return f"{shown_path(path) or 'the file'}: found {shown(found)}; allowed: {with_advice(found, allowed)}"


def _elsewhere(path: KeyPath, key: str, mapping: Any) -> str:
    """Where a key belongs that stands one level too high; "" where nowhere."""
    from distsim.config.schema import RunSpec
    from distsim.models import MODELS, Family

    if not path and key in RunSpec.model_fields:
        return f"it stands under run: run.{key}"
    declared = MODELS.get(str(mapping.get("model"))) if len(path) == 2 and path[0] == "populations" else None
    if declared is None:
        return ""
    model = declared.example if isinstance(declared, Family) else declared
    for section, names in (("params", (p.name for p in model.parameters)), ("initial", model.settable)):
        if key in names:
            return f"it stands under {section}: {shown_path((*path, section, key))}"
    return ""


def _form(where: str, found: Any, form: str) -> str:
    """A value in none of the forms that its key takes."""
    from distsim.config.schema_values import FORMS

    allowed, keys = FORMS[form]
    if isinstance(found, dict) and found:
        several = [key for key in found if key in keys]
        if len(several) > 1:
            return f"{where}: found {' and '.join(several)}; allowed: one of them"
        key = next(iter(found))
        if key == "constant":  # NEST's word
            return f"{where}.constant: found {shown(found[key])}; allowed: the number by itself, without a key"
        return f"{where}.{key}: unknown key {key!r}; {nearest(key, keys)}"
    if form == "rule" and isinstance(found, str):
        if found in keys:
            return f"{where}: found {found!r}; allowed: {{{found}: …}} with its arguments"
        return f"{where}: unknown rule {found!r}; {nearest(found, keys)}"
    return f"{where}: found {shown(found)}; allowed: {with_advice(found, allowed)}"


def _path(location: tuple[str | int, ...], document: Mapping[str, Any], missing: bool) -> KeyPath:
    """`location` without the parts that the user did not write: tags, and keys that a short form implies."""
    path: list[str | int] = []
    value: Any = document
    for part in location[:-1] if missing else location:
        within = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if within or (isinstance(value, dict) and part in value):
            value = value[part]
            path.append(part)
    return (*path, location[-1]) if missing else tuple(path)
