"""Structures of sampling.h and values.cpp."""

from __future__ import annotations

from distsim.kernels.structs import declare

Sampler = declare(
    "Sampler",
    [
        ("kind", "int32"),
        ("mirror", "uint32"),  # all bits where the factor is negative, so that draws grow with the word
        ("first", "double"),
        ("second", "double"),
        ("third", "double"),
        ("factor", "double"),
        ("offset", "double"),
        ("p_low", "double"),
        ("p_width", "double"),
        ("low", "double"),
        ("high", "double"),
    ],
)
CONSTANT_VALUE, UNIFORM, NORMAL, LOGNORMAL, UNIFORM_INT, EXPONENTIAL, GAMMA = range(7)  # the enum in sampling.h

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
