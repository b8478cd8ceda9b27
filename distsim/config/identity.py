"""What of an experiment decides its results, for telling whether a run may go on from what was computed before.

Keys that may differ, because no spike and no file depends on them: where and how it is computed (`run.partition`,
`run.exchange_interval`, `run.delivery`, `run.routing`, `run.exchange`), when its state is kept (`run.checkpoint`,
`run.wall_time`), and `name`. `run.duration` may differ as long as it is not shorter than what was computed. Everything
else may not: model and network, `run.seed`, `run.dt`, `run.precision`; and `run.warmup` and `record`, because they
decide what of the past was written. `storage` of a projection may differ as long as `generate` is the same: what is not
stored is by_source. Files count by what is in them, not by where they lie; a SONATA configuration counts section by
section, its `run` as `run`. The order of keys counts where it numbers neurons and inputs, and only there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from distsim.config.messages import shown
from distsim.errors import ConfigError
from distsim.rules import FixedOutdegree
from distsim.storage import NOT_BY_SOURCE

FREE = (  # of run
    "partition", "exchange_interval", "delivery", "routing", "exchange", "checkpoint", "wall_time", "duration",
)  # fmt: skip
LONG_LIST = 64  # longer lists are known by their hash
ORDERED = ("populations", "inputs")  # global ids and random streams follow the order of description


def identity(document: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved document without what may differ, in types of JSON, with hashes for files and long lists."""
    files = {str(path): str(digest) for path, digest in document.get("files", {}).items()}
    kept = {key: value for key, value in document.items() if key not in ("name", "files", "run")}
    run = {key: value for key, value in document.get("run", {}).items() if key not in FREE}
    if isinstance(kept.get("projections"), Sequence):
        kept["projections"] = [_drawn(p) for p in kept["projections"]]
    if isinstance(kept.get("network"), Mapping):
        kept["network"] = _said_by_sections(kept["network"])
    found: dict[str, Any] = json.loads(json.dumps(_plain({"run": run, **kept}, files)))
    return found


def _drawn(projection: Any) -> Any:
    """A projection by what is drawn, not by whether it is stored."""
    if not isinstance(projection, Mapping):
        return projection
    found = {key: value for key, value in projection.items() if key != "storage"}
    rule, storage = projection.get("rule"), projection.get("storage", "stored")
    name = next(iter(rule), None) if isinstance(rule, Mapping) else rule
    listed = any(_is_list(projection.get(key)) for key in ("weight", "delay"))
    stays = storage == "auto" and (name in NOT_BY_SOURCE or listed)  # as storage.py has it
    if (storage != "stored" and not stays) or name == FixedOutdegree.name:
        found["generate"] = "by_source"
    return found


def _is_list(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, Mapping) and "file" in value)


def _said_by_sections(network: Mapping[str, Any]) -> Mapping[str, Any]:
    """A builder's arguments; of sonata its configuration as sections, and the other files that were read."""
    if network.get("builder") != "sonata":
        return network
    found = {key: value for key, value in network.items() if key not in ("sections", "root")}  # root is only a place
    config = network.get("config")
    if "sections" not in network:
        return found
    return {**found, "config": network["sections"], "reads": [f for f in network.get("reads", ()) if f != config]}


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    """Raise ConfigError where two identities differ; it names the keys.

    Parameters
    ----------
    before, now
        What `identity` gave for what was computed, and for what is asked for.
    where
        What was computed, for the message.
    """
    keys = differing(before, now)
    if not keys:
        return
    key, old, new = keys[0]
    more = f"; also {', '.join(k for k, _, _ in keys[1:6])}" + (", …" if len(keys) > 6 else "") if keys[1:] else ""
    raise ConfigError(
        f"{key}: found {_said(new)}; {where} was computed with {_said(old)} and can only go on so{more}; "
        "allowed to differ: name, run.duration, run.partition, run.exchange_interval, run.delivery, run.routing, "
        "run.exchange, run.checkpoint, run.wall_time, storage of a projection that is by_source"
    )


_MISSING = object()


def differing(before: Any, now: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """(key, before, now) of everything that differs, as deep as both are mappings or lists of one length."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        found = []
        if path in ORDERED and list(before) != list(now) and before.keys() == now.keys():
            moved = next(i for i, (a, b) in enumerate(zip(before, now, strict=True)) if a != b)
            found.append((f"{path} (their order)", [*before][moved:], [*now][moved:]))
        for key in dict.fromkeys((*before, *now)):
            below = f"{path}.{key}" if path else str(key)
            found += differing(before.get(key, _MISSING), now.get(key, _MISSING), below)
        return found
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [x for i, (a, b) in enumerate(zip(before, now, strict=True)) for x in differing(a, b, f"{path}[{i}]")]
    return [] if before is not _MISSING and now is not _MISSING and before == now else [(path, before, now)]


def _said(value: Any) -> str:
    if isinstance(value, str) and value.startswith("sha256:"):
        return f"contents with the SHA-256 {value[7:23]}…{value[71:]}"
    return "nothing" if value is _MISSING else shown(value)


def _plain(value: Any, files: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item, files) for key, item in value.items()}
    if isinstance(value, str):
        path, _, function = value.rpartition(":")
        if value in files:
            return f"sha256:{files[value]}"
        return f"sha256:{files[path]}:{function}" if path in files else value
    if isinstance(value, Sequence):
        items = [_plain(item, files) for item in value]
        if len(items) > LONG_LIST:
            return f"{len(items)} values, sha256:{hashlib.sha256(json.dumps(items).encode()).hexdigest()}"
        return items
    return value
