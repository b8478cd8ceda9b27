"""Connectivity of projections into a SONATA edges file, from all ranks, with bounded memory.

Each rank reads its rows window by window of sources and writes them, by source, to a part file of its own; rank 0 takes
from all parts the sources that none can still bring, and appends their synapses in one order: by source, target, delay,
weight. So the file is the same on any number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from distsim.checks import receptor_names
from distsim.distributions import support
from distsim.elements import Projection
from distsim.engine.readback import read_windows
from distsim.engine.simulation import Simulation
from distsim.io.edges import EDGE, EDGES_FILE, EdgeParts, EdgePopulation, merge_edges, part_path, remove_parts
from distsim.network import Network
from distsim.rules import Explicit

WINDOW_SYNAPSES = 2**20  # of a rank, held at once


@dataclass(frozen=True)
class Dump:
    """One population of edges: which synapses of the rows it has."""

    population: EdgePopulation
    source: int
    target: int
    receptors: tuple[int, ...] | None  # None: all


def dump_connections(
    simulation: Simulation, projections: Sequence[int], path: Path, window: int = WINDOW_SYNAPSES, *,
    dumps: Sequence[Dump] | None = None,
) -> None:  # fmt: skip
    """Write the synapses of projections (their numbers) to a SONATA edges file (every rank must call).

    A projection gives one population of edges for each pair of populations that it joins, SOURCE_to_TARGET. Synapses do
    not remember their projection: where several projections join the same two populations, there is one for each
    receptor, SOURCE_to_TARGET_RECEPTOR, with the synapses of all of them; its attribute `projections` lists these.
    `dumps` is what `dumped` gave, perhaps with other types of edges.

    Raises
    ------
    ResultError
        A file cannot be written.
    """
    dumps = dumped(simulation.experiment.network, projections) if dumps is None else dumps
    comm = simulation.comm
    dt = simulation.experiment.run.dt

    def write_part() -> None:
        with EdgeParts(part_path(path, comm.rank), len(dumps)) as part:
            for k, dump in enumerate(dumps):
                for edges in _windows(simulation, dump, window):
                    part.append(k, edges)

    comm.first_alone(lambda: remove_parts(path))
    comm.together(write_part)
    parts = [part_path(path, rank) for rank in range(comm.size)]
    try:
        comm.first_alone(lambda: merge_edges(path, parts, [d.population for d in dumps], dt, window))
    finally:
        part_path(path, comm.rank).unlink(missing_ok=True)


def _windows(simulation: Simulation, dump: Dump, window: int) -> Iterator[npt.NDArray[np.void]]:
    """This rank's synapses as EDGE records, sources ascending."""
    for source, target, weight, delay, receptor in read_windows(simulation, dump.source, dump.target, window):
        edges = np.empty(source.size, EDGE)
        edges["source"], edges["target"], edges["weight"] = source, target, weight
        edges["delay"], edges["receptor"] = delay, receptor
        yield edges if dump.receptors is None else edges[np.isin(receptor, dump.receptors)]


def dumped(network: Network, projections: Sequence[int]) -> list[Dump]:
    """The populations of edges, each once, in the order in which the projections name them."""
    ids = {p.name: i for i, p in enumerate(network.populations)}
    found: dict[str, Dump] = {}
    for number in projections:
        projection = network.projections[number]
        for s in projection.sources:
            for t in projection.targets:
                joining = [k for k, p in enumerate(network.projections) if _joins(p, s.name, t.name)]
                ports = [r.name for r in t.model.receptors]
                # Of one projection alone all that is there is its own, whatever the receptor.
                each = [None] if joining == [number] else sorted(_receptors(projection, t.name))
                for r in each:
                    name = f"{s.name}_to_{t.name}" + ("" if r is None else f"_{ports[r]}")
                    own = [k for k in joining if r is None or r in _receptors(network.projections[k], t.name)]
                    population = EdgePopulation(
                        name, s.name, t.name, s.population.size, t.population.size, tuple(own), tuple(ports)
                    )
                    dump = Dump(population, ids[s.name], ids[t.name], None if r is None else (r,))
                    found.setdefault(name, dump)
    return list(found.values())


def _joins(projection: Projection, source: str, target: str) -> bool:
    return any(s.name == source for s in projection.sources) and any(t.name == target for t in projection.targets)


def _receptors(projection: Projection, target: str) -> set[int]:
    """Receptors of the target that the projection's synapses may have."""
    model = next(t.model for t in projection.targets if t.name == target)
    if isinstance(projection.rule, Explicit) and projection.rule.summary.receptors:
        return {[r.name for r in model.receptors].index(name) for name in projection.rule.summary.receptors}
    positive, negative = receptor_names(model, projection.receptor, "receptor")
    low, high = support(projection.weight)
    return {positive, negative} if low < 0.0 < high else {positive} if low >= 0.0 else {negative}


__all__ = ["EDGES_FILE", "Dump", "dump_connections", "dumped"]
