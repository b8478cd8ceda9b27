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
