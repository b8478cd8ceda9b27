// A neuron's draws scattered over the neurons of the other side, without a list of them.
//
// The other side's places are split along a binary tree: first by selection (population), then within one by the
// lowest bits of the place, bit by bit. How many of a node's draws go to its left half is binomial (with
// replacement) or hypergeometric (without), keyed by (neuron, projection, level, number of the node's first draw),
// so that every rank finds the same and follows only nodes with places of its own. Under round robin on 2^k ranks a
// rank's neurons are one node of level k. Few draws left in a node are drawn at once, the k-th of a neuron from one
// Philox block: Floyd's algorithm without replacement (Bentley & Floyd 1987, doi:10.1145/30401.315746).
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
    uint64 residue;  // places residue + i 2^level within the selection
    uint32 level;
};

// Places of one selection that a node holds: residue + ((skip + i) << level), i < available, but for one.
struct Places {
    uint64 skip;       // elements before `from`
    uint64 available;  // without the forbidden one
    uint64 own;        // number of the forbidden one among those from `skip` on, or ~0
};

FN uint64 side_begin(const Side& s, uint32 selection) { return selection ? s.end[selection - 1] : 0; }

FN_ONCE Places places_beside(const Drawer& d, uint64 begin, uint64 size, uint64 residue, uint32 level) {
    Places p;
    p.skip = 0;
    p.own = ~0ull;
    p.available = residue < size ? ((size - 1 - residue) >> level) + 1 : 0;
    const uint64 from = d.from > begin ? d.from - begin : 0;
    if (from > residue) {
        p.skip = (from - residue + (((uint64)1 << level) - 1)) >> level;
        p.available = p.available > p.skip ? p.available - p.skip : 0;
    }
    const uint64 own = d.own - begin;  // beyond the selection's size where it is elsewhere
    if (d.own != ~0ull && d.own >= begin && own < size && own >= from && own >= residue &&
        ((own - residue) & (((uint64)1 << level) - 1)) == 0) {
        p.own = ((own - residue) >> level) - p.skip;
        p.available -= 1;
    }
    return p;
}

FN Places places_in(const Drawer& d, uint64 begin, uint64 size, uint64 residue, uint32 level) {
    if (d.own != ~0ull || d.from > begin) return places_beside(d, begin, size, residue, level);
    return {0, residue < size ? ((size - 1 - residue) >> level) + 1 : 0, ~0ull};  // nothing is forbidden
}

FN_ONCE uint64 split_draws(const Connect& c, const Drawer& d, double left, double right, uint64 count, uint64 first,
                      uint32 level) {
    const uint32 b = (uint32)d.gid, e = (uint32)(d.gid >> 32) | (c.projection << 8);
    if (d.distinct) return hypergeometric(left, right, count, (uint32)first, b, e, level << 16, c.seed, STREAM_SHARE);
    if (right <= 0.0) return count;
    return binomial_share(left, right, count, (uint32)first, b, e, level << 16, c.seed, STREAM_SHARE);
}

// May a node hold a local target? Never no where there is one.
FN bool holds_local(const Connect& c, uint64 residue, uint32 level) {
    if (c.index_local) return true;
    if (c.index_count == 0) return false;
    const uint64 wide = (uint64)1 << level;
    const uint64 common = c.index_stride & (0 - c.index_stride);  // the power of two in the stride
    const uint64 step = common < wide ? common : wide;
    if ((residue - c.index_first) & (step - 1)) return false;
    if (c.index_stride != common || c.index_stride > wide) return true;
    const uint64 nearest = c.index_first + ((residue - c.index_first) & (wide - 1));
    return nearest <= c.index_first + (c.index_count - 1) * c.index_stride;
}

// Lanes that work together share the nodes out by the lowest bits of their places: does this one follow a node? And of
// those that do, is it the one that draws, where the node is left undivided? Draws with replacement are shared out over
// all lanes that follow it.
#define LANE_BITS (WIDTH == 32u ? 5u : 0u)
FN bool follows(uint32 level, uint64 residue) {
    const uint32 mask = (1u << (level < LANE_BITS ? level : LANE_BITS)) - 1u;
    return (((uint32)residue ^ LANE) & mask) == 0;
}
FN bool draws_leaf(uint32 level, uint64 residue) { return level >= LANE_BITS || (uint32)residue == LANE; }
FN uint32 lanes_at(uint32 level) { return level < LANE_BITS ? WIDTH >> level : 1u; }
FN uint32 lane_at(uint32 level) { return level < LANE_BITS ? LANE >> level : 0u; }
