// Numbers of things drawn exactly: hypergeometric and Poisson, beside the binomial of arithmetic.h.
// A draw's identity is (a, b, c) and the attempts from `first` on, as words of the Philox counter.
#pragma once
#include "arithmetic.h"

// log a! - log b!, without cancellation where a and b are large and near; both are counts.
FN double log_factorial_ratio(double a, double b) {
    return (a + 0.5) * logarithm((a + 1.0) / (b + 1.0)) + (a - b) * (logarithm(b + 1.0) - 1.0) + stirling_rest(a) -
           stirling_rest(b);
}

// How many of `n` draws without replacement from `good` + `bad` things are good: by inversion where the mean is
// below 10, else by ratio of uniforms (HRUA, Stadlober 1990, doi:10.1016/0377-0427(90)90349-5).
FN_ONCE uint64 hypergeometric(double good, double bad, uint64 draws, uint32 a, uint32 b, uint32 c, uint32 first,
                         uint32 seed, uint32 stream) {
    const double all = good + bad, n = (double)draws;
    if (draws == 0 || good <= 0.0) return 0;
    if (bad <= 0.0) return draws;
    if (n >= all) return (uint64)good;
    // By symmetry: few good things among many, and at most half of all drawn.
    const bool swapped = good > bad, flipped = n > 0.5 * all;
    const double few = swapped ? bad : good, many = swapped ? good : bad;
    const double m = flipped ? all - n : n;
    const double share = few / all;
    double k = 0.0;
    if (m * share < 10.0) {
        const Block block = philox(a, b, c, first, seed, stream);
        double u = uniform(block.w0, block.w1);
        // P(0) = many! (all - m)! / ((many - m)! all!)
        double mass = 1.0;
        if (m <= 16.0) {
            for (double i = 0.0; i < m; i += 1.0) mass *= (many - i) / (all - i);
        } else if (few <= 16.0) {
            for (double i = 0.0; i < few; i += 1.0) mass *= (all - m - i) / (all - i);
        } else {
            const double log_mass = log_factorial_ratio(many, many - m) - log_factorial_ratio(all, all - m);
            mass = exponential(log_mass < -690.0 ? -690.0 : log_mass);
        }
        const double most = few < m ? few : m;
        while (u > mass && k < most && k < 200.0) {
            u -= mass;
            mass *= (few - k) * (m - k) / ((k + 1.0) * (many - m + k + 1.0));
            k += 1.0;
        }
    } else {
        const double centre = m * share + 0.5;
        const double width = square_root((all - m) * m * share * (1.0 - share) / (all - 1.0) + 0.5);
        const double hat = 1.7155277699214135 * width + 0.8989161620588988;  // 2 sqrt(2 / e), 3 - 2 sqrt(3 / e)
        const double mode = (double)(uint64)((m + 1.0) * (few + 1.0) / (all + 2.0));
        const double far = (double)(uint64)(centre + 16.0 * width);
        const double most = (few < m ? few : m) + 1.0;
        const double end = far < most ? far : most;
        for (uint32 attempt = first;; ++attempt) {
            const Block block = philox(a, b, c, attempt, seed, stream);
            const double u = uniform(block.w0, block.w1), v = uniform(block.w2, block.w3);
            const double w = centre + hat * (v - 0.5) / u;
            if (w < 0.0 || w >= end) continue;
            k = (double)(uint64)w;
            const double t = log_factorial_ratio(mode, k) + log_factorial_ratio(few - mode, few - k) +
                log_factorial_ratio(m - mode, m - k) + log_factorial_ratio(many - m + mode, many - m + k);
            if (u * (4.0 - u) - 3.0 <= t) break;
            if (u * (u - t) >= 1.0) continue;
            if (2.0 * logarithm(u) <= t) break;
        }
    }
    if (flipped) k = few - k;
    if (swapped) k = n - k;
    return (uint64)k;
}

#define MOST_BITS 1024u  // of which heads are counted: eight blocks, that is one vector of them

// Of `draws` (at most MOST_BITS), those to which a fair coin shows heads. Coins are the bits of the blocks from `first` on.
FN uint32 heads(uint32 draws, uint32 a, uint32 b, uint32 c, uint32 first, uint32 seed, uint32 stream) {
    const uint32 n_blocks = (draws + 127u) / 128u;
    uint32 found = 0;
#ifndef __CUDACC__
    ALIGNED uint32 w0[8];
    ALIGNED uint32 w1[8];
    ALIGNED uint32 w2[8];
    ALIGNED uint32 w3[8];
    for (uint32 i = 0; i < 8u; ++i) {
        w0[i] = c;
        w1[i] = first + i;
    }
    philox_lanes<true>(n_blocks, w0, w1, w2, w3, a, b, seed, stream);
#endif
    NOT_UNROLLED for (uint32 i = 0; i < n_blocks; ++i) {
#ifdef __CUDACC__
        const Block block = philox(a, b, c, first + i, seed, stream);
#else
        const Block block = {w0[i], w1[i], w2[i], w3[i]};
#endif
        const uint32 rest = draws - 128u * i;
        const uint64 even = ((uint64)block.w1 << 32) | block.w0, odd = ((uint64)block.w3 << 32) | block.w2;
        found += ones_of(rest >= 64u ? even : even & (((uint64)1 << rest) - 1u));
        if (rest > 64u) found += ones_of(rest >= 128u ? odd : odd & (((uint64)1 << (rest - 64u)) - 1u));
    }
    return found;
}

// How many of `draws` with replacement from `left` + `right` places are left ones: Binomial(draws, left / (left + right)).
// Where both are nearly as many, a fair coin for each draw, and of those that it sends to the fewer places as many as
// belong to the others: Binomial(those, |left - right| / (left + right)), mostly none.
FN_ONCE uint64 binomial_share(double left, double right, uint64 draws, uint32 a, uint32 b, uint32 c, uint32 first,
                              uint32 seed, uint32 stream) {
    const double all = left + right;
    const double uneven = magnitude(left - right) / all;
    if (draws > MOST_BITS || (double)draws * uneven >= 2.0) {
        return binomial(draws, left / all, a, b, c, seed, stream, first);
    }
    uint64 fewer = draws - heads((uint32)draws, a, b, c, first, seed, stream);
    if (left != right) fewer -= binomial(fewer, uneven, a, b, c, seed, stream, first + MOST_BITS / 128u);
    return left < right ? fewer : draws - fewer;
}

// Poisson(mean): by inversion below 10, else by transformed rejection (PTRS, Hörmann 1993,
// doi:10.1016/0167-6687(93)90997-4).
FN_ONCE uint64 poisson_count(double mean, uint32 a, uint32 b, uint32 c, uint32 first, uint32 seed, uint32 stream) {
    if (mean <= 0.0) return 0;
    if (mean < 10.0) {
        const Block block = philox(a, b, c, first, seed, stream);
        double u = uniform(block.w0, block.w1);
        double mass = exponential(-mean), k = 0.0;
        while (u > mass && k < 200.0) {
            u -= mass;
            k += 1.0;
            mass *= mean / k;
        }
        return (uint64)k;
    }
    const double width = 0.931 + 2.53 * square_root(mean);
    const double tilt = -0.059 + 0.02483 * width;
    const double inverse_alpha = 1.1239 + 1.1328 / (width - 3.4);
    const double squeeze = 0.9277 - 3.6224 / (width - 2.0);
    const double log_mean = logarithm(mean);
    for (uint32 attempt = first;; ++attempt) {
        const Block block = philox(a, b, c, attempt, seed, stream);
        const double u = uniform(block.w0, block.w1) - 0.5, v = uniform(block.w2, block.w3);
        const double rest = 0.5 - (u < 0.0 ? -u : u);
        const double x = (2.0 * tilt / rest + width) * u + mean + 0.43;
        if (x < 0.0) continue;
        const double k = (double)(uint64)x;
        if (rest >= 0.07 && v <= squeeze) return (uint64)k;
        if (rest < 0.013 && v > rest) continue;
        // log(mean^k e^-mean / k!), as a sum of small terms around the mean
        const double log_k = 0.91893853320467274178 + (k + 0.5) * logarithm((k + 1.0) / mean) +
            0.5 * log_mean - (k + 1.0) + stirling_rest(k);
        if (logarithm(v * inverse_alpha / (tilt / (rest * rest) + width)) <= -mean - log_k) return (uint64)k;
    }
}
