// A neuron's draws scattered over the neurons of the other side, without a list of them.
//
// The other side's places are split along a binary tree: first by selection (population), then within one into halves
// of neighbours. How many of a node's draws go to its left half is binomial (with replacement) or hypergeometric
// (without), keyed by (neuron, projection, level, number of the node's first draw), so that every rank finds the same
// and follows only nodes with places of its own: O(own draws + log ranks) where its neurons are neighbours, as under
// every partition but round robin. Few draws left in a node are drawn at once, the k-th of a neuron from one Philox
// block: Floyd's algorithm without replacement (Bentley & Floyd 1987, doi:10.1145/30401.315746).
//
// A node that is left undivided is drawn whole by every rank that has a place in it. With replacement a draw takes some
// 3 ns and a split about ten times that: 64 of them cost a rank that keeps none no more than following the tree would,
// and a rank that keeps all of them saves four splits. Without replacement a leaf's draws are compared pair by pair: 16.

#define LEAF 16u           // without replacement
#define MULTAPSES_LEAF 64u  // with
#define LEVEL_OF_COUNT 0xFFFFu  // the number of a neuron's draws
#define LEVEL_OF_SELECTION 0x100u

// One neuron whose draws are scattered.
struct Drawer {
    uint64 gid;
    uint64 own;     // place on the other side that is forbidden, or ~0
    uint64 from;    // the first place that is allowed
    bool distinct;
    bool pruned;    // follow only nodes with local targets
    uint32 stream;  // of its single draws
    bool shared;    // the lanes of a group work on it together, each on nodes of its own
};

struct Scattered {
    uint64 first;    // number of the node's first draw
    uint64 count;
    uint64 low, high;  // places low … high - 1 of the selection
    uint16 level;
    uint8 forks, path;  // how often lanes that work together have parted on the way here, and to which sides
};

// Places of one selection that a node holds and that are allowed: first + i, i < available, but for one.
struct Places {
    uint64 first;
    uint64 available;  // without the forbidden one
    uint64 own;        // number of the forbidden one among those from `first` on, or ~0
};

FN uint64 side_begin(const Side& s, uint32 selection) { return selection ? s.end[selection - 1] : 0; }

FN Places places_in(const Drawer& d, uint64 begin, uint64 low, uint64 high) {
    Places p = {low, high - low, ~0ull};
    if (d.from > begin + low) {
        p.first = d.from - begin < high ? d.from - begin : high;
        p.available = high - p.first;
    }
    const uint64 own = d.own - begin;  // huge where nothing is forbidden or it lies before the selection
    if (own >= p.first && own < high) {
        p.own = own - p.first;
        p.available -= 1;
    }
    return p;
}

FN_ONCE uint64 split_draws(const Connect& c, const Drawer& d, double left, double right, uint64 count, uint64 first,
                      uint32 level) {
    const uint32 b = (uint32)d.gid, e = (uint32)(d.gid >> 32) | (c.projection << 8);
    if (d.distinct) return hypergeometric(left, right, count, (uint32)first, b, e, level << 16, c.seed, STREAM_SHARE);
    if (right <= 0.0) return count;
    return binomial_share(left, right, count, (uint32)first, b, e, level << 16, c.seed, STREAM_SHARE);
}

// May one of the places low … high - 1 be a local target's? Never no where one is.
FN bool holds_local(const Connect& c, uint64 low, uint64 high) {
    if (c.index_local) return true;
    const uint64 first = c.index_first, stride = c.index_stride;
    if (c.index_count == 0 || high <= first || low > first + (c.index_count - 1) * stride) return false;
    if (low <= first || high - low >= stride) return true;
    const uint64 past = low - first, nth = (past + stride - 1) / stride;
    return nth * stride < past + (high - low);
}

// Lanes that work together part where a node has two children that both are to be followed: does this one follow a node?
// And of those that do, is it the one that draws, where the node is left undivided? Draws with replacement are shared out
// over all lanes that follow it.
#define LANE_BITS (WIDTH == 32u ? 5u : 0u)
FN bool follows(const Scattered& node) { return ((node.path ^ LANE) & ((1u << node.forks) - 1u)) == 0; }
FN uint32 lanes_at(const Scattered& node) { return WIDTH >> node.forks; }
FN uint32 lane_at(const Scattered& node) { return LANE >> node.forks; }

// The words of draws first … first + n - 1 (n <= LEAF) of a neuron.
FN void leaf_words(const Connect& c, const Drawer& d, uint64 first, uint32 n, uint32* w0, uint32* w1, uint32* w2,
                   uint32* w3) {
    const uint32 low = (uint32)d.gid, high = (uint32)(d.gid >> 32) | (c.projection << 8);
#ifdef __CUDACC__
    NOT_UNROLLED for (uint32 j = 0; j < n; ++j) {
        const Block block = philox((uint32)(first + j), (uint32)((first + j) >> 32), low, high, c.seed, d.stream);
        w0[j] = block.w0; w1[j] = block.w1; w2[j] = block.w2; w3[j] = block.w3;
    }
#else
    for (uint32 j = 0; j < n; ++j) {
        w0[j] = (uint32)(first + j);
        w1[j] = (uint32)((first + j) >> 32);
    }
    philox_lanes(n, w0, w1, w2, w3, low, high, c.seed, d.stream);
#endif
}

#ifndef __CUDACC__
// Draws that wait until they are as many as lanes.
struct Waiting {
    uint32 n;
    VARYING(uint64, position);
    VARYING(uint32, target);
    VARYING(uint32, delay_word);
    VARYING(uint32, weight_word);
    // Whether there are as many now.
    FN_MEMBER bool add(uint64 at, uint32 to, uint32 delay, uint32 weight) {
        position[n] = at;
        target[n] = to;
        delay_word[n] = delay;
        weight_word[n] = weight;
        return ++n == LANES;
    }
    // `more` of them at once, for which there is room: those whose target is not ~0.
    FN_MEMBER bool add_targets(uint32 more, uint64 at, const uint32* to, const uint32* delay, const uint32* weight) {
        uint32 kept = 0;
        FOR_LANES(j, more) { kept += to[j] != ~0u ? 1u : 0u; }
        if (kept == more) {
            FOR_LANES(j, more) { position[n + j] = at; }
            FOR_LANES(j, more) { target[n + j] = to[j]; }
            FOR_LANES(j, more) { delay_word[n + j] = delay[j]; }
            FOR_LANES(j, more) { weight_word[n + j] = weight[j]; }
            n += more;
        } else if (kept) {
            uint32 i = n;
            EACH_LANE(j, more) {
                position[i] = at;
                target[i] = to[j];
                delay_word[i] = delay[j];
                weight_word[i] = weight[j];
                i += to[j] != ~0u ? 1u : 0u;
            }
            n = i;
        }
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

#ifndef __CUDACC__
// Draws of a source, of which those with a target that is not ~0 are kept.
template <class Into>
FN void add_targets(Into& batch, uint32 n, uint64 position, const uint32* to, const uint32* delay, const uint32* weight) {
    if (batch.waiting.n + n > LANES) batch.flush();
    if (batch.waiting.add_targets(n, position, to, delay, weight)) batch.flush();
}
#endif

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
FN void local_targets(const Connect& c, uint32 n, const uint64* RESTRICT index, uint32* RESTRICT target) {
    const uint64 first = c.index_first, count = c.index_count;
    const uint32 base = c.target_local + (uint32)c.target_first, step = (uint32)c.target_step;
    if (c.index_local) {
        EACH_LANE(j, n) {
            const uint32 k = c.index_local[index[j]];
            target[j] = k == ~0u ? k : c.target_local + k;
        }
    } else if (c.index_stride == 1) {
        FOR_LANES(j, n) {
            const uint64 past = index[j] - first;  // wraps to a huge number before the first
            target[j] = past < count ? base + (uint32)past * step : ~0u;
        }
    } else {
        // Quotients of places (below 2^40) by way of floating point: half a place keeps them off the edges.
        const double per_stride = 1.0 / (double)c.index_stride;
        const uint64 stride = c.index_stride;
        FOR_LANES(j, n) {
            const uint64 past = index[j] - first;
            const uint64 nth = (uint64)(int64)(((double)(int64)past + 0.5) * per_stride);
            target[j] = nth * stride == past && nth < count ? base + (uint32)nth * step : ~0u;
        }
    }
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
    ALIGNED uint32 w0[MULTAPSES_LEAF];
    ALIGNED uint32 w1[MULTAPSES_LEAF];
    ALIGNED uint32 w2[MULTAPSES_LEAF];
    ALIGNED uint32 w3[MULTAPSES_LEAF];
    ALIGNED uint64 index[MULTAPSES_LEAF];
    ALIGNED uint32 target[MULTAPSES_LEAF];
    (void)begin;
    for (uint64 k = mine; k < end; k += MULTAPSES_LEAF) {
        const uint32 n = (uint32)(end - k < MULTAPSES_LEAF ? end - k : MULTAPSES_LEAF);
        leaf_words(c, d, node.first + k, n, w0, w1, w2, w3);
        const uint64 available = p.available, own = p.own, from = p.first;
        if (available >> 32) {
            EACH_LANE(j, n) { index[j] = below(w0[j], w1[j], available); }
        } else {  // the same by narrow products
            FOR_LANES(j, n) {
                const uint64 rest = ((uint64)w1[j] * (uint32)available) >> 32;
                index[j] = ((uint64)w0[j] * (uint32)available + rest) >> 32;
            }
        }
        FOR_LANES(j, n) { index[j] += from + (index[j] >= own ? 1u : 0u); }
        local_targets(c, n, index, target);
        add_targets(out.batch, n, out.source, target, w2, w3);
    }
#endif
}

// Scatters `count` draws of a neuron, the first of them number `first`, over one selection of the other side.
template <int FILL>
FN_ONCE void scatter_within(const Connect& c, const Drawer& d, const Side& side, uint32 selection, uint64 first,
                       uint64 count, const Out<FILL>& out) {
    const uint64 begin = side_begin(side, selection), size = side.end[selection] - begin;
    Scattered stack[42];  // places are below 2^40
    uint32 depth = 0;
    if (count && (!d.pruned || holds_local(c, 0, size))) stack[depth++] = {first, count, 0, size, 0, 0, 0};
    while (depth) {
        const Scattered node = stack[--depth];
        if (d.shared && !follows(node)) continue;
        const Places p = places_in(d, begin, node.low, node.high);
        if (p.available == 0) continue;
        if (!d.distinct && (node.count <= MULTAPSES_LEAF || p.available == 1)) {
            draw_multapses(c, d, p, begin, node, out);
            continue;
        }
        if (d.distinct && (node.count <= LEAF || p.available == 1 || node.count == p.available)) {
            if (!d.shared || lane_at(node) == 0) draw_leaf(c, d, p, begin, node, out);
            continue;
        }
        const uint64 middle = node.high - (node.high - node.low) / 2;
        const uint64 here = places_in(d, begin, node.low, middle).available;
        const uint64 left = split_draws(c, d, (double)here, (double)(p.available - here), node.count, node.first, node.level);
        const uint64 right = node.count - left;
        const bool to_left = left && (!d.pruned || holds_local(c, node.low, middle));
        const bool to_right = right && (!d.pruned || holds_local(c, middle, node.high));
        const bool parted = d.shared && to_left && to_right && node.forks < LANE_BITS;
        const uint16 below = (uint16)(node.level + 1);
        const uint8 forks = (uint8)(node.forks + (parted ? 1 : 0));
        const uint8 aside = (uint8)(node.path | (parted ? 1u << node.forks : 0u));
        if (to_right) stack[depth++] = {node.first + left, right, middle, node.high, below, forks, aside};
        if (to_left) stack[depth++] = {node.first, left, node.low, middle, below, forks, node.path};
    }
}

// Scatters all draws of a neuron; `only`: over this selection alone (as far as it gets some), or ~0.
template <int FILL>
FN_ONCE void scatter(const Connect& c, const Drawer& d, const Side& side, uint64 count, uint32 only,
                     const Out<FILL>& out) {
    uint64 rest = places_in(d, 0, 0, side.end[side.n - 1]).available;
    uint64 first = 0;
    for (uint32 s = 0; s < side.n && count; ++s) {
        const uint64 begin = side_begin(side, s);
        const uint64 here = places_in(d, begin, 0, side.end[s] - begin).available;
        rest -= here;
        const uint64 mine = rest == 0 ? count
            : split_draws(c, d, (double)here, (double)rest, count, first, LEVEL_OF_SELECTION + s);
        if (only == ~0u || only == s) scatter_within(c, d, side, s, first, mine, out);
        if (only == s) return;
        first += mine;
        count -= mine;
    }
}

// The number of a neuron's draws, where the rule leaves it to chance; `allowed` places are open to it.
FN_ONCE uint64 count_draws(const Connect& c, uint64 gid, uint64 allowed) {
    const uint32 b = (uint32)gid, e = (uint32)(gid >> 32) | (c.projection << 8);
    if (c.draws == DRAWS_BERNOULLI) {
        return binomial(allowed, c.chance, 0, b, e, c.seed, STREAM_SHARE, LEVEL_OF_COUNT << 16);
    }
    return poisson_count((double)allowed * c.chance, 0, b, e, LEVEL_OF_COUNT << 16, c.seed, STREAM_SHARE);
}

#ifdef __CUDACC__
#define BATCH(FILL, c) Batch<FILL> batch = {c}
#else
#define BATCH(FILL, c) Batch<FILL> batch = {c, {0}, {}, false}
#endif

// Targets draw their sources without replacement: `indegree` of them, or their share of a total.
template <bool FILL>
FN void connect_distinct(const Connect* connect) {
    const Connect& c = *connect;
    BATCH(FILL, c);
    ITEM_FOR(t, c.n_targets) {
        const Target target = target_at(c, (uint64)t);
        const Drawer d = {target.gid, own_position(c, target.gid), 0, true, false, STREAM_CONNECTION};
        const Out<FILL> out = {batch, TO_SOURCES, target.local, 0};
        const uint64 count = c.shares ? c.shares[t] : c.indegree;
        // All sources are one selection to the tree: which population they are of does not matter here.
        scatter(c, d, c.undivided, count, ~0u, out);
    }
    batch.flush();
}

// The number of a source's draws; `own` is its place among the targets where autapses are forbidden, or ~0.
FN uint64 draws_of_source(const Connect& c, uint64 gid, uint64 position, uint64 own) {
    if (c.shares) return c.shares[position];
    return c.draws ? count_draws(c, gid, c.targets.end[c.targets.n - 1] - (own == ~0ull ? 0 : 1)) : c.indegree;
}

// Sources draw their targets: a number of their own, with or without replacement.
template <bool FILL>
FN void connect_by_source(const Connect* connect) {
    const Connect& c = *connect;
    BATCH(FILL, c);
    ITEM_FOR(row, c.n_rows) {
        const uint64 gid = c.first_source + (uint64)row;
        const uint64 position = position_in(c.sources, gid);
        if (position == ~0ull) continue;
        const uint64 own = c.autapses ? ~0ull : position_in(c.targets, gid);
        const Drawer d = {gid, own, 0, c.distinct != 0, true, STREAM_BY_SOURCE};
        const Out<FILL> out = {batch, TO_TARGETS, 0, position};
        scatter(c, d, c.targets, draws_of_source(c, gid, position, own), c.selection, out);
    }
    batch.flush();
}

// Unordered pairs: each neuron draws its partners behind it, and both ends get a synapse. Items are the rows of the
// chunk (pairs with this neuron first: it is the source), then the local targets (pairs with this neuron first: it
// is the target). The two directions draw delay and weight from words of their own.
template <bool FILL>
FN void connect_symmetric(const Connect* connect) {
    const Connect& c = *connect;
    BATCH(FILL, c);
    ITEM_FOR(item, c.n_rows + c.n_targets) {
        const bool as_source = (uint64)item < c.n_rows;
        Target target = {0, 0, 0};
        if (!as_source) target = target_at(c, (uint64)item - c.n_rows);
        const uint64 gid = as_source ? c.first_source + (uint64)item : target.gid;
        const uint64 position = as_source ? position_in(c.sources, gid) : target.position;
        if (position == ~0ull) continue;
        const Drawer d = {gid, ~0ull, position + 1, true, as_source, STREAM_CONNECTION};
        const uint64 count = count_draws(c, gid, c.n_sources - position - 1);
        const Out<FILL> out = {batch, as_source ? TO_TARGETS : BACK_TO_SOURCES, target.local, position};
        scatter(c, d, c.targets, count, as_source ? c.selection : ~0u, out);
    }
    batch.flush();
}

#if !PROCEDURAL
KERNEL count_distinct(const Connect* c) { connect_distinct<false>(c); }
KERNEL fill_distinct(const Connect* c) { connect_distinct<true>(c); }
KERNEL count_by_source(const Connect* c) { connect_by_source<false>(c); }
KERNEL fill_by_source(const Connect* c) { connect_by_source<true>(c); }
KERNEL count_symmetric(const Connect* c) { connect_symmetric<false>(c); }
KERNEL fill_symmetric(const Connect* c) { connect_symmetric<true>(c); }
#endif
