// How synapses, runs and rows are stored. A synapse is its target within the block (16 bits) and its
// weight in quanta (16 bits; 48 in double precision). A run is the synapses of one source that share
// delay, plane and block; a row is all runs of one source on this rank, by delay, then column.
#pragma once
#include "words.h"

#if DISTSIM_DOUBLE
typedef double real;
typedef int64 Sum;      // of a step's input to one neuron, in quanta
typedef int64 Synapse;
#else
typedef float real;
typedef int32 Sum;
typedef int32 Synapse;
#endif

FN Synapse pack_synapse(int64 quanta, uint32 target) { return (Synapse)(((uint64)quanta << 16) | target); }
FN Sum weight_in(Synapse s) { return (Sum)(s >> 16); }
FN uint32 target_in(Synapse s) { return (uint32)(s & 0xFFFF); }

struct Run {
    uint32 offset;  // of its first synapse in the row
    uint32 count;
    uint16 delay;   // steps
    uint16 column;  // plane and block: an index into the table of input addresses
};

struct Row {
    const Synapse* synapses;
    const Run* runs;
    uint32 n_runs;
    uint32 set;  // 0, or 1 + which procedural projections draw more synapses for it: see regrow.cpp
};

// A run that is due: what delivery needs, in order of arrival.
struct Due {
    const Synapse* synapses;
    uint32 count;
    uint32 base;    // of plane and block in the input array
};

// Something that has to be added to a slot of the input: see lists.h.
struct Listed {
    uint32 at;
    Sum sum;
};

struct Emitted {
    uint64 gid;
    uint32 neuron;      // local index
    uint32 population;
    uint32 multiplicity;
    uint32 row;         // of its local synapses, or NO_ROW
    uint32 sent;        // see sent.h
    uint32 unused;
};
