"""Generates a model's update kernel and the structure of its group from the model's declaration."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count, islice

from distsim.errors import ConfigError
from distsim.kernels.after_update import check_of_states, emission, number_in_code
from distsim.kernels.integrate import integration, located
from distsim.kernels.structs import cpp_of, declare
from distsim.models import Model
from distsim.models.base import name_in_code, names_in

SIGNAL_FIELDS: list[tuple[str, object]] = [
    ("signals", "const Signal*"),  # [population][place]
    ("signal_times", "const int64*"),
    ("signal_values", "const double*"),
    ("signal_factors", "const real*"),  # [array][factors_stride]
    ("factors_stride", "uint64"),
]


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
    masked
        For each Poisson background: does it reach some neurons only?
    signals
        Places for currents, then for spike trains of varying rate onto each receptor (kernels/signals.h).
    probes
        Those of the model's probes that are recorded.
    """

    model: Model
    planes: tuple[int, ...]
    poisson: tuple[int, ...]
    per_neuron: frozenset[str] = field(default_factory=frozenset)
    wide_counts: bool = False
    masked: tuple[bool, ...] = ()
    signals: tuple[int, ...] = ()
    probes: tuple[str, ...] = ()

    @property
    def n_planes(self) -> int:
        return sum(self.planes)

    @property
    def is_scaled(self) -> bool:
        """Whether spikes have to carry numbers: to ports of it, or from it to all their synapses (kernels/sent.h)."""
        return bool(self.model.weighs) or any(
            n and r.scaled for n, r in zip(self.planes, self.model.receptors, strict=True)
        )

    @property
    def n_poisson(self) -> int:
        return sum(self.poisson)

    @property
    def n_signals(self) -> int:
        return sum(self.signals)

    @property
    def count_type(self) -> str:
        return "uint32" if self.wide_counts else "uint8"

    @property
    def numbers(self) -> tuple[str, ...]:
        """Scalar parameters and constants, in the order of the parameter table."""
        return tuple(p.name for p in self.model.scalar_parameters) + tuple(c.name for c in self.model.constants)

    def used_numbers(self) -> tuple[str, ...]:
        code = self.model.code
        return tuple(n for n in self.numbers if names_in(name_in_code(n), code))

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
        if self.n_signals or any(self.masked):
            fields += SIGNAL_FIELDS
        fields += [(f"each_{name}", "const real*") for name in self.numbers if name in self.per_neuron]
        fields += [(f"state_{s.name}", f"{s.kind}*") for s in self.model.states]
        fields += [(f"probe_{name}", "real*") for name in self.probes]
        plain = {p.name for p in self.model.parameters if p.plain}
        for name in self.model.vectors:
            kind = "const double*" if name in plain else "const int64*"
            fields += [(f"begin_{name}", "const int64*"), (f"values_{name}", kind)]
        return declare(f"Group_{self.model.symbol}", fields)

    def source(self) -> str:
        """C++ of the group's structure and its function `update_<model>`."""
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
    clear: list[str] = field(default_factory=list)  # inputs, once nobody reads them any more
    narrow: list[str] = field(default_factory=list)

    def numbers(self, shape: GroupShape) -> None:
        for name in shape.used_numbers():
            if name in shape.per_neuron:
                self.before.append(f"const real* RESTRICT each_{name}_ = g.each_{name} + c.begin;")
                self.inside.append(number_in_code(shape, name, f"each_{name}_[j]"))
            else:
                self.before.append(number_in_code(shape, name, f"table[{shape.numbers.index(name)}]"))

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
            if shape.model.careful:
                self.inside.append(f"const {'real' if state.kind == 'real' else 'int32'} before_{name} = {name};")
                self.after.append(f"{name} = needs_care ? before_{name} : {name};")
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
        if any(names_in(word, code) for word in ("random_words", "poisson_draw", "binomial_draw")):
            self.inside.append("const uint64 gid = c.gid + (uint64)j * c.gid_stride;")
        if shape.model.takes_current:
            currents = shape.signals[0] if shape.signals else 0
            self.inside.append(f"const real I_stim = {'AT(current, j)' if currents else '(real)0'};")
            if currents:
                self._signals(shape, 0, "add_currents", "current")

    def _signals(self, shape: GroupShape, kind: int, add: str, name: str) -> None:
        """Sum the signals of one kind (0: currents, then one a receptor) into `name`."""
        first = f"g.signals + c.population * {shape.n_signals} + {sum(shape.signals[:kind])}"
        self.before.append(f"VARYING(real, {name});")
        self.before.append(
            f"{add}(c, {first}, {shape.signals[kind]}, g.signal_times, g.signal_values, g.signal_factors, "
            f"g.factors_stride, g.seed, step, {name});"
        )

    def vectors(self, shape: GroupShape) -> None:
        plain = {p.name for p in shape.model.parameters if p.plain}
        for name in shape.model.vectors:
            kind = "double" if name in plain else "int64"
            self.before.append(f"const int64* RESTRICT begin_{name}_ = g.begin_{name} + c.begin;")
            self.before.append(f"const {kind}* RESTRICT {name}_values = g.values_{name};")
            self.inside.append(f"const int64 {name}_begin = begin_{name}_[j];")
            self.inside.append(f"const int64 {name}_end = begin_{name}_[j + 1];")

    def inputs(self, shape: GroupShape) -> None:
        """Sums first, then backgrounds in declared order, then other trains: the order is part of the result."""
        planes, places = count(), count()
        if shape.n_planes:
            self.before.append("Sum* const slot_of_input = g.input + input_offset(l.ring, step);")
        receptors = zip(shape.model.receptors, shape.planes, shape.poisson, strict=True)
        for number, (receptor, n_planes, n_places) in enumerate(receptors, 1):
            terms = []
            for plane in islice(planes, n_planes):
                self.before.append(f"Sum* RESTRICT plane{plane} = slot_of_input + {plane} * g.plane_stride + c.begin;")
                self.before.append(f"const real scale{plane} = scale[{plane}];")
                terms.append(f"(real)plane{plane}[j] * scale{plane}")
                self.clear.append(f"plane{plane}[j] = 0;")
            for place in islice(places, n_places):
                self._background(shape, place)
                terms.append(f"AT(background{place}, j)")
            if shape.signals and shape.signals[number]:
                self._signals(shape, number, "add_spikes", f"trains_{receptor.name}")
                terms.append(f"AT(trains_{receptor.name}, j)")
            name = f"input_{receptor.name}"
            self.inside.append(f"real {name} = {terms[0] if terms else '(real)0'};")
            self.inside += [f"{name} = {name} + {term};" for term in terms[1:]]

    def _background(self, shape: GroupShape, place: int) -> None:
        entry = f"poisson[{place}]"
        active = f"{entry}.present && step >= {entry}.first_step && step <= {entry}.last_step"
        masked = bool(shape.masked) and shape.masked[place]
        weight = "(real)1" if masked else f"(real){entry}.weight"
        self.before.append(f"const real weight{place} = {active} ? {weight} : (real)0;")
        if masked:
            own = f"g.signal_factors + {entry}.factors * g.factors_stride + c.begin"
            self.before.append(f"const real* RESTRICT weights{place} = {own};")
        self.before.append(
            f"const {shape.count_type}* RESTRICT counts{place} = "
            f"g.counts + ({place} * 8 + (step & 7)) * g.counts_stride + c.begin;"
        )
        self.before.append(f"VARYING(real, background{place});")
        scale = f"(weights{place}[j] * weight{place})" if masked else f"weight{place}"
        self.widen.append(f"AT(background{place}, j) = (real)counts{place}[j] * {scale};")


_PLACE = re.compile(
    r"(?P<model>\w+)\.(?P<part>update|careful|on_spike|derivatives|exact|after_substep)[:(](?P<line>\d+)(?P<rest>.*)"
)


def model_error(log: str, models: Iterable[Model]) -> ConfigError | None:
    """What a compiler's `log` says of a model's own code: with the model's line; None where it says nothing of it."""
    for line in log.splitlines():
        found = _PLACE.search(line)
        model = found and next((m for m in models if m.symbol == found["model"]), None)
        if found is None or model is None or "error" not in line:
            continue
        of = model if found["part"] in ("update", "careful", "on_spike") else model.dynamics
        code = getattr(of, found["part"], "")
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


def _with_care(model: Model, parts: _Parts) -> str:
    """The second look at those neurons for which `update` was not good enough, and what both looks share after it."""
    deeper = "\n                    "
    return f"""
            if (any_care) {{
                EACH_NONZERO(j, c.count, cared) {{
                    {deeper.join(parts.inside)}
                    const int32 needs_care = 0;
                    int32 spikes = 0;
                    {{
{located(model.careful, f"{model.symbol}.careful")}
                    }}
                    {deeper.join(parts.after)}
                    AT(emitted, j) = (uint32)spikes;
                    any |= (uint32)spikes;
                }}
            }}
            FOR_LANES(j, c.count) {{
                {" ".join(parts.clear)}
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
                if (poisson[place].present && (step | 7) >= poisson[place].first_step &&
                    step <= poisson[place].last_step) {{
                    draw_poisson_block(g.chunks[chunk], poisson[place], g.thresholds, g.seed, step,
                                       g.counts + place * 8 * g.counts_stride, g.counts_stride);
                }}
            }}
            SYNC_LANES();
        }}"""
    indent, deeper = "\n            ", "\n                "
    macros = model.functions + "\n" + "".join(_defined(name) for name in model.vectors)
    undefs = "".join(f"#undef {name}_at\n" for name in model.vectors)
    widen = "".join(f"{indent}FOR_LANES(j, c.count) {{ {line} }}" for line in parts.widen)
    narrow = "".join(f"{indent}FOR_LANES(j, c.count) {{ {line} }}" for line in parts.narrow)
    look, second_look = "\n".join(parts.clear), ""
    begin_look = ""
    if model.careful:
        parts.before.append("VARYING(uint32, cared);\n            uint32 any_care = 0;")
        begin_look = "int32 needs_care = 0;"
        look = "AT(cared, j) = (uint32)needs_care;\n                any_care |= (uint32)needs_care;"
        second_look = _with_care(model, parts)
    # Vector parameters come with inner loops over their lists, which no compiler vectorises.
    lane_loop = "EACH_LANE" if model.vectors else "FOR_LANES"
    return f"""
{macros}PART update_{model.symbol}(const Group_{model.symbol}* group, Loop& l, int64 step, uint64 chunks_before) {{
    const Group_{model.symbol}& g = *group;
    GROUP_FOR_AFTER(chunk, chunks_before, g.n_chunks) {{
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
                {begin_look}
                {{
{_update(model)}
                {deeper.join(parts.after)}
                }}
                {look}
                AT(emitted, j) = (uint32)spikes;
                any |= (uint32)spikes;
            }}{second_look}{narrow}{check_of_states(model)}
            if (any) {{
                EACH_NONZERO(j, c.count, emitted) {{
                    {emission(shape)}
                }}
            }}
        }}
    }}
}}
{undefs}"""
