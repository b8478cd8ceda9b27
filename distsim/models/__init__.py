"""Neuron models and generators as declarations: what they are, not where or how they run."""

from __future__ import annotations

from distsim.errors import ConfigError, nearest
from distsim.models.aeif import (
    aeif_cond_alpha,
    aeif_cond_alpha_multisynapse,
    aeif_cond_beta_multisynapse,
    aeif_cond_exp,
    aeif_psc_alpha,
    aeif_psc_delta,
    aeif_psc_exp,
)
from distsim.models.base import Constant, Dynamics, Model, Parameter, Probe, Receptor, State
from distsim.models.forms import Family, Flag, Form, ListParameter
from distsim.models.gamma_sup_generator import gamma_sup_generator
from distsim.models.generators import (
    inhomogeneous_poisson_generator,
    mip_generator,
    poisson_generator,
    pulsepacket_generator,
    sinusoidal_poisson_generator,
    spike_generator,
)
from distsim.models.gif import gif_cond_exp, gif_psc_exp
from distsim.models.glif_cond import glif_cond
from distsim.models.glif_psc import glif_psc, glif_psc_double_alpha
from distsim.models.hodgkin_huxley import hh_cond_exp_traub, hh_psc_alpha
from distsim.models.iaf_chxk_2008 import iaf_chxk_2008
from distsim.models.iaf_cond import iaf_cond_alpha, iaf_cond_beta, iaf_cond_exp, iaf_cond_exp_sfa_rr
from distsim.models.iaf_psc_alpha import iaf_psc_alpha, iaf_psc_alpha_multisynapse
from distsim.models.iaf_psc_delta import iaf_psc_delta
from distsim.models.iaf_psc_exp import iaf_psc_exp
from distsim.models.iaf_psc_exp_multisynapse import iaf_psc_exp_multisynapse
from distsim.models.iaf_tum_2000 import iaf_tum_2000
from distsim.models.ignore_and_fire import ignore_and_fire
from distsim.models.izhikevich import izhikevich
from distsim.models.mat2_psc_exp import amat2_psc_exp, mat2_psc_exp
from distsim.models.parrot import parrot_neuron
from distsim.models.pp_psc_delta import pp_psc_delta
from distsim.nest_names import instead_of_model

MODELS: dict[str, Model | Family] = {m.name: m for m in (
    iaf_psc_exp, iaf_psc_exp_multisynapse, iaf_psc_alpha, iaf_psc_alpha_multisynapse, iaf_psc_delta, iaf_tum_2000,
    mat2_psc_exp, amat2_psc_exp, ignore_and_fire,
    iaf_cond_exp, iaf_cond_alpha, iaf_cond_beta, iaf_cond_exp_sfa_rr, iaf_chxk_2008,
    aeif_cond_exp, aeif_cond_alpha, aeif_psc_exp, aeif_psc_alpha, aeif_psc_delta, aeif_cond_alpha_multisynapse,
    aeif_cond_beta_multisynapse,
    glif_psc, glif_cond, glif_psc_double_alpha, izhikevich, hh_psc_alpha, hh_cond_exp_traub,
    gif_psc_exp, gif_cond_exp, pp_psc_delta, parrot_neuron,
    spike_generator, poisson_generator, inhomogeneous_poisson_generator, sinusoidal_poisson_generator,
    gamma_sup_generator, mip_generator, pulsepacket_generator,
)}  # fmt: skip

GIVEN_IN_PYTHON = " (declared in Python)"  # how results call a model that they do not hold

__all__ = [
    "GIVEN_IN_PYTHON", "MODELS", "Constant", "Dynamics", "Family", "Flag", "Form", "ListParameter", "Model",
    "Parameter", "Probe", "Receptor", "State", "example_of", "model_named",
]  # fmt: skip


def model_named(name: str, where: str) -> Model | Family:
    """The built-in model `name`, or ConfigError with the nearest name."""
    if name.endswith(GIVEN_IN_PYTHON):
        raise ConfigError(
            f"{where}: found {name!r}: its declaration is not among the results, so nothing can be computed from them; "
            "allowed: a model of distsim, or one in a file of its own, my_file.py:my_model"
        )
    if name not in MODELS:
        way = "; a model of your own is written my_file.py:my_model" if name.endswith(".py") else ""
        raise ConfigError(f"{where}: unknown model {name!r}; {instead_of_model(name) or nearest(name, MODELS)}{way}")
    return MODELS[name]


def example_of(name: str) -> Model:
    """The built-in model `name`; of a family its default form."""
    declared = MODELS[name]
    return declared.example if isinstance(declared, Family) else declared
