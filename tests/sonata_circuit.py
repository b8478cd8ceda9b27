"""The circuit that BMTK's own builder wrote (tests/reference/sonata), unpacked and changed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

CIRCUIT = Path(__file__).parent / "reference" / "sonata" / "bmtk_network.zip"
CORTEX, LGN = "network/cortex_cortex_edges.h5", "network/lgn_cortex_edges.h5"


def unpack(folder: Path) -> Path:
    """The circuit below `folder`; its configuration."""
    with zipfile.ZipFile(CIRCUIT) as archive:
        archive.extractall(folder)
    return folder / "config.json"


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON document in place."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def replace(path: Path, name: str, values: Any, **settings: Any) -> None:
    """Another dataset at `name` of an HDF5 file, with the attributes of the one that was there."""
    with h5py.File(path, "a") as file:
        kept = dict(file[name].attrs)
        del file[name]
        if settings:
            made = file.create_dataset(name, **settings)
        else:
            made = file.create_dataset(name, data=values)
        made.attrs.update(kept)
