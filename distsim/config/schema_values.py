"""The forms of values and connection rules in an experiment file, as pydantic models.

Short forms ({normal: [mean, std]}, rule: all_to_all) are widened to their long forms here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, model_validator
from pydantic_core import PydanticCustomError

from distsim.config import schema_space
from distsim.config.schema_base import NotNull, Spec, by_name, kind_of, short_form
from distsim.config.schema_space import LinearDistanceSpec, MaskSpec, PairValue


class Bounded(Spec):
    """Bounds that every drawn distribution can have."""

    min: Annotated[float | None, NotNull] = None
    max: Annotated[float | None, NotNull] = None
    bounds: Literal["redraw", "clip"] = "redraw"


class Placed(Bounded):
    """A draw is offset + factor * X; bounds are bounds of that."""

    factor: float = 1.0
    offset: float = 0.0


class LowHigh(Bounded):
    low: float
    high: float


class WholeLowHigh(Placed):
    low: int
    high: int


class MeanStd(Bounded):
    mean: float
    std: float


class LogMeanStd(Placed):
    mean: float
    std: float


class Beta(Placed):
    beta: float


class ShapeScale(Placed):
    shape: float
    scale: float


class Clipped(Spec):
    mean: float
    std: float
    min: Annotated[float | None, NotNull] = None
    max: Annotated[float | None, NotNull] = None


class UniformSpec(Spec):
    uniform: Annotated[LowHigh, short_form("low", "high")]


class UniformIntSpec(Spec):
    uniform_int: Annotated[WholeLowHigh, short_form("low", "high")]


class NormalSpec(Spec):
    normal: Annotated[MeanStd, short_form("mean", "std")]


class NormalClippedSpec(Spec):
    normal_clipped: Annotated[Clipped, short_form("mean", "std")]


class LognormalSpec(Spec):
    lognormal: Annotated[LogMeanStd, short_form("mean", "std")]


class ExponentialSpec(Spec):
    exponential: Annotated[Beta, short_form("beta")]


class GammaSpec(Spec):
    gamma: Annotated[ShapeScale, short_form("shape", "scale")]


class ColumnSpec(Spec):
    file: str
    column: str


class SpikesSpec(Spec):
    """Times of spikes: a table, or SONATA spikes."""

    file: str
    population: Annotated[str | None, NotNull] = None


DISTRIBUTIONS = (
    "uniform", "uniform_int", "normal", "normal_clipped", "lognormal", "exponential", "gamma", "file",
)  # fmt: skip
RULE_KEYS = (
    "one_to_one", "all_to_all", "fixed_indegree", "fixed_outdegree", "fixed_total_number", "pairwise_bernoulli",
    "symmetric_pairwise_bernoulli", "pairwise_poisson", "explicit",
)  # fmt: skip
# What the forms of a tagged union are, for messages: (allowed, names of keys)
FORMS = {
    "value": (
        "a number, {uniform: [low, high]}, {uniform_int: [low, high]}, {normal: [mean, std]}, "
        "{normal_clipped: [mean, std]}, {lognormal: [mean, std]}, {exponential: beta}, {gamma: [shape, scale]}, "
        "a list with one number each, or {file: F, column: C}",
        DISTRIBUTIONS,
    ),
    "connection_value": (
        "a number, an expression in quotes, {linear_distance: {c: C, velocity: V}}, a distribution such as "
        "{normal: [mean, std]}, a list with one number each, or {file: F, column: C}",
        (*DISTRIBUTIONS, "linear_distance"),
    ),
    "number_or_list": ("a number or a list of numbers", ()),
    "partition": (
        "block, round_robin, populations, balanced, or a rank for each population such as {E: 0, I: 1}",
        (),
    ),
    "selection": (
        "text (a population), {population: P, slice: [start, stop]}, {…, neurons: [ids]} or {…, fraction: 0.1}",
        (),
    ),
    **schema_space.FORMS,
    "rule": ("a rule such as all_to_all or {fixed_indegree: 100}", RULE_KEYS),
}

_Distributions = (
    Annotated[UniformSpec, Tag("<uniform>")]
    | Annotated[UniformIntSpec, Tag("<uniform_int>")]
    | Annotated[NormalSpec, Tag("<normal>")]
    | Annotated[NormalClippedSpec, Tag("<normal_clipped>")]
    | Annotated[LognormalSpec, Tag("<lognormal>")]
    | Annotated[ExponentialSpec, Tag("<exponential>")]
    | Annotated[GammaSpec, Tag("<gamma>")]
    | Annotated[ColumnSpec, Tag("<file>")]
)
_Item = Annotated[
    Annotated[float, Tag("<number>")] | Annotated[list[float], Tag("<list>")],
    Discriminator(kind_of(), custom_error_type="form", custom_error_message="number_or_list"),
]
Value = Annotated[
    Annotated[float, Tag("<number>")] | _Distributions | Annotated[list[float], Tag("<list>")],
    Discriminator(kind_of(*DISTRIBUTIONS), custom_error_type="form", custom_error_message="value"),
]
ConnectionValue = Annotated[  # of weights and delays, which may depend on positions
    Annotated[float, Tag("<number>")]
    | Annotated[str, Tag("<text>")]
    | Annotated[LinearDistanceSpec, Tag("<linear_distance>")]
    | _Distributions
    | Annotated[list[float], Tag("<list>")],
    Discriminator(
        lambda value: "<text>" if isinstance(value, str) else kind_of(*DISTRIBUTIONS, "linear_distance")(value),
        custom_error_type="form", custom_error_message="connection_value",
    ),
]  # fmt: skip
_parameter_kind = kind_of(*DISTRIBUTIONS)


def _parameter_form(value: Any) -> str | None:
    if isinstance(value, bool):
        return "<flag>"
    return (
        "<spikes>" if isinstance(value, dict) and "file" in value and "column" not in value else _parameter_kind(value)
    )


ParameterValue = Annotated[  # vector parameters take lists of lists or spikes in a file, switches true or false
    Annotated[float, Tag("<number>")]
    | Annotated[bool, Tag("<flag>")]
    | _Distributions
    | Annotated[SpikesSpec, Tag("<spikes>")]
    | Annotated[list[_Item], Tag("<list>")],
    Discriminator(_parameter_form, custom_error_type="form", custom_error_message="value"),
]


class SelectionSpec(Spec):
    population: str
    slice: Annotated[list[int] | None, NotNull] = None
    neurons: Annotated[list[int] | None, NotNull] = None
    fraction: Annotated[float | None, NotNull] = None
    draw: int = 0


Selected = Annotated[
    Annotated[str, Tag("<name>")] | Annotated[SelectionSpec, Tag("<selection>")],
    Discriminator(
        lambda value: "<selection>" if isinstance(value, dict) else "<name>" if isinstance(value, str) else None,
        custom_error_type="form", custom_error_message="selection",
    ),
]  # fmt: skip


class Autapses(Spec):
    """Arguments of rules that give each pair once, at most."""

    autapses: bool = True

    @model_validator(mode="before")
    @classmethod
    def _no_multapses(cls, value: Any) -> Any:
        if isinstance(value, dict) and "multapses" in value and "multapses" not in cls.model_fields:
            raise PydanticCustomError("no_meaning", "{text}", {"text": cls.about_multapses()})
        return value

    @classmethod
    def about_multapses(cls) -> str:
        """Why they are no choice."""
        return "no key multapses: this rule joins a pair at most once"


class Multapses(Autapses):
    multapses: bool = True


class Located(Multapses):
    """Partners drawn among those within a mask, in proportion to p."""

    p: Annotated[PairValue | None, NotNull] = None
    mask: Annotated[MaskSpec | None, NotNull] = None


class Indegree(Located):
    indegree: int


class Outdegree(Located):
    outdegree: int


class Total(Multapses):
    N: int


class Probability(Autapses):
    p: PairValue
    mask: Annotated[MaskSpec | None, NotNull] = None


class SymmetricProbability(Spec):
    p: float

    @model_validator(mode="before")
    @classmethod
    def _no_choice(cls, value: Any) -> Any:
        for key in ("autapses", "multapses"):
            if isinstance(value, dict) and key in value:
                raise PydanticCustomError(
                    "no_meaning",
                    "{text}",
                    {"text": f"no key {key}: this rule joins two different neurons, once each way"},
                )
        return value


class MeanNumber(Autapses):
    pairwise_avg_num_conns: PairValue
    mask: Annotated[MaskSpec | None, NotNull] = None

    @classmethod
    def about_multapses(cls) -> str:
        return "no key multapses: a Poisson number of connections can be above one"


class EdgeFile(Spec):
    file: str


class OneToOneSpec(Spec):
    one_to_one: Autapses


class AllToAllSpec(Spec):
    all_to_all: Autapses


class FixedIndegreeSpec(Spec):
    fixed_indegree: Annotated[Indegree, short_form("indegree")]


class FixedOutdegreeSpec(Spec):
    fixed_outdegree: Annotated[Outdegree, short_form("outdegree")]


class FixedTotalNumberSpec(Spec):
    fixed_total_number: Annotated[Total, short_form("N")]


class PairwiseBernoulliSpec(Spec):
    pairwise_bernoulli: Annotated[Probability, short_form("p")]


class SymmetricPairwiseBernoulliSpec(Spec):
    symmetric_pairwise_bernoulli: Annotated[SymmetricProbability, short_form("p")]


class PairwisePoissonSpec(Spec):
    pairwise_poisson: Annotated[MeanNumber, short_form("pairwise_avg_num_conns")]


class ExplicitSpec(Spec):
    explicit: EdgeFile


RuleSpec = Annotated[
    Annotated[OneToOneSpec, Tag("<one_to_one>")]
    | Annotated[AllToAllSpec, Tag("<all_to_all>")]
    | Annotated[FixedIndegreeSpec, Tag("<fixed_indegree>")]
    | Annotated[FixedOutdegreeSpec, Tag("<fixed_outdegree>")]
    | Annotated[FixedTotalNumberSpec, Tag("<fixed_total_number>")]
    | Annotated[PairwiseBernoulliSpec, Tag("<pairwise_bernoulli>")]
    | Annotated[SymmetricPairwiseBernoulliSpec, Tag("<symmetric_pairwise_bernoulli>")]
    | Annotated[PairwisePoissonSpec, Tag("<pairwise_poisson>")]
    | Annotated[ExplicitSpec, Tag("<explicit>")],
    Discriminator(kind_of(*RULE_KEYS, number=False), custom_error_type="form", custom_error_message="rule"),
    by_name("one_to_one", "all_to_all"),
]
