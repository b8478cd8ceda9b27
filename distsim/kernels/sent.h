// Spikes that carry a number from 0 to 1. It multiplies weights onto ports that are `scaled` (iaf_tum_2000), or, where it
// goes to its whole row, all weights but those onto ports that count (spike_weights of a generator). The number is a
// multiple of 2^-30; it stands in a word with the bit SENT: so it is the same everywhere, a word of a message that holds
// one differs from a row, and 0 stands for spikes that carry none. The products are rounded to quanta, the nearest one,
// and summed as integers like all other input.
//
// In a message the number follows its row. On the wheel it follows its run, as an entry without synapses; the run is
// marked by the lowest bit of the address of its synapses.
#pragma once
#include "synapse.h"

#define SENT 0x80000000u
#define TO_ROW 0x40000000u
#define NUMBER 0x3FFFFFFFu

// Which numbers multiply the weights of a column; as in loop.py.
#define BY_PORT 1u
#define BY_ROW 2u

// `to`: TO_ROW, or 0 for a number that goes to scaled ports alone.
FN uint32 packed(double number, uint32 to) {
    const double steps = number * 1073741824.0 + 0.5;
    const double bounded = steps < 0.0 ? 0.0 : steps;
    return SENT | to | (uint32)(bounded < (double)NUMBER ? bounded : (double)NUMBER);
}

// The largest number stands for 1: so 1 is exact, as every smaller power of two.
FN double unpacked(uint32 sent) {
    const uint32 steps = sent & NUMBER;
    return (double)(steps + (steps == NUMBER ? 1u : 0u)) * (1.0 / 1073741824.0);
}

FN bool multiplies(uint32 sent, uint32 column) {
    return sent != 0u && (column & (sent & TO_ROW ? BY_ROW : BY_PORT)) != 0u;
}

FN Sum scaled(Sum weight, uint32 sent) {
    const double product = (double)weight * unpacked(sent);
    return product < 0.0 ? -(Sum)(0.5 - product) : (Sum)(product + 0.5);
}

// Puts a run with a number on the wheel: `entry` and the one after it.
FN void put_scaled(Due* entry, const Synapse* synapses, uint32 count, uint32 base, uint32 sent) {
    entry[0].synapses = (const Synapse*)((const char*)synapses + 1);
    entry[0].count = count;
    entry[0].base = base;
    entry[1].synapses = nullptr;
    entry[1].count = 0;
    entry[1].base = sent;
}

FN bool is_scaled(const Due& due) { return ((uint64)due.synapses & 1u) != 0; }
FN const Synapse* synapses_of(const Due& scaled_run) {
    return (const Synapse*)((const char*)scaled_run.synapses - 1);
}

// The group adds a run, each weight times the number.
FN void add_scaled(Sum* input, const Synapse* synapses, uint32 count, uint32 sent) {
    LANES_OVER(k, count) {
        const Synapse s = synapses[k];
        add_to(&input[target_in(s)], scaled(weight_in(s), sent));
    }
}
