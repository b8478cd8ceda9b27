"""The microcircuit's description against the numbers of the reference implementation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from distsim.distributions import NormalClipped
from distsim.errors import ConfigError
from distsim.network import Network
from distsim.published import __all__ as published_names
from distsim.published import microcircuit
from distsim.published.microcircuit_tables import FULL_SIZES, POPULATIONS, derive
from distsim.rules import FixedTotalNumber

ROOT = Path(__file__).parents[2]
REFERENCE: dict[str, Any] = json.loads((ROOT / "tests/reference/microcircuit_derived.json").read_text())
# The reference computes in double precision with sums of eight terms that partly cancel: 1e-9 leaves room.
RELATIVE = 1e-9


@pytest.fixture(scope="module")
def tenth() -> Network:
    return microcircuit(0.1)


@pytest.mark.parametrize("background", ["poisson", "dc"])
def test_derived_numbers_are_those_of_the_reference(background: Literal["poisson", "dc"]) -> None:
    expected = REFERENCE[background]
    derived = derive(0.1, 0.1, background == "poisson")
    assert list(derived.sizes) == expected["num_neurons"]
    assert [list(row) for row in derived.synapses] == expected["num_synapses"]
    assert list(derived.external_in_degrees) == expected["ext_indegrees"]
    assert derived.external_weight == pytest.approx(expected["weight_ext_pA"], rel=RELATIVE)
    assert list(derived.currents) == pytest.approx(expected["DC_amp_pA"], rel=RELATIVE)
    for row, expected_row in zip(derived.weights, expected["weights_mean_pA"], strict=True):
        assert list(row) == pytest.approx(expected_row, rel=RELATIVE)


def test_full_scale_is_the_published_network() -> None:
    derived = derive(1.0, 1.0, True)
    assert derived.sizes == FULL_SIZES
    assert sum(derived.sizes) == 77169
    assert sum(map(sum, derived.synapses)) == 298880968  # pinned: the same on every machine
    assert derived.currents == (0.0,) * 8
    assert derived.external_weight == pytest.approx(87.80849353, rel=1e-9)


def test_scales_are_independent() -> None:
    derived = derive(0.2, 0.5, True)
    full = derive(1.0, 1.0, True)
    assert derived.synapses[0][0] == pytest.approx(0.1 * full.synapses[0][0], abs=1.0)
    assert derived.weights[0][0] == pytest.approx(full.weights[0][0] / 0.5**0.5, rel=1e-12)
    assert derived.external_in_degrees[0] == 800


def test_description(tenth: Network) -> None:
    assert [p.name for p in tenth.populations] == list(POPULATIONS)
    expected = REFERENCE["poisson"]
    pairs = [(t, s) for t in range(8) for s in range(8) if expected["num_synapses"][t][s]]
    assert len(tenth.projections) == len(pairs) == 55
    for projection, (t, s) in zip(tenth.projections, pairs, strict=True):
        assert [side.population for side in projection.sources] == [tenth.populations[s]]
        assert [side.population for side in projection.targets] == [tenth.populations[t]]
        assert projection.rule == FixedTotalNumber(expected["num_synapses"][t][s])
        weight, delay = projection.weight, projection.delay
        assert isinstance(weight, NormalClipped) and isinstance(delay, NormalClipped)
        assert weight.mean == pytest.approx(expected["weights_mean_pA"][t][s], rel=RELATIVE)
        assert weight.std == pytest.approx(0.1 * abs(weight.mean))
        assert 0.0 in (weight.min, weight.max)
        assert (delay.mean, delay.std) == ((0.75, 0.375) if s % 2 else (1.5, 0.75))
    for described, in_degree in zip(tenth.inputs, expected["ext_indegrees"], strict=True):
        assert described.params["rate"] == 8.0 * in_degree
    for population, current in zip(tenth.populations, expected["DC_amp_pA"], strict=True):
        assert population.params["I_e"] == pytest.approx(current, rel=RELATIVE)


def test_reference_rates_only_where_they_hold(tenth: Network) -> None:
    assert tenth.reference_rates == pytest.approx(REFERENCE["poisson"]["rates_hz"], abs=1e-8)
    full = microcircuit()
    assert full.reference_rates["L5I"] == 8.633
    assert full.reference_source
    assert microcircuit(0.2).reference_rates == {}
    assert microcircuit(0.1, background="dc").reference_rates == {}
    assert microcircuit(0.1, in_degree_scale=1.0).reference_rates == {}


def test_dc_background_and_original_start() -> None:
    network = microcircuit(0.1, background="dc", initial="original")
    assert network.inputs == []
    start = network.populations[3].initial["V_m"]
    assert not isinstance(start, float)
    assert start == type(start)(-58.0, 10.0)  # type: ignore[call-arg, arg-type]


def test_storage_is_that_of_all_projections(tenth: Network) -> None:
    """Catches an argument that reaches some projections, or none."""
    drawn = microcircuit(0.1, storage="procedural")
    assert {(p.storage, p.generate) for p in drawn.projections} == {("procedural", "by_source")}
    stored = microcircuit(0.1, generate="by_source")
    assert [replace(p, sources=(), targets=(), storage="procedural") for p in stored.projections] == [
        replace(p, sources=(), targets=()) for p in drawn.projections
    ]
    assert {(p.storage, p.generate) for p in tenth.projections} == {("stored", "by_target")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0.0}, "network.scale"),
        ({"scale": "big"}, "network.scale"),
        ({"scale": 1e-4}, "at least one neuron"),
        ({"in_degree_scale": float("nan")}, "network.in_degree_scale"),
        ({"background": "noise"}, "poisson or dc"),
        ({"initial": "random"}, "optimized or original"),
        ({"storage": "none"}, "stored, procedural, auto"),
        ({"storage": "auto", "generate": "by_target"}, "by_source, or by_target where all"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        microcircuit(**arguments)


@pytest.mark.parametrize("name", ["quickstart", "microcircuit", "balanced"])
def test_shipped_configs(name: str) -> None:
    content = yaml.safe_load((ROOT / f"configs/{name}.yaml").read_text())
    assert content["name"] == name
    assert content["run"]["duration"] == 1000.0
    if "network" in content:
        arguments = dict(content["network"])
        assert arguments.pop("builder") in published_names
        assert microcircuit(**arguments).size == {0.1: 7717, 1.0: 77169}[arguments["scale"]]
