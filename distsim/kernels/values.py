"""Structures of arithmetic.h and values.cpp."""

from __future__ import annotations

from distsim.kernels.structs import declare

Sampler = declare(
    "Sampler",
    [
        ("kind", "int32"),
        ("unused", "int32"),
        ("first", "double"),
        ("second", "double"),
        ("p_low", "double"),
        ("p_width", "double"),
        ("low", "double"),
        ("high", "double"),
    ],
)
CONSTANT_VALUE, UNIFORM, NORMAL, LOGNORMAL = range(4)  # the enum in arithmetic.h

Values = declare(
    "Values",
    [
        ("n", "uint64"),
        ("gid", "uint64"),
        ("stride", "uint64"),
        ("seed", "uint32"),
        ("stream", "uint32"),
        ("index", "uint32"),
        ("unused", "uint32"),
        ("per_unit", "double"),
        ("sampler", Sampler),
        ("drawn", "double*"),
        ("thresholds", "uint64*"),
    ],
)
