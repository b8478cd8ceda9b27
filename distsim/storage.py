"""Whether the synapses of a projection are stored: which may be drawn again for each spike, and why others may not."""

from __future__ import annotations

from typing import Any, Literal, get_args

from distsim.distributions import Listed, as_value
from distsim.errors import ConfigError, wrong
from distsim.rules import Explicit, FixedIndegree, Rule, SymmetricPairwiseBernoulli

Storage = Literal["stored", "procedural", "auto"]

# A row that is drawn again needs its own draws alone; by name of the rule.
NOT_BY_SOURCE: dict[str, str] = {
    FixedIndegree.name: "its draws belong to the targets: all of these would have to draw for one source's synapses",
    SymmetricPairwiseBernoulli.name: "a pair belongs to both of its neurons: others draw half of a source's synapses",
    Explicit.name: "a list of connections is stored already",
}


def settled(
    rule: Rule, storage: str, generate: str | None, weight: Any, delay: Any, where: str
) -> tuple[Storage, str | None]:  # fmt: skip
    """The `storage` that is asked for, and the `generate`: by_source where the synapses may not be stored.

    `auto` asks for it as `procedural` does, whatever is chosen in the end: so the choice changes no result. Where there
    is no choice it is `stored`.

    Raises
    ------
    ConfigError
        The projection cannot be drawn source by source, or consists of lists, and the request is not to store it.
    """
    if storage not in get_args(Storage):
        raise wrong(f"{where}.storage", storage, ", ".join(get_args(Storage)))
    if storage == "stored":
        return "stored", generate
    at = f"{where}.storage: found {storage!r}"
    reason = _why_stored(rule, weight, delay)
    if reason is not None:
        if storage == "auto":
            return "stored", generate
        raise ConfigError(f"{at} with {reason}; allowed: stored, auto")
    if generate == "by_target":
        raise ConfigError(f"{at} with generate: by_target; such a row cannot be drawn by itself; allowed: by_source")
    return ("auto" if storage == "auto" else "procedural"), "by_source"


def _why_stored(rule: Rule, weight: Any, delay: Any) -> str | None:
    """What about a projection asks for its synapses to be stored, and why; None where they need not be."""
    if rule.name in NOT_BY_SOURCE:
        return f"the rule {rule.name}; {NOT_BY_SOURCE[rule.name]}"
    for name, value in (("weight", weight), ("delay", delay)):
        if isinstance(as_value(value, expressions=True), Listed):
            return f"a list as {name}; a list is stored already"
    return None
