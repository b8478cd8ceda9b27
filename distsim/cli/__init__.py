"""The command line: a file per command. Only here does distsim print."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from distsim.cli.parser import build_parser
from distsim.comm import connect, launched_as
from distsim.errors import CommunicationError, ConfigError, DistsimError, one_line, phase_of

EXIT_WRONG_INPUT = ConfigError.exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    What distsim expects to go wrong is one line on standard error and the error's exit code (wrong input: 2). Where
    one of several ranks fails, all end and the line names the rank and the phase; where all fail alike, rank 0
    says so once. Everything else is an exception, which under MPI ends all ranks too.
    """
    options = build_parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (DistsimError, MemoryError) as error:
        return _end(error, launched_as()[1] > 1 and options.parallel)
    except Exception:
        if launched_as()[1] > 1 and options.parallel:
            connect()  # so that a rank that fails before MPI starts is not waited for: its excepthook ends all
        raise


def _end(error: DistsimError | MemoryError, parallel: bool) -> int:
    """Say why and return the exit code; or raise, where other ranks would go on without this one."""
    code = error.exit_code if isinstance(error, DistsimError) else 1
    parting = None
    if parallel:
        try:
            comm = connect()
        except CommunicationError:  # ranks that never find each other: each of them comes here
            comm = None
        if comm is not None and comm.agreed is not error:
            if not comm.all_end():
                raise error
            parting = comm
        elif comm is not None:
            follows = isinstance(error, CommunicationError)
            if code != EXIT_WRONG_INPUT or (comm.rank and not follows):
                raise error
    if launched_as()[0] == 0:
        phase = f"{phase_of(error)}: " if isinstance(error, MemoryError) and phase_of(error) else ""
        sys.stderr.write(f"distsim: {phase}{one_line(error)}\n")
        sys.stderr.flush()
    if parting is not None:
        parting.leave(code)
    return code
