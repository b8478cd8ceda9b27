"""Looking at results: spike statistics as pure functions, and figures."""

from __future__ import annotations

from distsim.analysis.statistics import (
    PopulationStatistics,
    correlations,
    cv_isi,
    fano_factor,
    population_statistics,
    rates,
)

__all__ = ["PopulationStatistics", "correlations", "cv_isi", "fano_factor", "population_statistics", "rates"]
