"""A run that goes on on another device is the same run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import support
from continuing import check_continued, first_part, second_part

from distsim.backend import Backend, open_backend


def cuda() -> Backend:
    return open_backend("cuda")


def cpu() -> Backend:
    return open_backend("cpu")


@pytest.mark.parametrize(("before", "after"), [(cuda, cpu), (cpu, cuda)], ids=["to-cpu", "to-gpu"])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_from_one_device_to_the_other(
    before: Callable[[], Backend], after: Callable[[], Backend], precision: Any
) -> None:
    experiment = support.varied(precision, duration=20.0)
    reference = support.run(experiment)
    for stop in (58, 123):
        first = first_part(experiment, 2, stop, backend=before)
        for digest, counts, _, _ in second_part(experiment, 3, [k for k, _ in first], stop, backend=after):
            assert (digest, counts) == (reference.digest, reference.counts)


@pytest.mark.parametrize("tuning", [None, support.TINY], ids=["roomy", "tiny"])
def test_on_the_device(tuning: Any) -> None:
    experiment = support.varied(duration=20.0)
    reference = support.run(experiment)
    check_continued(experiment, reference, 1, 2, 101, tuning, cuda)


def test_what_is_kept_is_the_same_on_both() -> None:
    """Bit for bit, array by array."""
    experiment = support.varied(duration=20.0)
    for (ours, _), (theirs, _) in zip(
        first_part(experiment, 2, 123, backend=cuda), first_part(experiment, 2, 123, backend=cpu), strict=True
    ):
        assert {k: v.tobytes() for k, v in ours.items()} == {k: v.tobytes() for k, v in theirs.items()}
