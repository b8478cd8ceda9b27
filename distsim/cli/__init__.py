"""The command line: a file per command. Only here does distsim print."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from distsim.cli.parser import build_parser
from distsim.comm import launched_as
from distsim.errors import BackendError, CapacityError, CommunicationError, ConfigError, DistsimError, Stopped

EXIT_WRONG_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Wrong input (a description, a file, a network too large, a missing compiler, a launcher that disagrees)
    is one line on standard error and exit code 2. Everything else that goes wrong is an exception: under
    MPI it ends all ranks and names the one that failed.
    """
    options = build_parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (ConfigError, BackendError, CapacityError, CommunicationError) as error:
        _say(error)
        return EXIT_WRONG_INPUT
    except DistsimError as error:
        if launched_as()[1] > 1:
            raise
        _say(error)
        return error.exit_code if isinstance(error, Stopped) else 1


def _say(error: Exception) -> None:
    if launched_as()[0] == 0:
        line = " ".join(str(error).split())
        sys.stderr.write(f"distsim: {line}\n")
        sys.stderr.flush()
