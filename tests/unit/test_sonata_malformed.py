"""Malformed SONATA circuits through the command line: exit code 2, one line on standard error, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from sonata_circuit import CORTEX, edit, replace, unpack

from distsim.cli import main

EDGES, INDEX = "edges/cortex_to_cortex", "edges/cortex_to_cortex/indices/target_to_source"
NODES = "network/cortex_nodes.h5"
CORTEX_V_M = {"variable_name": "V_m", "cells": "cortex"}
Change = Callable[[Path], Any]


def _config(change: Callable[[Any], Any]) -> Change:
    return lambda folder: edit(folder / "config.json", change)


def _dropped(file: str, name: str) -> Change:
    def change(folder: Path) -> None:
        with h5py.File(folder / file, "a") as opened:
            del opened[name]

    return change


def _changed(file: str, name: str, change: Callable[[Any], Any]) -> Change:
    def apply(folder: Path) -> None:
        with h5py.File(folder / file) as opened:
            values = opened[name][:]
        replace(folder / file, name, change(values))

    return apply


def _linked(file: str, name: str, link: Any) -> Change:
    def change(folder: Path) -> None:
        with h5py.File(folder / file, "a") as opened:
            del opened[name]
            opened[name] = link

    return change


def _text(file: str, old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        path = folder / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return change


def _set(array: Any, at: Any, value: Any) -> Any:
    array[at] = value
    return array


def _outside(folder: Path) -> None:
    (folder.parent / "secret.h5").write_bytes(b"")
    (folder / "network" / "cortex_nodes.h5").unlink()
    (folder / "network" / "cortex_nodes.h5").symlink_to(folder.parent / "secret.h5")


TYPES, EDGE_TYPES = "network/cortex_node_types.csv", "network/cortex_cortex_edge_types.csv"
BAD: list[tuple[str, Change, str]] = [
    ("no JSON", lambda f: (f / "config.json").write_text('{"manifest": {},\n"run": }'), "config.json:2:8: not valid"),
    ("key twice", lambda f: (f / "config.json").write_text('{"run": 1, "run": 2}'), "duplicate key 'run'"),
    ("deep", lambda f: (f / "config.json").write_text("[" * 10**5), "nested too deeply"),
    ("NaN", _text("config.json", "0.1", "NaN"), "found NaN; allowed: finite numbers"),
    ("infinite", _text("config.json", "200.0", "1e400"), "found 1e400; allowed: finite numbers"),
    ("digits", _text("config.json", "200.0", "9" * 5000), "found a number of 5000 digits; allowed: finite numbers"),
    ("no end", _config(lambda d: d["run"].pop("tstop")), "run.tstop: missing"),
    ("another start", _config(lambda d: d["run"].update(tstart=5.0)), "run.tstart: found 5.0; allowed: 0"),
    ("unknown variable", _config(lambda d: d["networks"]["nodes"][0].update(nodes_file="$NETWORK_DI/x.h5")),
     "unknown variable $NETWORK_DI; did you mean 'NETWORK_DIR'?"),
    ("variables in a circle", _config(lambda d: d["manifest"].update({"$A": "$B", "$B": "$A"})), "variables that end"),
    ("path outside", _config(lambda d: d["networks"]["nodes"][0].update(nodes_file="../x.h5")),
     "found '../x.h5'; allowed: paths below the circuit's directory"),
    ("absolute path outside", _config(lambda d: d["components"].update(synaptic_models_dir="/etc")),
     "components.synaptic_models_dir: found '/etc'; allowed: paths below"),
    ("link outside", _outside, "allowed: paths below the circuit's directory"),
    ("parameters outside", _text(TYPES, "exc.json", "../../../exc.json"), "allowed: paths below the circuit's"),
    ("output outside", _config(lambda d: d["output"].update(output_dir="/tmp")), "output.output_dir: found '/tmp'"),
    ("no file", lambda f: (f / NODES).unlink(), "cortex_nodes.h5' not found"),
    ("no nodes", _dropped(NODES, "nodes"), "found no /nodes"),
    ("no group of nodes", _dropped(NODES, "nodes/cortex/0"), "found no /nodes/cortex/0"),
    ("no types of nodes", _dropped(NODES, "nodes/cortex/node_type_id"), "found no /nodes/cortex/node_type_id"),
    ("node ids twice", _changed(NODES, "nodes/cortex/node_id", lambda v: _set(v, 3, 2)),
     "node_id: found 2; allowed: 0 to 15, each once"),
    ("node index beyond", _changed(NODES, "nodes/cortex/node_group_index", lambda v: v + 1), "found 16; group 0 has"),
    ("unknown type", _changed(NODES, "nodes/cortex/node_type_id", lambda v: v + 1), "no type 102"),
    ("node types short", _text(TYPES, "node_type_id", "node_typ_id"), "no column 'node_type_id'; did you mean"),
    ("node types torn", _text(TYPES, "exc.json", "exc.json x y z"), "node_types.csv:2: found 9 fields; expected 6"),
    ("unknown template", _text(TYPES, "nest:iaf_psc_exp", "nest:iaf_psc_epx"), "did you mean 'nest:iaf_psc_exp'?"),
    ("another simulator", _text(TYPES, "nest:iaf_psc_exp", "nrn:IntFire1"), "unknown template 'nrn:IntFire1'"),
    ("biophysical", _text(TYPES, "point_neuron", "biophysical"), "found 'biophysical'; allowed: point_neuron or"),
    ("unknown parameter", lambda f: edit(f / "components/point_neuron_models/exc.json", lambda d: d.update(Cm=1.0)),
     "did you mean 'C_m'?"),
    ("external link", _linked(CORTEX, f"{EDGES}/0/nsyns", h5py.ExternalLink("x.h5", "/x")), "found an external link"),
    ("soft link", _linked(CORTEX, f"{EDGES}/0", h5py.SoftLink("/edges")), "found a soft link"),
    ("no edges", _dropped(CORTEX, "edges"), "found no /edges"),
    ("no group of edges", _dropped(CORTEX, f"{EDGES}/0"), "found no /edges/cortex_to_cortex/0"),
    ("no sources", _dropped(CORTEX, f"{EDGES}/source_node_id"), "found no /edges/cortex_to_cortex/source_node_id"),
    ("source beyond", _changed(CORTEX, f"{EDGES}/source_node_id", lambda v: _set(v, 7, 16)),
     "source_node_id[7]: found 16; allowed: ids of cortex, 0 to 15"),
    ("negative target", _changed(CORTEX, f"{EDGES}/target_node_id", lambda v: _set(v.astype(int), 0, -1)),
     "target_node_id: found -1 to 15"),
    ("lengths", _changed(CORTEX, f"{EDGES}/edge_type_id", lambda v: v[1:]), "edge_type_ids for"),
    ("objects", _changed(CORTEX, f"{EDGES}/edge_type_id", lambda v: v.astype("S4").astype(object)),
     "allowed: whole numbers"),
    ("absurd", lambda f: replace(f / CORTEX, f"{EDGES}/source_node_id", None, shape=(2**50,), dtype="u8", chunks=(64,)),
     "claims 9007199254740992 bytes"),
    ("group index beyond", _changed(CORTEX, f"{EDGES}/edge_group_index", lambda v: v + 1), "edge_group_index: found"),
    ("unknown edge type", _changed(CORTEX, f"{EDGES}/edge_type_id", lambda v: _set(v, 5, 300)), "no type 300"),
    ("no weight", _text(EDGE_TYPES, "-300.0", "NULL"), "missing; neither the edge nor its type"),
    ("no number", _text(EDGE_TYPES, "-300.0", "strong"), "syn_weight: found 'strong'; allowed: a finite number"),
    ("short delay", _text(EDGE_TYPES, "0.8", "0.04"), "found 0.04; allowed: delays of at least dt = 0.1 ms"),
    ("plastic", _text(EDGE_TYPES, "static_synapse", "stdp_synapse"), "unknown synapse 'stdp_synapse'"),
    ("weight function", _text(EDGE_TYPES, "target_query", "weight_function"), "weight_function: found"),
    ("index of other targets", _changed(CORTEX, f"{INDEX}/node_id_to_range", lambda v: v[::-1]), "its target_node_id"),
    ("index beyond", _changed(CORTEX, f"{INDEX}/range_to_edge_id", lambda v: v + 1), "found edges"),
    ("index with less", _changed(CORTEX, f"{INDEX}/node_id_to_range", lambda v: v[:-1]), "the population has"),
    ("index of more nodes", _changed(CORTEX, f"{INDEX}/node_id_to_range", lambda v: np.vstack([v, v])),
     "found 32 targets; their population has 16"),
    ("index that is none", lambda f: replace(f / CORTEX, f"{EDGES}/indices", [1]), "/indices: found a dataset"),
    ("index that repeats", _changed(CORTEX, f"{INDEX}/node_id_to_range", lambda v: v * 0 + np.array([0, 16], v.dtype)),
     "several nodes"),
    ("unknown node set", _config(lambda d: d["reports"]["V_m_report"].update(cells="cotrex")), "did you mean 'cortex'"),
    ("set of itself", _config(lambda d: d.update(node_sets={"cortex": ["cortex"]}, reports={"V": CORTEX_V_M})),
     "node set 'cortex' contains itself"),
    ("sets of sets", _config(lambda d: d.update(
        node_sets={f"s{i}": [f"s{i + 1}"] * 2 for i in range(99)}, reports={"V": {**CORTEX_V_M, "cells": "s0"}})),
     "deep; allowed: 64"),
    ("unknown variable of a report", _config(lambda d: d["reports"]["V_m_report"].update(variable_name="V_n")),
     "unknown variable 'V_n'; did you mean 'V_m'?"),
    ("unknown input", _config(lambda d: d["inputs"]["lgn_spikes"].update(input_type="voltage_clamp")),
     "found 'voltage_clamp'; allowed: spikes or current_clamp"),
    ("spikes of nobody", _config(lambda d: d["inputs"]["lgn_spikes"].update(node_set="lng")), "did you mean 'lgn'?"),
    ("spike of no node", _changed("inputs/lgn.h5", "spikes/lgn/node_ids", lambda v: v + 3), "ids of lgn, 0 to 4"),
    ("absurd spikes", lambda f: replace(f / "inputs/lgn.h5", "spikes/lgn/timestamps", None, shape=(2**27,), dtype="f8",
                                        chunks=(64,)), "timestamps: claims 1073741824 bytes; 0 are stored"),
    ("spike after all", _changed("inputs/lgn.h5", "spikes/lgn/timestamps", lambda v: v + 1e300), "steps of dt"),
    ("spike at 0", _changed("inputs/lgn.h5", "spikes/lgn/timestamps", lambda v: v * 0), "allowed: times > 0 ms"),
    ("clamp off the grid", _config(lambda d: d["inputs"]["current_clamp"].update(delay=0.05)), "a multiple of dt"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_malformed_circuit_ends_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Change, says: str
) -> None:
    config = unpack(tmp_path / "circuit")
    change(config.parent)
    assert main(["run", str(config)]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and said.startswith(f"distsim: {config}"), said
    assert not (config.parent / "output").exists()
