"""Arguments of all commands. Commands are imported when they run: `--help` stays quick."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from distsim.comm import launched_as
from distsim.errors import nearest
from distsim.version import __version__


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, on rank 0."""

    def error(self, message: str) -> NoReturn:
        if launched_as()[0] == 0:
            sys.stderr.write(f"{self.prog}: {message}; see {self.prog} --help\n")
        sys.exit(2)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            self.error(f"unknown {action.metavar or action.dest} {value!r}; {nearest(str(value), action.choices)}")


def build_parser() -> argparse.ArgumentParser:
    """The parser of `distsim`."""
    parser = _Parser(prog="distsim", description="Large networks of spiking neurons, the same result everywhere.")
    parser.add_argument("--version", action="version", version=f"distsim {__version__}")
    commands = parser.add_subparsers(dest="name", metavar="COMMAND", required=True, parser_class=_Parser)

    run = commands.add_parser("run", help="run an experiment", description="Run the experiment in CONFIG.")
    run.add_argument("config", type=Path, metavar="CONFIG", help="a YAML file")
    run.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
                     help="change one entry, e.g. --set run.seed=7 (may be repeated)")  # fmt: skip
    run.add_argument("--out", type=Path, metavar="DIR", help="where results go (default: results/NAME, numbered on)")
    run.add_argument("--overwrite", action="store_true", help="replace the results in DIR")
    run.add_argument("--device", choices=("auto", "cpu"), default="auto", help="what computes (default: auto)")
    run.set_defaults(command=_command("distsim.cli.run"))

    bench = commands.add_parser(
        "bench", help="measure speed and memory", description="Measure; print and save a table."
    )
    names = "microcircuit, microcircuit_0.1, quickstart_start, full_scale_rates"
    bench.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"{names} (default: the first three)")
    bench.add_argument("-n", dest="ranks", type=int, default=2, metavar="RANKS", help="ranks of the full-scale runs")
    bench.add_argument("--repeat", type=int, default=3, metavar="K", help="runs of each; medians are shown")
    bench.add_argument("--out", type=Path, metavar="FILE", help="append the table to FILE")
    bench.set_defaults(command=_command("distsim.cli.bench"))
    return parser


def _command(module: str) -> Callable[[argparse.Namespace], int]:
    def call(options: argparse.Namespace) -> int:
        return int(import_module(module).main(options))

    return call
