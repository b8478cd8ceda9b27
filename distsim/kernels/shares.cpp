// The shares of a fixed total number: split over targets along a binary tree of target positions, each
// node's left part a binomial (or hypergeometric) draw keyed by (projection, node). Every rank walks only to its own leaves.
// `Shares` is declared in connect.py.

// Elements of a sorted list below x.
FN uint64 listed_below(const uint64* list, uint64 n, uint64 x) {
    uint64 low = 0, high = n;
    while (low < high) {
        const uint64 middle = (low + high) / 2;
        if (list[middle] < x) low = middle + 1; else high = middle;
    }
    return low;
}

// Allowed (source, target) pairs with the target's position in [low, high).
FN double pairs(const Shares& s, uint64 low, uint64 high) {
    uint64 forbidden = 0;
    for (uint32 i = 0; i < s.n_overlaps; ++i) {
        const uint64 begin = s.overlap_begin[i], step = s.overlap_step[i];
        const uint64 b = s.overlap_end[i] < high ? s.overlap_end[i] : high;
        uint64 a = begin;
        if (low > begin) a = begin + (low - begin + step - 1) / step * step;
        forbidden += b > a ? (b - a + step - 1) / step : 0;
    }
    if (s.n_listed) {
        forbidden += listed_below(s.overlap_list, s.n_listed, high) - listed_below(s.overlap_list, s.n_listed, low);
    }
    return (double)(high - low) * (double)s.n_sources - (double)forbidden;
}

// What goes to the left half of a node: binomial, or hypergeometric where no pair is drawn twice.
FN_ONCE uint64 share_of_left(const Shares& s, uint64 low, uint64 middle, uint64 high, uint64 node, uint64 count) {
    const double left = pairs(s, low, middle);
    if (s.distinct) {
        return hypergeometric(left, pairs(s, middle, high), count, (uint32)node, (uint32)(node >> 32), s.projection, 0,
                              s.seed, STREAM_SPLIT);
    }
    return binomial(count, left / pairs(s, low, high), (uint32)node, (uint32)(node >> 32), s.projection, s.seed,
                    STREAM_SPLIT);
}

// One step down: the count that goes to the side of `position`.
FN void descend(const Shares& s, uint64 position, uint64& node, uint64& low, uint64& high, uint64& count) {
    const uint64 middle = low + (high - low) / 2;
    const uint64 left = share_of_left(s, low, middle, high, node, count);
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
            left = share_of_left(s, low, middle, high, node, s.above[i]);
        }
        s.below[2 * i] = left;
        s.below[2 * i + 1] = s.above[i] - left;
    }
}

// From the last whole level down to each local target.
KERNEL split_to_targets(const Shares* shares) {
    const Shares& s = *shares;
    ITEM_FOR(t, s.n_local) {
        const uint64 position = s.positions ? s.positions[t] : s.first_position + (uint64)t * s.stride;
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
