"""Reads connectivity back from a rank's rows, as delivery would: for tests of construction.

Everything comes from what delivery reads (rows, runs, synapses, input addresses and the quanta by which the
update kernel scales), so an error in any of them shows as a wrong target, weight or delay.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import Backend, Module, open_backend
from distsim.backend.host import HostBackend
from distsim.build.chunks import CELL_BUDGET
from distsim.build.partition import Layout
from distsim.build.projections import local_projections
from distsim.build.quanta import PlaneTable, plan_planes
from distsim.build.rows import Rows, build_rows
from distsim.engine.groups import group_shape
from distsim.engine.simulation import Simulation
from distsim.experiment import Experiment, RunSettings
from distsim.kernels.connect import LONGEST_RUN
from distsim.kernels.sources import construction_source
from distsim.network import Network

EXCITATORY, INHIBITORY = 0, 1
BITS = {"single": 15, "double": 47}  # bits of the largest weight
RUN = np.dtype([("offset", "u4"), ("count", "u4"), ("delay", "u2"), ("column", "u2")])


def network(*sizes: int, model: str = "iaf_psc_exp") -> Network:
    """Populations A, B, C … of one model."""
    net = Network()
    for name, size in zip("ABCDEFGH", sizes, strict=False):
        net.population(name, size, model)
    return net


@dataclass(frozen=True)
class Synapses:
    """Arrays over synapses: global ids, weight (in the receptor's unit), delay in steps, receptor and plane."""

    source: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]
    delay: npt.NDArray[np.int64]
    receptor: npt.NDArray[np.int64]
    plane: npt.NDArray[np.int64]

    @property
    def n(self) -> int:
        return self.source.size

    def sorted(self) -> Synapses:
        """In an order that does not depend on how they are stored."""
        order = np.lexsort((self.plane, self.receptor, self.delay, self.weight, self.target, self.source))
        return Synapses(*(getattr(self, f.name)[order] for f in fields(self)))

    def chosen(self, mask: npt.NDArray[np.bool_]) -> Synapses:
        return Synapses(*(getattr(self, f.name)[mask] for f in fields(self)))

    def same(self, other: Synapses) -> bool:
        """Equal as multisets, bit for bit."""
        a, b = self.sorted(), other.sorted()
        return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))

    def tuples(self) -> list[tuple[Any, ...]]:
        """(source, target, weight, delay), sorted: for small cases."""
        s = self.sorted()
        return list(zip(s.source.tolist(), s.target.tolist(), s.weight.tolist(), s.delay.tolist(), strict=True))


def joined(parts: Sequence[Synapses]) -> Synapses:
    """The synapses of all ranks together."""
    return Synapses(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Synapses)))


def _view(address: int, nbytes: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.frombuffer((ctypes.c_char * nbytes).from_address(address), dtype)


def read_rows(
    rows: Rows, layout: Layout, planes: PlaneTable, planes_per_group: Sequence[int], precision: str
) -> Synapses:
    """Every synapse of a rank; also asserts the layout of rows and runs that delivery relies on."""
    word = np.dtype("i4" if precision == "single" else "i8")
    table = np.asarray(rows.table if rows.number is None else rows.table[rows.number])
    runs_found: list[npt.NDArray[Any]] = []
    words_found: list[npt.NDArray[Any]] = []
    synapses_in_row = np.zeros(len(table), np.int64)
    for i, (synapses_at, runs_at, n_runs) in enumerate(table.tolist()):
        n_runs &= 0xFFFFFFFF
        runs = _view(runs_at, n_runs * RUN.itemsize, RUN)
        n = int(runs["count"].sum(dtype=np.int64))
        synapses_in_row[i] = n
        runs_found.append(runs)
        words_found.append(_view(synapses_at, n * word.itemsize, word))
    if not runs_found:
        empty = np.empty(0, np.int64)
        return Synapses(empty, empty, empty.astype(np.float64), empty, empty, empty)
    counts = np.array([r.size for r in runs_found])
    runs, words = np.concatenate(runs_found), np.concatenate(words_found)
    assert runs["count"].min() > 0, "an empty run"
    row_of_run = np.repeat(np.arange(counts.size), counts)
    # Runs of a row follow one another without a gap, by (delay, column), each pair once where it fits one run.
    before = np.concatenate(([0], np.cumsum(runs["count"], dtype=np.int64)))[:-1]
    first = np.concatenate(([0], np.cumsum(counts)))[:-1]
    assert np.array_equal(runs["offset"], before - before[first][row_of_run]), "runs of a row leave gaps"
    key = (row_of_run.astype(np.int64) << 32) | (runs["delay"].astype(np.int64) << 16) | runs["column"]
    full = runs["count"] == LONGEST_RUN
    assert ((np.diff(key) > 0) | (full[:-1] & (np.diff(key) == 0))).all(), "runs are not ordered by (delay, column)"
    assert runs["count"].max() <= LONGEST_RUN
    assert np.array_equal(rows.first_delay, runs["delay"][first]), "a row's smallest delay is wrong"
    assert words.size == rows.n_synapses and runs.size == rows.n_runs
    runs_per_delay = np.unique(key >> 16, return_counts=True)[1]
    assert runs_per_delay.max() <= rows.runs_per_slot, "more runs with one delay than the wheel makes room for"
    assert runs["delay"].max() <= rows.max_delay and runs["delay"].min() >= 1

    # Where in the input array a synapse adds, and whose input that is.
    base = np.asarray(rows.column_base).astype(np.int64)[runs["column"]]
    count = runs["count"].astype(np.int64)
    at = np.repeat(base, count) + (words & 0xFFFF)
    quanta = (words >> 16).astype(np.float64)
    target = np.full(at.size, -1, np.int64)
    plane = np.full(at.size, -1, np.int64)
    receptor = np.full(at.size, -1, np.int64)
    scale = np.zeros(at.size)
    for group, n_planes, begin, stride in zip(
        layout.groups, planes_per_group, rows.plane_begin, rows.plane_stride, strict=True
    ):
        per_receptor = planes.per_receptor.get(group.model.name, ())
        receptor_of = np.repeat(np.arange(len(per_receptor)), per_receptor)
        for p in range(n_planes):
            for part in group.parts:
                low = begin + p * stride + part.begin
                here = np.flatnonzero((at >= low) & (at < low + part.count))
                target[here] = part.first_gid + part.stride * (at[here] - low)
                plane[here], receptor[here] = p, receptor_of[p]
                scale[here] = planes.quanta[part.population_id][p]
    assert (target >= 0).all(), "a synapse adds to an input that belongs to no neuron"
    assert (scale > 0.0).all(), "a synapse adds to a plane that the update kernel does not scale"
    return Synapses(
        source=np.repeat(rows.gids, synapses_in_row), target=target, weight=quanta * scale,
        delay=np.repeat(runs["delay"].astype(np.int64), count), receptor=receptor, plane=plane,
    )  # fmt: skip


def read_simulation(simulation: Simulation) -> Synapses:
    """Every synapse of a built simulation's rank."""
    return read_rows(
        simulation.rows, simulation.layout, simulation.planes, [g.shape.n_planes for g in simulation.groups],
        simulation.experiment.run.precision,
    )  # fmt: skip


@cache
def _construction(precision: str, _compile: object) -> tuple[Backend, Module]:
    backend = open_backend("cpu")
    return backend, backend.compile(construction_source(precision == "double"), f"construct-{precision}")


def construction(precision: str) -> tuple[Backend, Module]:
    """The host and the compiled construction kernels; those with a planted fault serve no other test."""
    return _construction(precision, HostBackend.compile)


def build(
    network: Network,
    *,
    n_ranks: int = 1,
    seed: int = 1,
    precision: str = "single",
    block_bits: int = 16,
    cell_budget: int = CELL_BUDGET,
    dt: float = 0.1,
    kernels: tuple[Backend, Module] | None = None,
    partition: Any = "block",
) -> list[Synapses]:
    """Build every rank's rows, one rank after the other, and read them back: construction alone, no loop.

    Works without communication because construction does.
    """  # fmt: skip
    backend, module = kernels or construction(precision)
    planes = plan_planes(network, precision)
    found = []
    for rank in range(n_ranks):
        layout = Layout.of(Experiment(network, RunSettings(duration=1.0, partition=partition)), rank, n_ranks)
        per_group = [group_shape(network, g, planes, dt).n_planes for g in layout.groups]
        local = local_projections(network, layout, planes, backend, module, seed, dt)
        rows = build_rows(
            network, layout, per_group, local, backend, module, precision, block_bits, cell_budget
        )  # fmt: skip
        synapses = read_rows(rows, layout, planes, per_group, precision)
        assert layout.owned(synapses.target).all(), "a synapse lies on another rank than its target"
        found.append(synapses)
    return found


def connectivity(network: Network, **how: Any) -> Synapses:
    """All synapses of a network; see `build`."""
    return joined(build(network, **how))
