"""Every kernel compiles by NVRTC for the supported GPUs: the host and the GPU cannot drift apart unseen.

Needs the wheel nvidia-cuda-nvrtc, and neither a driver nor CuPy.
"""

from __future__ import annotations

import re

import pytest
from nvrtc import (
    ARCHITECTURES,
    NETWORKS,
    PRECISIONS,
    compiled,
    construction_layout,
    entries,
    loop_text,
    only,
    same_layout,
    shape,
    update_source,
)

from distsim.kernels import procedural
from distsim.kernels.machine import MACHINE_KERNELS, Machine, machine_source
from distsim.kernels.sources import (
    CONSTRUCTION_KERNELS,
    LOOP_KERNELS,
    SPATIAL_KERNELS,
    TEST_KERNELS,
    construction_source,
    loop_source,
    model_source,
    regrowing_source,
)  # fmt: skip
from distsim.models import MODELS

# Every architecture gets the fullest network, which holds every kernel; the others one each.
FULLEST = "two planes, Poisson, each neuron its own"
LOOPS = [
    ("sm_80", FULLEST, "double"),
    ("sm_90", FULLEST, "single"),
    ("sm_100", FULLEST, "double"),
    ("sm_100", "plain", "single"),
    ("sm_90", "variants", "double"),
    ("sm_80", "receptors that differ", "single"),
    ("sm_100", "no input, wide counts", "double"),
    ("sm_80", "devices", "single"),
    ("sm_90", "devices", "double"),
]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_machine_compiles(architecture: str) -> None:
    """What `bench` measures a machine with, and what `--profile` holds a stream with."""
    assert entries(compiled(machine_source() + same_layout((Machine,)), architecture)) == set(MACHINE_KERNELS)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_compiles(name: str) -> None:
    """Catches host-only C++ in a model's own code; architectures and precisions in turn, fullest forms."""
    number = list(MODELS).index(name)
    fullest = shape(name, planes=1 + number % 2, poisson=number % 2, each=number % 3 == 0)
    double = PRECISIONS[number % 2] == "double"
    text = update_source(double, fullest) + same_layout([fullest.structure()])
    assert entries(compiled(text, ARCHITECTURES[number % 3])) == {"one_step"}


@pytest.mark.parametrize(("architecture", "precision"), [("sm_80", "single"), ("sm_90", "double")])
def test_construction_compiles(architecture: str, precision: str) -> None:
    """Catches host-only C++ in a construction kernel, a kernel that is launched by a name that is not there, and a
    structure that the GPU's compiler lays out otherwise than ctypes."""
    text = construction_source(precision == "double") + construction_layout()
    found = entries(compiled(text, architecture))
    assert found == {*CONSTRUCTION_KERNELS, *SPATIAL_KERNELS, *TEST_KERNELS}


def test_construction_compiles_for_the_newest() -> None:
    """In two parts: the whole takes a quarter of a minute, and test_nvrtc_resources.py needs the first."""
    text = construction_source(False, spatial=False)
    assert entries(compiled(text, "sm_100")) == {*CONSTRUCTION_KERNELS, *TEST_KERNELS}
    text = only(construction_source(False), SPATIAL_KERNELS) + construction_layout()
    assert entries(compiled(text, "sm_100")) == set(SPATIAL_KERNELS)


@pytest.mark.parametrize(("architecture", "network", "precision"), LOOPS)
def test_loop_compiles(architecture: str, network: str, precision: str) -> None:
    """Catches host-only C++ in delivery, spreading or a generated update kernel, for each form a model can take, and
    structures laid out otherwise than ctypes does."""
    found = entries(compiled(loop_text(network, precision), architecture))
    assert found == set(LOOP_KERNELS)


def test_rows_that_are_drawn_again_compile() -> None:
    """The kernels of construction inside the loop."""
    again = "KERNEL again(const Loop* l) { regrow(l->ring, l->procedural, 0, 0, 0, 1, 0, 0); }\n"
    checks = same_layout((procedural.Regrown, procedural.Procedural))
    text = model_source(False, []) + regrowing_source() + again + checks
    assert entries(compiled(text, "sm_90")) == {"again"}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_nothing_is_read_past_the_coherent_caches(precision: str) -> None:
    """run_steps reads in one step what other blocks wrote in the step before: a load by the read-only path
    (ld.global.nc, which a compiler takes for what it believes constant) would see old values. Only `receive` may:
    it is a launch of its own, and writes nothing that it reads. And delivery does not wait for its additions."""
    text = compiled(loop_text(FULLEST, precision), "compute_90", kind="PTX").decode(errors="replace")
    functions = re.split(r"^(?=\.visible \.entry|\.func)", text, flags=re.MULTILINE)
    assert ".entry run_steps" in text
    for function in functions:
        assert "ld.global.nc" not in function or ".entry receive(" in function, function[:200]
    assert "red.relaxed.gpu.global.add" in text and "membar.gl" in text
    # And the arithmetic is the host's: nothing contracted, flushed to zero or approximated.
    assert ".rn.f" in text and not re.findall(r"\b(?:fma|mad)\.\w+\.f(?:32|64)|\.ftz\b|\.approx\b|\.full\b", text)


def test_every_kernel_in_the_sources_is_named() -> None:
    """Catches a kernel that was added to a file but not to the lists, so that no other test here would look for it."""
    for source, names in (
        (construction_source(False), {*CONSTRUCTION_KERNELS, *SPATIAL_KERNELS, *TEST_KERNELS}),
        (construction_source(False, spatial=False), {*CONSTRUCTION_KERNELS, *TEST_KERNELS}),
        (loop_source(False, NETWORKS["plain"], host=False), set(LOOP_KERNELS)),
    ):
        written = set(re.findall(r"^KERNEL\s+(\w+)\s*\(", source, re.MULTILINE))
        assert written == names


def test_a_host_only_word_is_seen() -> None:
    """Power: the check fails, and shows the log, where a kernel uses what only the host has."""
    with pytest.raises(pytest.fail.Exception, match="fopen"):
        compiled('extern "C" __global__ void wrong() { fopen(0, 0); }', "sm_80")
