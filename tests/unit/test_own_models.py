"""Models in a user's own file: the example of docs/own_models.md, and what is said where one is wrong."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from distsim import Checkpoints, ConfigError, Network, simulate
from distsim.cli import main
from distsim.kernels import integrate
from distsim.models import MODELS, Dynamics, Family, Model, Parameter, State
from distsim.models.declared import SCHEMES, check_declaration

TEXT = (Path(__file__).parents[2] / "docs" / "own_models.md").read_text()
(MODEL,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
(CONFIG,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_models.py").write_text(MODEL)
    (tmp_path / "own.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def digest(capsys: pytest.CaptureFixture[str]) -> str:
    found = re.search(r"[0-9a-f]{32}", capsys.readouterr().out)
    assert found is not None
    return found[0]


def test_the_example_runs_and_runs_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands of the page; experiment.yaml names the file by its absolute path and gives the same digest."""
    assert main(["models", "my_models.py:my_neuron"]) == 0
    assert "steepness of the parabola" in capsys.readouterr().out
    assert main(["check", "own.yaml"]) == 0
    capsys.readouterr()
    assert main(["run", "own.yaml", "--out", "results/own", "--quiet"]) == 0
    first = digest(capsys)
    assert main(["run", "results/own/experiment.yaml", "--out", "again", "--quiet"]) == 0
    assert digest(capsys) == first
    (folder / "my_models.py").write_text(MODEL + "\n# changed\n")
    assert main(["run", "results/own/experiment.yaml", "--out", "changed", "--quiet"]) == 2
    assert "my_models.py has changed" in capsys.readouterr().err


def test_a_model_that_does_not_compile_is_named_with_its_line(folder: Path, capsys) -> None:
    (folder / "my_models.py").write_text(MODEL.replace("V = V + input_input;", "V = V + input_inptu;"))
    assert main(["run", "own.yaml", "--out", "out", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert "model my_neuron, line 3 of its update" in error and "input_inptu" in error
    assert error.count("\n") == 1
    assert not (folder / "out").exists(), "nothing was computed, something was left"
    (folder / "my_models.py").write_text(MODEL.replace("d_V = a", "d_V = b"))
    (folder / "out").mkdir()
    assert main(["run", "own.yaml", "--out", "out", "--quiet"]) == 2
    assert list((folder / "out").iterdir()) == []  # the directory is the user's
    assert "model my_neuron, line 1 of its derivatives" in capsys.readouterr().err
    assert not (folder / "out" / "summary.json").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("my_models.py:my_neuron", "my_models.py:my_nueron"), "did you mean 'my_neuron'?"),
        (("my_models.py:my_neuron", "my_model.py:my_neuron"), "did you mean 'my_models.py'?"),
        (("my_models.py:my_neuron", "my_models.py"), "my_file.py:my_model"),
        (("I_e:", "I_x:"), "unknown parameter of my_neuron; did you mean 'I_e'?"),
    ],
)
def test_a_wrong_name_is_one_line(folder: Path, capsys, change: tuple[str, str], said: str) -> None:
    text = CONFIG.replace(*change)
    (folder / "own.yaml").write_text(text)
    if text == CONFIG:
        pytest.fail("the change has no place in the example")
    assert main(["check", "own.yaml"]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_file_that_raises_is_named_with_its_line(folder: Path, capsys) -> None:
    (folder / "my_models.py").write_text("x = 1\nraise RuntimeError('no')\n")
    assert main(["check", "own.yaml"]) == 2
    error = capsys.readouterr().err
    assert "RuntimeError" in error and "my_models.py:2" in error


def test_a_model_of_a_script_alone_cannot_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says so, even where it has the name of a built-in one: results do not hold its declaration."""
    own = dataclasses.replace(MODELS["iaf_psc_exp"], choose=None)
    network = Network()
    network.population("N", 2, own)
    simulate(network, 1.0, out="script", device="cpu", checkpoint=Checkpoints())
    assert main(["resume", "script", "--set", "run.duration=2.0"]) == 2
    said = capsys.readouterr().err
    assert "populations.N.model: found 'iaf_psc_exp (declared in Python)'" in said and said.count("\n") == 1


def declaration(**changes: Any) -> Model:
    given: dict[str, Any] = {
        "name": "mine", "doc": "Mine.", "parameters": (Parameter("a", 1.0, "1/ms", "a"),),
        "states": (State("v", "1", "v", recordable=True),), "update": "INTEGRATE;\nspikes = v > (real)1 ? 1 : 0;",
        "dynamics": Dynamics(("v",), "d_v = a - v;"),
    }  # fmt: skip
    return Model(**{**given, **changes})


V = State("v", "1", "v")


@pytest.mark.parametrize(("changes", "said"), [
    ({"dynamics": Dynamics(("v",), "a = d_v == 1;")}, "does not assign d_v"),
    ({"dynamics": Dynamics(("v",), "/* d_v = 1; */ // d_v = a;")}, "does not assign d_v"),
    ({"dynamics": Dynamics(("v",), "d_v = a;", "magnus4")}, "does not assign rate_v"),
    ({"dynamics": Dynamics(("w",), "d_w = a;")}, "unknown state 'w'"),
    ({"dynamics": Dynamics(("v",), "d_v = a;", "rk5")}, "unknown scheme 'rk5'; did you mean 'rk"),
    ({"dynamics": Dynamics(("v",), "d_v = a;", substeps=4)}, "found 4; allowed: (single, double)"),
    ({"update": "spikes = 0;"}, "write INTEGRATE; on a line of its own"),
    ({"update": "INTEGRATE; spikes = 0;"}, "write INTEGRATE; on a line of its own"),
    ({"dynamics": None}, "has no dynamics"),
    ({"states": (V, V)}, "'v' is declared twice"),
    ({"states": (V, State("h", "1", "gate"))}, "'h' is a word of the kernel; call it otherwise"),
    ({"states": (V, State("step", "1", "gate"))}, "'step' is a word of the kernel"),
    ({"parameters": (Parameter("a", 1.0, "", ""), Parameter("g", 1.0, "nS", "g")),
      "dynamics": Dynamics(("v",), "d_v = g * a;")}, "the parameter is g_"),
])  # fmt: skip
def test_a_declaration_that_computes_anything_is_refused(changes: dict[str, Any], said: str) -> None:
    """Catches a derivative that is never assigned: it is whatever the memory held, another on every run."""
    network = Network()
    with pytest.raises(ConfigError, match=r"populations\.N\.model: model mine") as error:
        network.population("N", 2, declaration(**changes))
    assert said in str(error.value) and not network.populations


def test_declarations_that_fit_are_accepted() -> None:
    named = (Parameter("a", 1.0, "", ""), Parameter("g", 1.0, "nS", "g"))
    for changes in ({}, {"parameters": named, "dynamics": Dynamics(("v",), "d_v = g_ * a; // in units of g\n/* g */")}):
        Network().population("N", 2, declaration(**changes))
    for model in MODELS.values():
        check_declaration(model.example if isinstance(model, Family) else model, "here")
    assert set(SCHEMES) == {*integrate.SCHEMES, "magnus4"}
    with pytest.raises(ConfigError, match="the name of a model"):
        Network().population("N", 2, 5)  # type: ignore[arg-type]
