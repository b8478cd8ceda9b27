"""Structure of reschedule.cpp."""

from __future__ import annotations

from distsim.kernels.loop import Ring
from distsim.kernels.procedural import Procedural
from distsim.kernels.structs import declare

Reschedule = declare(
    "Reschedule",
    [
        ("n", "uint64"),  # spikes
        ("row", "const uint32*"),
        ("emitted", "const int64*"),  # steps
        ("multiplicity", "const uint32*"),
        ("sent", "const uint32*"),  # see sent.h
        ("column_scaled", "const uint32*"),
        ("computed", "int64"),  # the last step that was computed
        ("ring", Ring),
        ("procedural", Procedural),
        ("rows", "const Row*"),
        ("column_base", "const uint32*"),
        ("due", "Due*"),
        ("due_count", "uint32*"),
        ("due_capacity", "uint64"),
        ("slot_mask", "uint32"),
        ("write", "uint32"),  # 0: count only
    ],
)
