"""A process whose file-system calls can be refused (see refuse.cpp): it forks one child for each request.

Requests and answers are lines of JSON: {"under", "at", "code", "sticky", "arguments"} gives {"code", "said", "calls"}.
A fork costs milliseconds, a Python process a second; there are hundreds of calls to refuse.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any


def answer(request: dict[str, Any], read: int, write: int) -> dict[str, Any]:
    """Run the command line in a child; what it said on standard error, its exit code, the calls that were counted."""
    said, calls = Path(request["said"]), Path(request["calls"])
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.close(read)
            os.close(write)
            null, out = os.open(os.devnull, os.O_RDWR), os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(null, 0)
            os.dup2(null, 1)
            os.dup2(out, 2)
            shim = ctypes.CDLL(None)
            shim.faults_seen.restype = ctypes.c_char_p
            shim.faults_arm(request["under"].encode(), request["at"], request["code"], request["sticky"])
            try:
                from distsim import runner
                from distsim.cli import main

                if not request["figure"]:
                    vars(runner)["draw"] = lambda *arguments: None

                code = main(request["arguments"])
            except BaseException:
                traceback.print_exc()
                code = 98
            sys.stderr.flush()
            shim.faults_arm(b"", 0, 0, 0) if request["at"] else calls.write_bytes(shim.faults_seen())
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"code": status, "said": said.read_text(errors="replace")}


def main() -> None:
    """Serve until standard input ends; the first line names what to run here, so that children find all imported."""
    read, write = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # whatever is printed here goes elsewhere
    with os.fdopen(read, "r") as requests, os.fdopen(write, "w") as answers:
        from distsim.cli import main as command

        with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
            assert command(json.loads(requests.readline())) == 0
        for line in requests:
            answers.write(json.dumps(answer(json.loads(line), read, write)) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
