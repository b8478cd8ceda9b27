// Draws of a neuron scattered along the tree (tree.h), and the rules that do so.

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
