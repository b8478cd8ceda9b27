// The loop over steps on the host: one call advances to a step, or returns early where Python has to grow
// or empty a buffer. On a GPU the same kernels are launched in the same order (backend/cuda_loop.py).
//
// Invariants:
// - a spike emitted in step t over a delay of d steps is in its target's input before the update of t + d;
// - at the start of an interval the spikes of all earlier intervals, of every rank, are on the wheel;
// - nothing is dropped: a phase that lacks room changes nothing and is entered again.

#include "profile.h"

extern "C" int32 advance(Loop* loop, int64 last_step) {
    Loop& l = *loop;
    double now = seconds_now(), then;
#define TIMED(field) then = now; now = seconds_now(); l.field += now - then
    l.status = RUNNING;
    if (l.profile) l.profile[0] = now;
    if (l.phase == RECEIVE) {
        if (l.n_ranks > 1) {
            admit_received(loop);
            DONE(admit_received);
            if (l.status) return l.status;
            receive(loop);
            DONE(receive);
        }
        open_interval(loop);
        DONE(open_interval);
        TIMED(seconds_exchange);
    }
    while (l.step <= last_step || l.phase != DELIVER) {
        if (l.phase == DELIVER) {
            deliver(loop);
            DONE(deliver);
            TIMED(seconds_deliver);
            update_all(loop);
            TIMED(seconds_update);
        }
        if (l.n_recorders && l.phase != ADMIT) {
            admit_states(loop);
            DONE(admit_states);
            if (l.status) return l.status;
            sample_states(loop);
            DONE(sample_states);
            count_samples(loop);
            DONE(count_samples);
        }
        admit(loop);
        DONE(admit);
        if (l.status) return l.status;
        spread(loop);
        DONE(spread);
        close_step(loop);
        DONE(close_step);
        next_step(loop);
        DONE(next_step);
        TIMED(seconds_spread);
    }
    if (l.n_ranks > 1) {
        close_interval(loop);
        DONE(close_interval);
    }
    return RUNNING;
}
