"""distsim: large networks of spiking neurons on clusters of GPUs, and the same result everywhere."""

from distsim.analysis.results import load_results
from distsim.api import Result, States, simulate
from distsim.distributions import Listed, Lognormal, Normal, NormalClipped, Uniform
from distsim.errors import BackendError, BuildError, ConfigError, DistsimError, SimulationError, Stopped
from distsim.experiment import Checkpoints, Experiment, RunSettings
from distsim.network import Network
from distsim.rules import (
    AllToAll,
    Explicit,
    FixedIndegree,
    FixedTotalNumber,
    OneToOne,
    PairwiseBernoulli,
)
from distsim.simulator import Connections, Simulator, Stretch
from distsim.version import __version__

__all__ = [
    "__version__",
    "AllToAll",
    "BackendError",
    "BuildError",
    "Checkpoints",
    "ConfigError",
    "Connections",
    "DistsimError",
    "Experiment",
    "Explicit",
    "FixedIndegree",
    "FixedTotalNumber",
    "Listed",
    "Lognormal",
    "Network",
    "Normal",
    "NormalClipped",
    "OneToOne",
    "PairwiseBernoulli",
    "Result",
    "RunSettings",
    "SimulationError",
    "Simulator",
    "States",
    "Stopped",
    "Stretch",
    "Uniform",
    "load_results",
    "simulate",
]
