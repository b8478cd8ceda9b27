"""Neuron models and generators as declarations: what they are, not where or how they run."""

from __future__ import annotations

from distsim.errors import ConfigError, nearest
from distsim.models.aeif_cond_exp import aeif_cond_exp
from distsim.models.base import Constant, Dynamics, Model, Parameter, Probe, Receptor, State
from distsim.models.forms import Family, Flag, Form, ListParameter
from distsim.models.generators import spike_generator
from distsim.models.iaf_psc_alpha import iaf_psc_alpha, iaf_psc_alpha_multisynapse
from distsim.models.iaf_psc_delta import iaf_psc_delta
from distsim.models.iaf_psc_exp import iaf_psc_exp
from distsim.models.iaf_psc_exp_multisynapse import iaf_psc_exp_multisynapse
from distsim.models.iaf_tum_2000 import iaf_tum_2000
from distsim.models.ignore_and_fire import ignore_and_fire
from distsim.models.mat2_psc_exp import amat2_psc_exp, mat2_psc_exp
from distsim.models.parrot import parrot_neuron

MODELS: dict[str, Model | Family] = {m.name: m for m in (
    iaf_psc_exp, iaf_psc_exp_multisynapse, aeif_cond_exp, parrot_neuron, spike_generator,
    iaf_psc_alpha, iaf_psc_alpha_multisynapse, iaf_psc_delta, mat2_psc_exp, amat2_psc_exp, ignore_and_fire,
    iaf_tum_2000,
)}  # fmt: skip

__all__ = [
    "MODELS", "Constant", "Dynamics", "Family", "Flag", "Form", "ListParameter", "Model", "Parameter", "Probe",
    "Receptor", "State", "model_named",
]  # fmt: skip


def model_named(name: str, where: str) -> Model | Family:
    """The built-in model `name`, or ConfigError with the nearest name."""
    if name not in MODELS:
        way = "; a model of your own is written my_file.py:my_model" if name.endswith(".py") else ""
        raise ConfigError(f"{where}: unknown model {name!r}; {nearest(name, MODELS)}{way}")
    return MODELS[name]
