// Fixed degrees in space: the limit of each neuron that draws, up to which its candidates' events are connections.
// What events are stands in spatial.cpp.

// The events of a candidate whose first is at `now`, up to the seeker's limit.
FN uint32 events_of(const Connect& c, const Seeker& me, uint64 gid, double chance, double now) {
    if (!is_early(me, now, gid)) return 0;
    for (uint32 k = 1;; ++k) {
        if (c.distinct) return k;
        const Block block = pair_block(c, me, gid, k);
        now = later(now, waiting_time(block.w0, block.w1, chance));
        if (!is_early(me, now, gid)) return k;
    }
}

// Counts a seeker's events up to its limit; without a limit its candidates, and sums their chances in units of
// most / 2^20. The host remembers the candidates' first events, as far as there is room.
struct CountEvents {
    uint64 events, sum;
#ifndef __CUDACC__
#define REMEMBERED 16384u
    uint32 remembered;
    double time[REMEMBERED], rate[REMEMBERED];
    uint64 gid[REMEMBERED];
#endif
    FN_MEMBER_ONCE void take(const Connect& c, const Seeker& me, Found& f) {
        VARYING(uint32, w0);
        VARYING(uint32, w1);
        VARYING(uint32, w2);
        VARYING(uint32, w3);
        VARYING(double, chance);
        VARYING(double, first);
        VARYING(uint64, n);
        VARYING(uint64, share);
        FOR_LANES(j, LANES) { AT(n, j) = AT(share, j) = 0; }
        draw_first(c, me, f, w0, w1, w2, w3, chance);
        FOR_LANES(j, f.n) {
            const bool can = AT(chance, j) >= LEAST_CHANCE;
            AT(first, j) = waiting_time(AT(w0, j), AT(w1, j), can ? AT(chance, j) : 1.0);
        }
        EACH_LANE(j, f.n) {
            if (AT(chance, j) < LEAST_CHANCE) continue;
            if (me.limit >= 0.0) {
                AT(n, j) = events_of(c, me, AT(f.gid, j), AT(chance, j), AT(first, j));
                continue;
            }
            AT(n, j) = 1;
            AT(share, j) = (uint64)(clamped(AT(chance, j) / c.space.most, 0.0, 1.0) * 1048576.0);
#ifndef __CUDACC__
            if (remembered < REMEMBERED) {
                time[remembered] = first[j];
                rate[remembered] = chance[j];
                gid[remembered] = f.gid[j];
            }
            remembered += 1;
#endif
        }
        SUM_TO(n, LANES);
        SUM_TO(share, LANES);
        events += LAST_OF(n, LANES);
        sum += LAST_OF(share, LANES);
    }
};

FN_ONCE uint64 events_until(const Connect& c, Seeker& me, double limit, uint64 last, Found& found, CountEvents& count) {
    me.limit = limit;
    me.last = last;
    count.events = 0;
#ifndef __CUDACC__
    if (limit >= 0.0 && count.remembered <= REMEMBERED) {
        for (uint32 k = 0; k < count.remembered; ++k) {
            count.events += events_of(c, me, count.gid[k], count.rate[k], count.time[k]);
        }
        return count.events;
    }
    if (limit < 0.0) count.remembered = 0;
#endif
    count.sum = 0;
    look_at_side(c, me, c.space.by_source ? c.targets : c.sources, found, count);
    return count.events;
}

// Of each neuron with a fixed degree: the limit up to which it has as many events. Any search finds the same.
KERNEL find_limits(const Connect* connect) {
    const Connect& c = *connect;
    const Space& s = c.space;
    Found found;
    CountEvents count;
    clear(found);
    GROUP_FOR(k, s.n_drawing) {
        const uint64 i = s.order ? s.order[k] : (uint64)k;
        Seeker me = {0, 0, {0.0, 0.0, 0.0}, -1.0, ~0ull};
        if (s.by_source) {
            uint32 selection = 0;
            while (i >= c.sources.end[selection]) ++selection;
            me.gid = gid_at(c.sources, i);
            me.place = position_of(s.sources[selection], me.gid, c.seed);
        } else {
            me.gid = target_at(c, i).gid;
            me.place = position_of(s.target, me.gid, c.seed);
        }
        const uint64 wanted = c.indegree;
        uint64 last = ~0ull;
        const uint64 candidates = events_until(c, me, -1.0, ~0ull, found, count);
        const bool too_few = candidates < (c.distinct ? wanted : 1);
        double limit = 1e300;
        if (!too_few && !(c.distinct && candidates == wanted)) {
            // From the mean rate of events on: up to an enough, then by secants and halves in between.
            double below_ = 0.0, above = (double)wanted / ((double)(count.sum + 1) * s.most * (1.0 / 1048576.0));
            uint64 n_below = 0, n_above = events_until(c, me, above, ~0ull, found, count);
            while (n_above < wanted) {
                below_ = above;
                n_below = n_above;
                above *= n_above * 2 > wanted ? 1.25 : 4.0;
                n_above = events_until(c, me, above, ~0ull, found, count);
            }
            for (uint32 step = 0; n_above != wanted; ++step) {
                const double share = (double)(wanted - n_below) / (double)(n_above - n_below);
                double middle = below_ + (above - below_) * share;
                if (step % 3 == 2 || !(middle > below_ && middle < above)) {
                    middle = double_of(bits_of(below_) + (bits_of(above) - bits_of(below_)) / 2);
                }
                if (!(middle > below_ && middle < above)) break;  // several events at the very same time
                const uint64 n = events_until(c, me, middle, ~0ull, found, count);
                if (n < wanted) { below_ = middle; n_below = n; }
                else { above = middle; n_above = n; }
            }
            limit = above;
            if (n_above != wanted) {
                uint64 low = 0, high = ~0ull >> 1;
                while (low < high) {
                    const uint64 middle = low + (high - low) / 2;
                    if (events_until(c, me, limit, middle, found, count) < wanted) low = middle + 1; else high = middle;
                }
                last = low;
            }
        }
        if (LEADER) {
            s.limit[i] = limit;
            s.last[i] = last;
            s.candidates[i] = too_few ? (uint32)candidates : ~0u;
        }
    }
}
