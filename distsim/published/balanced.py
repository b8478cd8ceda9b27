"""A balanced random network of any size, for benchmarks."""

from __future__ import annotations

from decimal import Decimal, localcontext

from distsim.distributions import Normal, NormalClipped
from distsim.errors import wrong
from distsim.exact import exact_context
from distsim.network import Network
from distsim.rules import FixedIndegree

C_M, TAU_M, TAU_SYN, T_REF = 250.0, 10.0, 0.5, 2.0  # pF, ms, ms, ms
E_L, V_TH = -65.0, -50.0  # mV
WEIGHT, IN_DEGREE = 87.8, 1000  # pA, an EPSP of 0.15 mV, at this in-degree
INHIBITION = 8.0  # inhibitory over excitatory weight
RATE = 7.5  # Hz
MEAN_INPUT = 9.0  # mV above rest, at that rate


def balanced(neurons: int = 10000, in_degree: int = 1000) -> Network:
    """A random network of 80 % excitatory and 20 % inhibitory neurons that fires at about 7.5 Hz whatever its size.

    The balanced state of van Vreeswijk & Sompolinsky (1996), doi:10.1126/science.274.5293.1724: weights go with
    the inverse square root of the in-degree, inhibition is eight times as strong as excitation, and strong
    excitation from outside and strong inhibition from within cancel but for their fluctuations, which drive
    irregular spikes. Neurons are those of the cortical microcircuit (iaf_psc_exp, doi:10.1093/cercor/bhs358);
    weights and delays vary between synapses. The external rate is chosen so that the mean input at 7.5 Hz is
    the same for every in-degree; the number of neurons changes nothing but the size of the problem.

    Parameters
    ----------
    neurons
        In all, at least 5.
    in_degree
        Synapses onto each neuron, at least 50: 80 % from excitatory, the others from inhibitory neurons, drawn
        with replacement. As many again as from excitatory neurons come from outside, as one Poisson train.

    Raises
    ------
    ConfigError
        A number out of its range.
    """
    for key, value, least in (("neurons", neurons, 5), ("in_degree", in_degree, 50)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**40:
            raise wrong(f"network.{key}", value, f"a whole number from {least} on")
    from_inhibitory = in_degree // 5
    from_excitatory = in_degree - from_inhibitory
    weight, external_rate = _weight_and_drive(in_degree, from_excitatory, from_inhibitory)

    network = Network("balanced")
    neuron = {
        "E_L": E_L, "V_th": V_TH, "V_reset": E_L, "C_m": C_M, "tau_m": TAU_M, "t_ref": T_REF,
        "tau_syn_ex": TAU_SYN, "tau_syn_in": TAU_SYN,
    }  # fmt: skip
    start = {"V_m": Normal(-57.0, 5.0)}
    inhibitory = neurons // 5
    e = network.population("E", neurons - inhibitory, "iaf_psc_exp", params=neuron, initial=start)
    i = network.population("I", inhibitory, "iaf_psc_exp", params=neuron, initial=start)
    network.poisson([e, i], external_rate, weight, name="external")
    for source, degree, mean, delay in (
        (e, from_excitatory, weight, 1.5), (i, from_inhibitory, -INHIBITION * weight, 0.8),
    ):  # fmt: skip
        network.project(
            source, [e, i], FixedIndegree(degree), NormalClipped(mean, 0.1 * abs(mean)), NormalClipped(delay, delay / 2)
        )
    return network


def _weight_and_drive(in_degree: int, from_excitatory: int, from_inhibitory: int) -> tuple[float, float]:
    """The excitatory weight (pA), and the rate (Hz) from outside that gives the wanted mean input."""
    with localcontext(exact_context()):
        weight = Decimal(WEIGHT) * (Decimal(IN_DEGREE) / in_degree).sqrt()
        # mV for each spike a second: charge over capacitance, times tau_m
        per_hertz = weight * Decimal(TAU_SYN) / Decimal(C_M) * Decimal(TAU_M) / 1000
        recurrent = Decimal(RATE) * (from_excitatory - Decimal(INHIBITION) * from_inhibitory)
        return float(weight), float(Decimal(MEAN_INPUT) / per_hertz - recurrent)
