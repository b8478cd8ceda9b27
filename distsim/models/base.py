"""The form of a model's declaration.

Everything else follows from it: allocation, the update kernel, recording, checks of the description.
A declaration knows neither MPI nor devices. Its `update` is a few lines of C++ in the common subset of
CUDA C++ and C++17 that advance one neuron by one step; in them stand

- every scalar parameter and every constant, by name (type `real`, or `int32` for integer constants); those that
  are named like a word of the kernel (c, g, h, j, l) with an underscore behind: c_, g_…,
- every state, by name, to read and to assign,
- `input_<receptor>`: what arrived in this step, in the receptor's unit (type `real`; weights times
  spikes plus Poisson background),
- `I_stim`: the sum of the current inputs during this step (pA, `real`); a model whose code names it accepts
  current inputs,
- `dt` (ms, `real`), `step`: the step's number (`int64`), and for every vector parameter P `P_begin`, `P_end`,
  `P_at(i)`,
- `random_words(n)`: a `Block` of four random words that belong to this neuron, this step and the number
  n < 2^16; `shared_words(n)`: the same for all neurons of the population,
- `poisson_draw(n, mean)`, `binomial_draw(n, trials, p)`: counts that belong to this neuron, this step and n (`uint64`;
  mean and p `double`); `shared_poisson_draw(n, mean)`: the same for all neurons of the population,
- the functions of kernels/arithmetic.h and kernels/functions.h (`exponential`, `logarithm`, `power`…), which
  take and give `float` or `double`, and those of the model's own `functions`,
- `INTEGRATE;` on a line of its own: the states of `dynamics` advance by dt,
- `spikes`: assign the number of spikes emitted (0 before),
- `needs_care` (`int32`, 0 before), in a model that has `careful` code: assign 1, and all that `update` did to this
  neuron is forgotten; `careful` advances it instead.

They must be free of branches that a select could replace: the host compiles the loop over neurons to
vector instructions. Where few neurons at a time need more than that (the upstroke of a spike), `careful` holds
for it: the same names, but loops and branches are welcome, for it runs for one neuron after the other.

A model whose structure depends on the user (the number of ports, switches) is a Family (models/forms.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from distsim.distributions import Value, check_magnitude, support
from distsim.errors import ConfigError, check_names, nearest, wrong
from distsim.grid import on_grid
from distsim.models.bounds import NEVER as NEVER
from distsim.models.bounds import check_bounds, check_order, check_time, fraction, scalar_or_list
from distsim.models.vectors import Repeated, vector

if TYPE_CHECKING:
    from distsim.models.forms import Form


@dataclass(frozen=True)
class Parameter:
    """A number (or, with `vector`, one list of times in ms) per neuron, set by the user.

    A vector that is `plain` holds numbers that are no times. A `grid` scalar is a time in whole steps.
    """

    name: str
    default: float
    unit: str
    doc: str
    above: float | None = None  # exclusive lower bound
    at_least: float | None = None  # inclusive lower bound
    vector: bool = False
    at_most: float | None = None  # inclusive upper bound
    whole: bool = False  # only whole numbers
    plain: bool = False
    grid: bool = False

    def check(self, value: Value, where: str) -> None:
        check_magnitude(value, where)
        low, high = support(value)
        if self.above is not None and not low > self.above:
            raise wrong(where, low, f"numbers > {self.above:g} ({self.unit})")
        if self.at_least is not None and not low >= self.at_least:
            raise wrong(where, low, f"numbers >= {self.at_least:g} ({self.unit})")
        if self.at_most is not None and not high <= self.at_most:
            raise wrong(where, high, f"numbers <= {self.at_most:g} ({self.unit})")
        if self.whole and (found := fraction(value)) is not None:
            raise wrong(where, found, "whole numbers")


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
    index_of: str = ""  # the list that it points into: 0 up to its length


@dataclass(frozen=True)
class Constant:
    """A number that follows from parameters and dt, computed with 50 digits and rounded once.

    One with a bound `at_least` or `at_most` follows from a single parameter, and rises or falls with it. `compute` is
    handed dt divided by `parts` (in single and in double precision): a constant that belongs to a sub-step is exact for
    its length.
    """

    name: str
    depends: tuple[str, ...]
    compute: Callable[[Mapping[str, Decimal], Decimal], Decimal]
    integer: bool = False
    at_most: int | None = None
    parts: tuple[int, int] = (1, 1)
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

    `code` is a C++ expression in the names of `update`, its own variables too; states are those after the step.
    """

    name: str
    unit: str
    doc: str
    code: str


@dataclass(frozen=True)
class Dynamics:
    """Differential equations that `INTEGRATE;` advances by dt, in fixed sub-steps.

    Attributes
    ----------
    variables
        The states that are integrated.
    derivatives
        C++ that assigns d_<variable> (per ms) for each of them, in the names of `update`; the variables stand
        for their values at the stage. With the scheme magnus4, C++ that assigns rate_<variable> (per ms, > 0) and
        drive_<variable> instead, d<variable>/dt = drive - rate * variable, neither of which depends on a variable.
    scheme
        One of kernels/integrate.py: euler, midpoint, rk3, rk4 (Runge-Kutta), magnus4.
    substeps
        Sub-steps a step in single and in double precision.
    after_substep
        C++ at the end of each sub-step (threshold and reset within the step); `h` is its length in ms,
        `substep` its number from 0, `substeps` how many there are.
    exact
        C++ that advances other states by half a sub-step: those that follow equations of their own with a known
        solution. `derivatives` finds them at the time of its stage, free of error.
    """

    variables: tuple[str, ...]
    derivatives: str
    scheme: str = "rk4"
    substeps: tuple[int, int] = (1, 1)
    after_substep: str = ""
    exact: str = ""


@dataclass(frozen=True)
class DrawnTimes:
    """A vector of times that is drawn when the network is built; in `update` it stands as a vector parameter does.

    Attributes
    ----------
    count
        From the population's parameters and a neuron's number: how many standard normal numbers it needs.
    times
        From these numbers, too: its times in ms, in any order; those before the first step are dropped.
    """

    name: str
    count: Callable[[Mapping[str, Any], int], int]
    times: Callable[[Mapping[str, Any], int, Sequence[float]], list[float]]


@dataclass(frozen=True)
class Model:
    """A declared model; see the module's docstring for `update`.

    Attributes
    ----------
    careful
        C++ that advances those neurons for which `update` assigned needs_care, from their states before the step.
    functions
        C++ functions (FN …) that `update` calls; their names begin with the model's.
    drawn
        Vectors of times that are drawn when the network is built.
    refused
        (parameter, why and what to do instead): those of NEST that are not here on purpose.
    rewrite
        Makes one form of checked parameters that can be given in several: (parameters, size, where) -> parameters.
    fits
        Checks that need dt: (parameters, dt, where); raises ConfigError.
    accuracy
        The largest error in use, as measured by tests/reference; stands in the model's page.
    on_spike
        C++ for a neuron that has spiked, after the step's `update`: scalar parameters, constants, states and `step` by
        name; `sent` (`real`, 0 before) is the number from 0 to 1 that its spike carries. States that stand here and not
        in `update` cost nothing but memory. Code that names `at_once` says of how many of the `left` spikes of the step
        (`int32`) `sent` is the number, and is run again for the others.
    weighs
        The vector parameter whose numbers multiply the weights of a spike's connections; see models/weighing.py.
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
    not_above: tuple[tuple[str, str, str], ...] = ()  # (a, b, why): a <= b for every neuron
    probes: tuple[Probe, ...] = ()
    dynamics: Dynamics | None = None
    careful: str = ""
    functions: str = ""
    drawn: tuple[DrawnTimes, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    rewrite: Callable[[dict[str, Any], int, str], dict[str, Any]] | None = None
    fits: Callable[[Mapping[str, Any], float, str], None] | None = None
    accuracy: str = ""
    on_spike: str = ""
    weighs: str = ""
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
        return "\n".join((self._every_step, self.on_spike))

    @property
    def _every_step(self) -> str:
        d = self.dynamics
        dynamics = (d.derivatives, d.exact, d.after_substep) if d else ()
        return "\n".join((self.update, *dynamics, self.careful, *(p.code for p in self.probes)))

    @property
    def sends(self) -> bool:
        """Whether its spikes carry a number."""
        return names_in("sent", self.on_spike)

    def waits_for_spike(self, state: State) -> bool:
        """Whether a state stands in `on_spike` alone."""
        return names_in(state.name, self.on_spike) and not names_in(state.name, self._every_step)

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

    @property
    def vectors(self) -> tuple[str, ...]:
        """Names of all vectors that the model's code reads."""
        read = (p.name for p in self.vector_parameters if re.search(rf"\b{p.name}_(begin|end|at)\b", self.code))
        return (*read, *(d.name for d in self.drawn))

    def state(self, name: str) -> State:
        return next(s for s in self.states if s.name == name)

    def check_params(self, values: Mapping[str, Any], size: int, where: str) -> dict[str, Any]:
        """All parameters, defaults filled in, scalars as Value, vectors as tuples of tuples of float."""
        names = [p.name for p in self.parameters]
        states = {s: "a state; its value at the start stands under initial" for s in self.settable if s not in names}
        check_names(values, names, states | dict(self.refused), self.name, where)
        checked: dict[str, Any] = {}
        for parameter in self.parameters:
            at = f"{where}.{parameter.name}"
            if parameter.vector:
                checked[parameter.name] = vector(values.get(parameter.name, ()), size, at, parameter)
                continue
            value = scalar_or_list(values.get(parameter.name, parameter.default), size, at)
            parameter.check(value, at)
            checked[parameter.name] = value
        for low, high, why in self.ordered:
            check_order(checked[low], checked[high], high, f"{where}.{low}", why, strict=True)
        for low, high, why in self.not_above:
            check_order(checked[low], checked[high], high, f"{where}.{low}", why, strict=False)
        return self.rewrite(checked, size, where) if self.rewrite else checked

    def check_initial(self, values: Mapping[str, Any], size: int, where: str) -> dict[str, Value]:
        """The given initial values as Value; only recordable states can be set."""
        checked: dict[str, Value] = {}
        for key, given in values.items():
            if key not in self.settable:
                parameter = key in (p.name for p in self.parameters)
                way = "a parameter stands under params" if parameter else nearest(key, self.settable)
                raise ConfigError(f"{where}.{key}: unknown state of {self.name}; {way}")
            value = scalar_or_list(given, size, f"{where}.{key}")
            state = self.state(key)
            bounds = Parameter(key, 0.0, state.unit, "", at_least=state.at_least, at_most=state.at_most)
            bounds.check(value, f"{where}.{key}")
            checked[key] = value
        return checked

    def check_grid(self, params: Mapping[str, Any], dt: float, where: str) -> None:
        """Vector parameters are times: positive, sorted, whole numbers of steps; bounded constants keep their bound."""
        for constant in self.constants:
            if constant.at_most is not None or constant.at_least is not None:
                check_bounds(constant, params[constant.depends[0]], dt, f"{where}.{constant.depends[0]}")
        for parameter in self.scalar_parameters:
            if parameter.grid:
                check_time(params[parameter.name], dt, f"{where}.{parameter.name}")
        if self.fits is not None:
            self.fits(params, dt, where)
        for parameter in self.vector_parameters:
            if parameter.plain:
                continue
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


KERNEL_WORDS = frozenset("cghjl")


def name_in_code(name: str) -> str:
    """How a parameter or constant is named in C++: as declared, unless the kernel has that name itself."""
    return f"{name}_" if name in KERNEL_WORDS else name


def names_in(name: str, code: str) -> bool:
    """Whether the identifier `name` stands in C++ `code`."""
    return re.search(rf"\b{re.escape(name)}\b", code) is not None
