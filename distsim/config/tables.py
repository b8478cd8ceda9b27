"""Comma-separated tables with a header line: fast where they are right, exact about the line where not."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterable
from typing import Any, Literal

from distsim.config.messages import shown
from distsim.config.yaml_reader import FLOAT
from distsim.errors import ConfigError, nearest

Kind = Literal["id", "number", "name"]
MAX_ID = 2**40
NAME_BYTES = 24  # longer names take the slow road
EDGE_COLUMNS: dict[str, Kind] = {"source": "id", "target": "id", "weight": "number", "delay": "number"}
_DIGITS = re.compile(r"\+?[0-9]{1,13}")
_DTYPES = {"id": "i8", "number": "f8", "name": f"S{NAME_BYTES}"}
_EXPECTED = {"id": f"a whole number from 0 to {MAX_ID - 1}", "number": "a finite number", "name": "a name"}


def other_columns(name: str, names: Iterable[str]) -> str:
    """The end of a message about a column that is missing: the nearest, or those that are there."""
    near = nearest(name, names)
    return near if near.startswith("did you mean") else f"found {shown(', '.join(names))}"


def no_header(names: list[str]) -> str:
    """What is wrong with a first line that does not name columns; "" where it may."""
    if all(FLOAT.fullmatch(name) for name in names):
        return "found numbers; expected a header line with the names of the columns"
    if len(names) == 1 and re.search(r"[\t; ]", names[0].strip("# ")):
        return f"found {shown(names[0])}; columns are separated by commas"
    return f"found {shown(names[0])}; a header has no '#'" if names[0].startswith("#") else ""


class Table:
    """The text of a table; `columns` reads some of its columns.

    `after` gives the lines that follow, where a table is read block by block.
    """

    def __init__(self, data: bytes, origin: str) -> None:
        self.origin, self.first_line = origin, 2
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ConfigError(f"{origin}:{line}: byte 0x{data[error.start]:02x} is no valid UTF-8") from None
        header, _, self.body = text.partition("\n")
        self.names = [name.strip() for name in header.split(",")]
        if not header.strip():
            raise ConfigError(f"{origin}:1: empty; expected a header line with the names of the columns")
        twice = next((name for name in self.names if self.names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"{origin}:1: {no_header(self.names) or f'column {twice!r} stands twice in the header'}")

    def after(self, data: bytes, first_line: int) -> Table:
        """More of the same table: whole lines from `first_line` on."""
        more = Table.__new__(Table)
        more.origin, more.names, more.first_line = self.origin, self.names, first_line
        try:
            more.body = data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = first_line + data.count(b"\n", 0, error.start)
            raise ConfigError(f"{self.origin}:{line}: byte 0x{data[error.start]:02x} is no valid UTF-8") from None
        return more

    def need(self, name: str) -> None:
        """ConfigError where there is no column `name`."""
        if name not in self.names:
            way = no_header(self.names) or other_columns(name, self.names)
            raise ConfigError(f"{self.origin}:1: no column {name!r}; {way}")

    def columns(self, wanted: dict[str, Kind]) -> dict[str, Any]:
        """Arrays (lists for names) of the `wanted` columns, one entry a line that is not blank.

        Raises
        ------
        ConfigError
            A column is missing, or an entry is malformed: names the file and line.
        """
        for name in wanted:
            self.need(name)
        fast = self._fast(wanted) if self.body.strip() and self._fields_are_complete() else None
        return fast if fast is not None else self._slow(wanted)

    def line_of(self, row: int) -> int:
        """The line (from 1) of entry `row`."""
        filled = (i for i, line in enumerate(self.body.split("\n")) if line.strip())
        return next(line for k, line in enumerate(filled) if k == row) + self.first_line

    def _fields_are_complete(self) -> bool:
        import numpy as np

        data = np.frombuffer((self.body.rstrip() + "\n").encode(), dtype=np.uint8)
        ends = np.flatnonzero(data == ord("\n"))
        commas = np.diff(np.searchsorted(np.flatnonzero(data == ord(",")), ends), prepend=0)
        return bool(np.all(commas == len(self.names) - 1))

    def _fast(self, wanted: dict[str, Kind]) -> dict[str, Any] | None:
        """The columns by NumPy's reader, or None where an entry may be wrong."""
        import numpy as np

        dtype = np.dtype([(name, _DTYPES[kind]) for name, kind in wanted.items()])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                rows = np.loadtxt(
                    io.StringIO(self.body), dtype=dtype, delimiter=",", comments=None, ndmin=1,
                    usecols=[self.names.index(name) for name in wanted],
                )  # fmt: skip
        except (ValueError, OverflowError, UnicodeError, Warning):
            return None
        columns: dict[str, Any] = {}
        for name, kind in wanted.items():
            column = rows[name]
            if kind == "id" and not (column.min() >= 0 and column.max() < MAX_ID):
                return None
            if kind == "number" and not np.isfinite(column).all():
                return None
            if kind == "name":
                unique, inverse = np.unique(column, return_inverse=True)
                if any(len(entry) >= NAME_BYTES or not entry.isascii() for entry in unique.tolist()):
                    return None  # perhaps cut off, or not read as UTF-8
                texts = [entry.decode("ascii").strip() for entry in unique.tolist()]
                if not all(texts):
                    return None
                columns[name] = [texts[i] for i in inverse.tolist()]
            else:
                columns[name] = np.ascontiguousarray(column)
        return columns

    def _slow(self, wanted: dict[str, Kind]) -> dict[str, Any]:
        """The columns line by line: the definition of what is right."""
        import numpy as np

        places = [(name, kind, self.names.index(name)) for name, kind in wanted.items()]
        entries: dict[str, list[Any]] = {name: [] for name in wanted}
        for number, line in enumerate(self.body.split("\n"), start=self.first_line):
            if not line.strip():
                continue
            fields = line.split(",")
            if len(fields) != len(self.names):
                raise ConfigError(
                    f"{self.origin}:{number}: found {len(fields)} fields; expected {len(self.names)} "
                    f"({', '.join(self.names)})"
                )
            for name, kind, place in places:
                value = _entry(fields[place].strip(), kind)
                if value is None:
                    raise ConfigError(
                        f"{self.origin}:{number}: {name}: found {fields[place].strip()[:60]!r}; "
                        f"allowed: {_EXPECTED[kind]}"
                    )
                entries[name].append(value)
        dtypes = {"id": np.int64, "number": np.float64}
        return {n: entries[n] if k == "name" else np.array(entries[n], dtype=dtypes[k]) for n, k in wanted.items()}


def _entry(text: str, kind: Kind) -> int | float | str | None:
    if kind == "name":
        return text or None
    if kind == "id":
        return int(text) if _DIGITS.fullmatch(text) and int(text) < MAX_ID else None
    unsigned = FLOAT.fullmatch(text)
    return value if unsigned and math.isfinite(value := float(text)) else None


def read_column(data: bytes, origin: str, column: str) -> tuple[float, ...]:
    """The numbers of one column of a table."""
    return tuple(Table(data, origin).columns({column: "number"})[column].tolist())


def edge_columns(table: Table) -> dict[str, Kind]:
    """The columns of an edge file: source,target,weight,delay[,receptor], and no others."""
    wanted = {**EDGE_COLUMNS}
    for name in EDGE_COLUMNS:
        table.need(name)
    for name in table.names:
        if name == "receptor":
            wanted[name] = "name"
        elif name not in wanted:
            raise ConfigError(
                f"{table.origin}:1: unknown column {name!r}; {nearest(name, [*EDGE_COLUMNS, 'receptor'])}"
            )
    return wanted
