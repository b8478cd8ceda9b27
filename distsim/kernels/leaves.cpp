// Draws of a node of the tree (tree.h) that is left undivided, and where draws go: on the host they wait until they are as
// many as lanes, so that many misses are under way at once.

// The words of draws first … first + n - 1 of a neuron; arrays have room for whole eights.
FN void leaf_words(const Connect& c, const Drawer& d, uint64 first, uint32 n, uint32* w0, uint32* w1, uint32* w2,
                   uint32* w3) {
    const uint32 low = (uint32)d.gid, high = (uint32)(d.gid >> 32) | (c.projection << 8);
#ifdef __CUDACC__
    NOT_UNROLLED for (uint32 j = 0; j < n; ++j) {
        const Block block = philox((uint32)(first + j), (uint32)((first + j) >> 32), low, high, c.seed, d.stream);
        w0[j] = block.w0; w1[j] = block.w1; w2[j] = block.w2; w3[j] = block.w3;
    }
#else
    philox_row(first, n, w0, w1, w2, w3, low, high, c.seed, d.stream);
#endif
}

#ifndef __CUDACC__
// Draws that wait until they are as many as lanes.
struct Waiting {
    uint32 n;
    VARYING(uint64, position);
    // What is drawn at once comes in whole vectors.
    ALIGNED uint32 target[LANES + 16];
    ALIGNED uint32 delay_word[LANES + 16];
    ALIGNED uint32 weight_word[LANES + 16];
    // Whether there are as many now.
    FN_MEMBER bool add(uint64 at, uint32 to, uint32 delay, uint32 weight) {
        position[n] = at;
        target[n] = to;
        delay_word[n] = delay;
        weight_word[n] = weight;
        return ++n == LANES;
    }
    // `more` of a source, which stand behind the n that are here: those whose target is not ~0 come to them.
    FN_MEMBER bool take(uint32 more, uint64 at) {
        uint32 *const to = target + n, *const delay = delay_word + n, *const weight = weight_word + n;
        uint64* const from = position + n;
        FOR_LANES(j, more) { from[j] = at; }
        uint32 kept = 0;
        FOR_LANES(j, more) { kept += to[j] != ~0u ? 1u : 0u; }
        if (kept < more) {
            uint32 i = 0;
            EACH_LANE(j, more) {
                const bool keep = to[j] != ~0u;
                to[i] = to[j];
                delay[i] = delay[j];
                weight[i] = weight[j];
                i += keep ? 1u : 0u;
            }
        }
        n += kept;
        return n == LANES;
    }
};
#endif

// Synapses on their way into place: on the host a batch, so that many misses are under way at once.
template <int FILL>
struct Batch {
    const Connect& c;
#ifndef __CUDACC__
    Waiting waiting;
    Pairs pairs;   // what programs ask for,
    bool located;  // if that is known
#endif
    // As `add`, by someone who knows what programs ask for.
    FN_MEMBER void add_located(uint64 at, uint32 to, uint32 delay, uint32 weight, const Pairs& known, uint32 j) {
#ifndef __CUDACC__
        located = true;
        copy_named(c.space, known, j, pairs, waiting.n);
#endif
        add(at, to, delay, weight);
    }
    FN_MEMBER void add(uint64 at, uint32 to, uint32 delay, uint32 weight) {
#ifdef __CUDACC__
        place_one<FILL != 0>(c, to, at, delay, weight, 0);
#else
        if (waiting.add(at, to, delay, weight)) flush();
#endif
    }
    FN_MEMBER_ONCE void flush() {
#ifndef __CUDACC__
        Waiting& w = waiting;
        place<FILL != 0>(c, ManyTargets{w.target}, w.n, w.position, w.delay_word, w.weight_word, w.position,
                         located ? &pairs : 0);
        w.n = 0;
#endif
    }
};

// Where a neuron's draws go: a target's to sources, with the words of the draw or (the way back of a symmetric pair)
// words of their own; a source's to targets, of which those that are local are kept.
enum { TO_SOURCES, BACK_TO_SOURCES, TO_TARGETS };

template <int FILL>
struct Out {
    Batch<FILL>& batch;
    uint32 kind;
    uint32 target;  // of those that go to sources
    uint64 source;  // position of the one whose draws go to targets
};

template <int FILL>
FN void put(const Connect& c, const Drawer& d, const Out<FILL>& out, uint64 number, uint64 place, uint32 delay, uint32 weight) {
    if (out.kind == TO_TARGETS) {
        const uint64 index = place - side_begin(c.targets, c.selection);
        uint32 k;
        if (c.index_local) {
            k = c.index_local[index];
            if (k == ~0u) return;
        } else {
            const uint64 past = index - c.index_first;
            if (index < c.index_first) return;
            // Narrow divisions take half the time of wide ones.
            const bool narrow = ((past | c.index_stride) >> 32) == 0;
            const uint64 nth = c.index_stride == 1 ? past
                : narrow ? (uint32)past / (uint32)c.index_stride : past / c.index_stride;
            if (nth * c.index_stride != past || nth >= c.index_count) return;
            k = (uint32)(c.target_first + nth * c.target_step);
        }
        out.batch.add(out.source, c.target_local + k, delay, weight);
        return;
    }
    if (out.kind == BACK_TO_SOURCES) {
        const Block block = philox((uint32)number, (uint32)(number >> 32), (uint32)d.gid,
                                   (uint32)(d.gid >> 32) | (c.projection << 8), c.seed, STREAM_BACK);
        delay = block.w2;
        weight = block.w3;
    }
    out.batch.add(place, out.target, delay, weight);
}

#ifndef __CUDACC__
// Targets at places of their selection, as they are numbered in their group; ~0 for those of other ranks.
FN_ONCE void targets_at(const Connect& c, uint32 n, const uint64* RESTRICT index, uint32* RESTRICT target) {
    const uint64 first = c.index_first, count = c.index_count;
    const uint32 base = c.target_local + (uint32)c.target_first, step = (uint32)c.target_step;
    if (c.index_local) {
        EACH_LANE(j, n) {
            const uint32 k = c.index_local[index[j]];
            target[j] = k == ~0u ? k : c.target_local + k;
        }
    } else {
        // Quotients of places (below 2^40) by way of floating point: half a place keeps them off the edges.
        const double per_stride = 1.0 / (double)c.index_stride;
        const uint64 stride = c.index_stride;
        FOR_LANES(j, n) {
            const uint64 past = index[j] - first;  // wraps to a huge number before the first
            const uint64 nth = (uint64)(int64)(((double)(int64)past + 0.5) * per_stride);
            target[j] = nth * stride == past && nth < count ? base + (uint32)nth * step : ~0u;
        }
    }
}

FN uint32 multiply_high(uint32 a, uint32 b) { return (uint32)(((uint64)a * b) >> 32); }

// The targets of n draws (in whole vectors) with replacement from places of a node.
FN void local_targets(const Connect& c, const Places& p, uint32 n, const uint32* RESTRICT w0, const uint32* RESTRICT w1,
                      uint32* RESTRICT target) {
    const uint64 stride = c.index_stride;
    const bool narrow = ((p.first + p.available) | c.index_first | c.index_count * stride) >> 30 == 0;
    if (narrow && !c.index_local && (stride & (stride - 1u)) == 0) {
        const uint32 places = (uint32)p.available, own = (uint32)p.own, count = (uint32)c.index_count;
        const uint32 first = (uint32)(p.first - c.index_first), between = (uint32)stride - 1u, shift = ones_of(between);
        const uint32 base = c.target_local + (uint32)c.target_first, step = (uint32)c.target_step;
        FOR_LANES(j, WHOLE(n)) {
            const uint32 low = w0[j] * places, rest = multiply_high(w1[j], places);  // `below` by narrow products
            uint32 drawn = multiply_high(w0[j], places) + (low + rest < low ? 1u : 0u);
            drawn += drawn >= own ? 1u : 0u;
            const uint32 past = first + drawn, nth = past >> shift;  // huge before the first
            target[j] = (past & between) == 0 && nth < count ? base + nth * step : ~0u;
        }
        return;
    }
    ALIGNED uint64 index[MULTAPSES_LEAF];
    EACH_LANE(j, n) { index[j] = below(w0[j], w1[j], p.available); }
    FOR_LANES(j, n) { index[j] = p.first + index[j] + (index[j] >= p.own ? 1u : 0u); }
    targets_at(c, n, index, target);
}
#endif

// Draws without replacement of a node whose places are left undivided.
template <int FILL>
FN void draw_leaf(const Connect& c, const Drawer& d, const Places& p, uint64 begin, const Scattered& node,
                  const Out<FILL>& out) {
    ALIGNED uint32 w0[LEAF];
    ALIGNED uint32 w1[LEAF];
    ALIGNED uint32 w2[LEAF];
    ALIGNED uint32 w3[LEAF];
    uint64 chosen[LEAF];
    const bool all = node.count == p.available;
    for (uint64 k = 0; k < node.count; k += LEAF) {
        const uint32 n = (uint32)(node.count - k < LEAF ? node.count - k : LEAF);
        leaf_words(c, d, node.first + k, n, w0, w1, w2, w3);
        NOT_UNROLLED for (uint32 j = 0; j < n; ++j) {
            uint64 drawn = k + j;
            if (!all) {  // then count <= LEAF
                const uint64 top = p.available - n + j;
                drawn = below(w0[j], w1[j], top + 1);
                for (uint32 i = 0; i < j; ++i) {
                    if (chosen[i] == drawn) { drawn = top; break; }
                }
                chosen[j] = drawn;
            }
            drawn += drawn >= p.own ? 1 : 0;
            put(c, d, out, node.first + k + j, begin + p.first + drawn, w2[j], w3[j]);
        }
    }
}

// The same with replacement, of a source; lanes that follow the node take a share each.
template <int FILL>
FN_ONCE void draw_multapses(const Connect& c, const Drawer& d, const Places& p, uint64 begin, const Scattered& node,
                            const Out<FILL>& out) {
    const uint32 lanes = d.shared ? lanes_at(node) : 1u, lane = d.shared ? lane_at(node) : 0u;
    const uint64 mine = node.count * lane / lanes, end = node.count * (lane + 1u) / lanes;
#ifdef __CUDACC__
    const uint32 low = (uint32)d.gid, high = (uint32)(d.gid >> 32) | (c.projection << 8);
    NOT_UNROLLED for (uint64 k = mine; k < end; ++k) {
        const uint64 number = node.first + k;
        const Block block = philox((uint32)number, (uint32)(number >> 32), low, high, c.seed, d.stream);
        uint64 drawn = below(block.w0, block.w1, p.available);
        drawn += drawn >= p.own ? 1 : 0;
        put(c, d, out, number, begin + p.first + drawn, block.w2, block.w3);
    }
#else
    (void)begin;
    ALIGNED uint32 w0[MULTAPSES_LEAF];
    ALIGNED uint32 w1[MULTAPSES_LEAF];
    Waiting& waiting = out.batch.waiting;
    for (uint64 k = mine; k < end; k += MULTAPSES_LEAF) {
        const uint32 n = (uint32)(end - k < MULTAPSES_LEAF ? end - k : MULTAPSES_LEAF);
        if (waiting.n + n > LANES) out.batch.flush();
        leaf_words(c, d, node.first + k, n, w0, w1, waiting.delay_word + waiting.n, waiting.weight_word + waiting.n);
        local_targets(c, p, n, w0, w1, waiting.target + waiting.n);
        if (waiting.take(n, out.source)) out.batch.flush();
    }
#endif
}
