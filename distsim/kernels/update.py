"""Generates a model's update kernel and the structure of its group from the model's declaration."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count, islice

from distsim.errors import ConfigError
from distsim.kernels.integrate import integration, located
from distsim.kernels.structs import cpp_of, declare
from distsim.models import Model
from distsim.models.base import names_in


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
    probes
        Those of the model's probes that are recorded.
    """

    model: Model
    planes: tuple[int, ...]
    poisson: tuple[int, ...]
    per_neuron: frozenset[str] = field(default_factory=frozenset)
    wide_counts: bool = False
    probes: tuple[str, ...] = ()

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
        code = self.model.code
        return tuple(n for n in self.numbers if names_in(n, code))

    def structure(self) -> type[ctypes.Structure]:
        """The structure `Group_<model>`: pointers to everything the kernel reads and writes."""
        fields: list[tuple[str, object]] = [
            ("loop", "Loop*"),
            ("chunks", "const Chunk*"),
            ("n_chunks", "uint64"),
            ("group_begin", "uint32"),  # local index of the group's first neuron
            ("seed", "uint32"),
            ("dt", "double"),  # ms
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
        fields += [(f"probe_{name}", "real*") for name in self.probes]
        for vector in self.model.vector_parameters:
            fields += [(f"begin_{vector.name}", "const int64*"), (f"values_{vector.name}", "const int64*")]
        return declare(f"Group_{self.model.symbol}", fields)

    def source(self) -> str:
        """C++ of the group's structure and its kernel `update_<model>`."""
        return cpp_of(self.structure()) + _kernel(self)


@dataclass
class _Parts:
    """Lines of a kernel, by the place where they stand.

    The loop over lanes handles numbers of one width only, or the host's vectors would be cut to the
    narrowest: narrow numbers are widened before it (`widen`) and written back after it (`narrow`).
    """

    before: list[str] = field(default_factory=list)
    widen: list[str] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    narrow: list[str] = field(default_factory=list)

    def numbers(self, shape: GroupShape) -> None:
        for name in shape.used_numbers():
            if name in shape.per_neuron:
                self.before.append(f"const real* RESTRICT each_{name}_ = g.each_{name} + c.begin;")
                self.inside.append(_number(shape, name, f"each_{name}_[j]"))
            else:
                self.before.append(_number(shape, name, f"table[{shape.numbers.index(name)}]"))

    def states(self, shape: GroupShape) -> None:
        for state in shape.model.states:
            name, array = state.name, f"state_{state.name}_"
            self.before.append(f"{state.kind}* RESTRICT {array} = g.state_{name} + c.begin;")
            if shape.model.waits_for_spike(state):
                continue
            if state.kind == "uint16":
                self.before.append(f"VARYING(int32, wide_{name});")
                self.widen.append(f"AT(wide_{name}, j) = {array}[j];")
                self.narrow.append(f"{array}[j] = (uint16)AT(wide_{name}, j);")
                array = f"AT(wide_{name}, j)"
            else:
                array += "[j]"
            self.inside.append(f"{'real' if state.kind == 'real' else 'int32'} {name} = {array};")
            if state.floor is not None:
                self.after.append(f"{name} = without_traces({name}, (real){state.floor!r});")
            self.after.append(f"{array} = {name};")

    def probes(self, shape: GroupShape) -> None:
        for probe in shape.model.probes:
            if probe.name in shape.probes:
                self.before.append(f"real* RESTRICT probe_{probe.name}_ = g.probe_{probe.name} + c.begin;")
                self.after.append(f"probe_{probe.name}_[j] = (real)({probe.code});")

    def surroundings(self, shape: GroupShape) -> None:
        """What the model's code may name besides its own parameters and states."""
        code = shape.model.code
        if names_in("dt", code):
            self.before.append("const real dt = (real)g.dt;")
        if names_in("random_words", code):
            self.inside.append("const uint64 gid = c.gid + (uint64)j * c.gid_stride;")
        if shape.model.takes_current:
            self.inside.append("const real I_stim = (real)0;")

    def vectors(self, shape: GroupShape) -> None:
        for vector in shape.model.vector_parameters:
            name = vector.name
            self.before.append(f"const int64* RESTRICT begin_{name}_ = g.begin_{name} + c.begin;")
            self.before.append(f"const int64* RESTRICT {name}_values = g.values_{name};")
            self.inside.append(f"const int64 {name}_begin = begin_{name}_[j];")
            self.inside.append(f"const int64 {name}_end = begin_{name}_[j + 1];")

    def inputs(self, shape: GroupShape) -> None:
        """Sums first, then backgrounds in declared order: the order is part of the result."""
        planes, places = count(), count()
        for receptor, n_planes, n_places in zip(shape.model.receptors, shape.planes, shape.poisson, strict=True):
            terms = []
            for plane in islice(planes, n_planes):
                self.before.append(f"Sum* RESTRICT plane{plane} = g.input + {plane} * g.plane_stride + c.begin;")
                self.before.append(f"const real scale{plane} = scale[{plane}];")
                terms.append(f"(real)plane{plane}[j] * scale{plane}")
                self.after.append(f"plane{plane}[j] = 0;")
            for place in islice(places, n_places):
                self._background(shape, place)
                terms.append(f"AT(background{place}, j)")
            name = f"input_{receptor.name}"
            self.inside.append(f"real {name} = {terms[0] if terms else '(real)0'};")
            self.inside += [f"{name} = {name} + {term};" for term in terms[1:]]

    def _background(self, shape: GroupShape, place: int) -> None:
        entry = f"poisson[{place}]"
        self.before.append(f"const real weight{place} = {entry}.present ? (real){entry}.weight : (real)0;")
        self.before.append(
            f"const {shape.count_type}* RESTRICT counts{place} = "
            f"g.counts + ({place} * 8 + (step & 7)) * g.counts_stride + c.begin;"
        )
        self.before.append(f"VARYING(real, background{place});")
        self.widen.append(f"AT(background{place}, j) = (real)counts{place}[j] * weight{place};")


def _number(shape: GroupShape, name: str, value: str) -> str:
    kind = "int32" if any(c.name == name and c.integer for c in shape.model.constants) else "real"
    return f"const {kind} {name} = ({kind}){value};"


_PLACE = re.compile(r"(?P<model>\w+)\.(?P<part>update|derivatives|after_substep|on_spike)[:(](?P<line>\d+)(?P<rest>.*)")


def model_error(log: str, models: Iterable[Model]) -> ConfigError | None:
    """What a compiler's `log` says of a model's own code: with the model's line; None where it says nothing of it."""
    for line in log.splitlines():
        found = _PLACE.search(line)
        model = found and next((m for m in models if m.symbol == found["model"]), None)
        if found is None or model is None or "error" not in line:
            continue
        code = getattr(model if found["part"] in ("update", "on_spike") else model.dynamics, found["part"], "")
        lines = code.split("\n")
        number = int(found["line"])
        text = lines[number - 1].strip() if number <= len(lines) else ""
        said = found["rest"].partition("error")[2].lstrip(": ")
        return ConfigError(f"model {model.name}, line {number} of its {found['part']}: {said}; the line is: {text}")
    return None


def _defined(vector: str) -> str:
    return f"#define {vector}_at(i) {vector}_values[i]\n"


def _update(model: Model) -> str:
    """The model's own code, with the integration in its place; #line lets compilers name its lines."""
    name = f"{model.symbol}.update"
    lines = [f'#line 1 "{name}"']
    for number, line in enumerate(model.update.split("\n"), 1):
        if line.strip() == "INTEGRATE;" and model.dynamics is not None:
            lines += [integration(model.dynamics, model.symbol), f'#line {number + 1} "{name}"']
        else:
            lines.append(line)
    return "\n".join([*lines, '#line 1 "generated"'])


def _spiked(shape: GroupShape) -> tuple[str, str]:
    """What is done for a neuron that has spiked, and the number that goes with its spike."""
    model = shape.model
    if not model.on_spike:
        return "", "0u"
    named = [s for s in model.states if names_in(s.name, model.on_spike)]
    numbers = [n for n in shape.used_numbers() if n in shape.per_neuron and names_in(n, model.on_spike)]
    lines = [_number(shape, n, f"each_{n}_[j]") for n in numbers]
    lines += [f"{'real' if s.kind == 'real' else 'int32'} {s.name} = state_{s.name}_[j];" for s in named]
    lines += ["real sent = (real)0;", "{", located(model.on_spike, f"{model.symbol}.on_spike"), "}"]
    lines += [f"state_{s.name}_[j] = ({s.kind}){s.name};" for s in named]
    return "\n".join(lines), "packed((double)sent)" if model.sends else "0u"


def _check_of_states(model: Model) -> str:
    """Now and then, and at the end of a run: are all states finite? Their sum is not where one is not.

    Every eighth step for equations that can blow up, every 64th for models so cheap that a look is a fifth of a step.
    """
    names = {f"state_{s.name}_[j]": k for k, s in enumerate(model.states) if s.kind == "real"}
    if not names:
        return ""
    between = 8 if model.dynamics else 64
    checks = " ".join(f"check_finite(l, c, j, step, {k}, {name});" for name, k in names.items())
    return f"""
            if ((step & {between - 1}) == 0 || step == l.check_step) {{
                uint32 odd = 0;
                FOR_LANES(j, c.count) {{
                    const real sum = {" + ".join(names)};
                    odd |= sum - sum == (real)0 ? 0u : 1u;
                }}
                if (UNLIKELY(odd)) {{
                    EACH_LANE(j, c.count) {{ {checks} }}
                }}
            }}"""


def _kernel(shape: GroupShape) -> str:
    model, parts = shape.model, _Parts()
    parts.numbers(shape)
    parts.states(shape)
    parts.probes(shape)
    parts.surroundings(shape)
    parts.vectors(shape)
    parts.inputs(shape)
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
    indent, deeper = "\n            ", "\n                "
    macros = model.functions + "\n" + "".join(_defined(v.name) for v in model.vector_parameters)
    undefs = "".join(f"#undef {v.name}_at\n" for v in model.vector_parameters)
    widen = "".join(f"{indent}FOR_LANES(j, c.count) {{ {line} }}" for line in parts.widen)
    narrow = "".join(f"{indent}FOR_LANES(j, c.count) {{ {line} }}" for line in parts.narrow)
    on_spike, sent = _spiked(shape)
    # Vector parameters come with inner loops over their lists, which no compiler vectorises.
    lane_loop = "EACH_LANE" if model.vector_parameters else "FOR_LANES"
    return f"""
{macros}KERNEL update_{model.symbol}(const Group_{model.symbol}* group) {{
    const Group_{model.symbol}& g = *group;
    Loop& l = *g.loop;
    if (l.status) return;
    const int64 step = l.step;
    GROUP_FOR(chunk, g.n_chunks) {{
        const Chunk c = g.chunks[chunk];
        const real* table = g.table + c.population * {max(1, len(shape.numbers))};
        const real* scale = g.scale + c.population * {max(1, shape.n_planes)};
        const PoissonEntry* poisson = g.poisson + c.population * {max(1, shape.n_poisson)};
        (void)table; (void)scale; (void)poisson; (void)step;{draw}
        {{{indent}{indent.join(parts.before)}{widen}
            VARYING(uint32, emitted);
            uint32 any = 0;
            {lane_loop}(j, c.count) {{
                {deeper.join(parts.inside)}
                int32 spikes = 0;
                {{
{_update(model)}
                }}
                {deeper.join(parts.after)}
                AT(emitted, j) = (uint32)spikes;
                any |= (uint32)spikes;
            }}{narrow}{_check_of_states(model)}
            if (any) {{
                EACH_NONZERO(j, c.count, emitted) {{
                    {on_spike}
                    emit(l, c, j, g.group_begin, AT(emitted, j), {model.max_multiplicity}, {sent});
                }}
            }}
        }}
    }}
}}
{undefs}"""
