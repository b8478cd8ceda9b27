"""What the documents show works: commands and examples run, named paths exist, the reference is up to date."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from distsim.cli import main
from distsim.cli.parser import build_parser
from distsim.models import MODELS, Family
from distsim.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCUMENTS = (
    "README.md", "docs/analysis.md", "docs/architecture.md", "docs/cli.md", "docs/cluster.md", "docs/configuration.md",
    "docs/connectivity.md", "docs/models.md", "docs/own_models.md", "docs/python.md", "docs/tutorial.md",
    "docs/reliability.md", "docs/security.md", "docs/sonata.md", "CHANGELOG.md",
)  # fmt: skip
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
    for name in MODELS:
        assert f"`{name}`" in text, name
    for rule in RULES:
        assert re.search(rf"^\| `\{{?{rule}\b", text, re.MULTILINE), rule


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_paths_exist(document: str) -> None:
    named = named_paths(document)
    assert named
    assert sorted(x for x in named if not (ROOT / x).exists()) == []


def anchors(document: Path) -> set[str]:
    """Where links into a document can lead: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings}


def test_links_lead_to_headings_that_are_there() -> None:
    documents = [README, *sorted((ROOT / "docs").glob("*.md"))]
    known = {d: anchors(d) for d in documents}
    checked, lost = 0, []
    for document in documents:
        for path, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", FENCE.sub("", document.read_text())):
            target = (document.parent / path).resolve() if path else document
            checked += 1
            if anchor not in known.get(target, ()):
                lost.append((document.name, f"{path}#{anchor}"))
    assert checked > 100 and not lost


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


def test_every_rule_has_its_section_and_pictures_are_small() -> None:
    text = (ROOT / "docs" / "connectivity.md").read_text()
    for rule in RULES:
        assert re.search(rf"^## `{rule}`$", text, re.MULTILINE), rule
        assert f"pictures/{rule}.png" in text
    for picture in (ROOT / "docs" / "pictures").glob("*.png"):
        assert 1000 < picture.stat().st_size < 15_000 and f"pictures/{picture.name}" in text


def test_pictures_are_made_by_the_code(tmp_path: Path) -> None:
    """Catches a script that no longer runs, and a matrix that is not the rule's."""
    spec = importlib.util.spec_from_file_location("make_connectivity", ROOT / "docs" / "make_connectivity.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert set(RULES) <= set(script.PICTURES)
    (_, rule, options), *_ = script.PICTURES["fixed_outdegree"]
    assert (script.matrix(rule, options).sum(axis=0) == 5).all()
    script.OUT = tmp_path
    assert script.draw("fixed_outdegree").stat().st_size < 15_000


def test_picture_is_small() -> None:
    assert 10_000 < (ROOT / "docs" / "quickstart.png").stat().st_size < 200_000


# ---- commands

# docs/cli.md is run by tests/unit/test_cli_docs.py.
WITH_COMMANDS = sorted(
    str(x.relative_to(ROOT)) for x in (README, *(ROOT / "docs").glob("*.md")) if x.name not in ("cli.md",)
)
NOT_RUN = {
    "launch/run -n 2 configs/microcircuit.yaml": "full scale: minutes and gigabytes",
    "launch/test": "runs this test",
    "launch/faults --count 20 --campaign kills --out faults.jsonl": "minutes; tests/faults runs a short form",
    ".venv/bin/python -m distsim bench --out docs/benchmarks.md": "full scale; test_cli_docs runs a short one",
    "slurm/submit setup": "set-up",
    ".venv/bin/python -m distsim verify results/full": "of the job before it, which is not submitted",
    "launch/run --hosts node1:4,node2:4 configs/balanced.yaml": "other machines",
    "launch/run --hostfile hosts --ranks-per-node 4 --bind numa --output-per-rank logs configs/balanced.yaml": "hosts",
    ". .venv/bin/activate": "set-up; the tests run in an environment of their own",
    "export MPI4PY_LIBMPI=/opt/openmpi/lib/libmpi.so.40": "the path of another machine",
}
SHORTER = {
    "configs/quickstart.yaml": ("run.duration=50.0", "run.warmup=50.0"),
    "configs/balanced.yaml": ("run.duration=50.0", "run.warmup=0.0"),
}
TEXT_IS_OUTPUT = ("docs/tutorial.md",)  # there each line of a block of text is in what the commands before it printed
FOREIGN = ("DISTSIM_RANKS", "DISTSIM_LAUNCHER", "DISTSIM_MPI", "PMI", "OMPI_", "SLURM_")


@dataclass
class Reader:
    """Someone who follows a document from its first block to its last, in `folder`."""

    folder: Path
    document: str
    capsys: pytest.CaptureFixture[str]
    ran: list[str] = field(default_factory=list)
    printed: str = ""

    def follow(self) -> None:
        text = (ROOT / self.document).read_text()
        for block in FENCE.finditer(text):
            language, body = block.groups()
            if language == "sh":
                self.printed = "".join(self.run(line) for line in body.splitlines() if line.strip())
            elif language in ("yaml", "python"):
                self.save(text[: block.start()].rstrip().rsplit("\n\n", 1)[-1], body)
            elif language == "text" and self.document in TEXT_IS_OUTPUT:
                missing = [line for line in body.splitlines() if line not in self.printed]
                assert not missing, (self.document, missing, self.printed)

    def save(self, paragraph: str, body: str) -> None:
        """Append to the file that the paragraph before the block names last."""
        names = re.findall(r"`(\w+\.(?:yaml|py))`", paragraph)
        if names:
            with (self.folder / names[-1]).open("a") as file:
                file.write(body)

    def run(self, line: str) -> str:
        words = shlex.split(line, comments=True)
        if line.split("#")[0].strip() in NOT_RUN:
            return ""
        if words[0] == "slurm/submit":
            words.insert(2, "--dry-run")
        code = re.search(r"# exit code (\d)", line)
        expected = int(code[1]) if code else 0
        for config, overrides in SHORTER.items():
            if config in words and not {"check", "estimate"} & set(words):
                words += [x for override in overrides for x in ("--set", override)]
        found, output = self.in_process(words[1:]) if words[0] == "distsim" else self.in_shell(words)
        assert found == expected and "Traceback" not in output, (self.document, line, found, output)
        self.ran.append(line)
        return output

    def in_process(self, arguments: list[str]) -> tuple[int, str]:
        self.capsys.readouterr()
        code = main(arguments)
        captured = self.capsys.readouterr()
        return code, captured.out + captured.err

    def in_shell(self, words: list[str]) -> tuple[int, str]:
        """launch/run, an MPI launcher or Python; nothing is installed."""
        scripts = Path(sys.executable).parent
        environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        environment |= {
            "PATH": f"{scripts}:{environment['PATH']}", "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg",
            "DISTSIM_NO_INSTALL": "1", "DISTSIM_PYTHON": sys.executable, "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
            "OMPI_MCA_rmaps_base_oversubscribe": "1",
        }  # fmt: skip
        instead = {"python": sys.executable, ".venv/bin/python": sys.executable, "launch/run": f"{ROOT}/launch/run"}
        instead["slurm/submit"] = f"{ROOT}/slurm/submit"
        command = [instead.get(word, word) for word in words]
        assert words[0] in (*instead, "mpiexec", "mpirun"), f"{self.document}: no test runs {' '.join(words)!r}"
        done = subprocess.run(
            command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh clone, as far as the commands need one."""
    if shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") is None:
        pytest.skip("no mpiexec on this machine")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.mark.parametrize("document", WITH_COMMANDS)
def test_commands_run(document: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reader = Reader(folder, document, capsys)
    reader.follow()
    if document == "docs/tutorial.md":
        assert len(reader.ran) > 12
        for figure in ("results/seed1/figure.png", "raster.pdf", "v_m.png"):
            assert (folder / figure).stat().st_size > 1000, figure
    if document in ("README.md", "docs/cluster.md"):
        assert len(reader.ran) >= 4


def test_every_command_that_is_left_out_stands_somewhere() -> None:
    shown = {
        line.split("#")[0].strip()
        for document in WITH_COMMANDS
        for language, body in FENCE.findall((ROOT / document).read_text())
        if language == "sh"
        for line in body.splitlines()
    }
    assert set(NOT_RUN) <= shown


def test_the_reader_of_a_document_sees_what_is_wrong(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", folder)
    monkeypatch.setattr(f"{__name__}.TEXT_IS_OUTPUT", ("a.md",))
    for body in (
        "```sh\ndistsim check configs/gone.yaml\n```\n",
        "```sh\nrm -r configs\n```\n",
        "```sh\ndistsim check configs/balanced.yaml\n```\n```text\nbalanced: 7 neurons\n```\n",
        "Save as `a.py`:\n\n```python\nraise SystemExit(3)\n```\n```sh\npython a.py\n```\n",
    ):
        (folder / "a.md").write_text(body)
        with pytest.raises(AssertionError):
            Reader(folder, "a.md", capsys).follow()


def test_commands_named_in_text_exist() -> None:
    (actions,) = (a for a in build_parser()._actions if a.choices and a.dest == "name")
    for document in (*WITH_COMMANDS, "docs/cli.md"):
        for command in re.findall(r"`distsim ([a-z]+)\b[^`]*`", (ROOT / document).read_text()):
            assert command in actions.choices, (document, command)


# ---- the reference of the configuration


def _writer(name: str) -> Any:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_of_the_models_is_up_to_date() -> None:
    text = (ROOT / "docs" / "models.md").read_text()
    assert text == _writer("make_models").models(), "run: python docs/make_models.py"
    for declared in MODELS.values():
        model = declared.example if isinstance(declared, Family) else declared
        lists = [x.name for x in declared.lists] if isinstance(declared, Family) else []
        elements = {f"{x}_{k}" for x in lists for k in range(100)}
        parameters = {p.name for p in model.parameters} - elements
        for name in (*parameters, *lists, *model.recordables, *(r.name for r in model.receptors)):
            assert f"`{name}`" in text, (declared.name, name)


def test_the_reference_of_the_configuration_is_up_to_date() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert text == _writer("make_configuration").configuration(), "run: python docs/make_configuration.py"
    for rule in RULES:
        assert f"{rule}" in text, rule
