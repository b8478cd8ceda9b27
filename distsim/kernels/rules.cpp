// Rules by which each target goes over its sources, or a list over its connections; those whose draws are scattered
// over the other side along a tree are in scatter.cpp. Only construction needs them.

// Rules whose number of synapses per target is known beforehand, drawn with replacement where they are drawn.
template <bool FILL, int RULE>
FN void connect_counted(const Connect* connect) {
    const Connect& c = *connect;
    GROUP_FOR(t, c.n_targets) {
        const Target target = target_at(c, (uint64)t);
        const uint64 own = own_position(c, target.gid);
        const uint64 allowed = c.n_sources - (own == ~0ull ? 0 : 1);
        uint64 n = 1;
        if (RULE == FIXED_INDEGREE) n = c.indegree;
        if (RULE == ALL_TO_ALL) n = allowed;
        if (RULE == FIXED_TOTAL_NUMBER) n = c.shares[t];
        if (RULE == ONE_TO_ONE && own == target.position) n = 0;
        if (RULE == PAIRWISE_POISSON) {
            n = poisson_count((double)allowed * c.chance, 0, (uint32)target.gid,
                              (uint32)(target.gid >> 32) | (c.projection << 8), 0xFFFFu << 16, c.seed, STREAM_SHARE);
        }
        for (uint64 k0 = 0; k0 < n; k0 += LANES) {
            const uint32 m = (uint32)(n - k0 < LANES ? n - k0 : LANES);
            VARYING(uint64, position);
            VARYING(uint32, delay_word);
            VARYING(uint32, weight_word);
            VARYING(uint64, item);
            VARYING(uint32, high);
            VARYING(uint32, low);
            draw_blocks(c, target.gid, k0, m, high, low, delay_word, weight_word);
            FOR_LANES(j, m) {
                uint64 drawn = below(AT(high, j), AT(low, j), allowed);
                if (RULE == ALL_TO_ALL) drawn = k0 + j;
                if (RULE == ONE_TO_ONE) drawn = target.position;
                if (RULE != ONE_TO_ONE) drawn += drawn >= own ? 1 : 0;
                AT(position, j) = drawn;
                AT(item, j) = target.position * c.items_per_target + k0 + j;
            }
            place<FILL>(c, OneTarget{target.local}, m, position, delay_word, weight_word, item);
        }
    }
}

// Pairs that are not drawn, with delays and weights that belong to the source: the draw's number is the target's
// position (0 for one_to_one).
template <bool FILL, int RULE>
FN void connect_pairs_by_source(const Connect* connect) {
    const Connect& c = *connect;
    GROUP_FOR(t, c.n_targets) {
        const Target target = target_at(c, (uint64)t);
        const uint64 own = own_position(c, target.gid);
        const uint64 begin = RULE == ONE_TO_ONE ? target.position : 0;
        const uint64 end = RULE == ONE_TO_ONE ? target.position + 1 : c.n_sources;
        for (uint64 k0 = begin; k0 < end; k0 += LANES) {
            const uint32 m = (uint32)(end - k0 < LANES ? end - k0 : LANES);
            VARYING(uint64, position);
            VARYING(uint32, delay_word);
            VARYING(uint32, weight_word);
            VARYING(uint64, item);
            EACH_LANE(j, m) {
                const uint64 source = k0 + j;
                const uint64 gid = gid_at(c.sources, source);
                const uint64 k = RULE == ONE_TO_ONE ? 0 : target.position;
                const Block block = philox((uint32)k, (uint32)(k >> 32), (uint32)gid,
                                           (uint32)(gid >> 32) | (c.projection << 8), c.seed, STREAM_BY_SOURCE);
                AT(delay_word, j) = block.w2;
                AT(weight_word, j) = block.w3;
                AT(position, j) = source == own ? NO_POSITION : source;
                AT(item, j) = target.position * c.items_per_target + (RULE == ONE_TO_ONE ? 0 : source);
            }
            place<FILL>(c, OneTarget{target.local}, m, position, delay_word, weight_word, item);
        }
    }
}

// pairwise_bernoulli: from one connected source to the next by geometric gaps.
template <bool FILL>
FN void connect_pairwise_bernoulli(const Connect* connect) {
    const Connect& c = *connect;
    GROUP_FOR(t, c.n_targets) {
        const Target target = target_at(c, (uint64)t);
        const uint64 own = own_position(c, target.gid);
        const uint64 allowed = c.n_sources - (own == ~0ull ? 0 : 1);
        uint64 begin = 0;  // the first position not yet decided
        for (uint64 k0 = 0; begin < allowed; k0 += LANES) {
            VARYING(uint64, end);  // one past the connected position
            VARYING(uint64, position);
            VARYING(uint32, delay_word);
            VARYING(uint32, weight_word);
            VARYING(uint32, high);
            VARYING(uint32, low);
            VARYING(double, gap);
            draw_blocks(c, target.gid, k0, LANES, high, low, delay_word, weight_word);
            FOR_LANES(j, LANES) { AT(gap, j) = logarithm(uniform(AT(high, j), AT(low, j))) * c.gap_scale; }
            FOR_LANES(j, LANES) {
                // Gaps beyond the number of sources are all alike; the clamp keeps the sum in range.
                AT(end, j) = (uint64)(int64)clamped(AT(gap, j), 0.0, 1099511627776.0) + 1u;
            }
            SUM_TO(end, LANES);
            FOR_LANES(j, LANES) {
                const uint64 connected = begin + AT(end, j) - 1u;
                AT(position, j) = connected >= allowed ? NO_POSITION : connected + (connected >= own ? 1 : 0);
            }
            place<FILL>(c, OneTarget{target.local}, LANES, position, delay_word, weight_word, position);
            begin += LAST_OF(end, LANES);
        }
    }
}

// Listed connections: a rank holds those onto its own neurons.
template <bool FILL>
FN void connect_explicit(const Connect* connect) {
    const Connect& c = *connect;
    ITEM_FOR(i, c.n_edges) {
        const uint64 row = row_of(c, c.edge_source[i]);
        if (row < c.n_rows) {
            const uint32 target = c.edge_target[i];
            const double weight = c.weight_list[i];
            const bool negative = c.edge_negative[i] != 0;
            const uint64 cell = cell_of(c, row, (uint32)c.delay_list[i], target >> c.block_bits, negative);
            const uint32 at = atomic_add(counter_of(c, row, cell), 1u);
            if (FILL) {
                if (c.sparse) c.keys[at] = key_of(c, row, cell);
                const int64 quanta = c.weight_fixed ? c.fixed_quanta
                    : in_quanta(weight, negative ? c.negative_per_quantum : c.positive_per_quantum);
                c.synapses[at] = pack_synapse(quanta, target & ((1u << c.block_bits) - 1u));
            }
        }
    }
}

KERNEL count_one_to_one(const Connect* c) { connect_counted<false, ONE_TO_ONE>(c); }
KERNEL fill_one_to_one(const Connect* c) { connect_counted<true, ONE_TO_ONE>(c); }
KERNEL count_all_to_all(const Connect* c) { connect_counted<false, ALL_TO_ALL>(c); }
KERNEL fill_all_to_all(const Connect* c) { connect_counted<true, ALL_TO_ALL>(c); }
KERNEL count_fixed_indegree(const Connect* c) { connect_counted<false, FIXED_INDEGREE>(c); }
KERNEL fill_fixed_indegree(const Connect* c) { connect_counted<true, FIXED_INDEGREE>(c); }
KERNEL count_fixed_total_number(const Connect* c) { connect_counted<false, FIXED_TOTAL_NUMBER>(c); }
KERNEL fill_fixed_total_number(const Connect* c) { connect_counted<true, FIXED_TOTAL_NUMBER>(c); }
KERNEL count_pairwise_poisson(const Connect* c) { connect_counted<false, PAIRWISE_POISSON>(c); }
KERNEL fill_pairwise_poisson(const Connect* c) { connect_counted<true, PAIRWISE_POISSON>(c); }
KERNEL count_one_to_one_by_source(const Connect* c) { connect_pairs_by_source<false, ONE_TO_ONE>(c); }
KERNEL fill_one_to_one_by_source(const Connect* c) { connect_pairs_by_source<true, ONE_TO_ONE>(c); }
KERNEL count_all_to_all_by_source(const Connect* c) { connect_pairs_by_source<false, ALL_TO_ALL>(c); }
KERNEL fill_all_to_all_by_source(const Connect* c) { connect_pairs_by_source<true, ALL_TO_ALL>(c); }
KERNEL count_pairwise_bernoulli(const Connect* c) { connect_pairwise_bernoulli<false>(c); }
KERNEL fill_pairwise_bernoulli(const Connect* c) { connect_pairwise_bernoulli<true>(c); }
KERNEL count_explicit(const Connect* c) { connect_explicit<false>(c); }
KERNEL fill_explicit(const Connect* c) { connect_explicit<true>(c); }
