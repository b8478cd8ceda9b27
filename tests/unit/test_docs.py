"""What the documents show works: examples of the README run, and every path that is named exists."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from distsim.cli import main
from distsim.models import MODELS
from distsim.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCUMENTS = ("README.md", "docs/architecture.md", "CHANGELOG.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Folders of the repository: what begins with one of them is meant to be there.
PATH = re.compile(r"(?:distsim|configs|docs|launch|slurm|tests)/[\w./-]*|(?:README|CHANGELOG|LICENSE)\b[\w.]*")
DURATION = "100.0"  # ms: the examples in full take seconds where the machine is busy


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language in the README."""
    found = [text for name, text in FENCE.findall(README.read_text()) if name == language]
    assert found, f"README.md has no block in {language}"
    return found


def named_paths(document: str) -> set[str]:
    """What stands in back-quotes or as the target of a link, and looks like a file of the repository."""
    text = FENCE.sub("", (ROOT / document).read_text())
    links = {(ROOT / document).parent / x for x in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)}
    inside = {str(x.resolve().relative_to(ROOT)) for x in links}
    return inside | {x for x in re.findall(r"`([^`\s]+)`", text) if PATH.fullmatch(x)}


@pytest.fixture(scope="module")
def from_yaml(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The summary and the directory of the YAML example."""
    folder = tmp_path_factory.mktemp("readme")
    (config,) = blocks("yaml")
    (folder / "small.yaml").write_text(config)
    out = folder / "results" / "small"
    assert main(["run", str(folder / "small.yaml"), "--set", f"run.duration={DURATION}", "--out", str(out)]) == 0
    return json.loads((out / "summary.json").read_text()), folder


def python_example() -> str:
    (script,) = blocks("python")
    assert "duration=500.0" in script
    return script.replace("duration=500.0", f"duration={DURATION}")


def test_python_computes_the_spikes_of_the_yaml(
    from_yaml: tuple[dict[str, Any], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary, _ = from_yaml
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(python_example(), str(README), "exec"), names)
    result = names["result"]
    assert result.spike_digest == summary["spike_digest"]
    assert result.spike_count == summary["spike_count"] > 0
    assert names["times"].size == names["neurons"].size > 0
    assert names["voltage"].shape == (100, 3)


def test_results_are_read_as_shown(from_yaml: tuple[dict[str, Any], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("libsonata")
    summary, folder = from_yaml
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for block in blocks("py"):
        exec(compile(block, str(README), "exec"), names)
    assert names["times"].size == names["neurons"].size == len(names["pairs"])
    assert names["times"].size == round(summary["rates"]["E"] * 400 * float(DURATION) / 1000.0)
    assert names["states"].data.shape == (100, 3)


def test_summary_and_files_are_as_listed(from_yaml: tuple[dict[str, Any], Path]) -> None:
    summary, folder = from_yaml
    text = README.read_text()
    section = text[text.index("## Results") : text.index("## Benchmarks")]
    for key in (*summary, *summary["seconds"], *summary["memory_bytes"]):
        assert f"`{key}`" in section, key
    for file in (folder / "results" / "small").iterdir():
        assert f"`{file.name}`" in section, file.name


def test_overrides_of_the_readme_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(blocks("yaml")[0])
    (command,) = (x for b in blocks("sh") for x in b.splitlines() if "--set " in x)
    overrides = [x for pair in re.findall(r"--set (\S+)", command) for x in ("--set", pair)]
    arguments = ["run", str(tmp_path / "small.yaml"), *overrides, "--set", "run.duration=1.0"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0


def test_error_is_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(blocks("yaml")[0])
    (shown,) = (b for b in blocks("text") if b.startswith("$ distsim "))
    command, message = shown.splitlines()
    assert main(command.removeprefix("$ distsim ").split()) == 2
    assert capsys.readouterr().err.strip() == message
    assert [x.name for x in tmp_path.iterdir()] == ["small.yaml"]


def test_first_commands_are_the_agreed_ones() -> None:
    commands = [line.split("#")[0].strip() for line in blocks("sh")[0].splitlines()]
    assert commands[:3] == [
        "launch/run -n 2 configs/quickstart.yaml", "launch/run -n 2 configs/microcircuit.yaml", "launch/test",
    ]  # fmt: skip
    for command in commands[:2]:
        assert (ROOT / command.split()[-1]).is_file()


def test_all_models_and_rules_are_in_the_readme() -> None:
    text = README.read_text()
    for model in MODELS.values():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{model.name}`"))
        for name in (*(p.name for p in model.parameters), *model.recordables):
            assert re.search(rf"\b{name}\b", row), f"{model.name}: {name}"
    for rule in RULES:
        assert re.search(rf"^\| `\{{?{rule}\b", text, re.MULTILINE), rule


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_paths_exist(document: str) -> None:
    named = named_paths(document)
    assert named
    assert sorted(x for x in named if not (ROOT / x).exists()) == []


def test_the_check_of_paths_sees_a_missing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.md").write_text(
        textwrap.dedent("""
        See `distsim/gone.py`, [this](docs/gone.md#part), `run.seed`, [that](https://example.org/x).
        ```sh
        launch/run configs/made_up.yaml
        ```
    """)
    )
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    assert named_paths("a.md") == {"distsim/gone.py", "docs/gone.md"}


def test_picture_is_small() -> None:
    assert 10_000 < (ROOT / "docs" / "quickstart.png").stat().st_size < 200_000
