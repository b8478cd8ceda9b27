"""A rank's share as bytes, so that tests over MPI send no objects."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
from support import Share


def pack(share: Share) -> bytes:
    """Arrays as .npy, the rest as JSON, in one .npz."""
    arrays = {"spikes": share.spikes}
    samples = []
    for k, (population, first, neurons, data) in enumerate(share.samples):
        samples.append([population, first])
        arrays |= {f"neurons{k}": neurons, f"data{k}": data}
    fields = {f.name: getattr(share, f.name) for f in dataclasses.fields(share) if f.name not in ("spikes", "samples")}
    arrays["rest"] = np.frombuffer(json.dumps([fields, samples]).encode(), np.uint8)
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def unpack(data: bytes) -> Share:
    """What `pack` packed."""
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        fields, samples = json.loads(found["rest"].tobytes())
        fields = {k: _tuples(v) for k, v in fields.items()}
        kept = tuple((name, first, found[f"neurons{k}"], found[f"data{k}"]) for k, (name, first) in enumerate(samples))
        return Share(**fields, spikes=found["spikes"], samples=kept)


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
