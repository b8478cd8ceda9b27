// What a machine can do, each thing alone: the bounds that a step of a network is held against, see
// cli/bench_machine.py. And the kernel behind which launches queue up while they are measured.

KERNEL nothing(Machine* m) { (void)m; }

// Keeps the device busy for so long; on the host nothing has to queue.
KERNEL hold(Machine* m) {
#ifdef __CUDACC__
    if (!ONLY_ONE) return;
    uint64 began, now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(began));
    do {
        asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    } while (now - began < m->nanoseconds);
#else
    (void)m;
#endif
}

struct Sixteen {
    uint32 word[4];
};

// Reads and writes 16 bytes an item.
KERNEL copy(Machine* m) {
    const Sixteen* RESTRICT from = (const Sixteen*)m->from;
    Sixteen* RESTRICT to = (Sixteen*)m->to;
    ITEM_FOR(i, m->n) { to[i] = from[i]; }
}

// `rounds` loads from place `n` on, each at the place that the one before it gave.
KERNEL chase(Machine* m) {
    if (!ONLY_ONE) return;
    const uint32* next = (const uint32*)m->from;
    uint32 at = (uint32)m->n;
    for (uint64 k = 0; k < m->rounds; ++k) at = next[at];
    ((uint32*)m->to)[0] = at;
}

// 256 atomic adds a group, at scattered places of an array of mask + 1 words.
KERNEL scatter(Machine* m) {
    uint32* to = (uint32*)m->to;
    const uint32 mask = (uint32)m->mask;
    GROUP_FOR(i, m->n) {
        const uint32 base = (uint32)i * 2654435769u;
        LANES_OVER(k, 256u) { atomic_add(&to[((base + k * 2246822519u) >> 7) & mask], 1u); }
    }
}

// `rounds` multiplications and additions a lane.
KERNEL multiply(Machine* m) {
    float* to = (float*)m->to;
    GROUP_FOR(i, m->n) {
        VARYING(float, x);
        FOR_LANES(j, LANES) { AT(x, j) = (float)j; }
        for (uint64 k = 0; k < m->rounds; ++k) {
            FOR_LANES(j, LANES) { AT(x, j) = AT(x, j) * 0.999f + 0.5f; }
        }
        FOR_LANES(j, LANES) { to[(uint64)i * LANES + j] = AT(x, j); }
    }
}
