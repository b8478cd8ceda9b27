"""What all tests share: paths, reproducible hypothesis runs, quiet MPI ranks, the GPU's switch.

Knows nothing of the engine, and does not import mpi4py: the launcher's environment tells the rank before MPI_Init.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

try:
    import hypothesis
except ImportError:  # a GPU machine without the test extra still runs the other tests
    pass
else:
    # Derandomised: every rank draws the same examples, and a red run in CI is red again here.
    hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
    hypothesis.settings.register_profile("explore", deadline=None, print_blob=True)
    hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

REPO_ROOT = Path(__file__).resolve().parent.parent


def launcher_rank() -> int:
    """This process's rank as the launcher's environment tells it (0 without a launcher)."""
    for name in ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


class OtherRankReporter:
    """Shows the failures of a rank other than 0, each in one write, and nothing else."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def show(self, nodeid: str, text: str) -> None:
        lines = f"\nFAILED on rank {self.rank}: {nodeid}\n{text}".splitlines()
        sys.__stderr__.write("\n".join(f"[rank {self.rank}] {line}".rstrip() for line in lines) + "\n")
        sys.__stderr__.flush()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.show(f"{report.nodeid} ({report.when})", report.longreprtext)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.show(f"{report.nodeid} (collection)", report.longreprtext)

    def pytest_internalerror(self, excrepr: object) -> None:
        self.show("pytest itself", str(excrepr))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    rank = launcher_rank()
    plugins = config.pluginmanager
    if rank and config.getoption("--with-mpi", default=False) and plugins.has_plugin("terminalreporter"):
        # Replaced, not removed: assertion rewriting and pytest-timeout ask the reporter for its writer.
        plugins.unregister(name="terminalreporter")
        silent = TerminalReporter(config, file=open(os.devnull, "w"))  # noqa: SIM115 (lives as long as the session)
        plugins.register(silent, "terminalreporter")
        plugins.register(OtherRankReporter(rank), "other-rank-reporter")


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Leave the counts for launch/test, which sums them over its parts.

    Workers of xdist have a reporter too, and end with this as well: the process that started them counts for all.
    """
    path = os.environ.get("DISTSIM_TEST_COUNTS")
    if path and launcher_rank() == 0 and not hasattr(terminalreporter.config, "workerinput"):
        stats = terminalreporter.stats
        counts = [len(stats.get(kind, ())) for kind in ("passed", "failed", "error", "skipped")]
        with open(path, "a") as file:
            file.write(" ".join(map(str, counts)) + "\n")


def _gpu_is_available() -> bool:
    try:
        import cupy
    except ImportError:
        return False
    return bool(cupy.cuda.is_available())


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not _gpu_is_available():
        if os.environ.get("DISTSIM_REQUIRE_GPU") == "1":
            pytest.fail("DISTSIM_REQUIRE_GPU=1, but CuPy finds no NVIDIA device")
        pytest.skip("no NVIDIA device (or no CuPy)")


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The repository's root."""
    return REPO_ROOT


@pytest.fixture
def results_dir(tmp_path: Path) -> Path:
    """A place for `--out`: does not exist yet. Under MPI each rank gets another; build on mpi_tmp_path there."""
    return tmp_path / "results"
