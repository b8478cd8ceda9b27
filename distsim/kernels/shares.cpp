// The shares of a fixed total number: split over targets along a binary tree of target positions, each
// node's left part a binomial draw keyed by (projection, node). Every rank walks only to its own leaves.
// `Shares` is declared in connect.py.

// Allowed (source, target) pairs with the target's position in [low, high).
FN double pairs(const Shares& s, uint64 low, uint64 high) {
    uint64 forbidden = 0;
    for (uint32 i = 0; i < s.n_overlaps; ++i) {
        const uint64 a = s.overlap_begin[i] > low ? s.overlap_begin[i] : low;
        const uint64 b = s.overlap_end[i] < high ? s.overlap_end[i] : high;
        forbidden += b > a ? b - a : 0;
    }
    return (double)(high - low) * (double)s.n_sources - (double)forbidden;
}

// One step down: the count that goes to the side of `position`.
FN void descend(const Shares& s, uint64 position, uint64& node, uint64& low, uint64& high, uint64& count) {
    const uint64 middle = low + (high - low) / 2;
    const uint64 left = binomial(count, pairs(s, low, middle) / pairs(s, low, high), (uint32)node,
                                 (uint32)(node >> 32), s.projection, s.seed, STREAM_SPLIT);
    const bool right = position >= middle;
    node = 2 * node + (right ? 1 : 0);
    count = right ? count - left : left;
    low = right ? middle : low;
    high = right ? high : middle;
}

// The nodes of one level, whole, from those of the level above.
KERNEL split_level(const Shares* shares) {
    const Shares& s = *shares;
    ITEM_FOR(i, (int64)1 << s.level) {
        uint64 low = 0, high = s.n_targets;
        for (uint32 bit = s.level; bit-- > 0;) {
            const uint64 middle = low + (high - low) / 2;
            if ((i >> bit) & 1) low = middle; else high = middle;
        }
        const uint64 node = ((uint64)1 << s.level) + (uint64)i;
        const uint64 middle = low + (high - low) / 2;
        uint64 left = s.above[i];
        if (high - low > 1) {
            left = binomial(s.above[i], pairs(s, low, middle) / pairs(s, low, high), (uint32)node,
                            (uint32)(node >> 32), s.projection, s.seed, STREAM_SPLIT);
        }
        s.below[2 * i] = left;
        s.below[2 * i + 1] = s.above[i] - left;
    }
}

// From the last whole level down to each local target.
KERNEL split_to_targets(const Shares* shares) {
    const Shares& s = *shares;
    ITEM_FOR(t, s.n_local) {
        const uint64 position = s.first_position + (uint64)t * s.stride;
        uint64 low = 0, high = s.n_targets, node = 1;
        for (uint32 i = 0; i < s.level; ++i) {
            const uint64 middle = low + (high - low) / 2;
            const bool right = position >= middle;
            node = 2 * node + (right ? 1 : 0);
            low = right ? middle : low;
            high = right ? high : middle;
        }
        uint64 count = s.above[node - ((uint64)1 << s.level)];
        while (high - low > 1) descend(s, position, node, low, high, count);
        s.counts[t] = count;
    }
}
