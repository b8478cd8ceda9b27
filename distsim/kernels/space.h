// Where neurons are, how far apart, and expressions of it. `Layer`, `Program` and `Space` are declared in space.py.
// A position is a function of the neuron's identity: a rank finds that of any neuron without asking.
#pragma once
#include "functions.h"

#define STACK_DEPTH 16  // MAX_DEPTH of expressions.py

// Values of an expression's names for a group of pairs, in the order of NAMES of expressions.py.
enum { AT_DISTANCE, AT_DX, AT_DY, AT_DZ, AT_SOURCE, AT_TARGET = AT_SOURCE + 3, N_NAMES = AT_TARGET + 3 };
struct Pairs {
    VARYING(double, of[N_NAMES]);
};

#ifndef __CUDACC__
// What programs ask for of the j-th pair, as the pair number `at` of others.
FN void copy_named(const Space& s, const Pairs& from, uint32 j, Pairs& to, uint32 at) {
    for (uint32 names = s.names; names; names &= names - 1) {
        const uint32 k = (uint32)__builtin_ctz(names);
        to.of[k][at] = from.of[k][j];
    }
}
#endif

struct Position {
    double x, y, z;
};

// (0, 1) from 42 bits: three of them in one Philox block.
FN double uniform_42(uint32 high, uint32 low) {
    return ((double)(((uint64)high << 10) | (low & 1023u)) + 0.5) * (1.0 / 4398046511104.0);
}

FN_ONCE Position position_of(const Layer& l, uint64 gid, uint32 seed) {
    Position p = {0.0, 0.0, 0.0};
    const uint64 local = gid - l.first_gid;
    if (l.kind == LAYER_GRID) {
        const uint64 row = local / l.n_x;
        p.x = l.low_x + ((double)(local - row * l.n_x) + 0.5) * l.size_x;
        if (l.dimensions > 1) p.y = l.low_y + ((double)(row % l.n_y) + 0.5) * l.size_y;
        if (l.dimensions > 2) p.z = l.low_z + ((double)(row / l.n_y) + 0.5) * l.size_z;
        return p;
    }
    if (l.kind == LAYER_LISTED) {
        p.x = l.table[local * l.dimensions];
        if (l.dimensions > 1) p.y = l.table[local * l.dimensions + 1];
        if (l.dimensions > 2) p.z = l.table[local * l.dimensions + 2];
        return p;
    }
    const Block block = philox((uint32)gid, (uint32)(gid >> 32), 0, 0, seed, STREAM_POSITION);
    const double u = uniform_42(block.w0, block.w3), v = uniform_42(block.w1, block.w3 >> 10);
    const double w = uniform_42(block.w2, block.w3 >> 20);
    if (l.kind == LAYER_BOX) {
        p.x = l.low_x + u * l.size_x;
        if (l.dimensions > 1) p.y = l.low_y + v * l.size_y;
        if (l.dimensions > 2) p.z = l.low_z + w * l.size_z;
        return p;
    }
    // A ball or shell, stretched: the radius by inverting its distribution, then a direction.
    const double third = v * 2.0 - 1.0;
    double flat = 1.0, radius;
    if (l.dimensions == 2) {
        const double hollow = l.inner * l.inner;
        radius = square_root(hollow + u * (1.0 - hollow));
    } else {
        const double hollow = l.inner * l.inner * l.inner;
        radius = smaller(power(hollow + u * (1.0 - hollow), 1.0 / 3.0), 1.0);
        flat = square_root(1.0 - third * third);
    }
    const double turn = l.dimensions == 2 ? v : w;
    p.x = l.low_x + l.size_x * (radius * flat * sine_of_turns(turn + 0.25));
    p.y = l.low_y + l.size_y * (radius * flat * sine_of_turns(turn));
    if (l.dimensions > 2) p.z = l.low_z + l.size_z * (radius * third);
    return p;
}

// A displacement along one axis: the nearest image where the axis is periodic, in (-period / 2, period / 2].
FN double nearest_image(double d, double period) {
    const double half = 0.5 * period;
    d = d > half ? d - period : d;
    return period > 0.0 && d <= -half ? d + period : d;
}

// Fills in displacements and distances; the positions are there.
FN void measure(const Space& s, uint32 n, Pairs& pairs) {
    FOR_LANES(j, n) {
        const double dx = nearest_image(AT(pairs.of[AT_TARGET], j) - AT(pairs.of[AT_SOURCE], j), s.period_x);
        const double dy = nearest_image(AT(pairs.of[AT_TARGET + 1], j) - AT(pairs.of[AT_SOURCE + 1], j), s.period_y);
        const double dz = nearest_image(AT(pairs.of[AT_TARGET + 2], j) - AT(pairs.of[AT_SOURCE + 2], j), s.period_z);
        AT(pairs.of[AT_DX], j) = dx;
        AT(pairs.of[AT_DY], j) = dy;
        AT(pairs.of[AT_DZ], j) = dz;
        AT(pairs.of[AT_DISTANCE], j) = square_root(dx * dx + dy * dy + dz * dz);
    }
}

// A number on the stack: on the host a pointer, so that a name is not copied.
#ifdef __CUDACC__
#define OPERAND(a, k) const double a##_ = stack[k]
#define OPERAND_AT(a, j) a##_
#define KEEP(k)
#else
#define OPERAND(a, k) const double* const a##_ = at[k]
#define OPERAND_AT(a, j) a##_[j]
#define KEEP(k) at[k] = stack[k]
#endif
#define UNARY_STEP(name, value)                                                                   \
    case name: {                                                                                  \
        OPERAND(a, top - 1);                                                                      \
        FOR_LANES(j, n) { const double a = OPERAND_AT(a, j); AT(stack[top - 1], j) = (value); }   \
        KEEP(top - 1);                                                                            \
    } break
#define BINARY_STEP(name, value)                                                                  \
    case name: {                                                                                  \
        --top;                                                                                    \
        OPERAND(a, top - 1);                                                                      \
        OPERAND(b, top);                                                                          \
        FOR_LANES(j, n) {                                                                         \
            const double a = OPERAND_AT(a, j), b = OPERAND_AT(b, j);                              \
            AT(stack[top - 1], j) = (value);                                                      \
        }                                                                                         \
        KEEP(top - 1);                                                                            \
    } break

// The power of a whole number: of a number below zero that of its magnitude, with its sign where b is odd. The bits of
// numbers of at least zero are those of OP_POW.
FN double whole_power(double a, double b) {
    const double size = magnitude(a);
    const double found = size < 1e-300 ? 0.0 : power(size < 1e-300 ? 1.0 : size, b);
    return a < 0.0 && ((int32)b & 1) ? -found : found;
}

// Runs a program for the first n lanes, one step for all of them at a time.
FN_ONCE void evaluate_program(const Program& program, uint32 n, const Pairs& pairs, VARYING_REFERENCE(double, result)) {
    VARYING(double, stack[STACK_DEPTH]);
#ifndef __CUDACC__
    const double* at[STACK_DEPTH];
#endif
    uint32 top = 0;
    for (uint64 i = 0; i < program.n; ++i) {
        const double value = program.value[i];
        switch (program.operation[i]) {
            case OP_CONSTANT: FOR_LANES(j, n) { AT(stack[top], j) = value; } KEEP(top); ++top; break;
            case OP_NAME:
#ifdef __CUDACC__
                stack[top++] = pairs.of[(uint32)value];
#else
                at[top++] = pairs.of[(uint32)value];
#endif
                break;
            BINARY_STEP(OP_ADD, a + b);
            BINARY_STEP(OP_SUBTRACT, a - b);
            BINARY_STEP(OP_MULTIPLY, a * b);
            BINARY_STEP(OP_DIVIDE, a / b);
            BINARY_STEP(OP_LESS, a < b ? 1.0 : 0.0);
            BINARY_STEP(OP_LESS_EQUAL, a <= b ? 1.0 : 0.0);
            BINARY_STEP(OP_GREATER, a > b ? 1.0 : 0.0);
            BINARY_STEP(OP_GREATER_EQUAL, a >= b ? 1.0 : 0.0);
            BINARY_STEP(OP_EQUAL, a == b ? 1.0 : 0.0);
            BINARY_STEP(OP_UNEQUAL, a != b ? 1.0 : 0.0);
            BINARY_STEP(OP_MIN, a < b ? a : b);
            BINARY_STEP(OP_MAX, a > b ? a : b);
            BINARY_STEP(OP_POW, a < 1e-300 ? 0.0 : power(a < 1e-300 ? 1.0 : a, b));  // zero stays zero
            BINARY_STEP(OP_WHOLE_POW, whole_power(a, b));
            UNARY_STEP(OP_SQUARE, a * a);
            UNARY_STEP(OP_NEGATE, -a);
            UNARY_STEP(OP_EXP, bounded_exp(a));
            UNARY_STEP(OP_LOG, natural_log(a < 1e-300 ? 1e-300 : a));
            UNARY_STEP(OP_SQRT, square_root(a < 0.0 ? 0.0 : a));
            UNARY_STEP(OP_SIN, sine_of_turns(a * 0.15915494309189533577));
            UNARY_STEP(OP_COS, sine_of_turns(a * 0.15915494309189533577 + 0.25));
            UNARY_STEP(OP_ABS, magnitude(a));
        }
    }
    OPERAND(a, 0);
    FOR_LANES(j, n) { AT(result, j) = OPERAND_AT(a, j); }
}
