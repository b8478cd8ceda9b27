"""What can be said about space: expressions, positions, masks, experiment files, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from places import positions, two
from readback import connectivity
from scipy.stats import gamma

from distsim import ConfigError, FixedIndegree, Network, PairwiseBernoulli, profiles
from distsim.build.reach import evaluate
from distsim.config import load_experiment
from distsim.config.describe import described_document
from distsim.config.yaml_writer import dump_document
from distsim.expressions import bounds, program_of
from distsim.space import Circular, Rectangular, Space, annulus, box, grid, listed, sphere

DOMAIN = {"distance": (0.0, 2.0), "dx": (-1.0, 2.0), "dy": (-2.0, -0.5), "source.x": (1.0, 3.0)}
EXPRESSIONS = [
    "10.0 * exp(-distance / 0.3)", "0.1 * (distance < 0.5)", "dx * dx", "dx ** 2 + dy ** 2", "sqrt(distance + 1)",
    "min(dx, dy, 0.3) - max(source.x, 2)", "1 / source.x", "log(source.x) * cos(dx)", "abs(dx) ** 1.5", "-dx - -dy",
    "pow(source.x, dx)", "0.2 < distance < 0.7", "1.0 * (dx == 0) + (dy != 1) + (dx >= dy) * (dx <= 1) * (dx > dy)",
    "sin(3 * dx) + 2e-1 * pi", "1 / (0.5 - dy)", "+dx * 3", "dx ** 3 - dy ** 7.0 / dy ** 4", "dy ** -3 + pow(dx, 5)",
]  # fmt: skip


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression_is_what_python_says_and_keeps_its_bounds(text: str) -> None:
    """Catches an operation that is another's, operands the wrong way round, and a bound that a value leaves."""
    rng = np.random.default_rng(1)
    values = {name: rng.uniform(*ends, 20_000) for name, ends in DOMAIN.items()}
    values["dx"][:10] = 0.0
    program = program_of(text, "weight")
    found = evaluate(program, values)
    low, high = bounds(program, DOMAIN, "weight")
    assert low <= found.min() and found.max() <= high
    names = {name.replace(".", "_"): value for name, value in values.items()}
    functions = {
        "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "abs": np.abs, "pow": np.power,
        "pi": np.pi, "min": lambda *x: np.minimum.reduce(np.broadcast_arrays(*x)),
        "max": lambda *x: np.maximum.reduce(np.broadcast_arrays(*x)),
    }  # fmt: skip
    text = text.replace("source.x", "source_x").replace("0.2 < distance < 0.7", "(0.2 < distance) * (distance < 0.7)")
    assert np.allclose(found, eval(text, {**functions, **names}), rtol=1e-12)


def test_kernels_of_distance_are_their_formulas() -> None:
    """Catches a parameter of a kernel that is another's, a wrong sign, and an angle that turns the other way."""
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-1.0, 1.0, (2, 1000))
    r = np.hypot(x, y)
    u, v = (x - 0.1) / 0.4, (y + 0.2) / 0.7
    along, across = 0.5 * np.sqrt(3) * x + 0.5 * y, 0.5 * np.sqrt(3) * y - 0.5 * x
    wave = np.maximum(np.cos(2 * np.pi * across / 0.6 + np.pi / 4), 0.0)
    for made, formula in (
        (profiles.linear(0.8, -0.9), np.maximum(0.8 - 0.9 * r, 0.0)),
        (profiles.exponential(0.3, 0.7, 0.1), 0.1 + 0.7 * np.exp(-r / 0.3)),
        (profiles.gaussian(0.3, 0.7, 0.2, 0.1), 0.1 + 0.7 * np.exp(-((r - 0.2) ** 2) / (2 * 0.3**2))),
        (profiles.gaussian2d(0.4, 0.7, 0.3, 0.9, 0.1, -0.2, 0.05),
         0.05 + 0.9 * np.exp(-(u * u + v * v - 2 * 0.3 * u * v) / (2 * (1 - 0.3**2)))),
        (profiles.gamma(3.0, 0.2, 0.5), 0.5 * gamma.pdf(r, 3.0, scale=0.2)),
        (profiles.gabor(0.5, 0.6, 30.0, 2.0, 45.0, 0.8, 0.1),
         0.1 + 0.8 * wave * np.exp(-(4.0 * along**2 + across**2) / (2 * 0.5**2))),
        (profiles.linear_distance(0.5, 0.3), 0.5 + r / 0.3),
    ):  # fmt: skip
        found = evaluate(made.program, {"distance": r, "dx": x, "dy": y})
        assert np.allclose(found, formula, rtol=1e-9, atol=1e-12), made.text


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_the_kernel_and_numpy_agree(text: str) -> None:
    """Catches an operation of the kernel's program that is not what its name says: weights of a small network."""
    net = two(None, listed([[1.1, 0.2], [2.9, 0.4], [1.5, 0.4]]), listed([[2.0, -1.0], [2.5, -0.9]]), (3, 2))
    text = text.replace("0.5 - dy", "2.5 - dy")
    net.project("A", "B", PairwiseBernoulli("distance < 9"), f"3 + ({text})", 1.0)
    s = connectivity(net, precision="double").sorted()
    at = np.concatenate([positions(p) for p in net.populations], axis=1)
    dx, dy = (at[k, s.target] - at[k, s.source] for k in (0, 1))
    values = {"distance": np.hypot(dx, dy), "dx": dx, "dy": dy, "source.x": at[0, s.source]}
    assert s.n == 6
    assert np.allclose(s.weight, 3 + evaluate(program_of(text, ""), values), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("text", "message"), [
    ("10 * exp(-distanc)", "did you mean 'distance'"), ("target.w", "did you mean 'target"),
    ("1 / distance", "found 'a divisor from 0 to"), ("1 / dx", "divisors that cannot be zero"),
    ("log(distance)", "logarithms of numbers above zero"), ("sqrt(dx)", "roots of numbers"),
    ("expp(distance)", "did you mean 'exp'"), ("exp(1, 2)", "exp of 1 number"), ("distance +", "an expression such as"),
    ("__import__('os').system('true')", "numbers, names"), ("(lambda: 1)()", "numbers, names"),
    ("[1.0][0]", "numbers, names"), ("'a' * 3", "numbers, names"), ("dx if dy else 1", "numbers, names"),
    ("True", "numbers, names"), ("distance.real", "unknown name"), ("1e400", "finite numbers"), ("9" * 400, "finite"),
    ("exp(exp(exp(exp(9 + distance))))", "exponents of at most"), ("dx ** -1.5", "powers of numbers"),
    ("dx ** -3", "powers of numbers"), ("dx ** (1 + 2)", "powers of numbers"), ("dx ** 1e9", "powers of numbers"),
    ("(" * 400 + "1" + ")" * 400, "expression"), ("-" * 900 + "1", "expression|operations"),
    ("dx+" * 600 + "1", "at most 1000"),
    ("sin(1e15 * dx)", "angles of at most"), ("1e200 * 1e200 * dx", "stay finite"), ("dz + 1", "more dimensions"),
    ("x := 3", "an expression such as"), ("max(x=1)", "numbers, names"), ("min(1)", "min of 2 numbers"),
])  # fmt: skip
@pytest.mark.parametrize("key", ["weight", "p", "fixed_indegree.p"])
def test_what_is_no_expression_is_refused(text: str, message: str, key: str) -> None:
    """Catches code that is run, a crash of the parser, and an expression that would give no number somewhere."""
    net = two(None, box([1.0, 1.0]), box([1.0, 1.0]), (20, 20))
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")) as caught:
        if key == "weight":
            net.project("A", "B", FixedIndegree(2), text)
        elif key == "fixed_indegree.p":
            net.project("A", "B", FixedIndegree(2, p=text))
        else:
            net.project("A", "B", PairwiseBernoulli(text))
    assert "\n" not in str(caught.value) and key in str(caught.value)


def test_what_does_not_fit_the_space_is_refused() -> None:
    """Catches missing or misfit positions, masks and boxes that are only found when memory is full."""
    torus = Space.of(extent=[1.0, 1.0], periodic=True)

    def refused(match: str, space: Space | None, places: Any, rule: Any = None, **more: Any) -> None:
        with pytest.raises(ConfigError, match=match):
            net = Network(space=space)
            net.population("A", 20, "iaf_psc_exp", positions=places)
            net.project("A", "A", rule or PairwiseBernoulli("distance < 1"), **more)

    refused("population 'A' has no positions", None, None)
    refused("has no positions", None, None, FixedIndegree(1), weight="distance")
    refused("has no positions", None, None, FixedIndegree(1), delay="distance + 1")
    refused("half of the periodic box", torus, box(), PairwiseBernoulli(0.1, mask=Circular(0.51)))
    refused(
        "half of the periodic box", torus, box(), PairwiseBernoulli(0.1, mask=Rectangular((-0.6, -0.1), (0.1, 0.1)))
    )
    refused("2, as in space.extent", torus, box([1.0] * 3))
    refused("2 numbers, one for each dimension", torus, box(), PairwiseBernoulli(0.1, mask=Rectangular((0.1,), (0.2,))))
    refused("within the periodic box", torus, box([1.0, 1.5]))
    refused("a shape of 20 points", None, grid([4, 4], [1.0, 1.0]))
    refused("one for each dimension", None, grid([20], [1.0, 1.0]))
    refused("missing; say it here or once in space.extent", None, box())
    refused("20, one a neuron", None, listed([[0.0, 1.0]] * 19))
    refused("2 numbers, as in the first", None, listed([[0.0, 1.0]] * 19 + [[0.0]]))
    refused("finite numbers", None, listed([[0.0, 1.0]] * 19 + [[0.0, float("nan")]]))
    refused("below outer_radius", None, annulus(1.0, 0.5))
    refused("lengths above 0", None, box([1.0, 0.0]))
    refused("no expression of positions", None, box([1.0, 1.0]), FixedIndegree(1), weight="distance", weight_bits=8)
    refused("delays of at least dt", None, box([1.0, 1.0]), FixedIndegree(1), delay="distance - 1")
    refused("a mean of at most 64", None, box([1.0, 1.0]), __import__("distsim").PairwisePoisson("99 + distance"))
    with pytest.raises(ConfigError, match="a periodic box has edges"):
        Space.of(periodic=True)
    with pytest.raises(ConfigError, match="mm or um"):
        Space.of("cm")
    net = Network()
    net.population("A", 5, "iaf_psc_exp", positions=box([1.0, 1.0]))
    net.population("B", 5, "iaf_psc_exp", positions=sphere(1.0))
    with pytest.raises(ConfigError, match="as many dimensions on both sides"):
        net.project("A", "B", PairwiseBernoulli(0.1, mask=Circular(0.5)))
    for make in (
        lambda: profiles.gaussian(0.0),
        lambda: profiles.gamma(0.5, 1.0),
        lambda: profiles.gaussian2d(1, 1, 1),
    ):
        with pytest.raises(ConfigError):
            make()


FILE = """
run: {duration: 5.0}
space: {unit: mm, extent: [2.0, 2.0], periodic: [true, false]}
populations:
  E: {model: iaf_psc_exp, size: 100, positions: {grid: {shape: [10, 10]}}}
  I: {model: iaf_psc_exp, size: 30, positions: POSITIONS}
projections:
  - source: E
    target: [E, I]
    rule: {pairwise_bernoulli: {p: {KERNEL}, mask: {MASK}, autapses: false}}
    weight: "30.0 * exp(-distance / 0.3)"
    delay: {linear_distance: {c: 0.5, velocity: 0.3}}
  - {source: I, target: E, rule: {pairwise_poisson: "0.1 * (distance < 0.5)"}, weight: -20.0, delay: "0.3 + distance"}
  - {source: I, target: E, rule: {fixed_indegree: {indegree: 2, p: {KERNEL}}}}
  - {source: E, target: E, rule: {fixed_outdegree: {outdegree: 3, mask: {MASK}, multapses: false}}}
"""
PLACES = ("box", "ellipse", "{annulus: {inner_radius: 0.2, outer_radius: 0.7}}", "{file: at.csv, columns: [x, y]}",
          "{file: at.h5, dataset: layer/at}")  # fmt: skip
MASKS = ("circular: {radius: 0.5}", "doughnut: {inner_radius: 0.1, outer_radius: 0.6}",
         "rectangular: {lower_left: [-0.3, -0.3], upper_right: [0.5, 0.2]}",
         "elliptical: {major_axis: 0.9, minor_axis: 0.4, azimuth_angle: 30.0}, anchor: [0.1, 0.0]")  # fmt: skip
KERNELS = (
    "linear: {c: 0.8, a: -0.5}", "exponential: {beta: 0.5}", "gaussian: {std: 0.4}",
    "gamma: {kappa: 2.0, theta: 1.0}",            "gaussian2d: {std_x: 0.4, std_y: 0.2, rho: 0.3}",
    "gabor: {std: 0.5, wavelength: 0.4, theta: 30.0}",
)  # fmt: skip


def write_places(folder: Path) -> None:
    at = np.random.default_rng(2).uniform(-0.9, 0.9, (30, 2))
    (folder / "at.csv").write_text("y,x\n" + "".join(f"{y!r},{x!r}\n" for x, y in at.tolist()))
    with h5py.File(folder / "at.h5", "w") as file:
        file["layer/at"] = at


@pytest.mark.parametrize("k", range(6))
def test_a_file_says_what_python_says(k: int, tmp_path: Path) -> None:
    """Catches a form that is read as another, and space lost on the way into experiment.yaml or a script's document."""
    write_places(tmp_path)
    text = FILE.replace("POSITIONS", PLACES[k % 5]).replace("MASK", MASKS[k % 4]).replace("KERNEL", KERNELS[k])
    (tmp_path / "a.yaml").write_text(text)
    loaded = load_experiment(tmp_path / "a.yaml")
    one = connectivity(loaded.experiment.network)
    assert one.n > 100
    for document in (loaded.document, described_document(loaded.experiment, tmp_path)):
        (tmp_path / "b.yaml").write_text(dump_document(document))
        assert connectivity(load_experiment(tmp_path / "b.yaml").experiment.network).same(one)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("positions: POSITIONS", "positions: {grit: {shape: [3]}}", "did you mean 'grid'"),
    ("{KERNEL}", "{gausian: {std: 0.4}}", "did you mean 'gaussian'"),
    ("{MASK}", "{circle: {radius: 0.4}}", "did you mean 'circular'"),
    ("{MASK}", "{circular: {radius: 1.4}}", "half of"),
    ("{KERNEL}", "{gaussian: {std: -0.4}}", "gaussian.std: found -0.4"), ("{KERNEL}", "1/distance", "divisor"),
    ("positions: POSITIONS", "positions: {file: at.h5, dataset: layer/to}", "did you mean 'at'"),
    ("positions: POSITIONS", "positions: {file: at.h5, dataset: outside}", "a link"),
    ("positions: POSITIONS", "positions: {file: at.h5, dataset: names}", "no plain numbers"),
    ("positions: POSITIONS", "positions: {file: at.h5, dataset: vast}", "one position a neuron"),
    ("positions: POSITIONS", "positions: {file: at.h5, dataset: virtual}", "no plain numbers"),
    ("positions: POSITIONS", "positions: {file: at.csv, dataset: layer/at}", "cannot be read as HDF5"),
    ("positions: POSITIONS", "positions: {file: at.csv, columns: [x, z]}", "no column 'z'"),
    ("positions: POSITIONS", "positions: {file: at.csv}", "columns .of a CSV file. or dataset"),
    ("{KERNEL}", "{gaussian: {std: 0.4}, gabor: {std: 1, wavelength: 1}}", "found gaussian and gabor; allowed: one of"),
    ("{KERNEL}", "{constant: 0.4}", "the number by itself"), ("{KERNEL}", "-1 - distance", "within 0 to 1 for some"),
    ("{KERNEL}", "{gamma: {kappa: 500, theta: 1}}", "a shape with Gamma"),
    ("positions: POSITIONS", "positions: {file: /dev/zero, dataset: x}", "a device or socket; allowed: a file"),
    ("velocity: 0.3", "velocity: 0", "a velocity above 0"), ("unit: mm", "unit: inch", "mm or um"),
])  # fmt: skip
def test_a_wrong_file_is_refused_with_the_place(old: str, new: str, message: str, tmp_path: Path) -> None:
    """Catches a wrong key, kernel or file that passes, and HDF5 that leads out of its file."""
    write_places(tmp_path)
    with h5py.File(tmp_path / "at.h5", "a") as file:
        file["outside"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["names"] = np.array([b"a", b"b"])
        file.create_dataset("vast", (2**40, 2), chunks=(1024, 2), dtype="f8")
        layout = h5py.VirtualLayout((30, 2), "f8")
        layout[:] = h5py.VirtualSource("other.h5", "x", (30, 2))
        file.create_virtual_dataset("virtual", layout)
    text = FILE.replace(old, new).replace("POSITIONS", "box").replace("MASK", MASKS[0]).replace("KERNEL", KERNELS[2])
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_experiment(tmp_path / "a.yaml")
    assert "a.yaml:" in str(caught.value) and "\n" not in str(caught.value)
