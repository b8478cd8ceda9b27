"""The configuration as a JSON schema for editors: pydantic's, widened by what its validators accept besides,
and with the words and units that a reader wants to see.

What cannot be said of one value alone (that names exist, that sizes fit) is left to `distsim check`.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from distsim.config.builders import published_builders
from distsim.config.json_devices import describe_devices
from distsim.config.schema import ExperimentSpec
from distsim.config.words import WORDS
from distsim.models import MODELS, Family, Model

Schema = dict[str, Any]
DIALECT = "http://json-schema.org/draft-07/schema#"  # what YAML language servers read

# Keys whose value may be given in short: as a list in the order of these keys, or as the number alone.
_SHORT_LISTS = {"uniform": "[low, high]", "uniform_int": "[low, high]", "normal": "[mean, std]",
                "normal_clipped": "[mean, std]", "lognormal": "[mean, std]", "gamma": "[shape, scale]"}  # fmt: skip
_SHORT_NUMBERS = {
    "fixed_indegree": ("Indegree", "indegree"), "fixed_outdegree": ("Outdegree", "outdegree"),
    "fixed_total_number": ("Total", "N"), "pairwise_bernoulli": ("Probability", "p"),
    "symmetric_pairwise_bernoulli": ("SymmetricProbability", "p"),
    "pairwise_poisson": ("MeanNumber", "pairwise_avg_num_conns"), "exponential": ("Beta", "beta"),
}  # fmt: skip
_NAMED_RULES = ("one_to_one", "all_to_all")
_JSON_TYPES: dict[Any, Schema] = {
    float: {"type": "number"}, int: {"type": "integer"}, str: {"type": "string"}, bool: {"type": "boolean"},
    types.NoneType: {"type": "null"},
}  # fmt: skip


def experiment_schema() -> Schema:
    """The JSON schema (draft 7) of an experiment file."""
    raw = _without_null_and_titles(ExperimentSpec.model_json_schema(ref_template="#/definitions/{model}"))
    definitions: dict[str, Schema] = {
        name.removesuffix("Spec"): definition for name, definition in _renamed(raw.pop("$defs")).items()
    }
    whole = _renamed(raw)
    _describe("Experiment", whole)
    for name, definition in definitions.items():
        _describe(name, definition)
        if not name.endswith(("Kernel", "Of")):  # gamma and exponential are distributions, too, with short forms
            _shorten(definition)
    _one_or_more_selected(definitions["Input"], "targets")
    for key in ("source", "target"):
        _one_or_more_selected(definitions["Projection"], key)
    rule = definitions["Projection"]["properties"]["rule"]
    rule["oneOf"] = [{"enum": list(_NAMED_RULES)}, *rule["oneOf"]]
    population = definitions["Population"]
    positions = population["properties"]["positions"]
    positions["oneOf"] = [{"enum": ["box", "ellipse"]}, *positions["oneOf"]]
    definitions["ParameterValue"] = population["properties"]["params"]["additionalProperties"]
    definitions["Value"] = population["properties"]["initial"]["additionalProperties"]
    _describe_models(population)
    describe_devices(definitions["Input"])
    _describe_builders(definitions["Network"])
    described = [{"required": [key]} for key in ("populations", "inputs", "projections")]
    whole["oneOf"] = [{"required": ["populations"]}, {"required": ["network"], "not": {"anyOf": described}}]
    return {
        "$schema": DIALECT, "title": "distsim experiment",
        "description": "An experiment for `distsim run`. Units: ms, mV, pF, pA, nS, Hz.",
        **{k: v for k, v in whole.items() if k not in ("title", "description")}, "definitions": definitions,
    }  # fmt: skip


def _without_null_and_titles(schema: Any) -> Any:
    """Keys left out have their default: null is no value. Titles say nothing that the keys do not."""
    if isinstance(schema, list):
        return [_without_null_and_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    cleaned = {k: _without_null_and_titles(v) for k, v in schema.items() if not (k == "title" and isinstance(v, str))}
    options = cleaned.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        rest = [option for option in options if option != {"type": "null"}]
        cleaned.pop("anyOf")
        cleaned.pop("default", None)
        cleaned.update(rest[0] if len(rest) == 1 else {"anyOf": rest})
    return cleaned


def _renamed(schema: Any) -> Any:
    """References without the suffix Spec."""
    if isinstance(schema, list):
        return [_renamed(item) for item in schema]
    if isinstance(schema, dict):
        return {k: v.removesuffix("Spec") if k == "$ref" else _renamed(v) for k, v in schema.items()}
    return schema


def _describe(name: str, definition: Schema) -> None:
    properties = definition.get("properties", {})
    for key, schema in properties.items():
        text, bounds = WORDS[name, key]
        # Beside $ref draft 7 reads nothing else.
        properties[key] = {"allOf": [schema], "description": text} if "$ref" in schema else schema
        properties[key].update({"description": text, **bounds})


def _shorten(definition: Schema) -> None:
    """Admit the short forms of distributions and rules."""
    properties = definition.get("properties", {})
    for key, schema in properties.items():
        if key in _SHORT_LISTS:
            pair = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
            short: Schema = {**pair, "description": _SHORT_LISTS[key]}
        elif key in _SHORT_NUMBERS:
            name, of = _SHORT_NUMBERS[key]
            number = "integer" if of in ("indegree", "outdegree", "N") else "number"
            short = {"type": number, "description": WORDS[name, of][0], **WORDS[name, of][1]}
        else:
            continue
        properties[key] = {"anyOf": [short, *schema.pop("allOf")], **schema}


def _one_or_more(definition: Schema, *keys: str) -> None:
    for key in keys:
        names = definition["properties"][key]
        text = names.pop("description")
        definition["properties"][key] = {"anyOf": [{"type": "string"}, {**names, "minItems": 1}], "description": text}


def _one_or_more_selected(definition: Schema, key: str) -> None:
    """A side: one population or selection, or a list of them."""
    several = definition["properties"][key]
    text = several.pop("description")
    one = several["items"]
    definition["properties"][key] = {"anyOf": [one, {**several, "minItems": 1}], "description": text}


def _describe_models(population: Schema) -> None:
    """The model's name decides which parameters and states there are."""
    properties = population["properties"]
    text = properties["model"]["description"]
    properties["model"] = {
        "anyOf": [
            {"enum": list(MODELS), "enumDescriptions": [m.doc.split("\n")[0] for m in MODELS.values()]},
            {"type": "string", "pattern": r"\.py:\w+$"},
        ],
        "description": f"{text} One of your own: my_models.py:my_model.",
    }
    for key in ("params", "initial"):
        properties[key].pop("additionalProperties", None)
    population["allOf"] = [_of_model(model) for model in MODELS.values()]


def _of_model(declared: Model | Family) -> Schema:
    model = declared.example if isinstance(declared, Family) else declared
    parameters: dict[str, Schema] = {
        p.name: {
            "allOf": [{"$ref": "#/definitions/ParameterValue"}],
            "description": f"{p.doc} ({p.unit})" + ("" if p.vector else f", default {p.default:g}"),
        }
        for p in model.parameters
    }
    lengths_vary: dict[str, Schema] = {}
    if isinstance(declared, Family):
        for x in declared.lists:
            for k in range(1, len(x.default) + 1):
                parameters.pop(f"{x.name}_{k}", None)
            parameters[x.name] = {
                "type": "array", "items": {"type": "number"}, "minItems": x.least,
                "description": f"{x.doc} ({x.unit}), default {list(x.default)}",
            }  # fmt: skip
            lengths_vary[rf"^{x.name}_\d+$"] = {"$ref": "#/definitions/ParameterValue"}
        for whole in declared.wholes:
            parameters[whole.name] = {
                "type": "integer", "minimum": whole.least, "maximum": whole.most,
                "description": f"{whole.doc}, default {whole.default}",
            }  # fmt: skip
        for flag in declared.flags:
            parameters[flag.name] = {
                "type": "boolean",
                "description": f"{flag.doc}, default {str(flag.default).lower()}",
            }
    states = {
        s.name: {"allOf": [{"$ref": "#/definitions/Value"}], "description": f"{s.doc} ({s.unit})"}
        for s in model.states if s.recordable
    }  # fmt: skip
    return {
        "if": {"properties": {"model": {"const": model.name}}},
        "then": {
            "properties": {
                "params": {
                    "properties": parameters, "additionalProperties": False,
                    **({"patternProperties": lengths_vary} if lengths_vary else {}),
                },
                "initial": {"properties": states, "additionalProperties": isinstance(declared, Family)},
            }
        },
    }  # fmt: skip


def _describe_builders(network: Schema) -> None:
    """Published networks and their arguments; a user's own builder takes what it takes."""
    builders = published_builders()
    network["properties"]["builder"] = {
        "anyOf": [{"enum": [*builders, "sonata"]}, {"type": "string", "pattern": r"\.py:\w+$"}],
        "description": WORDS["Network", "builder"][0],
    }
    network["allOf"] = [_of_builder(name, function) for name, function in builders.items()]
    network.pop("additionalProperties", None)


def _of_builder(name: str, function: Callable[..., Any]) -> Schema:
    hints = typing.get_type_hints(function)
    arguments: dict[str, Schema] = {"builder": {}}
    required = []
    words = _documented(function)
    for key, parameter in inspect.signature(function).parameters.items():
        arguments[key] = _of_type(hints.get(key, Any))
        if key in words:
            arguments[key]["description"] = words[key]
        if parameter.default is parameter.empty:
            required.append(key)
        elif parameter.default is not None:
            arguments[key]["default"] = parameter.default
    return {
        "if": {"properties": {"builder": {"const": name}}},
        "then": {"properties": arguments, "additionalProperties": False, "required": required},
    }


def _of_type(hint: Any) -> Schema:
    """The schema of an argument's annotation; anything where it says too much for JSON."""
    if hint in _JSON_TYPES:
        return dict(_JSON_TYPES[hint])
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return {"enum": list(options)}
    if origin in (typing.Union, types.UnionType):
        found = [_of_type(option) for option in options]
        return {} if {} in found else {"anyOf": found}
    if origin in (list, tuple) or (isinstance(origin, type) and issubclass(origin, typing.cast(type, Mapping))):
        return {"type": "array" if origin in (list, tuple) else "object"}
    return {}


def _documented(function: Callable[..., Any]) -> dict[str, str]:
    """Argument → its words, from the section Parameters of a numpydoc docstring."""
    words: dict[str, str] = {}
    names: list[str] = []
    inside = False
    for line in inspect.cleandoc(function.__doc__ or "").split("\n"):
        if line.startswith("---"):
            continue
        if not line.startswith(" "):
            if line in ("Parameters", "Returns", "Raises", "Notes", "References", "Examples"):
                inside = line == "Parameters"
            names = [n.strip() for n in line.split(":")[0].split(",")] if inside and line != "Parameters" else []
        elif inside:
            for name in names:
                words[name] = f"{words.get(name, '')} {line.strip()}".strip()
    return words
