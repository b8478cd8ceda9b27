"""Experiment files: strict YAML to a validated Experiment, and back to a fully resolved file."""

from __future__ import annotations

from distsim.config.load import LoadedExperiment, load_experiment
from distsim.config.yaml_writer import write_document

__all__ = ["LoadedExperiment", "load_experiment", "write_document"]
