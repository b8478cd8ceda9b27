"""Every example of docs/cli.md is run, in its order; the page has every command and option, and no other."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from pathlib import Path

import pytest

from distsim.cli import main
from distsim.cli.parser import build_parser


def commands() -> dict[str, argparse.ArgumentParser]:
    actions = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(actions[0].choices)


def examples(page: str) -> list[tuple[list[str], int]]:
    """(words, expected exit code) of each line in the blocks of shell code."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL):
        for line in block.splitlines():
            code = re.search(r"# exit code (\d)", line)
            found.append((shlex.split(line, comments=True), int(code[1]) if code else 0))
    return found


@pytest.fixture(scope="module")
def page(repo_root: Path) -> str:
    return (repo_root / "docs/cli.md").read_text()


def test_every_command_and_option_is_described(page: str) -> None:
    sections = dict(re.findall(r"^## distsim (\w+)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
    assert set(sections) == set(commands())
    for name, parser in commands().items():
        assert any(words[1] == name for words, _ in examples(sections[name])), f"{name} has no example"
        options = {o for action in parser._actions for o in action.option_strings} - {"-h", "--help"}
        described = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", sections[name].replace("-vv", "-v")))
        missing = {o for o in options if o not in described and o not in ("--verbose",)}
        assert not missing, f"{name}: {missing}"
        synopsis = re.search(r"\n    (distsim .*?)\n\n", sections[name], re.DOTALL)
        assert synopsis
        assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", synopsis[1].replace("-vv", "-v"))) <= options


def test_every_example_runs(
    page: str, repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "configs").symlink_to(repo_root / "configs")
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("PMI", "OMPI_", "SLURM_", "DISTSIM_RANKS")):
            monkeypatch.delenv(name)
    lines = examples(page)
    assert len(lines) >= len(commands())
    for words, code in lines:
        assert words[0] == "distsim"
        found = main(words[1:])
        said = capsys.readouterr().err
        assert found == code, (words, said)
        assert "Traceback" not in said
    for name in (
        "results/seed7/figure.png",
        "figure.pdf",
        "experiment.schema.json",
        "results/balanced-2/log.rank0000.txt",
    ):
        assert (tmp_path / name).is_file()
