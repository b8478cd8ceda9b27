"""Structures of the loop over steps; see spread.cpp, deliver.cpp, host_loop.cpp."""

from __future__ import annotations

from distsim.kernels.structs import declare

NO_ROW = 0xFFFFFFFF

# The enums in spread.cpp: why the loop stopped, and where it goes on.
RUNNING, GROW_DUE, GROW_OUT, FLUSH_SPIKES, FLUSH_STATES, TOO_MANY_SPIKES, FETCH_REST, NOT_FINITE = range(8)
RECEIVE, DELIVER, ADMIT, STATES = range(4)

Recorder = declare(
    "Recorder",
    [
        ("state", "const void*"),
        ("neurons", "const uint32*"),
        ("out", "void*"),
        ("n", "uint64"),
        ("n_samples", "uint64"),
        ("capacity", "uint64"),
        ("interval", "int64"),  # steps
    ],
)

Loop = declare(
    "Loop",
    [
        ("step", "int64"),  # the step about to be computed; its spikes carry the time step * dt
        ("phase", "int32"),
        ("status", "int32"),
        ("needed", "uint64"),
        # the time wheel
        ("due", "Due*"),  # [slot][due_capacity]
        ("due_count", "uint32*"),  # [slot]
        ("due_capacity", "uint64"),
        ("due_peak", "uint64"),
        ("runs_per_slot", "uint64"),  # most runs of one row with one delay
        ("slot_mask", "uint32"),
        ("rank", "uint32"),
        # connectivity
        ("rows", "const Row*"),
        ("column_base", "const uint32*"),
        ("input", "Sum*"),
        # spikes of the step
        ("emitted", "Emitted*"),
        ("n_emitted", "uint32"),
        ("excess_multiplicity", "uint32"),
        ("n_messages", "uint64"),
        # routing
        ("local_row", "const uint32*"),  # [neuron]
        ("route_begin", "const uint32*"),  # [neuron + 1]
        ("route_rank", "const uint32*"),
        ("route_row", "const uint32*"),
        # exchange; each destination has header + out_capacity words
        ("out", "uint32*"),
        ("out_count", "uint32*"),
        ("out_capacity", "uint64"),
        ("out_peak", "uint64"),
        ("in", "const uint32*"),
        ("in_begin", "const uint64*"),  # word at which each source's header begins
        ("received", "uint64"),
        ("received_start", "int64"),  # first step of the interval that was received
        ("interval_start", "int64"),
        ("out_pair", "const uint32*"),  # [rank]: messages that the first collective carries
        ("rest_received", "uint32"),
        ("unused", "uint32"),
        ("n_ranks", "uint32"),
        ("header", "uint32"),  # words: 1 + steps of an interval
        # recording
        ("record_after", "int64"),
        ("recorded_step", "uint64*"),
        ("recorded_gid", "uint64*"),
        ("n_recorded", "uint64"),
        ("record_capacity", "uint64"),
        ("record_spikes", "const uint8*"),  # [population]
        ("count_in_digest", "const uint8*"),  # [population]
        ("spike_counts", "uint64*"),  # [population], after record_after
        ("digest", "uint64*"),  # [population][second][5]
        ("n_seconds", "uint64"),
        ("steps_per_second", "uint64"),
        ("recorders", "Recorder*"),
        ("n_recorders", "uint32"),
        ("draw_poisson", "uint32"),  # draw a block of eight steps now, whatever the step
        ("groups", "const void*"),
        # measurement
        ("synaptic_events", "uint64"),
        ("seconds_deliver", "double"),
        ("seconds_update", "double"),
        ("seconds_spread", "double"),
        ("seconds_exchange", "double"),
        # the first state found that is not finite
        ("check_step", "int64"),  # states are checked in this step, too
        ("bad_step", "int64"),
        ("bad_gid", "uint64"),
        ("bad_count", "uint32"),
        ("bad_population", "uint32"),
        ("bad_state", "uint32"),  # its place in the model's declaration
        ("bad_is_nan", "uint32"),
        ("column_scaled", "const uint32*"),  # [column]: see sent.h
    ],
)
