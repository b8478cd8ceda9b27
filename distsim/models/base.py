"""The form of a model's declaration.

Everything else follows from it: allocation, the update kernel, recording, checks of the description.
A declaration knows neither MPI nor devices. Its `update` is a few lines of C++ in the common subset of
CUDA C++ and C++17 that advance one neuron by one step; in them stand

- every scalar parameter and every constant, by name (type `real`, or `int32` for integer constants),
- every state, by name, to read and to assign,
- `input_<receptor>`: what arrived in this step, in the receptor's unit (type `real`; weights times
  spikes plus Poisson background),
- `I_stim`: the sum of the current inputs during this step (pA, `real`); a model whose code names it accepts
  current inputs,
- `dt` (ms, `real`), `step`: the step's number (`int64`), and for every vector parameter P `P_begin`, `P_end`,
  `P_at(i)`,
- `random_words(n)`: a `Block` of four random words that belong to this neuron, this step and the number
  n < 2^16; `shared_words(n)`: the same for all neurons of the population,
- the functions of kernels/arithmetic.h and kernels/functions.h (`exponential`, `logarithm`, `power`…), which
  take and give `float` or `double`, and those of the model's own `functions`,
- `INTEGRATE;` on a line of its own: the states of `dynamics` advance by dt,
- `spikes`: assign the number of spikes emitted (0 before).

They must be free of branches that a select could replace: the host compiles the loop over neurons to
vector instructions.

A model whose structure depends on the user (the number of ports, switches) is a Family (models/forms.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any, Literal, overload

from distsim.distributions import Listed, Value, as_value, check_magnitude, support
from distsim.errors import ConfigError, nearest, wrong
from distsim.exact import exact_context
from distsim.grid import on_grid

if TYPE_CHECKING:
    from distsim.models.forms import Form


@dataclass(frozen=True)
class Parameter:
    """A number (or, with `vector`, one list of times in ms) per neuron, set by the user."""

    name: str
    default: float
    unit: str
    doc: str
    above: float | None = None  # exclusive lower bound
    at_least: float | None = None  # inclusive lower bound
    vector: bool = False
    at_most: float | None = None  # inclusive upper bound

    def check(self, value: Value, where: str) -> None:
        check_magnitude(value, where)
        low, high = support(value)
        if self.above is not None and not low > self.above:
            raise wrong(where, low, f"numbers > {self.above:g} ({self.unit})")
        if self.at_least is not None and not low >= self.at_least:
            raise wrong(where, low, f"numbers >= {self.at_least:g} ({self.unit})")
        if self.at_most is not None and not high <= self.at_most:
            raise wrong(where, high, f"numbers <= {self.at_most:g} ({self.unit})")


@dataclass(frozen=True)
class State:
    """A variable of each neuron. A checkpoint keeps every one. The bounds are those of an initial value.

    `initial` is a number or the name of a parameter. With `relative_to` the stored number is the
    difference to that parameter: small numbers lose less to rounding. A real state below `floor` in
    magnitude is set to zero, so that decaying states never become subnormal.
    """

    name: str
    unit: str
    doc: str
    initial: float | str = 0.0
    kind: Literal["real", "uint16", "int32"] = "real"
    relative_to: str | None = None
    floor: float | None = None
    recordable: bool = False
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Constant:
    """A number that follows from parameters and dt, computed with 50 digits and rounded once.

    One with a bound `at_least` or `at_most` follows from a single parameter, and rises or falls with it.
    """

    name: str
    depends: tuple[str, ...]
    compute: Callable[[Mapping[str, Decimal], Decimal], Decimal]
    integer: bool = False
    at_most: int | None = None
    at_least: int | None = None


@dataclass(frozen=True)
class Receptor:
    """An input port. A port that `counts` takes each spike as 1, whatever the weight.

    A port `by_name` is reached only where a connection names it. On a port that is `scaled`, the weight is
    multiplied by the number that the spike carries: only models whose `on_spike` assigns `sent` reach it. Two ports
    <name>_excitatory and <name>_inhibitory are reached by <name>, too, by the sign of the weight.
    """

    name: str
    unit: str
    counts: bool = False
    by_name: bool = False
    scaled: bool = False


@dataclass(frozen=True)
class Probe:
    """A recordable that is no state: computed at the end of a step, and only where it is recorded.

    `code` is a C++ expression in the names of `update`, states after the step.
    """

    name: str
    unit: str
    doc: str
    code: str


@dataclass(frozen=True)
class Dynamics:
    """Differential equations that `INTEGRATE;` advances by dt, by a Runge-Kutta scheme with fixed sub-steps.

    Attributes
    ----------
    variables
        The states that are integrated.
    derivatives
        C++ that assigns d_<variable> (per ms) for each of them, in the names of `update`; the variables stand
        for their values at the stage.
    scheme
        One of kernels/integrate.py: euler, midpoint, rk3, rk4.
    substeps
        Sub-steps a step in single and in double precision.
    after_substep
        C++ at the end of each sub-step (threshold and reset within the step); `h` is its length in ms,
        `substep` its number from 0, `substeps` how many there are.
    """

    variables: tuple[str, ...]
    derivatives: str
    scheme: str = "rk4"
    substeps: tuple[int, int] = (1, 1)
    after_substep: str = ""


@dataclass(frozen=True)
class Model:
    """A declared model; see the module's docstring for `update`.

    Attributes
    ----------
    functions
        C++ functions (FN …) that `update` calls; their names begin with the model's.
    accuracy
        The largest error in use, as measured by tests/reference; stands in the model's page.
    on_spike
        C++ for a neuron that has spiked, after the step's `update`: scalar parameters, constants, states and `step` by
        name; `sent` (`real`, 0 before) is the number from 0 to 1 that its spike carries. States that stand here and not
        in `update` cost nothing but memory.
    form
        Which member of a family this is; None for a model that is no family's.
    variant, choose
        A model may have variants that differ in code alone; `choose` gives the one for a population's parameters, so
        that what few populations need costs the others nothing. Part of the name of the variant's kernel.
    """

    name: str
    doc: str
    parameters: tuple[Parameter, ...]
    states: tuple[State, ...]
    update: str
    constants: tuple[Constant, ...] = ()
    receptors: tuple[Receptor, ...] = ()
    is_neuron: bool = True  # its spikes count in the digest and the rates
    max_multiplicity: int = 1  # the most spikes one neuron may emit in one step
    ordered: tuple[tuple[str, str, str], ...] = ()  # (a, b, why): a < b for every neuron
    probes: tuple[Probe, ...] = ()
    dynamics: Dynamics | None = None
    functions: str = ""
    accuracy: str = ""
    on_spike: str = ""
    form: Form | None = None
    variant: str = ""
    choose: Callable[[Mapping[str, Any]], Model] | None = None

    @property
    def symbol(self) -> str:
        """A name that tells this model from every other, its family's members too; part of its kernel's name."""
        name = f"{self.name}_{self.variant}" if self.variant else self.name
        return name if self.form is None else f"{name}_{self.form.symbol}"

    def chosen(self, params: Mapping[str, Any]) -> Model:
        """The variant of this model for these (checked) parameters."""
        return self.choose(params) if self.choose else self

    @property
    def code(self) -> str:
        """All C++ in which names of parameters and constants may stand."""
        dynamics = (self.dynamics.derivatives, self.dynamics.after_substep) if self.dynamics else ()
        return "\n".join((self.update, *dynamics, self.on_spike, *(p.code for p in self.probes)))

    @property
    def sends(self) -> bool:
        """Whether its spikes carry a number."""
        return names_in("sent", self.on_spike)

    def waits_for_spike(self, state: State) -> bool:
        """Whether a state stands in `on_spike` alone."""
        d = self.dynamics
        always = "\n".join(
            (self.update, *((d.derivatives, d.after_substep) if d else ()), *(p.code for p in self.probes))
        )
        return names_in(state.name, self.on_spike) and not names_in(state.name, always)

    @property
    def settable(self) -> tuple[str, ...]:
        """States whose initial values a user may give."""
        return tuple(s.name for s in self.states if s.recordable)

    @property
    def recordables(self) -> tuple[str, ...]:
        return (*self.settable, *(p.name for p in self.probes))

    def unit_of(self, recordable: str) -> str:
        units = {x.name: x.unit for x in self.states} | {x.name: x.unit for x in self.probes}
        return units[recordable]

    @property
    def takes_current(self) -> bool:
        """Whether current inputs have a place in the equations."""
        return names_in("I_stim", self.code)

    @property
    def scalar_parameters(self) -> tuple[Parameter, ...]:
        return tuple(p for p in self.parameters if not p.vector)

    @property
    def vector_parameters(self) -> tuple[Parameter, ...]:
        return tuple(p for p in self.parameters if p.vector)

    def state(self, name: str) -> State:
        return next(s for s in self.states if s.name == name)

    def check_params(self, values: Mapping[str, Any], size: int, where: str) -> dict[str, Any]:
        """All parameters, defaults filled in, scalars as Value, vectors as tuples of tuples of float."""
        declared = {p.name: p for p in self.parameters}
        for key in values:
            if key not in declared:
                raise ConfigError(f"{where}.{key}: unknown parameter of {self.name}; {nearest(key, declared)}")
        checked: dict[str, Any] = {}
        for parameter in self.parameters:
            at = f"{where}.{parameter.name}"
            if parameter.vector:
                checked[parameter.name] = _vector(values.get(parameter.name, ()), size, at)
                continue
            value = _scalar_or_list(values.get(parameter.name, parameter.default), size, at)
            parameter.check(value, at)
            checked[parameter.name] = value
        for low, high, why in self.ordered:
            _check_order(checked[low], checked[high], low, high, f"{where}.{low}", why)
        return checked

    def check_initial(self, values: Mapping[str, Any], size: int, where: str) -> dict[str, Value]:
        """The given initial values as Value; only recordable states can be set."""
        checked: dict[str, Value] = {}
        for key, given in values.items():
            if key not in self.settable:
                raise ConfigError(f"{where}.{key}: unknown state of {self.name}; {nearest(key, self.settable)}")
            value = _scalar_or_list(given, size, f"{where}.{key}")
            state = self.state(key)
            bounds = Parameter(key, 0.0, state.unit, "", at_least=state.at_least, at_most=state.at_most)
            bounds.check(value, f"{where}.{key}")
            checked[key] = value
        return checked

    def check_grid(self, params: Mapping[str, Any], dt: float, where: str) -> None:
        """Vector parameters are times: positive, sorted, whole numbers of steps; bounded constants keep their bound."""
        for constant in self.constants:
            if constant.at_most is not None or constant.at_least is not None:
                _check_bounds(constant, params[constant.depends[0]], dt, f"{where}.{constant.depends[0]}")
        for parameter in self.vector_parameters:
            lists = params[parameter.name]
            for i, times in enumerate(lists[:1] if isinstance(lists, Repeated) else lists):
                at = f"{where}.{parameter.name}[{i}]"
                last = 0.0
                for time in times:
                    steps = on_grid(time, dt)
                    if steps is None or steps < 1:
                        raise wrong(at, time, f"times on the grid of dt = {dt} ms, from dt on")
                    if time < last:
                        raise wrong(at, time, "times in ascending order")
                    last = time


def names_in(name: str, code: str) -> bool:
    """Whether the identifier `name` stands in C++ `code`."""
    return re.search(rf"\b{re.escape(name)}\b", code) is not None


def _scalar_or_list(value: Any, size: int, where: str) -> Value:
    try:
        checked = as_value(value)
    except (TypeError, ValueError) as error:
        raise wrong(where, value, "a number, a distribution, or one number per neuron") from error
    if isinstance(checked, Listed) and len(checked.values) != size:
        raise wrong(where, f"a list of {len(checked.values)}", f"one number for each of {size} neurons")
    return checked


@dataclass(frozen=True, eq=False)
class Repeated(Sequence[tuple[float, ...]]):
    """The same row for each of `size` neurons, which may be 2^40: kept once. Equals any sequence of such rows."""

    row: tuple[float, ...]
    size: int

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Repeated):
            return (self.row, self.size) == (other.row, other.size)
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(other) == self.size and all(row == self.row for row in other)

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, index: int) -> tuple[float, ...]: ...

    @overload
    def __getitem__(self, index: slice) -> Repeated: ...

    def __getitem__(self, index: int | slice) -> tuple[float, ...] | Repeated:
        if isinstance(index, slice):
            return Repeated(self.row, len(range(*index.indices(self.size))))
        if not -self.size <= index < self.size:
            raise IndexError(index)
        return self.row


def _check_bounds(constant: Constant, value: Value, dt: float, where: str) -> None:
    for end in support(value):
        with localcontext(exact_context()):
            found = constant.compute({constant.depends[0]: Decimal(repr(end))}, Decimal(repr(dt)))
        if constant.at_most is not None and found > constant.at_most:
            raise wrong(where, end, f"at most {constant.at_most} steps of dt = {dt} ms")
        if constant.at_least is not None and found < constant.at_least:
            raise wrong(where, end, f"at least {constant.at_least} step of dt = {dt} ms")


def _vector(value: Any, size: int, where: str) -> Sequence[tuple[float, ...]]:
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise wrong(where, value, "a list of times in ms, or one such list per generator")
    rows: Sequence[Any] = list(value)
    for_all = not rows or not hasattr(rows[0], "__len__")
    if for_all:
        rows = [rows]
    elif len(rows) != size:
        raise wrong(where, f"{len(rows)} lists", f"one list for each of {size} neurons")
    try:
        checked = tuple(tuple(float(x) for x in row) for row in rows)
    except (TypeError, ValueError) as error:
        raise wrong(where, rows, "lists of times in ms") from error
    for i, row in enumerate(checked):
        bad = next((x for x in row if not math.isfinite(x)), None)
        if bad is not None:
            raise wrong(where if for_all else f"{where}[{i}]", bad, "finite times in ms")
    return Repeated(checked[0], size) if for_all else checked


def _check_order(low: Value, high: Value, low_name: str, high_name: str, where: str, why: str) -> None:
    if isinstance(low, Listed) and isinstance(high, Listed):
        for i, (a, b) in enumerate(zip(low.values, high.values, strict=False)):
            if not a < b:
                raise wrong(f"{where}[{i}]", a, f"less than {high_name} = {b:g} ({why})")
        return
    most, least = support(low)[1], support(high)[0]
    if not most < least:
        raise wrong(where, most, f"less than {high_name} = {least:g} ({why})")
