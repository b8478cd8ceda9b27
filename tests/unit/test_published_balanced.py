"""The balanced network: one rate and irregular firing whatever the size and the in-degree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distsim
from distsim import ConfigError, FixedIndegree, NormalClipped
from distsim.analysis.statistics import cv_isi, fano_factor
from distsim.config import load_experiment
from distsim.published import balanced

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("neurons", "in_degree"), [(1500, 1000), (6000, 1000), (3000, 100), (3000, 4000)])
def test_rate_and_irregularity_do_not_depend_on_size_or_in_degree(neurons: int, in_degree: int) -> None:
    found = distsim.simulate(balanced(neurons, in_degree), 800.0, warmup=200.0, seed=1)
    times, ids = found.spikes["E"]
    assert 6.0 < found.rates["E"] < 9.5 and 6.0 < found.rates["I"] < 9.5
    # Intervals longer than the window are missed, which pulls the CV down; a regular neuron has less than 0.2.
    assert 0.5 < float(np.mean(cv_isi(times, ids))) < 1.1
    assert fano_factor(times, 200.0, 1000.0) < 60.0  # full synchrony would give thousands


def test_description() -> None:
    network = balanced(10000, 1000)
    assert [(p.name, p.size) for p in network.populations] == [("E", 8000), ("I", 2000)]
    assert [p.rule for p in network.projections] == [FixedIndegree(800), FixedIndegree(200)]
    weights = [p.weight for p in network.projections]
    assert all(isinstance(w, NormalClipped) for w in weights)
    assert [w.mean for w in weights] == pytest.approx([87.8, -8 * 87.8])  # type: ignore[union-attr]


def test_weights_go_with_the_root_of_the_in_degree() -> None:
    thin, thick = balanced(100, 250), balanced(100, 4000)
    assert thin.inputs[0].weight == pytest.approx(4.0 * thick.inputs[0].weight)
    assert [p.rule for p in thick.projections] == [FixedIndegree(3200), FixedIndegree(800)]


@pytest.mark.parametrize("neurons", [5, 13, 10**9])
def test_any_size(neurons: int) -> None:
    network = balanced(neurons)
    assert network.size == neurons and network["I"].size == neurons // 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"neurons": 4}, "network.neurons: found 4; allowed: a whole number from 5 on"),
        ({"neurons": 1e4}, "network.neurons: found 10000.0"),
        ({"neurons": True}, "network.neurons"),
        ({"in_degree": 0}, "network.in_degree: found 0; allowed: a whole number from 50 on"),
        ({"in_degree": 2**50}, "network.in_degree"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        balanced(**arguments)
    assert says in str(caught.value)


def test_shipped_config() -> None:
    loaded = load_experiment(ROOT / "configs/benchmark.yaml", ["network.neurons=500"])
    assert loaded.experiment.network.size == 500 and loaded.experiment.run.duration == 1000.0
