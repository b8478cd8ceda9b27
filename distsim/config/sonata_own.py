"""Our own section of a SONATA configuration, `distsim`: inputs that SONATA has no words for, in those of our files.

    "distsim": {
      "run": {"seed": 7},
      "inputs": {"noise": {"type": "poisson", "targets": ["E"], "rate": 8000.0, "weight": 50.0}},
      "input_order": ["noise", "current_clamp"]
    }

Random streams are numbered by an input's position among all, and currents are added in that order; `input_order` says
it for SONATA's own inputs and ours together. Without it SONATA's come first.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError

from distsim.config.convert import described_input
from distsim.config.messages import validation_message
from distsim.config.schema import InputSpec
from distsim.config.schema_base import NotNull, Spec
from distsim.config.schema_values import ColumnSpec, SpikesSpec
from distsim.config.sonata_config import Sections
from distsim.errors import ConfigError, nearest
from distsim.network import Network


class OwnSpec(Spec):
    """The section as it stands; `run` is checked where it becomes that of the experiment."""

    run: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, InputSpec] = Field(default_factory=dict)
    input_order: Annotated[list[str] | None, NotNull] = None


def own_section(config: Sections) -> OwnSpec:
    """The section, as strictly as an experiment file, before anything else of the circuit is read.

    Raises
    ------
    ConfigError
        A key or a value that no experiment file may have, or a name that SONATA's inputs have, too.
    """
    document = config.section("distsim")
    try:
        found = OwnSpec.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"distsim.{validation_message(error, document)}") from None
    others = config.section("inputs")
    for label in found.inputs:
        if label in others:
            raise ConfigError(f"distsim.inputs.{label}: found in inputs, too; names of inputs are unique")
    order = found.input_order or []
    for i, label in enumerate(order):
        where = f"distsim.input_order[{i}]"
        if label not in found.inputs and label not in others:
            raise ConfigError(f"{where}: unknown input {label!r}; {nearest(label, [*others, *found.inputs])}")
        if label in order[:i]:
            raise ConfigError(f"{where}: input {label!r} stands twice; name each once")
    return found


def own_inputs(network: Network, config: Sections, own: OwnSpec) -> None:
    """Describe the inputs of the section after SONATA's, and bring all into their order.

    Raises
    ------
    ConfigError
        As for `inputs` of an experiment file; a file outside the circuit's directory; an order that leaves one out.
    """
    for label, given in own.inputs.items():
        confined = {key: _confined(config, f"distsim.inputs.{label}.{key}.file", v) for key, v in given.params.items()}
        try:
            described_input(network, given.model_copy(update=confined), label, config.files)
        except ConfigError as error:
            raise ConfigError(f"distsim.{error}") from None
    if own.input_order is None:
        return
    place = {label: i for i, label in enumerate(own.input_order)}
    missing = next((i.name for i in network.inputs if i.name not in place), None)
    if missing is not None:
        raise ConfigError(f"distsim.input_order: {missing!r} is missing; name every input, or leave the key out")
    network.inputs.sort(key=lambda i: place[i.name])


def _confined(config: Sections, where: str, value: Any) -> Any:
    """A value with the file that it names below the circuit's directory."""
    if isinstance(value, (ColumnSpec, SpikesSpec)):
        return value.model_copy(update={"file": config.path(where, value.file)})
    return value
