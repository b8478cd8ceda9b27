"""Connectivity written as SONATA edges: what was built, the same file on any number of ranks and in any windows."""

from __future__ import annotations

from pathlib import Path

import continuing
import h5py
import numpy as np
import pytest

import distsim
from distsim.comm import Communicator, Serial, Threads

CONFIG = continuing.CONFIG.replace("record:\n", "record:\n  connections: [0, 2]\n")
COLUMNS = ("source_node_id", "target_node_id", "0/syn_weight", "0/delay", "0/receptor", "edge_type_id")


def net() -> distsim.Network:
    described = distsim.Network()
    e, i = described.population("E", 50, "iaf_psc_exp"), described.population("I", 13, "iaf_psc_exp")
    described.project(e, [e, i], distsim.FixedIndegree(5), distsim.Normal(50.0, 5.0), distsim.Uniform(1.0, 2.0))
    described.project(i, e, distsim.PairwiseBernoulli(0.3), -100.0, 1.0)
    described.project(e, e, distsim.PairwiseBernoulli(0.1), 20.0, 3.0)
    described.project(e, e, distsim.OneToOne(), -7.0, 1.5)
    return described


def dump(comm: Communicator, path: Path, *projections: int) -> distsim.Connections:
    sim = distsim.Simulator(net(), comm=comm, seed=4)
    sim.dump_connections(path, *projections)
    return sim.connections("E", "E")


@pytest.mark.parametrize("window", [1, 40, 2**20])
def test_the_same_file_on_any_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    """Catches synapses that are lost or doubled between windows, rows, chunks and ranks."""
    (tmp_path / ".1.h5.rank0007.part").write_bytes(b"of a run that died, on more ranks")
    recurrent = dump(Serial(), tmp_path / "1.h5")
    monkeypatch.setattr("distsim.engine.edges_dump.dump_connections.__defaults__", (window,))
    for ranks in (1, 2, 3):
        path = tmp_path / f"{ranks}-of.h5"
        if ranks == 1:
            dump(Serial(), path)
        else:
            Threads.run(ranks, lambda comm, path=path: dump(comm, path))
        ours, theirs = continuing.contents(path), continuing.contents(tmp_path / "1.h5")
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
        assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []
    with h5py.File(path) as file:
        assert set(file["edges"]) == {"E_to_E_excitatory", "E_to_E_inhibitory", "E_to_I", "I_to_E"}
        assert {n: list(g.attrs["projections"]) for n, g in file["edges"].items()} == {
            "E_to_E_excitatory": [0, 2], "E_to_E_inhibitory": [3], "E_to_I": [0], "I_to_E": [1],
        }  # fmt: skip
        assert file["edges/E_to_I/source_node_id"].attrs["node_population"] == "E"
        assert file["edges/E_to_I/edge_type_id"][0] == 0 and file["edges/E_to_E_excitatory/edge_type_id"][0] == -1
        both = [np.concatenate([file[f"edges/E_to_E_{r}/{c}"] for r in ("excitatory", "inhibitory")]) for c in COLUMNS]
        assert file["edges/E_to_I/source_node_id"].size == 5 * 13
    order = np.lexsort((both[2], both[3], both[0], both[1]))
    expected = (recurrent.source, recurrent.target, recurrent.weight, recurrent.delay, recurrent.receptor)
    assert len(recurrent) > 400
    for found, known in zip(both, expected, strict=False):
        assert np.array_equal(found[order], known)


def test_libsonata_reads_it(tmp_path: Path) -> None:
    import libsonata

    dump(Serial(), tmp_path / "edges.h5", 1)
    storage = libsonata.EdgeStorage(str(tmp_path / "edges.h5"))
    assert storage.population_names == {"I_to_E"}
    edges = storage.open_population("I_to_E")
    chosen = libsonata.Selection([(0, edges.size)])
    assert 100 < edges.size < 300 and (edges.get_attribute("syn_weight", chosen) == -100.0).all()
    assert int(edges.source_nodes(chosen).max()) < 13 <= int(edges.target_nodes(chosen).max()) < 50


def test_a_run_writes_them_before_it_starts_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    continuing.stop_after(monkeypatch, 200)
    continuing.run(tmp_path, out, 2, config=CONFIG)
    first = continuing.contents(out / "edges.h5")
    assert {k.split("/")[1] for k in first if k.count("/") > 1} == {"E_to_E", "P_to_E"}
    continuing.stop_after(monkeypatch, None)
    continuing.run(tmp_path, out, 1, config=CONFIG, resume=True)
    again = continuing.contents(out / "edges.h5")
    assert all(np.array_equal(again[key], first[key]) for key in first)
    assert "edges.h5" in (out / "checksums.sha256").read_text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[0, 3]", r"record\.connections: found 3; allowed: numbers of projections, 0 to 2"),
        ("[1, 1]", r"record\.connections: found .*each projection once"),
        ("[x]", r"record\.connections"),
    ],
)
def test_wrong_projections_end_with_one_line(tmp_path: Path, given: str, message: str) -> None:
    with pytest.raises(distsim.ConfigError, match=message):
        continuing.run(tmp_path, tmp_path / "out", config=CONFIG.replace("[0, 2]", given))
    described = net()
    described.record_connections()
    with pytest.raises(distsim.ConfigError, match="need an output directory"):
        distsim.simulate(described, 1.0)
