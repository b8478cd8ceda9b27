"""Families: models whose structure depends on what the user gives, such as one state for each receptor port.

A family is declared once. Its parameters that are lists of any length, and its switches, choose a *form*; for each
form `make` returns a plain Model in which the k-th number of a list L is the scalar parameter L_k, k from 1.
Everything after the description knows plain models only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from distsim.distributions import Value
from distsim.errors import ConfigError, nearest, wrong
from distsim.models.base import Model, Parameter

MAX_LENGTH = 64  # ports, or elements of a list: each is a state and a few lines of the kernel


@dataclass(frozen=True)
class ListParameter:
    """A list of numbers of a length that the user chooses, the same for all neurons of a population.

    Lists with the same `together` have one length.
    """

    name: str
    default: tuple[float, ...]
    unit: str
    doc: str
    above: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    together: str = ""
    least: int = 0  # the shortest length

    def element(self, k: int) -> Parameter:
        """The scalar parameter of element k, from 1."""
        default = self.default[min(k, len(self.default)) - 1] if self.default else 0.0
        return Parameter(
            f"{self.name}_{k}", default, self.unit, f"{self.doc} ({k})", above=self.above, at_least=self.at_least,
            at_most=self.at_most,
        )  # fmt: skip


@dataclass(frozen=True)
class Flag:
    """A switch that is the same for all neurons of a population.

    One that is `derived` is no parameter: it follows from the values that the user gives.
    """

    name: str
    default: bool
    doc: str
    derived: Callable[[Mapping[str, Any]], bool] | None = None


@dataclass(frozen=True)
class Whole:
    """A whole number that is the same for all neurons of a population and decides how many states there are."""

    name: str
    default: int
    doc: str
    least: int = 1
    most: int = MAX_LENGTH


@dataclass(frozen=True)
class Form:
    """A member of a family: the lengths of its lists, the positions of its switches and its whole numbers."""

    family: Family
    lengths: tuple[tuple[str, int], ...]
    flags: tuple[tuple[str, bool], ...]
    wholes: tuple[tuple[str, int], ...] = ()

    @property
    def symbol(self) -> str:
        parts = [str(n) for _, n in self.lengths] + ["".join(str(int(on)) for _, on in self.flags)]
        parts += [str(n) for _, n in self.wholes]
        return "_".join(x for x in parts if x)

    def length(self, name: str) -> int:
        return dict(self.lengths)[name]

    def flag(self, name: str) -> bool:
        return dict(self.flags)[name]

    def whole(self, name: str) -> int:
        return dict(self.wholes)[name]

    def gathered(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of the form's model as the user writes them: lists whole, switches named."""
        elements = {f"{name}_{k}": name for name, n in self.lengths for k in range(1, n + 1)}
        plain = {key: value for key, value in params.items() if key not in elements}
        lists: dict[str, Any] = {name: [] for name, _ in self.lengths}
        for element, name in elements.items():
            value = params[element]
            if isinstance(value, float):
                lists[name].append(value)
            else:  # differs between neurons: the element stands for itself, its place in the list keeps the default
                plain[element] = value
                k = int(element.rpartition("_")[2])
                lists[name].append(self.family.list_parameter(name).element(k).default)
        switches = {f.name: self.flag(f.name) for f in self.family.switches}
        return {**plain, **lists, **switches, **{name: float(n) for name, n in self.wholes}}


@dataclass(frozen=True, eq=False)
class Family:
    """A declared family; `make` gives the model of a form (its `form` is filled in here).

    `refuse` says what is wrong with a form that is not to be had, or nothing.
    """

    name: str
    doc: str
    lists: tuple[ListParameter, ...]
    flags: tuple[Flag, ...]
    make: Callable[[Form], Model]
    refuse: Callable[[Form], str | None] = lambda form: None
    wholes: tuple[Whole, ...] = ()

    def list_parameter(self, name: str) -> ListParameter:
        return next(x for x in self.lists if x.name == name)

    @property
    def switches(self) -> tuple[Flag, ...]:
        """The flags that a user sets."""
        return tuple(f for f in self.flags if f.derived is None)

    def form(
        self, lengths: Mapping[str, int] | None = None, flags: Mapping[str, bool] | None = None,
        wholes: Mapping[str, int] | None = None,
    ) -> Form:  # fmt: skip
        """The form with these lengths and switches; defaults where none is given."""
        lengths, flags, wholes = lengths or {}, flags or {}, wholes or {}
        return Form(
            self,
            tuple((x.name, lengths.get(x.name, len(x.default))) for x in self.lists),
            tuple((f.name, flags.get(f.name, f.default)) for f in self.flags),
            tuple((w.name, wholes.get(w.name, w.default)) for w in self.wholes),
        )

    @property
    def example(self) -> Model:
        """The model of the default form."""
        return _made(self.form())

    def resolve(self, values: Mapping[str, Any], where: str) -> tuple[Model, dict[str, Any]]:
        """The model that `values` ask for, and its plain parameters.

        Raises
        ------
        ConfigError
            A list that is none, too long or of another length than its companions; a switch that is none; a form
            that the family refuses.
        """
        rest = dict(values)
        flags = {f.name: _flag(rest.pop(f.name, f.default), f"{where}.{f.name}") for f in self.switches}
        flags |= {f.name: f.derived(values) for f in self.flags if f.derived is not None}
        wholes = {w.name: _whole(rest.pop(w.name, w.default), w, f"{where}.{w.name}") for w in self.wholes}
        lists = {x.name: _numbers(rest.pop(x.name), x, f"{where}.{x.name}") for x in self.lists if x.name in rest}
        lengths = {name: len(numbers) for name, numbers in lists.items()}
        for x in self.lists:
            if x.name in lengths and x.together:
                for other in self.lists:
                    if other.together != x.together:
                        continue
                    if lengths.setdefault(other.name, lengths[x.name]) != lengths[x.name]:
                        raise wrong(
                            f"{where}.{other.name}", f"{lengths[other.name]} numbers",
                            f"as many as {x.name} has: {lengths[x.name]}",
                        )  # fmt: skip
        form = self.form(lengths, flags, wholes)
        if fault := self.refuse(form):
            raise ConfigError(f"{where}: {fault}")
        model = _made(form)
        plain: dict[str, Any] = {f"{n}_{k + 1}": v for n, numbers in lists.items() for k, v in enumerate(numbers)}
        for key in rest:
            if key not in {p.name for p in model.parameters} | set(dict(model.refused)):
                known = [p.name for p in model.parameters if p.name not in plain] + list(lengths)
                known += [f.name for f in self.switches] + list(wholes)
                raise ConfigError(f"{where}.{key}: unknown parameter of {self.name}; {nearest(key, known)}")
        return model, {**plain, **rest}


@cache
def _made(form: Form) -> Model:
    return dataclasses.replace(form.family.make(form), form=form)


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise wrong(where, value, "true or false")
    return value


def _whole(value: Any, declared: Whole, where: str) -> int:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(value)
    if not number or not declared.least <= value <= declared.most:
        raise wrong(where, value, f"a whole number from {declared.least} to {declared.most}")
    return int(value)


def _numbers(value: Any, declared: ListParameter, where: str) -> list[Value]:
    """The numbers of a list; a single number is a list of one."""
    numbers = [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    if not isinstance(numbers, (list, tuple)) or not all(
        isinstance(x, (int, float)) and not isinstance(x, bool) for x in numbers
    ):
        raise wrong(where, value, "a list of numbers, the same for all neurons of the population")
    if not declared.least <= len(numbers) <= MAX_LENGTH:
        raise wrong(where, f"{len(numbers)} numbers", f"a list of {declared.least} to {MAX_LENGTH} numbers")
    return [float(x) for x in numbers]
