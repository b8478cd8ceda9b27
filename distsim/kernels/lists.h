// Input for the steps to come, on a host that draws rows again for each spike: as lists, one for each slot.
//
// What is drawn hits all neurons and delays at random: added to a ring at once, nearly every synapse would miss the
// caches, where a GPU has its atomics in the second level. So it is appended to the list of its slot, some dozen streams
// of writes, and the list is added when its step is due, into input that holds one step and stays in the cache. Lists are
// chains of chunks out of one pool, and the chunk that was freed last is the first to be taken: what is touched is what
// is under way. `Lists` is declared in loop.py.
//
// Invariants:
// - a list is a chain from its end: `end` of a slot is the entry after its last one; the first entry of a chunk holds the
//   end of the list before it, 0 in the first chunk;
// - nothing is dropped: where no chunk is left, all lists are added to sums of their slots, the spill, which are memory
//   that nobody touches otherwise. Where stored rows are added at arrival, the spill is the ring itself;
// - an entry counts as an event of its slot when it leaves the list (ring.h).
#pragma once

#ifndef __CUDACC__
// Adds a slot's list to sums of the slot.
FN_ONCE void empty_list(const Ring& ring, uint32 slot, Sum* RESTRICT input) {
    const Lists& lists = ring.lists;
    const Listed* const RESTRICT entries = lists.entries;
    uint64 events = 0;
    for (uint32 end = lists.end[slot]; end;) {
        const uint32 chunk = (end - 1u) / CHUNK, begin = chunk * CHUNK;
        const uint32 before = entries[begin].at;
        // The chunk before this one is fetched meanwhile.
        const Listed* const RESTRICT next = entries + (before ? before - CHUNK : begin);
        for (uint32 k = begin + 1u; k < end;) {
            PREFETCH(next + (k - begin + 6u));
            const uint32 stop = k + 8u < end ? k + 8u : end;
            for (; k < stop; ++k) input[entries[k].at] += entries[k].sum;
        }
        events += end - begin - 1u;
        lists.free[(*lists.n_free)++] = chunk;
        end = before;
    }
    ring.events[slot] += events;
    lists.end[slot] = 0;
}

// Where a list goes on that ends at the end of a chunk, or is empty.
FN_ONCE uint32 open_chunk(const Ring& ring, uint32 slot) {
    const Lists& lists = ring.lists;
    if (*lists.n_free == 0) {
        for (uint32 s = 0; s <= ring.slot_mask; ++s) {
            if (lists.end[s] == 0) continue;
            empty_list(ring, s, lists.spill + (uint64)s * lists.spill_stride);
            lists.spilled[s] = 1;
        }
    }
    const uint32 begin = lists.free[--*lists.n_free] * CHUNK;
    lists.entries[begin].at = lists.end[slot];
    return begin + 1u;
}
#endif

// Input that is listed for a step about to be computed.
FN void take_listed(const Ring& ring, int64 step) {
#ifndef __CUDACC__
    const Lists& lists = ring.lists;
    if (!lists.entries) return;
    const uint32 slot = (uint32)step & ring.slot_mask;
    Sum* const RESTRICT input = input_at(ring, step);
    empty_list(ring, slot, input);
    if (lists.spilled[slot] && ring.stride == 0) {
        Sum* const RESTRICT spill = lists.spill + (uint64)slot * lists.spill_stride;
        for (uint64 k = 0; k < lists.spill_stride; ++k) {
            input[k] += spill[k];
            spill[k] = 0;
        }
    }
    lists.spilled[slot] = 0;
#endif
}
