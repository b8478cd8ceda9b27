// Adding all runs that are due in this step into the input of the step. Sums are integers: the order of
// the runs, and on a GPU of the atomics, cannot matter.

KERNEL deliver(Loop* loop) {
    Loop& l = *loop;
    if (l.status) return;
    const uint32 slot = (uint32)l.step & l.slot_mask;
    const uint32 n = l.due_count[slot];
    const Due* due = l.due + (uint64)slot * l.due_capacity;
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
            add_scaled(l.input + d.base, &due[i]);
            if (LEADER) events += d.count;
            continue;
        }
#endif
        Sum* RESTRICT input = l.input + d.base;
        const Synapse* RESTRICT synapses = d.synapses;
        LANES_OVER(k, d.count) {
            const Synapse s = synapses[k];
            atomic_add(&input[target_in(s)], weight_in(s));
        }
        if (LEADER) events += d.count;
    }
    if (events) atomic_add(&l.synaptic_events, events);
}
