"""Assembles translation units from the kernels' sources; the same text goes to NVRTC and to the host."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from distsim.kernels import connect, loop, space, values
from distsim.kernels.structs import cpp_of
from distsim.kernels.update import GroupShape
from distsim.streams import Stream

FOLDER = Path(__file__).parent

# Names by which the two parts are launched.
RULES = (
    "one_to_one", "all_to_all", "fixed_indegree", "fixed_total_number", "pairwise_bernoulli", "pairwise_poisson",
    "explicit", "one_to_one_by_source", "all_to_all_by_source", "distinct", "by_source", "symmetric",
    "spatial_bernoulli", "spatial_poisson",
)  # fmt: skip
BUILD_KERNELS = (
    "split_level",
    "split_to_targets",
    "row_totals",
    "write_runs",
    "draw_values",
    "spaced_values",
    "find_thresholds",
    "locate",
)
CONSTRUCTION_KERNELS = (*(f"{verb}_{rule}" for rule in RULES for verb in ("count", "fill")), *BUILD_KERNELS)
TEST_KERNELS = ("evaluate", "philox_words")
LOOP_KERNELS = (
    "deliver", "admit", "spread", "close_step", "next_step", "close_interval", "admit_received", "receive",
    "open_interval", "admit_states", "sample_states", "count_samples",
)  # fmt: skip


@cache
def _text(name: str) -> str:
    """A source file without its includes and pragmas: files are assembled in order instead."""
    lines = (FOLDER / name).read_text().splitlines()
    kept = [x for x in lines if not x.startswith('#include "') and x != "#pragma once"]
    return f"// ---- {name}\n" + "\n".join(kept) + "\n"


def _head(double: bool) -> str:
    streams = ", ".join(f"STREAM_{s.name} = {s.value}" for s in Stream)
    return (
        f"#define DISTSIM_DOUBLE {int(double)}\n"
        + _text("words.h")
        + f"enum {{ {streams} }};\n"
        + f"#define NO_ROW {loop.NO_ROW}u\n"
        + _text("arithmetic.h")
        + cpp_of(values.Sampler)
        + _text("sampling.h")
        + _text("synapse.h")
    )


def construction_source(double: bool) -> str:
    """Everything that builds a network; independent of the network."""
    rules = (
        "enum { ONE_TO_ONE, ALL_TO_ALL, FIXED_INDEGREE, FIXED_TOTAL_NUMBER, PAIRWISE_POISSON };\n"
        "enum { DRAWS_FIXED, DRAWS_BERNOULLI, DRAWS_POISSON };\n"
    )
    declared = (
        values.Values, space.Layer, space.Program, space.Cells, space.Space, space.Located, connect.Side,
        connect.Connect, connect.Rows, connect.Shares,
    )  # fmt: skip
    structures = space.OPERATION_ENUM + space.LAYER_ENUM + "".join(cpp_of(s) for s in declared)
    files = (
        "counts.h", "functions.h", "space.h", "connect.cpp", "scatter.cpp", "spatial.cpp", "shares.cpp", "rows.cpp",
        "values.cpp",
    )  # fmt: skip
    return _head(double) + rules + structures + "".join(_text(f) for f in files)


def loop_source(double: bool, shapes: Sequence[GroupShape], host: bool = True) -> str:
    """Everything that runs a network whose groups have these shapes.

    `host` adds the host's own loop over the kernels, which a GPU's compiler passes over.
    """
    parts = [_head(double), cpp_of(loop.Recorder), cpp_of(loop.Loop), _text("update.h")]
    parts += [shape.source() for shape in shapes]
    parts += [_text("deliver.cpp"), _text("spread.cpp")]
    if host:
        names = [s.model.name for s in shapes]
        members = " ".join(f"const Group_{n}* {n};" for n in names) or "int unused;"
        calls = " ".join(f"update_{n}(groups->{n});" for n in names)
        parts.append(f"#ifndef __CUDACC__\nstruct Groups {{ {members} }};\n")
        parts.append(
            "static inline void update_all(Loop* loop) {\n"
            "    const Groups* groups = (const Groups*)loop->groups;\n"
            f"    {calls}\n    (void)groups;\n}}\n"
        )
        parts.append(_text("host_loop.cpp") + "#endif\n")
    return "".join(parts)
