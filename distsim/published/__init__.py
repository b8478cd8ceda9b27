"""Canonical published networks, each a function that returns a Network."""

from __future__ import annotations

from distsim.published.balanced import balanced
from distsim.published.brunel import brunel
from distsim.published.microcircuit import microcircuit

__all__ = ["balanced", "brunel", "microcircuit"]
