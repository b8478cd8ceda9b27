"""Where ranks fail: alike, all end in order and one line is said; alone, the line names rank and phase."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import support
from faults import network, ranks
from faults.failing import spoil

from distsim.backend import open_backend
from distsim.comm import Communicator, Serial, Threads
from distsim.engine.simulation import Simulation
from distsim.errors import CommunicationError, ConfigError, SimulationError, during, one_line, phase_of

on_ranks = pytest.mark.skipif(ranks.MPIEXEC is None or ranks.UNDER_LAUNCHER, reason="no mpiexec, or under one")


@on_ranks
def test_ranks_that_fail_alike_say_it_once(tmp_path: Path) -> None:
    """Exit code 2, one line of one rank, and nothing from the launcher; nothing is written."""
    run = ranks.start(3, network.write_config(tmp_path), tmp_path / "out", ["run.sed=1"])
    code, said, _ = run.end()
    assert code == 2 and said.count("\n") == 1 and "did you mean 'seed'" in said and "rank" not in said
    assert not (tmp_path / "out").exists()


@on_ranks
@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_that_fails_alone_before_mpi_starts_ends_all(tmp_path: Path, rank: int) -> None:
    """A file that one machine lacks: the others would wait in MPI_Init for ever, and nobody would say why."""
    program = ("-m", "mpi4py", "-m", "faults.failing", "config", "nan", str(rank))
    run = ranks.start(3, network.write_config(tmp_path), tmp_path / "out", program=program)
    code, said, seconds = run.end()
    lines = [line for line in said.splitlines() if line.startswith("distsim: ")]
    assert code != 0 and seconds < ranks.GONE_WITHIN
    assert len(lines) == 1 and lines[0].startswith(f"distsim: rank {rank} of 3 (config): ") and "tau_m" in lines[0]


def test_the_innermost_phase_counts() -> None:
    @during("run")
    def outer() -> None:
        inner()

    @during("exchange")
    def inner() -> None:
        raise MemoryError("8 GB")

    with pytest.raises(MemoryError) as found:
        outer()
    assert phase_of(found.value) == "exchange" and phase_of(ValueError()) == ""
    assert one_line(found.value) == "out of memory: 8 GB" and one_line(ConfigError("a\n b")) == "a b"


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("size", [1, 2])
def test_a_state_that_is_no_number_ends_the_run(wrong: float, size: int) -> None:
    """With the neuron's name; before anything of it is handed on. A run without it ends as ever."""

    def work(comm: Communicator) -> None:
        simulation = Simulation(support.varied(duration=5.0), comm, open_backend("cpu"))
        simulation.run_to(20)
        simulation.flush()
        if comm.rank == 0:
            spoil(simulation)
            if wrong == np.inf:
                state = simulation.groups[0].states["I_syn_ex"]  # an infinite V_m would be reset
                simulation.backend.copy_into(state, np.full_like(state, np.inf))
        simulation.run_to(23)

    with pytest.raises(
        SimulationError, match=r"population 'E', neuron 0, (V_m|I_syn_ex): (not a number|infinite) at 2\.[1-3] ms"
    ):
        work(Serial()) if size == 1 else Threads.run(size, work)


def test_what_all_know_is_said_by_the_rank_that_failed() -> None:
    """After work that failed on rank 1, every rank knows, and which of them is to speak."""

    def work(comm: Communicator) -> tuple[bool, bool]:
        try:
            comm.succeed(ConfigError("a full disk") if comm.rank == 1 else None)
        except (ConfigError, CommunicationError) as error:
            return comm.agreed is error, isinstance(error, ConfigError)
        raise AssertionError

    assert Threads.run(3, work) == [(True, False), (True, True), (True, False)]
