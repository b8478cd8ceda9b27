"""The state by global identity: a run that goes on elsewhere is the run that was never stopped."""

from __future__ import annotations

import numpy as np
import pytest
import support
from continuing import check_continued, first_part, second_part

from distsim import Experiment, FixedIndegree, Network, RunSettings
from distsim.engine.simulation import Tuning
from distsim.errors import ResultError

RANKS = [(1, 1), (1, 3), (2, 1), (2, 4), (3, 2), (4, 3), (4, 4)]


@pytest.fixture(scope="module")
def varied() -> tuple[Experiment, support.Outcome]:
    experiment = support.varied(duration=20.0)
    return experiment, support.run(experiment)


@pytest.mark.parametrize(("before", "after"), RANKS)
def test_ranks_before_and_after(varied: tuple[Experiment, support.Outcome], before: int, after: int) -> None:
    """Every model, rule and multiplicity; in the middle of an interval; buffers as small as can be."""
    experiment, reference = varied
    assert reference.count > 100
    check_continued(experiment, reference, before, after, 123)
    check_continued(experiment, reference, before, after, 58, support.TINY)


def test_steps_of_a_block_of_poisson_counts(varied: tuple[Experiment, support.Outcome]) -> None:
    """Eight steps share a random block: every phase of it, and the very first and last steps."""
    experiment, reference = varied
    for stop in (0, 1, *range(96, 104), 199, 200):
        check_continued(experiment, reference, 2, 1, stop)


@pytest.mark.parametrize("partition", ["block", "populations"])
def test_other_partitions(varied: tuple[Experiment, support.Outcome], partition: str) -> None:
    experiment, reference = varied
    first = first_part(experiment, 3, 77)
    settings = RunSettings(duration=20.0, seed=11, partition=partition)  # type: ignore[arg-type]
    second = second_part(Experiment(experiment.network, settings), 2, [kept for kept, _ in first], 77)
    assert second[0][:2] == (reference.digest, reference.counts)


def test_double_precision() -> None:
    experiment = support.varied("double", duration=20.0)
    check_continued(experiment, support.run(experiment), 2, 3, 111)


def test_spikes_in_flight_over_the_longest_delay() -> None:
    """A spike whose delay is the maximum is remembered to its last step, and none is delivered twice."""
    experiment = support.late_spikes()
    reference = support.run(experiment)
    assert len(reference.spikes) > 4 + 3 * 8
    for stop in (9, 10, 11, 12, 40, 41, 42, 43, 44, 75):
        check_continued(experiment, reference, 1, 2, stop, Tuning(history_room=1))


def test_bursts_with_multiplicity() -> None:
    """Each neuron fires ten steps running and parrots relay 150 spikes a step."""
    experiment, expected = support.avalanche(delay=2.0)
    for stop in (105, 125):
        first = first_part(experiment, 3, stop)
        digest, counts, _, _ = second_part(experiment, 2, [kept for kept, _ in first], stop, support.TINY)[0]
        assert (digest, counts) == (expected.digest, expected.counts)


def test_what_is_kept_does_not_depend_on_the_past() -> None:
    """A checkpoint after going on equals one without a stop, array by array: nothing is forgotten or added."""
    experiment = support.varied(duration=30.0)
    straight = first_part(experiment, 2, 250)
    first = first_part(experiment, 3, 237)
    second = second_part(experiment, 2, [kept for kept, _ in first], 237, until=250)
    for (kept, _), (_, _, _, continued) in zip(straight, second, strict=True):
        assert kept.keys() == continued.keys()
        for name, array in kept.items():
            assert np.array_equal(array, continued[name]) and array.dtype == continued[name].dtype, name


def test_a_missing_part_is_noticed() -> None:
    experiment = Experiment(_small(), RunSettings(duration=3.0))
    kept = [kept for kept, _ in first_part(experiment, 3, 10)]
    with pytest.raises(ResultError, match="neurons of this rank"):
        second_part(experiment, 1, kept[:2], 10)
    with pytest.raises(ResultError, match="more neurons than the network has"):
        second_part(experiment, 1, [*kept, kept[0]], 10)


def _small() -> Network:
    network = Network("small")
    n = network.population("N", 12, "iaf_psc_exp", I_e=900.0)
    network.project(n, n, FixedIndegree(3), 10.0, 1.0)
    return network


def test_old_spikes_are_forgotten() -> None:
    """The history does not grow with the run."""
    experiment = Experiment(_small(), RunSettings(duration=500.0))
    for kept, _ in first_part(experiment, 1, 5000, Tuning(history_room=50)):
        steps = kept["history.step"]
        assert steps.size == 0 or steps.min() > 5000 - 10
