// Values drawn per neuron: parameters and initial states. `Values` is declared in values.py.

KERNEL draw_values(const Values* values) {
    const Values& v = *values;
    ITEM_FOR(i, v.n) {
        const uint64 gid = v.gid + (uint64)i * v.stride;
        const Block block = philox((uint32)gid, (uint32)(gid >> 32), v.index, 0, v.seed, v.stream);
        v.drawn[i] = sample(v.sampler, block.w0);
    }
}

// A distribution's values at n equally spaced probabilities (n a power of two).
KERNEL spaced_values(const Values* values) {
    const Values& v = *values;
    const uint64 apart = 4294967296ull / v.n;
    ITEM_FOR(i, v.n) { v.drawn[i] = sample(v.sampler, (uint32)((uint64)i * apart + apart / 2)); }
}

// The same, `index` numbers for each.
KERNEL draw_rows(const Values* values) {
    const Values& v = *values;
    ITEM_FOR(i, v.n * v.index) {
        const uint64 gid = v.gid + (uint64)i / v.index * v.stride;
        const uint32 number = (uint32)((uint64)i % v.index);
        const Block block = philox((uint32)gid, (uint32)(gid >> 32), number, 0, v.seed, v.stream);
        v.drawn[i] = sample(v.sampler, block.w0);
    }
}

// The thresholds of a sampled delay: the smallest word whose value rounds to a step above first + i.
KERNEL find_thresholds(const Values* values) {
    const Values& v = *values;
    ITEM_FOR(i, v.n) {
        uint64 low = 0, high = 4294967296ull;
        while (low < high) {
            const uint64 middle = (low + high) / 2;
            const double steps = sample(v.sampler, (uint32)middle) * v.per_unit + 0.5;
            if ((int64)steps > (int64)v.gid + i) high = middle; else low = middle + 1;
        }
        v.thresholds[i] = low;
    }
}

// For tests: our functions on given arguments.
KERNEL evaluate(const Values* values) {
    const Values& v = *values;
    ITEM_FOR(i, v.n) {
        const double x = v.drawn[i];
        if (v.index == 0) v.drawn[i] = exponential(x);
        if (v.index == 1) v.drawn[i] = logarithm(x);
        if (v.index == 2) v.drawn[i] = inverse_normal(x);
        if (v.index == 4) {  // good, bad and draws in thresholds[0 … 2]
            v.drawn[i] = (double)hypergeometric((double)v.thresholds[0], (double)v.thresholds[1], v.thresholds[2],
                                                (uint32)i, 0, 0, 0, v.seed, v.stream);
        }
        if (v.index == 6) {  // left and right places and draws, likewise
            v.drawn[i] = (double)binomial_share((double)v.thresholds[0], (double)v.thresholds[1], v.thresholds[2],
                                                (uint32)i, 0, 0, 0, v.seed, v.stream);
        }
        if (v.index == 5) v.drawn[i] = (double)poisson_count(v.per_unit, (uint32)i, 0, 0, 0, v.seed, v.stream);
        if (v.index == 3) {
            v.drawn[i] = (double)binomial((uint64)v.gid, v.per_unit, (uint32)i, 0, 0, v.seed, v.stream);
        }
    }
}

// For tests: weights in quanta; `per_unit` is the number of quanta of 1.
KERNEL quanta_of_words(const Values* values) {
    const Values& v = *values;
#ifdef __CUDACC__
    ITEM_FOR(i, v.n) {
        v.thresholds[i] = (uint64)in_quanta(sample(v.sampler, (uint32)v.thresholds[i]), v.per_unit);
    }
#else
    for (uint64 k = 0; k < v.n; k += LANES) {
        VARYING(uint32, word);
        VARYING(int64, quanta);
        const uint32 m = (uint32)(v.n - k < LANES ? v.n - k : LANES);
        EACH_LANE(j, m) { word[j] = (uint32)v.thresholds[k + j]; }
        normal_quanta(v.sampler, v.per_unit, m, word, quanta);
        EACH_LANE(j, m) { v.thresholds[k + j] = (uint64)quanta[j]; }
    }
#endif
}

KERNEL philox_words(const Values* values) {
    const Values& v = *values;
    ITEM_FOR(i, v.n) {
        const uint64 c = v.thresholds[2 * i], d = v.thresholds[2 * i + 1];
        const Block block = philox((uint32)c, (uint32)(c >> 32), (uint32)d, (uint32)(d >> 32), v.seed, v.stream);
        v.thresholds[2 * i] = block.w0 | ((uint64)block.w1 << 32);
        v.thresholds[2 * i + 1] = block.w2 | ((uint64)block.w3 << 32);
    }
}

// For tests: the functions of functions.h; numbers of single precision go through float.
KERNEL evaluate_function(const Values* values) {
    const Values& v = *values;
    ITEM_FOR(i, v.n) {
        const double x = v.drawn[i];
        if (v.index == 0) v.drawn[i] = (double)bounded_exp((float)x);
        if (v.index == 1) v.drawn[i] = (double)bounded_expm1((float)x);
        if (v.index == 2) v.drawn[i] = (double)natural_log((float)x);
        if (v.index == 3) v.drawn[i] = (double)power((float)x, (float)v.per_unit);
        if (v.index == 4) v.drawn[i] = bounded_exp(x);
        if (v.index == 5) v.drawn[i] = bounded_expm1(x);
        if (v.index == 6) v.drawn[i] = power(x, v.per_unit);
        if (v.index == 7) v.drawn[i] = sine_of_turns(x);
        if (v.index == 8) v.drawn[i] = (double)root((float)x);
    }
}
