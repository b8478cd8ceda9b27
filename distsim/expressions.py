"""Arithmetic expressions of a synapse's place: parsed, never evaluated as Python; checked by interval arithmetic.

`10.0 * exp(-distance / 0.3)` becomes a short postfix program, which the construction kernels run. Before that its
bounds are computed over all distances and positions that can occur: they give weights and delays their finite support,
and show a division that may be by zero.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from distsim.errors import ConfigError, nearest, wrong
from distsim.exact import exp_float, log_float

# Displacements run from the source to the target; the order is that of the kernels' table of values (space.h).
NAMES = (
    "distance", "dx", "dy", "dz", "source.x", "source.y", "source.z", "target.x", "target.y", "target.z",
)  # fmt: skip
CONSTANTS = {"pi": math.pi}
OPERATIONS = (
    "constant", "name", "add", "subtract", "multiply", "divide", "negate", "less", "less_equal", "greater",
    "greater_equal", "equal", "unequal", "min", "max", "exp", "log", "sqrt", "sin", "cos", "abs", "pow",
    "square", "whole_pow",
)  # fmt: skip
FUNCTIONS = {"min": 2, "max": 2, "exp": 1, "log": 1, "sqrt": 1, "sin": 1, "cos": 1, "abs": 1, "pow": 2}
MAX_TEXT, MAX_DEPTH, MAX_LENGTH = 1000, 16, 200  # characters; numbers on the stack; operations
MAX_WHOLE = 1000  # exponents up to here are known to be even or odd

Interval = tuple[float, float]
_BINARY: dict[type, str] = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide"}
_COMPARE: dict[type, str] = {
    ast.Lt: "less", ast.LtE: "less_equal", ast.Gt: "greater", ast.GtE: "greater_equal", ast.Eq: "equal",
    ast.NotEq: "unequal",
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One step of a program: an operation, with a number where it is a constant or the index of a name."""

    operation: str
    value: float = 0.0


Program = tuple[Step, ...]


@dataclass(frozen=True)
class Expression:
    """A number that depends on where source and target of a connection are.

    Attributes
    ----------
    text
        As it was written.
    low, high
        What it cannot leave; filled in when it becomes part of a projection (None before).
    """

    text: str
    low: float | None = None
    high: float | None = None

    @property
    def program(self) -> Program:
        return parsed(self.text)

    @property
    def names(self) -> frozenset[str]:
        """The names it uses."""
        return frozenset(NAMES[int(s.value)] for s in self.program if s.operation == "name")

    def check(self, where: str) -> None:
        """ConfigError where the text is no expression."""
        program_of(self.text, where)

    def bounded(self, domain: Mapping[str, Interval], where: str) -> Expression:
        """With the bounds over `domain`; ConfigError where it may divide by zero or is not defined everywhere."""
        low, high = bounds(program_of(self.text, where), domain, where)
        return Expression(self.text, low, high)

    def support(self) -> Interval:
        if self.low is None or self.high is None:
            raise ConfigError(f"the expression {self.text!r} has bounds only in a projection between positions")
        return self.low, self.high


@cache
def parsed(text: str) -> Program:
    """The program of `text`, which is known to be right."""
    return program_of(text, "expression")


def program_of(text: str, where: str) -> Program:
    """Parse `text` into a postfix program.

    Raises
    ------
    ConfigError
        Not an expression, an unknown name or function (with the nearest), too long or too deep.
    """
    if len(text) > MAX_TEXT:
        raise wrong(where, text, f"at most {MAX_TEXT} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise wrong(where, text, "a number, or an expression such as 10.0 * exp(-distance / 0.3)") from None
    steps: list[Step] = []
    try:
        _emit(tree.body, steps, where)
    except RecursionError:
        raise wrong(where, text, "an expression that is less deep") from None
    depth = most = 0
    for step in steps:
        depth += 1 - _arity(step.operation)
        most = max(most, depth)
    if len(steps) > MAX_LENGTH or most > MAX_DEPTH:
        raise wrong(where, text, f"at most {MAX_LENGTH} operations, of which {MAX_DEPTH} wait for their operands")
    return tuple(steps)


def _arity(operation: str) -> int:
    if operation in ("constant", "name"):
        return 0
    return 1 if operation in ("negate", "square") else FUNCTIONS.get(operation, 2)


def _emit(node: ast.expr, steps: list[Step], where: str) -> None:
    """Append the steps of `node`; anything that is not on the list of what is allowed is refused."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        try:
            value = float(node.value)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise wrong(where, ast.unparse(node), "finite numbers")
        steps.append(Step("constant", value))
    elif isinstance(node, (ast.Name, ast.Attribute)):
        steps.append(_named(ast.unparse(node), where))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        _emit(node.operand, steps, where)
        if isinstance(node.op, ast.USub):
            steps.append(Step("negate"))
    elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        _emit(node.left, steps, where)
        _emit(node.right, steps, where)
        steps.append(Step(_BINARY[type(node.op)]))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        _emit(node.left, steps, where)
        _emit(node.right, steps, where)
        _raise(steps, node.right)
    elif isinstance(node, ast.Compare) and all(type(o) in _COMPARE for o in node.ops):
        left = node.left
        for i, (operator, right) in enumerate(zip(node.ops, node.comparators, strict=True)):
            _emit(left, steps, where)
            _emit(right, steps, where)
            steps.append(Step(_COMPARE[type(operator)]))
            if i:
                steps.append(Step("multiply"))  # a < b < c: both
            left = right
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        _emit_call(node, node.func.id, steps, where)
    else:
        raise wrong(where, ast.unparse(node), "numbers, names, + - * / **, comparisons and " + ", ".join(FUNCTIONS))


def _raise(steps: list[Step], exponent: ast.expr) -> None:
    """A power of the last two operands; of numbers below zero where the exponent is written as a whole number."""
    if steps[-1] == Step("constant", 2.0):
        steps[-1] = Step("square")
    else:
        steps.append(Step("whole_pow" if _is_whole(exponent) else "pow"))


def _is_whole(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        return _is_whole(node.operand)
    value = node.value if isinstance(node, ast.Constant) else None
    return isinstance(value, (int, float)) and abs(value) <= MAX_WHOLE and float(value).is_integer()


def _named(name: str, where: str) -> Step:
    if name in CONSTANTS:
        return Step("constant", CONSTANTS[name])
    if name in NAMES:
        return Step("name", float(NAMES.index(name)))
    raise ConfigError(f"{where}: unknown name {name!r} in an expression; {nearest(name, [*NAMES, *CONSTANTS])}")


def _emit_call(node: ast.Call, function: str, steps: list[Step], where: str) -> None:
    if function not in FUNCTIONS:
        raise ConfigError(f"{where}: unknown function {function!r}; {nearest(function, FUNCTIONS)}")
    expected = FUNCTIONS[function]
    many = function in ("min", "max")
    if len(node.args) < expected or (len(node.args) > expected and not many):
        raise wrong(where, ast.unparse(node), f"{function} of {expected} number{'s' if expected > 1 else ''}")
    _emit(node.args[0], steps, where)
    for argument in node.args[1:]:
        _emit(argument, steps, where)
        if function == "pow":
            _raise(steps, argument)
        elif many:
            steps.append(Step(function))
    if expected == 1:
        steps.append(Step(function))


# ---- Bounds


def bounds(program: Program, domain: Mapping[str, Interval], where: str) -> Interval:
    """What `program` cannot leave where the names stay in `domain`: interval arithmetic, a little widened.

    Raises
    ------
    ConfigError
        A name without positions behind it, a division that may be by zero, a root or logarithm that may not exist.
    """
    stack: list[Interval] = []
    for i, step in enumerate(program):
        if step.operation == "constant":
            stack.append((step.value, step.value))
        elif step.operation == "name":
            name = NAMES[int(step.value)]
            if name not in domain:
                raise ConfigError(f"{where}: {name!r} needs positions with more dimensions; known: {', '.join(domain)}")
            stack.append(domain[name])
        elif _arity(step.operation) == 1:
            stack.append(_UNARY[step.operation](stack.pop(), where))
        else:
            b, a = stack.pop(), stack.pop()
            same = step.operation == "multiply" and _same_operands(program, i)
            stack.append(_square(a) if same else _INTERVALS[step.operation](a, b, where))
    low, high = stack.pop()
    if not (math.isfinite(low) and math.isfinite(high)):
        raise wrong(where, [low, high], "an expression whose values stay finite")
    slack = 1e-12 * max(abs(low), abs(high)) if high > low else 0.0
    return (low if low in (0.0, 1.0) else low - slack), (high if high in (0.0, 1.0) else high + slack)


def _same_operands(program: Program, end: int) -> bool:
    """Are the two operands of the operation at `end` written alike?"""

    def begin(last: int) -> int:
        wanted = 1
        while wanted:
            wanted += _arity(program[last].operation) - 1
            last -= 1
        return last + 1

    right = begin(end - 1)
    left = begin(right - 1)
    return program[left:right] == program[right:end]


def _square(a: Interval) -> Interval:
    low, high = _absolute(a, "")
    return low * low, high * high


def _absolute(a: Interval, _: str) -> Interval:
    if a[0] <= 0.0 <= a[1]:
        return 0.0, max(-a[0], a[1])
    return min(abs(a[0]), abs(a[1])), max(abs(a[0]), abs(a[1]))


def _product(a: Interval, b: Interval, _: str) -> Interval:
    ends = [x * y for x in a for y in b]
    return min(ends), max(ends)


def _quotient(a: Interval, b: Interval, where: str) -> Interval:
    if b[0] <= 0.0 <= b[1]:
        raise wrong(where, f"a divisor from {b[0]:g} to {b[1]:g}", "divisors that cannot be zero")
    ends = [x / y for x in a for y in b]
    return min(ends), max(ends)


def _exponential(a: Interval, where: str) -> Interval:
    if a[1] > 690.0:
        raise wrong(where, f"exp of up to {a[1]:g}", "exponents of at most 690")
    return exp_float(max(a[0], -700.0)), exp_float(max(a[1], -700.0))


def _logarithm(a: Interval, where: str) -> Interval:
    if a[0] < 1e-300:
        raise wrong(where, f"log of a number from {a[0]:g} to {a[1]:g}", "logarithms of numbers above zero")
    return log_float(a[0]), log_float(a[1])


def _root(a: Interval, where: str) -> Interval:
    if a[0] < 0.0:
        raise wrong(where, f"sqrt of a number from {a[0]:g} to {a[1]:g}", "roots of numbers of at least zero")
    return math.sqrt(a[0]), math.sqrt(a[1])


def _angle(a: Interval, where: str) -> Interval:
    if max(-a[0], a[1]) > 1e12:
        raise wrong(where, f"an angle from {a[0]:g} to {a[1]:g}", "angles of at most 1e12 radians")
    return -1.0, 1.0


def _power(a: Interval, b: Interval, where: str) -> Interval:
    if a[0] < 0.0 or (a[0] == 0.0 and b[0] <= 0.0):
        raise wrong(
            where, f"{a[0]:g} … {a[1]:g} to the power {b[0]:g} … {b[1]:g}",
            "powers of numbers of at least zero, below zero where the exponent is written as a whole number; "
            "other than zero for exponents of at most zero",
        )  # fmt: skip
    ends = []
    for x in a:
        for y in b:
            exponent = y * log_float(x) if x > 0.0 else -math.inf
            if exponent > 690.0:
                raise wrong(where, f"{x:g} to the power {y:g}", "powers of at most 1e299")
            ends.append(exp_float(max(exponent, -700.0)) if x > 0.0 else 0.0)
    return min(ends), max(ends)


def _whole_power(a: Interval, b: Interval, where: str) -> Interval:
    """Of one whole exponent: of numbers below zero that of their magnitude, with their sign where it is odd."""
    if a[0] >= 0.0:
        return _power(a, b, where)
    size = _power(_absolute(a, where), b, where)
    if b[0] % 2.0 == 0.0:
        return size
    if a[1] <= 0.0:
        return -size[1], -size[0]
    return -_power((0.0, -a[0]), b, where)[1], _power((0.0, a[1]), b, where)[1]


def _compared(always: Callable[[Interval, Interval], bool], never: Callable[[Interval, Interval], bool]) -> (
    Callable[[Interval, Interval, str], Interval]
):  # fmt: skip
    def compare(a: Interval, b: Interval, _: str) -> Interval:
        return float(always(a, b)), float(not never(a, b))

    return compare


def _apart(a: Interval, b: Interval) -> bool:
    return a[1] < b[0] or b[1] < a[0]


def _one(a: Interval, b: Interval) -> bool:
    return a[0] == a[1] == b[0] == b[1]


_UNARY: dict[str, Callable[[Interval, str], Interval]] = {
    "negate": lambda a, _: (-a[1], -a[0]),
    "exp": _exponential,
    "log": _logarithm,
    "sqrt": _root,
    "sin": lambda a, where: _angle(a, where),
    "cos": lambda a, where: _angle(a, where),
    "abs": _absolute,
    "square": lambda a, _: _square(a),
}
_INTERVALS: dict[str, Callable[[Interval, Interval, str], Interval]] = {
    "add": lambda a, b, _: (a[0] + b[0], a[1] + b[1]),
    "subtract": lambda a, b, _: (a[0] - b[1], a[1] - b[0]),
    "multiply": _product,
    "divide": _quotient,
    "less": _compared(lambda a, b: a[1] < b[0], lambda a, b: a[0] >= b[1]),
    "less_equal": _compared(lambda a, b: a[1] <= b[0], lambda a, b: a[0] > b[1]),
    "greater": _compared(lambda a, b: a[0] > b[1], lambda a, b: a[1] <= b[0]),
    "greater_equal": _compared(lambda a, b: a[0] >= b[1], lambda a, b: a[1] < b[0]),
    "equal": _compared(_one, _apart),
    "unequal": _compared(_apart, _one),
    "min": lambda a, b, _: (min(a[0], b[0]), min(a[1], b[1])),
    "max": lambda a, b, _: (max(a[0], b[0]), max(a[1], b[1])),
    "pow": _power,
    "whole_pow": _whole_power,
}
