// Drawing from a described distribution by inverting it; `Sampler` is declared in values.py.
// Where draws beyond bounds are to be repeated, only the part of the probability between them is inverted.
#pragma once
#include "arithmetic.h"

enum { CONSTANT_VALUE = 0, UNIFORM = 1, NORMAL = 2, LOGNORMAL = 3, UNIFORM_INT = 4, EXPONENTIAL = 5, GAMMA = 6 };

FN double clamped(double x, double low, double high) { return x < low ? low : (x > high ? high : x); }

// P(X < x) of the gamma distribution with shape a and scale 1 (relative error below 1e-13 of the smaller tail's
// complement): its series below a + 1, Legendre's continued fraction above (Press et al. 2007, section 6.2).
FN double gamma_below(double a, double log_gamma_a, double x) {
    if (x <= 0.0) return 0.0;
    const double exponent = a * logarithm(x) - x - log_gamma_a;
    const double front = exponent < -690.0 ? 0.0 : exponential(exponent);
    if (x < a + 1.0) {
        double n = a, term = 1.0 / a, sum = term;
        for (int32 i = 0; i < 2000; ++i) {
            n += 1.0;
            term *= x / n;
            sum += term;
            if (term < sum * 1e-16) break;
        }
        return sum * front;
    }
    double b = x + 1.0 - a, c = 1e300, d = 1.0 / b, fraction = d;
    for (int32 i = 1; i < 2000; ++i) {
        const double an = -(double)i * ((double)i - a);
        b += 2.0;
        d = an * d + b;
        d = magnitude(d) < 1e-300 ? 1e-300 : d;
        c = b + an / c;
        c = magnitude(c) < 1e-300 ? 1e-300 : c;
        d = 1.0 / d;
        const double step = d * c;
        fraction *= step;
        if (magnitude(step - 1.0) < 1e-16) break;
    }
    return 1.0 - front * fraction;
}

// The x with gamma_below(x) = p: Halley's method from the guess of Wilson and Hilferty, or for shapes up to 1 from
// the two ends of the distribution (Press et al. 2007, section 6.2.1); bisection where a step leaves the bracket.
FN_ONCE double inverse_gamma(double a, double log_gamma_a, double p) {
    double x;
    if (a > 1.0) {
        const double z = inverse_normal(p);
        const double t = 1.0 - 1.0 / (9.0 * a) + z / (3.0 * square_root(a));
        x = a * t * t * t;
        x = x < 1e-3 ? 1e-3 : x;
    } else {
        const double t = 1.0 - a * (0.253 + a * 0.12);
        x = p < t ? exponential(logarithm(p / t) / a) : 1.0 - logarithm(1.0 - (p - t) / (1.0 - t));
    }
    double low = 0.0, high = 1e300;
    for (int32 i = 0; i < 60; ++i) {
        const double error = gamma_below(a, log_gamma_a, x) - p;
        if (error > 0.0) high = x; else low = x;
        const double exponent = (a - 1.0) * logarithm(x) - x - log_gamma_a;
        const double density = exponential(exponent < -690.0 ? -690.0 : exponent);
        const double newton = error / density;
        const double curved = newton * ((a - 1.0) / x - 1.0);
        double next = x - newton / (1.0 - 0.5 * (curved > 1.0 ? 1.0 : (curved < -1.0 ? -1.0 : curved)));
        if (!(next > low && next < high)) next = high < 1e300 ? 0.5 * (low + high) : 2.0 * x;
        const double moved = magnitude(next - x);
        x = next;
        if (moved <= 1e-12 * x) break;
    }
    return x;
}

FN double sample(const Sampler& s, uint32 word) {
    if (s.kind == CONSTANT_VALUE) return s.first;
    const double p = s.p_low + s.p_width * uniform(word ^ s.mirror);
    if (s.kind == UNIFORM) return clamped(s.first + s.second * p, s.low, s.high);
    if (s.kind == NORMAL) return clamped(s.first + s.second * inverse_normal(p), s.low, s.high);
    double x;
    if (s.kind == UNIFORM_INT) {
        x = s.first + (double)(uint64)(s.second * p);
    } else if (s.kind == EXPONENTIAL) {
        x = -s.first * logarithm(1.0 - p);
    } else if (s.kind == GAMMA) {
        x = s.first * inverse_gamma(s.second, s.third, p);
    } else {
        x = exponential(s.first + s.second * inverse_normal(p));
    }
    return clamped(s.offset + s.factor * x, s.low, s.high);
}
