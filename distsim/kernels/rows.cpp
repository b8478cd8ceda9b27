// From counted cells to rows and runs; cells become the cursors at which synapses are written.
// `Rows` is declared in connect.py.

KERNEL row_totals(const Rows* rows) {
    const Rows& r = *rows;
    ITEM_FOR(i, r.n_rows) {
        uint64 runs = 0, synapses = 0;
        for (uint32 k = 0; k < r.cells_per_row; ++k) {
            const uint32 n = r.cells[(uint64)i * r.cells_per_row + k];
            runs += n / LONGEST_RUN + (n % LONGEST_RUN ? 1 : 0);
            synapses += n;
        }
        r.runs_before[i] = runs;
        r.synapses_before[i] = synapses;
    }
}

// The smallest delay of each row, in steps; 0 without a synapse.
KERNEL row_shortest(const Rows* rows) {
    const Rows& r = *rows;
    ITEM_FOR(i, r.n_rows) {
        uint32 k = 0;
        while (k < r.cells_per_row && r.cells[(uint64)i * r.cells_per_row + k] == 0) ++k;
        r.shortest[i] = k < r.cells_per_row ? (uint16)(r.first_delay + k / r.n_columns) : (uint16)0;
    }
}

// After the exclusive sums over rows: `runs_before` and `synapses_before` say where each row begins.
KERNEL write_runs(const Rows* rows) {
    const Rows& r = *rows;
    ITEM_FOR(i, r.n_rows) {
        Run* const first = r.runs + r.runs_before[i];
        Run* run = first;
        const uint64 begin = r.synapses_before[i];
        uint32 offset = 0, delay = 0, of_delay = 0, most = 0;
        for (uint32 k = 0; k < r.cells_per_row; ++k) {
            uint32* cell = &r.cells[(uint64)i * r.cells_per_row + k];
            const uint32 n = *cell;
            if (k % r.n_columns == 0) {
                delay = r.first_delay + k / r.n_columns;
                of_delay = 0;
            }
            // Long ones are cut, so that on a GPU no group adds much longer than the others.
            for (uint32 done = 0; done < n; done += LONGEST_RUN) {
                run->offset = offset + done;
                run->count = n - done < LONGEST_RUN ? n - done : LONGEST_RUN;
                run->delay = (uint16)delay;
                run->column = r.column[k % r.n_columns];
                ++run;
                ++of_delay;
            }
            most = of_delay > most ? of_delay : most;
            *cell = (uint32)begin + offset;
            offset += n;
        }
        if (most) atomic_max(r.most_of_a_delay, most);
        r.shortest[i] = run == first ? (uint16)0 : first->delay;
    }
}
