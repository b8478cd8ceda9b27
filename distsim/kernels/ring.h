// The input of the steps to come: a ring of slots, one a step, each with a sum for every (column, target). Where runs
// hold a handful of synapses, writing a run on the wheel costs more than adding it: its spikes are added at arrival,
// right into the slots of the steps in which they are due, and the update of a step reads its slot and clears it.
// Measured (design.md 7): the ring wins below about 15 synapses a run. `Ring` is declared in loop.py; engine/delivery.py
// chooses.
//
// Invariants:
// - a slot belongs to one step at a time: there are more slots than the longest delay has steps, additions go to
//   steps from the one about to be computed on, and a step's update leaves its slot at zero;
// - additions are integers, so their order, and whether wheel or ring brought them, cannot matter: both may feed one
//   slot;
// - `events` counts the synapses added to a slot; they count as events when the slot's step is computed, as they do
//   on the wheel. So the number of events up to a step depends on no delivery and on no exchange.
//
// Without a ring the stride is 0: all slots are the one input of the current step.
#pragma once

FN uint64 input_offset(const Ring& ring, int64 step) { return (uint64)((uint32)step & ring.slot_mask) * ring.stride; }

FN Sum* input_at(const Ring& ring, int64 step) { return ring.input + input_offset(ring, step); }

// A group adds the runs of a row for a spike emitted in step `emitted`, `multiplicity` times, but for what was due
// up to step `computed`. Lanes take a run each, or, where runs are long, go through one together.
PART add_row(const Ring& ring, const Row& row, const uint32* RESTRICT column_base, const uint32* column_scaled,
             int64 emitted, uint32 multiplicity, uint32 sent, int64 computed) {
    (void)column_scaled; (void)sent;
    if (row.n_runs == 0) return;
    const Run last = row.runs[row.n_runs - 1];
    const bool together = WIDTH > 1u && last.offset + last.count >= row.n_runs * (WIDTH / 2u);
    for (uint32 r = together ? 0u : LANE; r < row.n_runs; r += together ? 1u : WIDTH) {
        const Run run = row.runs[r];
        const int64 due = emitted + (int64)run.delay;
        if (due <= computed) continue;
        const uint32 slot = (uint32)due & ring.slot_mask;
        if (!together || LEADER) atomic_add(&ring.events[slot], (uint64)run.count * multiplicity);
        Sum* const RESTRICT input = ring.input + (uint64)slot * ring.stride + column_base[run.column];
        const Synapse* const RESTRICT synapses = row.synapses + run.offset;
        const uint32 begin = together ? LANE : 0u, step = together ? WIDTH : 1u;
#if SCALED
        if (multiplies(sent, column_scaled[run.column])) {
            for (uint32 k = begin; k < run.count; k += step) {
                const Synapse s = synapses[k];
                add_to(&input[target_in(s)], scaled(weight_in(s), sent) * (Sum)multiplicity);
            }
            continue;
        }
#endif
        for (uint32 k = begin; k < run.count; k += step) {
            const Synapse s = synapses[k];
            add_to(&input[target_in(s)], weight_in(s) * (Sum)multiplicity);
        }
    }
}

// The events of a slot whose step is computed. One thread.
FN uint64 take_events(const Ring& ring, int64 step) {
    const uint32 slot = (uint32)step & ring.slot_mask;
    const uint64 events = ring.events[slot];
    ring.events[slot] = 0;
    return events;
}
