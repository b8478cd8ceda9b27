"""Connection rules as frozen dataclasses, named as in NEST: pure description."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Explicit:
    """Listed connections; ids are local to the source and target side, from 0.

    Weights (in the unit of the receptor) and delays (ms) come with the list. `receptor` holds one port
    name a connection, or is empty: then the sign of the weight decides.
    """

    source: tuple[int, ...]
    target: tuple[int, ...]
    weight: tuple[float, ...]
    delay: tuple[float, ...]
    receptor: tuple[str, ...] = ()
    origin: str | None = None  # the file it was read from
    name = "explicit"


Rule = OneToOne | AllToAll | FixedIndegree | FixedTotalNumber | PairwiseBernoulli | Explicit
RULES: dict[str, type] = {
    r.name: r for r in (OneToOne, AllToAll, FixedIndegree, FixedTotalNumber, PairwiseBernoulli, Explicit)
}


def check_rule(rule: Rule, sources: int, targets: int, same_side: bool, where: str) -> None:
    """Raise ConfigError where `rule` cannot hold between `sources` and `targets` neurons.

    `same_side` says that the two sides are the same neurons, where forbidding autapses takes one away.
    """
    spare = 1 if same_side else 0
    if isinstance(rule, OneToOne) and sources != targets:
        raise wrong(f"{where}.rule.one_to_one", [sources, targets], "as many sources as targets")
    if isinstance(rule, FixedIndegree):
        if rule.indegree < 0:
            raise wrong(f"{where}.rule.fixed_indegree.indegree", rule.indegree, "a whole number >= 0")
        if rule.indegree and sources - (0 if rule.autapses else spare) < 1:
            raise wrong(f"{where}.rule.fixed_indegree", sources, "at least one allowed source")
    if isinstance(rule, FixedTotalNumber):
        if not 0 <= rule.N < 2**48:
            raise wrong(f"{where}.rule.fixed_total_number.N", rule.N, "a whole number from 0 to 2^48")
        if rule.N and sources - (0 if rule.autapses else spare) < 1:
            raise wrong(f"{where}.rule.fixed_total_number", sources, "at least one allowed pair")
    if isinstance(rule, PairwiseBernoulli) and not 0.0 <= rule.p <= 1.0:
        raise wrong(f"{where}.rule.pairwise_bernoulli.p", rule.p, "a probability from 0 to 1")
    if isinstance(rule, Explicit):
        n = len(rule.source)
        if not len(rule.target) == len(rule.weight) == len(rule.delay) == n:
            raise wrong(f"{where}.rule.explicit", "columns of unequal length", "one entry a connection")
        for side, ids, size in (("source", rule.source, sources), ("target", rule.target, targets)):
            bad = next((i for i in ids if not 0 <= i < size), None)
            if bad is not None:
                raise wrong(f"{where}.rule.explicit.{side}", bad, f"ids from 0 to {size - 1}")
