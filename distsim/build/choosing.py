"""What `storage: auto` becomes: stored where every rank can hold it, else procedural; the same on all ranks."""

from __future__ import annotations

import numpy as np

from distsim.backend import Backend
from distsim.build.capacity import (
    available_bytes,
    check_fits,
    check_fits_device,
    ranks_on_this_machine,
    resident_bytes,
    with_storage,
)
from distsim.comm import Communicator
from distsim.errors import CapacityError
from distsim.experiment import Experiment


def storage_settled(experiment: Experiment, comm: Communicator, backend: Backend) -> Experiment:
    """The experiment with `auto` replaced in all of its projections (every rank must call).

    Both are one network: see storage.py.
    """
    if all(p.storage != "auto" for p in experiment.network.projections):
        return experiment
    stored = with_storage(experiment, "stored")
    here, device = ranks_on_this_machine(comm.size), backend.available_bytes(comm.local_rank())
    room = available_bytes() if device is None else device[0]
    least = comm.minimum(room if room is not None else 2**62)
    try:
        if device is None:
            check_fits(stored, comm.size, here, least, resident_bytes())
        else:
            check_fits_device(stored, comm.size, -(-here // device[1]), least)
        too_large = 0
    except CapacityError:
        too_large = 1
    if comm.reduce(np.array([too_large], np.int64), "max")[0]:
        return with_storage(experiment, "procedural")
    return stored
