// Arithmetic that gives the same bits everywhere: + - * / sqrt, comparisons, selects, conversions.
// No libm, no contraction to FMA (switched off in both compilers). Error bounds are tested in
// tests/unit/test_arithmetic.py.
#pragma once
#include "words.h"
#include "vectors.h"

// Philox4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405): four random words for a counter of
// four words under a key of two.
struct Block {
    uint32 w0, w1, w2, w3;
};

FN Block philox(uint32 c0, uint32 c1, uint32 c2, uint32 c3, uint32 k0, uint32 k1) {
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
        const uint64 a = (uint64)c0 * 0xD2511F53u;
        const uint64 b = (uint64)c2 * 0xCD9E8D57u;
        c0 = (uint32)(b >> 32) ^ c1 ^ k0;
        c2 = (uint32)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32)b;
        c3 = (uint32)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    Block block;
    block.w0 = c0; block.w1 = c1; block.w2 = c2; block.w3 = c3;
    return block;
}

#if defined(__AVX512F__) && !defined(__CUDACC__)
// Ten rounds on eight counters in the low halves of 64-bit lanes, where one multiplication gives a round's high and low
// product at once; what the upper halves hold does not matter.
FN void philox_eight(__m512i& x0, __m512i& x1, __m512i& x2, __m512i& x3, uint32 k0, uint32 k1) {
    const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
        const __m512i p0 = _mm512_mul_epu32(x0, m0), p1 = _mm512_mul_epu32(x2, m1);
        x0 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), x1, _mm512_set1_epi64(k0), 0x96);
        x2 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), x3, _mm512_set1_epi64(k1), 0x96);
        x1 = p1;
        x3 = p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

FN void store_eight(uint32* to, __m512i x) { _mm256_storeu_si256((__m256i*)to, _mm512_cvtepi64_epi32(x)); }
#endif

// Philox for the first n lanes: words 0 and 1 of each lane's counter come in w0 and w1, words 2 and 3 are
// common (FAR: the other way round); the four random words go out in w0 … w3.
template <bool FAR = false>
FN void philox_lanes(uint32 n, VARYING_REFERENCE(uint32, w0), VARYING_REFERENCE(uint32, w1),
                     VARYING_REFERENCE(uint32, w2), VARYING_REFERENCE(uint32, w3), uint32 c2, uint32 c3,
                     uint32 k0, uint32 k1) {
#if defined(__AVX512F__) && !defined(__CUDACC__)
    for (uint32 j = 0; j < n; j += 8) {  // n may end within eight: arrays hold whole eights
        __m512i x0 = _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i*)(w0 + j)));
        __m512i x1 = _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i*)(w1 + j)));
        __m512i x2 = _mm512_set1_epi64(c2), x3 = _mm512_set1_epi64(c3);
        if (FAR) {
            x2 = x0; x0 = _mm512_set1_epi64(c2);
            x3 = x1; x1 = _mm512_set1_epi64(c3);
        }
        philox_eight(x0, x1, x2, x3, k0, k1);
        store_eight(w0 + j, x0);
        store_eight(w1 + j, x1);
        store_eight(w2 + j, x2);
        store_eight(w3 + j, x3);
    }
#else
    FOR_LANES(j, n) {
        const Block block = FAR ? philox(c2, c3, AT(w0, j), AT(w1, j), k0, k1) : philox(AT(w0, j), AT(w1, j), c2, c3, k0, k1);
        AT(w0, j) = block.w0;
        AT(w1, j) = block.w1;
        AT(w2, j) = block.w2;
        AT(w3, j) = block.w3;
    }
#endif
}

#ifndef __CUDACC__
// Philox for n counters in a row, from `first` on in words 0 and 1; arrays have room for whole eights.
FN void philox_row(uint64 first, uint32 n, uint32* RESTRICT w0, uint32* RESTRICT w1, uint32* RESTRICT w2,
                   uint32* RESTRICT w3, uint32 c2, uint32 c3, uint32 k0, uint32 k1) {
#if defined(__AVX512F__)
    const __m512i eight = _mm512_set1_epi64(8);
    __m512i counter = _mm512_add_epi64(_mm512_set1_epi64((int64)first), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
    for (uint32 j = 0; j < n; j += 8) {
        __m512i x0 = counter, x1 = _mm512_srli_epi64(counter, 32), x2 = _mm512_set1_epi64(c2), x3 = _mm512_set1_epi64(c3);
        philox_eight(x0, x1, x2, x3, k0, k1);
        store_eight(w0 + j, x0);
        store_eight(w1 + j, x1);
        store_eight(w2 + j, x2);
        store_eight(w3 + j, x3);
        counter = _mm512_add_epi64(counter, eight);
    }
#else
    for (uint32 j = 0; j < n; ++j) {
        w0[j] = (uint32)(first + j);
        w1[j] = (uint32)((first + j) >> 32);
    }
    philox_lanes(n, w0, w1, w2, w3, c2, c3, k0, k1);
#endif
}
#endif

// (0, 1): the middle of one of 2^32 equal cells.
FN double uniform(uint32 w) { return ((double)w + 0.5) * (1.0 / 4294967296.0); }
// (0, 1): the middle of one of 2^52 equal cells.
FN double uniform(uint32 high, uint32 low) {
    return ((double)(((uint64)high << 20) | (low >> 12)) + 0.5) * (1.0 / 4503599627370496.0);
}
// 0 … n - 1, each with probability 1/n up to n / 2^64.
FN uint64 below(uint32 high, uint32 low, uint64 n) { return multiply_high(((uint64)high << 32) | low, n); }

// exp(x) for |x| < 700, error below 1 ulp: x = k ln 2 + r, then the rational form of fdlibm on r.
FN double exponential(double x) {
    const double shifted = x * 1.44269504088896338700 + 6755399441055744.0;
    const double k = shifted - 6755399441055744.0;
    const double high = x - k * 6.93147180369123816490e-01;
    const double low = k * 1.90821492927058770002e-10;
    const double r = high - low;
    const double t = r * r;
    const double c = r - t * (1.66666666666666019037e-01 + t * (-2.77777777770155933842e-03 +
                     t * (6.61375632143793436117e-05 + t * (-1.65339022054652515390e-06 +
                     t * 4.13813679705723846039e-08))));
    const double y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    const int64 exponent = (int64)k;
    return y * double_of((uint64)(exponent + 1023) << 52);
}

// log(x) for normal x > 0, error below 1 ulp: x = 2^k (1 + f), then fdlibm's polynomial in f / (2 + f).
FN double logarithm(double x) {
    const uint64 shifted = bits_of(x) + 0x00095F6400000000ull;  // so that 1 + f lies in [sqrt(1/2), sqrt(2))
    const double k = (double)((int32)(shifted >> 52) - 1023);
    const double m = double_of((shifted & 0x000FFFFFFFFFFFFFull) + 0x3FE6A09C00000000ull);
    const double f = m - 1.0;
    const double s = f / (2.0 + f);
    const double z = s * s;
    const double w = z * z;
    const double odd = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    const double even = z * (6.666666666666735130e-01 + w * (2.857142874366239149e-01 +
                        w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    const double half_square = 0.5 * f * f;
    return k * 6.93147180369123816490e-01 -
           ((half_square - (s * (half_square + odd + even) + k * 1.90821492927058770002e-10)) - f);
}

// The inverse of the standard normal distribution, relative error below 1e-14 (Wichura 1988, AS 241,
// doi:10.2307/2347330), for p in (0, 1): the centre |p - 1/2| <= 0.425, and the tails.
FN double inverse_normal_centre(double p) {
    const double q = p - 0.5;
    const double r = 0.180625 - q * q;
    const double above = ((((((2.5090809287301226727e+3 * r + 3.3430575583588128105e+4) * r +
        6.7265770927008700853e+4) * r + 4.5921953931549871457e+4) * r + 1.3731693765509461125e+4) * r +
        1.9715909503065514427e+3) * r + 1.3314166789178437745e+2) * r + 3.3871328727963666080e+0;
    const double below_ = ((((((5.2264952788528545610e+3 * r + 2.8729085735721942674e+4) * r +
        3.9307895800092710610e+4) * r + 2.1213794301586595867e+4) * r + 5.3941960214247511077e+3) * r +
        6.8718700749205790830e+2) * r + 4.2313330701600911252e+1) * r + 1.0;
    return q * above / below_;
}

FN double inverse_normal_tail(double p) {
    const double smaller = p < 0.5 ? p : 1.0 - p;
    double r = square_root(-logarithm(smaller));
    double above, below_;
    if (r <= 5.0) {
        r -= 1.6;
        above = ((((((7.74545014278341407640e-4 * r + 2.27238449892691845833e-2) * r +
            2.41780725177450611770e-1) * r + 1.27045825245236838258e+0) * r + 3.64784832476320460504e+0) * r +
            5.76949722146069140550e+0) * r + 4.63033784615654529590e+0) * r + 1.42343711074968357734e+0;
        below_ = ((((((1.05075007164441684324e-9 * r + 5.47593808499534494600e-4) * r +
            1.51986665636164571966e-2) * r + 1.48103976427480074590e-1) * r + 6.89767334985100004550e-1) * r +
            1.67638483018380384940e+0) * r + 2.05319162663775882187e+0) * r + 1.0;
    } else {
        r -= 5.0;
        above = ((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r +
            1.24266094738807843860e-3) * r + 2.65321895265761230930e-2) * r + 2.96560571828504891230e-1) * r +
            1.78482653991729133580e+0) * r + 5.46378491116411436990e+0) * r + 6.65790464350110377720e+0;
        below_ = ((((((2.04426310338993978564e-15 * r + 1.42151175831644588870e-7) * r +
            1.84631831751005468180e-5) * r + 7.86869131145613259100e-4) * r + 1.48753612908506148525e-2) * r +
            1.36929880922735805310e-1) * r + 5.99832206555887937690e-1) * r + 1.0;
    }
    const double x = above / below_;
    return p < 0.5 ? -x : x;
}

FN bool in_centre(double p) { return p >= 0.075 && p <= 0.925; }

FN double inverse_normal(double p) { return in_centre(p) ? inverse_normal_centre(p) : inverse_normal_tail(p); }

// A Philox stream of uniforms for rejection: counter (a, b | attempt, c, 0).
// Binomial(n, p): by inversion where n min(p, 1 - p) < 10, else by transformed rejection
// (BTRS, Hörmann 1993, doi:10.1080/00949659308811496). `a` and `b` and `c` are the draw's identity.
FN double stirling_rest(double k) {
    // log k! - [log sqrt(2 pi) + (k + 1/2) log(k + 1) - (k + 1)]
    const double values[10] = {0.08106146679532726, 0.04134069595540929, 0.02767792568499834,
        0.02079067210376509, 0.01664469118982119, 0.01387612882307075, 0.01189670994589177,
        0.01041126526197209, 0.009255462182712733, 0.008330563433362871};
    if (k < 10.0) return values[(int32)k];
    const double x = 1.0 / (k + 1.0);
    const double square = x * x;
    return (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - 1.0 / 1680 * square) * square) * square) * x;
}

FN uint64 binomial(uint64 n, double p, uint32 a, uint32 b, uint32 c, uint32 seed, uint32 stream, uint32 first = 0) {
    if (n == 0 || p <= 0.0) return 0;
    if (p >= 1.0) return n;
    const bool flipped = p > 0.5;
    const double small = flipped ? 1.0 - p : p;
    const double count = (double)n;
    uint64 drawn = 0;
    if (count * small < 10.0) {
        const Block block = philox(a, b, c, first, seed, stream);
        double u = uniform(block.w0, block.w1);
        if (u < 1.0 - 1e-12 - count * small) return flipped ? n : 0;  // (1 - p)^n >= 1 - n p: none
        const double odds = small / (1.0 - small);
        double mass = exponential(count * logarithm(1.0 - small));
        while (u > mass && drawn < n && drawn < 200) {
            u -= mass;
            drawn += 1;
            mass *= odds * (double)(n - drawn + 1) / (double)drawn;
        }
    } else {
        const double deviation = square_root(count * small * (1.0 - small));
        const double width = 1.15 + 2.53 * deviation;
        const double tilt = -0.0873 + 0.0248 * width + 0.01 * small;
        const double centre = count * small + 0.5;
        const double squeeze = 0.92 - 4.2 / width;
        for (uint32 attempt = first;; ++attempt) {
            const Block block = philox(a, b, c, attempt, seed, stream);
            const double u = uniform(block.w0, block.w1) - 0.5;
            double v = uniform(block.w2, block.w3);
            const double rest = 0.5 - (u < 0.0 ? -u : u);
            const double x = (2.0 * tilt / rest + width) * u + centre;
            if (x < 0.0 || x >= count + 1.0) continue;
            const double k = (double)(uint64)x;
            if (rest >= 0.07 && v <= squeeze) { drawn = (uint64)k; break; }
            const double odds = small / (1.0 - small);  // one draw in seven needs these
            const double alpha = (2.83 + 5.1 / width) * deviation;
            const double mode = (double)(uint64)((count + 1.0) * small);
            v = logarithm(v * alpha / (tilt / (rest * rest) + width));
            const double bound = (mode + 0.5) * logarithm((mode + 1.0) / (odds * (count - mode + 1.0))) +
                (count + 1.0) * logarithm((count - mode + 1.0) / (count - k + 1.0)) +
                (k + 0.5) * logarithm(odds * (count - k + 1.0) / (k + 1.0)) +
                stirling_rest(mode) + stirling_rest(count - mode) - stirling_rest(k) - stirling_rest(count - k);
            if (v <= bound) { drawn = (uint64)k; break; }
        }
    }
    return flipped ? n - drawn : drawn;
}
