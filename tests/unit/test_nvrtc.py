"""Every kernel compiles by NVRTC for the supported GPUs: the host and the GPU cannot drift apart unseen.

Needs the wheel nvidia-cuda-nvrtc, and neither a driver nor CuPy.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import re
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from distsim.kernels import connect, loop, values
from distsim.kernels.sources import CONSTRUCTION_KERNELS, LOOP_KERNELS, TEST_KERNELS, construction_source, loop_source
from distsim.kernels.update import GroupShape
from distsim.models import MODELS, Family

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
OPTIONS = ("--std=c++17", "--fmad=false")
PRECISIONS = ("single", "double")


@cache
def nvrtc() -> ctypes.CDLL:
    """The newest NVRTC among the installed wheels; a skip without one, a failure where CI runs."""
    found: list[tuple[int, Path]] = []
    for root in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for path in Path(root).glob("nvidia/*/lib/libnvrtc.so.*"):
            if match := re.fullmatch(r"libnvrtc\.so\.(\d+)", path.name):
                found.append((int(match[1]), path))
    if not found:
        message = "no NVRTC: pip install nvidia-cuda-nvrtc (it is in the extra `test`)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    path = max(found)[1]
    for helper in path.parent.glob("libnvrtc-builtins.so*"):  # found by name only where it is loaded already
        ctypes.CDLL(str(helper), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(path))


def compiled(source: str, architecture: str, *options: str) -> bytes:
    """The cubin of `source`; the compiler's log where it fails."""
    library = nvrtc()
    program = ctypes.c_void_p()

    def must(result: int, what: str) -> None:
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        assert result == 0, f"{what}: {library.nvrtcGetErrorString(result).decode()}"

    must(library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None), "create")
    try:
        arguments = [x.encode() for x in (*OPTIONS, f"--gpu-architecture={architecture}", *options)]
        result = library.nvrtcCompileProgram(program, len(arguments), (ctypes.c_char_p * len(arguments))(*arguments))
        size = ctypes.c_size_t()
        must(library.nvrtcGetProgramLogSize(program, ctypes.byref(size)), "log size")
        log = ctypes.create_string_buffer(max(1, size.value))
        must(library.nvrtcGetProgramLog(program, log), "log")
        text = log.value.decode(errors="replace")
        if result:
            lines = source.splitlines()
            numbers = {int(n) for n in re.findall(r"kernels\.cu\((\d+)\): error", text)}
            shown = "\n".join(f"{n:5d}: {lines[n - 1]}" for n in sorted(numbers)[:10] if n <= len(lines))
            pytest.fail(f"NVRTC for {architecture}:\n{text}\n{shown}")
        must(library.nvrtcGetCUBINSize(program, ctypes.byref(size)), "cubin size")
        cubin = ctypes.create_string_buffer(size.value)
        must(library.nvrtcGetCUBIN(program, cubin), "cubin")
        return cubin.raw
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def entries(cubin: bytes) -> set[str]:
    """Names of the kernels in a cubin: each has a section .text.<name>."""
    return {name.decode() for name in re.findall(rb"\.text\.([A-Za-z_]\w*)\0", cubin)}


def shape(name: str, *, planes: int = 1, poisson: int = 0, each: bool = False, wide: bool = False) -> GroupShape:
    """A group of the model with as many planes and Poisson places on every receptor."""
    declared = MODELS[name]
    model = declared.example if isinstance(declared, Family) else declared
    n = len(model.receptors)
    every = frozenset(p.name for p in model.scalar_parameters) | frozenset(c.name for c in model.constants)
    return GroupShape(model, (planes,) * n, (poisson,) * n, every if each else frozenset(), wide)


def mixed(name: str) -> GroupShape:
    """Receptors that differ: two planes and no background on the first, none and two places on the others."""
    base = shape(name)
    n = len(base.planes)
    some = frozenset(p.name for p in base.model.scalar_parameters[:2])
    some |= frozenset(c.name for c in base.model.constants if some & set(c.depends))
    return dataclasses.replace(
        base, planes=(2, *(0,) * (n - 1))[:n], poisson=(0, *(2,) * (n - 1))[:n], per_neuron=some
    )  # fmt: skip


NETWORKS = {
    "plain": [shape(name) for name in MODELS],
    "two planes, Poisson, each neuron its own": [
        shape(name, planes=2, poisson=2, each=True, wide=k % 2 == 0) for k, name in enumerate(MODELS)
    ],
    "receptors that differ": [mixed(name) for name in MODELS],
    "no input, wide counts": [shape(name, planes=0, poisson=1, wide=True) for name in MODELS],
    "variants": [
        GroupShape(m, (1,) * len(m.receptors), (1,) * len(m.receptors))
        for m in (MODELS[name].chosen({"delta": 1.0}) for name in ("iaf_psc_exp", "iaf_tum_2000"))  # type: ignore[union-attr]
    ],
}
# Every architecture gets the fullest network, which holds every kernel; the others one each.
LOOPS = [
    *((a, "two planes, Poisson, each neuron its own") for a in ARCHITECTURES),
    ("sm_90", "plain"),
    ("sm_90", "variants"),
    ("sm_80", "receptors that differ"),
    ("sm_100", "no input, wide counts"),
]


def same_layout(structures: Sequence[type[ctypes.Structure]]) -> str:
    """C++ that compiles only where each structure is laid out as ctypes does it."""
    return "".join(
        f'static_assert(sizeof({s.__name__}) == {ctypes.sizeof(s)}, "size");\n'
        + "".join(
            f'static_assert(__builtin_offsetof({s.__name__}, {name}) == {getattr(s, name).offset}, "{name}");\n'
            for name, *_ in s._fields_
        )
        for s in structures
    )


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_construction_compiles(architecture: str, precision: str) -> None:
    """Catches host-only C++ in a construction kernel, a kernel that is launched by a name that is not there, and a
    structure that the GPU's compiler lays out otherwise than ctypes."""
    checks = same_layout((values.Sampler, values.Values, connect.Connect, connect.Rows, connect.Shares))
    found = entries(compiled(construction_source(precision == "double") + checks, architecture))
    assert found == {*CONSTRUCTION_KERNELS, *TEST_KERNELS}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("architecture", "network"), LOOPS)
def test_loop_compiles(architecture: str, network: str, precision: str) -> None:
    """Catches host-only C++ in delivery, spreading or a generated update kernel, for each form a model can take, and
    structures laid out otherwise than ctypes does."""
    shapes = NETWORKS[network]
    checks = same_layout([loop.Recorder, loop.Loop, *(s.structure() for s in shapes)])
    found = entries(compiled(loop_source(precision == "double", shapes, host=False) + checks, architecture))
    assert found == {*LOOP_KERNELS, *(f"update_{s.model.symbol}" for s in shapes)}


def test_every_kernel_in_the_sources_is_named() -> None:
    """Catches a kernel that was added to a file but not to the lists, so that no other test here would look for it."""
    for source, names in (
        (construction_source(False), {*CONSTRUCTION_KERNELS, *TEST_KERNELS}),
        (
            loop_source(False, NETWORKS["plain"], host=False),
            {*LOOP_KERNELS, *(f"update_{s.model.symbol}" for s in NETWORKS["plain"])},
        ),
    ):
        written = set(re.findall(r"^KERNEL\s+(\w+)\s*\(", source, re.MULTILINE))
        assert written == names


def test_a_host_only_word_is_seen() -> None:
    """Power: the check fails, and shows the log, where a kernel uses what only the host has."""
    with pytest.raises(pytest.fail.Exception, match="fopen"):
        compiled('extern "C" __global__ void wrong() { fopen(0, 0); }', "sm_80")
