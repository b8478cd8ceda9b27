"""Structures of connect.cpp, shares.cpp and rows.cpp."""

from __future__ import annotations

from distsim.kernels.structs import declare
from distsim.kernels.values import Sampler

Connect = declare(
    "Connect",
    [
        ("seed", "uint32"),
        ("projection", "uint32"),
        # the target population's local neurons: gid and position advance by target_stride
        ("n_targets", "uint64"),
        ("target_gid", "uint64"),
        ("target_position", "uint64"),
        ("target_stride", "uint64"),
        ("target_local", "uint32"),  # index of the first within its model's group
        ("block_bits", "uint32"),
        # the sources: positions in segments of consecutive global ids
        ("n_sources", "uint64"),
        ("segment_end", "const uint64*"),
        ("segment_gid", "const uint64*"),
        ("segment_shift", "const uint64*"),
        ("n_segments", "uint32"),
        ("autapses", "uint32"),
        # the rule
        ("indegree", "uint64"),
        ("shares", "const uint64*"),
        ("gap_scale", "double"),  # 1 / log(1 - p)
        ("items_per_target", "uint64"),
        ("edge_source", "const uint64*"),
        ("edge_target", "const uint32*"),
        ("edge_negative", "const uint8*"),
        ("n_edges", "uint64"),
        # delays, in steps
        ("delay_list", "const int32*"),
        ("delay_guide", "const uint16*"),
        ("delay_threshold", "const uint32*"),
        ("delay_first", "uint32"),
        ("delay_steps", "uint32"),
        # weights
        ("weight_list", "const double*"),
        ("weight", Sampler),
        ("positive_per_quantum", "double"),
        ("negative_per_quantum", "double"),
        ("fixed_quanta", "int64"),
        ("weight_fixed", "uint32"),
        ("fixed_negative", "uint32"),
        ("sign_varies", "uint32"),
        # cells of the chunk: [row][delay][column]
        ("first_delay", "uint32"),
        ("n_delays", "uint32"),
        ("n_columns", "uint32"),
        ("positive_column", "uint32"),
        ("negative_column", "uint32"),
        ("n_rows", "uint64"),
        ("cells", "uint32*"),
        ("synapses", "Synapse*"),
    ],
)

LONGEST_RUN = 512  # synapses: four for each lane of a warp, four times

Rows = declare(
    "Rows",
    [
        ("n_rows", "uint64"),
        ("cells_per_row", "uint32"),
        ("n_columns", "uint32"),
        ("first_delay", "uint32"),
        ("unused", "uint32"),
        ("cells", "uint32*"),
        ("runs_before", "uint64*"),
        ("synapses_before", "uint64*"),
        ("column", "const uint16*"),
        ("runs", "Run*"),
        ("shortest", "uint16*"),  # [row]: its smallest delay, in steps; 0 without a run
        ("most_of_a_delay", "uint32*"),  # the most runs that share a row and a delay
    ],
)

Shares = declare(
    "Shares",
    [
        ("seed", "uint32"),
        ("projection", "uint32"),
        ("n_targets", "uint64"),
        ("n_sources", "uint64"),
        ("overlap_begin", "const uint64*"),  # target positions that are forbidden to one source each
        ("overlap_end", "const uint64*"),
        ("n_overlaps", "uint32"),
        ("level", "uint32"),
        ("above", "const uint64*"),
        ("below", "uint64*"),
        ("n_local", "uint64"),
        ("first_position", "uint64"),
        ("stride", "uint64"),
        ("counts", "uint64*"),
    ],
)
