"""Kernels compiled by NVRTC and kept in the cache; needs the wheel nvidia-cuda-nvrtc, no driver and no CuPy."""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import os
import re
import sysconfig
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

import pytest

from distsim.backend.cuda_compile import OPTIONS
from distsim.backend.host import cache_folder
from distsim.kernels import connect, loop, values
from distsim.kernels.reschedule import Reschedule
from distsim.kernels.sources import loop_source, model_source
from distsim.kernels.update import GroupShape
from distsim.models import MODELS, example_of

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
PRECISIONS = ("single", "double")


@cache
def nvrtc() -> tuple[ctypes.CDLL, str]:
    """The newest NVRTC among the installed wheels, and its path; a skip without one, a failure where CI runs."""
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
    return ctypes.CDLL(str(path)), f"{path}, {path.stat().st_size} bytes"


@cache
def compiled(source: str, architecture: str, *options: str, kind: str = "CUBIN") -> bytes:
    """The cubin (or PTX) of `source`; the compiler's log where it fails. The processes of a test run share them."""
    library, which = nvrtc()
    key = "\0".join((source, architecture, *OPTIONS, *options, kind, which))
    kept = cache_folder() / f"nvrtc-{hashlib.sha256(key.encode()).hexdigest()[:24]}"
    if kept.exists():
        return kept.read_bytes()
    made = _compile(library, source, architecture, *options, kind=kind)
    kept.parent.mkdir(parents=True, exist_ok=True)
    unnamed = kept.with_suffix(f".{os.getpid()}")
    unnamed.write_bytes(made)
    unnamed.replace(kept)
    return made


def _compile(library: ctypes.CDLL, source: str, architecture: str, *options: str, kind: str) -> bytes:
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
        must(getattr(library, f"nvrtcGet{kind}Size")(program, ctypes.byref(size)), f"{kind} size")
        made = ctypes.create_string_buffer(size.value)
        must(getattr(library, f"nvrtcGet{kind}")(program, made), kind)
        return made.raw
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def entries(cubin: bytes) -> set[str]:
    """Names of the kernels in a cubin: each has a section .text.<name>."""
    return {name.decode() for name in re.findall(rb"\.text\.([A-Za-z_]\w*)\0", cubin)}


def shape(name: str, *, planes: int = 1, poisson: int = 0, each: bool = False, wide: bool = False) -> GroupShape:
    """A group of the model with as many planes and Poisson places on every receptor."""
    model = example_of(name)
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


def driven(name: str) -> GroupShape:
    """Currents, trains of varying rate and backgrounds onto some neurons, wherever the model has a place for them."""
    base = shape(name, planes=1, poisson=1)
    n = len(base.planes)
    return dataclasses.replace(base, masked=(True,) * n, signals=(2 if base.model.takes_current else 0, *(1,) * n))


# One of each kind: linear, of several ports, with equations, with draws, relay, generator.
KINDS = [
    name
    for name in ("iaf_psc_exp", "iaf_psc_exp_multisynapse", "aeif_cond_exp", "gif_psc_exp", "parrot_neuron",
                 "spike_generator", "poisson_generator")
    if name in MODELS
]  # fmt: skip
NETWORKS = {
    "plain": [shape(name) for name in KINDS],
    "two planes, Poisson, each neuron its own": [
        shape(name, planes=2, poisson=2, each=True, wide=k % 2 == 0) for k, name in enumerate(KINDS)
    ],
    "receptors that differ": [mixed(name) for name in KINDS],
    "devices": [driven(name) for name in KINDS],
    "no input, wide counts": [shape(name, planes=0, poisson=1, wide=True) for name in KINDS],
    "variants": [  # soft thresholds; spikes that carry numbers
        GroupShape(m, (1,) * len(m.receptors), (1,) * len(m.receptors))
        for m in (
            *(example_of(name).chosen({"delta": 1.0}) for name in ("iaf_psc_exp", "iaf_tum_2000")),
            example_of("spike_generator").chosen({"spike_weights": ((2.0,),)}),
        )
    ],
}
# Groups whose kernels must not spill: those of integrate-and-fire networks such as the microcircuit.
LINEAR = ("iaf_psc_exp", "parrot_neuron", "spike_generator")
NETWORKS |= {
    "linear": [shape(name) for name in LINEAR],
    "linear, two planes, Poisson, each its own": [
        shape(name, planes=2, poisson=2, each=True, wide=k % 2 == 0) for k, name in enumerate(LINEAR)
    ],
}


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


def only(source: str, names: Collection[str]) -> str:
    """The source with no kernels but these: what else it launches is read and checked, and not made for a GPU."""
    return re.sub(r"^KERNEL (?=(\w+))", lambda m: m[0] if m[1] in names else "FN void ", source, flags=re.MULTILINE)


def construction_layout() -> str:
    """The check of the structures that construction shares with Python."""
    return same_layout(
        (values.Sampler, values.Values, connect.Connect, connect.Rows, connect.SparseRows, connect.Shares)
    )


def loop_text(network: str, precision: str) -> str:
    """The loop of one of NETWORKS, with a check of its structures."""
    shapes = NETWORKS[network]
    checks = same_layout(
        [loop.Recorder, loop.Ring, loop.Count, loop.Loop, Reschedule, *(s.structure() for s in shapes)]
    )
    return loop_source(precision == "double", shapes) + checks


def update_source(double: bool, group: GroupShape) -> str:
    """A kernel that updates the neurons of one group, and nothing else."""
    symbol = group.model.symbol
    return model_source(double, [group]) + (
        f"KERNEL one_step(const Group_{symbol}* group) {{\n"
        f"    update_{symbol}(group, *group->loop, group->loop->step, 0);\n}}\n"
    )
