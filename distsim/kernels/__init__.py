"""Kernels and their launchers: sources in the common subset of CUDA C++ and C++17. No Python objects inside."""
