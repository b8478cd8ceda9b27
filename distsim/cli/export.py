"""`distsim export CONFIG --out DIR`: a network, built by all ranks, as a SONATA circuit."""

from __future__ import annotations

import argparse
import sys

from distsim.backend import open_backend
from distsim.checks import check_ranks
from distsim.cli.run import check_memory, ignores_memory
from distsim.comm import connect, launched_as
from distsim.config import load_experiment
from distsim.engine.simulation import Simulation
from distsim.export import export_circuit
from distsim.io.circuit import SIMULATION
from distsim.io.outdir import check_output


def main(options: argparse.Namespace) -> int:
    """Validate, build, write."""
    experiment = load_experiment(options.config, options.overrides).experiment
    check_ranks(experiment.run, launched_as()[1])
    check_output(options.out)
    backend = open_backend(options.device)
    backend.check()
    if not ignores_memory(options):
        check_memory(experiment, backend)
    comm = connect()
    simulation = Simulation(experiment, comm, backend)
    left_out = export_circuit(simulation, options.out)
    if comm.rank == 0:
        for text in left_out:
            sys.stderr.write(f"distsim: warning: {text}; left out\n")
        sys.stdout.write(f"circuit in {options.out}; run it: distsim run {options.out / SIMULATION}\n")
    return 0
