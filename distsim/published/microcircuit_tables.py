"""The numbers of the cortical microcircuit: what was published, and what follows from it at a given scale.

Logarithms and powers come from `decimal` and the rest is IEEE arithmetic, so that the numbers of synapses and
the weights are the same on every machine. Rows of matrices are targets, columns are sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext

from distsim.exact import exact_context

POPULATIONS = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
FULL_SIZES = (20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948)
CONNECTION_PROBABILITIES = (
    (0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0),
    (0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0),
    (0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0),
    (0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0),
    (0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0),
    (0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0),
    (0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252),
    (0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443),
)
EXTERNAL_IN_DEGREES = (1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100)
BACKGROUND_RATE = 8.0  # Hz, of each external source
FULL_RATES = (0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829)  # Hz, at full scale
TENTH_RATES = (0.48388781, 2.12432247, 3.99633212, 5.02354015, 6.66602062, 7.81509434, 0.84711111, 7.02189831)

C_M, TAU_M, TAU_SYN, T_REF = 250.0, 10.0, 0.5, 2.0  # pF, ms, ms, ms
E_L, V_TH, V_RESET = -65.0, -50.0, -65.0  # mV
PSP = "0.15"  # mV, the peak of an excitatory postsynaptic potential
INHIBITION = -4.0  # inhibitory over excitatory weight
L4E_TO_L23E = 2.0  # this one projection is doubled
WEIGHT_RELATIVE_STD = 0.1
DELAY_MEANS = (1.5, 0.75)  # ms, from excitatory and from inhibitory neurons
DELAY_RELATIVE_STD = 0.5
INITIAL_OPTIMIZED = (
    (-68.28, 5.36), (-63.16, 4.57), (-63.33, 4.74), (-63.45, 4.94),
    (-63.11, 4.94), (-61.66, 4.55), (-66.72, 5.46), (-61.43, 4.48),
)  # fmt: skip
INITIAL_ORIGINAL = ((-58.0, 10.0),) * 8  # mean and standard deviation of V_m, mV


@dataclass(frozen=True)
class Derived:
    """What follows from the tables at one scale; order of populations as in POPULATIONS."""

    sizes: tuple[int, ...]
    synapses: tuple[tuple[int, ...], ...]  # numbers, [target][source]
    weights: tuple[tuple[float, ...], ...]  # mean weights in pA, [target][source]
    external_weight: float  # pA
    external_in_degrees: tuple[int, ...]
    currents: tuple[float, ...]  # constant current in pA


def derive(scale: float, in_degree_scale: float, poisson: bool) -> Derived:
    """Sizes, synapse numbers, weights and currents at `scale` (of numbers of neurons and, times in-degrees, synapses).

    Down-scaled in-degrees are compensated: weights grow by 1/sqrt(in_degree_scale), and a constant current
    restores the mean input of the full network at its published rates (van Albada et al. 2015,
    doi:10.1371/journal.pcbi.1004490). Without `poisson` the current carries the mean background too.
    """
    with localcontext(exact_context()):
        full = [[_full_synapses(t, s) for s in range(8)] for t in range(8)]
        current_of_psp = _current_of_psp()
        full_weights = [[current_of_psp * Decimal(_relative_weight(t, s)) for s in range(8)] for t in range(8)]
        root = Decimal(in_degree_scale).sqrt()
        currents = []
        for t in range(8):
            recurrent = sum(
                (Decimal(FULL_RATES[s]) * full[t][s] / FULL_SIZES[t] * full_weights[t][s] for s in range(8)), Decimal(0)
            )
            external = Decimal(BACKGROUND_RATE) * EXTERNAL_IN_DEGREES[t] * current_of_psp
            kept = (1 - root) * external if poisson else external
            # pA times Hz times ms: a thousandth of a pA
            currents.append(float(Decimal(TAU_SYN) / 1000 * ((1 - root) * recurrent + kept)))
        weights = tuple(tuple(float(w / root) for w in row) for row in full_weights)
        external_weight = float(current_of_psp / root)
    return Derived(
        # Products in double precision and halves to even, as NumPy rounds in the reference implementation.
        sizes=tuple(round(n * scale) for n in FULL_SIZES),
        synapses=tuple(tuple(round(float(n) * scale * in_degree_scale) for n in row) for row in full),
        weights=weights,
        external_weight=external_weight,
        external_in_degrees=tuple(round(k * in_degree_scale) for k in EXTERNAL_IN_DEGREES),
        currents=tuple(currents),
    )


def _full_synapses(target: int, source: int) -> Decimal:
    """The number of synapses, drawn with replacement, that connects a pair with the published probability.

    The arguments of both logarithms are rounded to doubles first, as in the reference implementation: the second
    one lies so near to 1 that this moves the result by up to 1e-7, some synapses in a million.
    """
    pairs = float(FULL_SIZES[target] * FULL_SIZES[source])
    unconnected = Decimal(1.0 - CONNECTION_PROBABILITIES[target][source])
    return unconnected.ln() / Decimal((pairs - 1.0) / pairs).ln()


def _relative_weight(target: int, source: int) -> float:
    if source % 2:
        return INHIBITION
    return L4E_TO_L23E if (POPULATIONS[target], POPULATIONS[source]) == ("L23E", "L4E") else 1.0


def _current_of_psp() -> Decimal:
    """The weight in pA whose postsynaptic potential peaks at PSP mV.

    With an exponential current the potential is a difference of two exponentials, with its peak at
    t = ln(tau_m / tau_syn) tau_m tau_syn / (tau_m - tau_syn).
    """
    tau_m, tau_syn = Decimal(TAU_M), Decimal(TAU_SYN)
    peak = (tau_m / tau_syn).ln() * tau_m * tau_syn / (tau_m - tau_syn)
    height = tau_m * tau_syn / (Decimal(C_M) * (tau_m - tau_syn)) * ((-peak / tau_m).exp() - (-peak / tau_syn).exp())
    return Decimal(PSP) / height
