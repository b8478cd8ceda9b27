// Rows of a rank that has few synapses of most sources: no counter for each cell, but synapses sorted by their cells.
// Sources are taken in buckets of 2^bucket_bits, of a few dozen synapses each. Synapses are counted by bucket, drawn
// again and written into their bucket, each with the number of its cell there (its key), and sorted within.
// `SparseRows` is declared in connect.py.

FN uint64 bucket_begin(const SparseRows& s, uint64 bucket) { return bucket ? s.counters[bucket - 1] : 0; }

// The counters as numbers that can be summed, and back: then each says where its bucket begins.
KERNEL bucket_totals(const SparseRows* sparse) {
    const SparseRows& s = *sparse;
    ITEM_FOR(i, s.n_buckets) { s.synapses_before[i] = s.counters[i]; }
}

KERNEL open_buckets(const SparseRows* sparse) {
    const SparseRows& s = *sparse;
    ITEM_FOR(i, s.n_buckets) { s.counters[i] = (uint32)s.synapses_before[i]; }
}

// Shell's sort with Knuth's gaps: in place, quick for few; equal keys may change places, which no sum notices.
FN void sort_by_key(uint32* key, Synapse* synapse, uint64 n) {
    uint64 gap = 1;
    while (gap < n / 9) gap = 3 * gap + 1;
    for (; gap; gap /= 3) {
        for (uint64 i = gap; i < n; ++i) {
            const uint32 k = key[i];
            uint64 j = i;
            if (key[j - gap] <= k) continue;
            const Synapse moved = synapse[i];
            for (; j >= gap && key[j - gap] > k; j -= gap) {
                key[j] = key[j - gap];
                synapse[j] = synapse[j - gap];
            }
            key[j] = k;
            synapse[j] = moved;
        }
    }
}

// Sorts each bucket (its counter is now its end) and counts its rows and runs.
KERNEL sort_buckets(const SparseRows* sparse) {
    const SparseRows& s = *sparse;
    ITEM_FOR(bucket, s.n_buckets) {
        const uint64 begin = bucket_begin(s, (uint64)bucket), end = s.counters[bucket];
        sort_by_key(s.keys + begin, s.synapses + begin, end - begin);
        uint64 rows = 0, runs = 0, in_run = 0, row_end = 0;
        for (uint64 i = begin; i < end; ++i) {
            const uint32 key = s.keys[i];
            if (key >= row_end) {
                ++rows;
                row_end = ((uint64)(key / s.cells_per_row) + 1) * s.cells_per_row;
            }
            if (i == begin || key != s.keys[i - 1] || in_run == LONGEST_RUN) {
                ++runs;
                in_run = 0;
            }
            ++in_run;
        }
        s.rows_before[bucket] = rows;
        s.runs_before[bucket] = runs;
    }
}

// After the exclusive sums over buckets: `rows_before` and `runs_before` say where each bucket's own begin.
KERNEL write_sparse_rows(const SparseRows* sparse) {
    const SparseRows& s = *sparse;
    ITEM_FOR(bucket, s.n_buckets) {
        const uint64 end = s.counters[bucket];
        uint64 i = bucket_begin(s, (uint64)bucket), row = s.rows_before[bucket];
        Run* run = s.runs + s.runs_before[bucket];
        uint32 most = 0;
        while (i < end) {
            const uint64 row_begin = i, source = s.keys[i] / s.cells_per_row;
            const uint64 first_key = source * s.cells_per_row, last_key = first_key + s.cells_per_row - 1;
            Run* const first = run;
            uint32 of_delay = 0;
            while (i < end && s.keys[i] <= last_key) {
                const uint32 key = s.keys[i], cell = (uint32)(key - first_key);
                uint32 n = 1;
                while (n < LONGEST_RUN && i + n < end && s.keys[i + n] == key) ++n;
                run->offset = (uint32)(i - row_begin);
                run->count = n;
                run->delay = (uint16)(s.first_delay + cell / s.n_columns);
                run->column = s.column[cell % s.n_columns];
                of_delay = run != first && run[-1].delay == run->delay ? of_delay + 1 : 1;
                most = of_delay > most ? of_delay : most;
                ++run;
                i += n;
            }
            Row& made = s.table[row];
            made.synapses = s.synapses + row_begin;
            made.runs = first;
            made.n_runs = (uint32)(run - first);
            made.set = 0;
            s.source[row] = ((uint64)bucket << s.bucket_bits) + source;
            s.shortest[row] = first->delay;
            ++row;
        }
        if (most) atomic_max(s.most_of_a_delay, most);
    }
}
