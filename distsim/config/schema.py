"""The form of an experiment file as pydantic models: which keys there are and what type each takes.

What values mean, and whether they fit together, is checked where the network is described.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from distsim.config.schema_base import NotNull, Spec
from distsim.config.schema_space import PositionsSpec, SpaceSpec
from distsim.config.schema_values import ConnectionValue, ParameterValue, RuleSpec, Selected, Value
from distsim.experiment import ExchangeName, PartitionName, RoutingName


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(_one_or_more)]


def _partition_form(value: Any) -> str | None:
    return "<mapping>" if isinstance(value, dict) else "<name>" if isinstance(value, str) else None


Partition = Annotated[
    Annotated[PartitionName, Tag("<name>")] | Annotated[dict[str, int], Tag("<mapping>")],
    Discriminator(_partition_form, custom_error_type="form", custom_error_message="partition"),
]


def _number_or_text(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise PydanticCustomError("wall_time", 'a number, or text such as "15 min", "2 h" or "23:30:00"')


WallTime = Annotated[float | str, BeforeValidator(_number_or_text)]


class CheckpointSpec(Spec):
    every: Annotated[float | None, NotNull] = None
    every_wall: Annotated[WallTime | None, NotNull] = None
    keep: int = 2


class RunSpec(Spec):
    duration: float
    warmup: float = 0.0
    dt: float = 0.1
    seed: int = 1
    precision: Literal["single", "double"] = "single"
    partition: Partition = "block"
    exchange_interval: Annotated[float | None, NotNull] = None
    delivery: Literal["auto", "wheel", "ring"] = "auto"
    routing: RoutingName = "auto"
    exchange: ExchangeName = "auto"
    checkpoint: Annotated[CheckpointSpec | None, NotNull] = None
    wall_time: Annotated[WallTime | None, NotNull] = None


class PopulationSpec(Spec):
    model: str
    size: int
    params: dict[str, ParameterValue] = Field(default_factory=dict)
    initial: dict[str, Value] = Field(default_factory=dict)
    positions: Annotated[PositionsSpec | None, NotNull] = None


def _one_or_more_selected(value: Any) -> Any:
    return [value] if isinstance(value, (str, dict)) else value


Side = Annotated[list[Selected], BeforeValidator(_one_or_more_selected)]


def _name_or_number(value: Any) -> Any:
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return value
    raise PydanticCustomError("port", "the name of a receptor, or its number")


Port = Annotated[str | int, BeforeValidator(_name_or_number)]


class InputSpec(Spec):
    """A device; every key that is not listed here is one of its parameters."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, ParameterValue]
    type: str
    targets: Side
    weight: Annotated[float | None, NotNull] = None
    receptor: Annotated[Port | None, NotNull] = None
    start: float = 0.0
    stop: Annotated[float | None, NotNull] = None

    @property
    def params(self) -> dict[str, Any]:
        return self.__pydantic_extra__


class ProjectionSpec(Spec):
    source: Side
    target: Side
    rule: RuleSpec
    weight: Annotated[ConnectionValue | None, NotNull] = None
    delay: Annotated[ConnectionValue | None, NotNull] = None
    receptor: Annotated[Port | None, NotNull] = None
    generate: Annotated[Literal["by_target", "by_source"] | None, NotNull] = None
    weight_bits: Annotated[Literal[16, 8, 4] | None, NotNull] = None
    storage: Literal["stored", "procedural", "auto"] = "stored"


class StatesSpec(Spec):
    variables: list[str]
    interval: float = 1.0
    neurons: Annotated[list[int] | None, NotNull] = None
    slice: Annotated[list[int] | None, NotNull] = None
    fraction: Annotated[float | None, NotNull] = None
    draw: int = 0


def _all_or_names(value: Any) -> Any:
    if value == "all" or isinstance(value, list):
        return value
    raise PydanticCustomError("all_or_names", "all, or a list of populations such as [E, I]")


def _all_or_indices(value: Any) -> Any:
    if value == "all" or isinstance(value, list):
        return value
    raise PydanticCustomError("all_or_indices", "all, or a list of indices of projections such as [0, 2]")


class RatesSpec(Spec):
    bin: float
    populations: Annotated[Literal["all"] | list[str], BeforeValidator(_all_or_names)] = "all"


class RecordSpec(Spec):
    spikes: Annotated[Literal["all"] | list[Selected], BeforeValidator(_all_or_names)] = "all"
    states: dict[str, StatesSpec] = Field(default_factory=dict)
    rates: Annotated[RatesSpec | None, NotNull] = None
    connections: Annotated[Literal["all"] | list[int], BeforeValidator(_all_or_indices)] = Field(default_factory=list)


class NetworkSpec(Spec):
    """A builder's name; every other key is one of its arguments."""

    model_config = ConfigDict(extra="allow")
    builder: str


class ExperimentSpec(Spec):
    """The whole file."""

    name: Annotated[str | None, NotNull] = None
    run: RunSpec
    space: Annotated[SpaceSpec | None, NotNull] = None
    network: Annotated[NetworkSpec | None, NotNull] = None
    populations: Annotated[dict[str, PopulationSpec] | None, NotNull] = None
    inputs: dict[str, InputSpec] = Field(default_factory=dict)
    projections: list[ProjectionSpec] = Field(default_factory=list)
    record: Annotated[RecordSpec | None, NotNull] = None
    files: dict[str, str] = Field(default_factory=dict)
