// Drawing a synapse and putting it in its place. The connections of one projection onto one population's local neurons,
// from a chunk of sources, are drawn twice by their rule (rules.cpp, scatter.cpp, spatial.cpp): once to count the
// synapses of each cell (source, delay, plane, block), once to write them into place.
//
// A synapse's random numbers are one Philox block, keyed by the target's global id and the number of the
// draw, so every rank draws the same and needs nobody. `Connect` is declared in connect.py.

#ifdef __CUDACC__
#define FN_ONCE_ON_HOST FN  // there a group's lanes hold their values in registers
#else
#define FN_ONCE_ON_HOST FN_ONCE
#endif
// Networks without space are built by kernels that know nothing of it: see construction_source in sources.py.
#if SPATIAL
#define WEIGHT_BY_PLACE(c) ((c).space.weight.n != 0)
#define DELAY_BY_PLACE(c) ((c).space.delay.n != 0)
#else
#define WEIGHT_BY_PLACE(c) false
#define DELAY_BY_PLACE(c) false
#endif
#define NO_POSITION (~0ull >> 1)  // on no side

// Draws k0 … k0 + n - 1 of a target, one Philox block each.
FN void draw_blocks(const Connect& c, uint64 target_gid, uint64 k0, uint32 n, VARYING_REFERENCE(uint32, w0),
                    VARYING_REFERENCE(uint32, w1), VARYING_REFERENCE(uint32, w2), VARYING_REFERENCE(uint32, w3)) {
    FOR_LANES(j, n) {
        AT(w0, j) = (uint32)(k0 + j);
        AT(w1, j) = (uint32)((k0 + j) >> 32);
    }
    philox_lanes(n, w0, w1, w2, w3, (uint32)target_gid, (uint32)(target_gid >> 32) | (c.projection << 8), c.seed,
                 STREAM_CONNECTION);
}

// The global id at a position of a side.
FN uint64 gid_at(const Side& side, uint64 position) {
    uint32 s = 0;
    while (s + 1 < side.n && position >= side.end[s]) ++s;
    if (side.plain) return position + side.shift[s];  // beyond the side: beyond all neurons
    if (position >= side.end[side.n - 1]) return ~0ull;
    const uint64 index = position - (s ? side.end[s - 1] : 0);
    if (side.list_begin[s] != ~0ull) return side.gid[s] + side.list[side.list_begin[s] + index];
    return side.gid[s] + index * side.step[s];
}

// The position of a neuron on a side, or no position at all.
FN_ONCE uint64 position_in(const Side& side, uint64 gid) {
    for (uint32 s = 0; s < side.n; ++s) {
        const uint64 begin = s ? side.end[s - 1] : 0, size = side.end[s] - begin;
        if (gid < side.gid[s]) continue;
        const uint64 past = gid - side.gid[s];
        if (side.list_begin[s] != ~0ull) {
            const uint64* const ids = side.list + side.list_begin[s];
            uint64 low = 0, high = size;
            while (low < high) {
                const uint64 middle = (low + high) / 2;
                if (ids[middle] < past) low = middle + 1; else high = middle;
            }
            if (low < size && ids[low] == past) return begin + low;
        } else if (side.step[s] == 1) {
            if (past < size) return begin + past;
        } else if (past % side.step[s] == 0 && past / side.step[s] < size) {
            return begin + past / side.step[s];
        }
    }
    return ~0ull;
}

// The row of the chunk that belongs to source position `position`, or a number >= c.n_rows.
FN uint64 row_of(const Connect& c, uint64 position) {
    return gid_at(c.sources, position) - c.first_source;  // wraps to a huge number before the chunk
}

struct Target {
    uint64 gid;
    uint64 position;
    uint32 local;  // index within its model's group
};

// The t-th of the local targets.
FN Target target_at(const Connect& c, uint64 t) {
    const uint64 k = c.target_list ? c.target_list[t] : c.target_first + t * c.target_step;
    const uint64 place = c.target_list ? c.target_place[t] : t * c.place_step;
    const Target target = {c.target_gid + k * c.target_stride, c.target_position + place, c.target_local + (uint32)k};
    return target;
}

// The target of each lane: all the same, or one a lane.
struct OneTarget {
    uint32 target;
    FN_MEMBER uint32 at(uint32) const { return target; }
};
#ifndef __CUDACC__
struct ManyTargets {
    const uint32* target;
    FN_MEMBER uint32 at(uint32 j) const { return target[j]; }
};
#endif

// Steps after the first, up to `last`: the guide knows them for all words of most cells (SURE), else where to begin.
FN uint32 drawn_delay(const uint16* guide, const uint32* threshold, uint32 last, uint32 word) {
    uint32 step = guide[word >> 20];
    if (!UNLIKELY(step < SURE)) return step - SURE;
    while (step < last && word >= threshold[step]) ++step;
    return step;
}

FN uint32 delay_of(const Connect& c, uint32 word, uint64 item) {
    if (c.delay_list) return (uint32)c.delay_list[item];
    return drawn_delay(c.delay_guide, c.delay_threshold, c.delay_steps - 1, word) + c.delay_first;
}

#if SPATIAL
// Weights and delays that depend on the place of a synapse, for the first n lanes: positions are found again from the
// identities of both neurons, unless `known` has what programs ask for. Lanes of another chunk are left as they are.
template <class Targets>
FN_ONCE void spatial_values(const Connect& c, const Targets target, uint32 n, VARYING_ARGUMENT(uint64, position),
                            Pairs* known, VARYING_REFERENCE(double, weight), VARYING_REFERENCE(uint32, delay)) {
    const Space& s = c.space;
    Pairs found;
    Pairs& pairs = known ? *known : found;
    if (!known) EACH_LANE(j, n) {
        const uint64 at = AT(position, j);
        Position from = {0.0, 0.0, 0.0}, to = {0.0, 0.0, 0.0};
        if (row_of(c, at) < c.n_rows) {
            uint32 selection = 0;
            while (at >= c.sources.end[selection]) ++selection;
            from = position_of(s.sources[selection], gid_at(c.sources, at), c.seed);
            to = position_of(s.target, c.target_gid + (uint64)(target.at(j) - c.target_local) * c.target_stride, c.seed);
        }
        AT(pairs.of[AT_SOURCE], j) = from.x;
        AT(pairs.of[AT_SOURCE + 1], j) = from.y;
        AT(pairs.of[AT_SOURCE + 2], j) = from.z;
        AT(pairs.of[AT_TARGET], j) = to.x;
        AT(pairs.of[AT_TARGET + 1], j) = to.y;
        AT(pairs.of[AT_TARGET + 2], j) = to.z;
    }
    if (!known) measure(s, n, pairs);
    if (s.weight.n) {
        evaluate_program(s.weight, n, pairs, weight);
        FOR_LANES(j, n) { AT(weight, j) = clamped(AT(weight, j), s.weight_low, s.weight_high); }
    }
    if (s.delay.n) {
        VARYING(double, time);
        evaluate_program(s.delay, n, pairs, time);
        FOR_LANES(j, n) {  // rounded half up, as round_to_steps of grid.py does
            const double steps = AT(time, j) / s.dt + 0.5 + 1e-9;
            const double last = (double)(c.delay_first + c.delay_steps - 1);
            AT(delay, j) = (uint32)(int64)clamped(steps, (double)c.delay_first, last);
        }
    }
}
#endif

// A weight at the resolution of the projection.
FN double at_resolution(const Connect& c, double weight) {
    if (!c.levels) return weight;
    const double level = clamped((weight - c.level_low) * c.levels_per_unit, 0.0, (double)(c.levels - 1));
    return clamped(c.level_first + c.level_step * (double)(int32)level, c.level_least, c.level_most);
}

FN double weight_of(const Connect& c, uint32 word, uint64 item) {
    return c.weight_list ? c.weight_list[item] : at_resolution(c, sample(c.weight, word));
}

// Cell of a synapse in the counter table; the plane depends on the sign of its weight.
FN uint64 cell_of(const Connect& c, uint64 row, uint32 delay, uint32 block, bool negative) {
    const uint32 column = (negative ? c.negative_column : c.positive_column) + block;
    return (row * c.n_delays + (delay - c.first_delay)) * c.n_columns + column;
}

// Where the synapses of a cell are counted: each cell by itself, or all of a bucket of rows (see sparse.cpp).
FN uint32* counter_of(const Connect& c, uint64 row, uint64 cell) { return &c.cells[c.sparse ? row >> c.bucket_bits : cell]; }

// The number of a cell in its bucket of rows.
FN uint32 key_of(const Connect& c, uint64 row, uint64 cell) {
    return (uint32)(cell - (row >> c.bucket_bits << c.bucket_bits) * ((uint64)c.n_delays * c.n_columns));
}

// Weights in quanta and their signs (all that is asked for: without FILL only signs that vary), and delays that depend
// on the place, of up to LANES synapses.
template <bool FILL, class Targets>
FN_ONCE_ON_HOST void weights_of(const Connect& c, const Targets target, uint32 n, VARYING_ARGUMENT(uint64, position),
                                VARYING_ARGUMENT(uint32, weight_word), VARYING_ARGUMENT(uint64, item), Pairs* known,
                                VARYING_REFERENCE(int64, quanta), VARYING_REFERENCE(uint8, negative),
                                VARYING_REFERENCE(uint32, placed_delay)) {
    VARYING(double, placed_weight);
#if SPATIAL
    if (DELAY_BY_PLACE(c) || (WEIGHT_BY_PLACE(c) && (FILL || c.sign_varies))) {
        spatial_values(c, target, n, position, known, placed_weight, placed_delay);
    }
#endif
    if (c.weight_fixed) {
        FOR_LANES(j, n) {
            AT(quanta, j) = c.fixed_quanta;
            AT(negative, j) = (uint8)c.fixed_negative;
        }
#ifndef __CUDACC__
    } else if (FILL && !c.sign_varies && !c.weight_list && !c.levels && !WEIGHT_BY_PLACE(c) &&
               is_flat(c.weight, c.fixed_negative ? c.negative_per_quantum : c.positive_per_quantum)) {
        normal_quanta(c.weight, c.fixed_negative ? c.negative_per_quantum : c.positive_per_quantum, n, weight_word, quanta);
        FOR_LANES(j, n) { negative[j] = (uint8)c.fixed_negative; }
#endif
    } else if (FILL || c.sign_varies) {
        VARYING(double, weight);
        if (WEIGHT_BY_PLACE(c)) {
            FOR_LANES(j, n) { AT(weight, j) = AT(placed_weight, j); }
        } else if (!c.weight_list && c.weight.kind == NORMAL) {
            // The centre of the normal distribution for all lanes at once, then its tails.
            VARYING(double, p);
            const uint32 whole = WHOLE(n);
            FOR_LANES(j, whole) {
                AT(p, j) = c.weight.p_low + c.weight.p_width * uniform(AT(weight_word, j));
                AT(weight, j) = inverse_normal_centre(AT(p, j));
            }
#ifdef __CUDACC__
            if (LANE < n && !in_centre(p)) weight = inverse_normal_tail(p);
#else
            VARYING(uint32, mark);
            ALIGNED uint32 lane[LANES + 16];
            VARYING(double, tail);
            FOR_LANES(j, whole) { mark[j] = in_centre(p[j]) ? 0u : 1u; }
            const uint32 n_tails = find_marked(n, mark, lane);
            EACH_LANE(i, n_tails) { tail[i] = p[lane[i]]; }
            FOR_LANES(i, n_tails) { tail[i] = inverse_normal_tail(tail[i]); }
            EACH_LANE(i, n_tails) { weight[lane[i]] = tail[i]; }
#endif
            FOR_LANES(j, whole) {
                AT(weight, j) = clamped(c.weight.first + c.weight.second * AT(weight, j), c.weight.low, c.weight.high);
            }
            if (c.levels) FOR_LANES(j, n) { AT(weight, j) = at_resolution(c, AT(weight, j)); }
        } else {
            EACH_LANE(j, n) { AT(weight, j) = weight_of(c, AT(weight_word, j), AT(item, j)); }
        }
        FOR_LANES(j, n) {
            const bool below_zero = c.sign_varies ? AT(weight, j) < 0.0 : c.fixed_negative != 0;
            AT(negative, j) = below_zero;
            AT(quanta, j) = in_quanta(AT(weight, j), below_zero ? c.negative_per_quantum : c.positive_per_quantum);
        }
    } else {
        FOR_LANES(j, n) { AT(negative, j) = (uint8)c.fixed_negative; }
    }
}

// Counts (FILL false) or writes (FILL true) up to LANES synapses of one target.
template <bool FILL, class Targets>
FN_ONCE_ON_HOST void place(const Connect& c, const Targets target, uint32 n, VARYING_ARGUMENT(uint64, position),
              VARYING_ARGUMENT(uint32, delay_word), VARYING_ARGUMENT(uint32, weight_word),
              VARYING_ARGUMENT(uint64, item), Pairs* known = 0) {
    VARYING(int64, quanta);
    VARYING(uint8, negative);
    VARYING(uint32, placed_delay);
    weights_of<FILL>(c, target, n, position, weight_word, item, known, quanta, negative, placed_delay);
    // Cells and synapses lie all over the memory: three passes, so that many misses are under way at once.
    VARYING(uint32*, cell);
    VARYING(uint32, key);
    EACH_LANE(j, n) {
        const uint64 row = row_of(c, AT(position, j));
        AT(cell, j) = 0;
        if (row < c.n_rows) {
            const uint32 delay = DELAY_BY_PLACE(c) ? AT(placed_delay, j) : delay_of(c, AT(delay_word, j), AT(item, j));
            const uint64 number = cell_of(c, row, delay, target.at(j) >> c.block_bits, AT(negative, j));
            AT(cell, j) = counter_of(c, row, number);
            if (FILL && c.sparse) AT(key, j) = key_of(c, row, number);
            PREFETCH_TO_WRITE(AT(cell, j));
        }
    }
    VARYING(uint32, at);
    EACH_LANE(j, n) {
        if (AT(cell, j)) {
            AT(at, j) = atomic_add(AT(cell, j), 1u);
            if (FILL) PREFETCH_TO_WRITE(&c.synapses[AT(at, j)]);
        }
    }
    if (FILL) {
        const uint32 mask = (1u << c.block_bits) - 1u;
        EACH_LANE(j, n) {
            if (AT(cell, j)) c.synapses[AT(at, j)] = pack_synapse(AT(quanta, j), target.at(j) & mask);
        }
        if (c.sparse) EACH_LANE(j, n) {
            if (AT(cell, j)) c.keys[AT(at, j)] = AT(key, j);
        }
    }
}

struct Drawn {
    int64 quanta;
    uint32 delay;
    bool negative;
};

// Weight and delay of one synapse: what `weights_of` does, for a thread on its own.
template <bool FILL>
FN_ONCE Drawn draw_one(const Connect& c, uint32 target, uint64 position, uint32 delay_word, uint32 weight_word,
                       uint64 item) {
    int64 quanta = c.fixed_quanta;
    bool negative = c.fixed_negative != 0;
    double placed_weight = 0.0;
    uint32 placed_delay = 0;
#if SPATIAL && defined(__CUDACC__)
    if (DELAY_BY_PLACE(c) || WEIGHT_BY_PLACE(c)) {
        // Every lane runs for itself, whichever of its group are here.
        spatial_values(c, OneTarget{target}, LANES, position, 0, placed_weight, placed_delay);
    }
#endif
    if (!c.weight_fixed && (FILL || c.sign_varies)) {
        const double weight = WEIGHT_BY_PLACE(c) ? placed_weight : weight_of(c, weight_word, item);
        negative = c.sign_varies ? weight < 0.0 : negative;
        quanta = in_quanta(weight, negative ? c.negative_per_quantum : c.positive_per_quantum);
    }
    return {quanta, DELAY_BY_PLACE(c) ? placed_delay : delay_of(c, delay_word, item), negative};
}

// Counts or writes one synapse: what `place` does, for a thread on its own.
template <bool FILL>
FN_ONCE void place_one(const Connect& c, uint32 target, uint64 position, uint32 delay_word, uint32 weight_word, uint64 item) {
    const uint64 row = row_of(c, position);
    if (row >= c.n_rows) return;
    const Drawn s = draw_one<FILL>(c, target, position, delay_word, weight_word, item);
    const uint64 cell = cell_of(c, row, s.delay, target >> c.block_bits, s.negative);
    const uint32 at = atomic_add(counter_of(c, row, cell), 1u);
    if (FILL) c.synapses[at] = pack_synapse(s.quanta, target & ((1u << c.block_bits) - 1u));
    if (FILL && c.sparse) c.keys[at] = key_of(c, row, cell);
}

// The position of a target among the sources, where autapses are forbidden; else no position at all.
FN uint64 own_position(const Connect& c, uint64 gid) { return c.autapses ? ~0ull : position_in(c.sources, gid); }
