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

// One Poisson background of one population; its counts are those thresholds that a uniform word reaches.
struct PoissonEntry {
    uint32 first;   // the count below the first threshold
    uint32 begin;   // of its thresholds in the table
    uint32 length;  // 0: no background in this place
    uint32 input;   // the input's position
    real weight;
};

FN uint32 poisson_count(const uint32* thresholds, uint32 length, uint32 word) {
    uint32 low = 0, high = length;
    while (low < high) {
        const uint32 middle = (low + high) / 2;
        if (word >= thresholds[middle]) low = middle + 1; else high = middle;
    }
    return low;
}

// The counts of four steps for the neurons of a chunk: counter (gid, step / 4), one word a step.
template <typename Count>
FN void draw_poisson_block(const Chunk& c, const PoissonEntry& p, const uint32* table, uint32 seed, int64 step,
                           Count* counts, uint64 stride) {
    const uint64 quarter = (uint64)step >> 2;
    const uint32* RESTRICT thresholds = table + p.begin;
    VARYING(uint32, w0);
    VARYING(uint32, w1);
    VARYING(uint32, w2);
    VARYING(uint32, w3);
    FOR_LANES(j, c.count) {
        const uint64 gid = c.gid + (uint64)j * c.gid_stride;
        const Block b = philox((uint32)gid, (uint32)(gid >> 32) | (p.input << 8), (uint32)quarter,
                               (uint32)(quarter >> 32), seed, STREAM_POISSON);
        AT(w0, j) = b.w0;
        AT(w1, j) = b.w1;
        AT(w2, j) = b.w2;
        AT(w3, j) = b.w3;
    }
    Count* RESTRICT out = counts + c.begin;
    if (p.length <= 64) {
        // Few thresholds: compare with each, all lanes at once.
        VARYING(uint32, n0);
        VARYING(uint32, n1);
        VARYING(uint32, n2);
        VARYING(uint32, n3);
        FOR_LANES(j, c.count) {
            AT(n0, j) = p.first;
            AT(n1, j) = p.first;
            AT(n2, j) = p.first;
            AT(n3, j) = p.first;
        }
        uint32 k = 0;
        for (; k + 4 <= p.length; k += 4) {
            const uint32 a = thresholds[k], b = thresholds[k + 1], d = thresholds[k + 2], e = thresholds[k + 3];
            FOR_LANES(j, c.count) {
                AT(n0, j) += (AT(w0, j) >= a ? 1u : 0u) + (AT(w0, j) >= b ? 1u : 0u) + (AT(w0, j) >= d ? 1u : 0u) + (AT(w0, j) >= e ? 1u : 0u);
                AT(n1, j) += (AT(w1, j) >= a ? 1u : 0u) + (AT(w1, j) >= b ? 1u : 0u) + (AT(w1, j) >= d ? 1u : 0u) + (AT(w1, j) >= e ? 1u : 0u);
                AT(n2, j) += (AT(w2, j) >= a ? 1u : 0u) + (AT(w2, j) >= b ? 1u : 0u) + (AT(w2, j) >= d ? 1u : 0u) + (AT(w2, j) >= e ? 1u : 0u);
                AT(n3, j) += (AT(w3, j) >= a ? 1u : 0u) + (AT(w3, j) >= b ? 1u : 0u) + (AT(w3, j) >= d ? 1u : 0u) + (AT(w3, j) >= e ? 1u : 0u);
            }
        }
        for (; k < p.length; ++k) {
            const uint32 a = thresholds[k];
            FOR_LANES(j, c.count) {
                AT(n0, j) += AT(w0, j) >= a ? 1u : 0u;
                AT(n1, j) += AT(w1, j) >= a ? 1u : 0u;
                AT(n2, j) += AT(w2, j) >= a ? 1u : 0u;
                AT(n3, j) += AT(w3, j) >= a ? 1u : 0u;
            }
        }
        FOR_LANES(j, c.count) {
            out[j] = (Count)AT(n0, j);
            out[stride + j] = (Count)AT(n1, j);
            out[2 * stride + j] = (Count)AT(n2, j);
            out[3 * stride + j] = (Count)AT(n3, j);
        }
    } else {
        EACH_LANE(j, c.count) {
            out[j] = (Count)(p.first + poisson_count(thresholds, p.length, AT(w0, j)));
            out[stride + j] = (Count)(p.first + poisson_count(thresholds, p.length, AT(w1, j)));
            out[2 * stride + j] = (Count)(p.first + poisson_count(thresholds, p.length, AT(w2, j)));
            out[3 * stride + j] = (Count)(p.first + poisson_count(thresholds, p.length, AT(w3, j)));
        }
    }
}

FN real without_traces(real x, real floor) { return (x < floor && x > -floor) ? (real)0 : x; }

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
