"""check, schema, info, and how run shows what it does."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from distsim.cli import info, main
from distsim.config.json_schema import experiment_schema
from distsim.config.words import WORDS
from distsim.config.yaml_reader import read_document
from distsim.models import MODELS

SHORT = ["--set", "run.duration=20.0", "--set", "run.warmup=0.0", "--device", "cpu"]


# ---- check


def test_check_shows_the_network(repo_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(repo_root / "configs/balanced.yaml"), "--set", "run.seed=7"]) == 0
    out = capsys.readouterr().out
    assert "balanced: 2,000 neurons, 403,200 synapses expected" in out and "seed 7" in out
    assert "[1]  I       E, I    pairwise_bernoulli 0.1, no autapses" in out
    assert "I_e U[0, 100), V_m(0) N(-62, 4)" in out
    assert "background  poisson  E, I     rate 6,500    87.8" in out
    assert "V_m of 3 of E every 1 ms" in out


def test_check_cuts_long_tables(repo_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(repo_root / "configs/microcircuit.yaml")
    assert main(["check", config]) == 0
    assert "… and 35 more (--all shows them)" in capsys.readouterr().out
    assert main(["check", config, "--all"]) == 0
    assert "[54]" in capsys.readouterr().out


def test_check_reads_edge_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "edges.csv").write_text("source,target,weight,delay\n0,1,1.0,1.0\n0,9,1.0,1.0\n")
    (tmp_path / "c.yaml").write_text(
        "run: {duration: 1.0}\npopulations: {E: {model: iaf_psc_exp, size: 4}}\n"
        "projections: [{source: E, target: E, rule: {explicit: {file: edges.csv}}}]\n"
    )
    assert main(["check", str(tmp_path / "c.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "edges.csv:3: target: found 9" in error
    (tmp_path / "edges.csv").write_text("source,target,weight,delay\n0,1,1.0,1.0\n")
    assert main(["check", str(tmp_path / "c.yaml")]) == 0
    assert "explicit  listed  listed             1" in capsys.readouterr().out


@pytest.mark.parametrize(("more", "note"), [
    ("", "nothing drives the network"),
    ("  G: {model: poisson_generator, size: 1}\n", "populations.G: a generator that is the source of no projection"),
    ("inputs: {a: {type: dc, targets: E, amplitude: 1.0}}\n", "populations.I: the target of no projection"),
    ("inputs: {a: {type: dc, targets: [E, I], amplitude: 1.0}}\nrecord: {connections: all}\n", ""),
])  # fmt: skip
def test_what_drives_nothing_or_is_not_driven_is_noted(
    more: str, note: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    populations = "populations:\n  E: {model: iaf_psc_exp, size: 4}\n  I: {model: iaf_psc_exp, size: 4}\n"
    projections = "projections: [{source: E, target: E, rule: {fixed_indegree: 2}}]\n"
    (tmp_path / "c.yaml").write_text(f"run: {{duration: 5.0}}\n{populations}{more}{projections}")
    assert main(["check", str(tmp_path / "c.yaml")]) == 0
    said = capsys.readouterr().out
    assert f"\nnote: {note}" in said if note else "note:" not in said and "connections of all projections" in said


@pytest.mark.parametrize(("model", "given", "said"), [
    ("iaf_cond_exp", "weight: 2.0, receptor: inhibitory", "found 2 onto receptor 'inhibitory' of E (iaf_cond_exp)"),
    ("iaf_cond_exp", "weight: {lognormal: [0.0, 0.1]}, receptor: inhibitory", "weights onto it are negative"),
    ("iaf_cond_exp", "weight: -2.0, receptor: excitatory", "weights onto it are positive"),
    ("aeif_cond_alpha_multisynapse", "weight: -2.0", "onto receptor '1'"),
    ("iaf_cond_exp", "weight: -2.0, receptor: inhibitory", ""),
    ("iaf_cond_exp", "weight: {normal: [0.0, 1.0]}", ""),
    ("iaf_psc_exp", "weight: 2.0, receptor: inhibitory", ""),
])  # fmt: skip
def test_negative_conductances_are_told(
    model: str, given: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(
        f"run: {{duration: 5.0}}\npopulations: {{E: {{model: {model}, size: 4, params: {{I_e: 1.0}}}}}}\n"
        f"projections: [{{source: E, target: E, rule: all_to_all, {given}}}]\n"
    )
    assert main(["check", str(tmp_path / "c.yaml")]) == 0
    out = capsys.readouterr().out
    assert "warning: projections[0].weight: " in out and said in out if said else "warning" not in out


@pytest.mark.parametrize(("given", "said"), [
    ("C_m: 0.25", "params.C_m: found 0.25 pF, which would be 250 pF if nF was meant"),
    ("g_L: 1.6e-8", "params.g_L: found 1.6e-08 nS, which would be 16 nS if S was meant"),
    ("V_th: {normal: [-0.052, 0.0001]}", "mV if V was meant"),
    ("V_th: -51.0, C_m: 20.0, E_in: -0.8, t_ref: 0.002, tau_syn_ex: 0.0002", ""),
])  # fmt: skip
def test_numbers_in_other_units_are_told(
    given: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches silence where a network would never fire, and warnings of what only is uncommon."""
    (tmp_path / "c.yaml").write_text(
        f"run: {{duration: 5.0}}\npopulations: {{E: {{model: iaf_cond_exp, size: 4, params: {{I_e: 1.0, {given}}}}}}}\n"
    )
    assert main(["check", str(tmp_path / "c.yaml")]) == 0
    captured = capsys.readouterr()
    assert "warning: populations.E." in captured.out and said in captured.out if said else "warning" not in captured.out


@pytest.mark.parametrize("command", ["check", "estimate"])
def test_a_wrong_experiment_is_one_line(command: str, repo_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, str(repo_root / "configs/balanced.yaml"), "--set", "run.sed=7"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert "did you mean 'seed'?" in captured.err


# ---- schema


def definitions(schema: Any) -> list[tuple[str, Any]]:
    """Every schema within a schema, with its place."""
    found: list[tuple[str, Any]] = []

    def walk(node: Any, place: str) -> None:
        if isinstance(node, dict):
            found.append((place, node))
            for key, value in node.items():
                walk(value, f"{place}/{key}")
        elif isinstance(node, list):
            for i, value in enumerate(node):
                walk(value, f"{place}/{i}")

    walk(schema, "#")
    return found


def test_the_schema_holds_together() -> None:
    schema = experiment_schema()
    assert schema["$schema"].startswith("http://json-schema.org/draft-07")
    for place, node in definitions(schema):
        if isinstance(node.get("$ref"), str):
            assert node["$ref"].removeprefix("#/definitions/") in schema["definitions"], place
            assert len(node) == 1, f"{place}: draft 7 reads nothing beside $ref"
        if isinstance(node.get("required"), list) and "properties" in node:
            assert set(node["required"]) <= set(node["properties"]), place
        assert {"type": "null"} not in node.get("anyOf", []) or "builder" in place or "then" in place, place


def test_every_key_is_described() -> None:
    schema = experiment_schema()
    described = {("Experiment", key): value for key, value in schema["properties"].items()}
    for name, definition in schema["definitions"].items():
        described |= {(name, key): value for key, value in definition.get("properties", {}).items()}
    assert set(described) == set(WORDS)
    assert all(value["description"] for value in described.values())
    # Times, rates and the like say their unit.
    for key in (("Run", "duration"), ("Run", "dt"), ("States", "interval"), ("Projection", "delay")):
        assert "ms" in described[key]["description"]
    of_poisson = next(e["then"] for e in schema["definitions"]["Input"]["allOf"] if "poisson" in str(e["if"]))
    assert "Hz" in of_poisson["properties"]["rate"]["description"]


def test_models_and_builders_are_in_it() -> None:
    definitions = experiment_schema()["definitions"]
    assert definitions["Population"]["properties"]["model"]["anyOf"][0]["enum"] == list(MODELS)
    by_model = {
        e["if"]["properties"]["model"]["const"]: e["then"]["properties"] for e in definitions["Population"]["allOf"]
    }
    parameters = by_model["iaf_psc_exp"]["params"]["properties"]
    assert parameters["C_m"]["description"] == "membrane capacitance (pF), default 250"
    assert set(by_model["iaf_psc_exp"]["initial"]["properties"]) == {"V_m", "I_syn_ex", "I_syn_in"}
    by_name = {e["if"]["properties"]["builder"]["const"]: e["then"] for e in definitions["Network"]["allOf"]}
    arguments = by_name["microcircuit"]["properties"]
    assert arguments["scale"]["type"] == "number" and arguments["scale"]["default"] == 1.0
    assert arguments["background"]["enum"] == ["poisson", "dc"]
    assert "Number of neurons relative" in arguments["scale"]["description"]
    assert by_name["microcircuit"]["additionalProperties"] is False


def test_shipped_experiments_conform(repo_root: Path) -> None:
    schema = experiment_schema()
    documents = {path.name: read_document(path) for path in sorted((repo_root / "configs").glob("*.yaml"))}
    assert documents
    if importlib.util.find_spec("jsonschema") is None:
        for name, document in documents.items():
            assert set(document) <= set(schema["properties"]), name
            assert set(document["run"]) <= set(schema["definitions"]["Run"]["properties"]), name
        return
    import jsonschema

    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    for name, document in documents.items():
        assert [e.message for e in validator.iter_errors(document)] == [], name
    wrong = [
        ("run", {"duration": 1.0, "sed": 1}), ("run", {"duration": -1.0}), ("network", {"builder": "microcircuits"}),
        ("network", {"builder": "microcircuit", "scal": 1.0}), ("populations", {"E": {"model": "iaf", "size": 1}}),
        ("populations", {"E": {"model": "iaf_psc_exp", "size": 1, "params": {"C": 1.0}}}), ("inputs", None),
    ]  # fmt: skip
    for key, value in wrong:
        document = {"run": {"duration": 1.0}, "populations": {"E": {"model": "iaf_psc_exp", "size": 1}}}
        if key == "network":
            del document["populations"]
        assert not validator.is_valid({**document, key: value}), (key, value)


def test_schema_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main(["schema", "--out", str(tmp_path / "schema.json")]) == 0
    assert json.loads((tmp_path / "schema.json").read_text()) == printed == experiment_schema()


# ---- info


def test_info_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    for name in ("distsim", "python", "packages", "MPI", "compiler", "flags", "kernel", "processor", "memory", "GPUs"):
        assert name in lines
    assert "numpy" in lines["packages"] and "-ffp-contract=off" in lines["flags"]


def test_info_survives_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> str:
        raise OSError("nothing\nthere")

    monkeypatch.setattr(info, "FINDERS", dict.fromkeys(info.FINDERS, broken))
    assert main(["info"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == len(info.FINDERS) and all("not found (OSError: nothing there)" in line for line in out)


def test_info_without_compiler_launcher_and_tools(tmp_path: Path) -> None:
    environment = {
        "PATH": str(tmp_path),
        "CXX": "no-such-compiler",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(Path(info.__file__).parents[2]),
    }
    done = subprocess.run([sys.executable, "-m", "distsim", "info"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stderr == ""
    assert "CXX=no-such-compiler, which is not there" in done.stdout


def test_info_does_not_start_mpi() -> None:
    code = (
        "from distsim.cli import main; main(['info']); from mpi4py import MPI; print('started', MPI.Is_initialized())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "started False"


# ---- what run shows


def run(repo_root: Path, out: Path, *arguments: str) -> int:
    return main(["run", str(repo_root / "configs/balanced.yaml"), "--out", str(out), *SHORT, *arguments])


def test_quiet_is_the_digest_alone(repo_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(repo_root, tmp_path / "out", "--quiet") == 0
    captured = capsys.readouterr()
    digest = json.loads((tmp_path / "out/summary.json").read_text())["spike_digest"]
    assert captured.out.count("\n") == 1 and captured.out.startswith(f"spike digest {digest} (")
    assert captured.err == ""


def test_quiet_still_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One weight is two quanta and a half of the plane that it shares with a large one."""
    (tmp_path / "c.yaml").write_text(
        "run: {duration: 1.0}\npopulations: {E: {model: iaf_psc_exp, size: 4}}\nprojections:\n"
        "  - {source: E, target: E, rule: all_to_all, weight: {uniform: [-1.0e-6, 1.0]}}\n"
        "  - {source: E, target: E, rule: all_to_all, weight: {normal: [0.0001, 0.5]}}\n"
    )
    assert main(["run", str(tmp_path / "c.yaml"), "-q", "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert captured.err.startswith("distsim: warning: projections[1]: weights are rounded by up to")


def test_progress_as_json(repo_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(repo_root, tmp_path / "out", "--progress", "json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all("phase" in line for line in lines)
    progress = [line for line in lines if line["phase"] == "simulate"]
    assert progress[-1]["done"] == progress[-1]["total"] == 20.0 and progress[-1]["realtime_factor"] > 0.0
    assert any(line["phase"] == "build" and "message" in line for line in lines)
    assert lines[-1]["phase"] == "done"
    assert lines[-1]["summary"] == json.loads((tmp_path / "out/summary.json").read_text())
    assert lines[-1]["directory"] == str(tmp_path / "out")


def test_a_log_of_the_rank(repo_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(repo_root, out, "--log-file", "-q") == 0
    text = (out / "log.rank0000.txt").read_text()
    for words in ("is rank 0 of 1", "2,000 neurons", "runs of", "steps 1 to 200", "simulated 20 ms", "done: digest"):
        assert words in text
    assert all(line[:4].isdigit() and (" INFO " in line or " DEBUG " in line) for line in text.splitlines())
    assert run(repo_root, out, "-q", "--overwrite") == 0
    assert not (out / "log.rank0000.txt").exists(), "a run that replaces results replaces their log"
    assert sorted(p.name for p in out.iterdir())[:2] == ["checksums.sha256", "experiment.yaml"]
    capsys.readouterr()


def test_levels_of_talk(repo_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for k, flags in enumerate(([], ["-v"], ["-vv"])):
        assert run(repo_root, tmp_path / str(k), *flags) == 0
        texts.append(capsys.readouterr().out)
    assert "[info]" not in texts[0]
    assert "[info] simulated 20 ms" in texts[1] and "[debug]" not in texts[1]
    assert "[debug] interval" in texts[2]
    assert texts[1].count("2,000 neurons on 1 rank") == 1, "each phase is told once"


@pytest.mark.parametrize("arguments", [["--progress", "xml"], ["--verbos"]])
def test_wrong_arguments(
    arguments: list[str], repo_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(repo_root, tmp_path / "out", *arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
