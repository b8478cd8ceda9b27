"""A network that stays built: simulated in stretches, read and changed between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distsim.backend import open_backend
from distsim.build.choosing import storage_settled
from distsim.build.locations import located
from distsim.build.selecting import selected_ids
from distsim.checks import check_experiment, check_ranks
from distsim.collect import Collected, Spikes, States
from distsim.comm import Communicator, connect
from distsim.elements import Population
from distsim.engine.edges_dump import dump_connections
from distsim.engine.readback import Connections, read_connections
from distsim.engine.simulation import Simulation, Sinks
from distsim.errors import ConfigError, nearest, wrong
from distsim.experiment import Experiment, RunSettings
from distsim.given import is_number, plain
from distsim.grid import on_grid
from distsim.network import Network
from distsim.results import Stretch, mean_rate
from distsim.selection import Selection


class Simulator:
    """Builds `network` once; `simulate` may be called many times and goes on where the last call stopped.

    Under mpirun every rank makes the same calls; every result is the same on every rank.

    Parameters
    ----------
    network
        What to build; it must not be changed afterwards.
    device, comm
        As for `distsim.simulate`.
    **settings
        dt, seed, precision, partition, exchange_interval, routing, exchange, delivery: see RunSettings.
    """

    def __init__(
        self, network: Network, *, device: str = "auto", comm: Communicator | None = None, **settings: Any
    ) -> None:
        if settings.get("warmup"):
            raise wrong("run.warmup", settings["warmup"], "none for a Simulator: a warm-up is its first stretch")
        experiment = Experiment(network, RunSettings.given(0.0, settings))
        check_experiment(experiment)
        if experiment.run.checkpoint is not None or experiment.run.wall_time is not None:
            raise ConfigError(
                "checkpoint, wall_time: not for a Simulator; use distsim.simulate with out, or distsim run"
            )
        self._comm = comm or connect()
        check_ranks(experiment.run, self._comm.size)
        self._collected = Collected()
        sinks = Sinks(self._collected.add_spikes, self._collected.states.append, self._collected.rates.append)
        backend = open_backend(device)
        backend.assign(self._comm.local_rank())
        experiment = storage_settled(experiment, self._comm, backend)
        self._simulation = Simulation(experiment, self._comm, backend, sinks)
        self._network, self._run = network, experiment.run
        self._ids = {p.name: i for i, p in enumerate(network.populations)}
        self._described = _extent(network)
        self._closed = False

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *raised: object) -> None:
        if raised[0] is None:  # other ranks may not come here
            self.close()

    def close(self) -> None:
        """Give back what MPI holds for it (every rank must call): a program may make thousands of them.

        Nothing is simulated any more; what there is can still be read. A `with` statement does it at its end.
        """
        if not self._closed and self._simulation.exchange is not None:
            self._simulation.exchange.close()
        self._closed = True

    @property
    def time(self) -> float:
        """Biological time so far, ms."""
        return round(self._simulation.step * self._run.dt, 10)

    def simulate(self, duration: float) -> Stretch:
        """Go on for `duration` ms; returns what was recorded in this stretch."""
        if self._closed:
            raise ConfigError("the Simulator is closed; make another one")
        duration = plain(duration)
        steps = on_grid(duration, self._run.dt) if is_number(duration) else None
        if steps is None or steps < 0:
            raise wrong("duration", duration, f"a multiple of dt = {self._run.dt} ms")
        if _extent(self._network) != self._described:
            raise ConfigError("the network was changed after it was built; make another Simulator of it")
        simulation, first = self._simulation, self._simulation.step
        before = simulation.spike_counts()
        simulation.extend(first + steps)
        simulation.run_to(first + steps)
        simulation.flush()
        counts = simulation.spike_counts() - before
        spikes, states = self._collected.take(self._network, self._run, self._comm, first, first + steps)
        bins = self._collected.take_rates(self._network, self._run, self._comm, first, first + steps)
        rates = {
            p.name: mean_rate(int(counts[i]), p.size, duration)
            for i, p in enumerate(self._network.populations)
            if p.model.is_neuron
        }
        digest = simulation.digest()
        return Stretch(spikes, states, rates, str(digest), digest.count, rate_bins=bins)

    def get(self, population: Population | Selection | str, name: str) -> npt.NDArray[np.float64]:
        """A parameter or recordable state of every neuron of a population or selection, float64[size]."""
        _, part, group = self._find(population)
        model = part.population.model
        known = (*(p.name for p in model.scalar_parameters), *model.settable, *group.probes)
        if name not in known:
            raise ConfigError(f"{part.population.name}: unknown parameter or state {name!r}; {nearest(name, known)}")
        own = group.read(part, name)
        ids = np.concatenate(self._comm.share(part.positions()))
        whole = np.concatenate(self._comm.share(own))[np.argsort(ids)]
        chosen = self._chosen(population)
        return whole if chosen is None else whole[chosen]

    def set(self, population: Population | Selection | str, **values: Any) -> None:
        """Change parameters or recordable states of a population or selection: numbers, or one number per neuron.

        A parameter can differ between neurons only where it did in the description: a list or a
        distribution there makes room for one number a neuron.
        """
        _, part, group = self._find(population)
        whole: Population = part.population
        model, size, where = whole.model, whole.size, whole.name
        changeable = (*(p.name for p in model.scalar_parameters), *model.settable)
        for name in values:
            if name not in changeable:
                kind = "cannot be changed" if name in (p.name for p in model.vector_parameters) else "unknown"
                raise ConfigError(f"{where}.{name}: {kind}; {nearest(name, changeable)}")
        if (chosen := self._chosen(population)) is not None:
            some = {k: _numbers(v, chosen.size, f"{where}.{k}") for k, v in values.items()}
            values = {k: _replaced(self.get(whole, k), chosen, v) for k, v in some.items()}
        given = {k: _numbers(v, size, f"{where}.{k}") for k, v in values.items()}
        parameters = {k: v for k, v in values.items() if k not in model.settable}
        old = {p.name: self.get(whole, p.name) for p in model.scalar_parameters} if parameters else {}
        merged = {k: v.tolist() if np.ptp(v) else float(v[0]) for k, v in old.items()}
        checked = model.check_params({**merged, **parameters}, size, where)
        if model.chosen(checked) is not model:
            names = ", ".join(parameters)
            raise ConfigError(
                f"{where}.{names}: these values ask for another kernel of {model.name} than the description did; "
                "give the population such values from the start"
            )
        states = {k: v for k, v in values.items() if k in model.settable}
        model.check_initial(states, size, where)
        group.write(part, {k: given[k] for k in (*parameters, *states)}, self._run.dt)

    def positions(self, population: Population | Selection | str) -> npt.NDArray[np.float64]:
        """Where the neurons are, as they were built: float64[size, dimensions], in the space's unit."""
        described = self._network.populations[self._find(population)[0]]
        if described.positions is None:
            raise ConfigError(f"population {described.name!r} has no positions; give it some where it is described")
        parts = located(described, self._run.seed, self._run.precision, self._simulation.backend)
        whole = np.concatenate([columns for _, columns in parts], axis=1).T
        chosen = self._chosen(population)
        return whole if chosen is None else whole[chosen]

    def connections(self, source: Population | Selection | str, target: Population | Selection | str) -> Connections:
        """All connections from `source` to `target`, populations or selections, as they were built."""
        first, last = self._find(source)[0], self._find(target)[0]
        return read_connections(self._simulation, first, last, self._chosen(source), self._chosen(target))

    def dump_connections(self, path: str | Path, *projections: int) -> None:
        """Write the synapses of projections (their numbers; none: of all) to a SONATA edges file, as they were built.

        Raises
        ------
        ConfigError
            There is no such projection.
        ResultError
            The file cannot be written.
        """
        n = len(self._network.projections)
        bad = next((k for k in projections if not 0 <= k < n), None)
        if bad is not None:
            raise wrong("projections", bad, f"numbers of projections, 0 to {n - 1}")
        dump_connections(self._simulation, projections or range(n), Path(path))

    def _chosen(self, population: Population | Selection | str) -> npt.NDArray[np.int64] | None:
        """Local ids of a selection, ascending; None for a whole population."""
        return selected_ids(population, self._run.seed) if isinstance(population, Selection) else None

    def _find(self, population: Population | Selection | str) -> tuple[int, Any, Any]:
        if isinstance(population, Selection):
            population = population.population
        if not isinstance(population, (str, Population)):
            raise wrong("population", population, "a population, its name, or a selection of it")
        name = population if isinstance(population, str) else population.name
        if name not in self._ids:
            raise ConfigError(f"unknown population {name!r}; {nearest(name, self._ids)}")
        number = self._ids[name]
        layout = self._simulation.layout
        return number, layout.part(number), self._simulation.groups[layout.group_of(number).index]


def _numbers(value: Any, size: int, where: str) -> npt.NDArray[np.float64] | float:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise wrong(where, value, "a number, or one number per neuron (drawn with NumPy, say)") from error
    if array.ndim and array.size != size:
        raise wrong(where, f"a list of {array.size}", f"one number for each of {size} neurons")
    return float(array) if array.ndim == 0 else array.reshape(size)


def _replaced(
    old: npt.NDArray[np.float64], at: npt.NDArray[np.int64], new: npt.NDArray[np.float64] | float
) -> npt.NDArray[np.float64] | float:
    """`old` with `new` in these places; one number where all are the same."""
    old[at] = new
    return old if np.ptp(old) else float(old[0])


def _extent(network: Network) -> tuple[object, ...]:
    """How much was described, and of what spikes are kept."""
    parts = (network.populations, network.projections, network.inputs, network.state_recordings)
    return (*(len(part) for part in parts), network.spike_recording, network.rate_recording)


__all__ = ["Connections", "Simulator", "Spikes", "States", "Stretch"]
