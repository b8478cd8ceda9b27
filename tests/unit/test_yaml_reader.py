"""The strict YAML reader, and the writer that must agree with it."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from distsim.config.yaml_reader import MAX_BYTES, MAX_DEPTH, parse_bytes, parse_text, read_document
from distsim.config.yaml_writer import dump_document, write_document
from distsim.errors import ConfigError, ResultError

SCALARS: list[tuple[str, Any]] = [
    ("true", True), ("False", False), ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"),
    ("null", None), ("~", None), ("", None), ("nul", "nul"),
    ("0", 0), ("-0", 0), ("+7", 7), ("-12", -12), ("1_000", "1_000"), ("0x1F", "0x1F"), ("0o17", "0o17"),
    ("1e-3", 1e-3), ("1.0e3", 1000.0), ("1E5", 1e5), (".5", 0.5), ("5.", 5.0), ("-.5e+1", -5.0), ("00.5", 0.5),
    ("1:30", "1:30"), ("1:30.5", "1:30.5"), ("2024-01-01", "2024-01-01"), ("1,5", "1,5"),
    ("inf", "inf"), ("nan", "nan"),
    ("=", "="), ("'12'", "12"), ('"true"', "true"), ("e5", "e5"), (".", "."), ("1e", "1e"), ("٣", "٣"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), SCALARS)
def test_plain_scalars_mean_what_yaml_1_2_says(text: str, expected: object) -> None:
    value = parse_text(f"key: {text}\n", "t")["key"]
    assert value == expected and type(value) is type(expected)


def test_infinity_and_nan_are_numbers() -> None:
    assert parse_text("[.inf, -.inf, +.INF]", "t") == [math.inf, -math.inf, math.inf]
    assert math.isnan(parse_text(".nan", "t"))


REFUSED = [
    ("a: 010\n", "t:1:4", "write 10 "),
    ("a: -007\n", "t:1:4", "write -7 "),
    ("a: 1\nb: {c: 2, c: 3}\n", "t:2:11", "duplicate key 'c'"),
    ("a: 1\na: 2\n", "t:2:1", "duplicate key 'a'"),
    ("a: !!int 3\n", "t:1:4", "tag"),
    ("a: !!python/object/apply:os.system [ls]\n", "t:1:4", "tag"),
    ("a: !mine 3\n", "t:1:4", "tag"),
    ("! a: 3\n", "t:1:1", "tag"),
    ("%TAG ! tag:example.com,2000:\n---\na: 1\n", "t", "TAG"),
    ("a: &x 1\nb: *x\n", "t:1:4", "anchor &x"),
    ("a: &x {b: 1}\n", "t:1:4", "anchor &x"),
    ("b: *x\n", "t:1:4", "alias *x"),
    ("a: {b: 1}\n<<: {c: 1}\n", "t:2:1", "merge key"),
    ("a: 1\n---\nb: 2\n", "t:2:1", "second document"),
    ("a:\n\tb: 1\n", "t:2:1", "tab"),
    ("a:\tb\n", "t:1:3", "tab"),
    ("a: [1, 2\n", "t:2:1", "not valid YAML"),
    ("a: {b: 1\n", "t:2:1", "not valid YAML"),
    ("a: b: c\n", "t:1:5", "a text with ': ' without quotes"),
    ("a: 'open\n", "t:2:1", "not valid YAML"),
    ("a:\n  b: 1\n c: 2\n", "t:3:2", "indented unlike"),
    ("1: a\n", "t:1:1", "write '1' in quotes"),
    ("true: a\n", "t:1:1", "in quotes"),
    ("? [a, b]\n: c\n", "t:1:3", "keys are text"),
    ("{a:1}\n", "t:1:5", "space after the colon"),
    ("a: \x00\n", "t:1:4", "not allowed"),
    ('a: "\\0"\n', "t:1:4", "cannot be used"),
    ('a: "\\ud800"\n', "t:1:4", "cannot be used"),
    ("a: " + "9" * 5000, "t:1:4", "5000 characters"),
    ("a: " + "9" * 390, "t:1:4", "2^1023"),
    ("[" * 100_000, "t:1:65", f"nested deeper than {MAX_DEPTH}"),
    ("- " * 5000, "t:1:129", "nested deeper"),
    ("{a: " * 5000, "t:1:257", "nested deeper"),
]


@pytest.mark.parametrize(("text", "place", "problem"), REFUSED, ids=[repr(r[0][:30]) for r in REFUSED])
def test_what_is_not_strict_is_refused_in_one_line(text: str, place: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_text(text, "t")
    message = str(caught.value)
    assert message.startswith(place) and problem in message and "\n" not in message


def test_an_alias_bomb_ends_at_its_first_anchor() -> None:
    names = "abcdefghijklmnop"
    bomb = "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{m}, *{m}]\n" for m, n in pairwise(names))
    with pytest.raises(ConfigError, match=r"^t:1:4: anchor"):
        parse_text(bomb, "t")


def test_deepest_nesting_allowed() -> None:
    assert parse_text("[" * MAX_DEPTH + "]" * MAX_DEPTH, "t")


def test_invalid_utf8_names_line_and_column() -> None:
    with pytest.raises(ConfigError, match=r"^t:2:4: byte 0xff"):
        parse_bytes(b"a: 1\nb: \xff\n", "t")
    assert parse_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "t") == {"a": 1, "b": 2}
    with pytest.raises(ConfigError, match="UTF-8"):
        parse_bytes("a: 1".encode("utf-16"), "t")


def test_lines_of_keys_and_items() -> None:
    lines: dict[tuple[str | int, ...], int] = {}
    parse_text("a:\n  - 1\n  - {b: 2,\n     c: 3}\nd: 4\n", "t", lines)
    assert lines == {("a",): 1, ("a", 0): 2, ("a", 1): 3, ("a", 1, "b"): 3, ("a", 1, "c"): 4, ("d",): 5}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty"), (b"# only a comment\n", "empty"), (b"- 1\n", "a list"), (b"text\n", "a str"),
        (b"#" * (MAX_BYTES + 1), "larger than 16 MiB"), (b"\x00", "not allowed"),
    ],
)  # fmt: skip
def test_the_root_is_a_mapping(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "e.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=problem) as caught:
        read_document(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    missing, odd = tmp_path / "no.yaml", Path("a\0b")
    for path, problem in ((missing, "no such file"), (tmp_path, "directory"), (odd, "cannot be read")):
        with pytest.raises(ConfigError, match=problem):
            read_document(path)


def test_a_missing_file_has_a_near_one(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").touch()
    for name, said in (("smal.yaml", "did you mean 'small.yaml'"), ("small.yml", "you mean"), ("big.yaml", "file$")):
        with pytest.raises(ConfigError, match=said):
            read_document(tmp_path / name)


def test_pyyaml_itself_is_left_as_it_was() -> None:
    parse_text("a: yes", "t")
    dump_document({"a": "yes"})
    assert yaml.safe_load("a: yes\nb: 010") == {"a": True, "b": 8}
    assert yaml.safe_dump({"a": "1e3"}) == "a: 1e3\n"


TEXTS = [
    "1e3", "010", "007", "1", ".5", "1:30", "yes", "on", "null", "~", "", "true", ".inf", ".nan", "2024-01-01", "0x1F",
    "1_000", "a: b", "# x", "- x", "x\ty", "ä€😀", " padded ", "<<", "=", "*a", "&a", "!t", "a:b", "new\nline", "%x",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_written_so_that_it_is_read_as_the_same_text(text: str) -> None:
    document = {"k": text, "l": [text], f"k{text}": 1, text: 2}
    assert parse_text(dump_document(document), "t") == document


def test_numbers_are_written_without_loss() -> None:
    numbers = [0.1, 1e-5, 1e17, 1e300, 5e-324, -0.0, 1 / 3, 2**60, -3, True, None, 1e22]
    back = parse_text(dump_document({"n": numbers}), "t")["n"]
    assert [repr(x) for x in back] == [repr(x) for x in numbers]


def test_write_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "out.yaml"
    write_document({"a": [1, 2]}, path)
    assert read_document(path) == {"a": [1, 2]} and list(tmp_path.iterdir()) == [path]
    with pytest.raises(ResultError, match="cannot be written"):
        write_document({"a": 1}, tmp_path / "no" / "out.yaml")
