"""Whether the synapses of a projection are stored: which may be drawn again for each spike, and why others may not."""

from __future__ import annotations

from typing import Any, Literal, get_args

from distsim.distributions import Listed, as_value
from distsim.errors import ConfigError, wrong
from distsim.rules import Explicit, FixedIndegree, Rule, SymmetricPairwiseBernoulli

Storage = Literal["stored", "procedural", "auto"]

# A row that is drawn again needs its own draws alone.
_NOT_BY_SOURCE: dict[type, str] = {
    FixedIndegree: "its draws belong to the targets: all of these would have to draw for one source's synapses",
    SymmetricPairwiseBernoulli: "a pair belongs to both of its neurons: others draw half of a source's synapses",
    Explicit: "a list of connections is stored already",
}


def drawn_by(rule: Rule, storage: str, generate: str | None, weight: Any, delay: Any, where: str) -> str | None:
    """The `generate` that `storage` asks for: by_source where the synapses may not be stored.

    `auto` asks for it as `procedural` does, whatever is chosen in the end: so the choice changes no result.

    Raises
    ------
    ConfigError
        The projection cannot be drawn source by source, or consists of lists.
    """
    if storage not in get_args(Storage):
        raise wrong(f"{where}.storage", storage, ", ".join(get_args(Storage)))
    if storage == "stored":
        return generate
    at = f"{where}.storage: found {storage!r}"
    if type(rule) in _NOT_BY_SOURCE:
        raise ConfigError(f"{at} with the rule {rule.name}; {_NOT_BY_SOURCE[type(rule)]}; allowed: stored")
    if generate == "by_target":
        raise ConfigError(f"{at} with generate: by_target; such a row cannot be drawn by itself; allowed: by_source")
    for name, value in (("weight", weight), ("delay", delay)):
        if isinstance(as_value(value, expressions=True), Listed):
            raise ConfigError(f"{at} with a list as {name}; a list is stored already; allowed: stored")
    return "by_source"
