"""Neuron models and generators as declarations: what they are, not where or how they run."""

from __future__ import annotations

from distsim.errors import ConfigError, nearest
from distsim.models.aeif_cond_exp import aeif_cond_exp
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
from distsim.models.iaf_psc_exp import iaf_psc_exp
from distsim.models.iaf_psc_exp_multisynapse import iaf_psc_exp_multisynapse
from distsim.models.parrot import parrot_neuron

MODELS: dict[str, Model | Family] = {m.name: m for m in (
    iaf_psc_exp, iaf_psc_exp_multisynapse, aeif_cond_exp, parrot_neuron, spike_generator,
    poisson_generator, inhomogeneous_poisson_generator, sinusoidal_poisson_generator, gamma_sup_generator,
    mip_generator, pulsepacket_generator,
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
