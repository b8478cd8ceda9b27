"""`distsim verify DIR`: are results and checkpoints what was written, and is what was written consistent?"""

from __future__ import annotations

import argparse
import sys

from distsim.errors import ConfigError, ResultError
from distsim.verification import verify


def main(options: argparse.Namespace) -> int:
    """A line for each thing that was looked at; exit code 0 where all are right, else 1."""
    wrong = looked_at = 0
    try:
        for finding in verify(options.directory):
            looked_at += 1
            wrong += not finding.right
            sys.stdout.write(f"{'ok   ' if finding.right else 'WRONG'}  {finding.text}\n")
    except ResultError as error:
        raise ConfigError(str(error)) from error
    sys.stdout.write(f"{looked_at - wrong} of {looked_at} right\n")
    return 1 if wrong else 0
