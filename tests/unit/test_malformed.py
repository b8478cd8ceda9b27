"""Malformed experiments through the command line: exit code 2, one line on standard error, nothing written.

The list of issue 3, each entry with the words that its line must have. tests/unit/test_config_errors.py looks at
the messages in detail; here the whole road from the command to the exit code is taken.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from distsim.backend import cuda
from distsim.cli import main

GOOD = """\
name: small
run: {duration: 10.0, warmup: 1.0, dt: 0.1, seed: 1}
populations:
  E: {model: iaf_psc_exp, size: 8, params: {C_m: 250.0}, initial: {V_m: {normal: [-58.0, 1.0]}}}
  I: {model: iaf_psc_exp, size: 4}
inputs:
  background: {type: poisson, targets: [E, I], rate: 16000.0, weight: 87.8}
projections:
  - {source: E, target: [E, I], rule: {fixed_indegree: 2}, weight: {normal: [87.8, 8.8]}, delay: 1.5}
  - {source: I, target: E, rule: {pairwise_bernoulli: {p: 0.1}}, weight: -351.2, delay: 0.8}
record:
  spikes: all
  states: {E: {variables: [V_m], interval: 1.0, neurons: [0, 1]}}
"""

# Whole files: (what it is, bytes, what the line says)
FILES: list[tuple[str, bytes, str]] = [
    ("empty file", b"", "found empty at the root; expected a mapping"),
    ("blanks and comments alone", b"\n# nothing\n   \n", "found empty at the root"),
    ("list at the root", b"- run\n- populations\n", "found a list at the root; expected a mapping"),
    ("text at the root", b"microcircuit\n", "found a str at the root"),
    ("null byte", b"run: {duration: 1\x00}\n", "is not allowed in YAML"),
    ("tab indent", b"run:\n\tduration: 10.0\n", ":2:1: found a tab; indent and separate with spaces"),
    ("invalid UTF-8", b"name: caf\xe9\n" + GOOD.encode()[12:], ":1:10: byte 0xe9 is no valid UTF-8"),
    ("UTF-16", GOOD.encode("utf-16"), "is no valid UTF-8; save the file as UTF-8"),
    ("unclosed bracket", b"run: {duration: 10.0\n", "not valid YAML"),
    ("unclosed quote", b"name: 'small\n", "not valid YAML"),
    ("deep nesting, flow", b"run: " + b"[" * 100000, "nested deeper than 64"),
    ("deep nesting, block", "".join(f"{' ' * k}a:\n" for k in range(300)).encode(), "nested deeper than 64"),
    (
        "alias bomb",
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 106)),
        ":1:4: anchor &a; anchors and aliases are not allowed",
    ),
    ("merge bomb", b"a: {<<: {<<: {b: 1}}}\n", "merge key <<; merging is not allowed"),
    ("merge of an alias", b"a: {b: 1}\nc: {<<: *a}\n", "merge key <<; merging is not allowed"),
    ("alias of itself", b"run: &a {duration: *a}\n", "anchor &a; anchors and aliases are not allowed"),
    ("unknown alias", b"run: *a\n", "alias"),
    ("tag of Python", b"run: !!python/object/apply:os.system ['true']\n", "tags are not allowed"),
    ("tag of YAML", b"run: {duration: !!float 10}\n", "tags are not allowed"),
    ("own tag", b"run: !run {duration: 10}\n", "tags are not allowed"),
    ("tag directive", b"%TAG ! tag:x,2000:\n---\nrun: {}\n", "%TAG directive; tags are not allowed"),
    ("duplicate key", GOOD.replace("  I: {", "  E: {").encode(), "duplicate key 'E'"),
    ("two documents", (GOOD + "---\n" + GOOD).encode(), ":14:1: a second document; one file is one experiment"),
    ("oversize file", b"# " + b"x" * (16 * 2**20) + b"\n", "larger than 16 MiB"),
    ("a number of a megabyte", b"run: {duration: " + b"9" * 2**20 + b"}\n", "a number of 1048576 characters"),
    ("no run", b"populations: {E: {model: parrot_neuron, size: 1}}\n", "run: missing; it has no default"),
    ("no network", b"run: {duration: 1.0}\n", "populations: missing"),
    (
        "unknown builder",
        b"run: {duration: 1.0}\nnetwork: {builder: microcircut}\n",
        "network.builder: unknown builder 'microcircut'; did you mean 'microcircuit'?",
    ),
    (
        "wrong argument of a builder",
        b"run: {duration: 1.0}\nnetwork: {builder: brunel, regime: chaos}\n",
        "network.regime: found 'chaos'; allowed: 'SR' or 'SI_fast' or 'AI' or 'SI_slow'",
    ),
]

# One place of GOOD: (what it is, what stands there, what is there instead, key, what the line says)
EDITS: list[tuple[str, str, str, str, str]] = [
    ("unknown key at the root", "inputs:", "input:", "input", "unknown key 'input'; did you mean 'inputs'?"),
    ("unknown key below", "warmup:", "warm_up:", "run.warm_up", "did you mean 'warmup'?"),
    ("unknown parameter", "C_m:", "Cm:", "populations.E.params.Cm", "did you mean 'C_m'?"),
    ("missing key", "duration: 10.0, ", "", "run.duration", "missing"),
    ("wrong type: text", "duration: 10.0", "duration: long", "run.duration", "found 'long'; allowed: a number"),
    ("wrong type: list", "seed: 1", "seed: [1]", "run.seed", "found [1]; allowed: a whole number"),
    ("wrong type: mapping", "size: 8", "size: {n: 8}", "populations.E.size", "allowed: a whole number"),
    ("wrong type: number", "model: iaf_psc_exp, size: 8", "model: 1, size: 8", "populations.E.model", "allowed: text"),
    ("wrong type: populations", "  E: {", "  E: [", "", "not valid YAML"),
    ("bool as int", "size: 8", "size: true", "populations.E.size", "found true; allowed: a whole number"),
    ("bool as seed", "seed: 1", "seed: false", "run.seed", "found false; allowed: a whole number"),
    ("bool as number", "weight: -351.2", "weight: true", "projections[1].weight", "found true; allowed: a number"),
    ("fractional count", "size: 8", "size: 8.5", "populations.E.size", "found 8.5; allowed: a whole number"),
    ("fractional in-degree", "{fixed_indegree: 2}", "{fixed_indegree: 2.5}", "rule.fixed_indegree", "found 2.5"),
    ("float as count", "size: 8", "size: 8.0", "populations.E.size", "found 8.0; allowed: a whole number"),
    ("null", "size: 8", "size: null", "populations.E.size", "found null"),
    ("null section", "inputs:\n  background: {", "inputs:\nunused: {", "unused", "unknown key"),
    ("NaN", "dt: 0.1", "dt: .nan", "run.dt", "found nan; allowed: a finite number"),
    ("infinity", "duration: 10.0", "duration: .inf", "run.duration", "found inf; allowed: a finite number"),
    ("overflow to infinity", "weight: -351.2", "weight: -1e400", "projections[1].weight", "found -inf"),
    ("number beyond any unit", "C_m: 250.0", "C_m: 1e200", "populations.E.params.C_m", "numbers of at most 1e+30"),
    ("negative size", "size: 8", "size: -8", "populations.E.size", "found -8; allowed: a whole number from 1 to 2^40"),
    ("no neuron", "size: 8", "size: 0", "populations.E.size", "found 0"),
    ("size beyond 2^40", "size: 8", "size: 1099511627777", "populations.E.size", "from 1 to 2^40"),
    ("sizes together beyond", "size: 4}", "size: 1099511627770}", "populations.I.size", "2^40 neurons in all"),
    ("dt of zero", "dt: 0.1", "dt: 0.0", "run.dt", "found 0.0; allowed: a time step"),
    ("negative dt", "dt: 0.1", "dt: -0.1", "run.dt", "found -0.1"),
    ("duration off the grid", "duration: 10.0", "duration: 10.05", "run.duration", "a multiple of dt = 0.1 ms"),
    ("negative duration", "duration: 10.0", "duration: -10.0", "run.duration", "found -10.0"),
    ("too many steps", "duration: 10.0", "duration: 1e14", "run.duration", "fewer than 2^40 steps"),
    ("delay below dt", "delay: 0.8", "delay: 0.04", "projections[1].delay", "delays of at least dt = 0.1 ms"),
    ("negative delay", "delay: 0.8", "delay: -0.8", "projections[1].delay", "delays of at least dt"),
    ("delay too long", "delay: 0.8", "delay: 5000.0", "projections[1].delay", "at most 32768 steps of dt = 0.1 ms"),
    ("clipped delay too short", "delay: 0.8", "delay: {normal_clipped: {mean: 1.0, std: 1.0, max: 0.01}}",
     "projections[1].delay", "found [0.05, 0.01]; allowed: min < max"),
    ("probability above 1", "p: 0.1", "p: 1.1", "pairwise_bernoulli.p", "found 1.1; allowed: a probability"),
    ("negative probability", "p: 0.1", "p: -0.1", "pairwise_bernoulli.p", "found -0.1; allowed: a probability"),
    ("in-degree without a source", "{source: I, target: E, rule: {pairwise_bernoulli: {p: 0.1}}",
     "{source: I, target: I, rule: {fixed_indegree: {indegree: 5, multapses: false}}",
     "rule.fixed_indegree", "found 5; allowed: at most 4 without multapses"),
    ("negative in-degree", "{fixed_indegree: 2}", "{fixed_indegree: -2}", "rule.fixed_indegree", "found -2"),
    ("tau of zero", "C_m: 250.0", "tau_m: 0.0", "populations.E.params.tau_m", "found 0.0; allowed: numbers > 0 (ms)"),
    ("negative tau", "C_m: 250.0", "tau_syn_in: -2.0", "params.tau_syn_in", "found -2.0; allowed: numbers > 0"),
    ("tau that may be drawn negative", "C_m: 250.0", "tau_m: {normal: [10.0, 3.0]}", "params.tau_m", "numbers > 0"),
    ("reset above threshold", "C_m: 250.0", "V_reset: -50.0", "params.V_reset", "found -50.0; allowed: less than V_th"),
    ("refractory time too long", "C_m: 250.0", "t_ref: 7000.0", "params.t_ref", "at most 65535 steps of dt = 0.1 ms"),
    ("negative rate", "rate: 16000.0", "rate: -1.0", "inputs.background.rate", "found -1.0; allowed: numbers >= 0"),
    ("unknown population", "source: I", "source: J", "projections[1].source", "unknown population 'J'"),
    ("unknown target of an input", "targets: [E, I]", "targets: [E, L]", "background.targets[1]", "unknown population"),
    ("unknown model", "model: iaf_psc_exp, size: 8", "model: iaf_psc_xp, size: 8", "populations.E.model",
     "unknown model 'iaf_psc_xp'; did you mean 'iaf_psc_exp'?"),
    ("unknown rule", "{fixed_indegree: 2}", "{fixed_degree: 2}", "fixed_degree", "unknown key"),
    ("unknown rule by name", "{fixed_indegree: 2}", "all_to_al", "projections[0].rule", "did you mean 'all_to_all'?"),
    ("unknown variable", "variables: [V_m]", "variables: [U_m]", "record.states.E.variables", "unknown variable 'U_m'"),
    ("unknown partition", "seed: 1", "seed: 1, partition: blocks", "run.partition", "allowed: block, round_robin"),
    ("name twice in a list", "targets: [E, I]", "targets: [E, E]", "background.targets[1]", "stands twice"),
    ("duplicate name of an input", "  background: {", "  background: {}\n  background: {", "", "duplicate key"),
    ("missing file", "C_m: 250.0", "C_m: {file: no.csv, column: C}", "populations.E.params.C_m", "not found"),
]  # fmt: skip

Spoil = Callable[[Path], list[str]]  # prepares the folder, returns the arguments after `run`


def _config(folder: Path, data: bytes | str = GOOD) -> str:
    path = folder / "small.yaml"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def _out_below_a_file(folder: Path) -> list[str]:
    (folder / "taken").write_text("a file")
    return [_config(folder), "--out", str(folder / "taken" / "results")]


def _out_is_a_file(folder: Path) -> list[str]:
    (folder / "taken").write_text("a file")
    return [_config(folder), "--out", str(folder / "taken")]


def _out_has_results(folder: Path) -> list[str]:
    (folder / "results").mkdir()
    (folder / "results" / "summary.json").write_text("{}")
    return [_config(folder), "--out", str(folder / "results")]


def _out_has_other_things(folder: Path) -> list[str]:
    (folder / "thesis").mkdir()
    (folder / "thesis" / "chapter1.tex").write_text("")
    return [_config(folder), "--out", str(folder / "thesis")]


COMMANDS: list[tuple[str, Spoil, str]] = [
    ("no such file", lambda folder: [str(folder / "missing.yaml")], "missing.yaml: no such file"),
    ("a directory", lambda folder: [str(folder)], "is a directory; expected a YAML file"),
    ("output below a file", _out_below_a_file, "taken"),
    ("output is a file", _out_is_a_file, "taken"),
    ("output has results", _out_has_results, "results"),
    ("output has other things", _out_has_other_things, "found chapter1.tex; allowed: an empty or new directory"),
    ("unknown device", lambda folder: [_config(folder), "--device", "tpu"], "'tpu'"),
    ("unknown option", lambda folder: [_config(folder), "--outt", "x"], "arguments: --outt x; did you mean '--out'?"),
    ("ranks", lambda folder: [_config(folder), "-n", "2"], "launch/run -n RANKS CONFIG"),
    ("another word for cuda", lambda folder: [_config(folder), "--device", "gpu"], "did you mean 'cuda'?"),
    ("no config", lambda folder: [], "CONFIG"),
    ("--set without a value", lambda folder: [_config(folder), "--set", "run.seed"], "expected path=value"),
    ("--set of an unknown key", lambda folder: [_config(folder), "--set", "run.sed=1"], "did you mean 'seed'"),
    ("--set of a wrong value", lambda folder: [_config(folder), "--set", "run.seed=x"], "--set run.seed=x: run.seed: "),
    ("a rank that was not started", lambda folder: [_config(folder), "--set", "run.partition={E: 0, I: 1}"],
     "1 rank was started; start at least 2"),
]  # fmt: skip


def refused(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which `distsim run` refuses, having written nothing."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    capsys.readouterr()
    try:
        code: object = main(["run", *arguments])
    except SystemExit as left:  # argparse
        code = left.code
    printed = capsys.readouterr()
    assert code == 2, printed.err
    assert printed.out == ""
    assert printed.err.endswith("\n") and printed.err.count("\n") == 1, printed.err
    assert printed.err[:-1].isprintable() and len(printed.err) < 1500 and "Traceback" not in printed.err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before, "something was written"
    return printed.err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("data", "says"), [f[1:] for f in FILES], ids=[f[0] for f in FILES])
def test_a_malformed_file_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], data: bytes, says: str) -> None:
    path = _config(folder, data)
    line = refused([path], folder, capsys)
    assert line.startswith(f"distsim: {path}") and says in line, line


@pytest.mark.parametrize(("old", "new", "key", "says"), [e[1:] for e in EDITS], ids=[e[0] for e in EDITS])
def test_a_wrong_value_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, key: str, says: str
) -> None:
    assert old in GOOD
    path = _config(folder, GOOD.replace(old, new, 1))
    line = refused([path, "--out", str(folder / "results")], folder, capsys)
    assert line.startswith(f"distsim: {path}:") and key in line and says in line, line


@pytest.mark.parametrize(("spoil", "says"), [c[1:] for c in COMMANDS], ids=[c[0] for c in COMMANDS])
def test_a_wrong_command_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], spoil: Spoil, says: str) -> None:
    line = refused(spoil(folder), folder, capsys)
    assert line.startswith("distsim") and says in line, line


def test_a_device_that_is_not_there_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if cuda.has_driver():  # there is a GPU: without CuPy it cannot be used
        monkeypatch.setitem(sys.modules, "cupy", None)
    assert "cuda" in refused([_config(folder), "--device", "cuda"], folder, capsys)


def test_a_neuron_without_candidates_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Known only when the network is built: still wrong input, and no result that was begun."""
    place, rule = "positions: {box: {extent: [1.0]}}", "fixed_indegree: {indegree: 2, mask: {circular: {radius: 1e-9}}}"
    text = GOOD.replace("size: 8", f"size: 8, {place}").replace("size: 4", f"size: 4, {place}")
    path = _config(folder, text.replace("fixed_indegree: 2", rule))
    assert main(["run", path, "--out", str(folder / "results")]) == 2
    assert "found 2, but neuron 0 of 'I' has 0" in capsys.readouterr().err and not list(folder.glob("results/*"))


def test_the_good_one_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", _config(folder), "--out", str(folder / "results")]) == 0
    assert (folder / "results" / "summary.json").is_file()


def test_the_largest_network_is_checked_without_allocating(folder: Path) -> None:
    """2^40 neurons and generators, all with the same list of spikes: kept once."""
    from distsim.config import load_experiment

    text = GOOD.replace("size: 8", f"size: {2**39}").replace("size: 4}", f"size: {2**38}}}").replace(
        "inputs:", f"  G: {{model: spike_generator, size: {2**37}, params: {{spike_times: [1.0, 2.0]}}}}\ninputs:"
    )  # fmt: skip
    network = load_experiment(_config(folder, text)).experiment.network
    assert network.size == 2**39 + 2**38 + 2**37
    assert network["G"].params["spike_times"][2**37 - 1] == (1.0, 2.0)
