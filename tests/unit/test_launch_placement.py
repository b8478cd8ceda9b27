"""launch/run: hosts, ranks per node, binding and output in each launcher's words; slurm/submit: its commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOREIGN_PREFIXES = ("DISTSIM_", "PMI", "PMIX_", "OMPI_", "SLURM_", "SBATCH_", "MPI_", "HYDRA_")
VERSIONS = {
    "hydra": "HYDRA build details:\n    Version:   5.0.2",
    "intel": "Intel(R) MPI Library for Linux* OS, Version 2021.13 Build 20240701",
    "openmpi4": "mpiexec (OpenRTE) 4.1.6",
    "openmpi5": "mpirun (Open MPI) 5.0.11",
    "unknown": "some launcher 1.0",
}


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return path


def start(
    repo_root: Path, script: str, *arguments: str, cwd: Path, **settings: str
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    return subprocess.run(
        [str(repo_root / script), *arguments], env=environment | settings, cwd=cwd,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def placed(repo_root: Path, folder: Path, kind: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """launch/run with a launcher that says its version as `kind` does, and prints its options before the Python."""
    name = "srun" if kind == "srun" else "starter"
    text = f"[[ ${{1-}} == --version ]] && echo '{VERSIONS.get(kind, '')}' && exit\nprintf '%s\\n' \"$@\""
    launcher = program(folder / "bin" / name, text)
    return start(
        repo_root, "launch/run", *arguments, "c.yaml", cwd=folder,
        DISTSIM_NO_INSTALL="1", DISTSIM_PYTHON=sys.executable, DISTSIM_LAUNCHER=f"{launcher}",
    )  # fmt: skip


def options_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The launcher's options, without those that hand on the environment."""
    assert done.returncode == 0, done.stderr
    words = done.stdout.split("\n")
    words = words[: words.index(sys.executable)]
    return [w for i, w in enumerate(words) if w != "-x" and (i == 0 or words[i - 1] != "-x")]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("hydra", "-hosts a:2,b:2 -ppn 2 -bind-to core -n 4"),
        ("intel", "-hosts a:2,b:2 -ppn 2 -genv I_MPI_PIN on -genv I_MPI_PIN_DOMAIN core -n 4"),
        ("openmpi4", "--host a:2,b:2 --map-by ppr:2:node:oversubscribe --bind-to core -n 4"),
        ("openmpi5", "--host a:2,b:2 --map-by ppr:2:node:oversubscribe --bind-to core -n 4"),
        ("srun", "--nodelist=a,b --nodes=2 --ntasks-per-node=2 --cpu-bind=cores -n 4"),
    ],
)
def test_each_launcher_has_its_words(repo_root: Path, tmp_path: Path, kind: str, expected: str) -> None:
    arguments = ("--hosts", "a,b", "--ranks-per-node=2", "--bind", "core")
    assert options_of(placed(repo_root, tmp_path, kind, *arguments)) == expected.split()


def test_the_environment_goes_to_other_hosts(repo_root: Path, tmp_path: Path) -> None:
    """Open MPI leaves it behind."""
    words = placed(repo_root, tmp_path, "openmpi5", "--hosts", "a:1,b:1").stdout.split("\n")
    sent = {words[i + 1] for i, word in enumerate(words) if word == "-x"}
    assert {"PATH", "PYTHONPATH", "DISTSIM_RANKS", "OMP_NUM_THREADS"} <= sent


@pytest.mark.parametrize("text", ["a slots=3\n# b\n\nb slots=1\n", "a:3\nb:1", "  a:3  # first\nb slots=1"])
def test_hostfiles_of_every_spelling(repo_root: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "hosts").write_text(text)
    assert options_of(placed(repo_root, tmp_path, "hydra", "--hostfile", "hosts")) == ["-hosts", "a:3,b:1", "-n", "4"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-n", "5", "--hosts", "a,b"), "-hosts a:3,b:3 -n 5"),
        (("-n", "3", "--hosts", "a:2,b:2"), "-hosts a:2,b:2 -n 3"),
        (("-n", "1", "--hosts", "a"), "-hosts a:1 -n 1"),
        (("-n", "2", "--bind=numa"), "-bind-to numa -n 2"),
        (("-n", "2", "--bind=none", "--ranks-per-node", "1"), "-ppn 1 -bind-to none -n 2"),
    ],
)
def test_numbers_of_ranks(repo_root: Path, tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    assert options_of(placed(repo_root, tmp_path, "hydra", *arguments)) == expected.split()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--hosts", "a,b"), "the number of ranks is open"),
        (("-n", "5", "--hosts", "a:2,b:2"), "found 5 ranks, the hosts take 4"),
        (("-n", "2", "--hosts", "a:0"), "found 'a:0', expected HOST:RANKS"),
        (("-n", "2", "--hosts", "a b"), "expected the name of a host"),
        (("-n", "2", "--hosts", "-x"), "expected the name of a host"),
        (("-n", "2", "--hosts", "a", "--hosts=b"), "named twice"),
        (("-n", "2", "--hosts", "a:2", "--ranks-per-node", "2"), "expected one of them"),
        (("-n", "2", "--hostfile", "nowhere"), "cannot read 'nowhere'"),
        (("-n", "2", "--ranks-per-node", "0"), "expected a number of ranks"),
        (("-n", "2", "--bind", "socket"), "found 'socket', expected core, numa or none"),
        (("-n", "2", "--bind="), "a value is missing"),
        (("--bind", "core"), "-n: the number of ranks is missing"),
        (("--output-per-rank", "logs"), "-n: the number of ranks is missing"),
    ],
)
def test_wrong_placements(repo_root: Path, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = placed(repo_root, tmp_path, "hydra", *arguments)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""


def test_launchers_that_are_not_known_and_what_srun_cannot_do(repo_root: Path, tmp_path: Path) -> None:
    done = placed(repo_root, tmp_path, "unknown", "-n", "2", "--bind", "core")
    assert done.returncode == 2 and "no launcher known here" in done.stderr
    done = placed(repo_root, tmp_path, "srun", "--hosts", "a:2,b:1")
    assert done.returncode == 2 and "the same number of ranks on each host" in done.stderr


@pytest.mark.parametrize("variable", ["PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"])
def test_output_of_each_rank(repo_root: Path, tmp_path: Path, variable: str) -> None:
    """By what any launcher says; a run that goes on adds to it."""
    for _ in range(2):
        start(repo_root, "launch/rank", "a b", "bash", "-c", "echo out; echo err >&2", cwd=tmp_path, **{variable: "7"})
    assert (tmp_path / "a b" / "rank0007.out").read_text() == "out\nout\n"
    assert (tmp_path / "a b" / "rank0007.err").read_text() == "err\nerr\n"
    done = start(repo_root, "launch/rank", "x", "true", cwd=tmp_path)
    assert done.returncode == 1 and "does not tell" in done.stderr


def test_two_hosts_and_binding_for_real(repo_root: Path, tmp_path: Path) -> None:
    """The MPI's own mpiexec takes the options: a core each, and ranks on two hosts (both this machine)."""
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if mpiexec is None:
        pytest.skip("no mpiexec")
    look = program(
        tmp_path / "look",
        "read -r _ cores < <(grep Cpus_allowed_list: /proc/self/status)\n"
        'echo "${PMI_RANK-}" "${MPI_LOCALRANKID-}" "cores $cores"',
    )
    settings = {"DISTSIM_NO_INSTALL": "1", "DISTSIM_PYTHON": str(look), "DISTSIM_LAUNCHER": mpiexec}
    done = start(repo_root, "launch/run", "-n", "2", "--bind", "core", "c.yaml", cwd=tmp_path, **settings)
    assert done.returncode == 0, done.stderr
    cores = [line.partition("cores ")[2] for line in done.stdout.splitlines()]
    available = len(os.sched_getaffinity(0))
    assert len(cores) == 2 and len(set(cores)) == min(2, available), f"{done.stdout}{done.stderr}"

    version = subprocess.run([mpiexec, "--version"], capture_output=True, text=True).stdout
    if "HYDRA" in version:  # which can play hosts: ranks 0 and 1 on the first, 2 and 3 on the second
        hosts = ("--hosts", "h1,h2", "--ranks-per-node", "2", "--output-per-rank", "logs", "c.yaml")
        done = start(repo_root, "launch/run", *hosts, cwd=tmp_path, HYDRA_LAUNCHER="fork", **settings)
        assert done.returncode == 0, done.stderr
        found = [(tmp_path / "logs" / f"rank{rank:04d}.out").read_text().split()[:2] for rank in range(4)]
        assert found == [["0", "0"], ["1", "1"], ["2", "0"], ["3", "1"]]


def submit(repo_root: Path, folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """slurm/submit with an sbatch that only counts up, a site and an experiment."""
    (folder / "c.yaml").write_text("name: c\n")
    (folder / "site.sh").write_text("SBATCH_OPTIONS=(--account=a)\nGPU_OPTIONS=(--gpus-per-task=1)\n: ${GPUS:=no}\n")
    program(folder / "bin" / "sbatch", f'n=$(($(cat {folder}/n 2>/dev/null) + 1)); echo $n >{folder}/n\n'
                                       f'echo "$@" >>{folder}/calls; echo "$n;cluster"')  # fmt: skip
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    site = str(folder / "site.sh")
    return start(repo_root, "slurm/submit", *arguments, cwd=folder, PATH=path, DISTSIM_SITE=site, **settings)


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        ("run --ntasks=2 c.yaml --out x", ["--ntasks=2 run.sbatch c.yaml --out x"]),
        ("requeue c.yaml", ["requeue.sbatch c.yaml"]),
        ("array --seeds=1-8%2 c.yaml", ["--array=1-8%2 array.sbatch c.yaml"]),
        ("array --lines=lines c.yaml", ["--array=1-3 array.sbatch c.yaml --lines=LINES"]),
        (
            "chain --links=3 --time=1 c.yaml",
            [
                "--time=1 chain.sbatch c.yaml",
                "--time=1 --dependency=afterok:1 --kill-on-invalid-dep=yes chain.sbatch c.yaml",
                "--time=1 --dependency=afterok:2 --kill-on-invalid-dep=yes chain.sbatch c.yaml --last",
            ],
        ),
        (
            "scaling --ranks=1,4 --grow=network.neurons=500 c.yaml -q --out s",
            [
                f"--ntasks={n} run.sbatch c.yaml -q --set network.neurons={500 * n} --out s/{n}" for n in (1, 4)
            ],
        ),
    ],
)  # fmt: skip
def test_what_sbatch_is_given(repo_root: Path, tmp_path: Path, arguments: str, calls: list[str]) -> None:
    (tmp_path / "lines").write_text("--set run.seed=1\n" * 3)
    for gpus in ("no", "yes"):
        (tmp_path / "calls").unlink(missing_ok=True)
        (tmp_path / "n").unlink(missing_ok=True)
        done = submit(repo_root, tmp_path, *arguments.split(), GPUS=gpus)
        assert done.returncode == 0 and done.stdout.split() == [str(i + 1) for i in range(len(calls))], done.stderr
        site = "--parsable --account=a " + ("--gpus-per-task=1 " if gpus == "yes" else "")
        given = (tmp_path / "calls").read_text().replace(f"{repo_root}/slurm/", "").splitlines()
        assert given == [site + call.replace("LINES", str(tmp_path / "lines")) for call in calls]
    done = submit(repo_root, tmp_path, *arguments.split()[:1], "--dry-run", *arguments.split()[1:])
    assert done.stdout.count("sbatch --parsable") == len(calls)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "KIND: found ''"),
        ("walk c.yaml", "KIND: found 'walk'"),
        ("run", "CONFIG is missing"),
        ("run -n 4 c.yaml", "CONFIG: found '4'"),
        ("run --seeds=1-3 c.yaml", "is an option of 'slurm/submit array'"),
        ("array --seeds=one c.yaml", "--seeds: found 'one'"),
        ("array --seeds=1 --lines=x c.yaml", "expected one of them"),
        ("array --lines=nowhere c.yaml", "cannot read 'nowhere'"),
        ("chain c.yaml", "--links: found ''"),
        ("scaling --ranks=0 --grow=a=1 c.yaml", "--ranks: found '0'"),
        ("scaling --ranks=1,2 --grow=size c.yaml", "--grow: found 'size'"),
    ],
)
def test_wrong_submissions(repo_root: Path, tmp_path: Path, arguments: str, said: str) -> None:
    done = submit(repo_root, tmp_path, *arguments.split())
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "calls").exists()


def test_jobs_outside_of_slurm(repo_root: Path, tmp_path: Path) -> None:
    for kind in ("run", "requeue", "array", "chain"):
        done = start(repo_root, f"slurm/{kind}.sbatch", "c.yaml", cwd=tmp_path)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert "not inside a job" in done.stderr
