// pairwise_bernoulli and pairwise_poisson whose probability depends on where the two neurons are, and masks.
//
// A target looks at the cells of sources that its mask can reach, and at nothing else. Each pair draws from one Philox
// block of its own (source, target, projection), so the order of cells and candidates does not matter.

#define FEW_DRAWS 256u  // of one pair: the connections of pairwise_poisson

// The lanes whose x is not zero, without a branch that nobody can predict; x is lost.
#ifdef __CUDACC__
#define EACH_CHOSEN(j, n, x) EACH_LANE(j, n) if (x)
#else
#define EACH_CHOSEN(j, n, x)                                                               \
    for (uint32 j##_k = 0, j##_n = gather_chosen(n, x), j = (x)[0]; j##_k < j##_n; j = (x)[++j##_k & (LANES - 1)])
FN uint32 gather_chosen(uint32 n, uint32* x) {
    uint32 found = 0;
    for (uint32 j = 0; j < n; ++j) {
        const uint32 wanted = x[j];
        x[found] = j;
        found += wanted;
    }
    return found;
}
#endif

// Cells along one axis: `first` … first + count - 1, modulo the number of cells where the axis is periodic.
struct CellRange {
    int64 first, count;
};

FN int64 floor_of(double x) {
    const double cut = clamped(x, -4e15, 4e15);
    const int64 whole = (int64)cut;
    return (double)whole > cut ? whole - 1 : whole;
}

// The cells that hold sources at target - displacement, displacements within [low, high]; a little more than needed.
FN CellRange cells_between(double target, double low, double high, double origin, double per_length, int64 n,
                           bool periodic) {
    CellRange range = {0, n};
    if (n <= 1) return range;
    int64 first = floor_of((target - high - origin) * per_length - 1e-6);
    int64 last = floor_of((target - low - origin) * per_length + 1e-6);
    if (last - first + 1 >= n) {
        if (periodic) return range;
    }
    if (!periodic) {
        first = first < 0 ? 0 : first;
        last = last > n - 1 ? n - 1 : last;
        range.first = first;
        range.count = last >= first ? last - first + 1 : 0;
        return range;
    }
    range.first = ((first % n) + n) % n;
    range.count = last - first + 1;
    return range;
}

// How far a row of cells is from a target along one axis, at least.
FN double gap_to(double target, double origin, double per_length, int64 cell, double period) {
    const double width = 1.0 / per_length, middle = origin + ((double)cell + 0.5) * width;
    const double d = magnitude(nearest_image(target - middle, period)) - 0.5 * width;
    return d > 0.0 ? d * (1.0 - 1e-9) : 0.0;
}

// The pairs of one target with the entries a … b - 1 of the cells of one selection.
template <bool FILL, bool POISSON>
FN_ONCE void draw_pairs(const Connect& c, const Cells& cells, uint32 selection, const Target& target, const Position& x,
                        int64 a, int64 b, double y_of_row, double z_of_row, int64 row, Batch<FILL>& batch) {
    const Space& s = c.space;
    const Side& side = c.sources;
    const uint64 begin = side_begin(side, selection);
    const bool uses_place = s.delay.n || s.weight.n;
    Pairs pairs;
    for (int64 k0 = a; k0 < b; k0 += LANES) {
        const uint32 m = (uint32)(b - k0 < LANES ? b - k0 : LANES);
        VARYING(uint64, place);
        VARYING(uint64, gid);
        VARYING(uint32, w0);
        VARYING(uint32, w1);
        VARYING(uint32, w2);
        VARYING(uint32, w3);
        VARYING(double, chance);
        if (cells.begin) {
            FOR_LANES(j, m) {
                AT(place, j) = cells.member[k0 + j];
                AT(pairs.of[AT_SOURCE], j) = cells.x[k0 + j];
                AT(pairs.of[AT_SOURCE + 1], j) = cells.y[k0 + j];
                AT(pairs.of[AT_SOURCE + 2], j) = cells.z[k0 + j];
            }
        } else {
            const Layer& l = s.sources[selection];
            FOR_LANES(j, m) {
                AT(place, j) = (uint64)(k0 + j);
                AT(pairs.of[AT_SOURCE], j) = l.low_x + ((double)(k0 + j - row) + 0.5) * l.size_x;
                AT(pairs.of[AT_SOURCE + 1], j) = y_of_row;
                AT(pairs.of[AT_SOURCE + 2], j) = z_of_row;
            }
        }
        if (side.list_begin[selection] != ~0ull) {
            const uint64* const list = side.list + side.list_begin[selection];
            FOR_LANES(j, m) { AT(gid, j) = side.gid[selection] + list[AT(place, j)]; }
        } else {
            const uint64 first = side.gid[selection], step = side.step[selection];
            FOR_LANES(j, m) { AT(gid, j) = first + AT(place, j) * step; }
        }
        FOR_LANES(j, m) {
            AT(pairs.of[AT_TARGET], j) = x.x;
            AT(pairs.of[AT_TARGET + 1], j) = x.y;
            AT(pairs.of[AT_TARGET + 2], j) = x.z;
            AT(w0, j) = (uint32)AT(gid, j);
            AT(w1, j) = (uint32)(AT(gid, j) >> 32);
        }
        measure(s, m, pairs);
        evaluate_program(s.chance, m, pairs, chance);
        FOR_LANES(j, m) {
            // Another chunk's rows, and neurons themselves, where they must not connect to themselves.
            const bool open = AT(gid, j) - c.first_source < c.n_rows && (c.autapses || AT(gid, j) != target.gid);
            AT(chance, j) = open ? AT(chance, j) : 0.0;
        }
        const uint32 low = (uint32)target.gid, high = (uint32)(target.gid >> 32) | (c.projection << 8);
        philox_lanes(m, w0, w1, w2, w3, low, high, c.seed, STREAM_PAIR);
        VARYING(uint32, chosen);
        FOR_LANES(j, m) {
            const double u = uniform(AT(w0, j), AT(w1, j));
            AT(chosen, j) = u < AT(chance, j) || (POISSON && AT(chance, j) > 0.0) ? 1 : 0;
        }
        EACH_CHOSEN(j, m, chosen) {
            if (!POISSON) {
                if (uses_place) batch.add_located(begin + AT(place, j), target.local, AT(w2, j), AT(w3, j), pairs, j);
                else batch.add(begin + AT(place, j), target.local, AT(w2, j), AT(w3, j));
            } else {
                const double u = uniform(AT(w0, j), AT(w1, j)), mean = AT(chance, j);
                double mass = bounded_exp(-mean), below_ = mass;
                uint32 n = 0;
                while (u > below_ && n < FEW_DRAWS - 1) {
                    n += 1;
                    mass *= mean / (double)n;
                    below_ += mass;
                }
                for (uint32 k = 0; k < n; ++k) {
                    const Block block = philox((uint32)AT(gid, j), (uint32)(AT(gid, j) >> 32) | ((k + 1) << 8), low,
                                               high, c.seed, STREAM_PAIR);
                    if (uses_place) batch.add_located(begin + AT(place, j), target.local, block.w2, block.w3, pairs, j);
                    else batch.add(begin + AT(place, j), target.local, block.w2, block.w3);
                }
            }
        }
    }
}

template <bool FILL, bool POISSON>
FN void connect_spatial(const Connect* connect) {
    const Connect& c = *connect;
    const Space& s = c.space;
    BATCH(FILL, c);
    GROUP_FOR(t, c.n_targets) {
        const Target target = target_at(c, (uint64)t);
        const Position x = position_of(s.target, target.gid, c.seed);
        for (uint32 k = 0; k < c.sources.n; ++k) {
            const Cells& g = s.cells[k];
            const CellRange rx = cells_between(x.x, s.window_low_x, s.window_high_x, g.low_x, g.per_x, g.n_x, s.period_x > 0.0);
            const CellRange ry = cells_between(x.y, s.window_low_y, s.window_high_y, g.low_y, g.per_y, g.n_y, s.period_y > 0.0);
            const CellRange rz = cells_between(x.z, s.window_low_z, s.window_high_z, g.low_z, g.per_z, g.n_z, s.period_z > 0.0);
            for (int64 i = 0; i < ry.count * rz.count; ++i) {
                const int64 z = (rz.first + i / ry.count) % g.n_z, y = (ry.first + i % ry.count) % g.n_y;
                const int64 row = (z * g.n_y + y) * g.n_x;
                CellRange along = rx;
                if (s.radius > 0.0) {  // the chord of the sphere that this row of cells may reach
                    const double dy = g.n_y > 1 ? gap_to(x.y, g.low_y, g.per_y, y, s.period_y) : 0.0;
                    const double dz = g.n_z > 1 ? gap_to(x.z, g.low_z, g.per_z, z, s.period_z) : 0.0;
                    const double rest = s.radius * s.radius * (1.0 + 1e-9) - dy * dy - dz * dz;
                    if (rest < 0.0) continue;
                    const double chord = square_root(rest);
                    along = cells_between(x.x, clamped(-chord, s.window_low_x, s.window_high_x),
                                          clamped(chord, s.window_low_x, s.window_high_x), g.low_x, g.per_x, g.n_x,
                                          s.period_x > 0.0);
                }
                // A periodic row may begin near its end: two stretches of cells.
                const int64 over = along.first + along.count - g.n_x;
                for (int32 part = 0; part < (over > 0 ? 2 : 1); ++part) {
                    const int64 first = part ? 0 : along.first;
                    const int64 last = part ? over : (over > 0 ? g.n_x : along.first + along.count);
                    if (last <= first) continue;
                    double y_of_row = 0.0, z_of_row = 0.0;
                    int64 a = row + first, b = row + last;
                    if (g.begin) {
                        a = g.begin[row + first];
                        b = g.begin[row + last];
                    } else {
                        const Layer& l = s.sources[k];
                        if (l.dimensions > 1) y_of_row = l.low_y + ((double)y + 0.5) * l.size_y;
                        if (l.dimensions > 2) z_of_row = l.low_z + ((double)z + 0.5) * l.size_z;
                    }
                    draw_pairs<FILL, POISSON>(c, g, k, target, x, a, b, y_of_row, z_of_row, row, batch);
                }
            }
        }
    }
    batch.flush();
}

// Which cell each selected source of a chunk of places is in, and where it is: `n` places from `first` on.
KERNEL locate(const Located* located) {
    const Located& l = *located;
    ITEM_FOR(i, l.n) {
        const uint64 place = l.first + (uint64)i;
        const uint64 gid = l.list ? l.gid + l.list[place] : l.gid + place * l.step;
        const Position p = position_of(l.layer, gid, l.seed);
        l.x[i] = p.x;
        l.y[i] = p.y;
        l.z[i] = p.z;
    }
}

KERNEL count_spatial_bernoulli(const Connect* c) { connect_spatial<false, false>(c); }
KERNEL fill_spatial_bernoulli(const Connect* c) { connect_spatial<true, false>(c); }
KERNEL count_spatial_poisson(const Connect* c) { connect_spatial<false, true>(c); }
KERNEL fill_spatial_poisson(const Connect* c) { connect_spatial<true, true>(c); }
