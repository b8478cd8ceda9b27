"""plot and compare, and the statistics under them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy import signal, stats

from distsim.analysis.comparison import KOLMOGOROV_MEAN, config_differences, distances, divergence, same_digest
from distsim.analysis.panels import PANELS
from distsim.analysis.results import read_results
from distsim.analysis.spectra import intervals, ks_critical, ks_distance, power_spectrum
from distsim.cli import main


@pytest.fixture(scope="module")
def runs(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of one small network: the same seed twice, other seeds, another weight."""
    folder = tmp_path_factory.mktemp("runs")
    changes = {
        "a": [], "same": ["run.partition=round_robin"], "seed2": ["run.seed=2"], "seed3": ["run.seed=3"],
        "weight": ["projections.0.weight=200.0"],
        "late": ["populations.stim.params.spike_times=[[600.0, 800.1], [700.0]]"],
    }  # fmt: skip
    for name, overrides in changes.items():
        sets = [word for text in overrides for word in ("--set", text)]
        command = [
            "run",
            str(repo_root / "configs/balanced.yaml"),
            "-q",
            "--device",
            "cpu",
            "--out",
            str(folder / name),
        ]
        assert main([*command, *sets]) == 0
    return {name: folder / name for name in changes}


# ---- compare


def test_equal_digests(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs["a"]), str(runs["same"])]) == 0
    out = capsys.readouterr().out
    assert out.startswith("digests are equal: ")
    assert "run.partition  'block'  'round_robin'" in out and "KS" not in out


def test_other_seeds(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs["a"]), str(runs["seed2"])]) == 1
    out = capsys.readouterr().out
    assert "digests differ" in out and "first divergence: second 1 (0-1000 ms) in E, I" in out
    assert "run.seed  1  2" in out
    assert "0 of 6 are over the limit" in out
    assert main(["compare", str(runs["a"]), str(runs["seed2"]), "--seeds", str(runs["seed3"]), str(runs["seed2"])]) == 1
    assert "among runs of 2 other seeds" in capsys.readouterr().out


def test_another_network(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs["a"]), str(runs["weight"])]) == 1
    out = capsys.readouterr().out
    assert "projections[0].weight" in out
    found = distances(read_results(runs["a"]), read_results(runs["weight"]))
    assert found["E"]["rate"].is_large
    assert "*" in out


def test_the_first_differing_spike_is_the_first(runs: dict[str, Path]) -> None:
    """The stimulus comes 0.1 ms later at 800 ms: nothing differs before its spikes arrive at 801 ms."""
    a, b = read_results(runs["a"]), read_results(runs["late"])
    assert not same_digest(a, b)
    found = divergence(a, b)
    assert (found.seconds == (0, 1) and found.populations == ("stim", "E", "I")) or found.populations
    assert found.spike is not None
    time, population, neuron, side = found.spike
    assert 801.0 <= time <= 803.0
    trains = [set(zip(*(x.tolist() for x in r.spikes[population]), strict=True)) for r in (a, b)]
    assert (time, neuron) in trains[side] and (time, neuron) not in trains[1 - side]
    for name in a.spikes:
        early = [
            sorted(t for t in zip(*(x.tolist() for x in r.spikes[name]), strict=True) if t[0] < time) for r in (a, b)
        ]
        assert early[0] == early[1]


def test_one_lost_spike_is_named(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs["a"], copy)
    with h5py.File(copy / "spikes.h5", "r+") as file:
        group = file["spikes"]["I"]
        times, ids = group["timestamps"][:], group["node_ids"][:]
        for name, values in (("timestamps", times), ("node_ids", ids)):
            del group[name]
            group[name] = np.delete(values, 100)
    summary = json.loads((copy / "summary.json").read_text())
    second = int(times[100] // 1000)
    summary["digests"]["I"][second]["digest"] = "0" * 32
    summary["spike_digest"] = "0" * 32
    (copy / "summary.json").write_text(json.dumps(summary))
    assert main(["compare", str(runs["a"]), str(copy)]) == 1
    out = capsys.readouterr().out
    assert f"second {second + 1} ({second * 1000}-{second * 1000 + 1000} ms) in I" in out
    assert f"first differing spike: I, neuron {ids[100]}, {times[100]:.10g} ms, only in {runs['a']}" in out


def test_differing_keys(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("run: {seed: 1, dt: 0.1}\nprojections: [{weight: [1.0, 2.0], delay: 1.0}]\n")
    (tmp_path / "b.yaml").write_text(
        "run: {seed: 2, dt: 0.1}\nprojections: [{weight: [1.0, 3.0], delay: 1.0}]\nname: b\n"
    )
    assert config_differences(tmp_path / "a.yaml", tmp_path / "b.yaml") == [
        ("run.seed", "1", "2"), ("projections[0].weight", "[1.0, 2.0]", "[1.0, 3.0]"), ("name", "-", "'b'"),
    ]  # fmt: skip


@pytest.mark.parametrize("command", [["compare", "nowhere", "nowhere"], ["plot", "nowhere"]])
def test_no_results(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(tmp_path / word) if word == "nowhere" else word for word in command]
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "nowhere").mkdir()
    assert main(arguments) == 2
    assert "summary.json" in capsys.readouterr().err
    (tmp_path / "nowhere/summary.json").write_text("{}")
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "run again with this version" in captured.err and captured.err.count("\n") == 1


# ---- plot


@pytest.mark.parametrize("what", [",".join(PANELS), "rates", "power,cv", "raster"])
def test_figures(runs: dict[str, Path], tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figure.png"
    assert main(["plot", str(runs["a"]), "--what", what, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    image = Image.open(out)
    assert image.width == 1640
    pixels = np.asarray(image.convert("RGB")).astype(int).reshape(-1, 3)
    for color in ((0x1B, 0x4F, 0x8A), (0xC8, 0x40, 0x2F)):
        assert np.sum(np.abs(pixels - color).sum(axis=1) < 60) > 200
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


@pytest.mark.parametrize(("ending", "begins"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("PNG", b"\x89PNG")])
def test_formats(runs: dict[str, Path], tmp_path: Path, ending: str, begins: bytes) -> None:
    out = tmp_path / f"figure.{ending}"
    assert main(["plot", str(runs["a"]), "--what", "isi", "--out", str(out)]) == 0
    assert out.read_bytes().startswith(begins)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--what", "rastr"], "unknown panel 'rastr'; did you mean 'raster'?"),
        (["--what", ""], "--what"),
        (["--out", "figure.doc"], "ends in .png, .pdf, .svg"),
        (["--window", "-1"], "--window: found -1"),
    ],
)
def test_wrong_arguments_of_plot(
    runs: dict[str, Path], arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(runs["a"]), *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_run_without_spikes_can_be_drawn(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("run: {duration: 5.0}\npopulations: {E: {model: iaf_psc_exp, size: 4}}\n")
    assert main(["run", str(tmp_path / "c.yaml"), "-q", "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    assert main(["plot", str(tmp_path / "out")]) == 0


def test_a_run_that_recorded_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text(
        "run: {duration: 5.0}\npopulations: {E: {model: iaf_psc_exp, size: 4}}\nrecord: {spikes: []}\n"
    )
    assert main(["run", str(tmp_path / "c.yaml"), "-q", "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    assert main(["plot", str(tmp_path / "out")]) == 2
    assert "no spikes were recorded" in capsys.readouterr().err
    assert main(["plot", str(tmp_path / "out"), "--what", "states"]) == 2
    assert "record: {states: …} records them" in capsys.readouterr().err


# ---- statistics


def test_ks_distance_is_scipys() -> None:
    rng = np.random.RandomState(1)
    for n, m in ((5, 7), (200, 150), (1, 30)):
        x, y = rng.normal(size=n), rng.normal(0.3, 1.2, size=m)
        assert ks_distance(x, y) == pytest.approx(stats.ks_2samp(x, y).statistic, abs=1e-12)
    counts = rng.poisson(3.0, 300), rng.poisson(3.5, 400)  # with ties
    assert ks_distance(*counts) == pytest.approx(stats.ks_2samp(*counts).statistic, abs=1e-12)
    assert np.isnan(ks_distance([], [1.0]))


def test_ks_critical_is_the_limiting_distributions() -> None:
    assert ks_critical(10**6, 10**6, 0.01) == pytest.approx(stats.kstwobign.isf(0.01) * np.sqrt(2e-6), rel=1e-4)
    assert stats.kstwobign.mean() == pytest.approx(KOLMOGOROV_MEAN, abs=1e-4)


def test_power_of_poisson_trains_is_one() -> None:
    rng = np.random.RandomState(2)
    frequency, power = power_spectrum(np.sort(rng.uniform(0.0, 20_000.0, 40_000)), 100, 0.0, 20_000.0)
    assert power.mean() == pytest.approx(1.0, abs=0.02)
    assert frequency[0] == pytest.approx(1000.0 / 512) and frequency[-1] < 500.0


def test_power_is_welchs(tmp_path: Path) -> None:
    rng = np.random.RandomState(3)
    counts = rng.poisson(5.0 * (1.0 + 0.8 * np.sin(2.0 * np.pi * 0.04 * np.arange(8192))))
    times = np.repeat(np.arange(8192) + 0.5, counts)
    frequency, power = power_spectrum(times, 50, 0.0, 8192.0)
    rate = counts * 1000.0 / 50
    expected_at, expected = signal.welch(rate, 1000.0, "hann", 512, detrend="constant")
    np.testing.assert_allclose(frequency, expected_at[1:-1])
    np.testing.assert_allclose(power, expected[1:-1] / (2.0 * rate.mean() / 50), rtol=1e-10)
    assert frequency[np.argmax(power)] == pytest.approx(40.0, abs=2.0)


def test_too_short_for_power() -> None:
    assert len(power_spectrum(np.array([1.0, 2.0]), 4, 0.0, 20.0)[0]) == 0
    assert len(power_spectrum(np.empty(0), 4, 0.0, 2000.0)[0]) == 0


def test_intervals_of_each_neuron() -> None:
    times, ids = np.array([5.0, 1.0, 2.0, 9.0, 4.0]), np.array([1, 0, 1, 1, 2])
    assert sorted(intervals(times, ids)) == [3.0, 4.0]
