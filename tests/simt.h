// CUDA's threads on a host, for tests: put before a kernel's source, this has g++ compile the branches that NVRTC takes.
//
// Each block runs on a thread of the host, its threads are fibers there, and which of them goes on, where each could, is
// drawn at random: at every barrier, every exchange between lanes and now and then after an atomic. Blocks run beside one
// another, in random order; of a cooperative launch all of them. So lanes are real, warps need not stay together, and
// whoever waits for a lane or a thread that never comes is named instead of waiting forever.
#pragma once
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

namespace simt {

enum { MOST_THREADS = 1024, STACK = 128 * 1024, MOST_ARGUMENTS = 24 };
enum State { READY, AT_BARRIER, AT_LANES, DONE };
typedef unsigned long long Word;
typedef void (*Kernel)(...);

struct Dim { unsigned x; };
struct Warp { Word slot[2][32]; unsigned arrived, generation; };
struct Block;
struct Fiber { jmp_buf here; ucontext_t first; Block* block; unsigned number; State state; bool begun; };

// The fibers of a block and what they share; used again for other blocks.
struct Block {
    Fiber fiber[MOST_THREADS];
    Warp warp[MOST_THREADS / 32];
    unsigned ready[MOST_THREADS], n_ready, n, arrived, done;
    jmp_buf scheduler;
    ucontext_t from;
    Word random;
    char* stacks;
    Block* next;
    void (*run)(Block*);
};

struct Launch {
    const char* name;
    Kernel kernel;
    void** arguments;
    unsigned grid, block, taken, n_arguments;
    unsigned* order;
    Word seed;
};

struct Here { Dim thread, block, block_size, grid; Block* of; const Launch* launch; };
static thread_local Here here;
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static Block* pool = 0;

static Word drawn(Word& state) {
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return state;
}

static __attribute__((noinline)) void fail(const char* what) {
    fprintf(stderr, "kernel %s, block %u: %s\n", here.launch->name, here.block.x, what);
    abort();
}

static __attribute__((noinline)) void call(const Launch& l) {
    void** a = l.arguments;  // more than it takes does no harm
    ((void (*)(void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*,
               void*, void*, void*, void*, void*, void*, void*, void*, void*))l.kernel)(
        a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15], a[16],
        a[17], a[18], a[19], a[20], a[21], a[22], a[23]);
}

static __attribute__((noinline)) void run_thread(Fiber* f) {
    call(*here.launch);
    f->state = DONE;
    f->block->done += 1;
}

static void fiber_main(unsigned high, unsigned low) {
    Fiber* const f = (Fiber*)(((uintptr_t)high << 32) | low);
    for (;;) {
        run_thread(f);
        if (!_setjmp(f->here)) _longjmp(f->block->scheduler, 1);
    }
}

static __attribute__((noinline)) void resume(Block& b, unsigned i) {
    Fiber& f = b.fiber[i];
    here.thread.x = i;
    if (_setjmp(b.scheduler)) return;
    if (f.begun) _longjmp(f.here, 1);
    f.begun = true;
    setcontext(&f.first);
}

// Back to the scheduler, which comes back here when it draws this thread.
static __attribute__((noinline)) void leave(State state) {
    Fiber& f = here.of->fiber[here.thread.x];
    f.state = state;
    if (state == READY) f.block->ready[f.block->n_ready++] = f.number;
    if (!_setjmp(f.here)) _longjmp(f.block->scheduler, 1);
}

static void wake(Block& b, unsigned i) {
    b.fiber[i].state = READY;
    b.ready[b.n_ready++] = i;
}

static void now_and_then() {
    if ((drawn(here.of->random) & 15u) == 0) leave(READY);
}

static __attribute__((noinline)) void barrier() {
    Block& b = *here.of;
    if (b.done) fail("a barrier that some threads have passed by: they are at their end");
    if (++b.arrived < b.n) { leave(AT_BARRIER); return; }
    b.arrived = 0;
    for (unsigned i = 0; i < b.n; ++i) if (b.fiber[i].state == AT_BARRIER) wake(b, i);
    leave(READY);
}

static __attribute__((noinline)) Word among_lanes(unsigned mask, Word x, unsigned from) {
    if (mask != 0xffffffffu) fail("not all lanes are asked for");
    Block& b = *here.of;
    const unsigned me = here.thread.x;
    Warp& w = b.warp[me / 32];
    const unsigned turn = w.generation & 1u;
    w.slot[turn][me % 32] = x;
    if (++w.arrived < 32u) {
        leave(AT_LANES);
    } else {
        w.arrived = 0;
        w.generation += 1;
        for (unsigned i = me / 32 * 32; i < me / 32 * 32 + 32; ++i) if (b.fiber[i].state == AT_LANES) wake(b, i);
        leave(READY);
    }
    return w.slot[turn][from % 32];
}

static Block* take_block() {
    pthread_mutex_lock(&pool_lock);
    Block* b = pool;
    if (b) pool = b->next;
    pthread_mutex_unlock(&pool_lock);
    if (b) return b;
    b = (Block*)calloc(1, sizeof(Block));
    b->stacks = (char*)mmap(0, (size_t)STACK * MOST_THREADS, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (unsigned i = 0; i < MOST_THREADS; ++i) {
        Fiber& f = b->fiber[i];
        f.block = b;
        f.number = i;
        getcontext(&f.first);
        f.first.uc_stack.ss_sp = b->stacks + (size_t)STACK * i;
        f.first.uc_stack.ss_size = STACK;
        makecontext(&f.first, (void (*)())fiber_main, 2, (unsigned)((uintptr_t)&f >> 32), (unsigned)(uintptr_t)&f);
    }
    return b;
}

static __attribute__((noinline)) void run_block(Block& b, const Launch& l, unsigned number) {
    here.block.x = number;
    here.block_size.x = b.n = l.block;
    here.grid.x = l.grid;
    here.of = &b;
    here.launch = &l;
    b.random = (l.seed + 1) * 0x9E3779B97F4A7C15ull ^ (number + 1) * 0xBF58476D1CE4E5B9ull;
    b.arrived = b.done = b.n_ready = 0;
    memset(b.warp, 0, sizeof b.warp);
    for (unsigned i = 0; i < b.n; ++i) wake(b, i);
    while (b.n_ready) {
        const unsigned at = (unsigned)(drawn(b.random) % b.n_ready), next = b.ready[at];
        b.ready[at] = b.ready[--b.n_ready];
        resume(b, next);
    }
    if (b.done < b.n) fail(b.arrived ? "threads wait at a barrier for others that never come"
                                     : "lanes wait for others that never come");
}

static void* run_blocks(void* launch) {
    Launch& l = *(Launch*)launch;
    Block* const b = take_block();
    for (;;) {
        const unsigned k = __atomic_fetch_add(&l.taken, 1u, __ATOMIC_RELAXED);
        if (k >= l.grid) break;
        run_block(*b, l, l.order[k]);
    }
    pthread_mutex_lock(&pool_lock);
    b->next = pool;
    pool = b;
    pthread_mutex_unlock(&pool_lock);
    return 0;
}

}  // namespace simt

extern "C" void simt_launch(const char* name, void* kernel, void** arguments, unsigned grid, unsigned block,
                            int together, unsigned long long seed) {
    using namespace simt;
    void* given[MOST_ARGUMENTS] = {0};
    for (unsigned i = 0; i < MOST_ARGUMENTS && arguments[i]; ++i) given[i] = arguments[i];
    Launch l = {name, (Kernel)kernel, given, grid, block, 0, 0, (unsigned*)malloc(grid * sizeof(unsigned)), seed};
    Word random = (seed + 7) * 0x94D049BB133111EBull;
    for (unsigned i = 0; i < grid; ++i) {
        const unsigned j = (unsigned)(drawn(random) % (i + 1));
        l.order[i] = l.order[j];
        l.order[j] = i;
    }
    const unsigned n = together ? grid : (grid < 3 ? grid : 3);
    pthread_t* const threads = (pthread_t*)malloc(n * sizeof(pthread_t));
    for (unsigned i = 0; i < n; ++i) if (pthread_create(&threads[i], 0, run_blocks, &l)) abort();
    for (unsigned i = 0; i < n; ++i) pthread_join(threads[i], 0);
    free(threads);
    free(l.order);
}

// CUDA's words.
#define __CUDACC__ 12
#define __device__
#define __global__
#define __shared__ static thread_local
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline, unused))
#define threadIdx (simt::here.thread)
#define blockIdx (simt::here.block)
#define blockDim (simt::here.block_size)
#define gridDim (simt::here.grid)
#define SPINNING sched_yield()
#define __syncthreads() simt::barrier()
#define __syncwarp() ((void)simt::among_lanes(0xffffffffu, 0, 0))
#define __threadfence() __atomic_thread_fence(__ATOMIC_SEQ_CST)

template <typename T, typename U>
static inline T atomicAdd(T* p, U x) {
    const T old = __atomic_fetch_add(p, (T)x, __ATOMIC_RELAXED);
    simt::now_and_then();
    return old;
}
template <typename T>
static inline T atomicExch(T* p, T x) { return __atomic_exchange_n(p, x, __ATOMIC_RELAXED); }
template <typename T>
static inline T atomicMax(T* p, T x) {
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (old < x && !__atomic_compare_exchange_n(p, &old, x, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    simt::now_and_then();
    return old;
}
template <typename T>
static inline T __shfl_up_sync(unsigned mask, T x, unsigned d) {
    const unsigned lane = threadIdx.x % 32;
    return (T)simt::among_lanes(mask, (simt::Word)x, lane < d ? lane : lane - d);
}
template <typename T>
static inline T __shfl_sync(unsigned mask, T x, unsigned from) { return (T)simt::among_lanes(mask, (simt::Word)x, from); }

static inline long long __double_as_longlong(double x) { long long b; memcpy(&b, &x, 8); return b; }
static inline double __longlong_as_double(long long b) { double x; memcpy(&x, &b, 8); return x; }
static inline unsigned __float_as_uint(float x) { unsigned b; memcpy(&b, &x, 4); return b; }
static inline float __uint_as_float(unsigned b) { float x; memcpy(&x, &b, 4); return x; }
static inline double __dsqrt_rn(double x) { return __builtin_sqrt(x); }
#define fabsf __builtin_fabsf
#define fabs __builtin_fabs
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline unsigned long long simt_nanoseconds() {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned long long)t.tv_sec * 1000000000ull + (unsigned long long)t.tv_nsec;
}
