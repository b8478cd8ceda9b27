// The few AVX-512 intrinsics of the kernels, where the host has them. <immintrin.h> declares thousands, and to read it
// is half the time of compiling a loop; GCC's built-in functions are these, as its own header has them. Where one is
// missing (another compiler, another GCC), that header is read after all.
#pragma once

#if defined(__AVX512F__) && !defined(__CUDACC__)
#if defined(__has_builtin) && !defined(WHOLE_IMMINTRIN)
#if __has_builtin(__builtin_ia32_pmuludq512_mask) && __has_builtin(__builtin_ia32_psrlqi512_mask) \
    && __has_builtin(__builtin_ia32_pternlogq512_mask) && __has_builtin(__builtin_ia32_pmovqd512_mask) \
    && __has_builtin(__builtin_ia32_pmovzxdq512_mask) && __has_builtin(__builtin_ia32_ptestmq512) \
    && __has_builtin(__builtin_ia32_ptestmd512) && __has_builtin(__builtin_ia32_compressdi512_mask) \
    && __has_builtin(__builtin_ia32_compresssi512_mask) && __has_builtin(__builtin_ia32_loaddqudi512_mask) \
    && __has_builtin(__builtin_ia32_storedqudi512_mask)
#define BUILT_IN_VECTORS
#endif
#endif

#ifndef BUILT_IN_VECTORS
#include <immintrin.h>
#else
typedef long long __m512i __attribute__((__vector_size__(64), __may_alias__));
typedef long long __m512i_u __attribute__((__vector_size__(64), __may_alias__, __aligned__(1)));
typedef long long __m256i __attribute__((__vector_size__(32), __may_alias__));
typedef long long __m256i_u __attribute__((__vector_size__(32), __may_alias__, __aligned__(1)));
typedef long long __v8di __attribute__((__vector_size__(64)));
typedef unsigned long long __v8du __attribute__((__vector_size__(64)));
typedef int __v16si __attribute__((__vector_size__(64)));
typedef unsigned int __v16su __attribute__((__vector_size__(64)));
typedef int __v8si __attribute__((__vector_size__(32)));
typedef unsigned char __mmask8;
typedef unsigned short __mmask16;

FN __m512i _mm512_undefined_epi32() { __m512i x = x; return x; }
FN __m256i _mm256_undefined_si256() { __m256i x = x; return x; }
FN __m512i _mm512_set1_epi64(int64 a) { return (__m512i)(__v8di){a, a, a, a, a, a, a, a}; }
FN __m512i _mm512_set1_epi32(int32 a) { return (__m512i)(__v16si){a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a}; }
#define _mm512_setr_epi64(...) ((__m512i)(__v8di){__VA_ARGS__})
#define _mm512_setr_epi32(...) ((__m512i)(__v16si){__VA_ARGS__})
FN __m512i _mm512_add_epi64(__m512i a, __m512i b) { return (__m512i)((__v8du)a + (__v8du)b); }
FN __m512i _mm512_add_epi32(__m512i a, __m512i b) { return (__m512i)((__v16su)a + (__v16su)b); }
FN __m512i _mm512_mul_epu32(__m512i a, __m512i b) {
    return (__m512i)__builtin_ia32_pmuludq512_mask((__v16si)a, (__v16si)b, (__v8di)_mm512_undefined_epi32(), (__mmask8)-1);
}
// Macros, for what has to be a constant is none in a function that is compiled without optimisation.
#define _mm512_srli_epi64(a, n) \
    ((__m512i)__builtin_ia32_psrlqi512_mask((__v8di)(a), (n), (__v8di)_mm512_undefined_epi32(), (__mmask8)-1))
#define _mm512_ternarylogic_epi64(a, b, c, table) \
    ((__m512i)__builtin_ia32_pternlogq512_mask((__v8di)(a), (__v8di)(b), (__v8di)(c), (table), (__mmask8)-1))
FN __m256i _mm512_cvtepi64_epi32(__m512i a) {
    return (__m256i)__builtin_ia32_pmovqd512_mask((__v8di)a, (__v8si)_mm256_undefined_si256(), (__mmask8)-1);
}
FN __m512i _mm512_cvtepu32_epi64(__m256i a) {
    return (__m512i)__builtin_ia32_pmovzxdq512_mask((__v8si)a, (__v8di)_mm512_undefined_epi32(), (__mmask8)-1);
}
FN __m256i _mm256_loadu_si256(const __m256i_u* p) { return *p; }
FN void _mm256_storeu_si256(__m256i_u* p, __m256i a) { *p = a; }
FN __m512i _mm512_load_si512(const void* p) { return *(const __m512i*)p; }
FN void _mm512_storeu_si512(void* p, __m512i a) { *(__m512i_u*)p = a; }
FN __mmask8 _mm512_mask_test_epi64_mask(__mmask8 mask, __m512i a, __m512i b) {
    return (__mmask8)__builtin_ia32_ptestmq512((__v8di)a, (__v8di)b, mask);
}
FN __mmask16 _mm512_test_epi32_mask(__m512i a, __m512i b) {
    return (__mmask16)__builtin_ia32_ptestmd512((__v16si)a, (__v16si)b, (__mmask16)-1);
}
FN __m512i _mm512_maskz_compress_epi64(__mmask8 mask, __m512i a) {
    return (__m512i)__builtin_ia32_compressdi512_mask((__v8di)a, (__v8di){}, mask);
}
FN __m512i _mm512_maskz_compress_epi32(__mmask16 mask, __m512i a) {
    return (__m512i)__builtin_ia32_compresssi512_mask((__v16si)a, (__v16si){}, mask);
}
FN __m512i _mm512_maskz_loadu_epi64(__mmask8 mask, const void* p) {
    return (__m512i)__builtin_ia32_loaddqudi512_mask((const int64*)p, (__v8di){}, mask);
}
FN void _mm512_mask_storeu_epi64(void* p, __mmask8 mask, __m512i a) {
    __builtin_ia32_storedqudi512_mask((int64*)p, (__v8di)a, mask);
}
#endif
#endif
