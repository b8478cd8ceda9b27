"""The cortical microcircuit of Potjans & Diesmann (2014), doi:10.1093/cercor/bhs358."""

from __future__ import annotations

from typing import Literal, get_args

from distsim.distributions import Normal, NormalClipped
from distsim.elements import Population
from distsim.errors import wrong
from distsim.network import Network
from distsim.published import microcircuit_tables as tables
from distsim.published.arguments import check_positive
from distsim.rules import FixedTotalNumber, Generate
from distsim.storage import Storage


def microcircuit(
    scale: float = 1.0,
    in_degree_scale: float | None = None,
    background: Literal["poisson", "dc"] = "poisson",
    initial: Literal["optimized", "original"] = "optimized",
    storage: Literal["stored", "procedural", "auto"] = "stored",
    generate: Literal["by_target", "by_source"] | None = None,
) -> Network:
    """The 1 mm^2 microcircuit: four layers, eight populations, 77,169 neurons and 299 million synapses.

    As the reference implementation for NEST (github.com/INM-6/microcircuit-PD14-model). Populations are
    L23E, L23I, L4E, L4I, L5E, L5I, L6E, L6I; projections go target by target, within a target source by
    source, in that order, without those that have no synapse.

    Parameters
    ----------
    scale
        Number of neurons relative to the full network.
    in_degree_scale
        In-degrees relative to the full network; None: `scale`. Weights and a constant current compensate.
    background
        "poisson": independent Poisson trains of 8 Hz times the external in-degree; "dc": their mean current.
    initial
        Initial V_m: "optimized" per population (a short transient), or "original" (-58 +- 10 mV for all).
    storage
        Of all projections: "procedural" stores no synapse, "auto" none where memory would not hold them.
    generate
        Whose identity the draws belong to; None: by_source where `storage` asks for it, else by_target.

    Raises
    ------
    ConfigError
        A scale that is no positive number or leaves a population empty, or an unknown option.
    """
    in_degree_scale = scale if in_degree_scale is None else in_degree_scale
    check_positive(scale=scale, in_degree_scale=in_degree_scale)
    if background not in ("poisson", "dc"):
        raise wrong("network.background", background, "poisson or dc")
    if initial not in ("optimized", "original"):
        raise wrong("network.initial", initial, "optimized or original")
    if storage not in get_args(Storage):
        raise wrong("network.storage", storage, ", ".join(get_args(Storage)))
    if generate not in (None, *get_args(Generate)) or (storage != "stored" and generate == "by_target"):
        raise wrong("network.generate", generate, "by_source, or by_target where all synapses are stored")
    derived = tables.derive(scale, in_degree_scale, background == "poisson")
    if min(derived.sizes) < 1:
        raise wrong("network.scale", scale, "a scale that leaves at least one neuron in each population")

    network = Network("microcircuit")
    populations = _describe_populations(network, derived, initial)
    _describe_projections(network, populations, derived, storage, generate)
    if background == "poisson":
        for population, in_degree in zip(populations, derived.external_in_degrees, strict=True):
            rate = tables.BACKGROUND_RATE * in_degree
            network.poisson(population, rate, derived.external_weight, name=f"background_{population.name}")
        _describe_reference(network, scale, in_degree_scale)
    return network


def _describe_populations(network: Network, derived: tables.Derived, initial: str) -> list[Population]:
    starts = tables.INITIAL_OPTIMIZED if initial == "optimized" else tables.INITIAL_ORIGINAL
    neuron = {
        "E_L": tables.E_L, "V_th": tables.V_TH, "V_reset": tables.V_RESET, "C_m": tables.C_M, "tau_m": tables.TAU_M,
        "tau_syn_ex": tables.TAU_SYN, "tau_syn_in": tables.TAU_SYN, "t_ref": tables.T_REF,
    }  # fmt: skip
    return [
        network.population(
            name, size, "iaf_psc_exp", params={**neuron, "I_e": current}, initial={"V_m": Normal(mean, std)}
        )
        for name, size, current, (mean, std) in zip(
            tables.POPULATIONS, derived.sizes, derived.currents, starts, strict=True
        )
    ]


def _describe_projections(
    network: Network, populations: list[Population], derived: tables.Derived, storage: Storage,
    generate: Generate | None,
) -> None:  # fmt: skip
    for t, target in enumerate(populations):
        for s, source in enumerate(populations):
            if not derived.synapses[t][s]:
                continue
            weight, delay = derived.weights[t][s], tables.DELAY_MEANS[s % 2]
            network.project(
                source,
                target,
                FixedTotalNumber(derived.synapses[t][s]),
                weight=NormalClipped(weight, abs(weight) * tables.WEIGHT_RELATIVE_STD),
                delay=NormalClipped(delay, delay * tables.DELAY_RELATIVE_STD),
                generate=generate,
                storage=storage,
            )


def _describe_reference(network: Network, scale: float, in_degree_scale: float) -> None:
    """Known mean rates; they hold at these scales only."""
    if scale == in_degree_scale == 1.0:
        network.reference_rates = dict(zip(tables.POPULATIONS, tables.FULL_RATES, strict=True))
        network.reference_source = "NEST, full scale (INM-6/microcircuit-PD14-model)"
    elif scale == in_degree_scale == 0.1:
        network.reference_rates = dict(zip(tables.POPULATIONS, tables.TENTH_RATES, strict=True))
        network.reference_source = "NEST 3.10 at scale 0.1, mean of five seeds over 10 s"
