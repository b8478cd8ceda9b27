// Adding all runs that are due in this step into the input of the step. Sums are integers: the order of
// the runs, and on a GPU of the atomics, cannot matter.

FN void add_run(Sum* RESTRICT input, const Synapse* RESTRICT synapses, uint32 count) {
    for (uint32 k = LANE; k < count; k += AHEAD * WIDTH) {
        Synapse loaded[AHEAD];
        UNROLL for (uint32 a = 0; a < AHEAD; ++a) loaded[a] = k + a * WIDTH < count ? synapses[k + a * WIDTH] : 0;
        UNROLL for (uint32 a = 0; a < AHEAD; ++a) {
            const Synapse s = loaded[a];
            if (a == 0 || k + a * WIDTH < count) add_to(&input[target_in(s)], weight_in(s));
        }
    }
}

FN uint32 n_due(const Loop& l) { return l.due_count[(uint32)l.step & l.slot_mask]; }

// Those of the runs of step l.step that were not added before, a group a run. Construction cuts long runs: none
// holds a group up. Returns the number of synapses that this group's leader, and nobody else, has to count.
FN uint64 add_due_runs(const Loop& l, uint32 end) {
    const uint32 begin = l.delivered, n = end - begin;
    Sum* const input = input_at(l.ring, l.step);
    const Due* due = l.due + (uint64)((uint32)l.step & l.slot_mask) * l.due_capacity + begin;
    uint64 events = 0;
    GROUP_FOR(i, n) {
        const Due d = due[i];
        // Rows lie anywhere in memory: fetch the run after next while this one is added.
        if (i + 3 < (int64)n) {
            const Due& next = due[i + 3];
            for (uint32 k = 0; k < next.count && k < 256; k += 64 / sizeof(Synapse)) PREFETCH(next.synapses + k);
        }
#if SCALED
        if (is_scaled(d)) {
            add_scaled(input + d.base, synapses_of(d), d.count, due[i + 1].base);
            if (LEADER) events += d.count;
            continue;
        }
        if (d.count == 0) continue;  // the number of the run before it
#endif
        add_run(input + d.base, d.synapses, d.count);
        if (LEADER) events += d.count;
    }
    return events;
}
