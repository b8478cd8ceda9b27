"""Assembles translation units from the kernels' sources; the same text goes to NVRTC and to the host."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from distsim.kernels import connect, loop, values
from distsim.kernels.structs import cpp_of
from distsim.kernels.update import GroupShape
from distsim.streams import Stream

FOLDER = Path(__file__).parent

# Names by which the two parts are launched.
RULES = ("one_to_one", "all_to_all", "fixed_indegree", "fixed_total_number", "pairwise_bernoulli", "explicit")
BUILD_KERNELS = ("split_level", "split_to_targets", "row_totals", "write_runs", "draw_values", "find_thresholds")
CONSTRUCTION_KERNELS = (*(f"{verb}_{rule}" for rule in RULES for verb in ("count", "fill")), *BUILD_KERNELS)
TEST_KERNELS = ("evaluate", "evaluate_function", "philox_words")
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
        + _text("functions.h")
        + cpp_of(values.Sampler)
        + _text("sampling.h")
        + _text("synapse.h")
    )


def construction_source(double: bool) -> str:
    """Everything that builds a network; independent of the network."""
    rules = "enum { ONE_TO_ONE, ALL_TO_ALL, FIXED_INDEGREE, FIXED_TOTAL_NUMBER };\n"
    structures = "".join(cpp_of(s) for s in (values.Values, connect.Connect, connect.Rows, connect.Shares))
    files = ("connect.cpp", "shares.cpp", "rows.cpp", "values.cpp")
    return _head(double) + rules + structures + "".join(_text(f) for f in files)


def loop_source(double: bool, shapes: Sequence[GroupShape], host: bool = True) -> str:
    """Everything that runs a network whose groups have these shapes.

    `host` adds the host's own loop over the kernels, which a GPU's compiler passes over.
    """
    scaled = any(n and r.scaled for s in shapes for n, r in zip(s.planes, s.model.receptors, strict=True))
    parts = [
        f"#define SCALED {int(scaled)}\n",
        _head(double),
        _text("sent.h"),
        cpp_of(loop.Recorder),
        cpp_of(loop.Loop),
        _text("update.h"),
    ]
    parts += [shape.source() for shape in shapes]
    parts += [_text("deliver.cpp"), _text("spread.cpp")]
    if host:
        names = [s.model.symbol for s in shapes]
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
