"""The sparse random network of Brunel (2000), doi:10.1023/A:1008925309027, in its four regimes."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Literal, get_args

from distsim.distributions import Uniform
from distsim.errors import wrong
from distsim.exact import exact_context
from distsim.network import Network
from distsim.published.arguments import check_positive, check_size
from distsim.rules import FixedIndegree

Regime = Literal["SR", "SI_fast", "AI", "SI_slow"]
# (g, eta) of figure 8, A to D
REGIMES: dict[Regime, tuple[float, float]] = {
    "SR": (3.0, 2.0), "SI_fast": (6.0, 4.0), "AI": (5.0, 2.0), "SI_slow": (4.5, 0.9),
}  # fmt: skip
EXCITATORY, INHIBITORY = 10000, 2500  # neurons
EXCITATORY_IN_DEGREE, INHIBITORY_IN_DEGREE = 1000, 250
TAU_M, T_REF, THRESHOLD, RESET = 20.0, 2.0, 20.0, 10.0  # ms, ms, mV, mV; rest is 0 mV
PSP = 0.1  # mV
C_M = 250.0  # pF; V_m does not depend on it, since weights are proportional to it


def brunel(
    regime: Regime = "AI", scale: float = 1.0, g: float | None = None, eta: float | None = None, delay: float = 1.5,
    dt: float = 0.1,
) -> Network:  # fmt: skip
    """10,000 excitatory and 2,500 inhibitory neurons with instantaneous synapses, in-degrees 1000 and 250.

    Model A of the paper, with the parameters of its figure 8. Regimes: SR (synchronous regular: nearly full
    synchrony, regular and fast), SI_fast (fast oscillation of the population, neurons irregular and slower),
    AI (stationary and irregular), SI_slow (slow oscillation, rates of a few Hz).

    Instantaneous synapses on a grid of dt are written with iaf_psc_exp: its currents decay with tau = dt / 50,
    so that each is over (to 2e-22) after one step, and its weight is the current that moves V_m by exactly
    the postsynaptic potential in that step. Delays are shorter by dt, since a current moves V_m one step
    after it arrives. V_m then has NEST's iaf_psc_delta values at every grid point, input that arrives in the
    refractory time is lost as there, and only the rounding of weights (16 bits in single precision) differs.
    What differs from the paper: time is discrete, sources are drawn with replacement, the external input of a
    neuron is one Poisson train of the summed rate (1000 independent ones in the paper: the same process), and
    V_m starts uniformly distributed between rest and threshold.

    Parameters
    ----------
    regime
        Sets g and eta as in figure 8.
    scale
        Number of neurons relative to the paper's. In-degrees stay, so the network is less sparse below 1 and
        shared input correlates neurons more.
    g, eta
        Inhibition relative to excitation, and external rate relative to that which reaches the threshold by
        itself; None: the regime's.
    delay
        ms, from a spike to its effect.
    dt
        Time step of the run in ms; give it here too where `run.dt` is not 0.1.

    Raises
    ------
    ConfigError
        An unknown regime, or a number out of its range.
    """
    if regime not in get_args(Regime):
        raise wrong("network.regime", regime, ", ".join(get_args(Regime)))
    check_positive(scale=scale, delay=delay, dt=dt)
    g, eta = (REGIMES[regime][k] if value is None else value for k, value in enumerate((g, eta)))
    check_positive(g=g, eta=eta)
    if delay < 1.999 * dt:
        raise wrong("network.delay", delay, f"at least two steps of dt = {dt} ms")
    excitatory, inhibitory = check_size(scale, EXCITATORY, INHIBITORY)

    tau_syn, weight = instantaneous(PSP, dt)
    network = Network("brunel")
    neuron = {
        "E_L": 0.0, "V_th": THRESHOLD, "V_reset": RESET, "C_m": C_M, "tau_m": TAU_M, "t_ref": T_REF,
        "tau_syn_ex": tau_syn, "tau_syn_in": tau_syn,
    }  # fmt: skip
    start = {"V_m": Uniform(0.0, THRESHOLD)}
    e = network.population("E", excitatory, "iaf_psc_exp", params=neuron, initial=start)
    i = network.population("I", inhibitory, "iaf_psc_exp", params=neuron, initial=start)
    # nu_thr = THRESHOLD / (PSP C_E TAU_M) for each of C_E external sources, in Hz
    network.poisson([e, i], eta * THRESHOLD / (PSP * TAU_M) * 1000.0, weight, name="external")
    network.project(e, [e, i], FixedIndegree(EXCITATORY_IN_DEGREE), weight, delay - dt)
    network.project(i, [e, i], FixedIndegree(INHIBITORY_IN_DEGREE), -g * weight, delay - dt)
    return network


def instantaneous(psp: float, dt: float) -> tuple[float, float]:
    """tau_syn (ms) and weight (pA) by which a current moves V_m by `psp` mV within one step of `dt` ms."""
    with localcontext(exact_context()):
        tau_m, step = Decimal(TAU_M), Decimal(repr(dt))
        tau = step / 50
        rise = tau * tau_m / (Decimal(C_M) * (tau_m - tau)) * ((-step / tau_m).exp() - (-step / tau).exp())
        return float(tau), float(Decimal(repr(psp)) / rise)
