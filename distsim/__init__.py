"""distsim: large networks of spiking neurons on clusters of GPUs, and the same result everywhere."""

from distsim import profiles, space
from distsim.analysis.results import load_results
from distsim.api import Result, States, simulate
from distsim.distributions import (
    Exponential,
    Gamma,
    Listed,
    Lognormal,
    Normal,
    NormalClipped,
    Uniform,
    UniformInt,
)
from distsim.errors import BackendError, BuildError, ConfigError, DistsimError, SimulationError, Stopped
from distsim.experiment import Checkpoints, Experiment, RunSettings
from distsim.expressions import Expression
from distsim.network import Network
from distsim.rules import (
    AllToAll,
    Explicit,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    OneToOne,
    PairwiseBernoulli,
    PairwisePoisson,
    SymmetricPairwiseBernoulli,
)
from distsim.selection import Selection, select
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
    "Exponential",
    "Expression",
    "Explicit",
    "FixedIndegree",
    "FixedOutdegree",
    "FixedTotalNumber",
    "Gamma",
    "Listed",
    "Lognormal",
    "Network",
    "Normal",
    "NormalClipped",
    "OneToOne",
    "PairwiseBernoulli",
    "PairwisePoisson",
    "Result",
    "RunSettings",
    "Selection",
    "SimulationError",
    "Simulator",
    "States",
    "Stopped",
    "Stretch",
    "SymmetricPairwiseBernoulli",
    "Uniform",
    "UniformInt",
    "load_results",
    "profiles",
    "select",
    "simulate",
    "space",
]
