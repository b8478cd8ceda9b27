"""GLIF files of the Allen Institute: BMTK's conversion in numbers, and what is no such file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from sonata_circuit import unpack

from distsim import ConfigError
from distsim.config import load_experiment
from distsim.config.sonata_glif import nest_parameters
from distsim.config.sonata_nodes import OLD_GLIF

# A file of the Cell Types Database in its own units: s, V, A, F, Ohm; here of GLIF 5.
ALLEN: dict[str, Any] = {
    "type": "GLIF", "dt": 5e-05, "El": 0.0, "El_reference": -0.0765, "C": 6.8e-11, "R_input": 2.5e8, "th_inf": 0.035,
    "th_adapt": None, "spike_cut_length": 48, "init_threshold": 0.035, "init_voltage": 0.0,
    "init_AScurrents": [0, 1e-12],
    "asc_tau_array": [0.25, 0.01], "asc_amp_array": [-1.3e-11, -2e-10],
    "coeffs": {"th_inf": 1.02, "C": 1.0, "G": 1.1, "a": 1.5, "b": 0.5, "asc_amp_array": [1.0, 0.5]},
    "threshold_dynamics_method": {
        "name": "three_components_exact",
        "params": {"a_spike": 0.004, "b_spike": 30.0, "a_voltage": 4.0, "b_voltage": 80.0},
    },
    "voltage_reset_method": {"name": "v_before", "params": {"a": 0.3, "b": 0.012}},
    "AScurrent_dynamics_method": {"name": "exp", "params": {}},
    "AScurrent_reset_method": {"name": "sum", "params": {"r": [1.0, 0.75]}},
}  # fmt: skip
BASE = {"V_m": -76.5, "E_L": -76.5, "V_reset": -76.5, "V_th": -40.8, "g": 4.4, "C_m": 68.0, "t_ref": 2.4}
R = {"th_spike_add": 4.0, "th_spike_decay": 0.03, "voltage_reset_fraction": 0.3, "voltage_reset_add": 12.0}
ASC = {"asc_init": [0.0, 1.0], "asc_decay": [0.004, 0.1], "asc_amps": [-13.0, -100.0], "asc_r": [1.0, 0.75]}
A = {"th_voltage_index": 0.006, "th_voltage_decay": 0.04}
EXPECTED = {
    "glif_lif_psc": BASE, "glif_lif_r_psc": BASE | R, "glif_lif_asc_psc": BASE | ASC,
    "glif_lif_r_asc_psc": BASE | R | ASC, "glif_lif_r_asc_a_psc": BASE | R | ASC | A,
}  # fmt: skip
METHODS = {  # of the file, where the template is glif_psc
    "glif_lif_psc": ("inf", "none"), "glif_lif_r_psc": ("spike_component", "none"), "glif_lif_asc_psc": ("inf", "exp"),
    "glif_lif_r_asc_psc": ("spike_component", "exp"), "glif_lif_r_asc_a_psc": ("three_components_exact", "exp"),
}  # fmt: skip


@pytest.mark.parametrize("template", EXPECTED)
def test_numbers_are_in_nests_units(template: str) -> None:
    """Catches a unit, a coefficient or a switch that is wrong: the expected numbers are worked out by hand."""
    file = copy.deepcopy(ALLEN)
    file["threshold_dynamics_method"]["name"], file["AScurrent_dynamics_method"]["name"] = METHODS[template]
    found = nest_parameters(file, None, "")
    assert found == nest_parameters(ALLEN, OLD_GLIF[template], "")  # what the template says counts more
    assert {name for name, on in found.items() if on is True} == set(OLD_GLIF[template])
    numbers = {name: value for name, value in found.items() if not isinstance(value, bool)}
    assert set(numbers) == {*EXPECTED[template], "tau_syn"} and numbers["tau_syn"] == [5.5, 8.5, 2.8, 5.8]
    for name, value in EXPECTED[template].items():
        assert numbers[name] == pytest.approx(value, rel=1e-12), name


def _circuit(folder: Path, template: str, file: dict[str, Any]) -> Path:
    config = unpack(folder)
    table = folder / "network/cortex_node_types.csv"
    table.write_text(table.read_text().replace("nest:iaf_psc_exp", template))
    for name in ("exc", "inh"):
        (folder / f"components/point_neuron_models/{name}.json").write_text(json.dumps(file))
    (folder / "components/synaptic_models/static.json").write_text('{"receptor_type": 3}')
    return config


def test_a_circuit_of_allen_neurons(tmp_path: Path) -> None:
    (cortex,) = (
        p
        for p in load_experiment(_circuit(tmp_path, "nest:glif_psc", ALLEN)).experiment.network.populations
        if p.name == "cortex"
    )
    assert cortex.model.name == "glif_psc" and cortex.initial["V_m"] == -76.5
    assert cortex.params["asc_decay_1"] == pytest.approx(0.004) and cortex.params["tau_syn_3"] == 2.8
    assert "threshold_voltage" in cortex.model.recordables and "ASCurrents_2" in cortex.model.recordables


@pytest.mark.parametrize(("template", "path", "value", "says"), [
    ("nest:glif_psc", "R_input", 0.0, "R_input: found 0.0; allowed: a number above 0"),
    ("nest:glif_psc", "coeffs.th_inf", None, "coeffs.th_inf: missing in a GLIF file of the Allen Institute"),
    ("nest:glif_psc", "coeffs.G", "1", "coeffs.G: found '1'; allowed: a number"),
    ("nest:glif_psc", "asc_tau_array", [0.1], "found [2, 2, 2, 1, 2] numbers; allowed: lists of one length"),
    ("nest:glif_psc", "threshold_dynamics_method.name", "fixed", "inf, spike_component, three_components_exact"),
    ("nest:glif_cond", "th_inf", 0.03, "allowed: nest:glif_psc, nest:glif_lif_psc"),
    ("nest:glif_lif_asc_psc", "asc_amp_array", 3, "asc_amp_array: found 3; allowed: a list of numbers"),
])  # fmt: skip
def test_what_is_no_such_file_is_refused(tmp_path: Path, template: str, path: str, value: Any, says: str) -> None:
    file = copy.deepcopy(ALLEN)
    *groups, last = path.split(".")
    inside = file
    for group in groups:
        inside = inside[group]
    inside[last] = value
    if value is None:
        del inside[last]
    with pytest.raises(ConfigError) as caught:
        load_experiment(_circuit(tmp_path, template, file))
    assert says in str(caught.value) and "\n" not in str(caught.value), str(caught.value)
