"""Neuron models and generators as declarations: what they are, not where or how they run."""

from __future__ import annotations

from distsim.errors import ConfigError, nearest
from distsim.models.base import Constant, Model, Parameter, Receptor, State
from distsim.models.generators import spike_generator
from distsim.models.iaf_psc_exp import iaf_psc_exp
from distsim.models.parrot import parrot_neuron

MODELS: dict[str, Model] = {m.name: m for m in (iaf_psc_exp, parrot_neuron, spike_generator)}

__all__ = ["MODELS", "Constant", "Model", "Parameter", "Receptor", "State", "model_named"]


def model_named(name: str, where: str) -> Model:
    """The built-in model `name`, or ConfigError with the nearest name."""
    if name not in MODELS:
        raise ConfigError(f"{where}: unknown model {name!r}; {nearest(name, MODELS)}")
    return MODELS[name]
