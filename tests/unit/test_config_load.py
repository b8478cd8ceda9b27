"""From files to experiments: both forms, overrides, files and their hashes, and the resolved document."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import distsim
from distsim.config import load_experiment, write_document
from distsim.config.edge_files import read_blocks
from distsim.config.tables import Table, read_column
from distsim.distributions import Listed, NormalClipped
from distsim.errors import ConfigError
from distsim.rules import AllToAll, Explicit, FixedIndegree, FixedTotalNumber, OneToOne, PairwiseBernoulli

FULL = """\
run: {duration: 100, exchange_interval: 0.5, precision: double}
populations:
  E:
    model: iaf_psc_exp
    size: 3
    params:
      C_m: {file: data/cells.csv, column: C_m}
      I_e: {uniform: [0, 300]}
      tau_m: {normal_clipped: {mean: 10, std: 1, min: 5}}
      E_L: [-70, -71.0, -72]
    initial: {V_m: {normal: {mean: -58, std: 10}}, I_syn_ex: {lognormal: [0, 1]}}
  I: {model: iaf_psc_exp, size: 3}
  P: {model: parrot_neuron, size: 3}
  stim: {model: spike_generator, size: 3, params: {spike_times: [10, 20.0]}}
inputs:
  noise: {type: poisson, targets: E, rate: 100, weight: -8, receptor: excitatory}
projections:
  - {source: stim, target: P, rule: one_to_one}
  - {source: P, target: [E, I], rule: all_to_all, weight: 2, delay: 1}
  - {source: P, target: E, rule: {all_to_all: {autapses: false}}}
  - source: [E, I]
    target: E
    rule: {fixed_indegree: 2}
    weight: {normal_clipped: [5, 1]}
    delay: {normal_clipped: [1.5, 1]}
  - {source: E, target: I, rule: {fixed_indegree: {indegree: 2, autapses: false}}, delay: {uniform: {low: 1, high: 2}}}
  - {source: E, target: I, rule: {fixed_total_number: 5}, receptor: inhibitory}
  - {source: E, target: I, rule: {fixed_total_number: {N: 6}}}
  - {source: E, target: I, rule: {pairwise_bernoulli: 0.5}}
  - {source: I, target: E, rule: {pairwise_bernoulli: {p: 1}}}
  - {source: I, target: E, rule: {explicit: {file: data/edges.csv}}}
record:
  spikes: [E, stim]
  states: {E: {variables: [V_m, I_syn_ex], interval: 0.5, neurons: [2, 0]}, I: {variables: [V_m]}}
"""
BUILDER = """\
from __future__ import annotations
from dataclasses import dataclass
from typing import Literal
import distsim

@dataclass
class Sizes:
    E: int = 4

def _hidden(): ...

def my_network(size: int, scale: float = 0.5, kind: Literal["a", "b"] = "a", label: str | None = None, extra=(1, 2)):
    if label == "fail":
        raise RuntimeError("two\\nlines")
    if label == "other":
        return 3
    net = distsim.Network("mine")
    net.population("E", size, "iaf_psc_exp", C_m=250.0 * scale)
    return net

def anything(**kwargs):
    net = distsim.Network()
    net.population("E", kwargs.get("n", 1), "parrot_neuron")
    return net
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "full.yaml").write_text(FULL)
    (tmp_path / "data" / "cells.csv").write_text("id, C_m ,type\n0,250,a\r\n1,2.6e2,b\n2, 270.5 ,c\n")
    edges = "target,source,delay,weight,receptor\n2,1,1.5,-4,inhibitory\n0,0,1,2,excitatory\n"
    (tmp_path / "data" / "edges.csv").write_text(edges)
    (tmp_path / "mine.py").write_text(BUILDER)
    (tmp_path / "built.yaml").write_text("network: {builder: 'mine.py:my_network', size: 5}\nrun: {duration: 10}\n")
    return tmp_path


def described(experiment: distsim.Experiment) -> dict[str, Any]:
    """Everything that an experiment says, to compare."""
    network = experiment.network
    keys = (
        "name",
        "populations",
        "projections",
        "inputs",
        "state_recordings",
        "spike_recording",
        "rate_recording",
        "connection_recording",
    )
    return {"run": experiment.run, **{key: getattr(network, key) for key in keys}}


def test_every_form_of_every_value(folder: Path) -> None:
    experiment = load_experiment(folder / "full.yaml").experiment
    network, run = experiment.network, experiment.run
    assert run == distsim.RunSettings(100.0, exchange_interval=0.5, precision="double")
    assert network.name == "full"
    params = network["E"].params
    assert params["C_m"] == Listed((250.0, 260.0, 270.5), f"{folder / 'data' / 'cells.csv'}:C_m")
    assert params["I_e"] == distsim.Uniform(0.0, 300.0)
    assert params["tau_m"] == NormalClipped(10.0, 1.0, 5.0, None)
    assert params["E_L"] == Listed((-70.0, -71.0, -72.0))
    assert network["E"].initial == {"V_m": distsim.Normal(-58.0, 10.0), "I_syn_ex": distsim.Lognormal(0.0, 1.0)}
    assert network["stim"].params["spike_times"] == ((10.0, 20.0),) * 3
    (noise,) = network.inputs
    assert (noise.name, noise.params["rate"], noise.weight, noise.receptor) == ("noise", 100.0, -8.0, "excitatory")
    rules = [p.rule for p in network.projections]
    assert rules[:9] == [
        OneToOne(), AllToAll(), AllToAll(False), FixedIndegree(2), FixedIndegree(2, False), FixedTotalNumber(5),
        FixedTotalNumber(6), PairwiseBernoulli(0.5), PairwiseBernoulli(1.0),
    ]  # fmt: skip
    assert rules[9] == Explicit((1, 0), (2, 0), (-4.0, 2.0), (1.5, 1.0), ("inhibitory", "excitatory"))
    assert network.projections[1].weight == 2.0 and type(network.projections[1].weight) is float
    assert network.projections[3].delay == NormalClipped(1.5, 1.0)
    assert network.projections[5].receptor == "inhibitory"
    assert [s.name for s in network.recorded_neurons()] == ["E", "stim"]
    assert [(r.variables, r.interval, r.selection.neurons) for r in network.state_recordings] == [
        (("V_m", "I_syn_ex"), 0.5, (0, 2)), (("V_m",), 1.0, None),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["full.yaml", "built.yaml"])
def test_the_resolved_document_gives_the_identical_experiment(folder: Path, tmp_path: Path, name: str) -> None:
    first = load_experiment(folder / name)
    elsewhere = folder / "results" / "deep"
    elsewhere.mkdir(parents=True)
    write_document(first.document, elsewhere / "experiment.yaml")
    again = load_experiment(elsewhere / "experiment.yaml")
    assert again.document == first.document
    assert described(again.experiment) == described(first.experiment)
    run = first.document["run"]
    assert run["seed"] == 1 and run["dt"] == 0.1 and run["partition"] == "block"
    # and it is plain YAML for everyone else
    assert yaml.safe_load((elsewhere / "experiment.yaml").read_text()) == first.document


def test_the_resolved_document_fills_in_defaults(folder: Path) -> None:
    document = load_experiment(folder / "full.yaml").document
    assert document["populations"]["I"]["params"]["V_th"] == -55.0
    assert document["populations"]["E"]["params"]["V_th"] == -55.0
    assert document["projections"][0]["weight"] == 1.0 and document["projections"][0]["delay"] == 1.0
    assert set(document["files"]) == {str(folder / "data" / f) for f in ("cells.csv", "edges.csv")}
    built = load_experiment(folder / "built.yaml").document
    path = str(folder / "mine.py")
    assert built["network"] == {"builder": f"{path}:my_network", "size": 5, "scale": 0.5, "kind": "a"}
    assert list(built["files"]) == [path] and built["name"] == "mine"


@pytest.mark.parametrize("changed", ["data/cells.csv", "data/edges.csv"])
def test_a_changed_file_is_named(folder: Path, changed: str) -> None:
    write_document(load_experiment(folder / "full.yaml").document, folder / "experiment.yaml")
    text = (folder / changed).read_text()
    (folder / changed).write_text(text + "\n")
    with pytest.raises(ConfigError, match="has changed since") as caught:
        load_experiment(folder / "experiment.yaml")
    assert str(folder / changed) in str(caught.value)
    (folder / changed).unlink()
    with pytest.raises(ConfigError, match="not found"):
        load_experiment(folder / "experiment.yaml")


def test_overrides(folder: Path) -> None:
    loaded = load_experiment(
        folder / "full.yaml",
        [
            "run.seed=7", "projections.1.weight={normal: [3, 1]}", "projections[2].delay=2.5", "populations.I.size=5",
            "populations.I.params.tau_m=20", "name=other", "record.states.I.interval=2",
        ],
    )  # fmt: skip
    network = loaded.experiment.network
    assert loaded.experiment.run.seed == 7 and loaded.document["run"]["seed"] == 7
    assert network.projections[1].weight == distsim.Normal(3.0, 1.0) and network.projections[2].delay == 2.5
    assert network["I"].size == 5 and network["I"].params["tau_m"] == 20.0 and network.name == "other"
    assert network.state_recordings[1].interval == 2.0


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("run.sed=7", "run.sed: unknown key 'sed'; did you mean 'seed'?"),
        ("rnu.seed=7", "rnu: unknown key 'rnu'; did you mean 'run'?"),
        ("populations.E2.size=7", "populations.E2: not in the file; did you mean 'E'?"),
        ("populations.E.params.tau=7", "unknown parameter of iaf_psc_exp; did you mean 'tau_m'?"),
        ("projections.99.weight=7", "found index '99'; allowed: an index from 0 to 9"),
        ("projections.x.weight=7", "found index 'x'"),
        ("run.duration.deep=7", "run.duration is no mapping or list; it has no 'deep'"),
        ("run.seed", "expected path=value"),
        ("=3", "expected path=value"),
        ("run..seed=3", "expected path=value"),
        ("run.seed=1.5", "run.seed: found 1.5; allowed: a whole number"),
        ("run.seed=", "run.seed: found null"),
        ("run.seed=010", "write 10"),
        ("run.seed=[1", "not valid YAML"),
        ("run.seed=&a 1", "anchors and aliases"),
        ("run.duration=0.05", "run.duration: found 0.05; allowed: a multiple of dt"),
        ("run.seed=x\ny", "run.seed"),
    ],
)
def test_wrong_overrides_name_themselves(folder: Path, override: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_experiment(folder / "full.yaml", [override])
    message = str(caught.value)
    assert message.startswith("--set ") and says in message and "\n" not in message, message


def test_an_error_that_an_override_did_not_cause_names_the_file(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"full\.yaml:1: run\.duration: found 100\.0; .* dt = 0\.3"):
        load_experiment(folder / "full.yaml", ["run.dt=0.3"])


def test_a_builder_of_ones_own(folder: Path) -> None:
    network = load_experiment(folder / "built.yaml", ["network.scale=1", "record={spikes: [E]}"]).experiment.network
    assert (
        network["E"].size == 5
        and network["E"].params["C_m"] == 250.0
        and [s.name for s in network.recorded_neurons()] == ["E"]
    )
    (folder / "any.yaml").write_text("network: {builder: mine.py:anything, n: 3}\nrun: {duration: 1}\nname: x\n")
    loaded = load_experiment(folder / "any.yaml")
    assert loaded.experiment.network.size == 3 and loaded.experiment.network.name == "x"


def test_a_published_builder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distsim import published

    def tiny(size: int = 2) -> distsim.Network:
        network = distsim.Network("tiny")
        network.population("A", size, "iaf_psc_exp")
        return network

    monkeypatch.setattr(published, "tiny", tiny, raising=False)
    monkeypatch.setattr(published, "__all__", ["tiny"], raising=False)
    (folder / "p.yaml").write_text("network: {builder: tiny}\nrun: {duration: 1}\n")
    loaded = load_experiment(folder / "p.yaml")
    assert loaded.document["network"] == {"builder": "tiny", "size": 2} and "files" not in loaded.document


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ("{builder: microcircit}", "network.builder: unknown builder 'microcircit'"),
        ("{builder: mine.py}", "is written my_file.py:my_network"),
        ("{builder: 'mine.py:'}", "network.builder"),
        ("{builder: 3}", "network.builder: found 3; allowed: text"),
        ("{size: 3}", "network.builder: missing"),
        ("{builder: 'nine.py:my_network'}", "did you mean 'mine.py'"),
        ("{builder: 'mine.py:my_net'}", "did you mean 'my_network'"),
        ("{builder: 'mine.py:my_network'}", "network.size: missing"),
        ("{builder: 'mine.py:my_network', size: 3, scal: 1}", "network.scal: unknown argument"),
        ("{builder: 'mine.py:my_network', size: 3.5}", "network.size: found 3.5; allowed: a whole number"),
        ("{builder: 'mine.py:my_network', size: true}", "network.size: found true"),
        ("{builder: 'mine.py:my_network', size: 3, scale: x}", "network.scale: found 'x'; allowed: a finite number"),
        ("{builder: 'mine.py:my_network', size: 3, scale: .inf}", "network.scale: found inf"),
        ("{builder: 'mine.py:my_network', size: 3, kind: c}", "network.kind: found 'c'; allowed: 'a' or 'b'"),
        ("{builder: 'mine.py:my_network', size: 3, label: 4}", "network.label: found 4; allowed: text or null"),
        ("{builder: 'mine.py:my_network', size: 3, label: fail}", "mine.py:14: two\\nlines"),
        ("{builder: 'mine.py:my_network', size: 3, label: other}", "returned int; expected a distsim.Network"),
        ("{builder: 'mine.py:my_network', size: 0}", "builder: mine.py:my_network: populations.E.size: found 0"),
        ("{builder: 'broken.py:f'}", "broken.py:2: SyntaxError"),
        ("{builder: 'raises.py:f'}", "raised ModuleNotFoundError"),
    ],
)
def test_wrong_builders_and_arguments(folder: Path, network: str, says: str) -> None:
    (folder / "broken.py").write_text("x = 1\ndef f(:\n")
    (folder / "raises.py").write_text("import no_such_module_anywhere\n")
    (folder / "b.yaml").write_text(f"network: {network}\nrun: {{duration: 1}}\n")
    with pytest.raises(ConfigError) as caught:
        load_experiment(folder / "b.yaml")
    message = str(caught.value)
    assert says in message and "\n" not in message and message.startswith(str(folder / "b.yaml")), message


def test_a_delay_from_a_builder_is_checked_against_dt(folder: Path) -> None:
    (folder / "d.py").write_text(
        "import distsim\ndef f():\n n = distsim.Network()\n p = n.population('A', 2, 'iaf_psc_exp')\n"
        " n.project(p, p, distsim.AllToAll(), delay=0.01)\n return n\n"
    )
    (folder / "d.yaml").write_text("network: {builder: 'd.py:f'}\nrun: {duration: 1}\n")
    with pytest.raises(ConfigError, match=r"network\.builder: projections\[0\]\.delay: found 0\.01"):
        load_experiment(folder / "d.yaml")


def test_the_fast_and_the_slow_reader_agree() -> None:
    names = ("in", "ex", " ex")
    lines = [f"{i % 97},{i * 7 % 89},{i * 0.37 - 5:.6g},{0.1 + i % 13 * 0.1!r},{names[i % 3]}" for i in range(500)]
    data = ("source,target,weight,delay,receptor\n" + "\n".join(lines) + "\n\n").encode()
    wanted: Any = {"source": "id", "target": "id", "weight": "number", "delay": "number", "receptor": "name"}
    table = Table(data, "t")
    fast, slow = table._fast(wanted), table._slow(wanted)
    assert fast is not None
    for name in wanted:
        assert list(fast[name]) == list(slow[name])
        assert name == "receptor" or fast[name].dtype == slow[name].dtype


def test_tables_that_are_unusual_but_right(tmp_path: Path) -> None:
    assert read_column(b"\xef\xbb\xbfx\n1\n\n2e0\n.5\n", "t", "x") == (1.0, 2.0, 0.5)
    assert read_column(b"x,y\n", "t", "x") == ()
    assert read_column(b"x,y\n1,2", "t", "y") == (2.0,)
    assert read_column("µ,x\nä,3\n".encode(), "t", "x") == (3.0,)
    long = "a_receptor_with_a_very_long_name"
    (tmp_path / "t").write_text(f"source,target,weight,delay,receptor\n0, 1 ,2,3, {long}\n")
    (block,) = read_blocks(str(tmp_path / "t"))
    assert block.edges.receptor.tolist() == [long] and block.edges.target.tolist() == [1]


def test_loading_imports_no_mpi_and_describing_no_pydantic(folder: Path) -> None:
    code = (
        "import sys; from distsim.config import load_experiment; assert 'pydantic' not in sys.modules;"
        f"load_experiment({str(folder / 'built.yaml')!r});"
        "assert not {'mpi4py.MPI', 'cupy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(distsim.__file__).parents[1])
