"""Structures of connect.cpp, rules.cpp, tree.h, leaves.cpp, scatter.cpp, shares.cpp, rows.cpp and sparse.cpp."""

from __future__ import annotations

from distsim.kernels.space import Space
from distsim.kernels.structs import declare
from distsim.kernels.values import Sampler

# A side of a projection: selections one after the other. Selection s has the positions from end[s - 1] to end[s]; its
# neurons are gid[s] + step[s] * index, or gid[s] + list[list_begin[s] + index] where list_begin is not ~0.
Side = declare(
    "Side",
    [
        ("end", "const uint64*"),
        ("gid", "const uint64*"),
        ("shift", "const uint64*"),  # global id - position, where all steps are 1
        ("step", "const uint64*"),
        ("list_begin", "const uint64*"),
        ("list", "const uint64*"),
        ("n", "uint32"),
        ("plain", "uint32"),  # all selections are consecutive
    ],
)
DRAWS_FIXED, DRAWS_BERNOULLI, DRAWS_POISSON = range(3)  # how many draws a neuron has: the enum in sources.py

Connect = declare(
    "Connect",
    [
        ("seed", "uint32"),
        ("projection", "uint32"),
        # the target population's local neurons that are selected: neuron k has gid target_gid + k target_stride and
        # the index target_local + k in its group; target t is neuron target_first + t target_step, at position
        # target_position + t place_step; or it is listed
        ("n_targets", "uint64"),
        ("target_gid", "uint64"),
        ("target_stride", "uint64"),
        ("target_first", "uint64"),
        ("target_step", "uint64"),
        ("target_position", "uint64"),
        ("place_step", "uint64"),
        ("target_list", "const uint64*"),
        ("target_place", "const uint64*"),
        ("target_local", "uint32"),
        ("block_bits", "uint32"),
        ("sources", Side),
        ("n_sources", "uint64"),
        ("first_source", "uint64"),  # global id of the chunk's first row
        # where neurons scatter draws over a side: all sources as one selection; the targets, of which this
        # population's are selection number `selection`, its local ones at index_first + index_stride i, or those whose
        # index_local (of each selected neuron: its k) is not ~0
        ("undivided", Side),
        ("targets", Side),
        ("index_local", "const uint32*"),
        ("index_first", "uint64"),
        ("index_stride", "uint64"),
        ("index_count", "uint64"),
        ("selection", "uint32"),
        ("distinct", "uint32"),
        # the rule
        ("autapses", "uint32"),
        ("draws", "uint32"),
        ("indegree", "uint64"),  # or out-degree
        ("shares", "const uint64*"),
        ("chance", "double"),  # of a pair, or its mean number of connections
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
        # their resolution: level i of [level_low + i / levels_per_unit, …) becomes level_first + level_step i
        ("level_low", "double"),
        ("levels_per_unit", "double"),
        ("level_first", "double"),
        ("level_step", "double"),
        ("level_least", "double"),
        ("level_most", "double"),
        ("levels", "uint32"),  # 0: as they are
        ("unused", "uint32"),
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
        # where rows are sparse, `cells` counts by bucket of 2^bucket_bits rows, and each synapse gets a key: sparse.cpp
        ("keys", "uint32*"),
        ("sparse", "uint32"),
        ("bucket_bits", "uint32"),
        ("space", Space),
    ],
)

SURE = 2**15  # in the guide to drawn delays: see drawn_delay in connect.cpp
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

SparseRows = declare(
    "SparseRows",
    [
        ("n_buckets", "uint64"),
        ("bucket_bits", "uint32"),
        ("cells_per_row", "uint32"),
        ("n_columns", "uint32"),
        ("first_delay", "uint32"),
        ("counters", "uint32*"),  # [bucket]: synapses; then where the next is written; then where the bucket ends
        ("synapses_before", "uint64*"),
        ("rows_before", "uint64*"),
        ("runs_before", "uint64*"),
        ("keys", "uint32*"),
        ("synapses", "Synapse*"),
        ("column", "const uint16*"),
        ("runs", "Run*"),
        ("table", "Row*"),
        ("source", "uint64*"),  # [row]: number in the chunk
        ("shortest", "uint16*"),
        ("most_of_a_delay", "uint32*"),
    ],
)

Shares = declare(
    "Shares",
    [
        ("seed", "uint32"),
        ("projection", "uint32"),
        ("n_targets", "uint64"),
        ("n_sources", "uint64"),
        # positions of the neurons that draw with one forbidden partner each: sequences, and a sorted list
        ("overlap_begin", "const uint64*"),
        ("overlap_end", "const uint64*"),
        ("overlap_step", "const uint64*"),
        ("overlap_list", "const uint64*"),
        ("n_listed", "uint64"),
        ("n_overlaps", "uint32"),
        ("level", "uint32"),
        ("distinct", "uint32"),
        ("unused", "uint32"),
        ("above", "const uint64*"),
        ("below", "uint64*"),
        ("n_local", "uint64"),
        ("first_position", "uint64"),
        ("stride", "uint64"),
        ("positions", "const uint64*"),  # of the local ones, where they are no sequence
        ("counts", "uint64*"),
    ],
)
