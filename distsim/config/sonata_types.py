"""SONATA's tables of node types and edge types: separated by blanks, one line a type."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

from distsim.errors import ConfigError, nearest

MISSING = ("", "NULL", "null", "NaN", "nan", "None")


@dataclass(frozen=True)
class TypeTable:
    """Properties by type.

    Attributes
    ----------
    origin
        The file, for messages.
    rows
        Type id → column → text; columns without a value are left out.
    lines
        Type id → line of the file.
    """

    origin: str
    rows: Mapping[int, Mapping[str, str]]
    lines: Mapping[int, int]

    def row(self, type_id: int) -> Mapping[str, str]:
        """The properties of a type.

        Raises
        ------
        ConfigError
            There is no such type.
        """
        if type_id not in self.rows:
            known = nearest(str(type_id), map(str, self.rows))
            raise ConfigError(f"{self.origin}: no type {type_id}, which the data name; {known}")
        return self.rows[type_id]

    def place(self, type_id: int) -> str:
        """Where a type stands, for messages."""
        return f"{self.origin}:{self.lines[type_id]}" if type_id in self.lines else self.origin

    def number(self, type_id: int, name: str) -> float | None:
        """A property that is a number; None where it has no value."""
        found = self.row(type_id).get(name)
        if found is None:
            return None
        try:
            value = float(found)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ConfigError(f"{self.place(type_id)}: {name}: found {found[:60]!r}; allowed: a finite number")
        return value


def read_types(data: bytes, origin: str, key: str) -> TypeTable:
    """The table of types in the bytes of a file; `key` is node_type_id or edge_type_id.

    Raises
    ------
    ConfigError
        It is malformed: names the line.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{origin}:{line}: byte 0x{data[error.start]:02x} is no valid UTF-8") from None
    reader = csv.reader(io.StringIO(text), delimiter=" ", skipinitialspace=True)
    rows: dict[int, Mapping[str, str]] = {}
    lines: dict[int, int] = {}
    header: list[str] | None = None
    try:
        for fields in reader:
            while fields and not fields[-1]:
                fields.pop()
            if not fields:
                continue
            if header is None:
                header = fields
                if key not in header:
                    raise ConfigError(f"{origin}:1: no column {key!r}; {nearest(key, header)}")
                continue
            if len(fields) > len(header):
                raise ConfigError(
                    f"{origin}:{reader.line_num}: found {len(fields)} fields; expected {len(header)} "
                    f"({', '.join(header)})"
                )
            values = dict(zip(header, fields, strict=False))
            if not values.get(key, "").isdecimal() or len(values[key]) > 18:
                found = values.get(key, "")[:60]
                raise ConfigError(f"{origin}:{reader.line_num}: {key}: found {found!r}; allowed: a whole number")
            type_id = int(values.pop(key))
            if type_id in rows:
                raise ConfigError(f"{origin}:{reader.line_num}: {key} {type_id} stands twice")
            rows[type_id] = {name: value for name, value in values.items() if value not in MISSING}
            lines[type_id] = reader.line_num
    except csv.Error as error:
        raise ConfigError(f"{origin}:{reader.line_num}: not readable as a table ({error})") from None
    if header is None:
        raise ConfigError(f"{origin}:1: empty; expected a header line with the names of the columns")
    return TypeTable(origin, rows, lines)
