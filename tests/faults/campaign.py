"""What campaigns are made of: cases by number, a driver that counts what became of them, a line that repeats one."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import platform
import random
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


class Failed(AssertionError):
    """A case did not pass; says why."""


def expect(condition: object, text: str) -> None:
    """Raise Failed with `text` unless the condition holds."""
    if not condition:
        raise Failed(text)


@dataclass(frozen=True)
class Case:
    """One case. `folder` is its own and empty; `shared` is one for all cases of a campaign."""

    campaign: str
    seed: int
    number: int
    folder: Path
    shared: Path

    @functools.cached_property
    def draw(self) -> random.Random:
        """All that is random in the case."""
        return random.Random(f"{self.campaign}/{self.seed}/{self.number}")

    def pick(self, total: int) -> int:
        """Which of `total` numbered things this case tries: each once before any comes again."""
        order = list(range(total))
        random.Random(f"{self.campaign}/{self.seed}").shuffle(order)
        return order[self.number % total]


@dataclass(frozen=True)
class Campaign:
    """A kind of fault.

    Attributes
    ----------
    short, long
        Cases in the test suite and in the long form; `long` 0: as many as `total` counts.
    case
        Runs one case, raises where it does not pass, and says in a word or two what became of it.
    total
        How many different cases there are, where they can be counted.
    needs_mpi
        Starts ranks with mpiexec.
    """

    name: str
    short: int
    long: int
    case: Callable[[Case], str]
    total: Callable[[Path], int] | None = None
    needs_mpi: bool = False


@dataclass
class Report:
    """What became of the cases of one campaign."""

    campaign: str
    seed: int
    cases: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def line(self) -> str:
        """One line for people."""
        became = ", ".join(f"{n} {what}" for what, n in self.outcomes.most_common())
        return f"{self.campaign}: {self.cases} cases, {len(self.failures)} failed, {self.seconds:.0f} s ({became})"

    def record(self) -> str:
        """One line of JSON, with what is needed to repeat it."""
        about = {
            "campaign": self.campaign, "seed": self.seed, "cases": self.cases, "failed": len(self.failures),
            "seconds": round(self.seconds, 1), "outcomes": dict(self.outcomes), "failures": self.failures,
            "commit": commit(), "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.release()}",
            "python": platform.python_version(), "date": time.strftime("%Y-%m-%d %H:%M"),
        }  # fmt: skip
        return json.dumps(about)


@functools.cache
def unit_test(name: str) -> ModuleType:
    """A module of tests/unit: campaigns go on where the suite's own tests of faults stop."""
    path = ROOT / "tests" / "unit" / f"{name}.py"
    found = importlib.util.spec_from_file_location(f"faults_{name}", path)
    assert found and found.loader
    module = sys.modules[found.name] = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@functools.cache
def commit() -> str:
    """What was checked out here when it was first asked for, with a + where files differ from it."""
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty=+"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def again(case: Case) -> str:
    """The command that repeats a case."""
    return f"launch/faults --campaign {case.campaign} --seed {case.seed} --case {case.number}"


def drive(
    campaign: Campaign, numbers: Iterable[int], seed: int, folder: Path, say: Callable[[str], None] = lambda text: None
) -> Report:
    """Run cases one after the other; a failure does not end the campaign."""
    report, began = Report(campaign.name, seed), time.monotonic()
    shared = folder / f"{campaign.name}-shared"
    shared.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        own = folder / f"{campaign.name}-{number}"
        own.mkdir(parents=True)
        case, kept = Case(campaign.name, seed, number, own, shared), False
        try:
            outcome = campaign.case(case)
            say(f"{campaign.name} {number}: {outcome}")
        except Exception as error:
            outcome, kept = "FAILED", True
            where = "" if isinstance(error, Failed) else "\n" + traceback.format_exc()
            report.failures.append(f"case {number}: {type(error).__name__}: {error}")
            say(f"{campaign.name} {number}: FAILED: {error}{where}\n  files: {own}\n  again: {again(case)}")
        report.cases += 1
        report.outcomes[outcome] += 1
        if not kept:
            subprocess.run(["rm", "-rf", str(own)], check=False)
    report.seconds = time.monotonic() - began
    return report


def to_stderr(text: str) -> None:
    """Tell whoever watches a campaign."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
