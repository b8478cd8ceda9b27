"""Structures shared by Python and the kernels: declared once, rendered for both."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

_CTYPES: dict[str, type] = {
    "int32": ctypes.c_int32,
    "uint32": ctypes.c_uint32,
    "int64": ctypes.c_int64,
    "uint64": ctypes.c_uint64,
    "double": ctypes.c_double,
}


def declare(name: str, fields: Sequence[tuple[str, object]]) -> type[ctypes.Structure]:
    """A ctypes structure that knows its own C++ text.

    Parameters
    ----------
    fields
        (member, type): a C++ scalar type, a pointer type such as "const uint32*", or another declared
        structure. Members are laid out in order; 8-byte members should stand on 8-byte boundaries.
    """
    members: list[tuple[str, type]] = []
    lines: list[str] = []
    for member, kind in fields:
        if isinstance(kind, str):
            ctype = ctypes.c_void_p if kind.endswith("*") else _CTYPES[kind]
            lines.append(f"    {kind} {member};")
        else:
            assert isinstance(kind, type)
            ctype = kind
            lines.append(f"    {kind.__name__} {member};")
        members.append((member, ctype))
    text = f"struct {name} {{\n" + "\n".join(lines) + "\n};\n"
    return type(name, (ctypes.Structure,), {"_fields_": members, "cpp": text})


def cpp_of(structure: type[ctypes.Structure]) -> str:
    """The C++ declaration of a structure made by `declare`."""
    return str(structure.cpp)
