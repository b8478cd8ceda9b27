"""Every random stream of distsim, and nothing else.

A stream is the second word of the Philox key; the first is the seed. Within a stream the counter is
made of identities (a target's global id, a projection's position, a time step), never of a rank, a
local index or an order of execution. Numbers are never reused: a retired stream keeps its number.
"""

from __future__ import annotations

from enum import IntEnum


class Stream(IntEnum):
    """Second key word of each use of random numbers; the counter it goes with stands beside it."""

    CONNECTION = 1  # (draw low, draw high, target gid low, target gid high | projection)
    SPLIT = 2  # (tree node, attempt, projection, 0): shares of fixed_total_number
    PARAMETER = 3  # (gid low, gid high, parameter index, 0)
    INITIAL = 4  # (gid low, gid high, state index, 0)
    POISSON = 5  # (gid low, gid high | input, step / 8 low, step / 8 high)
    SPIKE_DIGEST = 6  # (step low, step high, gid low, gid high), under seed 0
    POISSON_REST = 7  # (gid low, gid high | input, step low, step high)
    MODEL = 8  # (gid low, gid high | number, step low, step high): draws in a model's update
    POPULATION = 9  # (population, number, step low, step high): draws that a population shares
    BY_SOURCE = 20  # (draw low, draw high, source gid low, source gid high | projection): `generate: by_source`
    SHARE = 21  # (first draw, gid low, gid high | projection, attempt or block | level): draws split over the others
    SELECTION = 22  # (draw, selection's number, first gid of the population low, high): random fractions
    BACK = 23  # (draw, draw high, gid low, gid high | projection): delay and weight of a symmetric pair's way back
    PAIR = 24  # (source gid low, high | draw, target gid low, high | projection): pairs that depend on distance
    POSITION = 25  # (gid low, gid high, 0, 0): where a neuron stands
    NOISE = 30  # (gid low, gid high | input, amplitude low, amplitude high); gid 0 where targets share it
    INPUT = 31  # (gid low, gid high, input, 0): settings of inputs that differ between targets
    RATE = 32  # (gid low, gid high | input, step low, attempt | step high << 24): trains of varying rate
    COUNT = 33  # (gid low, gid high | number, step low, attempt | step high << 24): poisson_draw in a model's update
    THINNING = 34  # (gid low, gid high | number << 8 | step high << 24, step low, attempt): binomial_draw
    SHARED_COUNT = 35  # (population, number, step low, attempt | step high << 24): shared_poisson_draw
    TIMES = 36  # (gid low, gid high, number, 0): times drawn when the network is built
