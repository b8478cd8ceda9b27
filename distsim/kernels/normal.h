// Many normal weights in quanta at once, on the host. A weight in quanta is an integer: nearly always the nearest one is
// known from single precision, sixteen lanes a vector; where it is not, the number is drawn as `sample` draws it. So what
// comes out is what `sample` and `in_quanta` give, to the bit, at a third of the time.
#pragma once

FN int64 in_quanta(double weight, double per_quantum) {
    const double scaled = weight * per_quantum;
    return scaled < 0.0 ? -(int64)(0.5 - scaled) : (int64)(scaled + 0.5);
}

#ifndef __CUDACC__
#define FLAT_HALF 0.48f  // |p - 1/2| up to which single precision serves: all but 4 %
// Above the error of `nearly_normal` for any word, that of the probability and of the sum included. The first two came to
// 1.5e-6 at most, over all 2^32 words at five truncations; tests/unit/test_arithmetic.py compares what comes out.
#define FLAT_ERROR 4e-6

// The inverse of the normal distribution at 1/2 + q, |q| <= FLAT_HALF: a rational function in FLAT_HALF^2 - q^2 whose
// terms all are positive (as in Wichura 1988), fitted for the smallest relative error, 1e-7.
FN float nearly_normal(float q) {
    const float r = FLAT_HALF * FLAT_HALF - q * q;
    const float above = (((4738.51594f * r + 12711.4429f) * r + 3713.83163f) * r + 252.360782f) * r + 4.27864312f;
    const float below_ = (((5430.41978f * r + 6066.60376f) * r + 1222.57095f) * r + 67.2865259f) * r + 1.0f;
    return q * above / below_;
}

// Those of n lanes that are marked, and how many there are; `lane` has room for whole vectors.
FN uint32 find_marked(uint32 n, const uint32* RESTRICT mark, uint32* RESTRICT lane) {
    uint32 found = 0;
#if defined(__AVX512F__)
    __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (uint32 j = 0; j < n; j += 16) {
        uint32 marked = _mm512_test_epi32_mask(_mm512_load_si512(mark + j), _mm512_set1_epi32(-1));
        if (n - j < 16) marked &= (1u << (n - j)) - 1u;
        _mm512_storeu_si512(lane + found, _mm512_maskz_compress_epi32((__mmask16)marked, lanes));  // found <= j
        lanes = _mm512_add_epi32(lanes, _mm512_set1_epi32(16));
        found += (uint32)__builtin_popcount(marked);
    }
#else
    EACH_LANE(j, n) {
        lane[found] = j;
        found += mark[j] ? 1u : 0u;
    }
#endif
    return found;
}

// Whether `normal_quanta` serves: the nearest integer must mostly be clear.
FN bool is_flat(const Sampler& s, double per_quantum) {
    return s.kind == NORMAL && magnitude(s.second * per_quantum) * FLAT_ERROR < 0.05 &&
           magnitude(s.first * per_quantum) < 1e6;
}

// Numbers that n words (arrays have room for whole vectors) draw, in quanta.
FN_ONCE void normal_quanta(const Sampler& s, double per_quantum, uint32 n, const uint32* RESTRICT word,
                           int64* RESTRICT quanta) {
    ALIGNED uint32 mark[LANES];
    const double middle = s.first * per_quantum;
    const int64 whole = (int64)middle;
    const float fraction = (float)(middle - (double)whole), spread = (float)(s.second * per_quantum);
    const float scale = (float)(s.p_width * (1.0 / 4294967296.0));
    const float shift = (float)(s.p_low + s.p_width * (0.5 + 0.5 / 4294967296.0) - 0.5);
    const float clear = (float)(0.5 - magnitude(s.second * per_quantum) * FLAT_ERROR - 1e-6);
    // Not where a bound might decide.
    const float least = (float)clamped(s.low * per_quantum - (double)whole + 1.0, -1e9, 1e9);
    const float most = (float)clamped(s.high * per_quantum - (double)whole - 1.0, -1e9, 1e9);
    const float first = least < most ? least : most, last = least < most ? most : least;
    FOR_LANES(j, WHOLE(n)) {
        const float q = (float)(int32)(word[j] ^ 0x80000000u) * scale + shift;
        const float x = nearly_normal(q) * spread + fraction;
        const float nearest = (x + 12582912.0f) - 12582912.0f;
        const bool known = (magnitude(q) <= FLAT_HALF) & (magnitude(x - nearest) <= clear) & (nearest >= first) &
                           (nearest <= last);
        mark[j] = known ? 0u : 1u;
        quanta[j] = whole + (int64)(int32)nearest;
    }
    ALIGNED uint32 lane[LANES + 16];
    ALIGNED double number[LANES];
    const uint32 n_marked = find_marked(n, mark, lane), eights = (n_marked + 7u) & ~7u;
    for (uint32 i = n_marked; i < eights; ++i) lane[i] = 0;
    EACH_LANE(i, eights) { number[i] = s.p_low + s.p_width * uniform(word[lane[i]]); }
    FOR_LANES(i, eights) {
        const double p = number[i];
        const double centre = inverse_normal_centre(p), tail = inverse_normal_tail(p);
        number[i] = clamped(s.first + s.second * (in_centre(p) ? centre : tail), s.low, s.high);
    }
    EACH_LANE(i, n_marked) { quanta[lane[i]] = in_quanta(number[i], per_quantum); }
}
#endif
