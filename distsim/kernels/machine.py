"""Arguments and source of the kernels that measure a machine; see machine.cpp."""

from __future__ import annotations

from distsim.kernels.sources import FOLDER, words_source
from distsim.kernels.structs import cpp_of, declare

MACHINE_KERNELS = ("nothing", "hold", "copy", "chase", "scatter", "multiply")

Machine = declare(
    "Machine",
    [
        ("from", "const void*"),
        ("to", "void*"),
        ("n", "uint64"),  # items or groups; of chase, the first place
        ("rounds", "uint64"),
        ("mask", "uint64"),
        ("nanoseconds", "uint64"),
    ],
)


def machine_source() -> str:
    """The translation unit, for every device."""
    return words_source() + cpp_of(Machine) + (FOLDER / "machine.cpp").read_text()
