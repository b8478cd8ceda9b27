"""Generates a model's update kernel and the structure of its group from the model's declaration."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

from distsim.kernels.structs import cpp_of, declare
from distsim.models import Model


@dataclass(frozen=True)
class GroupShape:
    """What of a group is known when its kernel is compiled.

    Attributes
    ----------
    model
        The declaration.
    planes
        Input planes of each receptor.
    poisson
        Places for a Poisson background of each receptor.
    per_neuron
        Parameters and constants that differ between the neurons of some population.
    wide_counts
        Poisson counts need 32 bits, not 8.
    """

    model: Model
    planes: tuple[int, ...]
    poisson: tuple[int, ...]
    per_neuron: frozenset[str] = field(default_factory=frozenset)
    wide_counts: bool = False

    @property
    def n_planes(self) -> int:
        return sum(self.planes)

    @property
    def n_poisson(self) -> int:
        return sum(self.poisson)

    @property
    def count_type(self) -> str:
        return "uint32" if self.wide_counts else "uint8"

    @property
    def numbers(self) -> tuple[str, ...]:
        """Scalar parameters and constants, in the order of the parameter table."""
        return tuple(p.name for p in self.model.scalar_parameters) + tuple(c.name for c in self.model.constants)

    def used_numbers(self) -> tuple[str, ...]:
        return tuple(n for n in self.numbers if _stands_in(n, self.model.update))

    def structure(self) -> type[ctypes.Structure]:
        """The structure `Group_<model>`: pointers to everything the kernel reads and writes."""
        fields: list[tuple[str, object]] = [
            ("loop", "Loop*"),
            ("chunks", "const Chunk*"),
            ("n_chunks", "uint64"),
            ("group_begin", "uint32"),  # local index of the group's first neuron
            ("seed", "uint32"),
            ("input", "Sum*"),  # [plane][plane_stride]
            ("plane_stride", "uint64"),
            ("scale", "const real*"),  # [population][plane]: unit per quantum
            ("table", "const real*"),  # [population][number]
            ("poisson", "const PoissonEntry*"),  # [population][place]
            ("thresholds", "const uint32*"),
            ("counts", f"{self.count_type}*"),  # [place][step mod 8][counts_stride]
            ("counts_stride", "uint64"),
        ]
        fields += [(f"each_{name}", "const real*") for name in self.numbers if name in self.per_neuron]
        fields += [(f"state_{s.name}", f"{s.kind}*") for s in self.model.states]
        for vector in self.model.vector_parameters:
            fields += [(f"begin_{vector.name}", "const int64*"), (f"values_{vector.name}", "const int64*")]
        return declare(f"Group_{self.model.name}", fields)

    def source(self) -> str:
        """C++ of the group's structure and its kernel `update_<model>`."""
        return cpp_of(self.structure()) + _kernel(self)


def _stands_in(name: str, code: str) -> bool:
    import re

    return re.search(rf"\b{re.escape(name)}\b", code) is not None


def _number(shape: GroupShape, name: str, inside: bool) -> str | None:
    """The declaration of a parameter or constant, before the loop over lanes or inside it."""
    each = name in shape.per_neuron
    if each != inside:
        return None
    integer = any(c.name == name and c.integer for c in shape.model.constants)
    kind = "int32" if integer else "real"
    value = f"each_{name}_[j]" if each else f"table[{shape.numbers.index(name)}]"
    return f"const {kind} {name} = ({kind}){value};"


def _kernel(shape: GroupShape) -> str:
    model = shape.model
    n_numbers = max(1, len(shape.numbers))
    before: list[str] = []
    inside: list[str] = []
    after: list[str] = []
    for name in shape.used_numbers():
        outer, inner = _number(shape, name, False), _number(shape, name, True)
        before += [outer] if outer else []
        inside += [inner] if inner else []
        if name in shape.per_neuron:
            before.append(f"const real* RESTRICT each_{name}_ = g.each_{name} + c.begin;")
    for state in model.states:
        kind = "real" if state.kind == "real" else "int32"
        before.append(f"{state.kind}* RESTRICT state_{state.name}_ = g.state_{state.name} + c.begin;")
        inside.append(f"{kind} {state.name} = state_{state.name}_[j];")
        if state.floor is not None:
            after.append(f"{state.name} = without_traces({state.name}, (real){state.floor!r});")
        after.append(f"state_{state.name}_[j] = ({state.kind}){state.name};")
    for vector in model.vector_parameters:
        before.append(f"const int64* RESTRICT begin_{vector.name}_ = g.begin_{vector.name} + c.begin;")
        before.append(f"const int64* RESTRICT {vector.name}_values = g.values_{vector.name};")
        inside.append(f"const int64 {vector.name}_begin = begin_{vector.name}_[j];")
        inside.append(f"const int64 {vector.name}_end = begin_{vector.name}_[j + 1];")
    plane = place = 0
    for receptor, n_planes, n_places in zip(model.receptors, shape.planes, shape.poisson, strict=False):
        terms = []
        for _ in range(n_planes):
            before.append(f"Sum* RESTRICT plane{plane} = g.input + {plane} * g.plane_stride + c.begin;")
            before.append(f"const real scale{plane} = scale[{plane}];")
            terms.append(f"(real)plane{plane}[j] * scale{plane}")
            after.append(f"plane{plane}[j] = 0;")
            plane += 1
        for _ in range(n_places):
            before.append(
                f"const real weight{place} = poisson[{place}].present ? (real)poisson[{place}].weight : (real)0;"
            )
            before.append(
                f"const {shape.count_type}* RESTRICT counts{place} = "
                f"g.counts + ({place} * 8 + (step & 7)) * g.counts_stride + c.begin;"
            )
            terms.append(f"(real)counts{place}[j] * weight{place}")
            place += 1
        if _stands_in(f"input_{receptor.name}", model.update):
            # Sums first, then backgrounds in declared order: the order is part of the result.
            lines = [f"real input_{receptor.name} = {terms[0] if terms else '(real)0'};"]
            lines += [f"input_{receptor.name} = input_{receptor.name} + {t};" for t in terms[1:]]
            inside += lines
    indent = "\n            "
    deeper = "\n                "
    macros = "".join(f"#define {v.name}_at(i) {v.name}_values[i]\n" for v in model.vector_parameters)
    undefs = "".join(f"#undef {v.name}_at\n" for v in model.vector_parameters)
    draw = ""
    if shape.n_poisson:
        draw = f"""
        if ((step & 7) == 0 || l.draw_poisson) {{
            for (uint32 place = 0; place < {shape.n_poisson}; ++place) {{
                if (poisson[place].present) {{
                    draw_poisson_block(c, poisson[place], g.thresholds, g.seed, step,
                                       g.counts + place * 8 * g.counts_stride, g.counts_stride);
                }}
            }}
            SYNC_LANES();
        }}"""
    lane_loop = "EACH_LANE" if model.vector_parameters else "FOR_LANES"
    return f"""
{macros}KERNEL update_{model.name}(const Group_{model.name}* group) {{
    const Group_{model.name}& g = *group;
    Loop& l = *g.loop;
    const int64 step = l.step;
    GROUP_FOR(chunk, g.n_chunks) {{
        const Chunk c = g.chunks[chunk];
        const real* table = g.table + c.population * {n_numbers};
        const real* scale = g.scale + c.population * {max(1, shape.n_planes)};
        const PoissonEntry* poisson = g.poisson + c.population * {max(1, shape.n_poisson)};
        (void)table; (void)scale; (void)poisson; (void)step;{draw}
        {{{indent}{indent.join(before)}
            VARYING(uint32, emitted);
            uint32 any = 0;
            {lane_loop}(j, c.count) {{
                {deeper.join(inside)}
                int32 spikes = 0;
                {{
{model.update}
                }}
                {deeper.join(after)}
                AT(emitted, j) = (uint32)spikes;
                any |= (uint32)spikes;
            }}
            if (any) {{
                EACH_LANE(j, c.count) {{
                    if (AT(emitted, j)) emit(l, c, j, g.group_begin, AT(emitted, j), {model.max_multiplicity});
                }}
            }}
        }}
    }}
}}
{undefs}"""
