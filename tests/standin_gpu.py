"""A pytest plugin that puts the stand-in where CuPy would be: `pytest -p standin_gpu tests/gpu` tries the GPU tests.

It shows that they run, and nothing about a GPU.
"""

from __future__ import annotations

import sys

import standin_cupy

from distsim.backend import cuda

sys.modules["cupy"] = standin_cupy.Cupy()  # type: ignore[assignment]
cuda.has_driver = lambda: True
