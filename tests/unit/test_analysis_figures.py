"""The raster: what is drawn where; how it looks is for eyes."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from distsim.analysis import figures
from distsim.analysis.figures import RasterPopulation, raster
from distsim.analysis.panels import _log_ticks
from distsim.errors import ResultError
from distsim.io import SpikePopulation, SpikeSegments, merge_spikes, read_spikes

POPULATIONS = [RasterPopulation("L4E", 80), RasterPopulation("L4I", 20)]


def _spike_file(directory: Path) -> Path:
    rng = np.random.RandomState(0)
    step = np.sort(rng.randint(1001, 6001, 3000)).astype(np.uint64)
    SpikeSegments(directory, 0).write(step, rng.randint(0, 100, 3000).astype(np.uint64), 0.1)
    merge_spikes(directory, [SpikePopulation("L4E", 0, 80), SpikePopulation("L4I", 80, 20)], 0.1)
    return directory / "spikes.h5"


def test_a_png_with_both_colours(tmp_path: Path) -> None:
    out = raster(
        _spike_file(tmp_path), POPULATIONS, tmp_path / "raster.png", start=100.0, stop=600.0,
        reference_rates={"L4E": 50.0}, reference_source="a paper", title="network",
    )  # fmt: skip
    image = Image.open(out)
    assert image.size == (1230, 810)
    pixels = np.asarray(image.convert("RGB")).astype(int).reshape(-1, 3)
    for color in (figures.EXCITATORY, figures.INHIBITORY):
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.sum(np.abs(pixels - wanted).sum(axis=1) < 60) > 500
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raster.png", "segments", "spikes.h5"]


def test_a_file_and_arrays_give_the_same_selection(tmp_path: Path) -> None:
    path = _spike_file(tmp_path)
    from_file = figures._select(path, POPULATIONS, 300.0, 500.0)
    from_arrays = figures._select(read_spikes(path), POPULATIONS, 300.0, 500.0)
    assert from_file[1] == from_arrays[1]
    for name in ("L4E", "L4I"):
        for a, b in zip(from_file[0][name], from_arrays[0][name], strict=True):
            np.testing.assert_array_equal(a, b)
        times = from_file[0][name][0]
        assert len(times) and times.min() > 300.0 and times.max() <= 500.0


def test_bands_fill_the_height_from_the_top() -> None:
    populations = [RasterPopulation(f"p{i}", 10**i) for i in range(5)]
    bands = figures._bands(populations, 100)
    assert bands[0].bottom + bands[0].height == 1.0
    assert bands[-1].bottom == pytest.approx(0.0, abs=1e-12)
    for upper, lower in pairwise(bands):
        assert lower.bottom + lower.height < upper.bottom
    assert min(b.height for b in bands) > 0.02
    many = figures._bands([RasterPopulation(f"p{i}", 5) for i in range(254)], 100)
    assert min(b.height for b in many) > 0.0 and many[-1].bottom == pytest.approx(0.0, abs=1e-9)


def test_sides_by_name_or_by_turns() -> None:
    names = ["L23E", "L23I", "exc", "inhibitory", "Pyr", "Basket"]
    assert [figures.is_inhibitory(n, i) for i, n in enumerate(names)] == [False, True, False, True, False, True]


def test_silence_is_drawn(tmp_path: Path) -> None:
    assert raster({}, POPULATIONS, tmp_path / "r.png", start=0.0, stop=100.0).stat().st_size > 5000


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="0 populations"):
        raster({}, [], tmp_path / "r.png", start=0.0, stop=100.0)
    with pytest.raises(ResultError, match=r"no\.h5"):
        raster(tmp_path / "no.h5", POPULATIONS, tmp_path / "r.png", start=0.0, stop=100.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("low", "high"), [(21.0, 39.0), (7.0, 450.0), (0.5, 1e4), (5.0, 490.0)])
def test_a_logarithmic_axis_has_few_labels_and_some(low: float, high: float) -> None:
    """Catches labels that overlap where the axis spans a decade, and an axis without any."""
    axes = Figure().add_subplot()
    _log_ticks(axes, low, high)
    shown = [axes.xaxis.get_major_formatter()(x, None) for x in axes.get_xticks() if low <= x <= high]
    assert 2 <= len(shown) <= 9 and all(low <= float(label) <= high for label in shown), shown
    assert not any(axes.xaxis.get_minor_formatter().format_ticks(axes.get_xticks(minor=True)))


def test_importing_does_not_import_matplotlib_or_scipy() -> None:
    code = (
        "import sys, distsim.analysis.figures, distsim.analysis, distsim.io, distsim.published;"
        "print([m for m in ('matplotlib', 'scipy') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True).stdout == "[]\n"
