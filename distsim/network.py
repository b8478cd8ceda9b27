"""What a user describes: populations, projections, inputs, recordings. No arrays, no MPI, no devices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from distsim.checks import check_input, check_projection
from distsim.devices import device_named
from distsim.distributions import Within
from distsim.elements import Input, Population, Projection
from distsim.errors import ConfigError, nearest, wrong
from distsim.given import is_number, plain, value_of
from distsim.models import Family, Model, model_named
from distsim.models.declared import check_declaration
from distsim.recordings import RateRecording, StateRecording, connection_recording, state_recording, time_above_0
from distsim.rules import Explicit, Generate, Rule, check_form, generated
from distsim.selection import Selection, names_of, select
from distsim.space import Layout, Positions, Space, check_positions
from distsim.storage import Storage, settled

MAX_GIDS = 2**40


Side = Population | str | Selection | Sequence[Population | str | Selection]


class Network:
    """A network under description.

    Global ids count from 0 in the order in which populations are described; the identity of a
    projection or an input is its position in its list.
    """

    __slots__ = (  # what is misspelt is an error, and not an attribute that nobody reads
        "__weakref__", "connection_recording", "inputs", "name", "populations", "projections", "rate_recording",
        "reference_rates", "reference_source", "space", "spike_recording", "state_recordings", "warnings",
    )  # fmt: skip

    def __init__(self, name: str = "network", space: Space | None = None) -> None:
        self.name = name
        if space is not None and not isinstance(space, Space):
            raise wrong("space", space, "distsim.space.Space.of(…)")
        self.space = space and Space.of(space.unit, space.extent, space.center, space.periodic)
        self.populations: list[Population] = []
        self.projections: list[Projection] = []
        self.inputs: list[Input] = []
        self.spike_recording: tuple[Selection, ...] | None = None  # None: all neurons
        self.state_recordings: list[StateRecording] = []
        self.rate_recording: RateRecording | None = None
        self.connection_recording: tuple[int, ...] = ()  # projections whose synapses are written to edges.h5
        self.reference_rates: dict[str, float] = {}  # published rates in Hz, printed beside ours
        self.reference_source: str = ""
        self.warnings: list[str] = []  # what of a description from elsewhere is not read, told when it runs

    @property
    def size(self) -> int:
        """Number of neurons and generators together."""
        return self.populations[-1].first_gid + self.populations[-1].size if self.populations else 0

    def __repr__(self) -> str:
        return f"<Network {self.name}: {names_of(self.populations)}; projections: {len(self.projections)}>"

    def __getitem__(self, name: str) -> Population:
        for population in self.populations:
            if population.name == name:
                return population
        raise ConfigError(f"unknown population {name!r}; {nearest(name, (p.name for p in self.populations))}")

    def population(
        self,
        name: str,
        size: int,
        model: str | Model | Family,
        *,
        initial: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        positions: Layout | Positions | None = None,
        **more_params: Any,
    ) -> Population:
        """Describe `size` neurons of `model`; parameters as keywords or in `params`; `positions` as distsim.space says.

        Raises
        ------
        ConfigError
            Duplicate name, unknown model, parameter or state, or a value out of its range.
        """
        where = f"populations.{name}"
        if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
            raise wrong("populations", name, "a name without '/'")
        if any(p.name == name for p in self.populations):
            raise ConfigError(f"{where}: described twice; names of populations are unique")
        size = plain(size)
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < MAX_GIDS:
            raise wrong(f"{where}.size", size, "a whole number from 1 to 2^40 - 1")
        if self.size + size > MAX_GIDS:
            raise wrong(f"{where}.size", size, "at most 2^40 neurons in all")
        declared = model_named(model, f"{where}.model") if isinstance(model, str) else model
        values = {**(params or {}), **more_params}
        if isinstance(declared, Family):
            declared, values = declared.resolve(values, f"{where}.params")
        declared = check_declaration(declared, f"{where}.model")
        checked = declared.check_params(values, size, f"{where}.params")
        declared = declared.chosen(checked)
        if any(p.model.symbol == declared.symbol and p.model is not declared for p in self.populations):
            raise wrong(
                f"{where}.model", declared.name, "one model of that name; another population has a different one"
            )
        start = declared.check_initial(initial or {}, size, f"{where}.initial")
        at = f"{where}.positions"
        placed = positions.within(self.space, at) if isinstance(positions, Layout) else positions
        if placed is not None:
            if isinstance(placed, (str, list, tuple)) or not hasattr(placed, "dimensions"):
                raise wrong(at, placed, "positions such as distsim.space.box([1.0, 1.0]) or distsim.space.listed(…)")
            check_positions(placed, size, self.space, at)
        population = Population(name, size, declared, self.size, checked, start, placed)
        self.populations.append(population)
        return population

    def project(
        self,
        source: Side,
        target: Side,
        rule: Rule,
        weight: Any = 1.0,
        delay: Any = 1.0,
        receptor: str | int | None = None,
        *,
        generate: Generate | None = None,
        weight_bits: int | None = None,
        storage: Storage = "stored",
    ) -> Projection:
        """Describe connections from `source` to `target`; lists are concatenated to one side each.

        Parameters
        ----------
        source, target
            A population, its name, a Selection of it (see `select`), or a list of these.
        generate
            Draws keyed by the target (by_target, the default) or by the source: two different networks of the same
            distribution. What is by_source can be regenerated source by source.
        weight_bits
            16, 8 or 4: weights in 2^bits levels that keep the mean and the variance.
        storage
            procedural: no synapse is stored, a source's are drawn again for each of its spikes, by_source; auto: where
            the memory would not hold them, also by_source, so that what is chosen changes no result; and stored, drawn
            as without it, where they cannot be drawn again.
        """
        where = f"projections[{len(self.projections)}]"
        check_form(rule, where)
        if isinstance(rule, Explicit):
            for key, value in (("weight", weight), ("delay", delay)):
                if not (is_number(value) and value == 1.0):  # the default
                    raise ConfigError(f"{where}.{key}: not allowed with the rule explicit; it has one a connection")
            weight, delay = Within(*rule.summary.weight_range), Within(*rule.summary.delay_range)
        weight, delay = value_of(weight, f"{where}.weight"), value_of(delay, f"{where}.delay")
        kept, drawn_by = settled(rule, storage, generate, weight, delay, where)
        projection = Projection(
            self._selections(source), self._selections(target), rule, weight, delay, _port(receptor),
            generated(rule, drawn_by, where), weight_bits, self.space, kept,
        )  # fmt: skip
        checked = check_projection(projection, where)
        self.projections.append(checked)
        return checked

    def select(self, population: Population | str, **which: Any) -> Selection:
        """Some neurons of a population: `slice=[start, stop, step]`, `neurons=[…]` or `fraction=0.1`."""
        chosen, *others = self._side(population)
        if others:
            raise wrong("select", [chosen.name, *(p.name for p in others)], "one population at a time")
        return select(chosen, **which, where=f"select({chosen.name})")

    def poisson(
        self,
        targets: Side,
        rate: Any,
        weight: float,
        *,
        name: str | None = None,
        receptor: str | int | None = None,
    ) -> Input:
        """Describe a Poisson background of `rate` (Hz) and `weight` onto each target."""
        return self.input("poisson_generator", targets, name=name, weight=weight, receptor=receptor, rate=rate)

    def input(
        self,
        type: str,
        targets: Side,
        *,
        name: str | None = None,
        weight: float | None = None,
        receptor: str | int | None = None,
        start: float = 0.0,
        stop: float = math.inf,
        params: Mapping[str, Any] | None = None,
        **more_params: Any,
    ) -> Input:
        """Describe a device of `type` onto each target; its parameters as keywords or in `params`.

        Parameters
        ----------
        type
            A device of distsim.devices, such as poisson_generator or dc_generator.
        weight
            Of a spike, in the receptor's unit; a factor of a current (1 by default).
        start, stop
            ms: active at grid times t with start < t <= stop.

        Raises
        ------
        ConfigError
            Unknown device or parameter, a value out of range, or targets that do not take such an input.
        """
        device = device_named(type, "inputs.type" if name is None else f"inputs.{name}.type")
        name = name or f"{device.label}{len(self.inputs)}"
        where = f"inputs.{name}"
        if any(i.name == name for i in self.inputs):
            raise ConfigError(f"{where}: described twice; names of inputs are unique")
        if weight is None:
            if device.gives == "spikes":
                raise ConfigError(f"{where}.weight: missing; the weight of a spike, in the receptor's unit")
            weight = 1.0
        side = self._selections(targets)
        values = device.check({**(params or {}), **more_params}, sum(t.size for t in side), where)
        for key, value in (("weight", weight), ("start", start), ("stop", stop)):
            if not is_number(plain(value)):
                raise wrong(f"{where}.{key}", value, "one number for all targets")
        described = Input(name, device, side, values, float(weight), _port(receptor), float(start), float(stop))
        check_input(described, where)
        self.inputs.append(described)
        return described

    def record_spikes(self, populations: Side) -> None:
        """Keep the spikes of these populations or selections alone, [] for none; all neurons' without this."""
        if self.spike_recording is not None:
            raise ConfigError("record.spikes: described twice; list all populations together")
        nothing = isinstance(populations, (list, tuple)) and not populations
        self.spike_recording = () if nothing else self._selections(populations)

    def record_connections(self, projections: Projection | int | Iterable[Projection | int] | None = None) -> None:
        """Write the synapses of these projections (or of their numbers; None: of all so far) to edges.h5."""
        if self.connection_recording:
            raise ConfigError("record.connections: described twice; list all projections together")
        self.connection_recording = connection_recording(self.projections, projections)

    def record_states(
        self,
        population: Population | str | Selection,
        variables: Sequence[str] | str,
        interval: float = 1.0,
        neurons: Sequence[int] | None = None,
    ) -> StateRecording:
        """Record `variables` of a population, its `neurons` (local ids) or a selection, every `interval` ms."""
        recording = state_recording(self._selections(population), variables, interval, neurons)
        target = recording.population
        if any(r.population is target for r in self.state_recordings):
            raise ConfigError(
                f"record.states.{target.name}: described twice; list all variables of a population together"
            )
        self.state_recordings.append(recording)
        return recording

    def record_rates(
        self, bin: float, populations: Population | str | Sequence[Population | str] | None = None
    ) -> RateRecording:
        """Count the spikes of populations (None: all neurons) in bins of `bin` ms, without storing them."""
        width = time_above_0(bin, "record.rates.bin")
        if self.rate_recording is not None:
            raise ConfigError("record.rates: described twice; list all populations together")
        everyone = tuple(p for p in self.populations if p.model.is_neuron)
        side = everyone if populations is None else self._side(populations)
        if not side:
            raise wrong("record.rates.populations", [], "at least one population")
        self.rate_recording = RateRecording(side, width)
        return self.rate_recording

    def recorded(self) -> tuple[Population, ...]:
        """The populations whose spikes are written, of all their neurons or of some."""
        return tuple(s.population for s in self.recorded_neurons())

    def recorded_neurons(self) -> tuple[Selection, ...]:
        """The neurons whose spikes are written: all, or those of `record_spikes`; each population once."""
        if self.spike_recording is not None:
            return self.spike_recording
        return tuple(Selection.whole(p) for p in self.populations if p.model.is_neuron)

    def _selections(self, chosen: Side) -> tuple[Selection, ...]:
        """A side as selections; all of one network, each population once."""
        if not isinstance(chosen, (str, Population, Selection)) and not hasattr(chosen, "__iter__"):
            raise wrong("source or target", chosen, "a population, its name, a selection, or a list of these")
        parts = [chosen] if isinstance(chosen, (str, Population, Selection)) else list(chosen)
        self._side([part.population if isinstance(part, Selection) else part for part in parts])
        whole = (self[part] if isinstance(part, str) else part for part in parts)
        return tuple(part if isinstance(part, Selection) else Selection.whole(part) for part in whole)

    def _side(self, chosen: Population | str | Sequence[Population | str]) -> tuple[Population, ...]:
        parts = list(chosen) if isinstance(chosen, Iterable) and not isinstance(chosen, str) else [chosen]
        for part in parts:
            if not isinstance(part, (str, Population)):
                raise wrong("population", part, "a whole population, or its name")
        side = tuple(self[part] if isinstance(part, str) else part for part in parts)
        if not side:
            raise ConfigError("a list of populations is empty; name at least one")
        for part in side:
            if not any(part is p for p in self.populations):
                raise ConfigError(f"population {part.name!r} belongs to another network")
        if len({p.name for p in side}) != len(side):
            raise ConfigError(f"a population stands twice in {[p.name for p in side]}; name each once")
        return side


def _port(receptor: str | int | None) -> str | None:
    """NEST numbers the ports of models that have any number of them, from 1."""
    return receptor if receptor is None else str(receptor)
