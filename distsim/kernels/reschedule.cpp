// After a restart: the runs of earlier spikes that are not due yet go onto the empty time wheel, or into the empty
// ring. The kernel is launched twice: once to count the fill of every slot, and, when there is room, once to write.

KERNEL reschedule(const Reschedule* arguments) {
    const Reschedule& a = *arguments;
    GROUP_FOR(i, a.n) {
        const Row row = a.rows[a.row[i]];
#if PROCEDURAL
        if (row.set && a.write) {
            regrow(a.ring, a.procedural, a.row[i], row.set - 1, a.emitted[i], a.multiplicity[i], a.sent[i], a.computed);
        }
#endif
        if (a.ring.at_arrival) {
            if (a.write) {
                add_row(a.ring, row, a.column_base, a.column_scaled, a.emitted[i], a.multiplicity[i], a.sent[i],
                        a.computed);
            }
            continue;
        }
        LANES_OVER(r, row.n_runs) {
            const Run run = row.runs[r];
            const int64 due_step = a.emitted[i] + (int64)run.delay;
            if (due_step > a.computed) {  // else it was delivered before the checkpoint
                const uint32 slot = (uint32)due_step & a.slot_mask;
#if SCALED
                const uint32 sent = a.sent[i];
                if (multiplies(sent, a.column_scaled[run.column])) {
                    const uint32 first = atomic_add(&a.due_count[slot], 2u * a.multiplicity[i]);
                    for (uint32 m = 0; m < a.multiplicity[i] && a.write; ++m) {
                        put_scaled(a.due + (uint64)slot * a.due_capacity + first + 2u * m, row.synapses + run.offset,
                                   run.count, a.column_base[run.column], sent);
                    }
                    continue;
                }
#endif
                const uint32 at = atomic_add(&a.due_count[slot], a.multiplicity[i]);
                Due due;
                due.synapses = row.synapses + run.offset;
                due.count = run.count;
                due.base = a.column_base[run.column];
                for (uint32 m = 0; m < a.multiplicity[i] && a.write; ++m) {
                    a.due[(uint64)slot * a.due_capacity + at + m] = due;
                }
            }
        }
    }
}
