"""Devices: twins with the same verbs (allocate, copy, compile, launch, advance)."""

from __future__ import annotations

from distsim.backend.base import Array, Backend, Mirror, Module, Stepper
from distsim.backend.host import HostBackend
from distsim.errors import BackendError

__all__ = ["DEVICES", "Array", "Backend", "HostBackend", "Mirror", "Module", "Stepper", "open_backend"]

DEVICES = ("auto", "cpu", "cuda")


def open_backend(device: str) -> Backend:
    """The backend for `device`: cpu, cuda, or auto, which takes an NVIDIA GPU where one can be used.

    Raises
    ------
    BackendError
        `device` is cuda, and CuPy, a driver or a GPU is missing; or it is no device.
    """
    if device == "cpu":
        return HostBackend()
    if device not in DEVICES:
        raise BackendError(f"device: found {device!r}; allowed: {', '.join(DEVICES)}")
    from distsim.backend.cuda import CudaBackend, has_driver

    if device == "auto" and not has_driver():
        return HostBackend()
    try:
        backend = CudaBackend()
        backend.check()
    except BackendError:
        if device == "auto":
            return HostBackend()
        raise
    return backend
