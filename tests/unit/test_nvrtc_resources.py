"""Registers and local memory of the kernels, read from the cubins that NVRTC makes: delivery and update must not spill.

A cubin is an ELF file; its section .nv.info lists, for each kernel, the registers of a thread and the bytes of its
frame in local memory, where spilled registers and arrays with computed indices live. No tool of the CUDA toolkit is
needed to read it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache

import pytest
from nvrtc import ARCHITECTURES, NETWORKS, PRECISIONS, compiled, construction_layout, loop_text, only

from distsim.backend.cuda import THREADS
from distsim.kernels.sources import LOOP_KERNELS, RULES, SPATIAL_RULES, construction_source

REGISTERS, FRAME, STACK = 0x2F, 0x11, 0x12  # EIATTR_REGCOUNT, EIATTR_FRAME_SIZE, EIATTR_MIN_STACK_SIZE
WITH_WORDS = 4  # the format of an attribute that is followed by its length and so many bytes
HEADER, SYMBOL = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ")


@dataclass
class Resources:
    """What one thread of a kernel takes; bytes of local memory, and of stack in what it calls."""

    registers: int = 0
    frame: int = 0
    stack: int = 0


def sections(elf: bytes) -> dict[str, bytes]:
    """Contents of the sections of a 64-bit ELF file, by name."""
    assert elf[:5] == b"\x7fELF\x02"
    (at,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names_in = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [HEADER.unpack_from(elf, at + i * size) for i in range(count)]
    names = headers[names_in][4]
    return {
        elf[names + h[0] : elf.index(b"\0", names + h[0])].decode(): elf[h[4] : h[4] + h[5]]
        for h in headers
    }  # fmt: skip


def resources(cubin: bytes) -> dict[str, Resources]:
    """By name of kernel (and of function that it calls)."""
    found = sections(cubin)
    strings, symbols, info = found[".strtab"], found[".symtab"], found[".nv.info"]
    names = []
    for entry in SYMBOL.iter_unpack(symbols):
        names.append(strings[entry[0] : strings.index(b"\0", entry[0])].decode())
    result: dict[str, Resources] = {}
    at = 0
    while at < len(info):
        form, attribute, length = struct.unpack_from("<BBH", info, at)
        at += 4
        if form != WITH_WORDS:
            continue
        if attribute in (REGISTERS, FRAME, STACK):
            symbol, value = struct.unpack_from("<II", info, at)
            entry = result.setdefault(names[symbol], Resources())
            setattr(entry, {REGISTERS: "registers", FRAME: "frame", STACK: "stack"}[attribute], value)
        at += length
    return result


@cache
def of_loop(network: str, architecture: str, precision: str) -> dict[str, Resources]:
    return resources(compiled(loop_text(network, precision), architecture))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("network", [name for name in NETWORKS if name.startswith("linear")])
def test_the_loop_does_not_spill(network: str, architecture: str, precision: str) -> None:
    """Catches an array per thread (a VARYING that stayed an array, a table on the stack) and spilled registers."""
    found = of_loop(network, architecture, precision)
    for name in LOOP_KERNELS:
        assert (found[name].frame, found[name].stack) == (0, 0), f"{name}: local memory on {architecture}"
        # 64 Ki registers a multiprocessor: below this two blocks fit, which hide latency; in double precision, made for
        # comparison, one does.
        blocks = 2 if precision == "single" else 1
        assert 0 < found[name].registers <= 65536 // (blocks * THREADS), f"{name}: {found[name].registers} registers"
    # The grid of delivery is four blocks a multiprocessor: all of them at once.
    assert found["deliver_step"].registers <= 65536 // (4 * THREADS)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_construction_does_not_spill(architecture: str) -> None:
    """Counting and filling draw everything twice: local memory there is construction time."""
    text, drawn = (
        construction_source(False, spatial=False),
        [f"{verb}_{r}" for r in RULES for verb in ("count", "fill")],
    )
    if architecture != "sm_100":  # whose others test_nvrtc.py wants
        text = only(text, drawn)
    found = resources(compiled(text, architecture))
    drawing = [name for name in found if name.startswith(("count_", "fill_"))]
    assert len(drawing) == 2 * len(RULES)
    for name in drawing:
        rule = name.partition("_")[2]
        # Where a thread scatters a neuron's draws, it keeps the tree's open nodes (42 of 40 bytes) and a leaf's draws;
        # a Poisson number takes a table of ten.
        room = {"distinct": 2304, "by_source": 2304, "symmetric": 2304, "pairwise_poisson": 80}.get(rule, 0)
        assert max(found[name].frame, found[name].stack) <= room, f"{name}: local memory on {architecture}"
        assert 0 < found[name].registers <= 65536 // THREADS


def test_construction_in_space_spills_no_more_than_its_stacks() -> None:
    """Expressions and a candidate's positions are kept in local memory, and nothing else is."""
    architecture = ARCHITECTURES[0]
    checked = construction_source(False) + construction_layout()  # the text that test_nvrtc.py compiles too
    found = resources(compiled(checked, architecture))
    for name in (f"{verb}_{rule}" for rule in SPATIAL_RULES for verb in ("count", "fill")):
        assert 0 < max(found[name].frame, found[name].stack) <= 448, f"{name}: local memory on {architecture}"


def test_a_spill_is_seen() -> None:
    """Power: an array with a computed index, and more live numbers than registers, both show as local memory."""
    kernel = 'extern "C" __global__ void {}(float* x, const int* k) {{ {} }}'
    array = kernel.format(
        "array", "float a[64]; for (int i = 0; i < 64; ++i) a[k[i] & 63] = x[i]; x[0] = a[k[64] & 63];"
    )
    plain = kernel.format("plain", "x[threadIdx.x] = x[threadIdx.x + 1] * 2.0f;")
    many = "".join(f"float a{i} = x[{i} * k[0]];" for i in range(300)) + "__syncthreads();"
    many += "".join(f"x[{i} * k[1]] = a{i} * a{(i * 7) % 300};" for i in range(300))
    found = resources(compiled("\n".join((array, plain, kernel.format("crowded", many))), "sm_90"))
    assert found["plain"].frame == found["plain"].stack == 0 and 0 < found["plain"].registers < 32
    assert found["array"].frame >= 256
    assert found["crowded"].frame > 0 and found["crowded"].registers >= 200
