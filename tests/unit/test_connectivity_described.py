"""Rules and selections as they are described: what is impossible is refused with one line, what is possible is kept."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from readback import connectivity
from unit.test_connectivity import network

from distsim import (
    AllToAll,
    ConfigError,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    Gamma,
    Lognormal,
    Normal,
    OneToOne,
    PairwiseBernoulli,
    PairwisePoisson,
    SymmetricPairwiseBernoulli,
    UniformInt,
)
from distsim.config import load_experiment
from distsim.config.describe import described_document
from distsim.config.yaml_writer import dump_document
from distsim.selection import select

IMPOSSIBLE: list[tuple[Any, dict[str, Any], str, str]] = [
    (FixedIndegree(4, True, False), {"source": "A"}, "fixed_indegree.indegree", "at most 3 without multapses"),
    (
        FixedIndegree(3, False, False),
        {"source": "A", "target": "A"},
        "indegree",
        "at most 2 without multapses and auta",
    ),
    (FixedOutdegree(11, True, False), {"target": "B"}, "fixed_outdegree.outdegree", "at most 10 without multapses"),
    (FixedOutdegree(1, False), {"source": "D", "target": "D"}, "fixed_outdegree", "at least one allowed target"),
    (FixedIndegree(1, False), {"source": "D", "target": "D"}, "fixed_indegree", "at least one allowed source"),
    (FixedTotalNumber(31, True, False), {}, "fixed_total_number.N", "at most 30 without multapses"),
    (FixedTotalNumber(7, False, False), {"target": "A"}, "fixed_total_number.N", "at most 6 without multapses"),
    (FixedTotalNumber(1, False), {"source": "D", "target": "D"}, "fixed_total_number", "at least one allowed pair"),
    (FixedTotalNumber(-1), {}, "fixed_total_number.N", "a whole number"),
    (FixedOutdegree(2**31), {}, "outdegree", "2^31"),
    (FixedOutdegree(True), {}, "outdegree", "a whole number"),
    (FixedIndegree(2, 0), {}, "fixed_indegree.autapses", "true or false"),
    (PairwiseBernoulli(1.1), {}, "pairwise_bernoulli.p", "from 0 to 1"),
    (PairwisePoisson(-0.1), {}, "pairwise_avg_num_conns", "at least 0"),
    (PairwisePoisson(math.nan), {}, "pairwise_avg_num_conns", "at least 0"),
    (SymmetricPairwiseBernoulli(0.5), {}, "symmetric_pairwise_bernoulli", "the same neurons"),
    ("all_to_all", {}, "projections[0].rule", "a rule such as distsim.AllToAll()"),
    (AllToAll, {}, "projections[0].rule", "found 'AllToAll'"),
    (PairwiseBernoulli(None), {}, "pairwise_bernoulli.p", "found None; allowed: a number, or an expression"),
    (PairwisePoisson(True), {}, "pairwise_avg_num_conns", "found true; allowed: a number"),
    (AllToAll(), {"weight": {"normal": [1, 2]}}, "weight", "a number, a distribution, a list of numbers"),
    (AllToAll(), {"delay": Normal("1", 0.1)}, "delay: mean of Normal", "found '1'; allowed: a number"),
    (OneToOne(), {}, "one_to_one", "as many sources as targets"),
    (OneToOne(False), {"target": "A"}, "one_to_one.autapses", "every connection is an autapse"),
    (FixedIndegree(2), {"generate": "by_source"}, "generate", "by_target with the rule fixed_indegree"),
    (FixedOutdegree(2), {"generate": "by_target"}, "generate", "by_source with the rule fixed_outdegree"),
    (AllToAll(), {"generate": "by_hand"}, "generate", "by_target or by_source"),
    (AllToAll(), {"weight_bits": 5}, "weight_bits", "16, 8 or 4"),
    (FixedIndegree(2, True, False), {"weight": [1.0] * 20}, "weight", "a number or a distribution"),
    (FixedOutdegree(2), {"weight": [1.0] * 6}, "weight", "a number or a distribution"),
]


@pytest.mark.parametrize(("rule", "how", "key", "says"), IMPOSSIBLE, ids=[f"{x[2]}-{x[3][:20]}" for x in IMPOSSIBLE])
def test_impossible_rules_are_refused(rule: Any, how: dict[str, Any], key: str, says: str) -> None:
    net = network(3, 10, 5, 1)
    with pytest.raises(ConfigError) as error:
        net.project(**{"source": "A", "target": "B", "rule": rule, **how})
    message = str(error.value)
    assert message.startswith("projections[0].") and key in message and says in message and "\n" not in message


@pytest.mark.parametrize(("which", "says"), [
    ({"slice": [0, 11]}, "stop <= 10"), ({"slice": [5, 5]}, "start < stop"), ({"slice": [0, 5, 0]}, "step >= 1"),
    ({"slice": [0]}, "[start, stop]"), ({"slice": [0, 2.0]}, "whole numbers"), ({"neurons": []}, "0 to 9"),
    ({"neurons": [3, 10]}, "0 to 9"), ({"neurons": [3, 3]}, "ascending"), ({"neurons": [4, 3]}, "ascending"),
    ({"neurons": [True]}, "0 to 9"), ({"fraction": 0.0}, "above 0"), ({"fraction": 1.5}, "up to 1"),
    ({"fraction": math.nan}, "above 0"), ({"fraction": 0.01}, "at least one"),
    ({"slice": [0, 3], "fraction": 0.5}, "one of"),
    ({"draw": 1}, "beside fraction"), ({"fraction": 0.5, "draw": -1}, "from 0"),
])  # fmt: skip
def test_selections_that_select_nothing_known_are_refused(which: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=r"found .*allowed") as error:
        select(network(10)["A"], **which)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_numbers_of_numpy_are_numbers() -> None:
    """Catches numbers that come out of a calculation and are refused, or are written into a file as they print."""
    rules = [FixedIndegree(np.int64(2)), FixedOutdegree(np.uint8(2)), FixedTotalNumber(np.int32(2)),
             PairwiseBernoulli(np.float32(0.5)), PairwisePoisson(np.float64(0.5))]  # fmt: skip
    net = network(3, np.int64(10))
    for rule in rules:
        net.project("A", "B", rule, np.float32(2.0), np.int64(1))
    assert {type(v) for p in net.projections for v in vars(p.rule).values()} <= {int, float, bool, type(None)}
    assert {type(p.size) for p in net.populations} == {int}


def test_a_slice_of_one_neuron_has_no_step() -> None:
    assert select(network(10)["A"], slice=[2, 5, 10**30]) == select(network(10)["A"], slice=[2, 3])


def test_a_population_stands_once_on_a_side() -> None:
    net = network(10)
    with pytest.raises(ConfigError, match="stands twice"):
        net.project([net.select("A", slice=[0, 3]), net.select("A", slice=[5, 7])], "A", AllToAll())


FILE = """\
run: {duration: 1.0}
populations:
  E: {model: iaf_psc_exp, size: 20, params: {I_e: {gamma: {shape: 2, scale: 10, max: 90, bounds: clip}}}}
  I: {model: iaf_psc_exp, size: 10, params: {I_e: {uniform_int: [0, 5]}}}
projections:
  - {source: {population: E, slice: [0, 10, 3]}, target: [I, {population: E, fraction: 0.5, draw: 2}],
     rule: {fixed_outdegree: {outdegree: 3, multapses: false}}, weight: {exponential: 2.0}, delay: {uniform: [1, 2]}}
  - {source: [{population: I, neurons: [1, 4]}], target: E, rule: {pairwise_poisson: 0.5}, generate: by_source,
     weight: {normal: {mean: 5, std: 2, min: 1}}, weight_bits: 8, delay: 1.0}
  - {source: E, target: E, rule: {symmetric_pairwise_bernoulli: 0.1},
     weight: {lognormal: {mean: 1, std: 0.3, factor: -2}}}
  - {source: E, target: E, rule: {one_to_one: {autapses: true}}}
  - {source: E, target: I, rule: {fixed_total_number: {N: 30, autapses: false, multapses: false}}}
"""


def test_files_say_all_of_it_and_are_written_again(tmp_path: Path) -> None:
    """Catches a key that is read but not passed on, and a description that is written as something else."""
    (tmp_path / "net.yaml").write_text(FILE)
    first = load_experiment(tmp_path / "net.yaml").experiment
    sides = [[str(s) for s in side] for p in first.network.projections for side in (p.sources, p.targets)]
    assert sides[0] == ["E[0:10:3]"] and sides[1] == ["I", "E[0.5 of all]"] and sides[2] == ["I[2 listed]"]
    p = first.network.projections
    assert p[0].rule == FixedOutdegree(3, True, False) and p[1].by_source and p[1].weight_bits == 8
    assert p[1].weight == Normal(5.0, 2.0, min=1.0) and p[4].rule == FixedTotalNumber(30, False, False)
    assert first.network["E"].params["I_e"] == Gamma(2.0, 10.0, max=90.0, bounds="clip")
    assert p[2].weight == -2.0 * Lognormal(1.0, 0.3) == Lognormal(1.0, 0.3, factor=-2.0)
    assert first.network["I"].params["I_e"] == UniformInt(0, 5)
    (tmp_path / "again.yaml").write_text(dump_document(described_document(first, tmp_path)))
    again = load_experiment(tmp_path / "again.yaml").experiment
    for a, b in zip(first.network.projections, again.network.projections, strict=True):
        for field in dataclasses.fields(a):
            assert str(getattr(a, field.name)) == str(getattr(b, field.name)), field.name
    assert connectivity(first.network).same(connectivity(again.network))


@pytest.mark.parametrize(("old", "new", "says"), [
    ("slice: [0, 10, 3]", "slice: [0, 30, 3]", "projections[0].source.slice: found [0, 30, 3]"),
    ("fraction: 0.5", "fractoin: 0.5", "did you mean 'fraction'"),
    ("{population: E, fraction", "{population: X, fraction", "unknown population 'X'"),
    ("weight_bits: 8", "receptor: 1.5", "found 1.5; allowed: the name of a receptor, or its number"),
    ("neurons: [1, 4]", "neurons: [4, 1]", "ascending order"),
    ("{pairwise_poisson: 0.5}", "{pairwise_poisson: {pairwise_avg_num_conns: 1, multapses: false}}",
     "can be above one"),
    ("{symmetric_pairwise_bernoulli: 0.1}", "{symmetric_pairwise_bernoulli: {p: 0.1, autapses: false}}",
     "no key autapses"),
    ("{one_to_one: {autapses: true}}", "{one_to_one: {multapses: true}}", "no key multapses"),
    ("{one_to_one: {autapses: true}}", "{one_to_one: {autapses: false}}", "every connection is an autapse"),
    ("weight_bits: 8", "weight_bits: 7", "allowed: 16, 8 or 4"),
    ("generate: by_source", "generate: by_row", "allowed: by_target, by_source"),
    ("outdegree: 3,", "outdegree: 30,", "at most 20 without multapses"),
    ("{normal: {mean: 5, std: 2, min: 1}}", "{normal: {mean: 5, std: 2, min: 1, max: 0}}", "min < max"),
    ("{normal: {mean: 5, std: 2, min: 1}}", "{normal: {mean: 5, std: 2, min: 100}}", "or bounds: clip"),
    ("{exponential: 2.0}", "{exponential: -2.0}", "beta > 0"),
    ("{uniform_int: [0, 5]}", "{uniform_int: [5, 0]}", "low <= high"),
    ("shape: 2,", "shape: 0.01,", "0.05 <= shape"),
    ("{uniform: [1, 2]}", "{exponential: 2.0}", "delays of at least dt"),
])  # fmt: skip
def test_wrong_keys_are_named(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in FILE
    (tmp_path / "net.yaml").write_text(FILE.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        load_experiment(tmp_path / "net.yaml")
    assert says in str(error.value) and "\n" not in str(error.value), str(error.value)
