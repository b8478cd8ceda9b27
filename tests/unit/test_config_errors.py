"""Every wrong experiment file ends with one line that names the key, what was found and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from distsim.config import load_experiment, schema
from distsim.errors import ConfigError
from distsim.nest_names import KEYS

GOOD = """\
name: small
run: {duration: 100.0, warmup: 10.0, dt: 0.1, seed: 1}
populations:
  E: {model: iaf_psc_exp, size: 8, params: {C_m: 250.0}, initial: {V_m: {normal: [-58.0, 1.0]}}}
  I: {model: iaf_psc_exp, size: 4}
  stim: {model: spike_generator, size: 2, params: {spike_times: [[10.0, 20.0], [15.0]]}}
inputs:
  background: {type: poisson, targets: [E, I], rate: 16000.0, weight: 87.8}
projections:
  - {source: E, target: [E, I], rule: {fixed_indegree: 2}, weight: {normal: [87.8, 8.8]}, delay: 1.5}
  - {source: I, target: E, rule: {pairwise_bernoulli: {p: 0.1}}, weight: -351.2, delay: 0.8}
  - {source: E, target: E, rule: {explicit: {file: edges.csv}}}
record:
  spikes: all
  states: {E: {variables: [V_m], interval: 1.0, neurons: [0, 1]}}
"""
EDGES = "source,target,weight,delay\n0,1,2.0,1.0\n1,2,2.0,1.5\n"

# (what stands in GOOD, what is there instead, the key that the message names, what else it says)
WRONG: list[tuple[str, str, str, str]] = [
    # unknown keys, with the nearest
    ("warmup:", "warmpu:", "run.warmpu", "did you mean 'warmup'"),
    ("run:", "rnu:", "rnu", "did you mean 'run'"),
    ("size: 8", "sise: 8", "populations.E.sise", "did you mean 'size'"),
    ("iaf_psc_exp, size: 8", "iaf_psc, size: 8", "populations.E.model", "did you mean 'iaf_psc_exp'"),  # not glif_psc
    ("params: {C_m", "params: {C_M", "populations.E.params.C_M", "did you mean 'C_m'"),
    ("initial: {V_m", "initial: {V_n", "populations.E.initial.V_n", "did you mean 'V_m'"),
    ("rate:", "raet:", "inputs.background.raet", "did you mean 'rate'"),
    ("target: [E", "targets: [E", "projections[0].targets", "did you mean 'target'"),
    ("{p: 0.1}", "{q: 0.1}", "projections[1].rule.pairwise_bernoulli.q", "allowed: autapses, mask, p"),
    ("{p: 0.1}", "{p: 0.1, autapse: false}", "projections[1].rule.pairwise_bernoulli.autapse", "'autapses'"),
    ("{normal: [87.8", "{nornal: [87.8", "projections[0].weight.nornal", "did you mean 'normal'"),
    ("{fixed_indegree: 2}", "{fixed_in_degree: 2}", "projections[0].rule.fixed_in_degree", "'fixed_indegree'"),
    ("interval:", "intervall:", "record.states.E.intervall", "did you mean 'interval'"),
    ("explicit: {file", "explicit: {fil", "projections[2].rule.explicit.fil", "did you mean 'file'"),
    (
        "{normal: [-58.0, 1.0]}",
        "{normal: {mean: 1, sd: 2}}",
        "populations.E.initial.V_m.normal.sd",
        "did you mean 'std'",
    ),
    # in the wrong place
    ("seed: 1}", "seed: 1}\nduration: 3.0", "duration", "it stands under run: run.duration"),
    ("size: 4}", "size: 4, C_m: 2.0}", "populations.I.C_m", "under params: populations.I.params.C_m"),
    ("size: 4}", "size: 4, V_m: 2.0}", "populations.I.V_m", "under initial: populations.I.initial.V_m"),
    ("targets: [E", "target: [E", "inputs.background.targets", "missing; found 'target' in its place"),
    # in the words of other simulators
    ("warmup:", "resolution:", "run.resolution", "it is called 'dt' here"),
    ("seed: 1}", "seed: 1, local_num_threads: 4}", "run.local_num_threads", "launch/run -n RANKS"),
    ("size: 8", "n: 8", "populations.E.n", "it is called 'size' here"),
    ("rule: {fixed_indegree: 2}", "conn_spec: all_to_all", "projections[0].conn_spec", "it is called 'rule' here"),
    ("delay: 0.8", "synapse_model: stdp_synapse", "projections[1].synapse_model", "synapses are static"),
    ("variables:", "record_from:", "record.states.E.record_from", "it is called 'variables' here"),
    # missing keys
    ("duration: 100.0, ", "", "run.duration", "missing"),
    ("size: 8, ", "", "populations.E.size", "missing"),
    ("model: iaf_psc_exp, size: 8", "size: 8", "populations.E.model", "missing"),
    ("rule: {fixed_indegree: 2}, ", "", "projections[0].rule", "missing"),
    (", rate: 16000.0", "", "inputs.background.rate", "missing"),
    ("{normal: [-58.0, 1.0]}", "{normal: {mean: 1}}", "populations.E.initial.V_m.normal.std", "missing"),
    ("{fixed_indegree: 2}", "{fixed_indegree: {autapses: true}}", "rule.fixed_indegree.indegree", "missing"),
    ("variables: [V_m], ", "", "record.states.E.variables", "missing"),
    # wrong types
    ("duration: 100.0", "duration: '100'", "run.duration", "found '100'; allowed: a number"),
    ("duration: 100.0", "duration: 100 ms", "run.duration", "found '100 ms'; allowed: a number; without its unit"),
    ("C_m: 250.0", "C_m: 250 pF", "populations.E.params.C_m", "without its unit"),
    (
        "weight: -351.2",
        "weight: -351.2 pA",
        "projections[1].weight",
        "such as 10.0 * exp(-distance / 0.3); without its unit",
    ),
    ("weight: -351.2", "weight: '-351.2'", "projections[1].weight", "allowed: a number without quotes"),
    ("weight: -351.2", "weight: strong", "projections[1].weight", "unknown name 'strong' in an expression"),
    ("spikes: all", "connections: true", "record.connections", "a list of indices of projections such as [0, 2]"),
    ("duration: 100.0", "duration: [100]", "run.duration", "allowed: a number"),
    ("duration: 100.0", "duration: true", "run.duration", "found true; allowed: a number"),
    ("duration: 100.0", "duration: yes", "run.duration", "found 'yes'; allowed: a number"),
    ("seed: 1", "seed: true", "run.seed", "found true; allowed: a whole number"),
    ("seed: 1", "seed: 1.0", "run.seed", "found 1.0; allowed: a whole number"),
    ("seed: 1", "seed: '1'", "run.seed", "allowed: a whole number"),
    ("size: 8", "size: true", "populations.E.size", "found true"),
    ("size: 8", "size: 8.5", "populations.E.size", "found 8.5; allowed: a whole number"),
    ("size: 8", "size: 1e1", "populations.E.size", "allowed: a whole number"),
    ("{fixed_indegree: 2}", "{fixed_indegree: 2.5}", "projections[0].rule.fixed_indegree", "found 2.5"),
    ("{fixed_indegree: 2}", "{fixed_indegree: true}", "projections[0].rule.fixed_indegree", "found true"),
    ("{fixed_indegree: 2}", "{fixed_indegree: {indegree: x}}", "rule.fixed_indegree.indegree", "found 'x'"),
    ("{fixed_indegree: 2}", "{fixed_total_number: 2.5}", "projections[0].rule.fixed_total_number", "found 2.5"),
    ("{p: 0.1}", "{p: 0.1, autapses: 1}", "pairwise_bernoulli.autapses", "found 1; allowed: true or false"),
    ("model: iaf_psc_exp, size: 8", "model: 3, size: 8", "populations.E.model", "allowed: text"),
    ("C_m: 250.0", "C_m: big", "populations.E.params.C_m", "found 'big'; allowed: a number, {uniform"),
    ("C_m: 250.0", "C_m: true", "populations.E.params.C_m", "found true; allowed: a number, a distribution"),
    ("C_m: 250.0", "C_m: {}", "populations.E.params.C_m", "allowed: a number, {uniform"),
    ("C_m: 250.0", "C_m: {uniform: [1, x]}", "populations.E.params.C_m.uniform", "found 'x'"),
    ("C_m: 250.0", "C_m: {uniform: [1, 2, 3]}", "populations.E.params.C_m.uniform", "allowed: [low, high]"),
    ("C_m: 250.0", "C_m: {uniform: 3}", "populations.E.params.C_m.uniform", "found 3"),
    ("C_m: 250.0", "C_m: [1, 2, x, 4, 5, 6, 7, 8]", "populations.E.params.C_m[2]", "found 'x'"),
    ("C_m: 250.0", "C_m: [[1.0]]", "populations.E.params.C_m", "found [[1.0]]"),
    ("C_m: 250.0", "C_m: [1, 2]", "populations.E.params.C_m", "each of 8 neurons"),
    ("params: {C_m: 250.0}", "params: [1]", "populations.E.params", "allowed: a mapping"),
    ("target: [E, I]", "target: 3", "projections[0].target", "the name of a population, or a list of names"),
    ("target: [E, I]", "target: [E, 3]", "projections[0].target[1]", "found 3; allowed: text"),
    ("spikes: all", "spikes: E", "record.spikes", "found 'E'; allowed: all, or a list"),
    ("neurons: [0, 1]", "neurons: [0, 1.5]", "record.states.E.neurons[1]", "found 1.5"),
    ("spike_times: [[10.0, 20.0], [15.0]]", "spike_times: 5.0", "populations.stim.params.spike_times", "a list of"),
    ("spike_times: [[10.0, 20.0], [15.0]]", "spike_times: {uniform: [1, 2]}", "stim.params.spike_times", "a list of"),
    # null
    ("seed: 1", "seed: null", "run.seed", "found null"),
    ("seed: 1", "exchange_interval: ~", "run.exchange_interval", "found null; allowed: a value"),
    ("size: 8", "size:", "populations.E.size", "found null"),
    ("C_m: 250.0", "C_m: null", "populations.E.params.C_m", "found null; allowed: a number"),
    ("delay: 0.8", "delay: null", "projections[1].delay", "found null"),
    # NaN and infinity
    ("duration: 100.0", "duration: .nan", "run.duration", "found nan; allowed: a finite number"),
    ("duration: 100.0", "duration: .inf", "run.duration", "found inf; allowed: a finite number"),
    ("duration: 100.0", "duration: 1e999", "run.duration", "found inf"),
    ("weight: -351.2", "weight: -.inf", "projections[1].weight", "found -inf"),
    ("C_m: 250.0", "C_m: .nan", "populations.E.params.C_m", "found nan"),
    ("{normal: [87.8, 8.8]}", "{normal: [87.8, .inf]}", "projections[0].weight.normal", "found inf"),
    ("rate: 16000.0", "rate: .nan", "inputs.background.rate", "found nan"),
    # out of range
    ("size: 8", "size: 0", "populations.E.size", "found 0; allowed: a whole number from 1"),
    ("size: 8", "size: -8", "populations.E.size", "found -8"),
    ("seed: 1", "seed: -1", "run.seed", "found -1"),
    ("seed: 1", "seed: 4294967296", "run.seed", "found 4294967296"),
    ("dt: 0.1", "dt: 0", "run.dt", "found 0.0"),
    ("dt: 0.1", "dt: -0.1", "run.dt", "found -0.1"),
    ("duration: 100.0", "duration: -100.0", "run.duration", "found -100.0"),
    ("duration: 100.0", "duration: 100.05", "run.duration", "a multiple of dt = 0.1"),
    ("warmup: 10.0", "warmup: 0.01", "run.warmup", "a multiple of dt"),
    ("seed: 1", "exchange_interval: 0.0", "run.exchange_interval", "at least dt"),
    ("seed: 1", "precision: half", "run.precision", "found 'half'; allowed: single, double"),
    ("seed: 1", "precision: 1", "run.precision", "found 1; allowed: single or double"),
    ("seed: 1", "partition: random", "run.partition", "round_robin"),
    ("rate: 16000.0", "rate: -1", "inputs.background.rate", "found -1.0"),
    ("type: poisson", "type: poison", "inputs.background.type", "unknown input 'poison'; did you mean 'poisson'?"),
    ("{p: 0.1}", "{p: 1.5}", "projections[1].rule.pairwise_bernoulli.p", "found 1.5; allowed: a probability"),
    ("{p: 0.1}", "-0.1", "projections[1].rule.pairwise_bernoulli:", "found -0.1; allowed: a probability"),
    ("{fixed_indegree: 2}", "{fixed_indegree: -2}", "projections[0].rule.fixed_indegree:", "found -2"),
    ("{fixed_indegree: 2}", "{fixed_indegree: {indegree: -2}}", "rule.fixed_indegree.indegree:", "found -2"),
    ("{fixed_indegree: 2}", "one_to_one", "projections[0].rule:", "as many sources as targets"),
    ("delay: 0.8", "delay: 0.01", "projections[1].delay", "found 0.01; allowed: delays of at least dt"),
    ("delay: 0.8", "delay: 0", "projections[1].delay", "at least dt"),
    ("delay: 0.8", "delay: {normal: [1.0, 1.0]}", "projections[1].delay", "clip the distribution"),
    ("delay: 0.8", "delay: 99999.0", "projections[1].delay", "at most 32768 steps"),
    ("{normal: [87.8, 8.8]}", "{normal: [87.8, -8.8]}", "projections[0].weight", "std >= 0"),
    ("{normal: [87.8, 8.8]}", "{uniform: [2, 1]}", "projections[0].weight", "low < high"),
    ("C_m: 250.0", "C_m: 0.0", "populations.E.params.C_m", "numbers > 0"),
    ("C_m: 250.0", "tau_m: 0.0", "populations.E.params.tau_m", "numbers > 0"),
    ("C_m: 250.0", "tau_syn_ex: -2", "populations.E.params.tau_syn_ex", "numbers > 0"),
    ("C_m: 250.0", "t_ref: -2", "populations.E.params.t_ref", "numbers >= 0"),
    ("C_m: 250.0", "V_reset: -50.0", "populations.E.params.V_reset", "less than V_th = -55"),
    ("[15.0]", "[15.05]", "populations.stim.params.spike_times[1]", "on the grid"),
    ("[10.0, 20.0]", "[20.0, 10.0]", "populations.stim.params.spike_times[0]", "ascending"),
    ("[[10.0, 20.0], [15.0]]", "[[10.0]]", "populations.stim.params.spike_times", "each of 2 neurons"),
    ("interval: 1.0", "interval: 0.25", "record.states.E.interval", "a multiple of dt"),
    ("neurons: [0, 1]", "neurons: [0, 8]", "record.states.E.neurons", "local ids from 0 to 7"),
    ("neurons: [0, 1]", "neurons: [1, 1]", "record.states.E.neurons", "each once"),
    # unknown names
    ("model: iaf_psc_exp, size: 8", "model: iaf_psc_ex, size: 8", "populations.E.model", "did you mean 'iaf_psc_exp'"),
    ("source: I", "source: stm", "projections[1].source", "did you mean 'stim'"),
    ("target: [E, I]", "target: [E, X]", "projections[0].target[1]", "unknown population 'X'; allowed: E, I, stim"),
    ("target: [E, I]", "target: [E, E]", "projections[0].target[1]", "stands twice"),
    ("target: [E, I]", "target: []", "projections[0].target", "allowed: the name of a population"),
    ("target: [E, I]", "target: stim", "projections[0].target", "takes no input"),
    ("targets: [E, I]", "targets: [E, J]", "inputs.background.targets[1]", "unknown population 'J'"),
    ("spikes: all", "spikes: [E, J]", "record.spikes[1]", "unknown population 'J'"),
    ("states: {E:", "states: {J:", "record.states.J", "unknown population 'J'"),
    ("variables: [V_m]", "variables: [V_n]", "record.states.E.variables", "did you mean 'V_m'"),
    ("variables: [V_m]", "variables: []", "record.states.E.variables", "at least one"),
    ("{fixed_indegree: 2}", "all_to_al", "projections[0].rule", "did you mean 'all_to_all'"),
    ("{fixed_indegree: 2}", "fixed_indegree", "projections[0].rule", "with its arguments"),
    ("{fixed_indegree: 2}", "3", "projections[0].rule", "found 3; allowed: a rule"),
    ("delay: 0.8", "delay: 0.8, receptor: exitatory", "projections[1].receptor", "did you mean 'excitatory'"),
    ("{explicit: {file: edges.csv}}", "{explicit: {file: edge.csv}}", "rule.explicit.file", "did you mean 'edges.csv'"),
    ("{explicit: {file: edges.csv}}", "{explicit: {file: no/e.csv}}", "rule.explicit.file", "there is no folder"),
    ("{file: edges.csv}}", "{file: edges.csv}}, weight: 1.0", "projections[2].weight", "its file has a column weight"),
    ("{file: edges.csv}}", "{file: edges.csv}}, delay: 1.0", "projections[2].delay", "its file has a column delay"),
    ("C_m: 250.0", "C_m: {file: edges.csv, column: wight}", "populations.E.params.C_m", "did you mean 'weight'"),
    ("C_m: 250.0", "C_m: {file: edges.csv, column: weight}", "populations.E.params.C_m", "each of 8 neurons"),
    # YAML itself
    ("  I: {model", "  E: {model", ":5:3", "duplicate key 'E'"),
    ("seed: 1}", "seed: 1, seed: 2}", ":2:", "duplicate key 'seed'"),
    ("  I: {", "\tI: {", ":5:1", "tab"),
    ("  I: {", "  I: &a {", ":5:6", "anchors and aliases"),
    ("  I: {", "  I: !x {", ":5:6", "tags are not allowed"),
    ("record:", "---\nrecord:", ":13:1", "second document"),
    ("seed: 1}", "seed: 1", ":3:", "not valid YAML"),
    ("seed: 1", "seed: 010", ":2:", "write 10"),
    ("{fixed_indegree: 2}", "{fixed_indegree:2}", ":10:", "space after the colon"),
    # the two forms
    ("name: small", "network: {builder: microcircuit}", "populations", "not allowed beside network.builder"),
]


def _message(folder: Path, text: str, *overrides: str, edges: str = EDGES) -> str:
    path = folder / "small.yaml"
    path.write_text(text, encoding="utf-8")
    (folder / "edges.csv").write_text(edges, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_experiment(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_good_one_is_good(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(GOOD)
    (tmp_path / "edges.csv").write_text(EDGES)
    assert load_experiment(tmp_path / "small.yaml").experiment.network.size == 14


@pytest.mark.parametrize(("old", "new", "key", "says"), WRONG, ids=[f"{w[2]}-{w[1][:30]}" for w in WRONG])
def test_one_line_names_the_key_and_the_way_out(tmp_path: Path, old: str, new: str, key: str, says: str) -> None:
    assert old in GOOD
    message = _message(tmp_path, GOOD.replace(old, new, 1))
    assert message.startswith(str(tmp_path / "small.yaml")) and key in message and says in message, message


@pytest.mark.parametrize(
    ("edges", "line", "says"),
    [
        ("source,target,weight,delay\n0,1,2.0,1.0\n0,1,x,1.0\n", 3, "weight: found 'x'"),
        ("source,target,weight,delay\n0,1,2.0,1.0\n\n0,1.5,2.0,1.0\n", 4, "target: found '1.5'"),
        ("source,target,weight,delay\n0,-1,2.0,1.0\n", 2, "target: found '-1'"),
        ("source,target,weight,delay\n0,1,nan,1.0\n", 2, "weight: found 'nan'"),
        ("source,target,weight,delay\n0,1,2.0\n", 2, "found 3 fields; expected 4"),
        ("source,target,weight,delay\n0,1,2.0,1.0\n0,1,2.0,1.0,7\n", 3, "found 5 fields; expected 4"),
        ("source,target,weight\n0,1,2.0\n", 1, "no column 'delay'"),
        ("source,target,weight,dealy\n0,1,2.0,1.0\n", 1, "did you mean 'dealy'"),
        ("source,target,weight,delay,recptor\n", 1, "unknown column 'recptor'; did you mean 'receptor'"),
        ("source,target,weight,delay,delay\n", 1, "stands twice"),
        ("", 1, "empty"),
        ("source,target,weight,delay\n0,1,2.0,1.0\n\n8,1,2.0,1.0\n", 4, "source: found 8; allowed: ids from 0 to 7"),
        ("source,target,weight,delay\n0,9,2.0,1.0\n", 2, "target: found 9"),
        ("source,target,weight,delay\n0,1,2.0,0.04\n", 2, "delay: found 0.04; allowed: delays of at least dt"),
        ("source,target,weight,delay\n0,1,2.0,1e6\n", 2, "delay: found 1000000.0; allowed: delays of at most"),
        ("source,target,weight,delay,receptor\n0,1,2.0,1,excitatory\n0,1,2.0,1,exitatory\n", 3, "'excitatory'"),
    ],
)
def test_a_malformed_edge_file_names_key_file_and_line(tmp_path: Path, edges: str, line: int, says: str) -> None:
    message = _message(tmp_path, GOOD, edges=edges)
    place = f"projections[2].rule.explicit.file: {tmp_path / 'edges.csv'}:{line}:"
    assert place in message and says in message, message


def test_the_line_of_the_file_and_how_many_more(tmp_path: Path) -> None:
    text = GOOD.replace("size: 8", "size: 8.5").replace("seed: 1", "seed: x").replace("rate: 16000.0", "rate: y")
    message = _message(tmp_path, text)
    assert message.startswith(f"{tmp_path / 'small.yaml'}:2: run.seed: found 'x'") and message.endswith("(and 2 more)")
    message = _message(tmp_path, GOOD.replace("weight: -351.2", "weight: .inf"))
    assert message.startswith(f"{tmp_path / 'small.yaml'}:11: projections[1].weight: found inf")


def test_names_with_dots_and_line_breaks_stay_one_line(tmp_path: Path) -> None:
    text = GOOD.replace("  I: {model: iaf_psc_exp", '  "L2.3\\nI": {model: nothing')
    message = _message(tmp_path, text)
    assert ":5: populations.L2.3\\nI.model: unknown model 'nothing'" in message


def test_invalid_utf8(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(GOOD.encode() + b"# \xff\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml:16:3: byte 0xff"):
        load_experiment(path)


def test_no_network_at_all(tmp_path: Path) -> None:
    assert "populations: missing" in _message(tmp_path, "run: {duration: 1}\n")
    assert "populations: missing" in _message(tmp_path, "run: {duration: 1}\npopulations: {}\n")


def test_words_that_are_offered_instead_are_keys() -> None:
    forms = {"run": [schema.RunSpec], "populations": [schema.PopulationSpec], "projections": [schema.ProjectionSpec],
             "record": [schema.RecordSpec, schema.StatesSpec]}  # fmt: skip
    assert forms.keys() == KEYS.keys()
    for section, words in KEYS.items():
        valid = {key for form in forms[section] for key in form.model_fields}
        assert set(words.values()) <= valid and not set(words) & valid
