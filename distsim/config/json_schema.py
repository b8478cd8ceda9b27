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
from distsim.config.words_space import WORDS_OF_SPACE
from distsim.models import MODELS, Family, Model

Schema = dict[str, Any]
DIALECT = "http://json-schema.org/draft-07/schema#"  # what YAML language servers read

# (definition, key): what it is, its unit, and bounds. A test holds this table to the models.
_P_OF_DEGREES = (
    "What partners are drawn in proportion to (pairwise_bernoulli: the probability of each pair, required): a number, "
    "an expression, or a kernel. Default: none."
)
WORDS: dict[tuple[str, str], tuple[str, Schema]] = {
    ("Experiment", "name"): ("Name of the experiment; results go to results/NAME. Default: the file's name.", {}),
    ("Experiment", "run"): ("How long, how fine and how to run.", {}),
    ("Experiment", "network"): ("A network that a function builds, instead of populations and projections.", {}),
    ("Experiment", "populations"): ("Populations by name; global ids count in this order.", {}),
    ("Experiment", "inputs"): ("Inputs from outside by name.", {}),
    ("Experiment", "projections"): ("Connections; a projection's identity is its position in this list.", {}),
    ("Experiment", "record"): ("What is recorded. Default: the spikes of all neurons.", {}),
    ("Experiment", "files"): ("SHA-256 of files that must not have changed (written by distsim).", {}),
    ("Run", "duration"): ("Biological time after the warm-up (ms), a multiple of dt.", {"minimum": 0}),
    ("Run", "warmup"): ("Time before recording starts (ms), a multiple of dt.", {"minimum": 0}),
    ("Run", "dt"): ("Time step (ms).", {"exclusiveMinimum": 0}),
    ("Run", "seed"): ("Seed of all random numbers.", {"minimum": 0, "maximum": 2**32 - 1}),
    ("Run", "precision"): ("single: float32 state, 16-bit weights; double: float64 state, 48-bit weights.", {}),
    ("Run", "partition"): ("Which rank computes which neurons; never changes a result.", {}),
    ("Run", "exchange_interval"): ("At most so long between exchanges of spikes (ms).", {"exclusiveMinimum": 0}),
    ("Run", "delivery"): ("How spikes wait until they are due: time wheel, input ring, or by the length of runs.", {}),
    ("Run", "routing"): ("Whether spikes that most ranks need go to all ranks; never changes a result.", {}),
    ("Run", "exchange"): ("Whether ranks exchange spikes with all, or with neighbours; never changes a result.", {}),
    ("Run", "checkpoint"): ("When to keep the state, besides at the end and when stopped.", {}),
    ("Run", "wall_time"): ("Stop with a checkpoint before so long: minutes, or text such as \"23:30:00\".", {}),
    ("Checkpoint", "every"): ("Biological time between checkpoints (ms), a multiple of dt.", {"exclusiveMinimum": 0}),
    ("Checkpoint", "every_wall"): ("Wall-clock time between them: seconds, or text such as \"15 min\".", {}),
    ("Checkpoint", "keep"): ("How many stay, the newest.", {"minimum": 1}),
    ("Population", "model"): ("Neuron model or generator.", {}),
    ("Population", "size"): ("Number of neurons.", {"minimum": 1, "maximum": 2**40}),
    ("Population", "params"): ("A number, a distribution, a list with one number a neuron, or a column each.", {}),
    ("Population", "initial"): ("Initial values of states, in the same forms.", {}),
    ("Input", "type"): ("The device; its parameters stand beside these keys.", {}),
    ("Input", "targets"): ("A population or a selection of it, or a list of these.", {}),
    ("Input", "weight"): ("Weight of each spike, in the receptor's unit; a factor of a current (default 1).", {}),
    ("Input", "start"): ("Active at times t with start < t <= stop (ms), a multiple of dt.", {"minimum": 0}),
    ("Input", "stop"): ("Active at times t with start < t <= stop (ms). Default: to the end.", {"minimum": 0}),
    ("Input", "receptor"): ("Port of the target; by default the sign of the weight decides.", {}),
    ("Projection", "source"): ("A population or a selection of it, or a list of these that count as one.", {}),
    ("Projection", "target"): ("A population or a selection of it, or a list of these that count as one.", {}),
    ("Projection", "generate"): (
        "Whose identity the draws belong to: by_target (default) or by_source. Two networks of one distribution.", {},
    ),
    ("Projection", "weight_bits"): ("Weights in 2^bits levels that keep mean and variance. Default: as they are.", {}),
    ("Projection", "storage"): (
        "stored; procedural: drawn again for each spike; auto: procedural where memory would not hold it. Without "
        "`stored` it is by_source, and no result depends on which of the three it is.", {},
    ),
    ("Selection", "population"): ("The population.", {}),
    ("Selection", "slice"): ("[start, stop] or [start, stop, step] of local ids; stop is excluded.", {}),
    ("Selection", "neurons"): ("Local ids in ascending order.", {}),
    ("Selection", "fraction"): ("A random share; how many is exact, rounded half up.", {"maximum": 1}),
    ("Selection", "draw"): ("Another number, other neurons; equal selections are the same neurons.", {"minimum": 0}),
    ("Projection", "rule"): ("Who is connected with whom.", {}),
    ("Projection", "weight"): ("In the receptor's unit (pA for currents). Default: 1.", {}),
    ("Projection", "delay"): ("ms, rounded to steps; at least dt. Default: 1.", {}),
    ("Projection", "receptor"): ("Port of the target; by default the sign of the weight decides.", {}),
    ("States", "variables"): ("State variables, such as V_m.", {}),
    ("States", "interval"): ("Time between samples (ms), a multiple of dt.", {"exclusiveMinimum": 0}),
    ("States", "neurons"): ("Population-local ids, from 0. Default: all neurons.", {}),
    ("States", "slice"): ("[start, stop] or [start, stop, step] of local ids; stop is excluded.", {}),
    ("States", "fraction"): ("A random share of the neurons; how many is exact, rounded half up.", {"maximum": 1}),
    ("States", "draw"): ("Another number, other neurons; equal fractions are the same neurons.", {"minimum": 0}),
    ("Record", "spikes"): ("all, or a list of populations and selections of them.", {}),
    ("Rates", "bin"): ("Width of a bin (ms), a multiple of dt.", {"exclusiveMinimum": 0}),
    ("Rates", "populations"): ("all (every neuron's), or a list of populations.", {}),
    ("Record", "connections"): ("Projections whose synapses are written to edges.h5: all, or their indices.", {}),
    ("Record", "rates"): ("Spikes of populations counted in bins, without storing them. Default: none.", {}),
    ("Record", "states"): ("State variables by population.", {}),
    ("Network", "builder"): ("A network of distsim.published, my_file.py:my_function, or sonata.", {}),
    ("LowHigh", "low"): ("Lower bound, included.", {}),
    ("LowHigh", "high"): ("Upper bound, excluded.", {}),
    ("MeanStd", "mean"): ("Mean (of the logarithm, for lognormal).", {}),
    ("MeanStd", "std"): ("Standard deviation (of the logarithm, for lognormal).", {"minimum": 0}),
    ("WholeLowHigh", "low"): ("Smallest whole number.", {}),
    ("WholeLowHigh", "high"): ("Largest whole number, included.", {}),
    ("Beta", "beta"): ("Mean.", {"exclusiveMinimum": 0}),
    ("ShapeScale", "shape"): ("Shape.", {"minimum": 0.05, "maximum": 1e4}),
    ("ShapeScale", "scale"): ("Scale; the mean is shape times scale.", {"exclusiveMinimum": 0}),
    ("LowHigh", "min"): ("Smallest number. Default: none.", {}),
    ("LowHigh", "max"): ("Largest number. Default: none.", {}),
    ("LowHigh", "bounds"): ("redraw: drawn again beyond min or max; clip: set to min or max.", {}),
    ("WholeLowHigh", "min"): ("Smallest number. Default: none.", {}),
    ("WholeLowHigh", "max"): ("Largest number. Default: none.", {}),
    ("WholeLowHigh", "bounds"): ("redraw: drawn again beyond min or max; clip: set to min or max.", {}),
    ("MeanStd", "min"): ("Smallest number. Default: none.", {}),
    ("MeanStd", "max"): ("Largest number. Default: none.", {}),
    ("MeanStd", "bounds"): ("redraw: drawn again beyond min or max; clip: set to min or max.", {}),
    ("Beta", "min"): ("Smallest number. Default: none.", {}),
    ("Beta", "max"): ("Largest number. Default: none.", {}),
    ("Beta", "bounds"): ("redraw: drawn again beyond min or max; clip: set to min or max.", {}),
    ("ShapeScale", "min"): ("Smallest number. Default: none.", {}),
    ("ShapeScale", "max"): ("Largest number. Default: none.", {}),
    ("ShapeScale", "bounds"): ("redraw: drawn again beyond min or max; clip: set to min or max.", {}),
    ("Clipped", "mean"): ("Mean before clipping.", {}),
    ("Clipped", "std"): ("Standard deviation before clipping.", {"minimum": 0}),
    ("Clipped", "min"): ("Redrawn below this. Default: dt/2 for delays, 0 for positive weights.", {}),
    ("Clipped", "max"): ("Redrawn above this. Default: 0 for negative weights.", {}),
    ("Column", "file"): ("A comma-separated table with a header line; relative to the configuration.", {}),
    ("Column", "column"): ("Name of the column.", {}),
    ("Spikes", "file"): ("A table with the columns timestamps,node_ids, or SONATA spikes in HDF5.", {}),
    ("Spikes", "population"): ("Which population of the HDF5 file, where it has several.", {}),
    ("EdgeFile", "file"): ("A table with the columns source,target,weight,delay[,receptor].", {}),
    ("Autapses", "autapses"): ("Whether a neuron may connect to itself.", {}),
    ("Indegree", "p"): (_P_OF_DEGREES, {}),
    ("Indegree", "mask"): ("Displacements from source to target that can be joined. Default: all.", {}),
    ("Indegree", "autapses"): ("Whether a neuron may connect to itself.", {}),
    ("Indegree", "indegree"): ("Number of sources of each target.", {"minimum": 0}),
    ("Indegree", "multapses"): ("Whether a pair may be drawn more than once.", {}),
    ("Outdegree", "p"): (_P_OF_DEGREES, {}),
    ("Outdegree", "mask"): ("Displacements from source to target that can be joined. Default: all.", {}),
    ("Outdegree", "autapses"): ("Whether a neuron may connect to itself.", {}),
    ("Outdegree", "multapses"): ("Whether a pair may be drawn more than once.", {}),
    ("Outdegree", "outdegree"): ("Number of targets of each source.", {"minimum": 0}),
    ("Total", "multapses"): ("Whether a pair may be drawn more than once.", {}),
    ("SymmetricProbability", "p"): ("Probability of each unordered pair.", {"minimum": 0, "maximum": 1}),
    ("MeanNumber", "autapses"): ("Whether a neuron may connect to itself.", {}),
    ("MeanNumber", "pairwise_avg_num_conns"): (
        "Mean number of connections of each pair, from 0: a number, an expression, or a kernel.", {},
    ),
    ("Total", "autapses"): ("Whether a neuron may connect to itself.", {}),
    ("Total", "N"): ("Number of connections in all.", {"minimum": 0, "maximum": 2**48}),
    ("Probability", "autapses"): ("Whether a neuron may connect to itself.", {}),
    ("Probability", "p"): ("Probability of each pair: a number from 0 to 1, an expression, or a kernel.", {}),
    ("Uniform", "uniform"): ("Uniform on [low, high).", {}),
    ("UniformInt", "uniform_int"): ("A whole number from low to high, both included.", {}),
    ("Exponential", "exponential"): ("Exponential with this mean; reaches to 22.9 times it.", {}),
    ("Gamma", "gamma"): ("Gamma; reaches to where 2^-33 of the probability is left.", {}),
    ("Normal", "normal"): ("Normal; reaches to 6.34 standard deviations.", {}),
    ("NormalClipped", "normal_clipped"): ("Normal, redrawn until it falls between min and max.", {}),
    ("Lognormal", "lognormal"): ("exp of a normal with this mean and standard deviation.", {}),
    ("OneToOne", "one_to_one"): ("The i-th source to the i-th target.", {}),
    ("AllToAll", "all_to_all"): ("Every source to every target.", {}),
    ("FixedIndegree", "fixed_indegree"): ("So many sources a target.", {}),
    ("FixedOutdegree", "fixed_outdegree"): ("So many targets a source.", {}),
    ("FixedTotalNumber", "fixed_total_number"): ("So many connections, pairs drawn uniformly.", {}),
    ("SymmetricPairwiseBernoulli", "symmetric_pairwise_bernoulli"): (
        "Every unordered pair both ways with probability p, or not at all; source and target are the same neurons.", {},
    ),
    ("PairwisePoisson", "pairwise_poisson"): ("Every pair a Poisson number of times.", {}),
    ("PairwiseBernoulli", "pairwise_bernoulli"): ("Every pair once, with probability p.", {}),
    ("Explicit", "explicit"): ("Connections listed in a file: CSV, .npz or HDF5, read block by block.", {}),
    **WORDS_OF_SPACE,
}  # fmt: skip

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
