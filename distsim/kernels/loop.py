"""Structures of the loop over steps; see spread.cpp, deliver.cpp, host_loop.cpp."""

from __future__ import annotations

from enum import IntEnum

from distsim.kernels.procedural import Procedural
from distsim.kernels.structs import declare

NO_ROW = 0xFFFFFFFF
BY_PORT, BY_ROW = 1, 2  # which numbers of spikes multiply the weights of a column; see sent.h
EVERYWHERE = 0xFFFFFFFF  # instead of a destination: all of them


class Status(IntEnum):
    """Why the loop stopped."""

    RUNNING = 0
    GROW_DUE = 1
    GROW_OUT = 2
    FLUSH_SPIKES = 3
    FLUSH_STATES = 4
    TOO_MANY_SPIKES = 5
    FETCH_REST = 6
    FLUSH_HISTORY = 7
    NOT_FINITE = 8
    FLUSH_RATES = 9


class Phase(IntEnum):
    """Whether an interval begins with messages that have to be received."""

    RECEIVE = 0
    DELIVER = 1


class Recorded(IntEnum):
    """Whose spikes of a population are recorded."""

    NONE = 0
    ALL = 1
    SOME = 2


NONE, ALL, SOME = Recorded
(
    RUNNING, GROW_DUE, GROW_OUT, FLUSH_SPIKES, FLUSH_STATES, TOO_MANY_SPIKES, FETCH_REST, FLUSH_HISTORY, NOT_FINITE,
    FLUSH_RATES,
) = Status  # fmt: skip
RECEIVE, DELIVER = Phase


def enums() -> str:
    """The numbers above for the kernels."""
    kinds = "".join(
        f"enum {{ {', '.join(f'{member.name} = {member.value}' for member in kind)} }};\n" for kind in (Status, Phase)
    )
    return f"{kinds}#define EVERYWHERE {EVERYWHERE}u\n#define CHUNK {CHUNK}u\n"


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

# Input for later steps, listed by step: see lists.h.
Lists = declare(
    "Lists",
    [
        ("entries", "Listed*"),  # [chunk][CHUNK]; none: there are no lists
        ("end", "uint32*"),  # [slot]: the entry after its last one, or 0
        ("free", "uint32*"),  # a stack of the chunks that hold nothing
        ("n_free", "uint32*"),
        ("spill", "Sum*"),  # [slot][spill_stride]: the sums of lists for which no chunk was left
        ("spill_stride", "uint64"),
        ("spilled", "uint32*"),  # [slot]
    ],
)
CHUNK = 512  # entries of a list that lie together; the first holds where the list goes on

# The input array and its slots: see ring.h.
Ring = declare(
    "Ring",
    [
        ("input", "Sum*"),  # [slot][stride]
        ("stride", "uint64"),  # elements of a slot; 0: one slot, that of the current step
        ("events", "uint64*"),  # [slot]: synapses added to it
        ("slot_mask", "uint32"),
        ("at_arrival", "uint32"),  # rows are added when a spike arrives, and not put on the wheel
        ("lists", Lists),
    ],
)

Count = declare("Count", [("emitted", "uint32"), ("unused", "uint32"), ("messages", "uint64")])

Loop = declare(
    "Loop",
    [
        ("step", "int64"),  # the step about to be computed; its spikes carry the time step * dt
        ("last", "int64"),  # on a GPU: the last step to compute before the host looks again
        ("updating", "int64"),  # on a GPU: the step whose update is due, or 0
        ("pending_step", "int64"),  # the step whose spikes are not spread yet, or 0
        ("phase", "int32"),
        ("status", "int32"),
        ("needed", "uint64"),
        # the time wheel
        ("due", "Due*"),  # [slot][due_capacity]
        ("due_count", "uint32*"),  # [slot]
        ("due_capacity", "uint64"),
        ("due_peak", "uint64"),
        ("delivered", "uint32"),  # runs of the slot of `step` that are in the input: before all messages were there
        ("unused_due", "uint32"),
        ("runs_per_slot", "uint64"),  # most runs of one row with one delay
        ("slot_mask", "uint32"),
        ("own_destination", "uint32"),  # which of the destinations this rank itself is; it gets no messages
        # connectivity
        ("rows", "const Row*"),
        ("column_base", "const uint32*"),
        ("ring", Ring),
        ("procedural", Procedural),
        # spikes of the step
        ("emitted", "Emitted*"),
        ("even", Count),  # of steps with even, and with odd numbers
        ("odd", Count),
        ("excess_multiplicity", "uint32"),
        ("samples_full", "uint32"),  # some recorder has no room for another sample
        ("barrier", "uint32*"),  # on a GPU: see grid_barrier in words.h
        # routing
        ("local_row", "const uint32*"),  # [neuron]
        ("route_begin", "const uint32*"),  # [neuron + 1]
        ("route_to", "const uint32*"),  # a destination, or EVERYWHERE
        ("route_row", "const uint32*"),  # there
        # exchange; each destination has header + out_capacity words. Destinations and sources are all ranks, or those
        # that this rank sends to and receives from; it is among both itself.
        ("out", "uint32*"),
        ("out_count", "uint32*"),
        ("out_capacity", "uint64"),
        ("out_peak", "uint64"),
        ("in", "const uint32*"),
        ("in_begin", "const uint64*"),  # word at which each source's header begins
        ("received", "uint64"),
        ("received_start", "int64"),  # first step of the interval that was received
        ("interval_start", "int64"),
        ("out_pair", "const uint32*"),  # [destination]: messages that the first collective carries
        ("rest_received", "uint32"),
        ("unused", "uint32"),
        ("n_ranks", "uint32"),
        ("header", "uint32"),  # words: 1 + steps of an interval
        ("n_destinations", "uint32"),
        ("n_sources", "uint32"),
        # recording
        ("record_after", "int64"),
        ("recorded_step", "uint64*"),  # a ring
        ("recorded_gid", "uint64*"),
        ("n_recorded", "uint64"),  # ever
        ("recorded_before", "uint64"),  # before the pending step
        ("record_tail", "uint64"),  # of these the host has taken so many
        ("record_capacity", "uint64"),  # a power of two
        # every spike that was emitted, for checkpoints; capacity 0: not kept
        ("history_step", "uint64*"),
        ("history_gid", "uint64*"),
        ("history_multiplicity", "uint32*"),
        ("history_sent", "uint32*"),  # where spikes carry numbers: see sent.h
        ("n_history", "uint64"),
        ("history_before", "uint64"),  # before the pending step
        ("history_capacity", "uint64"),
        ("record_spikes", "const uint8*"),  # [population]: a Recorded
        ("record_neuron", "const uint8*"),  # [neuron], read where it depends on the neuron
        # spikes of populations in bins, counted from the end of the warm-up; rate_steps 0: not counted
        ("rate_steps", "int64"),
        ("rate_after", "int64"),  # the step after which is counted
        ("rate_first", "int64"),  # bin of the first row
        ("rate_capacity", "int64"),  # rows
        ("rate_columns", "uint64"),
        ("rate_column", "const uint32*"),  # [population]
        ("rate_counts", "uint64*"),  # [bin][column]
        ("count_in_digest", "const uint8*"),  # [population]
        ("spike_counts", "uint64*"),  # [population], after record_after
        ("digest", "uint64*"),  # [population][period][5], see periods.py
        ("n_periods", "uint64"),
        ("steps_per_second", "uint64"),
        ("short_periods", "uint64"),
        ("seconds_in_long", "uint64"),
        ("recorders", "Recorder*"),
        ("sample_every", "int64"),  # steps: what divides the intervals of all recorders
        ("n_recorders", "uint32"),
        ("draw_poisson", "uint32"),  # draw a block of eight steps now, whatever the step
        ("groups", "const void*"),
        # measurement
        ("synaptic_events", "uint64"),
        ("seconds_deliver", "double"),
        ("seconds_update", "double"),
        ("seconds_spread", "double"),
        ("seconds_exchange", "double"),
        ("profile", "double*"),  # the host's table of kernel times; see profile.h
        # the first state found that is not finite
        ("check_step", "int64"),  # states are checked in this step, too
        ("bad_step", "int64"),
        ("bad_gid", "uint64"),
        ("bad_count", "uint32"),
        ("bad_population", "uint32"),
        ("bad_state", "uint32"),  # its place in the model's declaration
        ("bad_is_nan", "uint32"),
        ("column_scaled", "const uint32*"),  # [column]: BY_PORT, BY_ROW or 0
    ],
)
