// The frame of the generated update kernels: chunks of neurons that share their parameters, Poisson
// background, and the gathering of emitted spikes.
#pragma once

// Neurons of one population, at most LANES: consecutive local indices, global ids an arithmetic sequence.
struct Chunk {
    uint64 gid;
    uint32 gid_stride;
    uint32 begin;       // index within the model's group
    uint32 count;
    uint32 population;  // within the group
    uint32 population_id;
    uint32 unused;
};

// One Poisson background of one population; see build/poisson.py for the tables.
struct PoissonEntry {
    uint32 first;        // the smallest count
    uint32 begin;        // of its thresholds in the table
    uint32 length;       // common thresholds: the count is `first` plus those that a half-word reaches
    uint32 rest_from;    // half-words from here on draw again,
    uint32 rest_begin;   // from thresholds of a whole word
    uint32 rest_length;
    uint32 input;        // the input's position
    uint32 present;
    double weight;
};

FN uint32 thresholds_reached(const uint32* thresholds, uint32 length, uint32 word) {
    uint32 low = 0, high = length;
    while (low < high) {
        const uint32 middle = (low + high) / 2;
        if (word >= thresholds[middle]) low = middle + 1; else high = middle;
    }
    return low;
}

// Counts of one step of the block, from one half of each lane's word.
template <typename Count>
FN void poisson_counts(const Chunk& c, const PoissonEntry& p, const uint32* table, uint32 seed, uint64 step,
                       VARYING_ARGUMENT(uint32, word), uint32 shift, Count* RESTRICT out) {
    const uint32* RESTRICT thresholds = table + p.begin;
    VARYING(uint16, half);
    FOR_LANES(j, c.count) { AT(half, j) = (uint16)(AT(word, j) >> shift); }
    uint32 any = 0;
    if (p.length <= 64) {
        // Few thresholds: compare with each, all lanes at once.
        VARYING(uint16, n);
        FOR_LANES(j, c.count) { AT(n, j) = (uint16)p.first; }
        uint32 k = 0;
        for (; k + 4 <= p.length; k += 4) {
            const uint16 a = (uint16)thresholds[k], b = (uint16)thresholds[k + 1];
            const uint16 d = (uint16)thresholds[k + 2], e = (uint16)thresholds[k + 3];
            FOR_LANES(j, c.count) {
                const uint16 h = AT(half, j);
                AT(n, j) = (uint16)(AT(n, j) + (h >= a) + (h >= b) + (h >= d) + (h >= e));
            }
        }
        for (; k < p.length; ++k) {
            const uint16 a = (uint16)thresholds[k];
            FOR_LANES(j, c.count) { AT(n, j) = (uint16)(AT(n, j) + (AT(half, j) >= a)); }
        }
        FOR_LANES(j, c.count) { out[j] = (Count)AT(n, j); }
    } else {
        EACH_LANE(j, c.count) { out[j] = (Count)(p.first + thresholds_reached(thresholds, p.length, AT(half, j))); }
    }
    FOR_LANES(j, c.count) { any |= AT(half, j) >= p.rest_from ? 1u : 0u; }
    if (any) {
        EACH_LANE(j, c.count) {
            if (AT(half, j) >= p.rest_from) {
                const uint64 gid = c.gid + (uint64)j * c.gid_stride;
                const Block b = philox((uint32)gid, (uint32)(gid >> 32) | (p.input << 8), (uint32)step,
                                       (uint32)(step >> 32), seed, STREAM_POISSON_REST);
                out[j] = (Count)(p.first + thresholds_reached(table + p.rest_begin, p.rest_length, b.w0));
            }
        }
    }
}

// The counts of eight steps for the neurons of a chunk: counter (gid, step / 8), a half-word a step.
template <typename Count>
FN void draw_poisson_block(const Chunk& c, const PoissonEntry& p, const uint32* table, uint32 seed, int64 step,
                           Count* counts, uint64 stride) {
    const uint64 block = (uint64)step >> 3, first = block << 3;
    VARYING(uint32, w0);
    VARYING(uint32, w1);
    VARYING(uint32, w2);
    VARYING(uint32, w3);
    FOR_LANES(j, c.count) {
        const uint64 gid = c.gid + (uint64)j * c.gid_stride;
        AT(w0, j) = (uint32)gid;
        AT(w1, j) = (uint32)(gid >> 32) | (p.input << 8);
    }
    philox_lanes(c.count, w0, w1, w2, w3, (uint32)block, (uint32)(block >> 32), seed, STREAM_POISSON);
    Count* out = counts + c.begin;
    poisson_counts(c, p, table, seed, first, w0, 0, out);
    poisson_counts(c, p, table, seed, first + 1, w0, 16, out + stride);
    poisson_counts(c, p, table, seed, first + 2, w1, 0, out + 2 * stride);
    poisson_counts(c, p, table, seed, first + 3, w1, 16, out + 3 * stride);
    poisson_counts(c, p, table, seed, first + 4, w2, 0, out + 4 * stride);
    poisson_counts(c, p, table, seed, first + 5, w2, 16, out + 5 * stride);
    poisson_counts(c, p, table, seed, first + 6, w3, 0, out + 6 * stride);
    poisson_counts(c, p, table, seed, first + 7, w3, 16, out + 7 * stride);
}

FN real without_traces(real x, real floor) { return magnitude(x) < floor ? (real)0 : x; }

FN void emit(Loop& l, const Chunk& c, uint32 lane, uint32 group_begin, uint32 spikes, uint32 most) {
    Emitted e;
    e.gid = c.gid + (uint64)lane * c.gid_stride;
    e.neuron = group_begin + c.begin + lane;
    e.population = c.population_id;
    e.multiplicity = spikes;
    e.unused = 0;
    l.emitted[atomic_add(&l.n_emitted, 1u)] = e;
    atomic_add(&l.n_messages, (uint64)spikes);
    if (spikes > most) l.excess_multiplicity = 1;
}
