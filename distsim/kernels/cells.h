// Looking for candidates: the neurons of the other side in the cells that a neuron's mask can reach.
#pragma once
#include "space.h"

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
        const bool none = last < first;  // then from the first cell on, lest `first` lies beyond the last
        range.first = none ? 0 : first;
        range.count = none ? 0 : last - first + 1;
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

// A neuron that looks for partners.
struct Seeker {
    uint64 gid;
    uint64 at;       // by target: its index within its group; by source: its position on the side
    Position place;
    double limit;    // of a fixed degree: see Space
    uint64 last;
};

// The neurons in some cells: member k has the global id gid + step k or gid + list[k], and is known as begin + k.
struct Others {
    uint64 gid, step, begin;
    const uint64* list;
};

// Candidates: what they are known as, and where both neurons are. On the host those too far away are left out.
struct Found {
    uint32 n;
    Pairs pairs;
    VARYING(uint64, gid);
    VARYING(uint64, known);
};
#ifdef __CUDACC__
#define IS_NEAR(s, p)                                                                                          \
    ((p).of[AT_DX] * (p).of[AT_DX] + (p).of[AT_DY] * (p).of[AT_DY] + (p).of[AT_DZ] * (p).of[AT_DZ] <= (s).furthest)
#else
#define IS_NEAR(s, p) true
#define ENOUGH (LANES * 3 / 4)  // candidates, not to be stuck with little room
// Appends those of the first n entries of K arrays of 8-byte values whose `near` is not zero; says how many.
template <uint32 K>
FN uint32 append_near(void* const (&to)[K], const void* const (&from)[K], const uint64* RESTRICT near, uint32 n) {
    uint32 found = 0;
#if defined(__AVX512F__)
    for (uint32 j = 0; j < n; j += 8) {
        const __mmask8 here = (__mmask8)(n - j < 8 ? (1u << (n - j)) - 1u : 255u);
        const __m512i wanted = _mm512_load_si512(near + j);  // VARYING arrays hold whole eights
        const __mmask8 mask = _mm512_mask_test_epi64_mask(here, wanted, wanted);
        const uint32 more = (uint32)__builtin_popcount(mask);
        for (uint32 k = 0; k < K; ++k) {
            const __m512i packed = _mm512_maskz_compress_epi64(mask, _mm512_maskz_loadu_epi64(here, (const uint64*)from[k] + j));
            _mm512_mask_storeu_epi64((uint64*)to[k] + found, (__mmask8)((1u << more) - 1u), packed);
        }
        found += more;
    }
#else
    for (uint32 j = 0; j < n; ++j) {
        if (!near[j]) continue;
        for (uint32 k = 0; k < K; ++k) __builtin_memcpy((char*)to[k] + 8 * found, (const char*)from[k] + 8 * j, 8);
        found += 1;
    }
#endif
    return found;
}
#endif

// Before its first use.
FN void clear(Found& found) {
    found.n = 0;
    FOR_LANES(j, LANES) { AT(found.pairs.of[AT_DZ], j) = 0.0; }  // stays so on a line or in a plane
}

// Of n candidates: the distances, and where the seeker itself is, as far as programs ask for it.
FN void complete(const Space& s, const Seeker& me, uint32 n, Pairs& pairs) {
    FOR_LANES(j, n) {
        const double dx = AT(pairs.of[AT_DX], j), dy = AT(pairs.of[AT_DY], j), dz = AT(pairs.of[AT_DZ], j);
        AT(pairs.of[AT_DISTANCE], j) = square_root(dx * dx + dy * dy + dz * dz);
    }
    const uint32 own = s.by_source ? AT_SOURCE : AT_TARGET;
    if (s.names >> own & 7u) FOR_LANES(j, n) {
        AT(pairs.of[own], j) = me.place.x;
        AT(pairs.of[own + 1], j) = me.place.y;
        AT(pairs.of[own + 2], j) = me.place.z;
    }
}

template <class Use>
FN void use_found(const Connect& c, const Seeker& me, Found& found, Use& use) {
    complete(c.space, me, found.n, found.pairs);
    use.take(c, me, found);
    found.n = 0;
}

// Candidates among the entries a … b - 1 of some cells: `at` and `known` say where and who they are.
template <class Use>
FN_ONCE void look_along(const Connect& c, const Seeker& me, const Others& others, const Cells& cells, const Layer* grid,
                        int64 a, int64 b, int64 row, double y_of_row, double z_of_row, Found& found, Use& use) {
    const Space& s = c.space;
    const double sign = s.by_source ? -1.0 : 1.0;  // displacements run from the source to the target
    const uint32 other = s.by_source ? AT_TARGET : AT_SOURCE;
#ifdef __CUDACC__
    for (int64 k0 = a; k0 < b; k0 += LANES) {
        found.n = (uint32)(b - k0 < LANES ? b - k0 : LANES);
        FOR_LANES(j, found.n) {
            const int64 k = k0 + j;
            const double x = grid ? grid->low_x + ((double)(k - row) + 0.5) * grid->size_x : cells.x[k];
            const double y = grid ? y_of_row : cells.y[k], z = grid ? z_of_row : cells.z[k];
            const uint64 known = grid ? (uint64)k : cells.member[k];
            found.pairs.of[AT_DX] = nearest_image(sign * (me.place.x - x), s.period_x);
            found.pairs.of[AT_DY] = nearest_image(sign * (me.place.y - y), s.period_y);
            found.pairs.of[AT_DZ] = nearest_image(sign * (me.place.z - z), s.period_z);
            found.pairs.of[other] = x;
            found.pairs.of[other + 1] = y;
            found.pairs.of[other + 2] = z;
            found.gid = others.gid + (others.list ? others.list[known] : known * others.step);
            found.known = others.begin + known;
        }
        use_found(c, me, found, use);
    }
#else
    const bool places = (s.names >> other & 7u) != 0, deep = s.target.dimensions > 2;
    const double furthest = s.furthest, period_x = s.period_x, period_y = s.period_y, period_z = s.period_z;
    const double own_x = me.place.x, own_y = me.place.y, own_z = me.place.z;
    for (int64 k0 = a; k0 < b;) {
        const uint32 m = (uint32)(b - k0 < LANES - found.n ? b - k0 : LANES - found.n);
        VARYING(uint64, known);
        VARYING(uint64, near);
        VARYING(double, d[3]);
        VARYING(double, at[3]);
        const double *x = at[0], *y = at[1], *z = at[2];
        if (grid) {
            FOR_LANES(j, m) {
                known[j] = (uint64)(k0 + j);
                at[0][j] = grid->low_x + ((double)(k0 + j - row) + 0.5) * grid->size_x;
                at[1][j] = y_of_row;
                at[2][j] = z_of_row;
            }
        } else {
            const uint32* const member = cells.member + k0;
            FOR_LANES(j, m) { known[j] = member[j]; }
            x = cells.x + k0;
            y = cells.y + k0;
            z = cells.z + k0;
        }
        if (deep) {
            FOR_LANES(j, m) {
                const double dx = nearest_image(sign * (own_x - x[j]), period_x);
                const double dy = nearest_image(sign * (own_y - y[j]), period_y);
                const double dz = nearest_image(sign * (own_z - z[j]), period_z);
                d[0][j] = dx;
                d[1][j] = dy;
                d[2][j] = dz;
                near[j] = dx * dx + dy * dy + dz * dz <= furthest ? 1 : 0;
            }
        } else {
            FOR_LANES(j, m) {
                const double dx = nearest_image(sign * (own_x - x[j]), period_x);
                const double dy = nearest_image(sign * (own_y - y[j]), period_y);
                d[0][j] = dx;
                d[1][j] = dy;
                near[j] = dx * dx + dy * dy <= furthest ? 1 : 0;
            }
        }
        uint64* const RESTRICT who = found.known + found.n;
        uint64* const RESTRICT gid = found.gid + found.n;
        double* to[N_NAMES];
        for (uint32 k = 0; k < N_NAMES; ++k) to[k] = found.pairs.of[k] + found.n;
        const uint32 n = deep
            ? append_near<4>({who, to[AT_DX], to[AT_DY], to[AT_DZ]}, {known, d[0], d[1], d[2]}, near, m)
            : append_near<3>({who, to[AT_DX], to[AT_DY]}, {known, d[0], d[1]}, near, m);
        if (places) append_near<3>({to[other], to[other + 1], to[other + 2]}, {x, y, z}, near, m);
        const uint64 first = others.gid, step = others.step, begin = others.begin;
        if (others.list) {
            for (uint32 j = 0; j < n; ++j) gid[j] = first + others.list[who[j]];
        } else if (step == 1) {
            FOR_LANES(j, n) { gid[j] = first + who[j]; }
        } else {
            FOR_LANES(j, n) { gid[j] = first + who[j] * step; }
        }
        FOR_LANES(j, n) { who[j] += begin; }
        found.n += n;
        k0 += m;
        if (found.n > ENOUGH) use_found(c, me, found, use);
    }
#endif
}

// All candidates in the cells of some neurons that a seeker's mask can reach.
template <class Use>
FN_ONCE void look(const Connect& c, const Seeker& me, const Others& others, const Cells& g, const Layer* grid, Found& found,
                  Use& use) {
    const Space& s = c.space;
    // Others stand at centre - d, d within the window.
    const double sign = s.by_source ? -1.0 : 1.0;
    const Position centre = {me.place.x - sign * s.anchor_x, me.place.y - sign * s.anchor_y, me.place.z - sign * s.anchor_z};
    const double low_x = s.by_source ? -s.window_high_x : s.window_low_x, high_x = s.by_source ? -s.window_low_x : s.window_high_x;
    const double low_y = s.by_source ? -s.window_high_y : s.window_low_y, high_y = s.by_source ? -s.window_low_y : s.window_high_y;
    const double low_z = s.by_source ? -s.window_high_z : s.window_low_z, high_z = s.by_source ? -s.window_low_z : s.window_high_z;
    const CellRange rx = cells_between(centre.x, low_x, high_x, g.low_x, g.per_x, g.n_x, s.period_x > 0.0);
    const CellRange ry = cells_between(centre.y, low_y, high_y, g.low_y, g.per_y, g.n_y, s.period_y > 0.0);
    const CellRange rz = cells_between(centre.z, low_z, high_z, g.low_z, g.per_z, g.n_z, s.period_z > 0.0);
    for (int64 i = 0; i < ry.count * rz.count; ++i) {
        const int64 z = (rz.first + i / ry.count) % g.n_z, y = (ry.first + i % ry.count) % g.n_y;
        const int64 row = (z * g.n_y + y) * g.n_x;
        CellRange along = rx;
        if (s.radius > 0.0) {  // the chord of the sphere that this row of cells may reach
            const double dy = g.n_y > 1 ? gap_to(centre.y, g.low_y, g.per_y, y, s.period_y) : 0.0;
            const double dz = g.n_z > 1 ? gap_to(centre.z, g.low_z, g.per_z, z, s.period_z) : 0.0;
            const double rest = s.radius * s.radius * (1.0 + 1e-9) - dy * dy - dz * dz;
            if (rest < 0.0) continue;
            const double chord = square_root(rest);
            along = cells_between(centre.x, clamped(-chord, low_x, high_x), clamped(chord, low_x, high_x), g.low_x,
                                  g.per_x, g.n_x, s.period_x > 0.0);
        }
        // A periodic row may begin near its end: two stretches of cells.
        const int64 over = along.first + along.count - g.n_x;
        for (int32 part = 0; part < (over > 0 ? 2 : 1); ++part) {
            const int64 first = part ? 0 : along.first;
            const int64 last = part ? over : (over > 0 ? g.n_x : along.first + along.count);
            if (last <= first) continue;
            double y_of_row = 0.0, z_of_row = 0.0;
            int64 a = row + first, b = row + last;
            if (grid) {
                if (grid->dimensions > 1) y_of_row = grid->low_y + ((double)y + 0.5) * grid->size_y;
                if (grid->dimensions > 2) z_of_row = grid->low_z + ((double)z + 0.5) * grid->size_z;
            } else {
                a = g.begin[row + first];
                b = g.begin[row + last];
            }
            look_along(c, me, others, g, grid, a, b, row, y_of_row, z_of_row, found, use);
        }
    }
}

// The same in all selections of a side.
template <class Use>
FN void look_at_side(const Connect& c, const Seeker& me, const Side& side, Found& found, Use& use) {
    const Space& s = c.space;
    for (uint32 k = 0; k < side.n; ++k) {
        const uint64* const list = side.list_begin[k] != ~0ull ? side.list + side.list_begin[k] : 0;
        const Others others = {side.gid[k], side.step[k], side_begin(side, k), list};
        look(c, me, others, s.cells[k], s.cells[k].begin ? 0 : &s.sources[k], found, use);
    }
#ifndef __CUDACC__
    use_found(c, me, found, use);
#endif
}
