// What happens to a spike after its step's update: it is counted in the digest, recorded, its local runs
// are put on the time wheel, and a message is packed for every rank that needs it.
//
// The spikes of a step are *pending* until all of that is done. Before anything of it is done, `shortage` asks
// whether every buffer has room for all of it; where one has not, the loop stops with a status, nothing is
// committed, the host makes room, and the loop goes on from there. On a GPU every block asks by itself: so
// `shortage` reads only what stays as it is while spikes are spread (`due_peak`, `out_peak` and what ends in `_before`),
// and `settle` brings these up to date after it.

// Bit of a header's first word: some rank had more messages than the first collective carries.
#define REST 0x80000000u

struct Shortage {
    int32 status;
    uint64 needed;
};

FN Count& count_of(Loop& l, int64 step) { return (&l.even)[step & 1]; }

FN void stop(Loop& l, Shortage s) {
    l.needed = s.needed;
    l.status = s.status;
}

FN bool is_sampled(const Recorder& r, int64 step) { return step % r.interval == 0; }

// The row of counts for a step's spikes.
FN int64 rate_row(const Loop& l, int64 step) { return (step - l.record_after - 1) / l.rate_steps - l.rate_first; }

FN Shortage shortage(Loop& l, int64 pending) {
    if (l.bad_count) return {NOT_FINITE, 0};
    if (l.samples_full) return {FLUSH_STATES, 0};
    const uint64 messages = count_of(l, pending).messages, emitted = count_of(l, pending).emitted;
    if (messages == 0) return {RUNNING, 0};
    if (l.excess_multiplicity) return {TOO_MANY_SPIKES, 0};
    if (l.n_ranks > 1 && l.out_peak + messages > l.out_capacity) return {GROW_OUT, l.out_peak + messages};
    if (pending > l.record_after && l.recorded_before - l.record_tail + messages > l.record_capacity) {
        return {FLUSH_SPIKES, messages};
    }
    if (l.rate_steps && pending > l.rate_after && rate_row(l, pending) >= l.rate_capacity) return {FLUSH_RATES, 0};
    if (l.history_capacity && l.history_before + emitted > l.history_capacity) return {FLUSH_HISTORY, emitted};
    const uint64 peak = l.due_peak + messages * l.runs_per_slot;
    if (peak > l.due_capacity) return {GROW_DUE, peak};
    return {RUNNING, 0};
}

#define NO_SLOT 0xFFFFFFFFu

// `due_peak` bounds the fill of every slot; this finds it, but for a slot that is about to be emptied. One block.
FN void measure_wheel(Loop& l, uint32 emptied) {
    uint32 peak = 0;
    BLOCK_FOR(slot, (uint64)l.slot_mask + 1) {
        const uint32 n = l.due_count[slot];
        peak = n > peak && slot != emptied ? n : peak;
    }
    peak = block_max(peak);
    if (FIRST_OF_BLOCK) l.due_peak = peak;
}

// Puts the runs of a row on the wheel (or adds them to the ring), `multiplicity` times, for a spike emitted in step `emitted`. With NOW, runs
// that are due in step `now`, whose slot is being read, are added at once; these come first in a row, and none can be
// due before. `sent` is the number that the spike carries, or 0 (sent.h). Returns what the leader has to count of them.
template <bool NOW>
FN uint64 schedule(const Loop& l, uint32 row_index, int64 emitted, uint32 multiplicity, uint32 sent, int64 now) {
    (void)sent;
    const Row row = l.rows[row_index];
#if PROCEDURAL
    if (row.set) regrow(l.ring, l.procedural, row_index, row.set - 1, emitted, multiplicity, sent, emitted);
#endif
    if (l.ring.at_arrival) {
        add_row(l.ring, row, l.column_base, l.column_scaled, emitted, multiplicity, sent, emitted);
        return 0;
    }
    uint64 events = 0;
    uint32 first = 0;
    if (NOW) {
        Sum* const input = input_at(l.ring, now);
        for (; first < row.n_runs && emitted + row.runs[first].delay == now; ++first) {
            const Run run = row.runs[first];
            for (uint32 m = 0; m < multiplicity; ++m) {
#if SCALED
                if (multiplies(sent, l.column_scaled[run.column])) {
                    add_scaled(input + l.column_base[run.column], row.synapses + run.offset, run.count, sent);
                    continue;
                }
#endif
                add_run(input + l.column_base[run.column], row.synapses + run.offset, run.count);
            }
            if (LEADER) events += (uint64)run.count * multiplicity;
        }
    }
    LANES_OVER(r, row.n_runs - first) {
        const Run run = row.runs[first + r];
        const uint32 slot = (uint32)(emitted + run.delay) & l.slot_mask;
#if SCALED
        if (multiplies(sent, l.column_scaled[run.column])) {
            Due* due = l.due + (uint64)slot * l.due_capacity + atomic_add(&l.due_count[slot], 2u * multiplicity);
            for (uint32 m = 0; m < multiplicity; ++m) {
                put_scaled(due + 2u * m, row.synapses + run.offset, run.count, l.column_base[run.column], sent);
            }
            continue;
        }
#endif
        const uint32 at = atomic_add(&l.due_count[slot], multiplicity);
        Due due;
        due.synapses = row.synapses + run.offset;
        due.count = run.count;
        due.base = l.column_base[run.column];
        for (uint32 m = 0; m < multiplicity; ++m) l.due[(uint64)slot * l.due_capacity + at + m] = due;
    }
    return events;
}

// Rows lie anywhere in memory: fetch the entry of a row that comes up, then the beginning of its runs. NO_ROW and
// numbers that spikes carry are no rows.
FN void fetch_row(const Loop& l, uint32 row_index) {
    if (row_index & SENT) return;
    PREFETCH(&l.rows[row_index]);
#if PROCEDURAL
    PREFETCH(&l.procedural.source[row_index]);
#endif
}

FN void fetch_runs(const Loop& l, uint32 row_index) {
    if (row_index & SENT) return;
    const char* runs = (const char*)l.rows[row_index].runs;
    for (uint32 byte = 0; byte < 640; byte += 64) PREFETCH(runs + byte);
}

// The period of biological time whose digest a spike of a step counts in, see periods.py.
FN uint64 digest_period(const Loop& l, int64 step) {
    const uint64 second = (uint64)(step - 1) / l.steps_per_second;
    return second < l.short_periods ? second : l.short_periods + (second - l.short_periods) / l.seconds_in_long;
}

// The pending spikes: local runs by some groups, everything else by the groups after them.
template <bool NOW>
FN uint64 spread_pending(Loop& l, int64 pending, int64 now, uint64 groups_before) {
    const uint32 n = count_of(l, pending).emitted;
    uint64 events = 0;
    GROUP_FOR_AFTER(i, groups_before, n) {
        if (i + 6 < (int64)n) fetch_row(l, l.emitted[i + 6].row);
        if (i + 3 < (int64)n) fetch_runs(l, l.emitted[i + 3].row);
        const Emitted e = l.emitted[i];
        if (e.row != NO_ROW) events += schedule<NOW>(l, e.row, pending, e.multiplicity, e.sent, now);
    }
    GROUP_FOR_AFTER(i, groups_before + n, n) {
        const Emitted e = l.emitted[i];
        if (LEADER) {
            if (l.count_in_digest[e.population]) {
                const Block h = philox((uint32)pending, (uint32)((uint64)pending >> 32), (uint32)e.gid,
                                       (uint32)(e.gid >> 32), 0, STREAM_SPIKE_DIGEST);
                uint64* sums = l.digest + ((uint64)e.population * l.n_periods + digest_period(l, pending)) * 5;
                atomic_add(&sums[0], (uint64)h.w0 * e.multiplicity);
                atomic_add(&sums[1], (uint64)h.w1 * e.multiplicity);
                atomic_add(&sums[2], (uint64)h.w2 * e.multiplicity);
                atomic_add(&sums[3], (uint64)h.w3 * e.multiplicity);
                atomic_add(&sums[4], (uint64)e.multiplicity);
            }
            if (pending > l.record_after) atomic_add(&l.spike_counts[e.population], (uint64)e.multiplicity);
            const uint8 recorded = pending > l.record_after ? l.record_spikes[e.population] : 0;
            if (recorded == 1 || (recorded && l.record_neuron[e.neuron])) {
                const uint64 at = atomic_add(&l.n_recorded, (uint64)e.multiplicity);
                for (uint32 m = 0; m < e.multiplicity; ++m) {
                    l.recorded_step[(at + m) & (l.record_capacity - 1)] = (uint64)pending;
                    l.recorded_gid[(at + m) & (l.record_capacity - 1)] = e.gid;
                }
            }
            if (l.rate_steps && pending > l.rate_after && l.rate_column[e.population] < l.rate_columns) {
                const uint64 row = (uint64)rate_row(l, pending);
                atomic_add(&l.rate_counts[row * l.rate_columns + l.rate_column[e.population]], (uint64)e.multiplicity);
            }
            if (l.history_capacity) {
                const uint64 at = atomic_add(&l.n_history, (uint64)1);
                l.history_step[at] = (uint64)pending;
                l.history_gid[at] = e.gid;
                l.history_multiplicity[at] = e.multiplicity;
#if SCALED
                l.history_sent[at] = e.sent;
#endif
            }
        }
        const uint32 route = l.route_begin[e.neuron], routes = l.route_begin[e.neuron + 1] - route;
        // A source that most ranks need has one entry for all of them, and the same row on each (build/routing.py).
        const bool everywhere = routes == 1 && l.route_to[route] == EVERYWHERE;
        const uint32 destinations = everywhere ? l.n_destinations : routes;
        LANES_OVER(k, destinations) {
            const uint32 to = everywhere ? k : l.route_to[route + k];
            if (everywhere && to == l.own_destination) continue;
            const uint32 row = l.route_row[everywhere ? route : route + k];
#if SCALED
            if (e.sent) {
                const uint32 first = atomic_add(&l.out_count[to], 2u * e.multiplicity);
                uint32* pairs = l.out + (uint64)to * (l.out_capacity + l.header) + l.header + first;
                for (uint32 m = 0; m < e.multiplicity; ++m) {
                    pairs[2u * m] = row;
                    pairs[2u * m + 1u] = e.sent;
                }
                continue;
            }
#endif
            const uint32 at = atomic_add(&l.out_count[to], e.multiplicity);
            uint32* out = l.out + (uint64)to * (l.out_capacity + l.header) + l.header;
            for (uint32 m = 0; m < e.multiplicity; ++m) out[at + m] = row;
        }
    }
    return events;
}

// State variables of recorded neurons at the end of the pending step.
FN void sample_pending(Loop& l, int64 pending) {
    if (!is_sampled(l, pending)) return;
    for (uint32 i = 0; i < l.n_recorders; ++i) {
        const Recorder& r = l.recorders[i];
        if (!is_sampled(r, pending)) continue;
        const real* state = (const real*)r.state;
        real* out = (real*)r.out + r.n_samples * r.n;
        ITEM_FOR(k, r.n) { out[k] = state[r.neurons[k]]; }
    }
}

// After the pending step's spreading: where its messages end, for each destination; how full everything is.
// One block.
FN void settle(Loop& l, int64 pending) {
    const uint32 nth = (uint32)(pending - l.interval_start);
    if (l.n_ranks > 1) {
        BLOCK_FOR(to, l.n_destinations) { l.out[to * (l.out_capacity + l.header) + 1 + nth] = l.out_count[to]; }
    }
    if (is_sampled(l, pending)) {
        uint32 full = 0;
        BLOCK_FOR(i, l.n_recorders) {
            Recorder& r = l.recorders[i];
            if (is_sampled(r, pending)) r.n_samples += 1;
            full |= r.n_samples == r.capacity ? 1u : 0u;
        }
        full = block_max(full);
        if (FIRST_OF_BLOCK) l.samples_full = full;  // even where the next step samples others: flushed early
    }
    if (FIRST_OF_BLOCK) {
        Count& count = count_of(l, pending);
        l.due_peak += count.messages * l.runs_per_slot;
        l.out_peak += count.messages;
        l.recorded_before = l.n_recorded;
        l.history_before = l.n_history;
        count.messages = 0;
        count.emitted = 0;
    }
}

// At the end of an interval: where one destination has more messages than the first collective carries, every
// destination is told, and so is this rank, which is one of its own: all of them join in fetching the rest. One block.
FN void close_messages(Loop& l) {
    uint32 rest = 0;
    BLOCK_FOR(to, l.n_destinations) { rest |= l.out_count[to] > l.out_pair[to] ? REST : 0u; }
    rest = block_max(rest);
    BLOCK_FOR(to, l.n_destinations) { l.out[to * (l.out_capacity + l.header)] = l.out_count[to] | rest; }
}

// Messages from other ranks: word 0 counts them, words 1 … say where each step of the interval ends. Makes sure of
// room for them and opens the next interval. One block.
FN void admit_messages(Loop& l) {
    if (l.phase != RECEIVE) {
        if (FIRST_OF_BLOCK) l.received = 0;
        return;
    }
    uint32 rest = 0;
    uint64 messages = 0;
    BLOCK_FOR(from, l.n_sources) {
        const uint32 word = l.in[l.in_begin[from]];
        rest |= word & REST;
        messages += word & ~REST;
    }
    rest = block_max(rest);
    if (rest && !l.rest_received) {
        if (FIRST_OF_BLOCK) stop(l, {FETCH_REST, 0});
        return;
    }
    messages = block_sum(messages);
    const uint64 more = messages * l.runs_per_slot;
    if (l.due_peak + more > l.due_capacity) {
        BLOCK_SYNC();  // all have compared
        measure_wheel(l, NO_SLOT);
        BLOCK_SYNC();
    }
    if (l.due_peak + more > l.due_capacity) {
        if (FIRST_OF_BLOCK) stop(l, {GROW_DUE, l.due_peak + more});
        return;
    }
    BLOCK_SYNC();
    BLOCK_FOR(to, l.n_destinations) { l.out_count[to] = 0; }
    if (FIRST_OF_BLOCK) {
        l.received = messages;
        l.due_peak += more;
        l.out_peak = 0;
        l.rest_received = 0;
        l.interval_start = l.step;
        l.phase = DELIVER;
    }
}

// Messages, a group each.
FN void receive_messages(const Loop& l) {
    for (uint32 from = 0; from < l.n_sources; ++from) {
        const uint32* header = l.in + l.in_begin[from];
        const uint32 n = header[0] & ~REST;
        GROUP_FOR(i, n) {
            uint32 nth = 0, sent = 0;
            const uint32* message = header + l.header + i;
#if SCALED
            if (*message & SENT) continue;  // belongs to the row before it
            if (i + 1 < (int64)n && (message[1] & SENT)) sent = message[1];
#endif
            if (i + 6 < (int64)n) fetch_row(l, message[6]);
            if (i + 3 < (int64)n) fetch_runs(l, message[3]);
            while ((uint32)i >= header[1 + nth]) ++nth;
            schedule<false>(l, *message, l.received_start + nth, 1, sent, 0);
        }
    }
}
