"""Structures of regrow.cpp."""

from __future__ import annotations

from distsim.kernels.structs import declare

# How a row is drawn: along a tree of targets; over all local targets; a single synapse; among the targets in reach.
REGROW_SCATTERED, REGROW_ALL, REGROW_ONE, REGROW_SPATIAL = range(4)
REGROW_ENUM = "enum { REGROW_SCATTERED, REGROW_ALL, REGROW_ONE, REGROW_SPATIAL };\n"

# A projection onto the local neurons of one population whose synapses are drawn again for each spike.
Regrown = declare(
    "Regrown",
    [
        ("connect", "const Connect*"),
        ("kind", "uint32"),
        ("positive_base", "uint32"),  # where weights of either sign are added: their plane in a slot of the input
        ("negative_base", "uint32"),
        ("positive_scaled", "uint32"),  # see sent.h
        ("negative_scaled", "uint32"),
        ("unused", "uint32"),
    ],
)

Procedural = declare(
    "Procedural",
    [
        ("list", "const Regrown*"),
        ("begin", "const uint32*"),  # [set + 1]: a row's `set` - 1 says which of the list it has
        ("source", "const uint64*"),  # [row]: global id
    ],
)
