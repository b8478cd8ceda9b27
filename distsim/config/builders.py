"""Networks by name: functions of distsim.published, or of the user's own Python file."""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from distsim.config.files import FileStore
from distsim.config.messages import shown
from distsim.config.user_files import failed, load_object
from distsim.errors import ConfigError, nearest, wrong
from distsim.network import Network

_WORDS = {float: "a finite number", int: "a whole number", str: "text", bool: "true or false", type(None): "null"}


def build_network(name: str, arguments: Mapping[str, Any], files: FileStore) -> tuple[Network, dict[str, Any]]:
    """The network that the builder `name` returns, and all its arguments with their defaults.

    Parameters
    ----------
    name
        A public function of `distsim.published`, or `my_file.py:my_network`.
    arguments
        Its keyword arguments, as read from YAML.

    Raises
    ------
    ConfigError
        No such builder, a wrong argument, or the builder failed.
    """
    builder = _from_file(name, files) if ":" in name else _published(name)
    complete = _arguments(builder, name, arguments)
    try:
        network = builder(**arguments)
    except ConfigError as error:
        raise ConfigError(f"network.builder: {name}: {error}") from error
    except (Exception, SystemExit) as error:
        raise failed(f"network.builder: {name}", error) from error
    if not isinstance(network, Network):
        raise ConfigError(f"network.builder: {name} returned {type(network).__name__}; expected a distsim.Network")
    return network, complete


def published_builders() -> dict[str, Callable[..., Any]]:
    """The functions of distsim.published by name."""
    from distsim import published

    names = getattr(published, "__all__", None) or [n for n in vars(published) if not n.startswith("_")]
    return {n: f for n in names if inspect.isfunction(f := getattr(published, n, None))}


def _published(name: str) -> Callable[..., Any]:
    builders = published_builders()
    if name not in builders:
        way = "; a function of your own is written my_file.py:my_network" if name.endswith(".py") else ""
        raise ConfigError(f"network.builder: unknown builder {name!r}; {nearest(name, [*builders, 'sonata'])}{way}")
    return builders[name]


def _from_file(name: str, files: FileStore) -> Callable[..., Any]:
    module, function = load_object(name, "network.builder", "a published network, or my_file.py:my_network", files)
    builders = {n: f for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__}
    if function not in builders:
        near = nearest(function, (n for n in builders if not n.startswith("_")))
        raise ConfigError(f"network.builder: no function {function!r} in {module.__file__}; {near}")
    return builders[function]


def _arguments(builder: Callable[..., Any], name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` and the defaults of what is left out, or ConfigError for a wrong argument."""
    parameters = inspect.signature(builder).parameters
    named = {n: p for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in given:
            if key not in named:
                raise ConfigError(f"network.{key}: unknown argument of {name}; {nearest(key, named)}")
    try:
        hints = typing.get_type_hints(builder)
    except (NameError, TypeError, AttributeError):
        hints = {}
    complete: dict[str, Any] = {}
    for key, parameter in named.items():
        if key in given:
            _check_type(f"network.{key}", given[key], hints.get(key, Any))
        elif parameter.default is parameter.empty:
            raise ConfigError(f"network.{key}: missing; {name} has no default for it")
        elif _plain(parameter.default):
            complete[key] = parameter.default
    return {**complete, **given}


def _check_type(where: str, value: Any, hint: Any) -> None:
    """ConfigError where `value` cannot be what a scalar annotation says; other annotations are not judged."""
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong(where, value, "a finite number")
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    allowed: list[str] = []
    for option in options:
        if typing.get_origin(option) is typing.Literal:
            if any(value == choice and type(value) is type(choice) for choice in typing.get_args(option)):
                return
            allowed += [shown(choice) for choice in typing.get_args(option)]
        elif option in _WORDS:
            if type(value) is option or (option is float and type(value) is int):
                return
            allowed.append(_WORDS[option])
        else:
            return
    raise ConfigError(f"{where}: found {shown(value)}; allowed: {' or '.join(allowed)}")


def _plain(value: Any) -> bool:
    """Whether YAML can hold `value` and give it back as it was."""
    if isinstance(value, float):
        return math.isfinite(value)
    if type(value) is list:
        return all(_plain(item) for item in value)
    if type(value) is dict:
        return all(type(key) is str and _plain(item) for key, item in value.items())
    return type(value) in (bool, int, str)
