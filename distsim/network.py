"""What a user describes: populations, projections, inputs, recordings. No arrays, no MPI, no devices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distsim.checks import check_poisson, check_projection
from distsim.distributions import Value, Within, as_value
from distsim.errors import ConfigError, nearest, wrong
from distsim.models import Family, Model, model_named
from distsim.rules import Explicit, Rule

MAX_GIDS = 2**40


@dataclass(frozen=True)
class Population:
    """`size` neurons of one model; global ids first_gid … first_gid + size - 1."""

    name: str
    size: int
    model: Model
    first_gid: int
    params: Mapping[str, Any] = field(default_factory=dict)  # Value, or lists of lists for vectors
    initial: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Projection:
    """Connections of one rule from the concatenation of `sources` to that of `targets`."""

    sources: tuple[Population, ...]
    targets: tuple[Population, ...]
    rule: Rule
    weight: Value  # in the unit of the target's receptor
    delay: Value  # ms
    receptor: str | None  # a port name, or None: by the sign of the weight

    @property
    def n_sources(self) -> int:
        return sum(p.size for p in self.sources)

    @property
    def n_targets(self) -> int:
        return sum(p.size for p in self.targets)


@dataclass(frozen=True)
class PoissonInput:
    """An independent Poisson train of `rate` (Hz) onto every neuron of `targets`."""

    name: str
    targets: tuple[Population, ...]
    rate: float
    weight: float
    receptor: str | None


@dataclass(frozen=True)
class StateRecording:
    """State variables of some neurons (`neurons` None: all) every `interval` ms."""

    population: Population
    variables: tuple[str, ...]
    interval: float
    neurons: tuple[int, ...] | None


class Network:
    """A network under description.

    Global ids count from 0 in the order in which populations are described; the identity of a
    projection or an input is its position in its list.
    """

    def __init__(self, name: str = "network") -> None:
        self.name = name
        self.populations: list[Population] = []
        self.projections: list[Projection] = []
        self.inputs: list[PoissonInput] = []
        self.state_recordings: list[StateRecording] = []
        self.record_spikes: tuple[str, ...] | None = None  # None: all neurons
        self.reference_rates: dict[str, float] = {}  # published rates in Hz, printed beside ours
        self.reference_source: str = ""

    @property
    def size(self) -> int:
        """Number of neurons and generators together."""
        return self.populations[-1].first_gid + self.populations[-1].size if self.populations else 0

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
        **more_params: Any,
    ) -> Population:
        """Describe `size` neurons of `model`; parameters as keywords or in `params`.

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
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < MAX_GIDS:
            raise wrong(f"{where}.size", size, "a whole number from 1 to 2^40 - 1")
        if self.size + size > MAX_GIDS:
            raise wrong(f"{where}.size", size, "at most 2^40 neurons in all")
        declared = model_named(model, f"{where}.model") if isinstance(model, str) else model
        values = {**(params or {}), **more_params}
        if isinstance(declared, Family):
            declared, values = declared.resolve(values, f"{where}.params")
        checked = declared.check_params(values, size, f"{where}.params")
        declared = declared.chosen(checked)
        if any(p.model.symbol == declared.symbol and p.model is not declared for p in self.populations):
            raise wrong(
                f"{where}.model", declared.name, "one model of that name; another population has a different one"
            )
        start = declared.check_initial(initial or {}, size, f"{where}.initial")
        population = Population(name, size, declared, self.size, checked, start)
        self.populations.append(population)
        return population

    def project(
        self,
        source: Population | str | Sequence[Population | str],
        target: Population | str | Sequence[Population | str],
        rule: Rule,
        weight: Any = 1.0,
        delay: Any = 1.0,
        receptor: str | int | None = None,
    ) -> Projection:
        """Describe connections from `source` to `target`; lists are concatenated to one side each."""
        if isinstance(rule, Explicit):
            weight, delay = Within(*rule.summary.weight_range), Within(*rule.summary.delay_range)
        projection = Projection(
            self._side(source), self._side(target), rule, as_value(weight), as_value(delay), _port(receptor)
        )
        checked = check_projection(projection, f"projections[{len(self.projections)}]")
        self.projections.append(checked)
        return checked

    def poisson(
        self,
        targets: Population | str | Sequence[Population | str],
        rate: float,
        weight: float,
        *,
        name: str | None = None,
        receptor: str | int | None = None,
    ) -> PoissonInput:
        """Describe a Poisson background of `rate` (Hz) and `weight` onto each target."""
        name = name or f"poisson{len(self.inputs)}"
        if any(i.name == name for i in self.inputs):
            raise ConfigError(f"inputs.{name}: described twice; names of inputs are unique")
        described = PoissonInput(name, self._side(targets), float(rate), float(weight), _port(receptor))
        check_poisson(described, f"inputs.{name}")
        self.inputs.append(described)
        return described

    def record_states(
        self,
        population: Population | str,
        variables: Sequence[str],
        interval: float = 1.0,
        neurons: Sequence[int] | None = None,
    ) -> StateRecording:
        """Record `variables` of `population` (or of its `neurons`, local ids) every `interval` ms."""
        (target,) = self._side(population)
        where = f"record.states.{target.name}"
        for variable in variables:
            if variable not in target.model.recordables:
                raise ConfigError(
                    f"{where}.variables: unknown variable {variable!r}; " + nearest(variable, target.model.recordables)
                )
        if not variables or len(set(variables)) != len(variables):
            raise wrong(f"{where}.variables", list(variables), "at least one variable, each once")
        if not (math.isfinite(interval) and interval > 0.0):
            raise wrong(f"{where}.interval", interval, "a time in ms > 0")
        chosen = None
        if neurons is not None:
            chosen = tuple(int(n) for n in neurons)
            bad = next((n for n in chosen if not 0 <= n < target.size), None)
            if bad is not None or not chosen or len(set(chosen)) != len(chosen):
                raise wrong(
                    f"{where}.neurons",
                    list(chosen) if bad is None else bad,
                    f"local ids from 0 to {target.size - 1}, each once",
                )
        if any(r.population is target for r in self.state_recordings):
            raise ConfigError(f"{where}: described twice; list all variables of a population together")
        recording = StateRecording(target, tuple(variables), float(interval), chosen)
        self.state_recordings.append(recording)
        return recording

    def recorded(self) -> tuple[Population, ...]:
        """The populations whose spikes are written: all neurons, or those listed."""
        if self.record_spikes is None:
            return tuple(p for p in self.populations if p.model.is_neuron)
        return tuple(self[name] for name in self.record_spikes)

    def _side(self, chosen: Population | str | Sequence[Population | str]) -> tuple[Population, ...]:
        parts = [chosen] if isinstance(chosen, (str, Population)) else list(chosen)
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
