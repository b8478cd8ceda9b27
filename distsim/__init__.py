"""distsim: large networks of spiking neurons on clusters of GPUs, and the same result everywhere.

    net = distsim.Network("small")
    e = net.population("E", 400, "iaf_psc_exp", I_e=distsim.Uniform(300.0, 450.0))
    net.project(e, e, distsim.FixedIndegree(40), weight=5.0, delay=1.5)
    result = distsim.simulate(net, duration=500.0, seed=1)
    times, neurons = result.spikes["E"]

`Network` describes: populations, projections, inputs, recordings. `simulate` builds and runs it once; a `Simulator`
stays built, goes on in stretches, and tells connections, positions and states. `load_results` reads a directory of
results. Positions and masks are in `distsim.space`, kernels of distance in `distsim.profiles`, the form of a model of
your own in `distsim.models`. docs/python.md goes through all of it, with a table for those who come from NEST.
"""

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
from distsim.errors import BackendError, BuildError, ConfigError, DistsimError, ResultError, SimulationError, Stopped
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
    "ResultError",
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
