"""What ranks spend on draws by source: the nodes of the tree that they follow, counted."""

from __future__ import annotations

import ctypes

import pytest
import support
from readback import build

from distsim.backend import HostBackend
from distsim.backend.host import HostModule
from distsim.kernels.sources import construction_source
from distsim.network import Network
from distsim.rules import FixedOutdegree, Rule, SymmetricPairwiseBernoulli

STEP = "const Scattered node = stack[--depth];"
COUNTER = """
static uint64 followed;
extern "C" uint64 take_followed() { return __atomic_exchange_n(&followed, 0, __ATOMIC_RELAXED); }
"""
RANKS, TARGETS, LEVELS, PASSES = 12, 1500, 11, 2


@pytest.fixture(scope="module")
def counting() -> tuple[HostBackend, HostModule]:
    """Construction kernels that count."""
    source, before = construction_source(False), "// Scatters `count` draws"
    assert source.count(STEP) == source.count(before) == 1
    source = source.replace(STEP, f"{STEP} __atomic_fetch_add(&followed, 1, __ATOMIC_RELAXED);")
    backend = HostBackend()
    with support.optimised("-O0"):
        return backend, backend.compile(source.replace(before, COUNTER + before), "construct-single")


@pytest.mark.parametrize(
    ("rule", "sources"),
    [
        (FixedOutdegree(20_000), 15), (FixedOutdegree(500, multapses=False), 100),
        (SymmetricPairwiseBernoulli(0.4), TARGETS),
    ],
    ids=lambda x: getattr(x, "name", ""),
)  # fmt: skip
def test_ranks_share_the_tree(rule: Rule, sources: int, counting: tuple[HostBackend, HostModule]) -> None:
    """All ranks together follow what one alone would, and paths to both ends of their shares, on a number of ranks that
    is no power of two. Round robin shows that the count would tell: each rank follows nearly all."""
    take = counting[1].function("take_followed", ctypes.c_uint64)
    network = Network()
    sides = "S" if sources < TARGETS else "T", "T"
    network.population("T", TARGETS, "iaf_psc_exp")
    network.population("S", max(1, sources % TARGETS), "parrot_neuron")
    network.project(*sides, rule)

    def followed(n_ranks: int, partition: str) -> int:
        take()
        build(network, n_ranks=n_ranks, kernels=counting, partition=partition)
        return int(take())

    alone = followed(1, "block")
    paths = PASSES * RANKS * sources * 2 * LEVELS
    assert alone > 1000 and followed(RANKS, "block") < alone + 0.5 * paths
    assert followed(RANKS, "round_robin") > 5 * alone
