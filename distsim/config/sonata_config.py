"""SONATA configurations: a circuit and a simulation in JSON, with their variables resolved and their paths confined.

The *circuit's directory* is that of the configuration which is run, or a wider one that the user names. Everything it
refers to lies below it, links resolved: a configuration from elsewhere reads nothing else of the machine.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distsim.config.files import FileStore, told_of
from distsim.config.messages import shown
from distsim.config.sonata_types import TypeTable, read_types
from distsim.errors import ConfigError, nearest, wrong

MAX_BYTES = 16 * 2**20
MAX_DIGITS = 40  # of a whole number: none needs more
SONATA_KEYS = ("networks", "manifest", "target_simulator", "inputs", "components", "node_sets_file", "node_sets")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")


def is_sonata(document: object) -> bool:
    """Is this JSON a SONATA configuration, and no experiment of distsim?"""
    if not isinstance(document, dict) or "populations" in document:
        return False
    if isinstance(document.get("network"), dict):
        return False
    return any(key in document for key in SONATA_KEYS) or isinstance(document.get("network"), str)


def read_json(data: bytes, origin: str) -> Any:
    """The document in the bytes of a JSON file.

    Raises
    ------
    ConfigError
        It is no JSON, has a key twice or NaN, or is absurdly long or deep.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [key for key, _ in pairs]
            raise ConfigError(f"{origin}: duplicate key {next(n for n in names if names.count(n) > 1)!r}")
        return found

    def refused(word: str) -> Any:
        raise ConfigError(f"{origin}: found {word}; allowed: finite numbers")

    def finite(digits: str) -> float:
        value = float(digits)
        return value if math.isfinite(value) else refused(digits[:60])

    def whole(digits: str) -> int:
        return int(digits) if len(digits) <= MAX_DIGITS else refused(f"a number of {len(digits)} digits")

    if len(data) > MAX_BYTES:
        raise ConfigError(f"{origin}: larger than {MAX_BYTES // 2**20} MiB")
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=once, parse_constant=refused,
                          parse_float=finite, parse_int=whole)  # fmt: skip
    except json.JSONDecodeError as error:
        raise ConfigError(f"{origin}:{error.lineno}:{error.colno}: not valid JSON ({error.msg})") from None
    except (UnicodeDecodeError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else "no valid UTF-8"
        raise ConfigError(f"{origin}: {what}") from None


@dataclass(frozen=True)
class DataFile:
    """A nodes or edges file with its table of types; `populations`: which of it, in this order (None: all)."""

    data: str
    types: str | None
    populations: tuple[str, ...] | None


@dataclass
class Sections:
    """All of a configuration.

    Attributes
    ----------
    root
        The circuit's directory, links resolved.
    nodes, edges
        The files of the circuit.
    components
        Directories by their names.
    sections
        The remaining keys of the simulation: run, inputs, reports, output, conditions, node_sets, distsim.
    """

    root: Path
    files: FileStore
    nodes: list[DataFile] = field(default_factory=list)
    edges: list[DataFile] = field(default_factory=list)
    components: dict[str, str] = field(default_factory=dict)
    sections: dict[str, Any] = field(default_factory=dict)
    _folders: dict[str, tuple[Path, dict[str, str]]] = field(default_factory=dict)

    def section(self, name: str) -> dict[str, Any]:
        """One of `sections`; empty where there is none."""
        return mapping(self.sections.get(name, {}), name)

    def path(self, key: str, value: object) -> str:
        """The absolute path of a `value` of the configuration, below the circuit's directory."""
        base, variables = self._folders[key.partition(".")[0]]
        return confine(self.root, base, substitute(text(value, key), variables, key), key)

    def component(self, names: tuple[str, ...], file: str, where: str) -> str:
        """The path of a file in the first of these component directories."""
        folder = next((self.components[n] for n in names if n in self.components), None)
        if folder is None:
            raise ConfigError(f"components.{names[0]}: missing; the directory of {shown(file)}, which {where} names")
        return confine(self.root, Path(folder), file, where)

    def parameters(self, names: tuple[str, ...], file: str, where: str) -> dict[str, Any]:
        """A JSON file of parameters in a component directory."""
        path = self.component(names, file, where)
        return mapping(read_json(self.files.read(path, where), path), path)

    def types(self, file: str | None, kind: str, where: str) -> TypeTable:
        """The table of types at `where`; an empty one where there is none."""
        if file is None:
            return TypeTable(f"no table of {kind} types", {}, {})
        with told_of(f"{where}.{kind}_types_file"):
            return read_types(self.files.read(file, where), file, f"{kind}_type_id")

    def add(self, document: Mapping[str, Any], path: Path) -> None:
        """Take in a configuration file and those that it refers to."""
        variables = manifest(document.get("manifest", {}), path)
        for key, value in document.items():
            if key in ("manifest", "config_path", "config_dir", "target_simulator", "version", "name"):
                continue
            if key in self.sections and key != "network":
                raise ConfigError(f"{key}: found in two files of one configuration; allowed: in one of them")
            self.sections[key] = value
            self._folders[key] = (path.parent, variables)
        for key in ("network", "circuit"):
            if isinstance(value := document.get(key), str):
                other = self.path(key, value)
                with told_of(key):
                    found = mapping(read_json(self.files.read(other, key), other), other)
                    self.add({k: v for k, v in found.items() if k != key}, Path(other))
        if isinstance(document.get("node_sets_file"), str):
            other = self.path("node_sets_file", document["node_sets_file"])
            self.sections["node_sets"] = read_json(self.files.read(other, "node_sets_file"), other)
        for name, folder in mapping(document.get("components", {}), "components").items():
            self.components[name] = self.path(f"components.{name}", folder)
        networks = mapping(document.get("networks", {}), "networks")
        if networks.get("gap_juncs"):
            raise ConfigError("networks.gap_juncs: found gap junctions; allowed: none, point neurons have none here")
        for kind, found_files in (("nodes", self.nodes), ("edges", self.edges)):
            for i, entry in enumerate(listing(networks.get(kind, []), f"networks.{kind}")):
                found_files.append(self._data_file(kind, mapping(entry, f"networks.{kind}[{i}]"), i))

    def _data_file(self, kind: str, entry: Mapping[str, Any], i: int) -> DataFile:
        where = f"networks.{kind}[{i}]"
        if f"{kind}_file" not in entry:
            raise ConfigError(f"{where}.{kind}_file: missing; {nearest(f'{kind}_file', entry)}")
        given, only = entry.get(f"{kind[:-1]}_types_file"), entry.get("populations")
        return DataFile(
            self.path(f"{where}.{kind}_file", entry[f"{kind}_file"]),
            None if given is None else self.path(f"{where}.{kind[:-1]}_types_file", given),
            None if only is None else tuple(mapping(only, f"{where}.populations")),
        )


def read_configuration(path: str, files: FileStore, root: object = None) -> Sections:
    """The SONATA configuration at `path` and all JSON that belongs to it; `root`: a circuit's directory above its own.

    Raises
    ------
    ConfigError
        It is malformed, or leads out of the circuit's directory.
    """
    document = mapping(read_json(files.read(path, "network.config"), path), path)
    own = Path(path).parent.resolve()
    wider = own if root is None else Path(files.absolute(text(root, "root"))).resolve()
    if wider != own and wider not in own.parents:
        raise wrong("root", root, f"a directory that holds {own}")
    found = Sections(wider, files)
    found.add(document, Path(path))
    if not found.nodes:
        raise ConfigError(f"{path}: networks.nodes: missing; a circuit has at least one file of nodes")
    return found


def manifest(given: object, path: Path) -> dict[str, str]:
    """The variables of a configuration, each resolved."""
    values = {"configdir": str(path.parent), "workingdir": str(path.parent)}
    for key, value in mapping(given, "manifest").items():
        values[key.lstrip("$").strip("{}")] = text(value, f"manifest.{key}")
    for _ in range(len(values)):
        if not any(_VARIABLE.search(v) for v in values.values()):
            break
        values = {k: substitute(v, values, f"manifest.{k}") for k, v in values.items()}
        if any(len(v) > 4096 for v in values.values()):
            break
    bad = next((k for k, v in values.items() if _VARIABLE.search(v)), None)
    if bad is not None:
        raise ConfigError(f"manifest.{bad}: found {shown(values[bad])}; allowed: variables that end in a path")
    return values


def substitute(value: str, variables: Mapping[str, str], where: str) -> str:
    """`value` with $NAME and ${NAME} replaced, once."""

    def replaced(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise ConfigError(f"{where}: unknown variable ${match[1]}; {nearest(match[1], variables)}")
        return variables[match[1]]

    return _VARIABLE.sub(replaced, value)


def confine(root: Path, base: Path, name: str, where: str) -> str:
    """The absolute path of `name`, from `base` on; ConfigError where it leads out of `root`, links resolved."""
    try:
        path = (base / name).resolve()
    except (OSError, ValueError, RuntimeError):
        raise wrong(where, name, "a path") from None
    if path != root and root not in path.parents:
        raise wrong(where, name, f"paths below the circuit's directory {root}; a wider one is network.root, as in "
                    "--set network.root=..")  # fmt: skip
    return str(path)


def mapping(value: object, where: str) -> dict[str, Any]:
    """`value`, which has to be a JSON object."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: found {shown(value)}; allowed: an object in braces")
    return value


def listing(value: object, where: str) -> list[Any]:
    """`value`, which has to be a list."""
    if not isinstance(value, list):
        raise ConfigError(f"{where}: found {shown(value)}; allowed: a list")
    return value


def text(value: object, where: str) -> str:
    """`value`, which has to be a text."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ConfigError(f"{where}: found {shown(value)}; allowed: text")
    return value


def number(given: Mapping[str, Any], key: str, where: str, default: float | None = None) -> float:
    """The number at `key`."""
    value = given.get(key, default)
    if value is None:
        raise ConfigError(f"{where}.{key}: missing; it has no default")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{where}.{key}: found {shown(value)}; allowed: a number")
    return float(value)
