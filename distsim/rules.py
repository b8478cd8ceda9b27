"""Connection rules as frozen dataclasses, named as in NEST: pure description.

What each means follows Senk et al. 2022 (doi:10.1371/journal.pcbi.1010086). An *autapse* joins a neuron to itself, a
*multapse* is a pair of neurons that is joined more than once by one projection.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

from distsim.edges import Blocks, EdgeList, EdgeSummary
from distsim.errors import wrong
from distsim.expressions import Expression
from distsim.given import is_number, plain
from distsim.masks import AnyMask, Mask
from distsim.nest_names import rule_meant

Generate = Literal["by_target", "by_source"]


@dataclass(frozen=True)
class OneToOne:
    """The i-th source to the i-th target; both sides have the same size."""

    autapses: bool = True
    name = "one_to_one"


@dataclass(frozen=True)
class AllToAll:
    """Every source to every target."""

    autapses: bool = True
    name = "all_to_all"


@dataclass(frozen=True)
class FixedIndegree:
    """`indegree` sources a target: drawn with replacement, or without it where multapses are forbidden.

    Uniformly; or in proportion to `p`, an expression of the place of the pair, among those within `mask`.
    """

    indegree: int
    autapses: bool = True
    multapses: bool = True
    p: float | str | Expression | None = None
    mask: AnyMask | None = None
    name = "fixed_indegree"

    def __post_init__(self) -> None:
        object.__setattr__(self, "indegree", plain(self.indegree))
        if self.p is not None and not isinstance(self.p, Expression):
            object.__setattr__(self, "p", Expression(str(self.p)))


@dataclass(frozen=True)
class FixedOutdegree:
    """`outdegree` targets a source: drawn with replacement, or without it where multapses are forbidden.

    Uniformly; or in proportion to `p`, an expression of the place of the pair, among those within `mask`.
    """

    outdegree: int
    autapses: bool = True
    multapses: bool = True
    p: float | str | Expression | None = None
    mask: AnyMask | None = None
    name = "fixed_outdegree"

    def __post_init__(self) -> None:
        object.__setattr__(self, "outdegree", plain(self.outdegree))
        if self.p is not None and not isinstance(self.p, Expression):
            object.__setattr__(self, "p", Expression(str(self.p)))


@dataclass(frozen=True)
class FixedTotalNumber:
    """`N` connections, each an allowed pair drawn uniformly; without multapses N different pairs."""

    N: int
    autapses: bool = True
    multapses: bool = True
    name = "fixed_total_number"

    def __post_init__(self) -> None:
        object.__setattr__(self, "N", plain(self.N))


@dataclass(frozen=True)
class PairwiseBernoulli:
    """Every pair once, with probability `p`: a number, or an expression of the place of the pair (cut to 0 … 1).

    Only pairs whose displacement lies within `mask` are connected.
    """

    p: float | str | Expression
    autapses: bool = True
    mask: AnyMask | None = None
    name = "pairwise_bernoulli"

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", Expression(self.p) if isinstance(self.p, str) else plain(self.p))


@dataclass(frozen=True)
class SymmetricPairwiseBernoulli:
    """Every unordered pair of different neurons both ways with probability `p`, or not at all; one side."""

    p: float
    name = "symmetric_pairwise_bernoulli"
    autapses = False


@dataclass(frozen=True)
class PairwisePoisson:
    """Every pair a Poisson number of times, with this mean (NEST's name), within `mask` as pairwise_bernoulli."""

    pairwise_avg_num_conns: float | str | Expression
    autapses: bool = True
    mask: AnyMask | None = None
    name = "pairwise_poisson"

    def __post_init__(self) -> None:
        mean = self.pairwise_avg_num_conns
        object.__setattr__(self, "pairwise_avg_num_conns", Expression(mean) if isinstance(mean, str) else plain(mean))


MAX_PAIR_MEAN = 64.0  # of pairwise_poisson with space: the number of one pair comes from one random number


DegreeRule = FixedIndegree | FixedOutdegree
PairRule = PairwiseBernoulli | PairwisePoisson


def is_spatial(rule: object) -> TypeGuard[PairRule | DegreeRule]:
    """Does it depend on positions who is connected?"""
    if isinstance(rule, (FixedIndegree, FixedOutdegree)):
        return rule.mask is not None or rule.p is not None
    if not isinstance(rule, (PairwiseBernoulli, PairwisePoisson)):
        return False
    return rule.mask is not None or isinstance(pair_value(rule), Expression)


def pair_value(rule: PairRule | DegreeRule) -> float | Expression:
    """The probability, mean number or weight (in the lot) of each pair, as described."""
    value = rule.pairwise_avg_num_conns if isinstance(rule, PairwisePoisson) else rule.p
    assert not isinstance(value, str)
    return 1.0 if value is None else value


def plain_value(rule: PairRule | DegreeRule) -> float:
    """The same where it is one number for all pairs."""
    value = pair_value(rule)
    assert not isinstance(value, Expression)
    return value


def chance_of(rule: PairRule | DegreeRule, within: bool = False) -> Expression:
    """The same as one expression, 0 beyond the mask; without the mask where pairs are known to be `within` it."""
    value = pair_value(rule)
    expression = value if isinstance(value, Expression) else Expression(repr(float(value)), float(value), float(value))
    if rule.mask is None or within:
        return expression
    text = f"{rule.mask.text()} * ({expression.text})"
    return Expression(text, min(0.0, expression.low or 0.0), expression.high)


def _for_each(value: Sequence[float] | float, n: int) -> Sequence[float]:
    return [plain(value)] * n if is_number(plain(value)) else value  # type: ignore[return-value]


class Explicit:
    """Listed connections; ids are positions on the source and target side, from 0.

    Weights (in the unit of the receptor) and delays (ms) come with the list, or are one number for all of it.
    `receptor` holds one port name a connection, or is empty: then the sign of the weight decides. A list in a file
    is not kept in memory: `blocks` reads it again when a rank builds its own connections.
    """

    name = "explicit"

    def __init__(
        self, source: Sequence[int], target: Sequence[int], weight: Sequence[float] | float = 1.0,
        delay: Sequence[float] | float = 1.0, receptor: Sequence[str] = (),
    ) -> None:  # fmt: skip
        weight, delay = _for_each(weight, len(source)), _for_each(delay, len(source))
        lengths = {len(source), len(target), len(weight), len(delay), *([len(receptor)] if len(receptor) else [])}
        if len(lengths) != 1:
            raise wrong("rule.explicit", f"columns of lengths {sorted(lengths)}", "one entry a connection")
        edges = EdgeList.of(source, target, weight, delay, receptor)
        self.summary = edges.summary()
        self.blocks: Blocks = lambda targets: iter([edges.onto(targets)])

    @classmethod
    def from_blocks(cls, blocks: Blocks, summary: EdgeSummary) -> Explicit:
        """A list that `blocks` brings block by block whenever it is asked."""
        rule = cls.__new__(cls)
        rule.summary, rule.blocks = summary, blocks
        return rule

    def read(self) -> EdgeList:
        """All of it at once."""
        return EdgeList.joined([block for block in self.blocks(None) if block.source.size])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Explicit):
            return NotImplemented
        return self.summary == other.summary and self.read() == other.read()

    __hash__ = None  # type: ignore[assignment]


Rule = (
    OneToOne | AllToAll | FixedIndegree | FixedOutdegree | FixedTotalNumber | PairwiseBernoulli
    | SymmetricPairwiseBernoulli | PairwisePoisson | Explicit
)  # fmt: skip
RULES: dict[str, type] = {
    r.name: r
    for r in (
        OneToOne, AllToAll, FixedIndegree, FixedOutdegree, FixedTotalNumber, PairwiseBernoulli,
        SymmetricPairwiseBernoulli, PairwisePoisson, Explicit,
    )
}  # fmt: skip

# Rules that can be drawn in one way alone, and why.
_ONLY: dict[type, tuple[Generate, str]] = {
    FixedIndegree: ("by_target", "a target's in-degree is exact, so its draws belong to the target"),
    FixedOutdegree: ("by_source", "a source's out-degree is exact, so its draws belong to the source"),
    SymmetricPairwiseBernoulli: ("by_target", "a pair belongs to both of its neurons"),
    Explicit: ("by_target", "listed connections are not drawn"),
}


def generated(rule: Rule, asked: str | None, where: str) -> Generate:
    """Whose identity the draws of `rule` belong to: as asked, or as the rule allows."""
    if asked is not None and asked not in ("by_target", "by_source"):
        raise wrong(f"{where}.generate", asked, "by_target or by_source")
    only = _ONLY.get(type(rule))
    if only and asked not in (None, only[0]):
        raise wrong(f"{where}.generate", asked, f"{only[0]} with the rule {rule.name} ({only[1]})")
    if only:
        return only[0]
    return "by_source" if asked == "by_source" else "by_target"


def allows_multapses(rule: Rule) -> bool:
    """Can a pair be drawn more than once?"""
    if isinstance(rule, (FixedIndegree, FixedOutdegree, FixedTotalNumber)):
        return rule.multapses
    return isinstance(rule, (PairwisePoisson, Explicit))


@dataclass(frozen=True)
class Sides:
    """Numbers of neurons that decide whether a rule is possible.

    Attributes
    ----------
    sources, targets
        On either side.
    shared
        Neurons on both sides; where autapses are forbidden each of them has one pair fewer.
    same
        Are the two sides the same neurons in the same order?
    """

    sources: int
    targets: int
    shared: int
    same: bool

    def pairs(self, autapses: bool) -> int:
        """Allowed pairs."""
        return self.sources * self.targets - (0 if autapses else self.shared)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_rule(rule: Rule, sides: Sides, where: str) -> None:
    """Raise ConfigError where `rule` cannot hold between the two sides."""
    at = f"{where}.rule.{rule.name}"
    _check_numbers(rule, at)
    for flag in ("autapses", "multapses"):
        if not isinstance(getattr(rule, flag, True), bool):
            raise wrong(f"{at}.{flag}", getattr(rule, flag), "true or false")
    if isinstance(rule, OneToOne):
        if sides.sources != sides.targets:
            raise wrong(at, [sides.sources, sides.targets], "as many sources as targets")
        if not rule.autapses and sides.same:
            raise wrong(
                f"{at}.autapses", False, "two different sides: between equal ones every connection is an autapse"
            )
    elif isinstance(rule, FixedIndegree):
        _check_degree(rule.indegree, "indegree", sides.sources, "source", rule, sides, at)
    elif isinstance(rule, FixedOutdegree):
        _check_degree(rule.outdegree, "outdegree", sides.targets, "target", rule, sides, at)
    elif isinstance(rule, FixedTotalNumber):
        if not _is_whole(rule.N) or not 0 <= rule.N < 2**48:
            raise wrong(f"{at}.N", rule.N, "a whole number from 0 to 2^48 - 1")
        pairs = sides.pairs(rule.autapses)
        if rule.N and pairs < 1:
            raise wrong(at, pairs, "at least one allowed pair (autapses are forbidden)")
        if not rule.multapses and pairs < rule.N:
            raise wrong(f"{at}.N", rule.N, f"at most {pairs} without multapses: so many pairs are allowed")
    elif is_spatial(rule) and isinstance(rule, (PairwiseBernoulli, PairwisePoisson)):
        _check_spatial(rule, where)
        if not isinstance(pair_value(rule), Expression):
            check_rule(dataclasses.replace(rule, mask=None), sides, where)
    elif isinstance(rule, (PairwiseBernoulli, SymmetricPairwiseBernoulli)):
        p = plain_value(rule) if isinstance(rule, PairwiseBernoulli) else rule.p
        if not 0.0 <= p <= 1.0:
            raise wrong(f"{at}.p", p, "a probability from 0 to 1")
        if isinstance(rule, SymmetricPairwiseBernoulli) and not sides.same:
            raise wrong(at, "two different sides", "the same neurons in the same order as source and target")
    elif isinstance(rule, PairwisePoisson):
        mean = plain_value(rule)
        if not (math.isfinite(mean) and mean >= 0.0 and mean * max(sides.sources, sides.targets) < 2.0**31):
            raise wrong(
                f"{at}.pairwise_avg_num_conns", mean, "a mean of at least 0 that gives fewer than 2^31 a neuron"
            )
    elif isinstance(rule, Explicit):
        _check_listed(rule, sides, where)


def check_form(rule: object, where: str) -> None:
    """ConfigError where `rule` is none; in a script it may be a name or a class."""
    if isinstance(rule, tuple(RULES.values())):
        mask = getattr(rule, "mask", None)
        if mask is not None and not isinstance(mask, Mask):
            key = f"{where}.rule.{getattr(rule, 'name', '')}.mask"
            raise wrong(key, mask, "a mask such as distsim.space.Circular(0.5)")
        return
    found = rule.__name__ if isinstance(rule, type) else rule
    raise wrong(f"{where}.rule", found, f"a rule such as distsim.{rule_meant(rule, RULES) or 'AllToAll()'}")


def _check_numbers(rule: Rule, at: str) -> None:
    for name in ("p", "pairwise_avg_num_conns"):
        value = getattr(rule, name, 0.0)
        optional = value is None and isinstance(rule, (FixedIndegree, FixedOutdegree))
        if not (is_number(value) or isinstance(value, Expression) or optional):
            raise wrong(f"{at}.{name}", value, "a number, or an expression as text" if name != "p" or not isinstance(
                rule, SymmetricPairwiseBernoulli) else "a number")  # fmt: skip


def _check_spatial(rule: PairRule, where: str) -> None:
    """Bounds of the probability or mean, where they are known."""
    value = pair_value(rule)
    key = "p" if isinstance(rule, PairwiseBernoulli) else "pairwise_avg_num_conns"
    most = value.high if isinstance(value, Expression) else float(value)
    if isinstance(rule, PairwisePoisson) and most is not None and not most <= MAX_PAIR_MEAN:
        raise wrong(f"{where}.rule.{rule.name}.{key}", most, f"a mean of at most {MAX_PAIR_MEAN:g} a pair with space")


def _check_degree(
    degree: int, name: str, others: int, other: str, rule: FixedIndegree | FixedOutdegree, sides: Sides, at: str
) -> None:
    limit = 40 if isinstance(rule, FixedIndegree) else 31
    if not _is_whole(degree) or not 0 <= degree < 2**limit:
        raise wrong(f"{at}.{name}", degree, f"a whole number from 0 to 2^{limit}")
    if isinstance(rule.p, Expression) and rule.p.high is not None and rule.p.high <= 0.0:
        raise wrong(f"{at}.p", rule.p.text, "an expression that is above 0 for some pairs")
    # A neuron that is on both sides has one partner fewer.
    fewest = others - (1 if sides.shared and not rule.autapses else 0)
    if degree and fewest < 1:
        raise wrong(at, others, f"at least one allowed {other}")
    if not rule.multapses and degree > fewest:
        without = "multapses" if fewest == others else "multapses and autapses"
        raise wrong(f"{at}.{name}", degree, f"at most {fewest} without {without}: so many {other}s there are")


def _check_listed(rule: Explicit, sides: Sides, where: str) -> None:
    summary = rule.summary
    if not summary.finite:
        raise wrong(f"{where}.rule.explicit", "a weight or delay that is NaN or infinite", "finite numbers")
    for side, most, size in (
        ("source", summary.max_source, sides.sources),
        ("target", summary.max_target, sides.targets),
    ):
        if most >= size or summary.min_id < 0:
            found = most if most >= size else summary.min_id
            raise wrong(f"{where}.rule.explicit.{side}", found, f"ids from 0 to {size - 1}")
