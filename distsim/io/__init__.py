"""Results on disk: closed segments while a run goes on, SONATA files at its end, the summary."""

from __future__ import annotations

from distsim.io.outdir import prepare_output
from distsim.io.spikes import SpikePopulation, SpikeSegments, merge_spikes, read_spikes
from distsim.io.states import StateReport, StateSegments, merge_states
from distsim.io.summary import read_json, write_json

__all__ = [
    "SpikePopulation",
    "SpikeSegments",
    "StateReport",
    "StateSegments",
    "merge_spikes",
    "merge_states",
    "prepare_output",
    "read_json",
    "read_spikes",
    "write_json",
]
