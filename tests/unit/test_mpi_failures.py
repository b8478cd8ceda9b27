"""One rank fails: all end within seconds, and the message names it. Nobody waits for ever."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

RANKS = 3
PATIENCE = 60  # seconds: compilation on a busy machine; ranks that wait for a lost one wait for ever

beside = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(beside) if beside.exists() else shutil.which("mpiexec")
UNDER_LAUNCHER = any(name in os.environ for name in ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"))

pytestmark = [
    pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec on this machine"),
    pytest.mark.skipif(UNDER_LAUNCHER, reason="a launcher cannot start another"),
]

# A network whose ranks exchange spikes at every step, run for longer than the test has patience.
PROGRAM = """
    import os, signal, sys
    from distsim import AllToAll, Experiment, FixedIndegree, Network, RunSettings, Uniform
    from distsim.backend import open_backend
    from distsim.comm import connect
    from distsim.engine.simulation import Simulation

    network = Network()
    n = network.population("N", 50, "iaf_psc_exp", I_e=Uniform(400.0, 900.0))
    network.project(n, n, FixedIndegree(10), 10.0, 0.1)
    g = network.population("G", 16, "spike_generator", spike_times=[100.0])
    p = network.population("P", 4, "parrot_neuron")
    {network}
    comm = connect()
    simulation = Simulation(Experiment(network, RunSettings(duration=1e7)), comm, open_backend("cpu"))
    simulation.run_to(500)
    {fault}
    simulation.run_to(simulation.end)
"""


def run_ranks(
    tmp_path: Path, fault: str = "", network: str = "", ranks: int = RANKS
) -> subprocess.CompletedProcess[str]:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM.format(fault=fault, network=network)))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(x for x in (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")) if x),
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    environment.pop("DISTSIM_RANKS", None)
    assert MPIEXEC
    command = [MPIEXEC, "-n", str(ranks), sys.executable, str(program)]
    # A group of its own, so that nothing is left behind where the ranks do not end.
    process = subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        pytest.fail(f"the ranks still run {PATIENCE} s after one of them failed")
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.parametrize("rank", [0, 2])
def test_an_exception_on_one_rank_ends_all(tmp_path: Path, rank: int) -> None:
    """Without the hook the other ranks wait in their next exchange for ever."""
    done = run_ranks(tmp_path, f"if comm.rank == {rank}: raise ValueError('planted')")
    assert done.returncode != 0
    assert f"rank {rank} of {RANKS}" in done.stderr
    assert "ValueError: planted" in done.stderr


def test_an_error_of_the_simulation_on_one_rank_ends_all(tmp_path: Path) -> None:
    """A parrot that gets 272 spikes in one step is on one rank only; the others know nothing of it."""
    edges = "(tuple(k % 16 for k in range(272)), (2,) * 272, (1.0,) * 272, (1.0,) * 272)"
    done = run_ranks(tmp_path, network=f"from distsim import Explicit; network.project(g, p, Explicit{edges})")
    assert done.returncode != 0
    assert RANKS == 3 and "rank 1 of 3" in done.stderr  # of the four parrots it has the third alone
    assert "population 'P', neuron 2" in done.stderr and "emitted 272 spikes" in done.stderr


def test_an_error_before_the_exchange_exists_ends_all(tmp_path: Path) -> None:
    """Construction on one rank fails: the others wait for its routing lists."""
    fault = "simulation = Simulation(simulation.experiment, comm, None if comm.rank == 1 else simulation.backend)"
    done = run_ranks(tmp_path, fault)
    assert done.returncode != 0
    assert f"rank 1 of {RANKS}" in done.stderr


def test_a_killed_rank_ends_all(tmp_path: Path) -> None:
    """The kernel's out-of-memory killer sends no exception; the launcher has to end the others."""
    done = run_ranks(tmp_path, "if comm.rank == 1: os.kill(os.getpid(), signal.SIGKILL)")
    assert done.returncode != 0


def test_the_tests_notice_ranks_that_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself: ranks that wait for one that never comes are a failure, not a hang of the suite."""
    monkeypatch.setattr(sys.modules[__name__], "PATIENCE", 3)
    with pytest.raises(pytest.fail.Exception, match="still run"):
        run_ranks(tmp_path, "import time\n    if comm.rank == 1: time.sleep(1e6)")
