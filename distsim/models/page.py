"""A model's page of reference, in Markdown, from nothing but its declaration."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from distsim.models.base import NEVER, Model, Parameter
from distsim.models.forms import Family, ListParameter
from distsim.models.single_precision import BOUNDS


def summary(declared: Model | Family) -> str:
    """The first line of a model's documentation."""
    return declared.doc.split("\n", 1)[0].rstrip(".")


def page(declared: Model | Family, heading: str = "##") -> str:
    """Equations, parameters with units, defaults and bounds, recordables, receptors, integration, accuracy."""
    model = declared.example if isinstance(declared, Family) else declared
    parts = [f"{heading} `{declared.name}`\n", f"{summary(declared)}.\n"]
    rest = textwrap.dedent(declared.doc.partition("\n")[2]).strip("\n")
    if rest:
        parts.append(_paragraphs(rest))
    if isinstance(declared, Family):
        parts.append(_switches(declared))
    parts.append(_parameters(declared, model))
    parts.append(_recordables(model))
    if model.receptors:
        ports = ", ".join(
            f"`{r.name}`" + (" (counts spikes, whatever the weight)" if r.counts else f" ({r.unit})")
            for r in model.receptors
        )
        more = (
            "; as many as the lists of ports are long" if isinstance(declared, Family) and _ports_vary(declared) else ""
        )
        parts.append(f"Receptors: {ports}{more}.\n")
    parts.append(_how(model))
    return "\n".join(p for p in parts if p)


def _paragraphs(text: str) -> str:
    """Indented lines are equations: they keep their shape."""
    parts: list[str] = []
    for line in text.split("\n"):
        equation = line.startswith("  ") or re.search(r"\bd\w*/dt\b", line) is not None
        if equation and parts and parts[-1].startswith("```"):
            parts[-1] = parts[-1][: -len("\n```")] + f"\n{line.strip()}\n```"
        elif equation:
            parts.append(f"```text\n{line.strip()}\n```")
        elif parts and not parts[-1].startswith("```") and line.strip():
            parts[-1] += "\n" + line.strip()
        elif line.strip():
            parts.append(line.strip())
    return "\n\n".join(parts) + "\n"


def markdown_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; bars within cells are escaped."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _switches(family: Family) -> str:
    if not family.flags:
        return ""
    rows = [(f"`{f.name}`", str(f.default).lower(), f.doc) for f in family.flags]
    return markdown_table(("switch", "default", "what"), rows)


def _parameters(declared: Model | Family, model: Model) -> str:
    elements: dict[str, ListParameter] = {}
    if isinstance(declared, Family):
        elements = {f"{x.name}_{k}": x for x in declared.lists for k in range(1, len(x.default) + 1)}
    rows = []
    for p in model.parameters:
        if p.name not in elements:
            default = "none" if p.vector else "never" if p.default == NEVER else f"{p.default:g}"
            rows.append((f"`{p.name}`", p.unit, default, _allowed(model, p), p.doc))
    if isinstance(declared, Family):
        for x in declared.lists:
            default = "[" + ", ".join(f"{v:g}" for v in x.default) + "]"
            rows.append((f"`{x.name}`", x.unit, default, ", ".join(_bounds(x)) or "–", f"{x.doc} (a list)"))
        for w in declared.wholes:
            rows.append((f"`{w.name}`", "1", f"{w.default}", f"whole, {w.least} to {w.most}", w.doc))
    return markdown_table(("parameter", "unit", "default", "allowed", "what"), rows) if rows else ""


def _bounds(parameter: Parameter | ListParameter) -> list[str]:
    above = [] if parameter.above is None else [f"> {parameter.above:g}"]
    return above + ([] if parameter.at_least is None else [f"≥ {parameter.at_least:g}"])


def _allowed(model: Model, parameter: Parameter) -> str:
    """All that the declaration asks of a parameter, in a few characters."""
    found = _bounds(parameter)
    found += [f"< `{high}`" for low, high, _ in model.ordered if low == parameter.name]
    found += [f"≤ `{high}`" for low, high, _ in model.not_above if low == parameter.name]
    found += [
        f"≤ {c.at_most:,} steps" for c in model.constants if c.at_most is not None and c.depends[0] == parameter.name
    ]
    if parameter.grid:
        found.append("a multiple of dt")
    if parameter.vector and not parameter.plain:
        found.append("multiples of dt, ascending, ≥ dt")
    return ", ".join(found) or "–"


def _recordables(model: Model) -> str:
    rows = [
        (f"`{s.name}`", s.unit, f"`{s.initial}`" if isinstance(s.initial, str) else f"{s.initial:g}", s.doc)
        for s in model.states
        if s.recordable
    ]
    rows += [(f"`{p.name}`", p.unit, "–", p.doc) for p in model.probes]
    return markdown_table(("recordable", "unit", "at the start", "what"), rows) if rows else ""


def _ports_vary(family: Family) -> bool:
    return any(x.least for x in family.lists)


def _how(model: Model) -> str:
    lines = []
    if model.dynamics is not None:
        single, double = model.dynamics.substeps
        names = {
            "rk4": "classical Runge-Kutta of order 4",
            "rk3": "Runge-Kutta of order 3",
            "magnus4": "Magnus, order 4",
        }
        scheme = names.get(model.dynamics.scheme, model.dynamics.scheme)
        lines.append(
            f"Integration: {scheme}, fixed sub-steps: {single} a step in single, {double} in double precision."
        )
    elif model.is_neuron and model.states:
        lines.append("Integration: exact between steps." if model.constants else "")
    if model.accuracy:
        lines.append(f"Accuracy: {model.accuracy}")
    if model.name in BOUNDS:
        lines.append(
            f"Single precision: V_m is within {BOUNDS[model.name]:g} mV of double precision in 95 % of all steps, by a "
            "bound derived from the roundings of each step and their growth (first order, under the tests' protocols, "
            "as long as spikes come in the same steps); the others are those where V_m is steep."
        )
    if model.max_multiplicity > 1:
        lines.append(f"At most {model.max_multiplicity} spikes in one step; more stop the run.")
    if model.refused:
        reasons = dict.fromkeys(why for _, why in model.refused)
        for why in reasons:
            which = ", ".join(f"`{name}`" for name, given in model.refused if given == why)
            lines.append(f"{which}: {why}.")
    if not model.is_neuron:
        lines.append("A generator: its spikes count neither in the digest nor in the rates.")
    elif model.receptors and not model.takes_current:
        lines.append("Takes no current input.")
    return "\n".join(x for x in lines if x) + "\n" if any(lines) else ""
