// Inputs that depend on time: waveforms of currents and of rates, evaluated once for all neurons of a chunk.
#pragma once
#include "functions.h"
#include "counts.h"

enum { SIGNAL_ABSENT = 0, SIGNAL_CONSTANT = 1, SIGNAL_STEPS = 2, SIGNAL_SINE = 3, SIGNAL_NOISE = 4 };

// One input onto one population; see build/signals.py.
struct Signal {
    int64 first, last;   // steps in which it is active
    uint32 kind;
    uint32 input;        // the input's position
    uint32 begin;        // of its times and values
    uint32 length;
    uint32 factors;      // 1 + which array of factors, one a neuron; 0: every neuron has the factor 1
    uint32 shared;       // noise: one for all targets
    double level;        // constant part
    double swing;        // of the sine; noise: the square of std_mod
    double turns;        // a step
    double phase;        // turns at time 0
    double weight;
    double variance;     // noise
    int64 every;         // noise: steps that an amplitude lasts
};

// The waveform `step` steps after the start.
FN double waveform(const Signal& s, const int64* times, const double* values, int64 step) {
    if (s.kind == SIGNAL_STEPS) {
        uint32 low = 0, high = s.length;
        while (low < high) {
            const uint32 middle = (low + high) / 2;
            if (step >= times[s.begin + middle]) low = middle + 1; else high = middle;
        }
        return low ? values[s.begin + low - 1] : 0.0;
    }
    double value = s.level;
    if (s.kind == SIGNAL_SINE) value = value + s.swing * sine_of_turns(s.turns * (double)step + s.phase);
    return value;
}

// Adds the spikes of all trains onto one receptor that no table gives, in declared order: each neuron its own draw of
// the mean number in this step, with the rate of the step's end.
FN void add_spikes(const Chunk& c, const Signal* signals, uint32 n, const int64* times, const double* values,
                   const real* RESTRICT factors, uint64 stride, uint32 seed, int64 step,
                   VARYING_REFERENCE(real, input)) {
    FOR_LANES(j, c.count) { AT(input, j) = (real)0; }
    for (uint32 k = 0; k < n; ++k) {
        const Signal s = signals[k];
        if (s.kind == SIGNAL_ABSENT || step < s.first || step > s.last) continue;
        const real* RESTRICT own = factors + (s.factors ? s.factors - 1 : 0) * stride + c.begin;
        const double mean = waveform(s, times, values, step);
        if (mean <= 0.0) continue;
        const real weight = (real)s.weight;
        EACH_LANE(j, c.count) {
            const uint64 gid = c.gid + (uint64)j * c.gid_stride;
            const uint64 count = poisson_count(s.factors ? mean * (double)own[j] : mean, (uint32)gid,
                                               (uint32)(gid >> 32) | (s.input << 8), (uint32)step,
                                               (uint32)((uint64)step >> 32) << 24, seed, STREAM_RATE);
            AT(input, j) = AT(input, j) + (real)count * weight;
        }
    }
}

// Adds all currents of a population, in declared order, for the neurons of a chunk. The current of the grid time
// t acts in the step after t, and its waveform is that of t - dt: a delay of one step in NEST.
FN void add_currents(const Chunk& c, const Signal* signals, uint32 n, const int64* times, const double* values,
                     const real* RESTRICT factors, uint64 stride, uint32 seed, int64 step,
                     VARYING_REFERENCE(real, current)) {
    FOR_LANES(j, c.count) { AT(current, j) = (real)0; }
    for (uint32 k = 0; k < n; ++k) {
        const Signal s = signals[k];
        if (s.kind == SIGNAL_ABSENT || step < s.first || step > s.last) continue;
        const real* RESTRICT own = factors + (s.factors ? s.factors - 1 : 0) * stride + c.begin;
        if (s.kind == SIGNAL_NOISE) {
            const uint64 drawn = (uint64)((step - s.first) / s.every);
            const double sine = sine_of_turns(s.turns * (double)(s.first - 2 + (int64)drawn * s.every) + s.phase);
            const double spread = square_root(larger(s.variance + s.swing * sine, 0.0)) * s.weight;
            const double mean = s.level * s.weight;
            EACH_LANE(j, c.count) {
                const uint64 gid = s.shared ? 0 : c.gid + (uint64)j * c.gid_stride;
                const Block b = philox((uint32)gid, (uint32)(gid >> 32) | (s.input << 8), (uint32)drawn,
                                       (uint32)(drawn >> 32), seed, STREAM_NOISE);
                const real x = (real)(mean + spread * inverse_normal(uniform(b.w0, b.w1)));
                AT(current, j) = AT(current, j) + (s.factors ? own[j] * x : x);
            }
            continue;
        }
        const real x = (real)(waveform(s, times, values, step - 2) * s.weight);
        if (s.factors) {
            FOR_LANES(j, c.count) { AT(current, j) = AT(current, j) + own[j] * x; }
        } else {
            FOR_LANES(j, c.count) { AT(current, j) = AT(current, j) + x; }
        }
    }
}
