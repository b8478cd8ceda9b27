// What happens to a spike after its step's update: it is counted in the digest, recorded, its local runs
// are put on the time wheel, and a message is packed for every rank that needs it.
//
// `admit` comes first: where a buffer could overflow it sets a status and nothing of the step's spreading
// is done; the buffer grows, and the loop goes on from here. While a status is set every kernel of the loop
// returns at once, so that steps may be launched ahead of it; only `admit` and its kin set one, and only the
// host clears it.

enum { RECEIVE = 0, DELIVER = 1, ADMIT = 2, STATES = 3 };  // phases: where an interrupted loop goes on
enum { RUNNING = 0, GROW_DUE = 1, GROW_OUT = 2, FLUSH_SPIKES = 3, FLUSH_STATES = 4, TOO_MANY_SPIKES = 5, FETCH_REST = 6, NOT_FINITE = 7 };

// Bit of a header's first word: some rank had more messages than the first collective carries.
#define REST 0x80000000u

FN void interrupt(Loop& l, int32 phase, int32 status, uint64 needed) {
    l.phase = phase;
    l.needed = needed;
    l.status = status;
}

// Puts the runs of a row on the wheel, `multiplicity` times, for a spike emitted in step `emitted`.
FN void schedule(Loop& l, uint32 row_index, int64 emitted, uint32 multiplicity, uint32 sent) {
    const Row row = l.rows[row_index];
    LANES_OVER(r, row.n_runs) {
        const Run run = row.runs[r];
        const uint32 slot = (uint32)(emitted + run.delay) & l.slot_mask;
        if (sent && l.column_scaled[run.column]) {
            Due* entry = l.due + (uint64)slot * l.due_capacity + atomic_add(&l.due_count[slot], 2u);
            put_scaled(entry, row.synapses + run.offset, run.count, l.column_base[run.column], sent);
            continue;
        }
        const uint32 at = atomic_add(&l.due_count[slot], multiplicity);
        Due due;
        due.synapses = row.synapses + run.offset;
        due.count = run.count;
        due.base = l.column_base[run.column];
        for (uint32 m = 0; m < multiplicity; ++m) l.due[(uint64)slot * l.due_capacity + at + m] = due;
    }
}

// Rows lie anywhere in memory: fetch the entry of a row that comes up, then the beginning of its runs.
FN void fetch_row(const Loop& l, uint32 row_index) {
    if (row_index != NO_ROW) PREFETCH(&l.rows[row_index]);
}

FN void fetch_runs(const Loop& l, uint32 row_index) {
    if (row_index & SENT) return;  // NO_ROW, or no row at all
    const char* runs = (const char*)l.rows[row_index].runs;
    for (uint32 byte = 0; byte < 640; byte += 64) PREFETCH(runs + byte);
}

// Is there room on the wheel for `spikes` more rows? `due_peak` bounds the fill of every slot.
FN bool room_on_wheel(Loop& l, uint64 spikes, int32 phase) {
    const uint64 more = spikes * l.runs_per_slot;
    if (l.due_peak + more > l.due_capacity) {
        uint32 peak = 0;
        for (uint32 slot = 0; slot <= l.slot_mask; ++slot) peak = l.due_count[slot] > peak ? l.due_count[slot] : peak;
        l.due_peak = peak;
    }
    if (l.due_peak + more > l.due_capacity) {
        interrupt(l, phase, GROW_DUE, l.due_peak + more);
        return false;
    }
    l.due_peak += more;
    return true;
}

KERNEL admit(Loop* loop) {
    Loop& l = *loop;
    if (!ONLY_ONE || l.status) return;
    l.due_count[(uint32)l.step & l.slot_mask] = 0;  // delivered
    if (l.bad_count) return interrupt(l, ADMIT, NOT_FINITE, 0);
    if (l.n_emitted == 0) return;
    if (l.excess_multiplicity) return interrupt(l, ADMIT, TOO_MANY_SPIKES, 0);
    if (l.n_ranks > 1 && l.out_peak + l.n_messages > l.out_capacity) {
        return interrupt(l, ADMIT, GROW_OUT, l.out_peak + l.n_messages);
    }
    if (l.step > l.record_after && l.n_recorded + l.n_messages > l.record_capacity) {
        return interrupt(l, ADMIT, FLUSH_SPIKES, l.n_messages);
    }
    if (!room_on_wheel(l, l.n_messages, ADMIT)) return;
    l.out_peak += l.n_messages;
}

KERNEL spread(Loop* loop) {
    Loop& l = *loop;
    if (l.status) return;
    const int64 step = l.step;
    GROUP_FOR(i, l.n_emitted) {
        const Emitted e = l.emitted[i];
        if (i + 6 < (int64)l.n_emitted) fetch_row(l, l.local_row[l.emitted[i + 6].neuron]);
        if (i + 3 < (int64)l.n_emitted) fetch_runs(l, l.local_row[l.emitted[i + 3].neuron]);
        if (LEADER) {
            if (l.count_in_digest[e.population]) {
                const Block h = philox((uint32)step, (uint32)((uint64)step >> 32), (uint32)e.gid,
                                       (uint32)(e.gid >> 32), 0, STREAM_SPIKE_DIGEST);
                uint64* sums = l.digest + ((uint64)e.population * l.n_seconds + (uint64)(step - 1) / l.steps_per_second) * 5;
                atomic_add(&sums[0], (uint64)h.w0 * e.multiplicity);
                atomic_add(&sums[1], (uint64)h.w1 * e.multiplicity);
                atomic_add(&sums[2], (uint64)h.w2 * e.multiplicity);
                atomic_add(&sums[3], (uint64)h.w3 * e.multiplicity);
                atomic_add(&sums[4], (uint64)e.multiplicity);
            }
            if (step > l.record_after) atomic_add(&l.spike_counts[e.population], (uint64)e.multiplicity);
            if (step > l.record_after && l.record_spikes[e.population]) {
                const uint64 at = atomic_add(&l.n_recorded, (uint64)e.multiplicity);
                for (uint32 m = 0; m < e.multiplicity; ++m) {
                    l.recorded_step[at + m] = (uint64)step;
                    l.recorded_gid[at + m] = e.gid;
                }
            }
            const uint32 words = e.sent ? 2u * e.multiplicity : e.multiplicity;
            for (uint32 k = l.route_begin[e.neuron]; k < l.route_begin[e.neuron + 1]; ++k) {
                const uint32 rank = l.route_rank[k];
                const uint32 at = atomic_add(&l.out_count[rank], words);
                uint32* out = l.out + (uint64)rank * (l.out_capacity + l.header) + l.header;
                for (uint32 m = 0; m < words; ++m) out[at + m] = e.sent && (m & 1u) ? e.sent : l.route_row[k];
            }
        }
        const uint32 row = l.local_row[e.neuron];
        if (row != NO_ROW) schedule(l, row, step, e.multiplicity, e.sent);
    }
}

// After a step's spreading: where its messages end, for each destination; and the next step begins.
KERNEL close_step(Loop* loop) {
    Loop& l = *loop;
    if (l.status) return;
    const uint32 nth = (uint32)(l.step - l.interval_start);
    ITEM_FOR(rank, l.n_ranks > 1 ? l.n_ranks : 0) {
        uint32* header = l.out + (uint64)rank * (l.out_capacity + l.header);
        header[1 + nth] = l.out_count[rank];
    }
}

KERNEL next_step(Loop* loop) {
    if (!ONLY_ONE || loop->status) return;
    loop->n_emitted = 0;
    loop->n_messages = 0;
    loop->draw_poisson = 0;
    loop->phase = DELIVER;
    loop->step += 1;
}

// At the end of an interval: where one destination has more messages than the first collective carries,
// every destination is told, so that all ranks join in fetching the rest.
KERNEL close_interval(Loop* loop) {
    Loop& l = *loop;
    if (!ONLY_ONE || l.status) return;
    uint32 rest = 0;
    for (uint32 rank = 0; rank < l.n_ranks; ++rank) rest |= l.out_count[rank] > l.out_pair[rank] ? REST : 0u;
    for (uint32 rank = 0; rank < l.n_ranks; ++rank) {
        l.out[(uint64)rank * (l.out_capacity + l.header)] = l.out_count[rank] | rest;
    }
}

// Messages from other ranks: word 0 counts them, words 1 … say where each step of the interval ends.
KERNEL admit_received(Loop* loop) {
    Loop& l = *loop;
    if (!ONLY_ONE || l.status) return;
    uint64 messages = 0;
    uint32 rest = 0;
    for (uint32 rank = 0; rank < l.n_ranks; ++rank) {
        const uint32 word = l.in[l.in_begin[rank]];
        rest |= word & REST;
        messages += rank == l.rank ? 0 : word & ~REST;
    }
    if (rest && !l.rest_received) return interrupt(l, RECEIVE, FETCH_REST, 0);
    if (messages && !room_on_wheel(l, messages, RECEIVE)) return;
    l.received = messages;
}

KERNEL receive(Loop* loop) {
    Loop& l = *loop;
    if (l.status || l.received == 0) return;
    for (uint32 rank = 0; rank < l.n_ranks; ++rank) {
        if (rank == l.rank) continue;
        const uint32* header = l.in + l.in_begin[rank];
        GROUP_FOR(i, header[0] & ~REST) {
            uint32 nth = 0;
            const uint32* message = header + l.header + i;
            if (*message & SENT) continue;  // belongs to the row before it
            const bool carries = i + 1 < (int64)(header[0] & ~REST) && (message[1] & SENT);
            if (i + 6 < (int64)(header[0] & ~REST)) fetch_row(l, message[6]);
            if (i + 3 < (int64)(header[0] & ~REST)) fetch_runs(l, message[3]);
            while ((uint32)i >= header[1 + nth]) ++nth;
            schedule(l, *message, l.received_start + nth, 1, carries ? message[1] : 0u);
        }
    }
}

// What arrived is on the wheel: an interval begins with empty messages.
KERNEL open_interval(Loop* loop) {
    Loop& l = *loop;
    if (!ONLY_ONE || l.status) return;
    for (uint32 rank = 0; rank < l.n_ranks; ++rank) l.out_count[rank] = 0;
    l.out_peak = 0;
    l.rest_received = 0;
    l.interval_start = l.step;
    l.phase = DELIVER;
}

// State variables of recorded neurons, at the end of a step that is a multiple of the interval.
KERNEL admit_states(Loop* loop) {
    Loop& l = *loop;
    if (!ONLY_ONE || l.status) return;
    for (uint32 i = 0; i < l.n_recorders; ++i) {
        const Recorder& r = l.recorders[i];
        if (l.step > l.record_after && l.step % r.interval == 0 && r.n_samples == r.capacity) {
            return interrupt(l, STATES, FLUSH_STATES, 0);
        }
    }
}

KERNEL sample_states(Loop* loop) {
    Loop& l = *loop;
    if (l.status || l.step <= l.record_after) return;
    for (uint32 i = 0; i < l.n_recorders; ++i) {
        Recorder& r = l.recorders[i];
        if (l.step % r.interval) continue;
        const real* state = (const real*)r.state;
        real* out = (real*)r.out + r.n_samples * r.n;
        ITEM_FOR(k, r.n) { out[k] = state[r.neurons[k]]; }
    }
}

KERNEL count_samples(Loop* loop) {
    Loop& l = *loop;
    if (!ONLY_ONE || l.status || l.step <= l.record_after) return;
    for (uint32 i = 0; i < l.n_recorders; ++i) {
        if (l.step % l.recorders[i].interval == 0) l.recorders[i].n_samples += 1;
    }
}
