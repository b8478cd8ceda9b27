"""Which rank of its machine a rank is: it takes the GPU of that number."""

from __future__ import annotations

import pytest
from continuing import on_ranks

NAMES = (
    "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK", "PMI_LOCAL_RANK", "PALS_LOCAL_RANKID",
    "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS",
)  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, [0, 1, 2]),  # counted by host name
        ({"MPI_LOCALRANKID": "1"}, [1, 1, 1]),  # stand-in ranks share one environment
        ({"SLURM_LOCALID": "2", "SLURM_STEP_NUM_TASKS": "3"}, [2, 2, 2]),
        ({"SLURM_LOCALID": "0"}, [0, 1, 2]),  # of the job's script, in which mpiexec started the ranks
        ({"SLURM_LOCALID": "0", "SLURM_STEP_NUM_TASKS": "1"}, [0, 1, 2]),  # of a daemon that srun started on each node
    ],
)
def test_local_ranks(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: list[int]) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert on_ranks(3, lambda comm: comm.local_rank()) == expected
