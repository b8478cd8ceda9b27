"""Connection rules as frozen dataclasses, named as in NEST: pure description."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from distsim.edges import EdgeList, EdgeSummary
from distsim.errors import wrong


@dataclass(frozen=True)
class OneToOne:
    """The i-th source to the i-th target; both sides have the same size."""

    name = "one_to_one"


@dataclass(frozen=True)
class AllToAll:
    """Every source to every target."""

    autapses: bool = True
    name = "all_to_all"


@dataclass(frozen=True)
class FixedIndegree:
    """`indegree` sources a target, drawn uniformly with replacement."""

    indegree: int
    autapses: bool = True
    name = "fixed_indegree"


@dataclass(frozen=True)
class FixedTotalNumber:
    """`N` connections, each with source and target drawn uniformly with replacement."""

    N: int
    autapses: bool = True
    name = "fixed_total_number"


@dataclass(frozen=True)
class PairwiseBernoulli:
    """Every pair once, with probability `p`."""

    p: float
    autapses: bool = True
    name = "pairwise_bernoulli"


class Explicit:
    """Listed connections; ids are positions on the source and target side, from 0.

    Weights (in the unit of the receptor) and delays (ms) come with the list. `receptor` holds one port
    name a connection, or is empty: then the sign of the weight decides. A list in a file is not kept in
    memory: `from_reader` reads it again when a rank builds its own connections.
    """

    name = "explicit"

    def __init__(
        self, source: Sequence[int], target: Sequence[int], weight: Sequence[float], delay: Sequence[float],
        receptor: Sequence[str] = (),
    ) -> None:  # fmt: skip
        lengths = {len(source), len(target), len(weight), len(delay), *([len(receptor)] if len(receptor) else [])}
        if len(lengths) != 1:
            raise wrong("rule.explicit", f"columns of lengths {sorted(lengths)}", "one entry a connection")
        edges = EdgeList.of(source, target, weight, delay, receptor)
        self.summary = edges.summary()
        self.read: Callable[[], EdgeList] = lambda: edges

    @classmethod
    def from_reader(cls, read: Callable[[], EdgeList], summary: EdgeSummary) -> Explicit:
        """A list that `read` returns whenever it is asked."""
        rule = cls.__new__(cls)
        rule.summary, rule.read = summary, read
        return rule

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Explicit):
            return NotImplemented
        return self.summary == other.summary and self.read() == other.read()

    __hash__ = None  # type: ignore[assignment]


Rule = OneToOne | AllToAll | FixedIndegree | FixedTotalNumber | PairwiseBernoulli | Explicit
RULES: dict[str, type] = {
    r.name: r for r in (OneToOne, AllToAll, FixedIndegree, FixedTotalNumber, PairwiseBernoulli, Explicit)
}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_rule(rule: Rule, sources: int, targets: int, same_side: bool, where: str) -> None:
    """Raise ConfigError where `rule` cannot hold between `sources` and `targets` neurons.

    `same_side` says that the two sides are the same neurons, where forbidding autapses takes one away.
    """
    spare = 1 if same_side else 0
    if isinstance(rule, OneToOne) and sources != targets:
        raise wrong(f"{where}.rule.one_to_one", [sources, targets], "as many sources as targets")
    if isinstance(rule, FixedIndegree):
        if not _is_whole(rule.indegree) or not 0 <= rule.indegree < 2**40:
            raise wrong(f"{where}.rule.fixed_indegree.indegree", rule.indegree, "a whole number from 0 to 2^40")
        if rule.indegree and sources - (0 if rule.autapses else spare) < 1:
            raise wrong(f"{where}.rule.fixed_indegree", sources, "at least one allowed source")
    if isinstance(rule, FixedTotalNumber):
        if not _is_whole(rule.N) or not 0 <= rule.N < 2**48:
            raise wrong(f"{where}.rule.fixed_total_number.N", rule.N, "a whole number from 0 to 2^48 - 1")
        if rule.N and sources - (0 if rule.autapses else spare) < 1:
            raise wrong(f"{where}.rule.fixed_total_number", sources, "at least one allowed pair")
    if isinstance(rule, PairwiseBernoulli) and not 0.0 <= rule.p <= 1.0:
        raise wrong(f"{where}.rule.pairwise_bernoulli.p", rule.p, "a probability from 0 to 1")
    if isinstance(rule, Explicit):
        summary = rule.summary
        if not summary.finite:
            raise wrong(f"{where}.rule.explicit", "a weight or delay that is NaN or infinite", "finite numbers")
        for side, most, size in (("source", summary.max_source, sources), ("target", summary.max_target, targets)):
            if most >= size or summary.min_id < 0:
                found = most if most >= size else summary.min_id
                raise wrong(f"{where}.rule.explicit.{side}", found, f"ids from 0 to {size - 1}")
