"""Devices: twins with the same verbs (allocate, copy, compile, launch)."""

from __future__ import annotations

from distsim.backend.base import Array, Backend, Module
from distsim.backend.host import HostBackend

__all__ = ["Array", "Backend", "HostBackend", "Module", "open_backend"]


def open_backend(device: str) -> Backend:
    """The backend for `device`: auto or cpu."""
    return HostBackend()
