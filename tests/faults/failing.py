"""`python -m faults.failing PHASE KIND RANK run CONFIG …`: the command line, with a fault planted in one rank.

A function that the phase calls is replaced on that rank: it raises, or a state becomes NaN before it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

# Phase → a function that only it calls, and which of its calls fails.
PLACES: dict[str, tuple[str, str, int]] = {
    "config": ("distsim.config.load", "apply_overrides", 1),
    "output": ("distsim.record", "SegmentFiles", 1),
    "compile": ("distsim.backend.host", "_version", 1),
    "partition": ("distsim.build.partition", "partition_of", 1),
    "construct": ("distsim.engine.simulation", "build_rows", 1),
    "routing": ("distsim.build.routing", "Routing", 1),
    "run": ("distsim.backend.host:HostStepper", "finish", 60),
    "exchange": ("distsim.comm:_MpiCollective", "start", 60),
    "checkpoint": ("distsim.checkpointing", "write_arrays", 2),
    "merge": ("distsim.output", "merge_spikes", 1),
}
# Where a number can be NaN: in the description, in states that were drawn, that were computed, that are kept.
NAN = ("config", "construct", "run", "checkpoint")
KINDS = ("exception", "memory", "nan")
CASES = [(phase, kind) for phase in PLACES for kind in KINDS if kind != "nan" or phase in NAN]
SAID = {"exception": ("RuntimeError: planted",), "memory": ("out of memory",), "nan": ("nan", "not a number")}


def plant(phase: str, kind: str) -> None:
    """Replace the function of the phase on this rank."""
    if kind == "nan":
        return plant_nan(phase)

    def fail(*arguments: Any, **named: Any) -> Any:
        if kind == "memory":
            raise MemoryError("Unable to allocate 7.28 TiB for an array")
        raise RuntimeError("planted")

    module, name, nth = PLACES[phase]
    at_call(module, name, nth, lambda *arguments: fail())


def plant_nan(phase: str) -> None:
    if phase == "config":
        module = import_module("distsim.config.load")
        original = module.apply_overrides

        def overrides(document: dict[str, Any], given: Any) -> Any:
            document["populations"]["E"]["params"]["tau_m"] = float("nan")
            return original(document, given)

        module.apply_overrides = overrides  # type: ignore[attr-defined]
    elif phase == "construct":
        at_call("distsim.engine.simulation:Simulation", "_set_up_loop", 1, spoil)
    elif phase == "run":
        module = import_module("distsim.engine.simulation")
        run_to = module.Simulation.run_to

        def spoiled(self: Any, *arguments: Any) -> None:
            if self.step > 300:
                spoil(self)  # the kernel has to see it in the steps to come
            run_to(self, *arguments)

        module.Simulation.run_to = module.during("run")(spoiled)
    else:
        module = import_module("distsim.checkpointing")
        flush = module.Simulation.flush

        def spoiled_flush(self: Any) -> None:
            spoil(self)
            flush(self)

        module.Simulation.flush = spoiled_flush


def spoil(simulation: Any, *arguments: Any) -> None:
    """Make the first neuron's membrane potential NaN."""
    state = simulation.groups[0].states["V_m"]
    values = simulation.backend.to_host(state).copy()
    values[0] = np.nan
    simulation.backend.copy_into(state, values)


def at_call(place: str, name: str, nth: int, act: Callable[..., Any]) -> None:
    """Call `act` before the `nth` call of a function of a module, or of MODULE:CLASS."""
    module, _, owner = place.partition(":")
    holder = getattr(import_module(module), owner) if owner else import_module(module)
    original, calls = getattr(holder, name), [0]

    def call(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == nth:
            act(*arguments)
        return original(*arguments, **named)

    setattr(holder, name, call)


def main() -> int:
    from distsim.cli import main as command
    from distsim.comm import launched_as

    phase, kind, rank = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if launched_as()[0] == rank:
        plant(phase, kind)
    return command(sys.argv[4:])


if __name__ == "__main__":
    sys.exit(main())
