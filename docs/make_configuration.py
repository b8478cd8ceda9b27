"""Writes docs/configuration.md from the JSON schema, the models and the published networks.

To be run as `python docs/make_configuration.py` wherever one of these changes. What cannot be read
from them, such as how keys belong together, stands here in NOTES. A test compares the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distsim import published
from distsim.config.json_schema import experiment_schema
from distsim.models import MODELS

Schema = dict[str, Any]
OUT = Path(__file__).with_name("configuration.md")
TITLE = """<!-- Written by docs/make_configuration.py; change the sources that it reads, not this file. -->

# Configuration

Every key of an experiment file. `distsim schema --out distsim.schema.json` writes the same for editors, and
`distsim check CONFIG` says whether a file is right. For a way in, see the [tutorial](tutorial.md).

- A file is YAML 1.2 in UTF-8, at most 16 MiB, without anchors, tags, duplicate keys and second documents.
- Units are ms, mV, pF, pA and Hz.
- Unknown keys are errors. A key that is left out has its default; `null` is allowed for arguments of builders alone.
- Relative paths start from the folder of the file.
- `--set KEY=VALUE` changes one entry: `--set run.seed=7`, `--set projections.0.delay=2.0`. List items count from 0.
"""
# Heading, definition of the schema, what the key is called in full.
SECTIONS = (
    ("The file", "Experiment", ""),
    ("run", "Run", "run."),
    ("run.checkpoint", "Checkpoint", "run.checkpoint."),
    ("populations", "Population", "populations.NAME."),
    ("inputs", "Input", "inputs.NAME."),
    ("projections", "Projection", "projections.INDEX."),
    ("selections", "Selection", ""),
    ("space", "Space", "space."),
    ("record", "Record", "record."),
    ("record.states", "States", "record.states.POPULATION."),
    ("record.rates", "Rates", "record.rates."),
    ("network", "Network", "network."),
)
NOTES = {
    "Experiment": (
        "A file has `run`, and either `populations` or `network`. Beside `network` there are no `populations`, "
        "`inputs` and `projections`; `record` may stand beside it and replaces what the builder records."
    ),
    "Run": (
        "`dt` lies between 1e-6 and 1000 ms. Times are whole multiples of `dt`; `warmup` and `duration` together are "
        "fewer than 2^40 steps. `partition` as a mapping names a rank, counted from 0, for every population: `{E: 0, "
        "I: 1}`. Without `exchange_interval` ranks exchange spikes as rarely as the shortest delay between them "
        "allows, at most every 64 steps; with it never more rarely than it says. With `delivery: auto` a rank whose "
        "runs have fewer than 15 synapses in the mean adds spikes to an input ring when they arrive, unless the ring "
        "would be out of proportion to the synapses; other ranks keep them on the time wheel until they are due. Which "
        "changes no result; the summary says what was chosen."
    ),
    "Checkpoint": (
        "`checkpoint: {}` keeps the state at the end of the run, so that it can be made longer; `every` and "
        "`every_wall` keep it in between too. Whatever stands here, a run that writes results leaves a checkpoint "
        "when it is stopped: see [reliability](reliability.md)."
    ),
    "Population": (
        "A name has no `/`. A generator is a population too. `params` and `initial` take the names that the "
        "[model](#models) declares, and [values](#values); a list has one number for each neuron. All populations "
        "together have at most 2^40 neurons and generators."
    ),
    "Input": (
        "Every target has a train of its own. [Models](models.md#inputs) has the parameters of each type. Without "
        "`receptor`, here and in projections, a model's only port takes weights of either sign, and of the ports "
        "`excitatory` and `inhibitory` the sign of the weight chooses one. `receptor` is needed where a population has "
        "several numbered ports: the models with `multisynapse` in their names, `glif_psc`, `glif_cond` and "
        "`glif_psc_double_alpha` with lists of more than one time constant. Currents have no `receptor`."
    ),
    "Projection": (
        "A list of populations is one side: ids count on from one population to the next. Delays become whole steps, "
        "rounded half up, from 1 to 32,768. With the rule `explicit` weights and delays come from its file, and the "
        "keys `weight` and `delay` are not allowed."
    ),
    "Selection": (
        "Some neurons of a population, as a source, a target or what is recorded: one of `slice`, `neurons` and "
        "`fraction`. Their ids on a projection's side count from 0 in ascending order. A random fraction depends on "
        "the seed, the population and `draw`, and on nothing else: where it stands again, it is the same neurons."
    ),
    "Record": (
        "Spikes before the end of the warm-up are not written. Generators are recorded where they are listed. "
        "`connections` writes `edges.h5` before the first step: SONATA edges, named SOURCE_to_TARGET. Synapses do not "
        "remember their projection: where several join the same two populations there is one for each receptor, "
        "SOURCE_to_TARGET_RECEPTOR, with the synapses of all of them, which its attribute `projections` lists."
    ),
    "Space": (
        "All lengths have this one unit. Distances along a periodic axis run the shorter way. Where a box has "
        "`extent`, all positions have as many dimensions, and lie within it along periodic axes. "
        "[Connectivity](connectivity.md#space) shows positions, masks and kernels."
    ),
    "States": (
        "Samples are taken at whole multiples of `interval`, counted from the start of the warm-up, and written after "
        "it."
    ),
    "Rates": (
        "Written to `rates.h5`: `/rates/POPULATION/counts` and `bin_start` (ms). Bins count from the end of the "
        "warm-up; a spike at time t is in the bin with bin_start < t <= bin_start + bin. With `record.spikes: []` no "
        "spike is stored."
    ),
    "Network": (
        "Every other key is an argument of the builder. `my_file.py:my_function` names a function in a file of yours "
        "that returns a `distsim.Network`. `sonata` reads the circuit of `config`, a SONATA configuration in JSON: "
        "[SONATA](sonata.md)."
    ),
}
MODELS_NOTE = (
    "Parameters, recordables and receptors of each stand in [Models](models.md): "
    + ", ".join(f"[`{name}`](models.md#{name})" for name in MODELS)
    + ".\n"
)
RULES = (
    "OneToOne", "AllToAll", "FixedIndegree", "FixedOutdegree", "FixedTotalNumber", "PairwiseBernoulli",
    "SymmetricPairwiseBernoulli", "PairwisePoisson", "Explicit",
)  # fmt: skip
VALUES = ("Uniform", "UniformInt", "Normal", "NormalClipped", "Lognormal", "Exponential", "Gamma", "Column", "Spikes")
RULES_NOTE = (
    "With `autapses: false` no neuron connects to itself, with `multapses: false` no pair is connected more than once. "
    "[Connectivity](connectivity.md) says exactly what each rule means, and shows it."
)
VALUES_NOTE = (
    "Parameters, initial states, weights and delays take a number, a distribution, a list of numbers, or a column of "
    "a file; all are finite and at most 1e30 in magnitude. Weights and delays take lists and columns with the rules "
    "`one_to_one`, `all_to_all` (with autapses) and `fixed_indegree` (with multapses): one number for each "
    "connection, target by target. `low` lies below `high`, and `min` below `max`; one of the bounds may be left out. "
    "What is redrawn must have 1e-7 of the probability between them (`normal_clipped`: something within 5 standard "
    "deviations). For `lognormal`, |mean| + 6.34 std is at most 80. A delay from another distribution than "
    "`normal_clipped` must be positive and round to at least one step."
)
POSITIONS = ("Grid", "Box", "Ellipse", "Sphere", "Annulus", "Listed", "PositionFile")
MASKS = ("Circular", "Spherical", "Doughnut", "Rectangular", "BoxMask", "Elliptical", "Ellipsoidal")
KERNELS = (
    "LinearKernel", "ExponentialKernel", "GaussianKernel", "Gaussian2DKernel", "GammaKernel", "GaborKernel",
    "LinearDistance",
)  # fmt: skip
POSITIONS_NOTE = "`box` and `ellipse` alone fill the box of `space`. A file has `columns` (CSV) or a `dataset` (HDF5)."
MASKS_NOTE = (
    "A mask is said about the displacement from source to target. It reaches at most half of a periodic box to either "
    "side. `elliptical` has a `polar_axis` in three dimensions. `anchor` stands beside any of them and moves its "
    "centre."
)
KERNELS_NOTE = (
    "Kernels stand where a probability or a mean number of connections stands; probabilities are cut to 0 … 1. "
    "`linear_distance` is a delay (or a weight). Each is short for an [expression](connectivity.md#expressions), "
    'which can stand in its place: `"0.5 * exp(-distance / 0.2)"`.'
)
# Definitions that stand inside the tables of others.
INSIDE = (
    "GridOf", "Extent", "Ball", "Ring", "Radius", "Radii", "Corners", "Axes", "LinearOf", "ExponentialOf",
    "GaussianOf", "Gaussian2DOf", "GammaOf", "GaborOf", "Velocity", "Autapses", "Indegree", "Outdegree", "Total",
    "Probability", "SymmetricProbability", "MeanNumber", "EdgeFile", "LowHigh", "WholeLowHigh", "MeanStd",
    "LogMeanStd", "Beta", "ShapeScale", "Clipped", "Spikes",
)  # fmt: skip
UNIT = re.compile(r"\((ms|Hz|pA)\b[^)]*\)|^(ms), |in (ms);")
DEFAULT = re.compile(r" Default: ([^.]+)\.")
POWERS = {10**9: "10^9", 2**40: "2^40", 2**48: "2^48", 2**32 - 1: "2^32 - 1"}


def configuration() -> str:
    """The text of docs/configuration.md."""
    schema = experiment_schema()
    definitions = {**schema["definitions"], "Experiment": schema}
    known = {name for _, name, _ in SECTIONS}
    known |= {*RULES, *VALUES, *INSIDE, *POSITIONS, *MASKS, *KERNELS, "Value", "ParameterValue"}
    if set(definitions) != known:
        raise SystemExit(f"docs/make_configuration.py has no place for {sorted(set(definitions) ^ known)}")
    parts = [TITLE]
    for heading, name, prefix in SECTIONS:
        parts.append(f"## {heading if name == 'Experiment' else f'`{heading}`'}\n\n{_keys(definitions[name], prefix)}")
        parts.append(NOTES[name] + "\n")
        if name == "Network":
            parts += _builders(definitions[name])
    parts.append(f"## Rules\n\n{_forms(RULES, definitions)}\n{RULES_NOTE}\n")
    parts.append(f"## Values\n\n{_forms(VALUES, definitions)}\n{VALUES_NOTE}\n")
    for title, names, note in (
        ("Positions", POSITIONS, POSITIONS_NOTE),
        ("Masks", MASKS, MASKS_NOTE),
        ("Kernels", KERNELS, KERNELS_NOTE),
    ):
        parts.append(f"## {title}\n\n{_described(names, definitions)}\n{note}\n")
    parts.append("## Models\n")
    parts.append(MODELS_NOTE)
    return "\n".join(parts)


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _keys(definition: Schema, prefix: str = "") -> str:
    """A table of the keys of a mapping."""
    rows = []
    for key, node in definition["properties"].items():
        text = node.get("description", "")
        found = UNIT.search(text)
        unit = next(filter(None, found.groups())) if found else "–"
        required = key in definition.get("required", ())
        default = "required" if required else _default(node)
        said = DEFAULT.search(text)
        if said and not required:
            default, text = said[1] if default == "–" else default, DEFAULT.sub("", text)
        text = re.sub(r"\((ms|Hz)\)", "", text).replace(" ,", ",").replace(" .", ".")
        text = re.sub(r"^ms, ", "", text)
        text = text.replace("None:", "`null`:")
        text = text[0].upper() + text[1:] if UNIT.match(node["description"]) else text
        rows.append((f"`{prefix}{key}`", _kind(node), _bounds(node), unit, default, text))
    return _table(("key", "value", "bounds", "unit", "default", "what"), rows)


def _default(node: Schema) -> str:
    if "default" in node:
        return f"`{_plain(node['default'])}`"
    return "`null`" if {"type": "null"} in node.get("anyOf", ()) else "–"


def _kind(node: Schema) -> str:
    """What a value looks like, in words."""
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return " or ".join(f"`{choice}`" for choice in node["enum"])
    if "$ref" in node:
        return _link(node["$ref"].rpartition("/")[2])
    if "allOf" in node and len(node["allOf"]) == 1:
        return _kind(node["allOf"][0])
    for options in (node.get("oneOf"), node.get("anyOf")):
        if options:
            names = [_kind(option) for option in options]
            if _link("Uniform") in names:
                return "a [value](#values)"
            if _link("OneToOne") in names:
                return "a [rule](#rules)"
            for group, link in (
                (POSITIONS, "[positions](#positions)"), (MASKS, "a [mask](#masks)"), (KERNELS, "a [kernel](#kernels)"),
            ):  # fmt: skip
                if {_link(name) for name in group} & set(names):
                    others = "number, expression or " if group is KERNELS else ""
                    return others + link
            return " or ".join(dict.fromkeys(names))
    kind = node.get("type")
    if kind == "array":
        return f"a list of {_plural(node['items'])}" if "items" in node else "a list"
    if kind == "object":
        inner = node.get("additionalProperties")
        return (
            f"a mapping from names to {_plural(inner)}" if isinstance(inner, dict) else "a mapping from names to values"
        )
    if "pattern" in node:
        return "`FILE.py:FUNCTION`"
    words = {
        "number": "number",
        "integer": "whole number",
        "string": "name",
        "boolean": "true or false",
        "null": "null",
    }
    return words.get(str(kind), "anything")


def _plural(node: Schema) -> str:
    words = {"integer": "whole numbers", "number": "numbers", "string": "names"}
    return words.get(node.get("type", ""), _kind(node))


def _link(name: str) -> str:
    """Where a definition is described."""
    for heading, definition, _ in SECTIONS:
        if definition == name:
            return f"[{heading}](#{re.sub('[^a-z_-]', '', heading.lower().replace(' ', '-'))})"
    return "[rule](#rules)" + name if name in RULES else "[value](#values)" + name


def _bounds(node: Schema) -> str:
    low = [f"{sign} {_number(node[key])}" for key, sign in (("exclusiveMinimum", ">"), ("minimum", "≥")) if key in node]
    high = [
        f"{sign} {_number(node[key])}" for key, sign in (("exclusiveMaximum", "<"), ("maximum", "≤")) if key in node
    ]
    return ", ".join(low + high) or "–"


def _number(value: float) -> str:
    return POWERS.get(int(value)) or f"{value:g}"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _forms(names: tuple[str, ...], definitions: dict[str, Schema]) -> str:
    """Rules or distributions: how each is written, and the keys of its long form."""
    rows = []
    for name in names:
        definition = definitions[name]
        if name == "Column":
            text = "One number for each neuron or connection: a column of a table with a header line."
            rows.append(("`{file: FILE, column: NAME}`", "–", text))
            continue
        if name == "Spikes":
            text = (
                "Times of spikes, for `spike_times`: CSV with `timestamps,node_ids`, or SONATA spikes in HDF5. "
                "Columns (datasets) `weights` and `multiplicities` beside them become `spike_weights` and "
                "`spike_multiplicities`."
            )
            rows.append(("`{file: FILE, population: NAME}`", "–", text))
            continue
        ((key, node),) = definition["properties"].items()
        inner = definitions[_reference(node)]["properties"]
        short = next((option for option in node.get("anyOf", ()) if "$ref" not in option), None)
        if short is not None:
            said = short["description"] if short["type"] == "array" else "NUMBER"
            form = f"`{{{key}: {said}}}`"
        else:
            form = f"`{{{key}: {{file: FILE}}}}`" if "file" in inner else f"`{key}`"
        rows.append((form, _long(key, inner), node["description"]))
    text = _table(("short form", "long form", "what"), rows)
    used = dict.fromkeys(
        n if n in ("Column", "Spikes") else _reference(next(iter(definitions[n]["properties"].values()))) for n in names
    )
    text += "\nKeys of the long forms:\n\n"
    seen: dict[str, Schema] = {}
    required: set[str] = set()
    optional: set[str] = set()
    for name in used:
        for key, node in definitions[name]["properties"].items():
            if key not in seen:
                seen[key] = node
        required |= set(definitions[name].get("required", ()))
        optional |= set(definitions[name]["properties"]) - set(definitions[name].get("required", ()))
    return text + _keys({"properties": seen, "required": sorted(required - optional)})


def _described(names: tuple[str, ...], definitions: dict[str, Schema]) -> str:
    """Forms without a short form: how each is written, and the keys of all."""
    rows, inside = [], dict[str, Schema]()
    for name in names:
        definition = definitions[name]
        properties = dict(definition["properties"])
        beside = properties.pop("anchor", None)
        if len(properties) > 1:
            rows.append(("`{file: FILE, …}`", "Columns or a dataset of a file."))
            inside.update(properties)
            continue
        ((key, node),) = properties.items()
        if "allOf" not in node:
            rows.append((f"`{{{key}: [[X, Y], …]}}`", node["description"]))
            continue
        inner = definitions[_reference(node)]
        keys = ", ".join(f"{k}: …" for k in inner["properties"])
        more = ", anchor: …" if beside is not None else ""
        rows.append((f"`{{{key}: {{{keys}}}{more}}}`", node["description"]))
        for k, described in inner["properties"].items():
            inside.setdefault(f"{key}.{k}", {**described, "required": k in inner.get("required", ())})
        if beside is not None:
            inside["anchor"] = beside
    required = [k for k, described in inside.items() if described.get("required") is True]
    return _table(("form", "what"), rows) + "\nKeys:\n\n" + _keys({"properties": inside, "required": required})


def _reference(node: Schema) -> str:
    """The definition of the long form."""
    options = node.get("anyOf") or node["allOf"]
    return next(str(option["$ref"]) for option in options if "$ref" in option).rpartition("/")[2]


def _long(key: str, inner: Schema) -> str:
    if not inner or "file" in inner:
        return "–"
    words = {"number": "NUMBER", "integer": "NUMBER", "boolean": "true", "string": "redraw"}
    kinds = {"p": "NUMBER", "pairwise_avg_num_conns": "NUMBER", "mask": "MASK"}
    last = ("autapses", "multapses", "min", "max", "bounds", "factor", "offset")
    said = ", ".join(f"{k}: {kinds.get(k) or words[inner[k]['type']]}" for k in sorted(inner, key=last.count))
    return f"`{{{key}: {{{said}}}}}`"


def _builders(network: Schema) -> list[str]:
    """The published networks with their arguments."""
    parts = []
    for entry in network["allOf"]:
        name = entry["if"]["properties"]["builder"]["const"]
        arguments = {key: node for key, node in entry["then"]["properties"].items() if key != "builder"}
        heading = f"### `builder: {name}`\n\n{_summary(name)}\n\n"
        parts.append(heading + _keys({"properties": arguments, "required": entry["then"]["required"]}, "network."))
    return parts


def _summary(builder: str) -> str:
    return str(getattr(published, builder).__doc__).split("\n")[0]


if __name__ == "__main__":
    OUT.write_text(configuration(), encoding="utf-8")
