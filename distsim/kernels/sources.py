"""Assembles translation units from the kernels' sources; the same text goes to NVRTC and to the host."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from distsim.kernels import connect, loop, procedural, reschedule, space, values
from distsim.kernels.structs import cpp_of
from distsim.kernels.update import GroupShape
from distsim.streams import Stream

FOLDER = Path(__file__).parent

# Names by which the two parts are launched.
RULES = (
    "one_to_one", "all_to_all", "fixed_indegree", "fixed_total_number", "pairwise_bernoulli", "pairwise_poisson",
    "explicit", "one_to_one_by_source", "all_to_all_by_source", "distinct", "by_source", "symmetric",
)  # fmt: skip
SPATIAL_RULES = ("spatial", "spatial_by_source")
BUILD_KERNELS = (
    "split_level",
    "split_to_targets",
    "row_totals",
    "row_shortest",
    "write_runs",
    "bucket_totals",
    "open_buckets",
    "sort_buckets",
    "write_sparse_rows",
    "draw_values",
    "draw_rows",
    "spaced_values",
    "find_thresholds",
)


def _of_rules(rules: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{verb}_{rule}" for rule in rules for verb in ("count", "fill"))


CONSTRUCTION_KERNELS = (*_of_rules(RULES), *BUILD_KERNELS)
SPATIAL_KERNELS = (*_of_rules(SPATIAL_RULES), "locate", "find_limits")
TEST_KERNELS = ("evaluate", "evaluate_function", "philox_words", "quanta_of_words")
LOOP_KERNELS = (
    "deliver_step", "step_models", "close_steps", "settle_steps", "run_steps", "admit_received", "receive",
    "deliver_early", "note_delivery", "reschedule",
)  # fmt: skip

SCATTERING = ("tree.h", "leaves.cpp", "scatter.cpp")

# What the host's loop calls in their place.
HOST_KERNELS = (
    "deliver_early", "admit_received", "receive", "deliver", "admit", "spread", "sample_states", "settle",
    "close_interval",
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
        + _text("vectors.h")
        + _text("arithmetic.h")
        + _text("functions.h")
        + cpp_of(values.Sampler)
        + _text("sampling.h")
        + _text("normal.h")
        + _text("synapse.h")
        + _text("sent.h")
    )


def words_source() -> str:
    """Only the words in which kernels are written."""
    return _text("words.h")


def construction_source(double: bool, spatial: bool = True) -> str:
    """Everything that builds a network; independent of the network, but for whether anything in it depends on place.

    Without space fewer kernels are compiled, and on a GPU none of them holds expressions in local memory.
    """
    files = ["rules.cpp", *SCATTERING, "shares.cpp", "rows.cpp", "sparse.cpp", "values.cpp"]
    files += ["cells.h", "spatial.cpp", "degrees.cpp"] if spatial else []
    head = _head(double) + "#define PROCEDURAL 0\n" + _text("counts.h")
    return head + _connecting(spatial) + "".join(_text(f) for f in files)


def _connecting(spatial: bool) -> str:
    """How connections of all rules are drawn: for construction, and for rows that are drawn again in the loop."""
    rules = (
        f"#define SPATIAL {int(spatial)}\n"
        f"#define LONGEST_RUN {connect.LONGEST_RUN}u\n#define SURE {connect.SURE}u\n"
        "enum { ONE_TO_ONE, ALL_TO_ALL, FIXED_INDEGREE, FIXED_TOTAL_NUMBER, PAIRWISE_POISSON };\n"
        "enum { DRAWS_FIXED, DRAWS_BERNOULLI, DRAWS_POISSON };\n"
    )
    declared = (
        values.Values, space.Layer, space.Program, space.Cells, space.Space, space.Located, connect.Side,
        connect.Connect, connect.Rows, connect.SparseRows, connect.Shares,
    )  # fmt: skip
    structures = space.OPERATION_ENUM + space.LAYER_ENUM + "".join(cpp_of(s) for s in declared)
    return rules + structures + "".join(_text(f) for f in ("space.h", "connect.cpp"))


_LOOP_STRUCTURES = (
    loop.Recorder, loop.Lists, loop.Ring, procedural.Regrown, procedural.Procedural, loop.Count, loop.Loop,
)  # fmt: skip


def profiled_kernels(models: Sequence[str]) -> tuple[str, ...]:
    """The kernels of the host's loop, in the order of its table of times."""
    return (*HOST_KERNELS, *(f"update_{name}" for name in models))


def model_source(double: bool, shapes: Sequence[GroupShape]) -> str:
    """The functions that update neurons of these shapes."""
    structures = "".join(cpp_of(s) for s in _LOOP_STRUCTURES)
    files = _text("counts.h") + _text("ring.h") + _text("lists.h") + _text("update.h") + _text("signals.h")
    head = f"#define SCALED {int(any(s.is_scaled for s in shapes))}\n" + _head(double)
    return head + loop.enums() + "struct Connect;\n" + structures + files + "".join(shape.source() for shape in shapes)


def regrowing_source(placed: bool = True, spatial: bool = True) -> str:
    """What draws rows again; after `model_source`.

    Parameters
    ----------
    placed
        Does anything depend on positions: a weight, a delay or a rule?
    spatial
        Is there a rule that does?
    """
    files = "".join(_text(f) for f in (*SCATTERING, *(("cells.h", "spatial.cpp") if spatial else ())))
    switches = f"#define PROCEDURAL 1\n#define ROWS_IN_SPACE {int(spatial)}\n"
    return switches + _connecting(placed) + files + procedural.REGROW_ENUM + _text("regrow.cpp")


def loop_source(double: bool, shapes: Sequence[GroupShape], host: bool = True, regrowing: str = "") -> str:
    """Everything that runs a network whose groups have these shapes.

    A GPU's compiler takes the kernels of step.cpp, the host's its own loop over what they call, which `host` adds:
    either would be much of the other's time to compile. `regrowing` (`regrowing_source`) is what draws the rows of
    procedural projections again.
    """
    parts = [model_source(double, shapes), regrowing or "#define PROCEDURAL 0\n"]
    parts += [_text("deliver.cpp"), _text("spread.cpp")]
    parts += ["#ifdef STEP_KERNELS\n", _all_models(shapes), _text("step.cpp"), "#endif\n"]
    parts += [cpp_of(reschedule.Reschedule), _text("reschedule.cpp")]
    if host:
        names = [s.model.symbol for s in shapes]
        members = " ".join(f"const Group_{n}* {n};" for n in names) or "int unused;"
        calls = "".join(f" update_{n}(groups->{n}, *loop, step, 0); DONE(update_{n});" for n in names)
        parts.append(f"#ifndef STEP_KERNELS\nstruct Groups {{ {members} }};\n")
        parts.append(f"enum {{ {', '.join(f'PROFILE_{k}' for k in profiled_kernels(names))} }};\n" + _text("profile.h"))
        parts.append(
            "static inline void update_all(Loop* loop, int64 step) {\n"
            "    Loop& l = *loop;\n    const Groups* groups = (const Groups*)loop->groups;\n"
            f"   {calls}\n    (void)groups; (void)l;\n}}\n"
        )
        parts.append(_text("host_loop.cpp") + "#endif\n")
    return "".join(parts)


def _all_models(shapes: Sequence[GroupShape]) -> str:
    """One kernel serves all models: the chunks of one after those of the other are shared out over the groups."""
    names = [s.model.symbol for s in shapes]
    calls = "".join(f"    update_{n}(group_{n}, l, step, before);\n    before += group_{n}->n_chunks;\n" for n in names)
    return (
        f"#define GROUP_PARAMETERS {''.join(f', const Group_{n}* group_{n}' for n in names)}\n"
        f"#define GROUP_NAMES {''.join(f', group_{n}' for n in names)}\n"
        "FN void update_models(Loop& l, int64 step GROUP_PARAMETERS) {\n"
        f"    uint64 before = 0;\n{calls}    (void)before; (void)step;\n}}\n"
    )
