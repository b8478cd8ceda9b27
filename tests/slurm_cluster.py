"""A SLURM of two nodes with two fake GPUs each, on this machine, for the time of a test session.

slurmctld, two slurmd and munged of this machine's packages, with keys, sockets, ports, state and logs of their own in a
temporary folder: another SLURM on the machine is neither used nor disturbed. Fake GPUs are copies of /dev/null.
Jobs may stay five minutes beyond their time (OverTimeLimit): a busy machine may need longer than the three seconds that
a run leaves of a minute, and longer than a minute to start ranks.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

NODES, CPUS, GPUS = 2, 4, 2
DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("munge", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
UNDECIDED = frozenset({"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED", "STOPPED"})
# Whatever a calling shell, job or launcher has set must not reach the cluster and its jobs.
FOREIGN_PREFIXES = ("DISTSIM_", "SLURM_", "SBATCH_", "SRUN_", "PMI", "PMIX_", "OMPI_", "MPI_", "HYDRA_", "MUNGE_")

CONFIGURATION = """\
ClusterName=distsim-tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={root}/munge/socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=pmi2
ReturnToService=2
StateSaveLocation={root}/state
SlurmctldPidFile={root}/slurmctld.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdPidFile={root}/slurmd.%n.pid
SlurmdLogFile={root}/log/slurmd.%n.log
SlurmdSpoolDir={root}/spool.%n
SlurmdParameters=config_overrides
TmpFS={root}
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
KillWait=10
OverTimeLimit=5
MinJobAge=600
BatchStartTimeout=20
SlurmdTimeout=300
JobRequeue=1
"""


def missing() -> str:
    """What this machine lacks to start the cluster; "" where nothing is."""
    lacks = [name for name in (*DAEMONS, *CLIENTS) if shutil.which(name, path=_path()) is None]
    if lacks:
        return f"no {', '.join(lacks)} on this machine (Debian: apt-get install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "slurmd starts jobs as root alone"
    return ""


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment without what launchers and jobs set, and with `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    return {**kept, "PATH": _path(), **settings}


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports


@dataclass(frozen=True)
class Process:
    """One process of a job, as /proc has it."""

    pid: int
    command: str
    environment: Mapping[str, str]

    def is_rank(self) -> bool:
        """Whether this is a rank of distsim, not its launcher or a shell."""
        return "distsim\0run" in self.command and "python" in self.command.partition("\0")[0]


@dataclass
class Cluster:
    """The running daemons; `environment` is what clients need."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """All daemons up and both nodes idle, or RuntimeError with the end of a log."""
        for name in ("munge", "log", "state", *(f"spool.n{i}" for i in range(NODES))):
            (self.root / name).mkdir()
        for folder in (self.root, self.root / "munge"):
            folder.chmod(0o755)
        self.environment = clean_environment(SLURM_CONF=str(self.root / "slurm.conf"))
        self._configure()
        munge, log = self.root / "munge", self.root / "log"
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o400)
        self._run("munged", f"--socket={munge}/socket", f"--key-file={munge}/key", f"--pid-file={munge}/pid",
                  f"--seed-file={munge}/seed", f"--log-file={log}/munged.log", "--force")  # fmt: skip
        self._run("slurmctld", "-c", "-f", str(self.root / "slurm.conf"))
        for i in range(NODES):
            self._run("slurmd", "-N", f"n{i}", "-f", str(self.root / "slurm.conf"))
        end = time.monotonic() + 60.0
        while self.command("sinfo", "-h", "-N", "-t", "idle", "-o", "%N", check=False).split() != ["n0", "n1"]:
            if time.monotonic() > end:
                raise RuntimeError(f"SLURM does not start:\n{self.logs()}")
            time.sleep(0.1)

    def _configure(self) -> None:
        host = socket.gethostname().partition(".")[0]
        ports = _free_ports(1 + NODES)
        text = CONFIGURATION.format(host=host, ports=ports, root=self.root)
        for i in range(NODES):
            text += (
                f"NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1 + i]} "
                f"CPUs={CPUS} RealMemory=1000 Gres=gpu:{GPUS} State=UNKNOWN\n"
            )
        text += "PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=10 State=UP\n"
        (self.root / "slurm.conf").write_text(text)
        for i in range(GPUS):
            os.mknod(self.root / f"gpu{i}", 0o020666, os.makedev(1, 3))  # SLURM counts devices alone
        gres = f"Name=gpu File={self.root}/gpu[0-{GPUS - 1}] Flags=nvidia_gpu_env\n"
        (self.root / "gres.conf").write_text(gres)

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr}\n{self.logs()}")

    def command(self, *command: str, check: bool = True) -> str:
        """Standard output of a client; RuntimeError where it fails and `check`."""
        done = subprocess.run(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr}\n{done.stdout}")
        return done.stdout

    def logs(self) -> str:
        """The ends of all logs."""
        return "\n".join(
            f"{path.name}:\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            for path in sorted((self.root / "log").glob("*.log"))
        )

    def job(self, number: str) -> dict[str, str]:
        """What `scontrol show job` says of a job: JobState, Reason, ExitCode, Restarts, …; for arrays of one task."""
        words = self.command("scontrol", "show", "job", number, "-o").split()
        return {key: value for key, sign, value in (word.partition("=") for word in words) if sign}

    def wait(self, number: str, seconds: float = 90.0) -> dict[str, str]:
        """The job once it has ended; TimeoutError after so many seconds."""
        end = time.monotonic() + seconds
        while (job := self.job(number))["JobState"] in UNDECIDED:
            if time.monotonic() > end:
                raise TimeoutError(f"job {number} is still {job['JobState']} ({job['Reason']})\n{self.logs()}")
            time.sleep(0.2)
        return job

    def processes(self, number: str) -> list[Process]:
        """All living processes of a job, on both nodes."""
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                words = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
                command = (folder / "cmdline").read_bytes().decode(errors="replace")
            except OSError:  # it has ended meanwhile
                continue
            environment = {name: value for name, _, value in (word.partition("=") for word in words)}
            if environment.get("SLURM_JOB_ID") == number and environment.get("SLURM_CLUSTER_NAME") == "distsim-tests":
                found.append(Process(int(folder.name), command, environment))
        return found

    def ranks(self, number: str, expected: int, seconds: float = 60.0) -> list[Process]:
        """The ranks of a job, by rank, once so many are there."""
        end = time.monotonic() + seconds
        while len(found := [p for p in self.processes(number) if p.is_rank()]) != expected:
            if time.monotonic() > end:
                raise TimeoutError(f"job {number} has {len(found)} ranks, not {expected}: {self.job(number)}")
            time.sleep(0.1)
        return sorted(found, key=lambda p: int(p.environment.get("SLURM_PROCID", "0")))

    def stop(self) -> None:
        """End all jobs and daemons."""
        self.command("scancel", "--user=root", check=False)
        end = time.monotonic() + 15.0
        while self.command("squeue", "-h", check=False).strip() and time.monotonic() < end:
            time.sleep(0.2)
        files = (*self.root.glob("slurmd.*.pid"), self.root / "slurmctld.pid", self.root / "munge" / "pid")
        _end([int(path.read_text()) for path in files if path.exists()])


def lives(pid: int) -> bool:
    """Whether a process is there and not dead already (in a container nobody may wait for a daemon's end)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _end(pids: list[int]) -> None:
    """TERM, and KILL where that is not enough."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in filter(lives, pids):
            os.kill(pid, number)
        end = time.monotonic() + 5.0
        while any(map(lives, pids)) and time.monotonic() < end:
            time.sleep(0.05)
