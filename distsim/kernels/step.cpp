// The loop over steps on a GPU: two kernels a step, launched many steps ahead of the host (backend/cuda_loop.py), or
// one cooperative kernel over many steps. Invariants: those of host_loop.cpp. Between two steps nobody waits for the
// last block to finish: each kernel writes only what no other block of it reads.
//
//   deliver_step   the pending spikes of the step before are spread, the runs of this step's slot are added; it may
//                  stop the loop. It alone writes `updating`, the step that step_models has to compute, or 0.
//   step_models    all models; its last block settles what deliver_step did, and makes the step pending. It alone
//                  writes `step` and `pending_step`. Emitted spikes are counted by parity of the step: the counts of
//                  one step are cleared while those of the next are made.
//
// While a status is set, and after step `last`, nothing of this does anything: so launches may run ahead.

FN void deliver_body(Loop& l) {
    const int64 step = l.step, pending = l.pending_step;
    Shortage s = {RUNNING, 0};
    const bool stopped = l.status || step > l.last;
    if (!stopped && pending) s = shortage(l, pending);
    if (ONLY_ONE) {
        if (s.status) stop(l, s);
        l.updating = stopped || s.status ? 0 : step;
        if (pending) l.draw_poisson = 0;  // a step was computed since
    }
    if (stopped || s.status) return;
    const uint32 n = n_due(l);
    uint64 events = add_due_runs(l, n);
    if (pending) {
        events += spread_pending<true>(l, pending, step, n);
        sample_pending(l, pending);
    }
    block_add(&l.synaptic_events, events);
}

// After deliver_body, by one block.
FN void keep_house(Loop& l, int64 step) {
    const int64 pending = l.pending_step;
    const uint32 slot = (uint32)step & l.slot_mask;
    if (pending) settle(l, pending);
    BLOCK_SYNC();
    const bool high = l.due_peak > l.due_capacity / 2;
    BLOCK_SYNC();
    if (high) measure_wheel(l, slot);
    if (FIRST_OF_BLOCK) {
        l.due_count[slot] = l.delivered = 0;
        l.synaptic_events += take_events(l.ring, step);
        l.pending_step = step;
        l.step = step + 1;
    }
}

FN void update_body(Loop& l GROUP_PARAMETERS) {
    const int64 step = l.updating;
    if (step == 0) return;
    if (IN_LAST_BLOCK) keep_house(l, step);
    update_models(l, step GROUP_NAMES);
}

// The last step of a row of steps: nothing is pending between two calls of the host.
FN void close_body(Loop& l) {
    const int64 pending = l.pending_step;
    if (l.status || pending == 0) return;
    const Shortage s = shortage(l, pending);
    if (ONLY_ONE && s.status) stop(l, s);
    if (s.status) return;
    spread_pending<false>(l, pending, 0, 0);
    sample_pending(l, pending);
}

// After close_body, by one block.
FN void settle_body(Loop& l) {
    if (l.status) return;
    const int64 pending = l.pending_step;
    if (pending) settle(l, pending);
    BLOCK_SYNC();
    if (l.n_ranks > 1) close_messages(l);
    if (FIRST_OF_BLOCK && pending) {
        l.pending_step = 0;
        l.draw_poisson = 0;
    }
}

KERNEL deliver_step(Loop* loop) { deliver_body(*loop); }

KERNEL step_models(Loop* loop GROUP_PARAMETERS) { update_body(*loop GROUP_NAMES); }

KERNEL close_steps(Loop* loop) { close_body(*loop); }

KERNEL settle_steps(Loop* loop) { settle_body(*loop); }

// The same, all steps up to `last`; as many blocks as the device holds at once. Every block leaves in the same
// round: `updating` does not change between the two barriers.
KERNEL run_steps(Loop* loop GROUP_PARAMETERS) {
    Loop& l = *loop;
    for (;;) {
        deliver_body(l);
        grid_barrier(l.barrier);
        if (l.updating == 0) break;
        update_body(l GROUP_NAMES);
        grid_barrier(l.barrier);
    }
    close_body(l);
    grid_barrier(l.barrier);
    if (IN_LAST_BLOCK) settle_body(l);
}

KERNEL admit_received(Loop* loop) {
    if (!loop->status) admit_messages(*loop);
}

KERNEL receive(Loop* loop) {
    if (loop->status || loop->received == 0) return;
    receive_messages(*loop);
}

// The runs of the next step that are known while messages are under way.
KERNEL deliver_early(Loop* loop) {
    Loop& l = *loop;
    if (l.status) return;
    const uint64 events = add_due_runs(l, n_due(l));
    block_add(&l.synaptic_events, events);
}

KERNEL note_delivery(Loop* loop) {
    if (ONLY_ONE && !loop->status) loop->delivered = n_due(*loop);
}
