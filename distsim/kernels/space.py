"""Structures of space.h and spatial.cpp."""

from __future__ import annotations

from distsim.expressions import OPERATIONS
from distsim.kernels.structs import declare

GRID, BOX, BALL, LISTED = range(4)  # how positions are known: the enum in space.h

# Positions of one population's neurons; what stands in three members is one number an axis.
Layer = declare(
    "Layer",
    [
        ("first_gid", "uint64"),
        ("kind", "uint32"),
        ("dimensions", "uint32"),
        ("n_x", "uint64"),  # grids: points along x and y
        ("n_y", "uint64"),
        ("low_x", "double"),  # the lower corner (grids: half a step before the first point), or the centre of a ball
        ("low_y", "double"),
        ("low_z", "double"),
        ("size_x", "double"),  # edges, steps or half axes
        ("size_y", "double"),
        ("size_z", "double"),
        ("inner", "double"),  # the share of a ball's half axes that is left out
        ("table", "const double*"),  # [neuron][axis]
    ],
)

# Steps of an expression in postfix order: an operation each, and the number of a constant or the index of a name.
Program = declare("Program", [("operation", "const uint32*"), ("value", "const double*"), ("n", "uint64")])

# Cells of a regular grid over one selection of sources. Cell (i, j, k) holds the entries begin[i + n_x (j + n_y k)] and
# on of `member` (places in the selection) and of x, y, z; without `begin` each cell is the place of its own number.
Cells = declare(
    "Cells",
    [
        ("begin", "const uint32*"),
        ("member", "const uint32*"),
        ("x", "const double*"),
        ("y", "const double*"),
        ("z", "const double*"),
        ("n_x", "int64"),
        ("n_y", "int64"),
        ("n_z", "int64"),
        ("low_x", "double"),
        ("low_y", "double"),
        ("low_z", "double"),
        ("per_x", "double"),  # cells per unit of length
        ("per_y", "double"),
        ("per_z", "double"),
    ],
)

Space = declare(
    "Space",
    [
        ("sources", "const Layer*"),  # [selection]
        ("cells", "const Cells*"),  # of sources: [selection]; by source: of the local targets, or of all of them
        ("target", Layer),
        ("period_x", "double"),  # lengths of the periodic box; 0 along open axes
        ("period_y", "double"),
        ("period_z", "double"),
        ("anchor_x", "double"),  # the mask's centre, as a displacement from the source
        ("anchor_y", "double"),
        ("anchor_z", "double"),
        ("window_low_x", "double"),  # displacements from its centre that the mask lets through
        ("window_low_y", "double"),
        ("window_low_z", "double"),
        ("window_high_x", "double"),
        ("window_high_y", "double"),
        ("window_high_z", "double"),
        ("radius", "double"),  # of a sphere around the mask; 0: none smaller than the window
        ("furthest", "double"),  # the square of a distance that no candidate exceeds
        ("names", "uint32"),  # bit k: some program uses name k
        ("by_source", "uint32"),  # do sources look for targets?
        ("chance", Program),
        # of fixed degrees, for each neuron that draws: up to when its events are connections, those of just that time
        # up to which partner, and the number of candidates where there are too few of them, else ~0
        ("limit", "double*"),
        ("last", "uint64*"),
        ("candidates", "uint32*"),
        # by target the local targets, cell by cell; while limits are searched for, those who need one
        ("order", "const uint32*"),
        ("n_drawing", "uint64"),  # how many these are
        ("most", "double"),  # that a chance can be
        ("weight", Program),
        ("delay", Program),
        ("weight_low", "double"),
        ("weight_high", "double"),
        ("dt", "double"),
    ],
)

OPERATION_ENUM = "enum { " + ", ".join(f"OP_{name.upper()}" for name in OPERATIONS) + " };\n"
LAYER_ENUM = "enum { LAYER_GRID, LAYER_BOX, LAYER_BALL, LAYER_LISTED };\n"

Located = declare(
    "Located",
    [
        ("layer", Layer),
        ("seed", "uint32"),
        ("unused", "uint32"),
        ("n", "uint64"),
        ("first", "uint64"),
        ("gid", "uint64"),  # of place 0
        ("step", "uint64"),
        ("list", "const uint64*"),
        ("x", "double*"),
        ("y", "double*"),
        ("z", "double*"),
    ],
)
