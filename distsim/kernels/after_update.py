"""C++ that stands after a model's update: what a spike does to its neuron, and the search for states gone wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distsim.kernels.integrate import located
from distsim.models import Model
from distsim.models.base import name_in_code, names_in

if TYPE_CHECKING:
    from distsim.kernels.update import GroupShape


def number_in_code(shape: GroupShape, name: str, value: str) -> str:
    """A parameter or constant under its name."""
    kind = "int32" if any(c.name == name and c.integer for c in shape.model.constants) else "real"
    return f"const {kind} {name_in_code(name)} = ({kind}){value};"


def emission(shape: GroupShape) -> str:
    """What is done for lane j, whose neuron has spiked: spikes that carry different numbers are emitted apart."""
    model = shape.model
    on_spike, sent = _spiked(shape)
    most, emit = model.max_multiplicity, "emit(l, step, c, j, g.group_begin,"
    if not names_in("at_once", model.on_spike):
        return f"{on_spike}\n{emit} AT(emitted, j), {most}, {sent});"
    return f"""
                    if (AT(emitted, j) > {most}u) l.excess_multiplicity = 1;
                    for (int32 left = (int32)AT(emitted, j), at_once = 0; left > 0; left -= at_once) {{
                        {on_spike}
                        {emit} (uint32)at_once, {most}, {sent});
                    }}"""


def _spiked(shape: GroupShape) -> tuple[str, str]:
    """The model's `on_spike`, and the number that goes with its spike."""
    model = shape.model
    if not model.on_spike:
        return "", "0u"
    named = [s for s in model.states if names_in(s.name, model.on_spike)]
    each = [n for n in shape.used_numbers() if n in shape.per_neuron and names_in(name_in_code(n), model.on_spike)]
    lines = [number_in_code(shape, n, f"each_{n}_[j]") for n in each]
    lines += [f"{'real' if s.kind == 'real' else 'int32'} {s.name} = state_{s.name}_[j];" for s in named]
    for name in model.vectors:
        if names_in(f"{name}_at", model.on_spike):
            lines.append(f"const int64 {name}_begin = begin_{name}_[j];")
    lines += ["real sent = (real)0;", "{", located(model.on_spike, f"{model.symbol}.on_spike"), "}", "(void)sent;"]
    lines += [f"state_{s.name}_[j] = ({s.kind}){s.name};" for s in named]
    # Where nothing is scaled, nobody asks for the number, and no message carries it.
    to = "TO_ROW" if model.weighs else "0u"
    return "\n".join(lines), f"SCALED ? packed((double)sent, {to}) : 0u" if model.sends else "0u"


def check_of_states(model: Model) -> str:
    """Now and then, before anything is handed on, and where states are sampled: are all of them finite?

    Their sum is not where one is not.
    Every eighth step for equations that can blow up, every 64th for models so cheap that a look is a fifth of a step.
    """
    names = {f"state_{s.name}_[j]": k for k, s in enumerate(model.states) if s.kind == "real"}
    if not names:
        return ""
    between = 8 if model.dynamics else 64
    checks = " ".join(f"check_finite(l, c, j, step, {k}, {name});" for name, k in names.items())
    return f"""
            if ((step & {between - 1}) == 0 || step == l.check_step || is_sampled(l, step)) {{
                uint32 odd = 0;
                FOR_LANES(j, c.count) {{
                    const real sum = {" + ".join(names)};
                    odd |= sum - sum == (real)0 ? 0u : 1u;
                }}
                if (UNLIKELY(odd)) {{
                    EACH_LANE(j, c.count) {{ {checks} }}
                }}
            }}"""
