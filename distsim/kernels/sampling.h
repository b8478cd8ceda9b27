// Drawing from a described distribution by inverting it; `Sampler` is declared in values.py.
#pragma once
#include "arithmetic.h"

enum { CONSTANT_VALUE = 0, UNIFORM = 1, NORMAL = 2, LOGNORMAL = 3 };

FN double clamped(double x, double low, double high) { return x < low ? low : (x > high ? high : x); }

FN double sample(const Sampler& s, uint32 word) {
    if (s.kind == CONSTANT_VALUE) return s.first;
    const double u = uniform(word);
    double x;
    if (s.kind == UNIFORM) {
        x = s.first + s.second * u;
    } else {
        x = s.first + s.second * inverse_normal(s.p_low + s.p_width * u);
        if (s.kind == LOGNORMAL) x = exponential(x);
    }
    return clamped(x, s.low, s.high);
}
