"""The conductance based and adaptive exponential models, and a network that has them all."""

from __future__ import annotations

from distsim import Experiment, FixedIndegree, Network, Normal, RunSettings, Uniform

IAF = ("iaf_cond_exp", "iaf_cond_alpha", "iaf_cond_beta", "iaf_cond_exp_sfa_rr", "iaf_chxk_2008")
AEIF = (
    "aeif_cond_exp", "aeif_cond_alpha", "aeif_psc_exp", "aeif_psc_alpha", "aeif_psc_delta",
    "aeif_cond_alpha_multisynapse", "aeif_cond_beta_multisynapse",
)  # fmt: skip
MINE = IAF + AEIF


def mixed(precision: str) -> Experiment:
    """Every model of this file, connected at random, in its own busy regime."""
    network = Network("mixed")
    start = {"V_m": Uniform(-65.0, -56.0)}
    currents = {"iaf_cond_exp_sfa_rr": 900.0, "iaf_chxk_2008": 2500.0}
    populations = []
    for model in MINE:
        current = currents.get(model, 500.0 if model in IAF else 800.0)
        populations.append(network.population(model, 11, model, I_e=Normal(current, 20.0), initial=start))
    for source in populations:
        for target in populations:
            size = {"aeif_psc_delta": 0.5, "aeif_psc_exp": 60.0, "aeif_psc_alpha": 60.0}.get(target.model.name, 3.0)
            receptor = "1" if "multisynapse" in target.model.name else None
            network.project(source, target, FixedIndegree(2), size, Uniform(0.1, 3.0), receptor=receptor)
    network.poisson(populations[0], 500.0, 5.0)
    return Experiment(network, RunSettings(duration=60.0, precision=precision))  # type: ignore[arg-type]
