// Rules that depend on where the two neurons are: probabilities, masks, and degrees among the candidates in a mask.
//
// A neuron looks at the cells of the other side that its mask can reach, and at nothing else: a target at sources, or
// by source a source at targets. Each pair draws from Philox blocks of its own (source, target, projection), so neither
// the order of cells and candidates nor the side that looks matters: by_source is the same network.
//
// One source's row is `draw_row` below, for anyone who wants it once more: it calls `add` or `add_located` of what it
// is given for each synapse onto a local target.

#define FEW_DRAWS 256u  // of one pair: the connections of pairwise_poisson

// The words of a pair's draw number `number`: words 0 and 1 decide, 2 and 3 are for delay and weight.
FN Block pair_block(const Connect& c, const Seeker& me, uint64 other, uint32 number) {
    const uint64 source = c.space.by_source ? me.gid : other, target = c.space.by_source ? other : me.gid;
    return philox((uint32)source, (uint32)(source >> 32) | (number << 8), (uint32)target,
                  (uint32)(target >> 32) | (c.projection << 8), c.seed, STREAM_PAIR);
}

// Those of the first draws of n candidates, and their chances.
FN void draw_first(const Connect& c, const Seeker& me, Found& f, VARYING_REFERENCE(uint32, w0),
                   VARYING_REFERENCE(uint32, w1), VARYING_REFERENCE(uint32, w2), VARYING_REFERENCE(uint32, w3),
                   VARYING_REFERENCE(double, chance)) {
    const uint32 n = f.n, low = (uint32)me.gid, high = (uint32)(me.gid >> 32), mark = c.projection << 8;
    const uint32 theirs = c.space.by_source ? mark : 0;
    FOR_LANES(j, n) {
        AT(w0, j) = (uint32)AT(f.gid, j);
        AT(w1, j) = (uint32)(AT(f.gid, j) >> 32) | theirs;
    }
    if (c.space.by_source) philox_lanes<true>(n, w0, w1, w2, w3, low, high, c.seed, STREAM_PAIR);
    else philox_lanes<false>(n, w0, w1, w2, w3, low, high | mark, c.seed, STREAM_PAIR);
    evaluate_program(c.space.chance, n, f.pairs, chance);
    // Neither another chunk's row, nor itself where that must not be, nor (the host has left them out) too far away.
    const uint64 first = c.space.by_source ? 0 : c.first_source, many = c.space.by_source ? ~0ull : c.n_rows;
    const uint64 own = c.autapses ? ~0ull : me.gid;
    FOR_LANES(j, n) {
        const bool open = AT(f.gid, j) - first < many && AT(f.gid, j) != own && IS_NEAR(c.space, f.pairs);
        AT(chance, j) = open ? AT(chance, j) : 0.0;
    }
}

// Fixed degrees. A candidate has events at the times of a Poisson process whose rate is its chance, so the first event
// of all is that of a candidate with a probability in proportion to its chance, and so on: the first K events are K
// draws with replacement, and the first K candidates that have one are K draws without. Which events these are does not
// depend on who asks, nor in what order; a neuron that draws needs to know but the time of its K-th.
#define LEAST_CHANCE 1e-200  // what is below counts as none

FN double waiting_time(uint32 w0, uint32 w1, double chance) { return -logarithm(uniform(w0, w1)) / chance; }

FN double later(double time, double wait) {
    const double next = time + wait;
    return next > time ? next : double_of(bits_of(time) + 1u);  // no two events of a candidate at once
}

FN bool is_early(const Seeker& me, double time, uint64 gid) {
    return time < me.limit || (time == me.limit && gid <= me.last);
}

// Connects the candidates that are drawn; Out takes synapses as Batch of leaves.cpp does.
template <class Out>
struct DrawPairs {
    Out& out;
    FN_MEMBER void put(const Connect& c, const Seeker& me, Found& f, uint32 j, uint32 delay, uint32 weight) {
        const Space& s = c.space;
        const uint64 position = s.by_source ? me.at : AT(f.known, j);
        const uint32 target = s.by_source ? (uint32)AT(f.known, j) : (uint32)me.at;
        if (s.delay.n || s.weight.n) out.add_located(position, target, delay, weight, f.pairs, j);
        else out.add(position, target, delay, weight);
    }
    FN_MEMBER_ONCE void take(const Connect& c, const Seeker& me, Found& f) {
        const uint32 m = f.n;
        if (m == 0) return;
        VARYING(uint32, w0);
        VARYING(uint32, w1);
        VARYING(uint32, w2);
        VARYING(uint32, w3);
        VARYING(double, chance);
        VARYING(uint32, chosen);
        VARYING(double, time);
        draw_first(c, me, f, w0, w1, w2, w3, chance);
        if (c.draws == DRAWS_BERNOULLI) {
            FOR_LANES(j, m) { AT(chosen, j) = uniform(AT(w0, j), AT(w1, j)) < AT(chance, j) ? 1 : 0; }
        } else if (c.draws == DRAWS_POISSON) {
            FOR_LANES(j, m) { AT(chosen, j) = AT(chance, j) > 0.0 ? 1 : 0; }
        } else {
            FOR_LANES(j, m) {
                const bool can = AT(chance, j) >= LEAST_CHANCE;
                AT(time, j) = waiting_time(AT(w0, j), AT(w1, j), can ? AT(chance, j) : 1.0);
                AT(chosen, j) = can && is_early(me, AT(time, j), AT(f.gid, j)) ? 1 : 0;
            }
        }
        EACH_CHOSEN(j, m, chosen) {
            if (c.draws == DRAWS_POISSON) {
                const double u = uniform(AT(w0, j), AT(w1, j)), mean = AT(chance, j);
                double mass = bounded_exp(-mean), below_ = mass;
                uint32 n = 0;
                while (u > below_ && n < FEW_DRAWS - 1) {
                    n += 1;
                    mass *= mean / (double)n;
                    below_ += mass;
                }
                for (uint32 k = 0; k < n; ++k) {
                    const Block block = pair_block(c, me, AT(f.gid, j), k + 1);
                    put(c, me, f, j, block.w2, block.w3);
                }
            } else {
                put(c, me, f, j, AT(w2, j), AT(w3, j));
                if (c.draws == DRAWS_FIXED && !c.distinct) {
                    double now = AT(time, j);
                    for (uint32 k = 1;; ++k) {
                        const Block block = pair_block(c, me, AT(f.gid, j), k);
                        now = later(now, waiting_time(block.w0, block.w1, AT(chance, j)));
                        if (!is_early(me, now, AT(f.gid, j))) break;
                        put(c, me, f, j, block.w2, block.w3);
                    }
                }
            }
        }
    }
};

// The synapses of one source onto the local targets of c.selection, whatever the chunk; `found` is scratch memory,
// cleared once.
template <class Out>
FN void draw_row(const Connect& c, uint64 gid, uint64 position, Found& found, Out& out) {
    const Space& s = c.space;
    uint32 selection = 0;
    while (position >= c.sources.end[selection]) ++selection;
    const Seeker me = {gid, position, position_of(s.sources[selection], gid, c.seed), s.limit ? s.limit[position] : 0.0,
                       s.limit ? s.last[position] : 0};
    const Others others = {c.target_gid, c.target_stride, c.target_local, 0};
    DrawPairs<Out> draw = {out};
    look(c, me, others, s.cells[0], 0, found, draw);
#ifndef __CUDACC__
    use_found(c, me, found, draw);
#endif
}

#if !PROCEDURAL
template <bool FILL>
FN void connect_spatial_by_source(const Connect* connect) {
    const Connect& c = *connect;
    BATCH(FILL, c);
    Found found;
    clear(found);
    GROUP_FOR(row, c.n_rows) {
        const uint64 gid = c.first_source + (uint64)row;
        const uint64 position = position_in(c.sources, gid);
        if (position != ~0ull) draw_row(c, gid, position, found, batch);
    }
    batch.flush();
}

template <bool FILL>
FN void connect_spatial(const Connect* connect) {
    const Connect& c = *connect;
    const Space& s = c.space;
    BATCH(FILL, c);
    Found found;
    clear(found);
    GROUP_FOR(i, c.n_targets) {
        const uint64 t = s.order ? s.order[i] : (uint64)i;
        const Target target = target_at(c, t);
        const Seeker me = {target.gid, target.local, position_of(s.target, target.gid, c.seed), s.limit ? s.limit[t] : 0.0,
                           s.limit ? s.last[t] : 0};
        DrawPairs<Batch<FILL>> draw = {batch};
        look_at_side(c, me, c.sources, found, draw);
    }
    batch.flush();
}

// Which cell each selected source of a chunk of places is in, and where it is: `n` places from `first` on.
KERNEL locate(const Located* located) {
    const Located& l = *located;
    ITEM_FOR(i, l.n) {
        const uint64 place = l.first + (uint64)i;
        const uint64 gid = l.list ? l.gid + l.list[place] : l.gid + place * l.step;
        const Position p = position_of(l.layer, gid, l.seed);
        l.x[i] = p.x;
        l.y[i] = p.y;
        l.z[i] = p.z;
    }
}

KERNEL count_spatial(const Connect* c) { connect_spatial<false>(c); }
KERNEL fill_spatial(const Connect* c) { connect_spatial<true>(c); }
KERNEL count_spatial_by_source(const Connect* c) { connect_spatial_by_source<false>(c); }
KERNEL fill_spatial_by_source(const Connect* c) { connect_spatial_by_source<true>(c); }
#endif
