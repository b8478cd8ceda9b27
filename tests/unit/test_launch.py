"""launch/run and launch/test: wrong arguments end in one line and exit code 2, before anything is set up."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

# Whatever a calling launcher or shell has set must not leak into the started scripts.
FOREIGN_PREFIXES = ("DISTSIM_", "PMI", "PMIX_", "OMPI_", "SLURM_", "MPI_")


def launch(
    repo_root: Path, script: str, *arguments: str, cwd: Path | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    return subprocess.run(
        [str(repo_root / "launch" / script), *arguments],
        env=environment | settings,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def fake_python(tmp_path: Path) -> Path:
    """An interpreter that prints what it was started with, and its exit code is $FAKE_CODE."""
    return write_program(
        tmp_path / "fake-bin" / "python3",
        '#!/bin/bash\nprintf "%s\\n" "python=$*" "threads=$OMP_NUM_THREADS" "ranks=${DISTSIM_RANKS-}" '
        '"path=$PYTHONPATH"\nexit "${FAKE_CODE-0}"\n',
    )


@pytest.fixture
def fake_launcher(tmp_path: Path) -> Path:
    return write_program(
        tmp_path / "fake-bin" / "starter", '#!/bin/bash\nprintf "launcher=%s\\n" "$*"\nshift 3\nexec "$@"\n'
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("-n", "0", "c.yaml"),
        ("-n", "two", "c.yaml"),
        ("-n", "-1", "c.yaml"),
        ("-n", "2.5", "c.yaml"),
        ("-n", "", "c.yaml"),
        ("-n", "012", "c.yaml"),
        ("-n", "99999999", "c.yaml"),
        ("-n=x", "c.yaml"),
        ("-n0", "c.yaml"),
        ("-n", "c.yaml"),
        ("c.yaml", "-n"),
    ],
)
def test_run_refuses_a_wrong_number_of_ranks(repo_root: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = launch(repo_root, "run", *arguments, cwd=tmp_path, DISTSIM_VENV=str(tmp_path / "venv"))
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("distsim: -n: found '") and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_run_without_a_config(repo_root: Path, tmp_path: Path) -> None:
    for arguments in ((), ("-n", "2"), ("--",)):
        result = launch(repo_root, "run", *arguments, DISTSIM_VENV=str(tmp_path / "venv"))
        assert result.returncode == 2
        assert "CONFIG is missing" in result.stderr and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_test_refuses_a_wrong_number_of_ranks(repo_root: Path, tmp_path: Path) -> None:
    for arguments in (("-n", "0"), ("-n0",), ("-n", "x"), ("-n",)):
        result = launch(repo_root, "test", *arguments, DISTSIM_VENV=str(tmp_path / "venv"))
        assert result.returncode == 2
        assert "expected a number of ranks" in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["DISTSIM_MPI", "DISTSIM_CUDA", "DISTSIM_WHEELS"])
def test_wrong_settings_name_themselves(repo_root: Path, tmp_path: Path, name: str) -> None:
    settings = {"DISTSIM_VENV": str(tmp_path / "venv"), name: "nonsense"}
    result = launch(repo_root, "run", "c.yaml", cwd=tmp_path, **settings)
    assert result.returncode == 2
    assert result.stderr.startswith(f"distsim: {name}: found 'nonsense', expected") and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_sets_nothing_up(repo_root: Path, tmp_path: Path) -> None:
    for script in ("run", "test"):
        result = launch(repo_root, script, "--help", DISTSIM_VENV=str(tmp_path / "venv"))
        assert result.returncode == 0 and "usage: launch/" + script in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_run_starts_one_plain_process(repo_root: Path, tmp_path: Path, fake_python: Path) -> None:
    settings = {"DISTSIM_NO_INSTALL": "1", "DISTSIM_PYTHON": str(fake_python), "OMP_NUM_THREADS": ""}
    result = launch(repo_root, "run", "c.yaml", "--set", "run.seed=7", "--out", "a b", cwd=tmp_path, **settings)
    assert result.returncode == 0, result.stderr
    printed = result.stdout.splitlines()
    assert printed[:3] == ["python=-m distsim run c.yaml --set run.seed=7 --out a b", "threads=1", "ranks="]
    assert printed[3].split(":")[0] == f"path={repo_root}"


def test_other_commands_that_compute_and_a_file_of_their_name(
    repo_root: Path, tmp_path: Path, fake_python: Path
) -> None:
    settings = {"DISTSIM_NO_INSTALL": "1", "DISTSIM_PYTHON": str(fake_python)}
    (tmp_path / "export").write_text("")
    (tmp_path / "resume").mkdir()  # as `export CONFIG --out export` leaves one
    for given, expected in (("resume a b", "resume a b"), ("run c.yaml", "run c.yaml"), ("export -q", "run export -q")):
        result = launch(repo_root, "run", *given.split(), cwd=tmp_path, **settings)
        assert result.stdout.splitlines()[0] == f"python=-m distsim {expected}"


@pytest.mark.parametrize("arguments", [("-n", "3", "c.yaml"), ("-n3", "c.yaml"), ("c.yaml", "-n", "3")])
def test_run_starts_ranks_through_the_launcher(
    repo_root: Path, fake_python: Path, fake_launcher: Path, arguments: tuple[str, ...]
) -> None:
    settings = {
        "DISTSIM_NO_INSTALL": "1",
        "DISTSIM_PYTHON": str(fake_python),
        "DISTSIM_LAUNCHER": f"{fake_launcher} -K1",
        "FAKE_CODE": "2",
    }
    result = launch(repo_root, "run", *arguments, **settings)
    assert result.returncode == 2, "the exit code of the ranks must come through"
    printed = result.stdout.splitlines()
    assert printed[0] == f"launcher=-K1 -n 3 {fake_python} -m mpi4py -m distsim run c.yaml"
    assert printed[1] == "python=-m mpi4py -m distsim run c.yaml"
    assert "ranks=3" in printed
    assert result.stderr == ""


def test_batch_script_outside_a_job(repo_root: Path) -> None:
    result = launch(repo_root, "../slurm/run.sbatch", "c.yaml")
    assert result.returncode == 2
    assert "not inside a job" in result.stderr and result.stderr.count("\n") == 1


def test_scripts_are_executable_and_parse(repo_root: Path) -> None:
    names = ("launch/run", "launch/rank", "launch/test", "launch/common.sh", "launch/placement.sh", ".ci/run")
    jobs = [str(path.relative_to(repo_root)) for path in (repo_root / "slurm").iterdir() if path.name != "table"]
    assert len(jobs) == 7
    for name in (*names, *jobs):
        script = repo_root / name
        assert name.endswith(".sh") or os.access(script, os.X_OK), name
        assert subprocess.run(["bash", "-n", str(script)], capture_output=True).returncode == 0, name


def test_concurrent_set_ups_wait_for_each_other(repo_root: Path, tmp_path: Path) -> None:
    """Two first starts at once: one installs, the other waits and finds the work done (pip and venv are stand-ins)."""
    venv, log = tmp_path / "venv", tmp_path / "log"
    stand_in = write_program(
        tmp_path / "bin" / "python3",
        f"""#!/bin/bash
case "$*" in
    -V) echo Python 3.11.0 ;;
    *version_info[:2]*) echo 3.11 ;;
    "-m venv --clear "*) echo venv >>{log}; mkdir -p {venv}/bin; cp "$0" {venv}/bin/python ;;
    "-m pip install "*) echo install >>{log}; sleep 1 ;;
    "-m distsim run "*) echo run >>{log} ;;
esac
""",
    )
    settings = {"DISTSIM_VENV": str(venv), "DISTSIM_PYTHON": str(stand_in), "DISTSIM_CUDA": "none"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    command = [str(repo_root / "launch" / "run"), "c.yaml"]
    processes = []
    for _ in range(2):
        processes.append(
            subprocess.Popen(command, env=environment | settings | {"DISTSIM_MPI": "mpich"}, stderr=subprocess.PIPE)
        )
        time.sleep(0.3)
    assert [process.wait(timeout=60) for process in processes] == [0, 0], [p.communicate() for p in processes]
    for process in processes:
        process.communicate()
    assert sorted(log.read_text().split()) == ["install", "run", "run", "venv"]
