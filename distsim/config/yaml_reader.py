"""Strict YAML: text to dictionaries, lists, numbers and strings, or one line that says where and why not.

PyYAML's own `SafeLoader` scans and parses; what its events mean is decided here, without recursion and
with the plain scalars of YAML 1.2: no tags, anchors, merge keys, octal or sexagesimal numbers, dates,
yes/no booleans, duplicate keys or second documents.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from distsim.errors import ConfigError

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 64
MAX_NUMBER_CHARACTERS = 400

INTEGER = re.compile(r"[-+]?[0-9]+")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
INFINITY = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
NAN = re.compile(r"\.(?:nan|NaN|NAN)")
OCTAL_LIKE = re.compile(r"[-+]?0[0-9]+")
CONSTANTS: dict[str, bool | None] = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    "null": None, "Null": None, "NULL": None, "~": None, "": None,
}  # fmt: skip
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_MISSING_SPACE = re.compile(r"[A-Za-z_]\w*:\S+")

KeyPath = tuple["str | int", ...]  # keys and list indices from the root on
Lines = dict[KeyPath, int]


def read_document(path: Path, lines: Lines | None = None) -> dict[str, Any]:
    """The mapping at the root of the YAML file `path`.

    Parameters
    ----------
    path
        The file; at most 16 MiB of UTF-8, nested at most 64 deep.
    lines
        Filled with the line (from 1) of every key and list item, where given.

    Raises
    ------
    ConfigError
        The file is missing, unreadable, no strict YAML, or holds no mapping.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file{_near(path)}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory; expected a YAML file") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES >> 20} MiB; keep long lists in {{file: F, column: C}}")
    document = parse_bytes(data, str(path), lines)
    if not isinstance(document, dict):
        found = "empty" if document is None else f"a {type(document).__name__}"
        raise ConfigError(f"{path}: found {found} at the root; expected a mapping with run, populations, …")
    return document


def _near(path: Path) -> str:
    """The end of a message about a missing file: the one beside it that was meant, where there is one."""
    try:
        beside = {p.stem: p.name for p in islice(path.parent.iterdir(), 1000) if p.suffix in (".yaml", ".yml", ".json")}
    except OSError:
        return ""
    close = get_close_matches(path.stem, beside, n=1, cutoff=0.75)
    return f"; did you mean {beside[close[0]]!r}?" if close else ""


def parse_bytes(data: bytes, origin: str, lines: Lines | None = None) -> Any:
    """The one YAML document in `data`; `origin` names it in errors."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise ConfigError(
            f"{origin}:{line}:{column}: byte 0x{data[error.start]:02x} is no valid UTF-8; save the file as UTF-8"
        ) from None
    return parse_text(text, origin, lines)


def parse_text(text: str, origin: str, lines: Lines | None = None) -> Any:
    """The one YAML document in `text`; `origin` names it in errors."""
    try:
        loader = yaml.SafeLoader(text)
        return _Composer(origin, lines).compose(loader)
    except yaml.reader.ReaderError as error:
        line, column = text.count("\n", 0, error.position) + 1, error.position - text.rfind("\n", 0, error.position)
        raise ConfigError(
            f"{origin}:{line}:{column}: character {chr(int(error.character))!r} is not allowed in YAML"
        ) from None
    except yaml.MarkedYAMLError as error:
        _malformed(origin, error)


def plain_scalar(text: str) -> bool | int | float | str | None:
    """What an unquoted scalar means; ValueError with advice where it must be written differently."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if not FLOAT.fullmatch(text):
        if INFINITY.fullmatch(text):
            return float("-inf") if text[0] == "-" else float("inf")
        return float("nan") if NAN.fullmatch(text) else text
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise ValueError(f"a number of {len(text)} characters; at most {MAX_NUMBER_CHARACTERS}")
    if OCTAL_LIKE.fullmatch(text):
        decimal = str(int(text))
        raise ValueError(f"found {text}, octal or decimal?; write {decimal} for the number or '{text}' for the text")
    if INTEGER.fullmatch(text):
        number = int(text)
        if abs(number) >= 2**1023:
            raise ValueError("found a whole number beyond 2^1023")
        return number
    return float(text)


# What the parser says, and what it mostly comes from.
_WAYS = {
    "expected <block end>": "this line is indented unlike those that it belongs to",
    "mapping values are not allowed": "indented too far, a colon missing before, or a text with ': ' without quotes",
    "could not find expected ':'": "a key needs a colon and a space after it",
    "expected ',' or": "a comma, } or ] is missing before",
}


def _malformed(origin: str, error: yaml.MarkedYAMLError) -> NoReturn:
    mark: Any = error.problem_mark or error.context_mark
    place = f"{origin}:{mark.line + 1}:{mark.column + 1}" if mark else origin
    problem = error.problem or "malformed"
    if "'\\t'" in problem:
        raise ConfigError(f"{place}: found a tab; indent and separate with spaces") from None
    if "undefined alias" in problem or "anchor" in problem:
        raise ConfigError(f"{place}: {problem}; anchors and aliases are not allowed") from None
    start: Any = error.context_mark
    since = f" ({error.context} from line {start.line + 1})" if start else ""
    way = next((f"; {way}" for said, way in _WAYS.items() if said in problem), "")
    raise ConfigError(f"{place}: not valid YAML: {problem}{since}{way}") from None


class _Composer:
    """Builds one document from parser events with a stack of its own, so that no depth recurses."""

    def __init__(self, origin: str, lines: Lines | None) -> None:
        self.origin = origin
        self.lines = lines
        self.root: Any = None
        self.containers: list[dict[str, Any] | list[Any]] = []
        self.keys: list[str | None] = []  # the key that waits for its value, per open container
        self.path: list[str | int] = []  # where each open container but the root lies

    def compose(self, loader: yaml.SafeLoader) -> Any:
        documents = 0
        while loader.check_event():
            event = loader.get_event()  # type: ignore[no-untyped-call]
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, "a second document; one file is one experiment")
                if event.tags:
                    self._refuse(event, "a %TAG directive; tags are not allowed")
            elif isinstance(event, DocumentEndEvent):
                continue
            elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
                self._open(event)
            elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
                self.containers.pop()
                self.keys.pop()
                if self.path:
                    self.path.pop()
            elif isinstance(event, AliasEvent):
                self._refuse(event, f"alias *{event.anchor}; anchors and aliases are not allowed, repeat the value")
            elif isinstance(event, ScalarEvent):
                self._scalar(event)
        return self.root

    def _open(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        self._plain(event)
        if len(self.containers) >= MAX_DEPTH:
            self._refuse(event, f"nested deeper than {MAX_DEPTH}")
        container: dict[str, Any] | list[Any] = {} if isinstance(event, MappingStartEvent) else []
        if self.containers:
            if isinstance(self.containers[-1], dict) and self.keys[-1] is None:
                self._refuse(event, "a list or mapping as a key; keys are text")
            self.path.append(self._place(container, event))
        else:
            self.root = container
        self.containers.append(container)
        self.keys.append(None)

    def _scalar(self, event: ScalarEvent) -> None:
        self._plain(event)
        value: Any = event.value
        if event.implicit[0]:
            try:
                value = plain_scalar(event.value)
            except ValueError as error:
                self._refuse(event, str(error))
        elif bad := _UNPRINTABLE.search(event.value):
            self._refuse(event, f"character {bad.group()!r} in a text; it cannot be used")
        if not self.containers:
            self.root = value
        elif isinstance(self.containers[-1], dict) and self.keys[-1] is None:
            self._key(value, event)
        else:
            self._place(value, event)

    def _key(self, key: Any, event: Any) -> None:
        mapping = self.containers[-1]
        if not isinstance(key, str):
            self._refuse(event, f"key {event.value or 'null'} is no text; write '{event.value}' in quotes")
        if key == "<<" and event.implicit[0]:
            self._refuse(event, "merge key <<; merging is not allowed, repeat the keys")
        if key in mapping:
            self._refuse(event, f"duplicate key {key!r}; each key stands once")
        self.keys[-1] = key
        if self.lines is not None:
            self.lines[(*self.path, key)] = event.start_mark.line + 1

    def _place(self, value: Any, event: Any) -> str | int:
        container = self.containers[-1]
        if isinstance(container, list):
            container.append(value)
            index = len(container) - 1
            if self.lines is not None:
                self.lines[(*self.path, index)] = event.start_mark.line + 1
            return index
        key = self.keys[-1]
        assert key is not None
        if value is None and isinstance(event, ScalarEvent) and not event.value and _MISSING_SPACE.fullmatch(key):
            self._refuse(event, f"found {key!r}; write a space after the colon: {key.replace(':', ': ', 1)!r}")
        container[key] = value
        self.keys[-1] = None
        return key

    def _plain(self, event: Any) -> None:
        if event.anchor is not None:
            self._refuse(event, f"anchor &{event.anchor}; anchors and aliases are not allowed")
        if event.tag is not None:
            self._refuse(event, f"tag {event.tag}; tags are not allowed")

    def _refuse(self, event: Any, problem: str) -> NoReturn:
        mark = event.start_mark
        raise ConfigError(f"{self.origin}:{mark.line + 1}:{mark.column + 1}: {problem}")
