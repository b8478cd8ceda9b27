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
    int64 first_step;    // in which it is active
    int64 last_step;
    double weight;
    uint64 factors;      // which array of weights, one a neuron, where it reaches some neurons only
};

FN uint32 thresholds_reached(const uint32* thresholds, uint32 length, uint32 word) {
    uint32 low = 0, high = length;
    while (low < high) {
        const uint32 middle = (low + high) / 2;
        if (word >= thresholds[middle]) low = middle + 1; else high = middle;
    }
    return low;
}

// Few thresholds: each half-word is compared with all of them, all lanes at once. Thresholds are padded
// to a multiple of four with 65535, which only half-words reach that draw again anyway.
template <typename Count, uint32 N>
FN void compare_with_all(uint32 n, VARYING_ARGUMENT(uint32, word), uint32 shift, uint32 first,
                         const uint32* RESTRICT thresholds, Count* RESTRICT out) {
    FOR_LANES(j, n) {
        const uint16 half = (uint16)(AT(word, j) >> shift);
        uint16 reached = (uint16)first;
#pragma GCC unroll 64
        for (uint32 k = 0; k < N; ++k) reached = (uint16)(reached + (half >= (uint16)thresholds[k]));
        out[j] = (Count)reached;
    }
}

// Counts of one step of the block, from one half of each lane's word. Functions, this and the next: their eight times
// eight loops, inlined into every model and kernel, took most of the time of compiling.
template <typename Count>
FN_ONCE void poisson_counts(const Chunk& c, const PoissonEntry& p, const uint32* table, uint32 seed, uint64 step,
                       VARYING_ARGUMENT(uint32, word), uint32 shift, Count* RESTRICT out) {
    const uint32* thresholds = table + p.begin;
    switch (p.length) {
        case 0: compare_with_all<Count, 0>(c.count, word, shift, p.first, thresholds, out); break;
        case 4: compare_with_all<Count, 4>(c.count, word, shift, p.first, thresholds, out); break;
        case 8: compare_with_all<Count, 8>(c.count, word, shift, p.first, thresholds, out); break;
        case 12: compare_with_all<Count, 12>(c.count, word, shift, p.first, thresholds, out); break;
        case 16: compare_with_all<Count, 16>(c.count, word, shift, p.first, thresholds, out); break;
        case 20: compare_with_all<Count, 20>(c.count, word, shift, p.first, thresholds, out); break;
        case 24: compare_with_all<Count, 24>(c.count, word, shift, p.first, thresholds, out); break;
        default:
            EACH_LANE(j, c.count) {
                const uint32 half = (AT(word, j) >> shift) & 0xFFFFu;
                out[j] = (Count)(p.first + thresholds_reached(thresholds, p.length, half));
            }
    }
    uint32 any = 0;
    FOR_LANES(j, c.count) { any |= ((AT(word, j) >> shift) & 0xFFFFu) >= p.rest_from ? 1u : 0u; }
    if (any) {
        EACH_LANE(j, c.count) {
            if (((AT(word, j) >> shift) & 0xFFFFu) >= p.rest_from) {
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
FN_ONCE void draw_poisson_block(const Chunk& c, const PoissonEntry& p, const uint32* table, uint32 seed, int64 step,
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

// Random words in a model's code: of the neuron `gid` in this step, and of its whole population.
#define random_words(n)                                                                             \
    philox((uint32)gid, (uint32)(gid >> 32) | ((uint32)(n) << 8), (uint32)step, (uint32)((uint64)step >> 32), g.seed, \
           STREAM_MODEL)
#define shared_words(n)                                                                             \
    philox(c.population_id, (uint32)(n), (uint32)step, (uint32)((uint64)step >> 32), g.seed, STREAM_POPULATION)

// Counts, with room for the attempts of a rejection: their own streams.
#define poisson_draw(n, mean)                                                                       \
    poisson_count(mean, (uint32)gid, (uint32)(gid >> 32) | ((uint32)(n) << 8), (uint32)step,        \
                  (uint32)((uint64)step >> 32) << 24, g.seed, STREAM_COUNT)
#define binomial_draw(n, trials, p)                                                                 \
    binomial(trials, p, (uint32)gid,                                                                \
             (uint32)(gid >> 32) | ((uint32)(n) << 8) | ((uint32)((uint64)step >> 32) << 24),       \
             (uint32)step, g.seed, STREAM_THINNING)
#define shared_poisson_draw(n, mean)                                                                \
    poisson_count(mean, c.population_id, (uint32)(n), (uint32)step,                                 \
                  (uint32)((uint64)step >> 32) << 24, g.seed, STREAM_SHARED_COUNT)

FN real without_traces(real x, real floor) { return magnitude(x) < floor ? (real)0 : x; }

FN void emit(Loop& l, int64 step, const Chunk& c, uint32 lane, uint32 group_begin, uint32 spikes, uint32 most,
             uint32 sent) {
    Emitted e;
    e.gid = c.gid + (uint64)lane * c.gid_stride;
    e.neuron = group_begin + c.begin + lane;
    e.population = c.population_id;
    e.multiplicity = spikes;
    e.row = l.local_row[e.neuron];
    e.sent = sent;
    e.unused = 0;
    Count& count = (&l.even)[step & 1];
    l.emitted[atomic_add(&count.emitted, 1u)] = e;
    atomic_add(&count.messages, (uint64)(sent ? 2 * spikes : spikes));  // words
    if (spikes > most) l.excess_multiplicity = 1;
}

// Whether some state may be sampled at the end of `step`.
FN bool is_sampled(const Loop& l, int64 step) {
    return l.n_recorders != 0 && step > l.record_after && step % l.sample_every == 0;
}

// A state that is NaN or infinite: the first that is found stops the loop, see `shortage`.
FN void check_finite(Loop& l, const Chunk& c, uint32 lane, int64 step, uint32 state, real x) {
    if (x - x == (real)0 || atomic_add(&l.bad_count, 1u)) return;
    l.bad_step = step;
    l.bad_gid = c.gid + (uint64)lane * c.gid_stride;
    l.bad_population = c.population_id;
    l.bad_state = state;
    l.bad_is_nan = x != x ? 1u : 0u;
}
