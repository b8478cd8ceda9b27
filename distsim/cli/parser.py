"""Arguments of all commands. Commands are imported when they run: `--help` stays quick."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from distsim.comm import launched_as
from distsim.errors import nearest
from distsim.version import __version__


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, on rank 0, and that knows options by their whole name."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **settings})
        self.commands: dict[str, _Parser] = {}

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            command = self.commands.get(found.name, self)
            command.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(unknown[0], command)}")
        return found

    def error(self, message: str) -> NoReturn:
        if launched_as()[0] == 0:
            sys.stderr.write(f"{self.prog}: {message}{'' if message.endswith('?') else ';'} see {self.prog} --help\n")
        sys.exit(2)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            way = nearest("cuda" if value == "gpu" else str(value), action.choices)
            self.error(f"unknown {action.metavar or action.dest} {value!r}; {way}")


def _meant(option: str, command: _Parser) -> str:
    """The way out after an option that `command` does not have."""
    rest = {"run": "CONFIG", "resume": "resume DIR", "export": "export CONFIG"}.get(command.prog.rpartition(" ")[2])
    if rest and option.split("=")[0] in ("-n", "-np", "--np", "--ntasks", "--ranks"):
        return f"; ranks are started from outside: launch/run -n RANKS {rest}, or mpiexec"
    options = [name for action in command._actions for name in action.option_strings if name.startswith("--")]
    close = difflib.get_close_matches(option.split("=")[0], options, n=1) if option.startswith("-") else []
    return f"; did you mean {close[0]!r}?" if close else ""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `distsim`."""
    parser = _Parser(prog="distsim", description="Large networks of spiking neurons, the same result everywhere.")
    parser.add_argument("--version", action="version", version=f"distsim {__version__}")
    parser.set_defaults(parallel=False)
    commands = parser.add_subparsers(dest="name", metavar="COMMAND", required=True, parser_class=_Parser)

    run = commands.add_parser("run", help="run an experiment", description="Run the experiment in CONFIG.")
    _config(run)
    run.add_argument("--out", type=Path, metavar="DIR", help="where results go (default: results/NAME, numbered on)")
    run.add_argument("--overwrite", action="store_true", help="replace the results in DIR")
    run.add_argument("--resume", action="store_true",
                     help="go on from the newest checkpoint in DIR, or start (default DIR: results/NAME)")  # fmt: skip
    _running(run)
    run.set_defaults(command=_command("distsim.cli.run"))
    resume = commands.add_parser(
        "resume", help="go on with a run", description="Go on with the run in DIR from its newest valid checkpoint."
    )
    resume.add_argument("directory", type=Path, metavar="DIR", help="results of distsim run, complete or not")
    _overrides(resume)
    _running(resume)
    resume.set_defaults(command=_command("distsim.cli.resume"))
    export = commands.add_parser(
        "export", help="write a network as a SONATA circuit", description="Build the network of CONFIG and write it."
    )
    _config(export)
    export.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="an empty folder, or a name that is free"
    )
    export.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="what builds (default: auto)")
    export.add_argument("--ignore-memory", action="store_true", help="build even what is expected not to fit")
    export.set_defaults(command=_command("distsim.cli.export"), parallel=True)
    _inspecting(commands)
    _looking(commands)
    _verifying(commands)

    bench = commands.add_parser(
        "bench", help="measure speed and memory", description="Measure; print and save a table."
    )
    names = "microcircuit, microcircuit_0.1, quickstart_start, full_scale_rates, floor, random, memory, models, "
    names += "weak-scaling, procedural"
    bench.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"{names} (default: the first three)")
    bench.add_argument("-n", dest="ranks", type=int, default=2, metavar="RANKS", help="ranks (default: 2)")
    bench.add_argument("--repeat", type=int, default=3, metavar="K", help="runs of each; medians are shown")
    bench.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="what computes (default: auto)"
    )
    bench.add_argument("--neurons", type=int, metavar="N",
                       help="of random, memory (default: 20,000; 1 M on a GPU), weak-scaling, procedural")  # fmt: skip
    bench.add_argument("--synapses", type=int, metavar="N", help="likewise (default: 20 M; 10 G on a GPU)")
    bench.add_argument("--delays", type=int, default=1, metavar="N", help="likewise: different delays (default: 1)")
    bench.add_argument(
        "--duration", type=float, metavar="MS", help="of floor (2000), random, memory and procedural (200)"
    )
    bench.add_argument("--out", type=Path, metavar="FILE", help="append the table to FILE")
    bench.add_argument("--json", type=Path, metavar="FILE", help="figures, machine and summaries, as JSON")
    bench.set_defaults(command=_command("distsim.cli.bench"))
    parser.commands = dict(commands.choices)
    return parser


def _config(command: argparse.ArgumentParser) -> None:
    command.add_argument("config", type=Path, metavar="CONFIG", help="a YAML file")
    _overrides(command)


def _overrides(command: argparse.ArgumentParser) -> None:
    command.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
                         help="change one entry, e.g. --set run.seed=7 (may be repeated)")  # fmt: skip


def _running(run: argparse.ArgumentParser) -> None:
    """Options of commands that run something, on all ranks together."""
    run.set_defaults(parallel=True)
    run.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                     help="what computes (default: auto, an NVIDIA GPU where one can be used, else cpu)")  # fmt: skip
    run.add_argument("-q", "--quiet", action="store_true", help="only warnings, errors and the spike digest")
    run.add_argument("-v", "--verbose", action="count", default=0, help="what each phase did; -vv: in more detail")
    run.add_argument("--progress", choices=("auto", "bar", "lines", "json"), default="auto",
                     help="json: one object a line, the summary last (default: auto)")  # fmt: skip
    run.add_argument("--log-file", action="store_true", help="a log of each rank in DIR: log.rank0000.txt …")
    run.add_argument(
        "--profile", action="store_true", help="what each phase and kernel took: a table, and in summary.json"
    )
    run.add_argument("--ignore-memory", action="store_true", help="build even what is expected not to fit")


def _inspecting(commands: argparse._SubParsersAction[_Parser]) -> None:
    """Commands that run nothing."""
    check = commands.add_parser(
        "check", help="validate an experiment", description="Validate CONFIG and all files it refers to; show it."
    )
    _config(check)
    check.add_argument("--all", action="store_true", help="all populations and projections, however many")
    check.set_defaults(command=_command("distsim.cli.check"))

    estimate = commands.add_parser(
        "estimate", help="memory of a run, before it", description="Estimate the memory that CONFIG needs."
    )
    _config(estimate)
    estimate.add_argument(
        "-n", "--ranks", dest="ranks", type=int, default=1, metavar="RANKS", help="on so many ranks (default: 1)"
    )
    estimate.add_argument("--json", action="store_true", help="as JSON, in bytes")
    estimate.add_argument("--dry-run", action="store_true", help="build one rank's share, and count what is there")
    estimate.add_argument("--rank", type=int, metavar="R", help="which, with --dry-run (default: 0)")
    estimate.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu",
                          help="what builds it, with --dry-run (default: cpu)")  # fmt: skip
    estimate.add_argument("--ignore-memory", action="store_true", help="build even what is expected not to fit")
    estimate.add_argument("--rate", type=float, metavar="HZ",
                          help="of every neuron (default: published rates where there are some, else 5)")  # fmt: skip
    estimate.add_argument("--device-memory", metavar="SIZE", help="how many devices of that much, such as 141GB")
    estimate.set_defaults(command=_command("distsim.cli.estimate"))

    schema = commands.add_parser(
        "schema", help="JSON schema of CONFIG for editors", description="Print the JSON schema of experiment files."
    )
    schema.add_argument("--out", type=Path, metavar="FILE", help="write it to FILE")
    schema.set_defaults(command=_command("distsim.cli.schema"))

    models = commands.add_parser(
        "models",
        help="the models and inputs there are, or all about one",
        description="List the models and inputs, or show one's page.",
    )
    models.add_argument("model", nargs="?", metavar="NAME", help="a model, an input, or my_models.py:my_model")
    models.set_defaults(command=_command("distsim.cli.models"))

    info = commands.add_parser("info", help="what distsim finds here", description="Versions, MPI, compiler, devices.")
    info.set_defaults(command=_command("distsim.cli.info"))


def _looking(commands: argparse._SubParsersAction[_Parser]) -> None:
    """Commands for results."""
    plot = commands.add_parser("plot", help="draw results", description="Draw the results in DIR as one figure.")
    plot.add_argument("directory", type=Path, metavar="DIR", help="results of distsim run")
    plot.add_argument("--what", default="raster,rates,isi,cv,power", metavar="PANELS",
                      help="some of raster,rates,states,isi,cv,power (default: all but states)")  # fmt: skip
    plot.add_argument(
        "--out", type=Path, metavar="FILE", help="PNG, PDF or SVG by its ending (default: DIR/figure.png)"
    )
    plot.add_argument(
        "--window", type=float, default=300.0, metavar="MS", help="length of raster and states (default: 300)"
    )
    plot.set_defaults(command=_command("distsim.cli.plot"))

    compare = commands.add_parser(
        "compare", help="compare two runs",
        description="Compare the results in DIR1 and DIR2; exit code 0 where their digests are equal, else 1.",
    )  # fmt: skip
    compare.add_argument("first", type=Path, metavar="DIR1")
    compare.add_argument("second", type=Path, metavar="DIR2")
    compare.add_argument("--seeds", type=Path, nargs="+", default=[], metavar="DIR",
                         help="runs of the same network with other seeds: the distances to expect")  # fmt: skip
    compare.set_defaults(command=_command("distsim.cli.compare"))


def _verifying(commands: argparse._SubParsersAction[_Parser]) -> None:
    verify = commands.add_parser(
        "verify", help="check results and checkpoints",
        description="Check the results and checkpoints in DIR; exit code 0 where nothing is wrong, else 1.",
    )  # fmt: skip
    verify.add_argument("directory", type=Path, metavar="DIR", help="results of distsim run, complete or not")
    verify.set_defaults(command=_command("distsim.cli.verify"))


def _command(module: str) -> Callable[[argparse.Namespace], int]:
    def call(options: argparse.Namespace) -> int:
        return int(import_module(module).main(options))

    return call
