// Clocks of the host's loop. Where Loop.profile is set (distsim run --profile) the time since the last
// reading is added to a kernel after each of its calls; else that costs a comparison.
#pragma once
#include <time.h>

static inline double seconds_now() {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// A table [kernel][seconds, calls] behind a first row that begins with the last reading.
static inline void add_time(double* table, uint32 kernel) {
    const double now = seconds_now();
    table[2 * kernel + 2] += now - table[0];
    table[2 * kernel + 3] += 1.0;
    table[0] = now;
}

#define DONE(kernel) do { if (UNLIKELY(l.profile != 0)) add_time(l.profile, PROFILE_##kernel); } while (0)
