// The loop over steps on the host: one call advances to a step, or returns early where Python has to grow
// or empty a buffer. On a GPU the same functions make two kernels a step (step.cpp).
//
// Invariants:
// - a spike emitted in step t over a delay of d steps is in its target's input before the update of t + d;
// - when an interval starts, the spikes of all intervals but the last, of every rank, are on the wheel, and those of
//   the last before the update of its first step (where the exchange overlaps: see engine/exchange.py);
// - nothing is dropped: what lacks room changes nothing and is entered again.

#include "profile.h"

#define TIMED(field) then = now; now = seconds_now(); l.field += now - then

// While messages are under way: the runs of the next step that are known already.
extern "C" void advance_early(Loop* loop) {
    Loop& l = *loop;
    double now = seconds_now(), then;
    if (l.profile) l.profile[0] = now;
    if (l.phase == RECEIVE) {
        l.synaptic_events += add_due_runs(l, n_due(l));
        l.delivered = n_due(l);
        DONE(deliver_early);
    }
    TIMED(seconds_deliver);
}

extern "C" int32 advance(Loop* loop, int64 last_step) {
    Loop& l = *loop;
    double now = seconds_now(), then;
    l.status = RUNNING;
    if (l.profile) l.profile[0] = now;
    if (l.phase == RECEIVE) {
        admit_messages(l);
        DONE(admit_received);
        if (l.status) return l.status;
        if (l.received) receive_messages(l);
        DONE(receive);
        TIMED(seconds_exchange);
    }
    for (;;) {
        const int64 pending = l.pending_step;
        if (pending) {
            Shortage s = shortage(l, pending);
            if (s.status == GROW_DUE) {
                measure_wheel(l, NO_SLOT);
                s = shortage(l, pending);
            }
            if (s.status) {
                stop(l, s);
                return s.status;
            }
            DONE(admit);
            spread_pending<false>(l, pending, 0, 0);
            DONE(spread);
            sample_pending(l, pending);
            DONE(sample_states);
            settle(l, pending);
            DONE(settle);
            l.pending_step = 0;
            TIMED(seconds_spread);
        }
        const int64 step = l.step;
        if (step > last_step) break;
        take_listed(l.ring, step);
        l.synaptic_events += add_due_runs(l, n_due(l)) + take_events(l.ring, step);
        DONE(deliver);
        TIMED(seconds_deliver);
        update_all(loop, step);
        l.due_count[(uint32)step & l.slot_mask] = l.delivered = 0;
        l.draw_poisson = 0;
        l.pending_step = step;
        l.step = step + 1;
        TIMED(seconds_update);
    }
    if (l.n_ranks > 1) {
        close_messages(l);
        DONE(close_interval);
    }
    return RUNNING;
}
