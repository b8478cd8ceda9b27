"""Neurons of one model on one rank: their state on the device and the arguments of their update kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Array, Backend, Mirror, Module
from distsim.build.partition import Group, Part
from distsim.build.poisson import PoissonTable, poisson_table
from distsim.build.quanta import PlaneTable
from distsim.build.sampling import draw, draw_rows, population_values
from distsim.build.signals import Draws, Onto, inputs_onto, signal_places, signals
from distsim.distributions import Normal, Value
from distsim.errors import ConfigError
from distsim.exact import exact_context
from distsim.grid import round_to_steps
from distsim.kernels.update import GroupShape
from distsim.models import Constant, Model
from distsim.models.base import DrawnTimes
from distsim.models.weighing import lists_in_code
from distsim.network import Network
from distsim.streams import Stream

CHUNK = np.dtype(
    [
        ("gid", np.uint64), ("gid_stride", np.uint32), ("begin", np.uint32), ("count", np.uint32),
        ("population", np.uint32), ("population_id", np.uint32), ("unused", np.uint32),
    ]
)  # fmt: skip


POISSON_ENTRY = np.dtype(
    [
        (name, "u4")
        for name in ("first", "begin", "length", "rest_from", "rest_begin", "rest_length", "input", "present")
    ]
    + [("first_step", "i8"), ("last_step", "i8"), ("weight", "f8"), ("factors", "u8")]
)


@dataclass(frozen=True)
class Background:
    """One Poisson input of constant rate onto one population."""

    onto: Onto
    table: PoissonTable
    weight: float


def backgrounds(network: Network, group: Group, dt: float) -> list[list[list[Background]]]:
    """By part of the group and receptor: the Poisson inputs in declared order."""
    result: list[list[list[Background]]] = []
    for part in group.parts:
        by_receptor: list[list[Background]] = [[] for _ in group.model.receptors]
        for onto in inputs_onto(network, part):
            if onto.is_constant_rate:
                table = poisson_table(onto.described.params["rate"], dt)
                by_receptor[onto.receptor(group)].append(Background(onto, table, onto.weight(group)))
        result.append(by_receptor)
    return result


def group_shape(network: Network, group: Group, planes: PlaneTable, dt: float) -> GroupShape:
    """What the update kernel of this group has to be compiled for; the same on every rank."""
    inputs = backgrounds(network, group, dt)
    varying = {
        p.name
        for part in group.parts
        for p in group.model.scalar_parameters
        if not isinstance(population_values(part.population, p.name), float)
    }
    varying |= {c.name for c in group.model.constants if varying & set(c.depends)}
    n_receptors = len(group.model.receptors)
    return GroupShape(
        group.model,
        planes.per_receptor.get(group.model.symbol, (0,) * n_receptors),
        tuple(max(len(p[r]) for p in inputs) for r in range(n_receptors)),
        frozenset(varying),
        any(b.table.largest > 255 for p in inputs for r in p for b in r),
        _masked(inputs, [max(len(p[r]) for p in inputs) for r in range(n_receptors)]),
        signal_places(network, group),
        recorded_probes(network, group),
    )


def _masked(inputs: Sequence[Sequence[Sequence[Background]]], places: Sequence[int]) -> tuple[bool, ...]:
    """For each place of a background: does it reach a part of some population only?"""
    return tuple(
        any(k < len(p[r]) and not p[r][k].onto.targets.is_whole for p in inputs)
        for r, n in enumerate(places)
        for k in range(n)
    )


def recorded_probes(network: Network, group: Group) -> tuple[str, ...]:
    """Probes of the group's model that some recording wants; the others are never computed."""
    populations = {part.population.name for part in group.parts}
    wanted = {v for r in network.state_recordings if r.population.name in populations for v in r.variables}
    return tuple(p.name for p in group.model.probes if p.name in wanted)


class GroupState:
    """States, parameters and inputs of a group on the device.

    Attributes
    ----------
    states
        Name → device array [size].
    offsets
        Name of a relative state → float64[size] to add for the state itself.
    lengths
        Name of a list that differs between neurons → int64[size].
    """

    def __init__(
        self, network: Network, group: Group, shape: GroupShape, planes: PlaneTable, backend: Backend,
        kernels: Module, seed: int, dt: float, precision: str, input_begin: int, plane_stride: int, inputs: int,
    ) -> None:  # fmt: skip
        self.group, self.shape, self._backend = group, shape, backend
        self.real = np.dtype(np.float32 if precision == "single" else np.float64)
        self._keep: list[Any] = []
        self.mirror: Mirror | None = None  # of `arguments`, once the loop is set up
        values = self._values = [self._drawn(part, kernels, seed, dt) for part in group.parts]
        structure = shape.structure()
        self.arguments: Any = structure(
            n_chunks=0, group_begin=group.begin, seed=seed, dt=dt, plane_stride=plane_stride,
            input=inputs + input_begin * (4 if precision == "single" else 8),
        )  # fmt: skip
        self._write_numbers(self.arguments)
        self._chunks()
        self._scales(planes)
        self._inputs(network, Draws(backend, kernels, seed), dt)
        self.lengths: dict[str, npt.NDArray[np.int64]] = {}
        self._vectors(kernels, seed, dt)
        self.states: dict[str, Array] = {}
        self.probes: dict[str, Array] = {}
        self.offsets: dict[str, npt.NDArray[np.float64]] = {}
        self._initialise(group.model, values, kernels, seed)
        for name in shape.probes:
            self.probes[name] = backend.zeros(max(1, group.size), self.real)
            setattr(self.arguments, f"probe_{name}", backend.pointer(self.probes[name]))

    @property
    def bytes(self) -> int:
        """Of states, parameters, inputs and counts, on device and host."""
        arrays = [*self.states.values(), *self.probes.values(), *self.offsets.values(), *self._keep]
        return sum(int(array.nbytes) for array in arrays)

    def recordable(self, name: str) -> Array:
        """The device array of a state, or of a probe that is recorded."""
        return self.states[name] if name in self.states else self.probes[name]

    def read(self, part: Part, name: str) -> npt.NDArray[np.float64]:
        """A parameter or state of a population's local neurons, float64[part.count]."""
        here = slice(part.begin, part.begin + part.count)
        if name in self.states:
            state = self._backend.to_host(self.states[name])[here].astype(np.float64)
            return state + self.offsets[name][here] if name in self.offsets else state
        if name in self.probes:
            return self._backend.to_host(self.probes[name])[here].astype(np.float64)
        return np.broadcast_to(np.asarray(self._values[self.group.parts.index(part)][name], np.float64), part.count)

    def write(self, part: Part, changes: Mapping[str, Any], dt: float) -> None:
        """Set parameters and states of a population: floats, or float64[population.size].

        Raises
        ------
        ConfigError
            Numbers that differ between neurons, for a parameter that the kernel reads once a population.
        """
        model, here = self.group.model, slice(part.begin, part.begin + part.count)
        numbers = dict(self._values[self.group.parts.index(part)])
        old = {name: self.read(part, name) for name in self.states}
        absolute = dict(old)
        for name, value in changes.items():
            own = value if isinstance(value, float) else np.asarray(value, np.float64)[part.positions()]
            if name in self.states:
                absolute[name] = np.broadcast_to(own, part.count)
                continue
            if not isinstance(own, float) and name not in self.shape.per_neuron:
                raise ConfigError(
                    f"{part.population.name}.{name}: found one number per neuron; allowed: one number, "
                    "as in the description (a list or a distribution there makes room for one per neuron)"
                )
            numbers[name] = own
        for constant in model.constants:
            if set(constant.depends) & set(changes):
                numbers[constant.name] = constant_values(constant, numbers, dt, self.real)
        self._values[self.group.parts.index(part)] = numbers
        for state in model.states:
            whole = self._backend.to_host(self.states[state.name]).copy()
            if state.relative_to:
                offsets = self.offsets[state.name]
                before = offsets[here].copy()
                offsets[here] = numbers[state.relative_to]
                moved = (offsets[here] != before) | (absolute[state.name] != old[state.name])  # others keep their bits
                whole[here] = np.where(moved, absolute[state.name] - offsets[here], whole[here])
            elif state.name in changes:
                whole[here] = absolute[state.name]
            self._backend.copy_into(self.states[state.name], whole)
        assert self.mirror is not None
        self._write_numbers(self.mirror.host)
        self.mirror.store()

    def _write_numbers(self, arguments: Any) -> None:
        """Parameters and constants: a table by population, arrays where neurons differ."""
        shape, group = self.shape, self.group
        table = np.zeros((len(group.parts), max(1, len(shape.numbers))), np.float64)
        each = {name: np.empty(group.size, np.float64) for name in shape.per_neuron}
        for row, (part, numbers) in enumerate(zip(group.parts, self._values, strict=True)):
            here = slice(part.begin, part.begin + part.count)
            for column, name in enumerate(shape.numbers):
                if name in shape.per_neuron:
                    each[name][here] = numbers[name]
                else:
                    table[row, column] = numbers[name]
        arguments.table = self._device(table.astype(self.real))
        for name, array in each.items():
            setattr(arguments, f"each_{name}", self._device(array.astype(self.real)))

    def _device(self, array: npt.NDArray[Any]) -> int:
        if not array.size:
            array = np.zeros(1, array.dtype)
        on_device = self._backend.to_device(array)
        self._keep.append(on_device)
        return self._backend.pointer(on_device)

    def _drawn(self, part: Part, kernels: Module, seed: int, dt: float) -> dict[str, Any]:
        """Scalar parameters and constants of a population: a float, or float64[count] where they vary."""
        values: dict[str, Any] = {}
        for index, parameter in enumerate(self.group.model.scalar_parameters):
            value = population_values(part.population, parameter.name)
            values[parameter.name] = (
                value
                if isinstance(value, float)
                else draw(self._backend, kernels, value, part, seed, Stream.PARAMETER, index)
            )
        for constant in self.group.model.constants:
            values[constant.name] = constant_values(constant, values, dt, self.real)
        return values

    def _chunks(self) -> None:
        lanes = self._backend.lanes
        chunks = [
            (part.first_gid + k * part.stride, part.stride, part.begin + k, min(lanes, part.count - k), row,
             part.population_id, 0)
            for row, part in enumerate(self.group.parts)
            for k in range(0, part.count, lanes)
        ]  # fmt: skip
        self.arguments.chunks = self._device(np.array(chunks, CHUNK))
        self.arguments.n_chunks = len(chunks)

    def _scales(self, planes: PlaneTable) -> None:
        scale = np.zeros((len(self.group.parts), max(1, self.shape.n_planes)), self.real)
        for row, part in enumerate(self.group.parts):
            quanta = planes.quanta[part.population_id]
            scale[row, : len(quanta)] = quanta
        self.arguments.scale = self._device(scale)

    def _poisson(
        self, inputs: Sequence[Sequence[Sequence[Background]]], draws: Draws, dt: float
    ) -> list[npt.NDArray[np.float64]]:
        """Tables of the backgrounds; returns the weights, one a neuron, of places that reach some neurons only."""
        places = self.shape.n_poisson
        entries = np.zeros((len(self.group.parts), max(1, places)), POISSON_ENTRY)
        thresholds: list[int] = []
        masked = [place for place, m in enumerate(self.shape.masked) if m]
        array_of = {place: i for i, place in enumerate(masked)}
        weights = [np.zeros(self.group.size) for _ in masked]
        where: dict[PoissonTable, int] = {}
        for row, by_receptor in enumerate(inputs):
            place = 0
            for n, found in zip(self.shape.poisson, by_receptor, strict=True):
                for k, background in enumerate(found):
                    table = background.table
                    if table not in where:
                        where[table] = len(thresholds)
                        thresholds += [*table.thresholds, *table.rest]
                    begin, common = where[table], len(table.thresholds)
                    onto, part = background.onto, self.group.parts[row]
                    factors = array_of.get(place + k, 0)
                    entries[row, place + k] = (
                        table.first, begin, common, table.rest_from, begin + common, len(table.rest),
                        onto.number, 1, *onto.active_steps(dt), background.weight, factors,
                    )  # fmt: skip
                    if place + k in array_of:
                        here = slice(part.begin, part.begin + part.count)
                        weights[factors][here] = background.weight * draws.factors(onto, None, part)
                place += n
        stride = -(-self.group.size // 64) * 64
        count = np.uint32 if self.shape.wide_counts else np.uint8
        counts = self._backend.zeros(max(1, places * 8 * stride), count)
        self._keep.append(counts)
        self.arguments.poisson = self._device(entries)
        self.arguments.thresholds = self._device(np.array(thresholds, np.uint32))
        self.arguments.counts, self.arguments.counts_stride = self._backend.pointer(counts), stride
        return weights

    def _inputs(self, network: Network, draws: Draws, dt: float) -> None:
        arguments, shape = self.arguments, self.shape
        weights = self._poisson(backgrounds(network, self.group, dt), draws, dt)
        if not weights and not shape.n_signals:
            return
        found = signals(network, self.group, shape.signals, draws, dt)
        # Arrays of backgrounds come first.
        found.entries["factors"][found.entries["factors"] > 0] += len(weights)
        arguments.signals = self._device(found.entries)
        arguments.signal_times = self._device(np.array(found.times, np.int64))
        arguments.signal_values = self._device(np.array(found.values, np.float64))
        arguments.factors_stride = self.group.size
        arguments.signal_factors = self._device(np.array([*weights, *found.factors], self.real))

    def _vectors(self, kernels: Module, seed: int, dt: float) -> None:
        """Listed numbers: times as steps, others as they are; and times that are drawn."""
        for vector in self.group.model.vector_parameters:
            if vector.name not in self.group.model.vectors:
                continue
            lists = [(p, lists_in_code(self.group.model, p.population.params, vector.name)) for p in self.group.parts]
            rows = [of_part[i] for part, of_part in lists for i in part.positions()]
            if vector.plain:
                self._lists(vector.name, rows, np.float64)
            else:
                self._lists(vector.name, [[round_to_steps(t, dt) for t in row] for row in rows], np.int64)
        for drawn in self.group.model.drawn:
            found = [x for part in self.group.parts for x in self._drawn_times(drawn, part, kernels, seed)]
            steps = [sorted(s for t in row if (s := round_to_steps(t, dt)) >= 1) for row in found]
            self._lists(drawn.name, steps, np.int64)

    def _drawn_times(self, drawn: DrawnTimes, part: Part, kernels: Module, seed: int) -> list[list[float]]:
        params, neurons = part.population.params, [int(i) for i in part.positions()]
        counts = [drawn.count(params, i) for i in neurons]
        most, normal = max(counts, default=0), Normal(0.0, 1.0)
        rows = draw_rows(self._backend, kernels, normal, part, seed, Stream.TIMES, most).tolist()
        return [drawn.times(params, i, row[:n]) for i, n, row in zip(neurons, counts, rows, strict=True)]

    def _lists(self, name: str, rows: Sequence[Sequence[float]], dtype: npt.DTypeLike) -> None:
        begin = np.concatenate(([0], np.cumsum([len(row) for row in rows], dtype=np.int64)))
        self.lengths[name] = np.diff(begin)
        values = np.array([x for row in rows for x in row], dtype)
        setattr(self.arguments, f"begin_{name}", self._device(begin.astype(np.int64)))
        setattr(self.arguments, f"values_{name}", self._device(values))

    def _initialise(self, model: Model, values: Sequence[Mapping[str, Any]], kernels: Module, seed: int) -> None:
        for index, state in enumerate(model.states):
            start = np.zeros(self.group.size, np.float64)
            offset = np.zeros(self.group.size, np.float64)
            for part, numbers in zip(self.group.parts, values, strict=True):
                here = slice(part.begin, part.begin + part.count)
                given: Value | None = part.population.initial.get(state.name)
                if given is not None:
                    start[here] = draw(self._backend, kernels, given, part, seed, Stream.INITIAL, index)
                else:
                    start[here] = numbers[state.initial] if isinstance(state.initial, str) else state.initial
                if state.relative_to:
                    offset[here] = numbers[state.relative_to]
            dtype = self.real if state.kind == "real" else np.dtype(state.kind)
            array = self._backend.to_device((start - offset).astype(dtype))
            self.states[state.name] = array
            setattr(self.arguments, f"state_{state.name}", self._backend.pointer(array))
            if state.relative_to:
                self.offsets[state.name] = offset


def constant_values(constant: Constant, values: Mapping[str, Any], dt: float, real: np.dtype[Any]) -> Any:
    """A constant from its parameters with 50 digits, rounded once: a float, or one for each neuron."""
    with localcontext(exact_context()):
        step = Decimal(repr(dt)) / constant.parts[real == np.float64]
        varying = [name for name in constant.depends if not isinstance(values[name], float)]

        def compute(numbers: Mapping[str, float]) -> float:
            # repr: the shortest decimal that reads back as this float, so 0.1 means one tenth.
            return float(constant.compute({n: Decimal(repr(float(x))) for n, x in numbers.items()}, step))

        fixed = {name: values[name] for name in constant.depends if name not in varying}
        if not varying:
            return compute(fixed)
        rows = np.stack([values[name] for name in varying], axis=1)
        if not rows.size:
            return np.empty(0, np.float64)
        distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
        numbers = [compute({**fixed, **dict(zip(varying, row, strict=True))}) for row in distinct.tolist()]
        return np.array(numbers, np.float64)[inverse.ravel()]
