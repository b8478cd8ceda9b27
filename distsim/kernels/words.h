// The words in which kernels are written: one source for CUDA C++ (NVRTC) and C++17 (the host).
//
// A *group* of lanes works on one item. On a GPU a group is a warp and its lanes are threads; on the host
// a group is the rank itself and its lanes are the iterations of an inner loop that the compiler
// vectorises. A VARYING has one value a lane: a register on a GPU, an array on the host.
#pragma once

typedef unsigned char uint8;
typedef unsigned short uint16;
typedef short int16;
typedef unsigned int uint32;
typedef int int32;
typedef unsigned long long uint64;
typedef long long int64;

#ifdef __CUDACC__

#define STEP_KERNELS  // the loop is step.cpp, not host_loop.cpp
#define FN static __device__ __forceinline__
#define FN_MEMBER __device__ __forceinline__
#define FN_ONCE static __device__ __noinline__  // long and called from many places: one copy
#define FN_MEMBER_ONCE __device__ __noinline__
#define NOT_UNROLLED _Pragma("unroll 1")
#define ALIGNED
#define KERNEL extern "C" __global__ void
#define CONSTANT static __device__ const
#define LANES 32u
#define VARYING(T, x) T x
#define VARYING_ARGUMENT(T, x) T x
#define VARYING_REFERENCE(T, x) T& x
#define AT(x, j) x
#define RESTRICT __restrict__
// One thread an item.
#define ITEM_FOR(i, n)                                                                 \
    for (int64 i = blockIdx.x * (int64)blockDim.x + threadIdx.x; i < (int64)(n);       \
         i += gridDim.x * (int64)blockDim.x)
// One group an item; every lane runs the body.
#define GROUP_FOR(i, n)                                                                \
    for (int64 i = (blockIdx.x * (int64)blockDim.x + threadIdx.x) >> 5; i < (int64)(n); \
         i += (gridDim.x * (int64)blockDim.x) >> 5)
// Lanes j < n <= LANES; independent of one another (FOR_LANES) or not (EACH_LANE).
#define WHOLE(n) (n)  // lanes that may be computed where the first n are asked for
#define FOR_LANES(j, n) for (uint32 j = threadIdx.x & 31u, j##_n = (n); j < j##_n; j = j##_n)
#define EACH_LANE(j, n) FOR_LANES(j, n)
// Those of the lanes whose x is not zero: few of many.
#define EACH_NONZERO(j, n, x) FOR_LANES(j, n) if (x)
// All k < n, shared out over the lanes of the group.
#define LANES_OVER(k, n) for (uint32 k = threadIdx.x & 31u; k < (n); k += 32u)
#define LEADER ((threadIdx.x & 31u) == 0u)
// A function of some length that several kernels share.
#define PART FN void
// As GROUP_FOR, after `before` groups got their items from loops before it: where there are more groups than
// items in all, each group gets at most one.
#define GROUP_FOR_AFTER(i, before, n)                                                  \
    for (int64 i = group_after(before); i < (int64)(n); i += (gridDim.x * (int64)blockDim.x) >> 5)
// Work of one block: all of its threads come here.
#define BLOCK_FOR(i, n) for (uint64 i = threadIdx.x; i < (uint64)(n); i += blockDim.x)
#define BLOCK_SYNC() __syncthreads()
#define FIRST_OF_BLOCK (threadIdx.x == 0)
#define IN_LAST_BLOCK (blockIdx.x == gridDim.x - 1)
// So many loads of a lane are under way before the first is used.
#define AHEAD 4u
#define WIDTH 32u
#define LANE (threadIdx.x & 31u)
#define UNROLL _Pragma("unroll")
#define ONLY_ONE (blockIdx.x == 0 && threadIdx.x == 0)
#define PREFETCH(p)
#define PREFETCH_TO_WRITE(p)
#define UNLIKELY(x) (x)

FN uint32 atomic_add(uint32* p, uint32 x) { return atomicAdd(p, x); }
FN int32 atomic_add(int32* p, int32 x) { return atomicAdd(p, x); }
FN uint64 atomic_add(uint64* p, uint64 x) { return atomicAdd(p, x); }
FN int64 atomic_add(int64* p, int64 x) { return (int64)atomicAdd((uint64*)p, (uint64)x); }
FN uint32 atomic_max(uint32* p, uint32 x) { return atomicMax(p, x); }
// An atomic addition to global memory whose old value nobody asks for: the lane does not wait.
FN void add_to(int32* p, int32 x) {
    asm volatile("red.relaxed.gpu.global.add.s32 [%0], %1;" ::"l"(__cvta_generic_to_global(p)), "r"(x) : "memory");
}
FN void add_to(int64* p, int64 x) {
    asm volatile("red.relaxed.gpu.global.add.u64 [%0], %1;" ::"l"(__cvta_generic_to_global(p)), "l"(x) : "memory");
}
FN int64 group_after(uint64 before) {
    const uint32 groups = (gridDim.x * blockDim.x) >> 5, me = (blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    const uint32 skipped = (uint32)before % groups;
    return me >= skipped ? me - skipped : me + groups - skipped;
}
// The largest x, and the sum of all x, of a block's threads, for each of them.
FN uint32 block_max(uint32 x) {
    __shared__ uint32 most;
    if (threadIdx.x == 0) most = 0;
    __syncthreads();
    if (x) atomicMax(&most, x);
    __syncthreads();
    const uint32 found = most;
    __syncthreads();  // before the next use
    return found;
}
FN uint64 block_sum(uint64 x) {
    __shared__ uint64 sum;
    if (threadIdx.x == 0) sum = 0;
    __syncthreads();
    if (x) atomicAdd(&sum, x);
    __syncthreads();
    const uint64 found = sum;
    __syncthreads();
    return found;
}
// Adds every thread's x to *p with one atomic a block: one address takes one addition a clock.
FN void block_add(uint64* p, uint64 x) {
    const uint64 sum = block_sum(x);
    if (threadIdx.x == 0 && sum) atomicAdd(p, sum);
}
#ifndef SPINNING  // tests/simt.h has something to do meanwhile
#define SPINNING
#endif
// All blocks of a cooperative launch wait for one another; what they wrote is seen by all after it.
// `barrier` is uint32[64]: arrivals and, in a cache line of its own, the number of the round.
FN void grid_barrier(uint32* barrier) {
    __syncthreads();
    if (gridDim.x > 1) {
        if (threadIdx.x == 0) {
            volatile uint32* round = barrier + 32;
            const uint32 mine = *round;  // cannot go on before this block has arrived
            __threadfence();
            if (atomicAdd(barrier, 1u) == gridDim.x - 1) {
                atomicExch(barrier, 0u);
                __threadfence();
                atomicAdd(barrier + 32, 1u);
            } else {
                while (*round == mine) { SPINNING; }
            }
            __threadfence();
        }
        __syncthreads();
    }
}
FN uint64 bits_of(double x) { return (uint64)__double_as_longlong(x); }
FN double double_of(uint64 x) { return __longlong_as_double((int64)x); }
FN uint32 bits_of(float x) { return __float_as_uint(x); }
FN float float_of(uint32 x) { return __uint_as_float(x); }
FN double square_root(double x) { return __dsqrt_rn(x); }
FN float magnitude(float x) { return fabsf(x); }
FN double magnitude(double x) { return fabs(x); }
FN uint64 multiply_high(uint64 a, uint64 b) { return __umul64hi(a, b); }
FN uint32 ones_of(uint64 x) { return (uint32)__popcll(x); }

// Inclusive sum over the lanes of a group.
FN uint64 group_sum_to(uint64 x) {
    for (uint32 d = 1; d < 32u; d <<= 1) {
        uint64 y = __shfl_up_sync(0xffffffffu, x, d);
        if ((threadIdx.x & 31u) >= d) x += y;
    }
    return x;
}
#define SUM_TO(x, n) (x) = group_sum_to((x))
#define LAST_OF(x, n) __shfl_sync(0xffffffffu, (x), (n) - 1u)
#define SYNC_LANES() __syncwarp()

#else

#define FN static inline __attribute__((always_inline))
#define FN_MEMBER inline __attribute__((always_inline))
#define FN_ONCE static __attribute__((noinline, unused))
#define FN_MEMBER_ONCE __attribute__((noinline))
#define NOT_UNROLLED
#define ALIGNED alignas(64)
#define KERNEL extern "C" void
#define CONSTANT static const
#define LANES 256u
#define VARYING(T, x) T x[LANES] __attribute__((aligned(64)))
#define VARYING_ARGUMENT(T, x) T* __restrict__ x
#define VARYING_REFERENCE(T, x) T* __restrict__ x
#define AT(x, j) x[j]
#define RESTRICT __restrict__
#define ITEM_FOR(i, n) for (int64 i = 0, i##_n = (int64)(n); i < i##_n; ++i)
#define GROUP_FOR(i, n) for (int64 i = 0, i##_n = (int64)(n); i < i##_n; ++i)
#define FOR_LANES(j, n) _Pragma("GCC ivdep") for (uint32 j = 0, j##_n = (n); j < j##_n; ++j)
#define WHOLE(n) (((n) + 15u) & ~15u)  // whole vectors: VARYING arrays have room for them
#define EACH_LANE(j, n) for (uint32 j = 0, j##_n = (n); j < j##_n; ++j)
#define EACH_NONZERO(j, n, x)                                                          \
    for (uint32 j##_16 = 0; j##_16 < (n); j##_16 += 16)                                \
        if (any_of_16((x) + j##_16))                                                   \
            for (uint32 j = j##_16; j < (n) && j < j##_16 + 16; ++j) if ((x)[j])
#define LANES_OVER(k, n) for (uint32 k = 0; k < (n); ++k)
#define LEADER true
#define PART static __attribute__((noinline)) void
#define GROUP_FOR_AFTER(i, before, n) GROUP_FOR(i, n)
#define BLOCK_FOR(i, n) for (uint64 i = 0, i##_n = (uint64)(n); i < i##_n; ++i)
#define BLOCK_SYNC()
#define FIRST_OF_BLOCK true
#define IN_LAST_BLOCK true
#define AHEAD 1u
#define WIDTH 1u
#define LANE 0u
#define UNROLL
#define ONLY_ONE true
#define PREFETCH(p) __builtin_prefetch((const void*)(p), 0, 3)
#define PREFETCH_TO_WRITE(p) __builtin_prefetch((const void*)(p), 1, 3)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

FN bool any_of_16(const uint32* x) {
    uint32 any = 0;
    for (uint32 j = 0; j < 16; ++j) any |= x[j];
    return any != 0;
}
FN uint32 atomic_add(uint32* p, uint32 x) { uint32 old = *p; *p = old + x; return old; }
FN int32 atomic_add(int32* p, int32 x) { int32 old = *p; *p = old + x; return old; }
FN uint64 atomic_add(uint64* p, uint64 x) { uint64 old = *p; *p = old + x; return old; }
FN int64 atomic_add(int64* p, int64 x) { int64 old = *p; *p = old + x; return old; }
template <typename T>
FN void add_to(T* p, T x) { *p += x; }
FN uint32 atomic_max(uint32* p, uint32 x) { uint32 old = *p; *p = old > x ? old : x; return old; }
FN uint32 block_max(uint32 x) { return x; }
FN uint64 block_sum(uint64 x) { return x; }
FN void block_add(uint64* p, uint64 x) { *p += x; }
FN void grid_barrier(uint32*) {}
FN uint64 bits_of(double x) { uint64 b; __builtin_memcpy(&b, &x, 8); return b; }
FN double double_of(uint64 b) { double x; __builtin_memcpy(&x, &b, 8); return x; }
FN uint32 bits_of(float x) { uint32 b; __builtin_memcpy(&b, &x, 4); return b; }
FN float float_of(uint32 b) { float x; __builtin_memcpy(&x, &b, 4); return x; }
FN double square_root(double x) { return __builtin_sqrt(x); }
FN float magnitude(float x) { return __builtin_fabsf(x); }
FN double magnitude(double x) { return __builtin_fabs(x); }
FN uint64 multiply_high(uint64 a, uint64 b) { return (uint64)(((unsigned __int128)a * b) >> 64); }
FN uint32 ones_of(uint64 x) { return (uint32)__builtin_popcountll(x); }

#define SUM_TO(x, n) for (uint32 j_ = 1; j_ < (n); ++j_) (x)[j_] += (x)[j_ - 1]
#define LAST_OF(x, n) (x)[(n) - 1u]
#define SYNC_LANES()

#endif
