// Synapses that nobody stores: a row is drawn again for each of its spikes, and what is drawn is added to
// the input ring, or on a host to the lists of its steps (lists.h)
// (Knight & Nowotny 2021, doi:10.1038/s43588-020-00022-7).
//
// What is drawn is what `generate: by_source` stores: the k-th draw of a source is a function of (projection, source,
// k), and the kernels of construction draw it here as there. So the two are one network. Only targets of this rank are
// drawn, as far as the rule can tell: a scattered row follows the nodes of its tree that hold local targets; a row of
// all_to_all goes over the local targets; one_to_one has one draw; a row in space looks at the local targets in the
// cells that its mask can reach. The lanes of a group share out a row's nodes or targets. `Regrown` and `Procedural` are declared in procedural.py.

#define ADD 2  // beside counting (0) and filling (1)

// A spike, and what of its synapses is still to come: those due after step `computed`.
struct Arrival {
    int64 emitted;
    int64 computed;
    uint32 multiplicity;
    uint32 sent;
};

// Where a synapse is added, or nowhere where it was due before; it counts as an event of its step.
FN Sum* place_of(const Ring& ring, const Regrown& r, const Arrival& a, uint32 target, bool negative, uint32 delay) {
    const int64 due = a.emitted + (int64)delay;
    if (due <= a.computed) return 0;
    const uint32 slot = (uint32)due & ring.slot_mask;
    atomic_add(&ring.events[slot], (uint64)a.multiplicity);
    return ring.input + ((uint64)slot * ring.stride + (negative ? r.negative_base : r.positive_base) + target);
}

FN Sum what_is_added(const Regrown& r, const Arrival& a, int64 quanta, bool negative) {
    Sum weight = weight_in(pack_synapse(quanta, 0));  // as it would be stored
#if SCALED
    if (multiplies(a.sent, negative ? r.negative_scaled : r.positive_scaled)) weight = scaled(weight, a.sent);
#endif
    (void)r; (void)negative;
    return weight * (Sum)a.multiplicity;
}

#ifdef __CUDACC__
typedef OneTarget TargetOfLane;
#else
typedef ManyTargets TargetOfLane;
#endif

#ifndef __CUDACC__
// Delays of lanes, as `delay_of`: a table and what else a lookup needs at hand, or as they are.
struct TableOfDelays {
    const uint16* guide;
    const uint32* threshold;
    uint32 first, last;
    const uint32* word;
    FN_MEMBER uint32 at(uint32 j) const { return first + drawn_delay(guide, threshold, last, word[j]); }
};
struct KnownDelays {
    const uint32* delay;
    FN_MEMBER uint32 at(uint32 j) const { return delay[j]; }
};

// Appends up to LANES synapses to the lists of their slots.
template <class Delays>
FN void list_drawn(const Ring& ring, const Arrival& a, uint32 n, const uint32* RESTRICT place, const Sum* RESTRICT sum,
                   const Delays delays) {
    // All at hand: a compiler has to fear that what is written changes what it has read.
    const uint32 first = (uint32)a.emitted, slot_mask = ring.slot_mask;
    const uint32 past = a.computed > a.emitted ? (uint32)(a.computed - a.emitted) : 0u;  // no delay is 0
    Listed* const entries = ring.lists.entries;
    uint32* const end = ring.lists.end;
    EACH_LANE(j, n) {
        const uint32 delay = delays.at(j);
        if (UNLIKELY(delay <= past)) continue;
        const uint32 slot = (first + delay) & slot_mask;
        uint32 at = end[slot];
        if (UNLIKELY((at & (CHUNK - 1u)) == 0)) at = open_chunk(ring, slot);
        entries[at].at = place[j];
        entries[at].sum = sum[j];
        end[slot] = at + 1u;
        PREFETCH_TO_WRITE(&entries[at + 8u]);
    }
    if (a.multiplicity != 1) EACH_LANE(j, n) {
        const uint32 delay = delays.at(j);
        if (delay > past) ring.events[(first + delay) & slot_mask] += a.multiplicity - 1u;
    }
}
#endif

// Adds up to LANES synapses of one source, a target each.
FN_ONCE_ON_HOST void add_drawn(const Connect& c, const Ring& ring, const Regrown& r, const Arrival& a,
                               const TargetOfLane target, uint32 n, VARYING_ARGUMENT(uint64, position),
                               VARYING_ARGUMENT(uint32, delay_word), VARYING_ARGUMENT(uint32, weight_word),
                               Pairs* known = 0) {
    VARYING(int64, quanta);
    VARYING(uint8, negative);
    VARYING(uint32, placed_delay);
    weights_of<true>(c, target, n, position, weight_word, position, known, quanta, negative, placed_delay);
#ifndef __CUDACC__
    if (ring.lists.entries) {
        VARYING(uint32, place);
        VARYING(Sum, sum);
        if (c.sign_varies) {
            FOR_LANES(j, n) {
                place[j] = (negative[j] ? r.negative_base : r.positive_base) + target.at(j);
                sum[j] = what_is_added(r, a, quanta[j], negative[j] != 0);
            }
        } else {
            const bool below_zero = c.fixed_negative != 0;
            const uint32 base = below_zero ? r.negative_base : r.positive_base;
            FOR_LANES(j, WHOLE(n)) { place[j] = base + target.at(j); }
            FOR_LANES(j, WHOLE(n)) { sum[j] = what_is_added(r, a, quanta[j], below_zero); }
        }
        if (DELAY_BY_PLACE(c) || c.delay_list || c.delay_steps == 1) {
            if (!DELAY_BY_PLACE(c)) FOR_LANES(j, n) { placed_delay[j] = delay_of(c, 0, 0); }
            list_drawn(ring, a, n, place, sum, KnownDelays{placed_delay});
        } else {
            list_drawn(ring, a, n, place, sum,
                       TableOfDelays{c.delay_guide, c.delay_threshold, c.delay_first, c.delay_steps - 1, delay_word});
        }
        return;
    }
#endif
    EACH_LANE(j, n) {
        const uint32 delay = DELAY_BY_PLACE(c) ? AT(placed_delay, j) : delay_of(c, AT(delay_word, j), 0);
        Sum* const sum = place_of(ring, r, a, target.at(j), AT(negative, j) != 0, delay);
        if (sum) add_to(sum, what_is_added(r, a, AT(quanta, j), AT(negative, j) != 0));
    }
}

// Where scattered draws go.
template <>
struct Batch<ADD> {
    const Connect& c;
    const Ring& ring;
    const Regrown& r;
    const Arrival& a;
#ifndef __CUDACC__
    Waiting waiting;
#endif
    FN_MEMBER Batch(const Connect& c, const Ring& ring, const Regrown& r, const Arrival& a) : c(c), ring(ring), r(r), a(a) {
#ifndef __CUDACC__
        waiting.n = 0;
#endif
    }
    FN_MEMBER void add(uint64 at, uint32 to, uint32 delay, uint32 weight) {
#ifdef __CUDACC__
        const Drawn s = draw_one<true>(c, to, at, delay, weight, 0);
        Sum* const sum = place_of(ring, r, a, to, s.negative, s.delay);
        if (sum) add_to(sum, what_is_added(r, a, s.quanta, s.negative));
#else
        if (waiting.add(at, to, delay, weight)) flush();
#endif
    }
    FN_MEMBER void flush() {
#ifndef __CUDACC__
        Waiting& w = waiting;
        if (w.n) add_drawn(c, ring, r, a, TargetOfLane{w.target}, w.n, w.position, w.delay_word, w.weight_word);
        w.n = 0;
#endif
    }
};

FN_ONCE void regrow_scattered(const Connect& c, const Ring& ring, const Regrown& r, const Arrival& a, uint64 gid,
                              uint64 position) {
    Batch<ADD> batch(c, ring, r, a);
    const uint64 own = c.autapses ? ~0ull : position_in(c.targets, gid);
    const Drawer d = {gid, own, 0, c.distinct != 0, true, STREAM_BY_SOURCE, true};
    const Out<ADD> out = {batch, TO_TARGETS, 0, position};
    scatter(c, d, c.targets, draws_of_source(c, gid, position, own), c.selection, out);
    batch.flush();
}

#if ROWS_IN_SPACE
// Where the draws of a row in space go, with what programs ask for.
struct PlacedBatch {
    const Connect& c;
    const Ring& ring;
    const Regrown& r;
    const Arrival& a;
#ifdef __CUDACC__
    FN_MEMBER void add_located(uint64 at, uint32 to, uint32 delay, uint32 weight, const Pairs&, uint32) {
        add(at, to, delay, weight);
    }
    FN_MEMBER void add(uint64 at, uint32 to, uint32 delay, uint32 weight) {
        Batch<ADD>(c, ring, r, a).add(at, to, delay, weight);
    }
    FN_MEMBER void flush() {}
#else
    Waiting waiting;
    Pairs pairs;
    FN_MEMBER void add_located(uint64 at, uint32 to, uint32 delay, uint32 weight, const Pairs& known, uint32 j) {
        copy_named(c.space, known, j, pairs, waiting.n);
        add(at, to, delay, weight);
    }
    FN_MEMBER void add(uint64 at, uint32 to, uint32 delay, uint32 weight) {
        if (waiting.add(at, to, delay, weight)) flush();
    }
    FN_MEMBER_ONCE void flush() {
        Waiting& w = waiting;
        if (w.n) {
            add_drawn(c, ring, r, a, TargetOfLane{w.target}, w.n, w.position, w.delay_word, w.weight_word, &pairs);
        }
        w.n = 0;
    }
#endif
};

FN_ONCE void regrow_spatial(const Connect& c, const Ring& ring, const Regrown& r, const Arrival& a, uint64 gid,
                            uint64 position) {
#ifdef __CUDACC__
    PlacedBatch batch = {c, ring, r, a};
#else
    PlacedBatch batch = {c, ring, r, a, {}, {}};
#endif
    Found found;
    clear(found);
    draw_row(c, gid, position, found, batch);
    batch.flush();
}
#endif

FN_ONCE void regrow_one(const Connect& c, const Ring& ring, const Regrown& r, const Arrival& a, uint64 gid,
                        uint64 position) {
    if (!LEADER || position < side_begin(c.targets, c.selection) || position >= c.targets.end[c.selection]) return;
    if (!c.autapses && gid_at(c.targets, position) == gid) return;
    const Block block = philox(0, 0, (uint32)gid, (uint32)(gid >> 32) | (c.projection << 8), c.seed, STREAM_BY_SOURCE);
    Batch<ADD> batch(c, ring, r, a);
    const Drawer d = {gid, ~0ull, 0, false, false, STREAM_BY_SOURCE, false};
    const Out<ADD> out = {batch, TO_TARGETS, 0, position};
    put(c, d, out, 0, position, block.w2, block.w3);
    batch.flush();
}

FN_ONCE void regrow_all(const Connect& c, const Ring& ring, const Regrown& r, const Arrival& a, uint64 gid,
                        uint64 position) {
    for (uint64 t0 = 0; t0 < c.n_targets; t0 += LANES) {
        const uint32 m = (uint32)(c.n_targets - t0 < LANES ? c.n_targets - t0 : LANES);
        VARYING(uint64, from);
        VARYING(uint32, target);
        VARYING(uint32, w0);
        VARYING(uint32, w1);
        VARYING(uint32, delay_word);
        VARYING(uint32, weight_word);
        uint32 n = 0;  // without the source itself
        EACH_LANE(j, m) {
            const Target to = target_at(c, t0 + j);
            AT(from, n) = position;
            AT(target, n) = to.local;
            AT(w0, n) = (uint32)to.position;
            AT(w1, n) = (uint32)(to.position >> 32);
            const bool kept = c.autapses || to.gid != gid;
            n = !kept ? n : (WIDTH > 1u ? WIDTH : n + 1u);  // on a GPU every lane looks after its own
        }
        if (n == 0) continue;
        philox_lanes(n, w0, w1, delay_word, weight_word, (uint32)gid, (uint32)(gid >> 32) | (c.projection << 8), c.seed,
                     STREAM_BY_SOURCE);
        add_drawn(c, ring, r, a, TargetOfLane{target}, n, from, delay_word, weight_word);
    }
}

// The position of a source in the i-th projection; its number of draws, which lies anywhere, is fetched.
FN uint64 source_in(const Procedural& p, uint32 i, uint32 end, uint64 gid) {
    if (i >= end) return ~0ull;
    const Connect& c = *p.list[i].connect;
    const uint64 position = position_in(c.sources, gid);
    if (c.shares && position != ~0ull) PREFETCH(&c.shares[position]);
    return position;
}

// A group draws the row of a spike again: what all procedural projections from its source have here.
FN_ONCE void regrow(const Ring& ring, const Procedural& p, uint32 row_index, uint32 set, int64 emitted,
                    uint32 multiplicity, uint32 sent, int64 computed) {
    const uint64 gid = p.source[row_index];
    const Arrival a = {emitted, computed, multiplicity, sent};
    uint64 next = source_in(p, p.begin[set], p.begin[set + 1], gid);
    for (uint32 i = p.begin[set]; i < p.begin[set + 1]; ++i) {
        const Regrown& r = p.list[i];
        const Connect& c = *r.connect;
        const uint64 position = next;
        next = source_in(p, i + 1, p.begin[set + 1], gid);
        if (position == ~0ull) continue;
        if (r.kind == REGROW_SCATTERED) regrow_scattered(c, ring, r, a, gid, position);
        if (r.kind == REGROW_ONE) regrow_one(c, ring, r, a, gid, position);
        if (r.kind == REGROW_ALL) regrow_all(c, ring, r, a, gid, position);
#if ROWS_IN_SPACE
        if (r.kind == REGROW_SPATIAL) regrow_spatial(c, ring, r, a, gid, position);
#endif
    }
}
