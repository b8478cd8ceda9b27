"""Python files of a user's own that an experiment names: my_file.py:my_network, my_file.py:my_model.

Such a file is code that the user trusts. It is loaded only where an experiment names it, never from a data file.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
import types
from pathlib import Path

from distsim.config.files import FileStore
from distsim.errors import ConfigError, nearest, wrong
from distsim.models import Family, Model, model_named


def load_object(name: str, where: str, allowed: str, files: FileStore) -> tuple[types.ModuleType, str]:
    """The module of `my_file.py:my_name`, run, and my_name.

    Raises
    ------
    ConfigError
        `name` is not of that form (then with what is `allowed`), there is no such file, or it failed.
    """
    file, _, wanted = name.rpartition(":")
    if not file or not wanted:
        raise wrong(where, name, allowed)
    data, path = files.read(file, where), files.absolute(file)
    # Unique by place and content, and known to sys.modules as dataclasses in it need.
    label = f"_distsim_{Path(path).stem}_{hashlib.sha256(path.encode() + data).hexdigest()[:12]}"
    if label in sys.modules:  # run once: a model that two populations name is one model
        return sys.modules[label], wanted
    module = types.ModuleType(label)
    module.__file__ = path
    sys.modules[label] = module
    try:
        exec(compile(data, path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[label]
        raise failed(f"{where}: {path}", error) from error
    return module, wanted


def model_of(name: str, where: str, files: FileStore) -> Model | Family:
    """The built-in model `name`, or the one that my_models.py:my_model declares."""
    if ":" not in name:
        return model_named(name, where)
    module, wanted = load_object(name, where, "a model, or my_models.py:my_model", files)
    declared = {n: m for n, m in vars(module).items() if isinstance(m, (Model, Family))}
    if wanted not in declared:
        raise ConfigError(f"{where}: no model {wanted!r} in {module.__file__}; {nearest(wanted, declared)}")
    return declared[wanted]


def failed(where: str, error: BaseException) -> ConfigError:
    """What went wrong in a user's file, with the line of it."""
    if isinstance(error, SyntaxError):
        return ConfigError(f"{where}: {error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}")
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return ConfigError(f"{where}: raised {type(error).__name__}{place}: {error}")
